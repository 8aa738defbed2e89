"""Light and background from panoramas of real places (HDR, equirectangular).

The brightest spot becomes the key light, which throws shadows; the rest is ambient light, nine numbers per colour
(spherical harmonics up to the second band; Ramamoorthi & Hanrahan, SIGGRAPH 2001).
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.srgb import encoded
from face3dmm_ros.lab.synthesis.panorama import SMALL_SIZE, Panorama
from face3dmm_ros.lab.synthesis.scene import Color, Light, Place, triple
from face3dmm_ros.rendering.spherical_harmonics import COEFFICIENTS, IRRADIANCE_SCALES, irradiance_basis

# Chosen by hand, while looking at renders under 18 panoramas.
_SPOT = np.radians(25.0)  # around the brightest direction, what belongs to the key light
_BALANCED = 0.85  # share of the light's colour that a camera's white balance takes out, as an exponent
_GATHERED = np.repeat([1.0, 2.0 / 3.0, 0.25], [1, 3, 5])  # Aⱼ/π of the nine harmonics
_LARGEST_KEY = 2.2  # of the mean light on the face: cameras see no stronger contrasts


def light_of(panorama: Panorama, turn: float, level: float) -> tuple[Light, Place]:
    """The light in a place, and the place as its camera sees it.

    Args:
        panorama: of the place.
        turn: of the place about the vertical, radians.
        level: of the light on a face, about 1.
    """
    directions, areas = _directions(turn)
    radiance = panorama.small.astype(np.float64)
    mean = np.maximum((radiance * areas[..., None]).sum(axis=(0, 1)) / areas.sum(), 1e-9)
    radiance = radiance * (mean.mean() / mean) ** _BALANCED
    brightness = radiance.mean(axis=2)
    smooth = cv2.GaussianBlur(np.hstack([brightness] * 3), (0, 0), 3.0)[:, SMALL_SIZE[0] : 2 * SMALL_SIZE[0]]
    brightest = directions[np.unravel_index(smooth.argmax(), smooth.shape)]
    spot = directions @ brightest > np.cos(_SPOT)
    around = np.median(brightness[spot])
    share = np.where(spot, np.clip(1.0 - around / np.maximum(brightness, 1e-9), 0.0, 1.0), 0.0)
    weights = (share * brightness * areas)[..., None]
    to_key = (weights * directions).sum(axis=(0, 1))
    concentrated = float(np.linalg.norm(to_key) / max(weights.sum(), 1e-9))
    to_key = to_key / np.linalg.norm(to_key) if concentrated > 0 else brightest
    key = (radiance * (share * areas)[..., None]).sum(axis=(0, 1)) / np.pi
    ambient = _harmonics(radiance * (1.0 - share)[..., None], directions, areas)

    sides = np.array([[0.0, 0.0, 1.0], [0.6, 0.0, 0.8], [-0.6, 0.0, 0.8], [0.0, 0.6, 0.8]])
    diffuse = max(float((np.stack(irradiance_basis(*sides.T), axis=-1) @ ambient).mean()), 1e-6)
    key *= min(1.0, _LARGEST_KEY * diffuse / max(key.mean(), 1e-9))
    total = diffuse + float(key.mean() * np.maximum(sides @ to_key, 0.0).mean())
    gain = level / total
    constant, y, z, x, xy, yz, zonal, zx, sectoral = np.array(IRRADIANCE_SCALES)[:, None] * ambient
    place = Place(panorama, turn, triple(gain * (mean.mean() / mean) ** _BALANCED))
    light = Light(
        to_key=triple(to_key),
        key=triple(gain * key),
        fill=(0.0, 0.0, 0.0),
        ambient=triple(gain * (constant - zonal)),
        ambient_slope=_rows(gain * np.column_stack([x, y, z])),
        ambient_bend=_rows(gain * np.column_stack([xy, yz, zx])),
        ambient_bulge=_rows(gain * np.column_stack([sectoral, -sectoral, 3.0 * zonal])),
        softness=float(np.clip(1.0 + 60.0 * (1.0 - concentrated), 1.0, 7.0)),
        reflected=place,
    )
    return light, place


def behind(place: Place, field_of_view: float, image_size: tuple[int, int]) -> NDArray[np.uint8]:
    """What a camera that looks at the face's front sees of a place, (H, W, 3) uint8 BGR.

    Args:
        place: that stands behind the face.
        field_of_view: horizontal, degrees.
        image_size: (width, height), px.
    """
    # Panoramas are coarse: half the pixels hold all that is in them.
    width, height = (max(side // 2, 1) for side in image_size)
    focal = 0.5 * width / np.tan(np.radians(field_of_view) / 2)
    x, y = np.meshgrid(
        np.arange(width, dtype=np.float32) - (width - 1) / 2, np.arange(height, dtype=np.float32) - (height - 1) / 2
    )
    rows, columns = place.panorama.radiance.shape[:2]
    around = np.arctan2(-x, np.float32(-focal)) - place.turn  # −z is ahead, and the middle column is behind
    above = np.arctan2(-y, np.hypot(x, np.float32(focal)))
    u = ((around / (2 * np.pi) + 0.5) % 1.0) * columns - 0.5
    v = (0.5 - above / np.pi) * rows - 0.5
    maps = u.astype(np.float32), v.astype(np.float32)
    seen = cv2.remap(place.panorama.radiance, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    picture = np.round(255 * encoded(_shoulder(np.multiply(seen, np.array(place.gain, np.float32)))))
    bgr = np.ascontiguousarray(picture[..., ::-1].astype(np.uint8))
    return np.asarray(cv2.resize(bgr, image_size, interpolation=cv2.INTER_LINEAR), np.uint8)


def _shoulder(light: NDArray[np.floating]) -> NDArray[np.floating]:
    """As the shaders' film: what is brighter than 0.6 approaches white slowly."""
    over = np.maximum(light - 0.6, 0.0) / 0.4
    return np.asarray(np.minimum(light, 0.6) + 0.4 * over / (1.0 + over))


def _directions(turn: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """World directions, (64, 128, 3), of the pixels of `Panorama.small`, and their solid angles, (64, 128)."""
    width, height = SMALL_SIZE
    around = 2 * np.pi * ((np.arange(width) + 0.5) / width - 0.5) + turn
    above = np.pi * (0.5 - (np.arange(height) + 0.5) / height)
    level = np.cos(above)[:, None]
    directions = np.stack(
        [-level * np.sin(around), np.broadcast_to(np.sin(above)[:, None], (height, width)), level * np.cos(around)],
        axis=-1,
    )
    areas = np.broadcast_to(level * (2 * np.pi / width) * (np.pi / height), (height, width))
    return directions, areas


def _harmonics(
    radiance: NDArray[np.float64], directions: NDArray[np.float64], areas: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Light from everywhere as coefficients of `SphericalHarmonicsLight`, (9, 3)."""
    basis = np.stack(irradiance_basis(*np.moveaxis(directions, -1, 0)), axis=-1)
    moments = basis.reshape(-1, COEFFICIENTS).T @ (radiance * areas[..., None]).reshape(-1, 3)
    # The basis is (Aⱼ / π) · Yⱼ.
    return moments / _GATHERED[:, None]


def _rows(matrix: NDArray[np.floating]) -> tuple[Color, Color, Color]:
    first, second, third = (triple(row) for row in matrix)
    return first, second, third

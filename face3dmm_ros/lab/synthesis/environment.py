"""Light and background from panoramas of real places (HDR, equirectangular).

The brightest spot becomes the key light, which throws shadows; the rest is ambient light, nine numbers per colour
(spherical harmonics up to the second band; Ramamoorthi & Hanrahan, SIGGRAPH 2001).
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.srgb import encoded
from face3dmm_ros.lab.synthesis.panorama import SMALL_SIZE, Panorama
from face3dmm_ros.lab.synthesis.scene import Color, Light, Place

# Chosen by hand, while looking at renders under 18 panoramas.
_SPOT = np.radians(25.0)  # around the brightest direction, what belongs to the key light
_BALANCED = 0.85  # share of the light's colour that a camera's white balance takes out, as an exponent
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

    def on(normal: NDArray[np.float64]) -> float:
        return float((_basis(normal) @ ambient).mean())

    sides = np.array([[0.0, 0.0, 1.0], [0.6, 0.0, 0.8], [-0.6, 0.0, 0.8], [0.0, 0.6, 0.8]])
    diffuse = max(float(np.mean([on(side) for side in sides])), 1e-6)
    key *= min(1.0, _LARGEST_KEY * diffuse / max(key.mean(), 1e-9))
    total = diffuse + float(key.mean() * np.maximum(sides @ to_key, 0.0).mean())
    gain = level / total
    bulge, bend = np.zeros((3, 3)), np.zeros((3, 3))
    constant, slope, quadratic = ambient[0], ambient[1:4], ambient[4:]
    bend[:] = quadratic[:3].T
    bulge[:, :] = quadratic[3:].T
    place = Place(panorama, turn, _triple(gain * (mean.mean() / mean) ** _BALANCED))
    light = Light(
        to_key=_triple(to_key),
        key=_triple(gain * key),
        fill=(0.0, 0.0, 0.0),
        ambient=_triple(gain * constant),
        ambient_slope=_rows(gain * slope.T),
        ambient_bend=_rows(gain * bend),
        ambient_bulge=_rows(gain * bulge),
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


def _basis(directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """1, x, y, z, xy, yz, zx, x², y², z² of (…, 3) directions: (…, 10); they span the first three bands."""
    x, y, z = np.moveaxis(directions, -1, 0)
    return np.stack([np.ones_like(x), x, y, z, x * y, y * z, z * x, x * x, y * y, z * z], axis=-1)


def _harmonics(
    radiance: NDArray[np.float64], directions: NDArray[np.float64], areas: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Diffuse light per normal, over π, as (10, 3) factors of `_basis`."""
    moments = _basis(directions).reshape(-1, 10).T @ (radiance * areas[..., None]).reshape(-1, 3)
    # Σ Aₗ/π · Lₗₘ · Yₗₘ with A₀, A₁, A₂ = π, 2π/3, π/4, the norms of Y multiplied out.
    result = np.zeros((10, 3))
    result[0] = moments[0] / (4 * np.pi)
    result[1:4] = moments[1:4] / (2 * np.pi)
    result[4:7] = 15 / (16 * np.pi) * moments[4:7]
    zonal = 5 / (64 * np.pi) * (3 * moments[9] - moments[0])  # times 3z² − 1
    sectoral = 15 / (64 * np.pi) * (moments[7] - moments[8])  # times x² − y²
    result[0] -= zonal
    result[7:10] = sectoral, -sectoral, 3 * zonal
    return result


def _triple(values: NDArray[np.floating]) -> Color:
    x, y, z = (float(value) for value in values)
    return x, y, z


def _rows(matrix: NDArray[np.floating]) -> tuple[Color, Color, Color]:
    first, second, third = (_triple(row) for row in matrix)
    return first, second, third

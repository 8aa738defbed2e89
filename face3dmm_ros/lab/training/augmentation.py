"""Augmentation: the crops of detectors and the disturbances of photographs, which rendered faces lack, at random.

Crops may have any side: sizes grow with it.
All probabilities and ranges are chosen by hand, while looking at disturbed crops: more hides the face, less lets a
network lean on what only renders have.
"""

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.landmarks.region import Region

Pixels = NDArray[np.floating]
_EYES = ((36, 39), (42, 45))
"""The corners of the right and of the left eye, each from right to left, among iBUG's 68 points."""
_UNIT = 96
"""Side of the crop, px, that the sizes below were chosen at."""


def jittered(rng: np.random.Generator, region: Region, far_share: float = 0.3) -> Region:
    """The region as a detector might give it: usually close, `far_share` of the times far off."""
    return _moved(rng, region, *((0.09, 0.16, 32) if rng.random() < far_share else (0.045, 0.08, 10)))


def as_tracked(rng: np.random.Generator, region: Region) -> Region:
    """The region as a tracker gives it from the last image's points."""
    return _moved(rng, region, 0.02, 0.05, 3)


def _moved(rng: np.random.Generator, region: Region, shift: float, size: float, turn: float) -> Region:
    """Moved at random, by standard deviations: of place in sides, of the side's logarithm, and of angle in degrees."""
    x, y = rng.normal(0, shift, 2) * region.size
    side, angle = region.size * np.exp(rng.normal(0, size)), region.angle + np.radians(rng.normal(0, turn))
    return Region(region.x + float(x), region.y + float(y), float(side), float(angle))


def disturbed(rng: np.random.Generator, crop: NDArray[np.uint8], landmarks: NDArray[np.floating]) -> NDArray[np.uint8]:
    """A crop, (side, side, 3) uint8 BGR, with random disturbances as in photographs.

    Args:
        rng: all that is random comes from it.
        crop: left as it is.
        landmarks: (68, 2) iBUG's points, px of the crop.
    """
    changes: tuple[tuple[float, Callable[[np.random.Generator, Pixels], Pixels]], ...] = (
        (0.5, _hard_light),
        (0.25, _strands),
        (0.12, lambda rng, x: _dark_lenses(rng, x, landmarks)),
        (0.3, _patch),
        (0.8, _colours),
        (0.3, _gamma),
        (0.35, _blur),
        (0.2, _coarse),
        (0.4, _noise),
        (0.15, _compressed),
    )
    x = crop.astype(np.float32)
    for chance, change in changes:
        if rng.random() < chance:
            x = np.clip(change(rng, x), 0, 255).astype(np.float32, copy=False)
    return x.astype(np.uint8)


@cache
def _grid(side: int) -> tuple[Pixels, Pixels]:
    """Rows and columns of a crop, from −1 to 1."""
    rows, columns = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j].astype(np.float32)
    return rows, columns


def _hard_light(rng: np.random.Generator, x: Pixels) -> Pixels:
    """A gradient of light, or the edge of a shadow, across the face."""
    rows, columns = _grid(len(x))
    turn = rng.uniform(0, 2 * np.pi)
    across = columns * np.float32(np.cos(turn)) + rows * np.float32(np.sin(turn)) + np.float32(rng.uniform(-0.6, 0.6))
    steepness = np.float32(rng.uniform(2, 30))
    share = 1 / (1 + np.exp(-across * steepness)) if rng.random() < 0.5 else 0.5 + 0.5 * np.clip(across, -1, 1)
    dark, bright = np.float32(rng.uniform(0.15, 0.9)), np.float32(rng.uniform(0.9, 1.5))
    return x * (dark + (bright - dark) * share)[..., None]


def _strands(rng: np.random.Generator, x: Pixels) -> Pixels:
    """Strands of hair, straps, wires."""
    side = len(x)
    unit = side / _UNIT
    canvas = x.astype(np.uint8)
    color, start = rng.uniform(0, 255, 3), rng.uniform(-20 * unit, side + 20 * unit, 2)
    along = rng.normal(0, 1, 2)
    along /= np.linalg.norm(along) + 1e-6
    for _ in range(rng.integers(2, 14)):
        first = start + unit * rng.normal(0, rng.uniform(3, 22), 2)
        last = first + unit * (along * rng.uniform(20, 110) + rng.normal(0, 8, 2))
        tone = [float(value) for value in np.clip(color + rng.normal(0, 18, 3), 0, 255)]
        cv2.line(canvas, _pixel(first), _pixel(last), tone, int(rng.integers(1, 1 + int(3 * unit))), cv2.LINE_AA)
    return canvas.astype(np.float32)


def _dark_lenses(rng: np.random.Generator, x: Pixels, landmarks: NDArray[np.floating]) -> Pixels:
    """Sunglasses."""
    plain = x.astype(np.uint8)
    lenses = plain.copy()
    tone = [float(value) for value in rng.uniform(0, 110, 3)]
    (right_outer, _), (_, left_outer) = _EYES
    width = max(3, int(0.27 * np.linalg.norm(landmarks[left_outer] - landmarks[right_outer])))
    for corners in _EYES:
        middle = landmarks[list(corners)].mean(axis=0)
        axes = (width, int(width * rng.uniform(0.6, 0.95)))
        cv2.ellipse(lenses, _pixel(middle), axes, 0, 0, 360, tone, -1, cv2.LINE_AA)
    opacity = rng.uniform(0.5, 1.0)
    return np.asarray(cv2.addWeighted(lenses, opacity, plain, 1 - opacity, 0), np.float32)


def _patch(rng: np.random.Generator, x: Pixels) -> Pixels:
    """Something plain, or noise, before the face."""
    side = len(x)
    height, width = rng.integers(int(10 * side / _UNIT), int(55 * side / _UNIT), 2)
    top, left = rng.integers(0, side - height), rng.integers(0, side - width)
    fill = rng.uniform(0, 255, 3) if rng.random() < 0.5 else rng.uniform(0, 255, (height, width, 3))
    x = x.copy()
    x[top : top + height, left : left + width] = fill
    return x


def _colours(rng: np.random.Generator, x: Pixels) -> Pixels:
    """Exposure, white balance and saturation."""
    gain, offset = rng.uniform(0.5, 1.5), rng.uniform(-45, 45)
    balance, saturation = rng.uniform(0.8, 1.2, 3), rng.uniform(0.0, 1.4)
    # One matrix: grey + (y − grey)·saturation of y = (gain·x + offset)·balance.
    mix = saturation * np.eye(3) + (1 - saturation) / 3
    matrix = np.column_stack([mix @ np.diag(gain * balance), mix @ (offset * balance)])
    return np.asarray(cv2.transform(x, matrix), np.float32)


def _gamma(rng: np.random.Generator, x: Pixels) -> Pixels:
    return np.float32(255) * cv2.pow(x * np.float32(1 / 255), float(rng.uniform(0.5, 1.8)))


def _blur(rng: np.random.Generator, x: Pixels) -> Pixels:
    return np.asarray(cv2.GaussianBlur(x, (0, 0), len(x) / _UNIT * rng.uniform(0.4, 2.0)), dtype=np.float32)


def _coarse(rng: np.random.Generator, x: Pixels) -> Pixels:
    """As a camera of few pixels sees it."""
    share = rng.uniform(0.25, 0.7)
    small = cv2.resize(x, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, x.shape[1::-1]), dtype=np.float32)


def _noise(rng: np.random.Generator, x: Pixels) -> Pixels:
    return x + np.float32(rng.uniform(2, 14)) * rng.standard_normal(x.shape, dtype=np.float32)


def _compressed(rng: np.random.Generator, x: Pixels) -> Pixels:
    """As JPEG leaves it."""
    encoded = cv2.imencode(".jpg", x.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.float32)


def _pixel(point: NDArray[np.floating]) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))

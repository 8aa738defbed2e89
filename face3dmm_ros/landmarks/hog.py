"""Histograms of oriented gradients: how edges run in each cell of a picture, whatever its light.

Dalal & Triggs, Histograms of Oriented Gradients for Human Detection, CVPR 2005, in the form of Felzenszwalb, Girshick,
McAllester and Ramanan, Object Detection with Discriminatively Trained Part-Based Models, PAMI 2010: 18 directions with
their sign, 9 without, and 4 of how much there is, each normalised by the four blocks of 2 × 2 cells around its cell.
"""

import math

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.compiled import compiled
from face3dmm_ros.core.errors import Face3DMMError

CELL = 8
"""px of a cell's side, as in both papers."""
CHANNELS = 31

_SIGNED, _UNSIGNED = 18, 9
_LARGEST = 0.2
"""To which normalised values are cut, so that one strong edge does not drown all others; of the first paper."""
_TEXTURE = 0.2357
"""Weight of the last four channels, of the second paper's program: 1/√18, as 18 values are summed in each."""
_EPSILON = 1e-4
"""Under the square root, in shades² of one: a cell without contrast stays without."""


def _directions() -> NDArray[np.int8]:
    """(511, 511): in which of 18 sectors of 20° a gradient (y, x) + 255 lies; the first begins at +x, toward +y.

    So the mirror image of a gradient lies in the sector's mirror image, and what runs up or down in the middle of one.
    """
    y, x = np.mgrid[-255:256, 0:256].astype(np.float64)
    right = np.floor(np.arctan2(y, x) * _SIGNED / (2.0 * math.pi)).astype(np.int64) % _SIGNED
    return np.concatenate([_mirrored_sector(right[:, :0:-1]), right], axis=1).astype(np.int8)


def _mirrored_sector(sector: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of 18: θ becomes 180° − θ."""
    return (8 - sector) % _SIGNED


_DIRECTIONS = _directions()
_MIRRORED = np.concatenate([_mirrored_sector(np.arange(18)), 18 + np.arange(8, -1, -1), [28, 27, 30, 29]])
"""Which channel becomes which in the mirror image; of the last four, the blocks left and right change places."""


def hog_features(gray: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The features of every whole cell of a (H, W) grey picture, (H // `CELL`, W // `CELL`, `CHANNELS`).

    Raises:
        Face3DMMError: the picture is not a (H, W) uint8 array of a cell or more.
    """
    if not isinstance(gray, np.ndarray) or gray.ndim != 2 or gray.dtype != np.uint8 or min(gray.shape) < CELL:
        shape = getattr(gray, "shape", type(gray).__name__)
        raise Face3DMMError(f"expected a grey uint8 picture of {CELL}×{CELL} px or more, found {shape}")
    return _normalized(_histograms(np.ascontiguousarray(gray), _DIRECTIONS, CELL))


def mirrored(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """What features (rows, columns, `CHANNELS`), or weights on them, are of the mirror image."""
    return np.ascontiguousarray(features[:, ::-1, _MIRRORED])


@compiled
def _histograms(gray: NDArray[np.uint8], directions: NDArray[np.int8], cell: int) -> NDArray[np.float32]:
    """How much gradient of each signed direction lies in each cell, (rows, columns, 18), shared with the next cells."""
    rows, columns = gray.shape[0] // cell, gray.shape[1] // cell
    height, width = rows * cell, columns * cell
    # A margin of a cell takes what lies beyond the middles of the outer ones.
    histograms = np.zeros((rows + 2, columns + 2, 18), np.float32)
    column, right_share = np.empty(width, np.int64), np.empty(width, np.float32)
    for x in range(width):
        middle = (x + 0.5) / cell + 0.5
        column[x] = int(middle)
        right_share[x] = middle - column[x]
    last_row, last_column = gray.shape[0] - 1, gray.shape[1] - 1
    for y in range(height):
        middle = (y + 0.5) / cell + 0.5
        row = int(middle)
        below = np.float32(middle - row)
        above = np.float32(1.0) - below
        up, down = max(y - 1, 0), min(y + 1, last_row)
        for x in range(width):
            dx = np.int64(gray[y, min(x + 1, last_column)]) - np.int64(gray[y, max(x - 1, 0)])
            dy = np.int64(gray[down, x]) - np.int64(gray[up, x])
            if dx == 0 and dy == 0:
                continue
            size = np.float32(math.sqrt(np.float32(dx * dx + dy * dy))) * np.float32(1.0 / 255.0)
            direction, at = directions[dy + 255, dx + 255], column[x]
            right = size * right_share[x]
            left = size - right
            histograms[row, at, direction] += above * left
            histograms[row, at + 1, direction] += above * right
            histograms[row + 1, at, direction] += below * left
            histograms[row + 1, at + 1, direction] += below * right
    return histograms


@compiled
def _normalized(histograms: NDArray[np.float32]) -> NDArray[np.float32]:
    """The features of cells from their histograms, which have a margin of one cell."""
    rows, columns = histograms.shape[0] - 2, histograms.shape[1] - 2
    energy = np.zeros((rows + 2, columns + 2), np.float32)
    for row in range(1, rows + 1):
        for column in range(1, columns + 1):
            for d in range(9):
                both = histograms[row, column, d] + histograms[row, column, d + 9]
                energy[row, column] += both * both
    # Beyond the border lies what lies on it.
    for column in range(1, columns + 1):
        energy[0, column], energy[rows + 1, column] = energy[1, column], energy[rows, column]
    for row in range(rows + 2):
        energy[row, 0], energy[row, columns + 1] = energy[row, 1], energy[row, columns]
    scale = np.empty((rows + 1, columns + 1), np.float32)
    for row in range(rows + 1):
        for column in range(columns + 1):
            block = (
                energy[row, column] + energy[row, column + 1] + energy[row + 1, column] + energy[row + 1, column + 1]
            )
            scale[row, column] = 1.0 / math.sqrt(block + _EPSILON)
    features = np.empty((rows, columns, 31), np.float32)
    limit, half = np.float32(_LARGEST), np.float32(0.5)
    for row in range(rows):
        for column in range(columns):
            a, b = scale[row, column], scale[row, column + 1]
            c, d = scale[row + 1, column], scale[row + 1, column + 1]
            ta, tb, tc, td = np.float32(0.0), np.float32(0.0), np.float32(0.0), np.float32(0.0)
            for k in range(18):
                h = histograms[row + 1, column + 1, k]
                ha, hb, hc, hd = min(a * h, limit), min(b * h, limit), min(c * h, limit), min(d * h, limit)
                features[row, column, k] = half * (ha + hb + hc + hd)
                ta += ha
                tb += hb
                tc += hc
                td += hd
            for k in range(9):
                h = histograms[row + 1, column + 1, k] + histograms[row + 1, column + 1, k + 9]
                total = min(a * h, limit) + min(b * h, limit) + min(c * h, limit) + min(d * h, limit)
                features[row, column, 18 + k] = half * total
            weight = np.float32(_TEXTURE)
            features[row, column, 27], features[row, column, 28] = weight * ta, weight * tb
            features[row, column, 29], features[row, column, 30] = weight * tc, weight * td
    return features

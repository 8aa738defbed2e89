"""Finds faces by how their edges run: linear classifiers of `hog` features, slid over an image at every size.

Dalal & Triggs, CVPR 2005, with a classifier for each of several views, as dlib's detector has. Four are learnt, of
faces that look ahead, upright or with the head laid aside, half to the side, and wholly; their mirror images stand for
the other side.
`lab/face_detector/train.py` makes their file.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.core.values import Box
from face3dmm_ros.landmarks.hog import CELL, CHANNELS, hog_features, mirrored
from face3dmm_ros.landmarks.region import Region
from face3dmm_ros.landmarks.table_file import read_table

WINDOW = 10
"""Cells of a classifier's window, across and down; chosen by hand: as many as dlib's."""
WINDOW_IN_SQUARES = 1.15
"""The window's side, in sides of the face's `square_of`; chosen by hand: hair, chin and ears lie within."""
_SCALE_STEP = 5.0 / 6.0
"""Of one size of the image to the next, as in dlib's."""
_LONGER_SIDE = 640
"""px of the image that is searched, where faces of 53 px, brows to chin, and more are found; chosen by hand: the time
grows with the area."""
_MARGIN = 2
"""Cells beyond the image's border in which a window may still begin: without edges."""
_OVERLAP = 0.3
"""Intersection over union of two squares from which they are one face; chosen by hand."""
_MOST_FACES = 100
"""In an image; chosen by hand."""
_CROP_CELLS = WINDOW + 4
"""Of the picture in which `HogDetector.best` looks: the face may lie two cells off its middle."""


@dataclass(frozen=True)
class HogFace:
    """A face that was found.

    Attributes:
        box: its `square_of`, px.
        score: how likely it is one, in [0, 1].
        yaw: that of the faces that its classifier has learnt from, in the mean, degrees; see `core.rotations`.
        roll: likewise; see `HogViews`.
    """

    box: Box
    score: float
    yaw: float
    roll: float


@dataclass(frozen=True, eq=False)
class HogViews:
    """The classifiers of V views, mirror images included.

    Attributes:
        basis: (`CHANNELS`, K) float32, what of a cell's features they look at: the principal components.
        filters: (V, `WINDOW`, `WINDOW`, K) float32 weights.
        bias: (V,) added to a window's weighted sum, which is positive for faces.
        odds: (V, 2) factor and offset from that sum to a face's log odds.
        yaw: (V,) degrees, of the faces that were learnt from, in the mean.
        roll: (V,) degrees; positive turns a face's x axis toward the image's y axis.
    """

    basis: NDArray[np.float32]
    filters: NDArray[np.float32]
    bias: NDArray[np.float32]
    odds: NDArray[np.float32]
    yaw: NDArray[np.float32]
    roll: NDArray[np.float32]

    @staticmethod
    def load(path: Path) -> "HogViews":
        """Read a .npz of the views that are learnt, and add the mirror images of those that look aside.

        Raises:
            Face3DMMError: the file is missing or no such file.
        """
        shapes = {
            "basis": (CHANNELS, "K"), "filters": ("V", WINDOW, WINDOW, "K"), "bias": ("V",), "odds": ("V", 2),
            "yaw": ("V",), "roll": ("V",),
        }  # fmt: skip
        return HogViews(**read_table(path, shapes, "a face detector's classifiers")).with_mirror_images()

    def with_mirror_images(self) -> "HogViews":
        """These views and those of the other side; a view that looks ahead is its own mirror image."""
        aside = np.flatnonzero((self.yaw != 0.0) | (self.roll != 0.0))
        # The components are even or odd under mirroring, up to rounding: the basis comes from pictures and their
        # mirror images alike.
        turned = mirrored(self.basis.T[:, None, :])[:, 0].T
        parity = np.sign((turned * self.basis).sum(axis=0))
        return HogViews(
            self.basis,
            np.concatenate([self.filters, self.filters[aside, :, ::-1] * parity]),
            np.concatenate([self.bias, self.bias[aside]]),
            np.concatenate([self.odds, self.odds[aside]]),
            np.concatenate([self.yaw, -self.yaw[aside]]),
            np.concatenate([self.roll, -self.roll[aside]]),
        )

    def scores(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Each view's sum over each window, (V, R − 9, C − 9), of components (R, C, K) of cells."""
        rows, columns, components = features.shape
        views, across = len(self.bias), columns - WINDOW + 1
        # A row of a window is contiguous: all rows of all filters are one matrix product, then summed down.
        row_windows = as_strided(
            features, (rows, across, WINDOW * components), (*features.strides[:2], features.itemsize), writeable=False
        )
        weights = self.filters.transpose(2, 3, 1, 0).reshape(WINDOW * components, WINDOW * views)
        by_row = (row_windows.reshape(rows * across, -1) @ weights).reshape(rows, across, WINDOW, views)
        down = rows - WINDOW + 1
        total = np.tile(self.bias, (down, across, 1))
        for row in range(WINDOW):
            total += by_row[row : row + down, :, row]
        return total.transpose(2, 0, 1)

    def components(self, gray: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(R, C, K) of a grey picture's cells."""
        return hog_features(gray) @ self.basis


class HogDetector:
    """A face detector without a network. Holds no state; several threads may use it at once."""

    def __init__(self, views: HogViews | None = None) -> None:
        """With the classifiers given, or else those that ship.

        Raises:
            Face3DMMError: the shipped file is missing or damaged.
        """
        self.views = views or HogViews.load(package_file("resource/landmark_models/hog.npz"))

    def detect(self, image: NDArray[np.uint8], least: float = 0.5) -> list[HogFace]:
        """All faces in a (H, W, 3) BGR image, the surest first, of a score of `least` and more."""
        return [
            HogFace(_box(square), _probability(odds), float(self.views.yaw[view]), float(self.views.roll[view]))
            for odds, view, square in self.squares(image, _log_odds(least))
        ]

    def squares(self, image: NDArray[np.uint8], least: float) -> list[tuple[float, int, Region]]:
        """As `detect` from log odds of `least` on: the log odds, the view and the face's square."""
        found = [np.zeros((0, 5))]
        for odds, scale in self.sizes(image):
            view, row, column = np.nonzero(odds >= least)
            x, y = (CELL * (at - _MARGIN + WINDOW / 2) * px - 0.5 for at, px in zip((column, row), scale, strict=True))
            side = np.full(len(x), CELL * WINDOW / WINDOW_IN_SQUARES * scale.mean())
            found.append(np.column_stack([odds[view, row, column], view, x, y, side]))
        return [
            (float(odds), int(view), Region(float(x), float(y), float(side)))
            for odds, view, x, y, side in _without_repetitions(np.concatenate(found))
        ]

    def sizes(self, image: NDArray[np.uint8]) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float64]]]:
        """Log odds (V, …, …) of the windows at each size of a (H, W, 3) BGR image, and its px per px of that size."""
        gray = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
        height, width = gray.shape
        size = _LONGER_SIDE / max(height, width)
        while True:
            columns, rows = round(size * width), round(size * height)
            if min(columns, rows) < CELL * (WINDOW - 2 * _MARGIN):
                return
            # Each size is made of the last one.
            interpolation = cv2.INTER_AREA if max(columns, rows) < max(gray.shape) / 2 else cv2.INTER_LINEAR
            gray = np.asarray(cv2.resize(gray, (columns, rows), interpolation=interpolation), np.uint8)
            cells = np.pad(self.views.components(gray), ((_MARGIN, _MARGIN), (_MARGIN, _MARGIN), (0, 0)))
            yield self._odds(cells), np.array([width / columns, height / rows])
            size *= _SCALE_STEP

    def best(self, image: NDArray[np.uint8], square: Region) -> NDArray[np.float32]:
        """Log odds of each view, (V,), of the surest window about a square, turned by a face's roll.

        Raises:
            Face3DMMError: the square does not touch the image.
        """
        wide = replace(square, size=square.size * WINDOW_IN_SQUARES * _CROP_CELLS / WINDOW)
        gray = np.asarray(cv2.cvtColor(wide.crop(image, CELL * _CROP_CELLS), cv2.COLOR_BGR2GRAY), np.uint8)
        return self._odds(self.views.components(gray)).max(axis=(1, 2))

    def _odds(self, cells: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log odds of a face in each window of cells' components, (V, …, …)."""
        factor, offset = self.views.odds.T[:, :, None, None]
        return np.asarray(factor * self.views.scores(cells) + offset, np.float32)


def _without_repetitions(found: NDArray[np.float64]) -> NDArray[np.float64]:
    """Non-maximum suppression: of overlapping squares, rows (score, view, x, y, side), the surest; it comes first."""
    left, kept = found[np.argsort(-found[:, 0], kind="stable")], list[NDArray[np.float64]]()
    while len(left) and len(kept) < _MOST_FACES:
        best = left[0]
        kept.append(best)
        across, down = (
            np.minimum((left[:, 4] + best[4]) / 2.0 - np.abs(left[:, at] - best[at]), np.minimum(left[:, 4], best[4]))
            for at in (2, 3)
        )
        shared = np.maximum(across, 0.0) * np.maximum(down, 0.0)
        left = left[shared < _OVERLAP * (left[:, 4] ** 2 + best[4] ** 2 - shared)]
    return np.array(kept).reshape(-1, 5)


def square_of(points: NDArray[np.floating], angle: float = 0.0) -> Region:
    """The square that stands for a face: as large as the box around its 68 points (68, 2), px, and in its middle."""
    x, y = np.array([math.cos(angle), math.sin(angle)]), np.array([-math.sin(angle), math.cos(angle)])
    on_axes = points @ np.column_stack([x, y])
    low, high = on_axes.min(axis=0), on_axes.max(axis=0)
    middle = (low + high) / 2.0
    center = middle[0] * x + middle[1] * y
    return Region(float(center[0]), float(center[1]), float(math.sqrt(np.prod(high - low))), angle)


def _box(square: Region) -> Box:
    return Box(square.x - square.size / 2.0, square.y - square.size / 2.0, square.size, square.size)


def _probability(odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(odds, -500.0)))


def _log_odds(probability: float) -> float:
    return math.log(max(probability, 1e-300) / max(1.0 - probability, 1e-300))

"""Whether what trees have found points in is a face: they find points in anything.

On a face the starts end together, in about the square that was looked at, and once that is upright and in its place, a
classifier of `hog` features for faces that are turned so tells better than the detector's could. The idea is that of
Chen, Ren, Wei, Cao and Sun, Joint Cascade Face Detection and Alignment, ECCV 2014.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.landmarks.hog import CELL, CHANNELS, hog_features
from face3dmm_ros.landmarks.hog_detector import WINDOW, HogDetector
from face3dmm_ros.landmarks.region import Region
from face3dmm_ros.landmarks.table_file import read_table
from face3dmm_ros.landmarks.tree_finder import FoundShape

SIGNS = ("aligned", "odds", "spread", "growth", "shift", "side")
"""What is looked at; see `TreeCheck.signs`."""
_WINDOW_IN_SQUARES = 1.4
"""The window's side, in sides of the face's square; chosen by hand: the outline of cheeks and brow lies within."""


@dataclass(frozen=True, eq=False)
class TreeCheck:
    """p = 1 / (1 + exp(−(w·φ + b))) of the `signs` φ.

    Attributes:
        basis: (`CHANNELS`, K) float32, what of a cell's features is looked at.
        filters: (V, `WINDOW`, `WINDOW`, K) float32, of each view's classifier, for faces that look to the right of the
            image.
        bias: (V,) float32, theirs.
        yaw: (V,) degrees, what each view stands for.
        weights: w, (6,) float32.
        offset: b, (1,).
    """

    basis: NDArray[np.float32]
    filters: NDArray[np.float32]
    bias: NDArray[np.float32]
    yaw: NDArray[np.float32]
    weights: NDArray[np.float32]
    offset: NDArray[np.float32]

    @staticmethod
    def load(path: Path) -> "TreeCheck":
        """Read a .npz.

        Raises:
            Face3DMMError: the file is missing or no such check.
        """
        shapes = {
            "basis": (CHANNELS, "K"), "filters": ("V", WINDOW, WINDOW, "K"), "bias": ("V",), "yaw": ("V",),
            "weights": (len(SIGNS),), "offset": (1,),
        }  # fmt: skip
        return TreeCheck(**read_table(path, shapes, "a check of faces"))

    def confidence(self, signs: NDArray[np.float32]) -> float:
        """That there is a face, in [0, 1]."""
        return 1.0 / (1.0 + math.exp(-max(float(self.weights @ signs + self.offset[0]), -500.0)))

    def signs(
        self, detector: HogDetector, image: NDArray[np.uint8], before: Region, found: FoundShape
    ) -> NDArray[np.float32]:
        """What tells a face from something else, (6,) float32.

        What the classifier says of the square that was found; the log odds of the detector's surest window about it;
        the logarithm of how far the starts' points lie apart, in squares; how much that square differs from the one
        that was looked at, as a factor's absolute logarithm and as a shift, in squares; and how far it is turned to the
        side, in right angles.

        Args:
            detector: whose windows are asked.
            image: (H, W, 3) BGR.
            before: the square that was looked at.
            found: in it.

        Raises:
            Face3DMMError: the square that was found does not touch the image.
        """
        square, aligned = found.square, self.aligned(image, found)
        odds = float(detector.best(image, square).max())
        spread = math.log(max(float(found.spread.mean()) / square.size, 1e-6))
        growth = abs(math.log(square.size / before.size))
        shift = math.hypot(square.x - before.x, square.y - before.y) / before.size
        return np.array([aligned, odds, spread, growth, shift, min(abs(found.yaw) / 90.0, 1.5)], np.float32)

    def aligned(self, image: NDArray[np.uint8], found: FoundShape) -> float:
        """What the classifier for faces that are turned so says of a square: positive for faces.

        Raises:
            Face3DMMError: it does not touch the image.
        """
        view = int(np.abs(self.yaw - abs(found.yaw)).argmin())
        cells = aligned_window(image, found) @ self.basis
        return float(np.vdot(cells, self.filters[view])) + float(self.bias[view])


def aligned_window(image: NDArray[np.uint8], found: FoundShape) -> NDArray[np.float32]:
    """The features of a face's square, upright and turned to the right of the image, (`WINDOW`, `WINDOW`, 31).

    Raises:
        Face3DMMError: the square does not touch the image.
    """
    # A cell more on each side is cut off again: features depend on their neighbours.
    wide = replace(found.square, size=found.square.size * _WINDOW_IN_SQUARES * (WINDOW + 2) / WINDOW)
    gray = np.asarray(cv2.cvtColor(wide.crop(image, CELL * (WINDOW + 2)), cv2.COLOR_BGR2GRAY), np.uint8)
    return hog_features(np.ascontiguousarray(gray[:, ::-1] if found.yaw < 0.0 else gray))[1:-1, 1:-1]

"""Whether what trees have found points in is a face: they find points in anything.

On a face the starts end together, the detector's classifiers see one in the square that the points frame, and that is
about the square that was looked at. The idea is that of Chen, Ren, Wei, Cao and Sun, Joint Cascade Face Detection and
Alignment, ECCV 2014: pictures compare better once they are aligned.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.landmarks.hog_detector import HogDetector
from face3dmm_ros.landmarks.region import Region
from face3dmm_ros.landmarks.table_file import read_table
from face3dmm_ros.landmarks.tree_finder import FoundShape

SIGNS = ("odds", "spread", "growth", "shift", "side")
"""What is looked at; see `signs`."""


@dataclass(frozen=True, eq=False)
class TreeCheck:
    """p = 1 / (1 + exp(−(w·φ + b))) of the `signs` φ.

    Attributes:
        weights: w, (5,) float32.
        bias: b.
    """

    weights: NDArray[np.float32]
    bias: float

    @staticmethod
    def load(path: Path) -> "TreeCheck":
        """Read a .npz.

        Raises:
            Face3DMMError: the file is missing or no such check.
        """
        weights, bias = read_table(path, {"weights": (len(SIGNS),), "bias": ()}, "a check of faces").values()
        return TreeCheck(weights, float(bias))

    def confidence(self, signs: NDArray[np.float32]) -> float:
        """That there is a face, in [0, 1]."""
        return 1.0 / (1.0 + math.exp(-max(float(self.weights @ signs) + self.bias, -500.0)))


def signs(detector: HogDetector, image: NDArray[np.uint8], before: Region, found: FoundShape) -> NDArray[np.float32]:
    """What tells a face from something else, (5,) float32.

    The log odds of the surest window about the square that was found; the logarithm of how far the starts' points lie
    apart, in squares; how much that square differs from the one that was looked at, as a factor's absolute logarithm
    and as a shift, in squares; and how far it is turned to the side, in right angles.

    Args:
        detector: whose windows are asked.
        image: (H, W, 3) BGR.
        before: the square that was looked at.
        found: in it.

    Raises:
        Face3DMMError: the square that was found does not touch the image.
    """
    square = found.square
    odds = float(detector.best(image, square).max())
    spread = math.log(max(float(found.spread.mean()) / square.size, 1e-6))
    shift = math.hypot(square.x - before.x, square.y - before.y) / before.size
    growth = abs(math.log(square.size / before.size))
    return np.array([odds, spread, growth, shift, min(abs(found.yaw) / 90.0, 1.5)], np.float32)

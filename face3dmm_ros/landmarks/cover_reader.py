"""Which points of a face are covered: by a hand, a mask, sunglasses, hair.

The networks locate a covered mouth by guessing, and their deviations hardly show it. But the dense network's inner
features around a place tell skin from cloth: a logistic regression on them, the same in every place, fitted by
`lab/landmark_networks/fit_cover_reader.py` to photographs and renderings that have things drawn over the face.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.compiled import compiled
from face3dmm_ros.landmarks.dense_network import FEATURES, SIDE
from face3dmm_ros.landmarks.table_file import read_table

_STEP = SIDE / FEATURES[0]
"""px of the network's crop to a place of its features."""


@dataclass(frozen=True, eq=False)
class CoverReader:
    """p = 1 / (1 + exp(−(w·φ + b))) of the features φ of a place and its eight neighbours.

    Attributes:
        weights: w, (3, 3, C) float32, of neighbours' rows, columns and the channels of `dense_network.FEATURES`.
        bias: b.
    """

    weights: NDArray[np.float32]
    bias: float

    @staticmethod
    def load(path: Path) -> "CoverReader":
        """Read a .npz.

        Raises:
            Face3DMMError: the file is missing or no such reading.
        """
        shapes = {"weights": (3, 3, FEATURES[2]), "bias": ()}
        weights, bias = read_table(path, shapes, "a reading of what is covered").values()
        return CoverReader(weights, float(bias))

    def read(self, features: NDArray[np.float32], on_crop: NDArray[np.float32]) -> NDArray[np.float32]:
        """How likely each of P points is covered, (P,), by features (F,) and where they lie in the crop, (P, 2) px."""
        rows, columns, channels = FEATURES
        # A neighbour's part is worked out in the neighbour's place, which moves nine numbers instead of all features.
        parts = features.reshape(rows, columns, channels) @ self.weights.reshape(9, channels).T
        return _likely(parts, self.bias, on_crop, _STEP)


@compiled
def _likely(parts: NDArray[np.float32], bias: float, on_crop: NDArray[np.float32], step: float) -> NDArray[np.float32]:
    """How likely points in the crop are covered, by what each place (rows, columns, 9) tells of its nine neighbours.

    A place is as wide as `step` px of the crop. Beyond the border lies what lies on it; between places what they tell
    is interpolated.
    """
    last = len(parts) - 1
    evidence = np.full((last + 1, last + 1), bias)
    for row in range(last + 1):
        for column in range(last + 1):
            for neighbour in range(9):
                beside = min(max(row + neighbour // 3 - 1, 0), last), min(max(column + neighbour % 3 - 1, 0), last)
                evidence[row, column] += parts[beside[0], beside[1], neighbour]
    likely = np.empty(len(on_crop), np.float32)
    for point in range(len(on_crop)):
        x = min(max((on_crop[point, 0] + 0.5) / step - 0.5, 0.0), float(last))
        y = min(max((on_crop[point, 1] + 0.5) / step - 0.5, 0.0), float(last))
        left, above = min(int(x), last - 1), min(int(y), last - 1)
        x, y = x - left, y - above
        upper = (1.0 - x) * evidence[above, left] + x * evidence[above, left + 1]
        lower = (1.0 - x) * evidence[above + 1, left] + x * evidence[above + 1, left + 1]
        likely[point] = 1.0 / (1.0 + math.exp(-((1.0 - y) * upper + y * lower)))
    return likely

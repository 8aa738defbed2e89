"""Which points of a face are covered: by a hand, a mask, sunglasses, hair.

The networks locate a covered mouth by guessing, and their deviations hardly show it. But the dense network's inner
features around a place tell skin from cloth: a logistic regression on them, the same in every place, fitted by
`lab/landmark_networks/fit_cover_reader.py` to photographs and renderings that have things drawn over the face.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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
        evidence = np.full((rows, columns), self.bias, np.float32)
        for neighbour, shifted in enumerate(neighbours(parts)):
            evidence += shifted[..., neighbour]
        column, row = np.clip((on_crop.T + np.float32(0.5)) / np.float32(_STEP) - np.float32(0.5), 0, FEATURES[0] - 1)
        left, above = (np.minimum(place.astype(np.intp), FEATURES[0] - 2) for place in (column, row))
        x, y = column - left, row - above
        upper, lower = ((1 - x) * evidence[line, left] + x * evidence[line, left + 1] for line in (above, above + 1))
        return 1.0 / (1.0 + np.exp(-((1 - y) * upper + y * lower)))


def neighbours(features: NDArray[np.floating]) -> list[NDArray[np.floating]]:
    """What (rows, columns, C) features have beside each place: nine of them, shifted, in the order of the weights.

    Beyond the border lies what lies on it.
    """
    rows, columns = features.shape[:2]
    padded = np.pad(features, ((1, 1), (1, 1), (0, 0)), mode="edge")
    return [padded[row : row + rows, column : column + columns] for row, column in np.ndindex(3, 3)]

"""Expressions from the dense network's features rather than from its points.

The network puts points where they are on average over all people who may look like that, so that they follow an
expression only in part. But the change of its features from one person's rest to his expression tells blendshapes
apart: a linear regression on them, fitted by `lab/landmark_networks/fit_expression_reader.py` to pairs of rendered
    pictures.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.landmarks.table_file import read_table


@dataclass(frozen=True, eq=False)
class ExpressionReader:
    """β = W·φ + b, unbiased for changes of an expression, each with its standard deviation over people and views.

    Attributes:
        weights: W, (E, F) float32; E are the blendshapes of `core.arkit.WITHOUT_TONGUE`.
        bias: b, (E,) float32.
        deviation: (E,) float32.
    """

    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    deviation: NDArray[np.float32]

    @staticmethod
    def load(path: Path) -> "ExpressionReader":
        """Read a .npz.

        Raises:
            Face3DMMError: the file is missing or no such reading.
        """
        shapes = {"weights": ("E", "F"), "bias": ("E",), "deviation": ("E",)}
        reader = ExpressionReader(**read_table(path, shapes, "a reading of expressions"))
        if not (reader.deviation > 0).all():
            raise Face3DMMError(f"{path} is not a reading of expressions: a standard deviation is not above 0")
        return reader

    def read(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """(E,) of (F,) features; what is at rest for one is not for another, so that it may be below 0."""
        return self.weights @ features + self.bias

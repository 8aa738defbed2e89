"""Curves through points."""

import numpy as np
from numpy.typing import NDArray


def interpolated(
    at: NDArray[np.float64], positions: NDArray[np.floating], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Rows (m, C) at m places, linearly between the rows of values (n, C) at n ascending positions."""
    return np.column_stack([np.interp(at, positions, column) for column in values.T])

"""GLSL's smoothstep in numpy."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def smoothstep(low: ArrayLike, high: ArrayLike, value: NDArray[np.floating]) -> NDArray[np.floating]:
    """From 0 where the value is `low` to 1 where it is `high`, and flat there: t²(3 − 2t) of t clipped to [0, 1]."""
    t = np.clip((value - np.asarray(low)) / (np.asarray(high) - np.asarray(low)), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t))

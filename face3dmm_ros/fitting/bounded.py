"""Least squares with bounds: the minimum of a convex quadratic in a box."""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from face3dmm_ros.core.errors import Face3DMMError


def solve_symmetric(H: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """x of H·x = b for a symmetric positive definite H (Cholesky).

    Raises:
        Face3DMMError: H is not positive definite or not finite.
    """
    if len(H) == 0:
        return b
    # LAPACK directly: scipy's checked wrappers cost more than the factorisation of a 57×57 matrix.
    _, x, info = lapack.dposv(H, b)
    if info != 0 or not np.isfinite(x).all():
        raise Face3DMMError("the normal equations are singular: the landmarks do not determine the face")
    return x


_MOST_PIVOTS = 100
"""Chosen by hand: a limit in case that rounding lets the pivots cycle."""


def minimize_in_box(
    H: NDArray[np.float64],
    g: NDArray[np.float64],
    lower: NDArray[np.float64],
    upper: NDArray[np.float64],
) -> NDArray[np.float64]:
    """argmin ½vᵀHv + gᵀv subject to lower ≤ v ≤ upper, (n,); bounds may be infinite.

    Block principal pivoting for boxes (Júdice & Pires, 1994): all variables on the wrong side change sets at once while
    that lowers their number, one at a time otherwise, which cannot cycle. A start v = 0 decides the first sets: a
    variable that stands on a bound begins there.

    Raises:
        Face3DMMError: H is not positive definite.
    """
    at_lower = lower >= 0.0
    at_upper = (upper <= 0.0) & ~at_lower
    fewest, patience = len(g) + 1, 3
    scale = 1e-10 * (1.0 + np.abs(g))
    for _ in range(_MOST_PIVOTS):
        free = np.flatnonzero(~(at_lower | at_upper))
        v = np.where(at_lower, lower, np.where(at_upper, upper, 0.0))
        v[free] = solve_symmetric(H[free[:, None], free], -(g + H @ v)[free])
        gradient = g + H @ v
        too_low, too_high = v < lower, v > upper
        release = (at_lower & (gradient < -scale)) | (at_upper & (gradient > scale))
        wrong = too_low | too_high | release
        count = int(wrong.sum())
        if count == 0:
            return v
        if count < fewest:
            fewest, patience = count, 3
        elif patience > 0:
            patience -= 1
        else:
            last = np.flatnonzero(wrong)[-1]
            wrong = np.zeros_like(wrong)
            wrong[last] = True
        at_lower = (at_lower & ~(wrong & release)) | (wrong & too_low)
        at_upper = (at_upper & ~(wrong & release)) | (wrong & too_high)
    return np.clip(v, lower, upper)

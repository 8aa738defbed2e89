"""Least squares with bounds: the minimum of a convex quadratic in a box."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from face3dmm_ros.core.compiled import compiled
from face3dmm_ros.core.errors import Face3DMMError

SINGULAR = "the normal equations are singular: the landmarks do not determine the face"
"""The complaint about a matrix that is not positive definite or not finite."""

_MOST_PIVOTS = 100
"""Chosen by hand: a limit in case that rounding lets the pivots cycle."""


def solve_symmetric(H: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """x of H·x = b for a symmetric positive definite H (Cholesky).

    Raises:
        Face3DMMError: H is not positive definite or not finite.
    """
    if len(H) == 0:
        return b
    # LAPACK directly: scipy's checked wrappers cost more than the factorisation of a 57×57 matrix. It wants columns,
    # and H is symmetric.
    _, x, info = lapack.dposv(H.T, b)
    if info != 0 or not np.isfinite(x).all():
        raise Face3DMMError(SINGULAR)
    return x


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
    try:
        return _pivoted(*(np.ascontiguousarray(array, np.float64) for array in (H, g, lower, upper)))
    except np.linalg.LinAlgError as error:
        raise Face3DMMError(SINGULAR) from error


@compiled
def _pivoted(
    H: NDArray[np.float64], g: NDArray[np.float64], lower: NDArray[np.float64], upper: NDArray[np.float64]
) -> NDArray[np.float64]:
    """See `minimize_in_box`; raises LinAlgError."""
    n = len(g)
    v = np.empty(n)
    # Of each variable: −1 on the lower bound, 1 on the upper one, 0 free; and where it should be.
    side, belongs = np.zeros(n, np.int8), np.zeros(n, np.int8)
    for i in range(n):
        side[i] = -1 if lower[i] >= 0.0 else 1 if upper[i] <= 0.0 else 0
    fewest, patience = n + 1, 3
    for _ in range(_MOST_PIVOTS):
        for i in range(n):
            v[i] = lower[i] if side[i] < 0 else upper[i] if side[i] > 0 else 0.0
        _solve_free(H, g, side, v)
        wrong, last = 0, 0
        for i in range(n):
            belongs[i] = side[i]
            if side[i] == 0:
                belongs[i] = -1 if v[i] < lower[i] else 1 if v[i] > upper[i] else 0
            else:
                slope = g[i]
                for j in range(n):
                    slope += H[i, j] * v[j]
                # On a bound the energy must not fall inward.
                if side[i] * slope > 1e-10 * (1.0 + abs(g[i])):
                    belongs[i] = 0
            if belongs[i] != side[i]:
                wrong, last = wrong + 1, i
        if wrong == 0:
            return v
        if wrong < fewest:
            fewest, patience = wrong, 3
        elif patience > 0:
            patience -= 1
        else:
            side[last] = belongs[last]
            continue
        for i in range(n):
            side[i] = belongs[i]
    for i in range(n):
        v[i] = min(max(v[i], lower[i]), upper[i])
    return v


@compiled
def _solve_free(H: NDArray[np.float64], g: NDArray[np.float64], side: NDArray[np.int8], v: NDArray[np.float64]) -> None:
    """Set the free ones of v (n,), those whose side is 0, to the minimum with the others held.

    Raises:
        LinAlgError: that does not exist.
    """
    n = len(g)
    free = np.empty(n, np.intp)
    m = 0
    for i in range(n):
        if side[i] == 0:
            free[m] = i
            m += 1
    A, x = np.empty((m, m)), np.empty(m)
    for k in range(m):
        x[k] = -g[free[k]]
        for j in range(n):
            if side[j] != 0:
                x[k] -= H[free[k], j] * v[j]
        for j in range(m):
            A[k, j] = H[free[k], free[j]]
    L = np.linalg.cholesky(A)
    for k in range(m):
        for j in range(k):
            x[k] -= L[k, j] * x[j]
        x[k] /= L[k, k]
    for k in range(m - 1, -1, -1):
        x[k] /= L[k, k]
        for j in range(k):
            x[j] -= L[k, j] * x[k]
        v[free[k]] = x[k]
        if not math.isfinite(x[k]):
            raise np.linalg.LinAlgError("the solution is not finite")

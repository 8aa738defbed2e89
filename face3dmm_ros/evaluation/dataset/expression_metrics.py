"""Distances of eyes, brows and mouth between iBUG's 68 points, and how well a fit's follow the true ones."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

EXPRESSION_DISTANCES = ("eyes", "wink", "lips", "mouth_width", "brows")
"""How far the eyes are open; left minus right eye (the person's own); between the lips; the mouth's width; the brows
above the eyes."""
FEWEST_FACES = 3
"""Through two faces any line fits."""
# Indices in iBUG's 68 points; right and left are the person's own.
_RIGHT_LIDS, _LEFT_LIDS = ((37, 41), (38, 40)), ((43, 47), (44, 46))
_LIPS, _MOUTH = (62, 66), (48, 54)
_RIGHT_BROW, _LEFT_BROW = slice(17, 22), slice(22, 27)
_RIGHT_EYE, _LEFT_EYE = slice(36, 42), slice(42, 48)


@dataclass(frozen=True)
class Agreement:
    """How one measure follows another: the slope of the least-squares line, and the correlation; NaN where unknown."""

    slope: float
    correlation: float


def expression_distances(points: ArrayLike, size: float) -> NDArray[np.float64]:
    """`EXPRESSION_DISTANCES` (5,) of points (68, 2), px, over the face's size, px."""
    p = np.asarray(points, dtype=np.float64)

    def between(*pairs: tuple[int, int]) -> float:
        return float(np.mean([np.linalg.norm(p[a] - p[b]) for a, b in pairs]))

    def brow(brow: slice, eye: slice) -> float:
        return float(np.linalg.norm(p[brow].mean(axis=0) - p[eye].mean(axis=0)))

    right, left = between(*_RIGHT_LIDS), between(*_LEFT_LIDS)
    brows = (brow(_RIGHT_BROW, _RIGHT_EYE) + brow(_LEFT_BROW, _LEFT_EYE)) / 2.0
    return np.array([(left + right) / 2.0, left - right, between(_LIPS), between(_MOUTH), brows]) / size


def agreement(ours: NDArray[np.float64], truth: NDArray[np.float64]) -> Agreement:
    """How (N,) fitted values follow (N,) true ones; NaN for fewer than `FEWEST_FACES`, or where one does not vary."""
    if len(truth) < FEWEST_FACES or not np.ptp(truth) > 0.0:
        return Agreement(float("nan"), float("nan"))
    (xx, xy), (_, yy) = np.cov(truth, ours)
    return Agreement(float(xy / xx), float(xy / np.sqrt(xx * yy)) if np.ptp(ours) > 0.0 else float("nan"))

"""Calibration of confidences: of the fits with a confidence of 0.8, 80 % should be right."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 10
"""Chosen by hand: more would resolve the curve better, and leave fewer faces in each."""


@dataclass(frozen=True, eq=False)
class Reliability:
    """Fits by their confidence, in `BINS` bins of equal width.

    Attributes:
        said: (BINS,) mean confidence; NaN where there is no fit.
        true: (BINS,) share that is right; NaN where there is no fit.
        count: (BINS,) fits.
    """

    said: NDArray[np.float64]
    true: NDArray[np.float64]
    count: NDArray[np.int64]

    @property
    def error(self) -> float:
        """Expected calibration error: mean of |said − true| over the fits; NaN without any."""
        if not self.count.any():
            return float("nan")
        return float(np.nansum(self.count * np.abs(self.said - self.true)) / self.count.sum())


def reliability(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> Reliability:
    """Bin fits by their confidence in [0, 1], (N,), given which are right, (N,); NaN confidences are left out."""
    known = np.isfinite(confidence)
    confidence, right = confidence[known], right[known]
    place = np.minimum((confidence * BINS).astype(np.intp), BINS - 1)
    count, said, true = (np.bincount(place, weights, BINS) for weights in (None, confidence, right))
    with np.errstate(invalid="ignore"):
        return Reliability(said / count, true / count, count)

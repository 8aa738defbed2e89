"""One identity from several fits of a person, by Tran et al., CVPR 2017, section 3.1."""

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.values import FaceParameters


class IdentityPool:
    """The mean of α and γ over fits of one person, weighed by the confidence in each: Σ cᵢ(αᵢ, γᵢ) / Σ cᵢ.

    Attributes:
        fits: how many have been added.
    """

    def __init__(self) -> None:
        """Without a fit yet."""
        self.fits = 0
        self._weight = 0.0
        self._alpha = self._gamma = np.zeros(())

    def add(self, fit: FaceParameters, confidence: float = 1.0) -> None:
        """Take in a fit of the same model, its γ as long as the others', with a confidence of at least 0."""
        self.fits += 1
        self._weight += confidence
        self._alpha = self._alpha + confidence * fit.alpha
        self._gamma = self._gamma + confidence * fit.gamma

    def mean(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The pooled α (K,) and γ (L,); some confidence must be above 0."""
        return self._alpha / self._weight, self._gamma / self._weight

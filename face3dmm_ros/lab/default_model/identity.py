"""Principal components of the population: the model's identity basis."""

from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class IdentityBasis:
    """S̄, S and σ of a population.

    Attributes:
        mean: (N, 3) float32, mm.
        basis: (3N, K) float32, orthonormal columns.
        sigma: (K,) float32 standard deviation of each coefficient, mm.
        variance_kept: share of the population's variance that the K components hold.
    """

    mean: NDArray[np.float32]
    basis: NDArray[np.float32]
    sigma: NDArray[np.float32]
    variance_kept: float


def principal_components(vertices: NDArray[np.float32], count: int) -> IdentityBasis:
    """PCA of (P, N, 3) faces through their (P, P) Gram matrix, which is smaller than the covariance."""
    people = len(vertices)
    faces = vertices.reshape(people, -1)
    mean = faces.mean(axis=0, dtype=np.float64)
    centered = faces - mean
    gram = centered @ centered.T
    variance, coefficients = scipy.linalg.eigh(gram, subset_by_index=(people - count, people - 1))
    variance, coefficients = variance[::-1], coefficients[:, ::-1]
    basis = centered.T @ (coefficients / np.sqrt(variance))
    # The sign of a principal component is arbitrary: fix it, so that every build agrees.
    strongest = np.abs(basis).argmax(axis=0)
    basis *= np.sign(basis[strongest, np.arange(count)])
    return IdentityBasis(
        mean.reshape(-1, 3).astype(np.float32),
        basis.astype(np.float32),
        np.sqrt(variance / (people - 1)).astype(np.float32),
        float(variance.sum() / np.trace(gram)),
    )

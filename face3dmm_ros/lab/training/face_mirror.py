"""Mirrored faces: the coefficients under which a model shows the mirror image of a face."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from face3dmm_ros.morphable_model import MorphableModel

_FLIP = np.array([-1.0, 1.0, 1.0], np.float32)
_SYMMETRIC = 0.05
"""Greatest share of a basis's variance that may lie outside of its span once mirrored; chosen by hand: less refuses
symmetric models whose mesh is not quite symmetric, more takes asymmetric ones for symmetric."""


@dataclass(frozen=True, eq=False)
class FaceMirror:
    """α and β of mirror images, by least squares over the vertices.

    Attributes:
        shape: (n, n) float64, takes the leading n α to those of the mirror image.
        expression: (m, m) float64, the same of β.
        bounds: (2, m) lowest and highest β.
    """

    shape: NDArray[np.float64]
    expression: NDArray[np.float64]
    bounds: NDArray[np.float32]

    @staticmethod
    def of(model: MorphableModel, shape_count: int, expression_count: int) -> "FaceMirror | None":
        """The mirror of a model's leading coefficients; None for a model whose faces have no mirror images in it."""
        # Each vertex's counterpart is the one that lies where its mirror image does.
        counterpart = cKDTree(model.mean).query(model.mean * _FLIP)[1]
        shape = _mirrored(model.shape_basis[:, :shape_count], model.shape_sigma[:shape_count], counterpart)
        expression = _mirrored(
            model.expression_basis[:, :expression_count], model.expression_sigma[:expression_count], counterpart
        )
        if shape is None or expression is None:
            return None
        return FaceMirror(shape, expression, model.expression_bounds[:, :expression_count])

    def alpha(self, alpha: NDArray[np.floating]) -> NDArray[np.float64]:
        """α (n,) of the mirror image."""
        return self.shape @ alpha

    def beta(self, beta: NDArray[np.floating]) -> NDArray[np.float64]:
        """β (m,) of the mirror image, within its bounds."""
        return np.clip(self.expression @ beta, *self.bounds)


def _mirrored(
    basis: NDArray[np.float32], sigma: NDArray[np.float32], counterpart: NDArray[np.intp]
) -> NDArray[np.float64] | None:
    """M with basis · M nearest to the basis mirrored; None where that is not near."""
    count = basis.shape[1]
    if count == 0:
        return np.zeros((0, 0))
    mirrored = (basis.reshape(-1, 3, count)[counterpart] * _FLIP[:, None]).reshape(-1, count)
    gram = (basis.T @ basis).astype(np.float64)
    cross = (basis.T @ mirrored).astype(np.float64)
    M = np.linalg.lstsq(gram, cross, rcond=1e-10)[0]
    # ‖B M − B'‖² = ‖B'‖² − ⟨Bᵀ B', M⟩ per column, at its least.
    whole = np.square(mirrored, dtype=np.float64).sum(axis=0)
    missed = np.maximum(whole - (cross * M).sum(axis=0), 0.0)
    variance = sigma.astype(np.float64) ** 2
    return M if missed @ variance < _SYMMETRIC * (whole @ variance) else None

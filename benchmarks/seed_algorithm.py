"""The fit of the project's report, restated as it is written there, with its faults, to be measured beside ours.

Float64 throughout, pseudo-inverses and inverses, a rotation whose rows are only normalised, unbounded coefficients.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.morphable_model.model import MorphableModel

ITERATIONS = 3
_EXPRESSION_WEIGHT, _SHAPE_WEIGHT = 2000.0, 4000.0
"""Of the ridge regressions. These and the iterations are the report's."""


@dataclass(frozen=True, eq=False)
class SeedModel:
    """The model in the report's layout: float64, one column a component."""

    mean: NDArray[np.float64]
    shape: NDArray[np.float64]
    shape_sigma: NDArray[np.float64]
    expression: NDArray[np.float64]
    expression_sigma: NDArray[np.float64]
    texture_mean: NDArray[np.float64]
    texture: NDArray[np.float64]
    landmarks: NDArray[np.intp]

    @staticmethod
    def of(model: MorphableModel) -> "SeedModel":
        """Bring a model with 68 landmarks on vertices into the report's layout."""
        return SeedModel(
            model.mean.astype(np.float64).ravel(),
            model.shape_basis.astype(np.float64),
            model.shape_sigma.astype(np.float64),
            model.expression_basis.astype(np.float64),
            model.expression_sigma.astype(np.float64),
            model.albedo_mean.astype(np.float64).ravel(),
            model.albedo_basis.astype(np.float64),
            model.scheme("ibug68").vertices[:, 0].astype(np.intp),
        )


def fit(
    model: SeedModel, observed: NDArray[np.float64]
) -> tuple[WeakPerspective, NDArray[np.float64], NDArray[np.float64]]:
    """Fit pose, expression and identity by turns to (68, 2) landmarks, px; returns the camera, α and β."""
    rows = (3 * model.landmarks[:, None] + np.arange(3)).ravel()
    mean, shape, expression = model.mean[rows], model.shape[rows], model.expression[rows]
    alpha, beta = np.zeros(shape.shape[1]), np.zeros(expression.shape[1])
    for _ in range(ITERATIONS):
        X = (mean + shape @ alpha + expression @ beta).reshape(-1, 3)
        s, R, t = _decompose(_affine(X, observed))
        A = s * R[:2]
        beta = _ridge(expression, mean + shape @ alpha, model.expression_sigma, observed, A, t, _EXPRESSION_WEIGHT)
        alpha = _ridge(shape, mean + expression @ beta, model.shape_sigma, observed, A, t, _SHAPE_WEIGHT)
    return WeakPerspective(s, R, t), alpha, beta


def mesh(
    model: SeedModel, alpha: NDArray[np.float64], beta: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """All vertices, (N, 3), and their mean texture, (N, 3)."""
    vertices = model.mean + model.shape @ alpha + model.expression @ beta
    texture = model.texture_mean + model.texture @ np.zeros(model.texture.shape[1])
    return vertices.reshape(-1, 3), texture.reshape(-1, 3)


def _affine(X: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    n = len(X)
    x_mean, X_mean = x.mean(axis=0), X.mean(axis=0)
    x_scale = np.sqrt(2) / np.linalg.norm(x - x_mean, axis=1).mean()
    X_scale = np.sqrt(3) / np.linalg.norm(X - X_mean, axis=1).mean()
    T, U = np.eye(3), np.eye(4)
    T[[0, 1], [0, 1]], T[:2, 2] = x_scale, -x_mean * x_scale
    U[[0, 1, 2], [0, 1, 2]], U[:3, 3] = X_scale, -X_mean * X_scale
    A = np.zeros((2 * n, 8))
    A[:n, :3] = A[n:, 4:7] = (X - X_mean) * X_scale
    p = np.linalg.pinv(A) @ ((x - x_mean) * x_scale).flatten("F")
    P = np.array([p[:4], p[4:], [0.0, 0.0, 0.0, 1.0]])
    return np.linalg.pinv(T) @ P @ U


def _decompose(P: NDArray[np.float64]) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    n1, n2 = np.linalg.norm(P[0, :3]), np.linalg.norm(P[1, :3])
    r1, r2 = P[0, :3] / n1, P[1, :3] / n2
    return float((n1 + n2) / 2), np.stack([r1, r2, np.cross(r1, r2)]), P[:2, 3]


def _ridge(
    basis: NDArray[np.float64],
    rest: NDArray[np.float64],
    sigma: NDArray[np.float64],
    observed: NDArray[np.float64],
    A: NDArray[np.float64],
    t: NDArray[np.float64],
    weight: float,
) -> NDArray[np.float64]:
    count = basis.shape[1]
    pc = (basis.T.reshape(-1, 3) @ A.T).reshape(count, -1).T
    b = (A @ rest.reshape(-1, 3).T + t[:, None]).T.ravel()
    left = pc.T @ pc + weight * np.diagflat(1.0 / sigma**2)
    return np.linalg.inv(left) @ (pc.T @ (observed.ravel() - b))

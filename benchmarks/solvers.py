"""The fit's own solvers beside SciPy's, on the same problems: a step within bounds, and a whole fit."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import least_squares, lsq_linear

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.rotations import rotation_from_pose_angles, rotation_from_vector
from face3dmm_ros.fitting.bounded import minimize_in_box
from face3dmm_ros.fitting.joint import GaussianPrior, joint_fit
from face3dmm_ros.fitting.linear_points import LandmarkModel
from face3dmm_ros.morphable_model import MorphableModel

_NOISE_PX = 0.7
"""Standard deviation of a landmark's coordinates, px; chosen by hand, as are the pose and the expressions."""


def bounded_steps(model: MorphableModel, seed: int = 0) -> tuple[dict[str, Callable[[], object]], float]:
    """Calls that find a step within bounds, ours and SciPy's two, and by how much the steps differ at most."""
    rng = np.random.default_rng(seed)
    points = LandmarkModel.of(model, "mediapipe478", outline=False).points
    J = points.basis[:2].reshape(-1, points.basis.shape[2])[:, model.shape_count :] / _NOISE_PX
    H = J.T @ J + np.eye(J.shape[1])
    g = -H @ rng.normal(0.2, 0.5, len(H))
    lower, upper = np.zeros(len(H)), np.ones(len(H))
    # ½vᵀHv + gᵀv is ½‖Lᵀv + L⁻¹g‖² and a constant.
    L = cholesky(H, lower=True)
    target = -solve_triangular(L, g, lower=True)
    calls: dict[str, Callable[[], object]] = {
        "ours: block principal pivoting": lambda: minimize_in_box(H, g, lower, upper),
        "SciPy: lsq_linear, bvls": lambda: lsq_linear(L.T, target, (lower, upper), method="bvls").x,
        "SciPy: lsq_linear, trf": lambda: lsq_linear(L.T, target, (lower, upper), method="trf", tol=1e-12).x,
    }
    found = [np.asarray(call(), np.float64) for call in calls.values()]
    return calls, max(float(np.abs(found[0] - other).max()) for other in found[1:])


def whole_fits(model: MorphableModel, seed: int = 0) -> tuple[dict[str, Callable[[], object]], dict[str, float]]:
    """Calls that fit pose, identity and expression to landmarks, ours and SciPy's, and the energy that each ends at.

    The same energy for both: squares, the priors, and bounds; SciPy's derivatives are by differences of its own.
    """
    rng = np.random.default_rng(seed)
    landmarks = LandmarkModel.of(model, "ibug68", outline=False)
    points, K = landmarks.points, model.shape_count
    sigma = np.concatenate([np.ones(K), np.full(points.basis.shape[2] - K, 0.4)])
    lower = np.concatenate([np.full(K, -np.inf), np.zeros(len(sigma) - K)])
    upper = np.concatenate([np.full(K, np.inf), np.ones(len(sigma) - K)])
    truth = np.clip(0.6 * rng.standard_normal(len(sigma)) * sigma, lower, upper)
    scale, shift = 1.6, np.array([320.0, 240.0])
    rotation = rotation_from_pose_angles(0.1, 0.4, 0.05)
    seen = scale * rotation[:2] @ points.points(truth) + shift[:, None]
    seen = seen + _NOISE_PX * rng.standard_normal(seen.shape)
    start = WeakPerspective(1.5, rotation_from_pose_angles(0.0, 0.3, 0.0), np.array([318.0, 243.0]))
    prior = GaussianPrior(np.diag(sigma**-2), np.zeros(len(sigma)), lower, upper)
    noise = np.full(seen.shape[1], _NOISE_PX)

    def ours() -> float:
        fit = joint_fit(
            points, seen, start, np.zeros(len(sigma)), prior, noise_px=noise, max_iterations=50, tolerance_px=1e-3
        )
        return float(fit.place.energy)

    def residuals(v: NDArray[np.float64]) -> NDArray[np.float64]:
        R = rotation_from_vector(v[:3]) @ start.rotation
        projected = start.scale * np.exp(v[3]) * R[:2] @ points.points(v[6:]) + (start.translation + v[4:6])[:, None]
        return np.concatenate([((projected - seen) / _NOISE_PX).ravel(), v[6:] / sigma])

    def theirs() -> float:
        free = np.full(6, np.inf)
        bounds = np.concatenate([-free, lower]), np.concatenate([free, upper])
        begin = np.concatenate([np.zeros(6 + K), np.full(len(sigma) - K, 1e-3)])
        return float(least_squares(residuals, begin, bounds=bounds, method="trf", ftol=1e-9).cost)

    calls: dict[str, Callable[[], object]] = {"ours: joint Gauss–Newton": ours, "SciPy: least_squares, trf": theirs}
    return calls, {"ours": ours(), "SciPy": theirs()}

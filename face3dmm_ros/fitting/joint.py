"""Pose, identity and expression solved together: Gauss–Newton on the landmarks with Gaussian priors and bounds.

Minimises Σ ρ(‖s·P·R·X(c) + t − x‖² / σ²) + cᵀΛc − 2ηᵀc over s, R, t and c = (α, β) with lower ≤ c ≤ upper: the energy
of analysis by synthesis from landmarks (Blanz & Vetter, PAMI 2003), without alternating between its unknowns. σ is each
landmark's own, and ρ(u) = k² log(1 + u / k²), Cauchy's loss, downweights landmarks that are k and more σ off; it is
minimised by iterative reweighting (Holland & Welsch, Communications in Statistics 1977).
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.fitting.bounded import minimize_in_box, solve_symmetric
from face3dmm_ros.fitting.linear_points import LinearPoints
from face3dmm_ros.fitting.pose_step import POSE_SIZE, moved, pose_jacobian, projected

_SETTLED = 40.0
"""In tolerances; chosen by hand: after a step that moves no point by more, the next one reuses the curvature. Larger
values save time, smaller ones steps."""


@dataclass(frozen=True, eq=False)
class GaussianPrior:
    """½cᵀΛc − ηᵀc over the coefficients, within bounds.

    Attributes:
        precision: Λ, (D, D) float64.
        shift: η, (D,) float64.
        lower: (D,) float64, −inf where free.
        upper: (D,) float64, +inf where free.
    """

    precision: NDArray[np.float64]
    shift: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]

    @cached_property
    def white(self) -> bool:
        """Whether this is the unit normal prior without bounds."""
        free = np.isneginf(self.lower).all() and np.isposinf(self.upper).all()
        return bool(free and not self.shift.any() and np.array_equal(self.precision, np.eye(len(self.shift))))

    def energy(self, c: NDArray[np.float64]) -> float:
        """½cᵀΛc − ηᵀc."""
        return float(0.5 * c @ (self.precision @ c) - self.shift @ c)


@dataclass(frozen=True, eq=False)
class JointFit:
    """A solution.

    Attributes:
        camera: s, R, t.
        coefficients: c, (D,).
        points: the model points with the outline as it was chosen.
        residuals: (2, P), px, model minus image.
        noise_px: (P,) the landmarks' reweighted σ: enlarged for outliers.
        system: (6 + D, 6 + D) the energy's curvature by (pose, c), prior included, at or near the solution; empty where
            the steps were solved in the dual (among the equations).
    """

    camera: WeakPerspective
    coefficients: NDArray[np.float64]
    points: LinearPoints
    residuals: NDArray[np.float64]
    noise_px: NDArray[np.float64]
    system: NDArray[np.float64]

    @property
    def residual_px(self) -> float:
        """RMS distance over the points, px."""
        return float(np.sqrt((self.residuals**2).sum(axis=0).mean()))


def joint_fit(
    points: LinearPoints,
    observed: NDArray[np.float64],
    camera: WeakPerspective,
    coefficients: NDArray[np.float64],
    prior: GaussianPrior,
    *,
    noise_px: NDArray[np.float64],
    max_iterations: int,
    tolerance_px: float,
    outlier: float = np.inf,
    precision: type[np.floating] = np.float64,
) -> JointFit:
    """Fit from a start.

    Args:
        points: the model's points.
        observed: (2, P) image points in the same order, px.
        camera: where to start.
        coefficients: (D,) where to start, within the bounds.
        prior: on the coefficients.
        noise_px: (P,) σ, the standard deviation of each landmark's coordinates, px.
        max_iterations: at most so many steps.
        tolerance_px: stop once a step moves no point by more.
        outlier: k, in standard deviations; infinite for least squares.
        precision: of the curvature. Single precision takes a quarter of the time; the fit changes by less than the
            tolerance, since the gradient stays in double precision.

    Raises:
        Face3DMMError: the landmarks do not determine the face.
    """
    c = coefficients
    # With fewer equations than unknowns, it is cheaper to solve among the equations.
    dual = 2 * points.mean.shape[1] < len(c) and prior.white
    selected = points
    outline = None
    system, stale = np.empty((0, 0)), True
    at = np.zeros_like(observed)
    for iteration in range(1, max_iterations + 1):
        slid = False
        # The outline is chosen anew in the first half only, so that the rest minimises one fixed energy.
        if points.outline_count and iteration <= max(1, max_iterations // 2):
            choice = points.visible_outline(camera, c)
            slid = outline is not None and bool((choice != outline).any())
            if outline is None or slid:
                outline = choice
                selected = points.at_outline(choice)
        if iteration == 1 or slid:
            X = selected.points(c)
            if iteration == 1:
                camera = turned(camera, X, observed, noise_px, outlier)
            at = projected(camera, X)
            energy = _loss(at - observed, noise_px, outlier) + prior.energy(c)
        residuals = at - observed
        sigma_px = _reweighted_sigma(residuals, noise_px, outlier)
        linearized = _Linearized.at(selected, camera, X)
        if dual:
            delta, change = linearized.dual_step(residuals, sigma_px, c)
        else:
            if stale or slid:
                stale = False
                system = linearized.curvature(sigma_px, precision)
                system[POSE_SIZE:, POSE_SIZE:] += prior.precision
                _regularized(system)
            delta, change = _primal_step(system, linearized.gradient(residuals, sigma_px), c, prior)
        length = 1.0
        while True:
            trial_camera = moved(camera, length * delta)
            trial_c = c + length * change
            trial_X = selected.points(trial_c)
            trial = projected(trial_camera, trial_X)
            trial_energy = _loss(trial - observed, noise_px, outlier) + prior.energy(trial_c)
            if trial_energy <= energy or length < 1e-3:
                break
            length *= 0.5
        if trial_energy > energy:
            break
        movement = np.abs(trial - at).max()
        camera, c, X, at, energy = trial_camera, trial_c, trial_X, trial, trial_energy
        if movement < tolerance_px and not slid:
            break
        if movement > _SETTLED * tolerance_px or length < 1.0:
            stale = True
    residuals = at - observed
    return JointFit(camera, c, selected, residuals, _reweighted_sigma(residuals, noise_px, outlier), system)


def identity_information(
    fit: JointFit, prior: GaussianPrior, shape_count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A fitted picture's information on α with pose and expression marginalised: ½αᵀSα − hᵀα as (S, h).

    Expressions on a bound are held there. S is the Schur complement of the pose's and expression's block.
    """
    c, K = fit.coefficients, shape_count
    linearized = _Linearized.at(fit.points, fit.camera, fit.points.points(c))
    H, g = linearized.curvature(fit.noise_px), linearized.gradient(fit.residuals, fit.noise_px)
    H[POSE_SIZE + K :, POSE_SIZE + K :] += prior.precision[K:, K:]
    g[POSE_SIZE + K :] += prior.precision[K:, K:] @ c[K:] - prior.shift[K:]
    inner = np.arange(K, len(c))
    inner = inner[(c[inner] > prior.lower[inner]) & (c[inner] < prior.upper[inner])]
    nuisance = np.concatenate([np.arange(POSE_SIZE), POSE_SIZE + inner])
    alpha = slice(POSE_SIZE, POSE_SIZE + K)
    coupling = H[nuisance, alpha]
    eliminated = coupling.T @ solve_symmetric(
        _regularized(H[np.ix_(nuisance, nuisance)]), np.column_stack([coupling, g[nuisance]])
    )
    S = H[alpha, alpha] - eliminated[:, :-1]
    return S, S @ c[:K] - (g[alpha] - eliminated[:, -1])


def posterior_deviation(fit: JointFit, first: int) -> NDArray[np.float64] | None:
    """Standard deviation of each coefficient of a fit from the first-th on, (D − first,); None if it is not known.

    Laplace's approximation: the normal distribution whose precision is the energy's curvature. Bounds are ignored.
    """
    if not fit.system.size:
        return None
    # What `_regularized` adds makes the inverse exist.
    inverse, _ = lapack.dpotri(lapack.dpotrf(fit.system)[0], overwrite_c=True)
    return np.sqrt(inverse.diagonal()[POSE_SIZE + first :])


def drawn(fit: JointFit, prior: GaussianPrior, toward: NDArray[np.float64], strength: NDArray[np.float64]) -> JointFit:
    """A fit regularised toward other coefficients: a step to the minimum of its energy + ½ Σ kᵢ (cᵢ − dᵢ)².

    Args:
        fit: solved in the primal, so that it has a `system`.
        prior: that it was made with.
        toward: d, (D,).
        strength: k, (D,).
    """
    c, points = fit.coefficients, fit.points
    X = points.points(c)
    observed = projected(fit.camera, X) - fit.residuals
    H = fit.system + np.diag(np.pad(strength, (POSE_SIZE, 0)))
    gradient = _Linearized.at(points, fit.camera, X).gradient(fit.residuals, fit.noise_px)
    gradient[POSE_SIZE:] += strength * (c - toward)
    delta, change = _primal_step(H, gradient, c, prior)
    camera, c = moved(fit.camera, delta), c + change
    return replace(fit, camera=camera, coefficients=c, residuals=projected(camera, points.points(c)) - observed)


def turned(
    camera: WeakPerspective,
    X: NDArray[np.float64],
    observed: NDArray[np.float64],
    noise_px: NDArray[np.float64],
    outlier: float,
) -> WeakPerspective:
    """The camera after a step of the pose alone, which explains most of a motion at a fraction of a full step's cost.

    Args:
        camera: where to start.
        X: (3, P) the face's points, mm.
        observed: (2, P) px.
        noise_px: (P,) σ, px.
        outlier: as of `joint_fit`.
    """
    residuals = projected(camera, X) - observed
    sigma_px = _reweighted_sigma(residuals, noise_px, outlier)
    J = (pose_jacobian(camera, X) / sigma_px).reshape(POSE_SIZE, -1)
    step = moved(camera, -solve_symmetric(_regularized(J @ J.T), J @ (residuals / sigma_px).ravel()))
    trial = projected(step, X) - observed
    return step if _loss(trial, noise_px, outlier) <= _loss(residuals, noise_px, outlier) else camera


def _primal_step(
    H: NDArray[np.float64], gradient: NDArray[np.float64], c: NDArray[np.float64], prior: GaussianPrior
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gauss–Newton step (pose (6,), Δc (D,)) from the (6+D)² normal equations, bounds kept.

    Args:
        H: matrix of the normal equations, prior included, at c or near it.
        gradient: of the landmarks' part of the energy; see `_Linearized.gradient`.
        c: (D,) where the step begins.
        prior: on the coefficients.
    """
    lower, upper, g = np.full(len(H), -np.inf), np.full(len(H), np.inf), gradient.copy()
    lower[POSE_SIZE:], upper[POSE_SIZE:] = prior.lower - c, prior.upper - c
    g[POSE_SIZE:] += prior.precision @ c - prior.shift
    v = minimize_in_box(H, g, lower, upper)
    return v[:POSE_SIZE], v[POSE_SIZE:]


@dataclass(frozen=True, eq=False)
class _Linearized:
    """The projected points near a pose and coefficients.

    Attributes:
        points: the model points.
        camera: the pose.
        by_pose: (6, 2, P) their derivative by a pose step; that by c is s·P·R times the points' basis.
    """

    points: LinearPoints
    camera: WeakPerspective
    by_pose: NDArray[np.float64]

    @staticmethod
    def at(points: LinearPoints, camera: WeakPerspective, X: NDArray[np.float64]) -> "_Linearized":
        """Near a camera and the points X (3, P) mm of some coefficients."""
        return _Linearized(points, camera, pose_jacobian(camera, X))

    def curvature(
        self, sigma_px: NDArray[np.float64], precision: type[np.floating] = np.float64
    ) -> NDArray[np.float64]:
        """JᵀJ of the derivative J of the projected points, in their σ (P,), by (pose, c): (6 + D, 6 + D)."""
        points, camera = self.points, self.camera
        by_coefficient = points.by_coefficient if precision is np.float64 else points.by_coefficient_single
        P, D = points.basis.shape[1:]
        J = np.empty((POSE_SIZE + D, 2, P), precision)
        weight = (1.0 / sigma_px).astype(precision)
        np.multiply(self.by_pose.astype(precision), weight, out=J[:POSE_SIZE])
        A = (camera.scale * camera.rotation[:2]).astype(precision)
        by_c = (A @ by_coefficient.reshape(3, D * P)).reshape(2, D, P)
        np.multiply(by_c.transpose(1, 0, 2), weight, out=J[POSE_SIZE:])
        J = J.reshape(POSE_SIZE + D, 2 * P)
        return np.asarray(J @ J.T, np.float64)

    def gradient(self, residuals: NDArray[np.float64], sigma_px: NDArray[np.float64]) -> NDArray[np.float64]:
        """Jᵀr of the same derivative and the residuals (2, P), in their σ: (6 + D,)."""
        weighted = residuals / sigma_px**2
        back = (self.camera.scale * self.camera.rotation[:2]).T @ weighted
        by_c = (self.points.by_coefficient @ back[..., None]).sum(axis=0)[:, 0]
        return np.concatenate([self.by_pose.reshape(POSE_SIZE, -1) @ weighted.ravel(), by_c])

    def dual_step(
        self, residuals: NDArray[np.float64], sigma_px: NDArray[np.float64], c: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The step of `_primal_step` for a white prior, solved among the 2P equations (Woodbury's identity).

        The coefficients are marginalised: r ~ N(J_pose·δ, diag(σ²) + J_c·J_cᵀ), and J_c·J_cᵀ comes from the points'
        kernel, which does not change, so a step costs a 2P×2P Cholesky however many coefficients the model has.
        """
        points = self.points
        P = points.mean.shape[1]
        A = self.camera.scale * self.camera.rotation[:2]
        at_mean = residuals.ravel() - np.tensordot(A, points.basis @ c, 1).ravel()
        K = np.tensordot(np.tensordot(A, points.kernel, (1, 0)), A, (2, 1))  # (2, P, P, 2)
        C = K.transpose(0, 1, 3, 2).reshape(2 * P, 2 * P) + np.diag(np.tile(sigma_px**2, 2))
        J = self.by_pose.reshape(POSE_SIZE, 2 * P).T
        solved = solve_symmetric(C, np.column_stack([J, at_mean]))
        delta = -solve_symmetric(_regularized(J.T @ solved[:, :-1]), J.T @ solved[:, -1])
        u = solved[:, -1] + solved[:, :-1] @ delta
        back = A.T @ u.reshape(2, P)
        return delta, -np.tensordot(back, points.basis, 2) - c


def _loss(residuals: NDArray[np.float64], noise_px: NDArray[np.float64], outlier: float) -> float:
    """½ Σ ρ."""
    squared = (residuals**2).sum(axis=0) / noise_px**2
    loss = squared if np.isinf(outlier) else outlier**2 * np.log1p(squared / outlier**2)
    return 0.5 * float(loss.sum())


def _reweighted_sigma(
    residuals: NDArray[np.float64], noise_px: NDArray[np.float64], outlier: float
) -> NDArray[np.float64]:
    """σ / √w with Cauchy's weight w = 1 / (1 + r² / (kσ)²), (P,)."""
    if np.isinf(outlier):
        return noise_px
    return np.sqrt(noise_px**2 + (residuals**2).sum(axis=0) / outlier**2)


def _regularized(H: NDArray[np.float64]) -> NDArray[np.float64]:
    """H with 10⁻⁹ of its diagonal added: it stays invertible, and directions without information do not move."""
    diagonal = H.reshape(-1)[:: len(H) + 1]
    diagonal += 1e-9 * diagonal + 1e-12 * diagonal.mean()
    return H

"""Pose, identity and expression solved together: Gauss–Newton on the landmarks with Gaussian priors and bounds.

Minimises Σ ρ(‖s·P·R·X(c) + t − x‖² / σ²) + cᵀΛc − 2ηᵀc over s, R, t and c = (α, β) with lower ≤ c ≤ upper: the energy
of analysis by synthesis from landmarks (Blanz & Vetter, PAMI 2003), without alternating between its unknowns. σ is each
landmark's own, and ρ(u) = k² log(1 + u / k²), Cauchy's loss, downweights landmarks that are k and more σ off; it is
minimised by iterative reweighting (Holland & Welsch, Communications in Statistics 1977).
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.fitting import point_loops
from face3dmm_ros.fitting.bounded import SINGULAR, minimize_in_box, solve_symmetric
from face3dmm_ros.fitting.linear_points import LinearPoints
from face3dmm_ros.fitting.point_loops import Place, Pose, Prior, Seen
from face3dmm_ros.fitting.pose_step import POSE_SIZE, pose_jacobian

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

    @cached_property
    def arrays(self) -> Prior:
        """For `point_loops`."""
        arrays = self.precision, self.shift, self.lower, self.upper
        return Prior(*(np.ascontiguousarray(array, np.float64) for array in arrays))

    def pulled(self, toward: NDArray[np.float64], strength: NDArray[np.float64]) -> "GaussianPrior":
        """This prior + ½ Σ kᵢ (cᵢ − dᵢ)², d and k (D,)."""
        precision = self.precision.copy()
        precision.reshape(-1)[:: len(strength) + 1] += strength
        return replace(self, precision=precision, shift=self.shift + strength * toward)


@dataclass(frozen=True, eq=False)
class JointFit:
    """A solution.

    Attributes:
        place: the pose, the coefficients, and what comes of them.
        seen: what was fitted to.
        points: the model points with the outline as it was chosen.
        system: (6 + D, 6 + D) the energy's curvature by (pose, c), prior included, at or near the solution; empty where
            the steps were solved in the dual (among the equations).
    """

    place: Place
    seen: Seen
    points: LinearPoints
    system: NDArray[np.float64]

    @property
    def camera(self) -> WeakPerspective:
        """s, R, t."""
        return WeakPerspective(*self.place.pose)

    @property
    def coefficients(self) -> NDArray[np.float64]:
        """c, (D,)."""
        return self.place.c

    @cached_property
    def residual_px(self) -> float:
        """RMS distance over the points, px."""
        residuals = self.place.residuals.ravel()
        return math.sqrt(2.0 * float(residuals @ residuals) / len(residuals))


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
        precision: of the curvature. Single precision takes less time; the fit changes by less than the
            tolerance, since the gradient stays in double precision.

    Raises:
        Face3DMMError: the landmarks do not determine the face.
    """
    seen, arrays = Seen.of(observed, noise_px, outlier), prior.arrays
    # With fewer equations than unknowns, it is cheaper to solve among the equations.
    dual = 2 * points.mean.shape[1] < len(coefficients) and prior.white
    selected = points
    outline = None
    system, stale = np.empty((0, 0)), True
    pose, c = Pose.of(camera), np.ascontiguousarray(coefficients, np.float64)
    for iteration in range(1, max_iterations + 1):
        slid = False
        # The outline is chosen anew in the first half only, so that the rest minimises one fixed energy.
        if points.outline_count and iteration <= max(1, max_iterations // 2):
            choice = points.visible_outline(WeakPerspective(*pose), c)
            slid = outline is not None and bool((choice != outline).any())
            if outline is None or slid:
                outline = choice
                selected = points.at_outline(choice)
        if iteration == 1 or slid:
            X = selected.points(c)
            if iteration == 1:
                pose = _turned(pose, X, seen)
            place = point_loops.placed(pose, c, X, seen, arrays)
        if dual:
            step = _dual_step(selected, place)
        else:
            if stale or slid:
                stale = False
                system = _curvature(selected, place, precision)
                system[POSE_SIZE:, POSE_SIZE:] += prior.precision
                point_loops.regularize(system)
            step = _primal_step(system, selected, place, prior)
        motion = selected.motion(step[POSE_SIZE:])
        trial, movement, share = point_loops.descended(place, step, motion, seen, arrays)
        if not trial.energy <= place.energy:
            break
        place, pose, c = trial, trial.pose, trial.c
        if movement < tolerance_px and not slid:
            break
        if movement > _SETTLED * tolerance_px or share < 1.0:
            stale = True
    return JointFit(place, seen, selected, system)


def identity_information(
    fit: JointFit, prior: GaussianPrior, shape_count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A fitted picture's information on α with pose and expression marginalised: ½αᵀSα − hᵀα as (S, h).

    Expressions on a bound are held there. S is the Schur complement of the pose's and expression's block.
    """
    c, K = fit.coefficients, shape_count
    H, g = _curvature(fit.points, fit.place), point_loops.slope(fit.place, fit.points.basis)
    H[POSE_SIZE + K :, POSE_SIZE + K :] += prior.precision[K:, K:]
    g[POSE_SIZE + K :] += prior.precision[K:, K:] @ c[K:] - prior.shift[K:]
    inner = np.arange(K, len(c))
    inner = inner[(c[inner] > prior.lower[inner]) & (c[inner] < prior.upper[inner])]
    nuisance = np.concatenate([np.arange(POSE_SIZE), POSE_SIZE + inner])
    alpha = slice(POSE_SIZE, POSE_SIZE + K)
    coupling, known = H[nuisance, alpha], H[np.ix_(nuisance, nuisance)]
    point_loops.regularize(known)
    eliminated = coupling.T @ solve_symmetric(known, np.column_stack([coupling, g[nuisance]]))
    S = H[alpha, alpha] - eliminated[:, :-1]
    return S, S @ c[:K] - (g[alpha] - eliminated[:, -1])


def posterior_deviation(fit: JointFit, first: int) -> NDArray[np.float64] | None:
    """Standard deviation of each coefficient of a fit from the first-th on, (D − first,); None if it is not known.

    Laplace's approximation: the normal distribution whose precision is the energy's curvature. Bounds are ignored.
    """
    if not fit.system.size:
        return None
    # What `regularize` adds makes the inverse exist. LAPACK wants columns, and the matrix is symmetric.
    inverse, _ = lapack.dpotri(lapack.dpotrf(fit.system.T)[0], overwrite_c=True)
    return np.sqrt(inverse.diagonal()[POSE_SIZE + first :])


def drawn(fit: JointFit, prior: GaussianPrior, toward: NDArray[np.float64], strength: NDArray[np.float64]) -> JointFit:
    """A fit regularised toward other coefficients: a step to the minimum of its energy + ½ Σ kᵢ (cᵢ − dᵢ)².

    Args:
        fit: solved in the primal, so that it has a `system`.
        prior: that it was made with.
        toward: d, (D,).
        strength: k, (D,).
    """
    place, points = fit.place, fit.points
    H = fit.system + np.diag(np.pad(strength, (POSE_SIZE, 0)))
    step = _primal_step(H, points, place, prior.pulled(toward, strength))
    pose, change = point_loops.moved(place.pose, step), step[POSE_SIZE:]
    X = place.X + points.motion(change)
    return replace(fit, place=point_loops.placed(pose, place.c + change, X, fit.seen, prior.arrays))


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
    seen = Seen.of(observed, noise_px, outlier)
    return WeakPerspective(*_turned(Pose.of(camera), np.ascontiguousarray(X, np.float64), seen))


def _turned(pose: Pose, X: NDArray[np.float64], seen: Seen) -> Pose:
    """`turned` of a pose; raises Face3DMMError where the points do not determine it."""
    after, determined = point_loops.turned(pose, X, seen)
    if not determined:
        raise Face3DMMError(SINGULAR)
    return after


def _curvature(points: LinearPoints, place: Place, precision: type[np.floating] = np.float64) -> NDArray[np.float64]:
    """JᵀJ of `point_loops.linearized`: the landmarks' part of the curvature by (pose, c), (6 + D, 6 + D)."""
    P, D = points.basis.shape[1:]
    J = np.empty((2 * P, POSE_SIZE + D), precision)
    point_loops.linearized(place, points.basis, J)
    return np.asarray(J.T @ J, np.float64)


def _primal_step(
    H: NDArray[np.float64], points: LinearPoints, place: Place, prior: GaussianPrior
) -> NDArray[np.float64]:
    """Gauss–Newton step (6 + D,) from the normal equations of matrix H, prior included, at the place or near it.

    The bounds are kept.
    """
    return minimize_in_box(H, *point_loops.step_problem(place, points.basis, prior.arrays))


def _dual_step(points: LinearPoints, place: Place) -> NDArray[np.float64]:
    """The step of `_primal_step` for a white prior, solved among the 2P equations (Woodbury's identity).

    The coefficients are marginalised: r ~ N(J_pose·δ, diag(σ²) + J_c·J_cᵀ), and J_c·J_cᵀ comes from the points'
    kernel, which does not change, so a step costs a 2P×2P Cholesky however many coefficients the model has.
    """
    P, c, camera = points.mean.shape[1], place.c, WeakPerspective(*place.pose)
    A = camera.scale * camera.rotation[:2]
    at_mean = place.residuals.ravel() - np.tensordot(A, points.basis @ c, 1).ravel()
    K = np.tensordot(np.tensordot(A, points.kernel, (1, 0)), A, (2, 1))  # (2, P, P, 2)
    C = K.transpose(0, 1, 3, 2).reshape(2 * P, 2 * P) + np.diag(np.tile(place.sigma_px**2, 2))
    J = pose_jacobian(camera, place.X).reshape(POSE_SIZE, 2 * P).T
    solved = solve_symmetric(C, np.column_stack([J, at_mean]))
    H = J.T @ solved[:, :-1]
    point_loops.regularize(H)
    delta = -solve_symmetric(H, J.T @ solved[:, -1])
    u = solved[:, -1] + solved[:, :-1] @ delta
    back = A.T @ u.reshape(2, P)
    return np.concatenate([delta, -np.tensordot(back, points.basis, 2) - c])

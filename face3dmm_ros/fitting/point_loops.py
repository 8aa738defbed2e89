"""What a joint fit computes point by point, as machine code: numpy would take most of its time for the calls.

The functions take C-contiguous float64 arrays, so that each is compiled once. P points X = mean + basis·c, (3, P) mm,
are seen at x = s·P·R·X + t; a step is (ω, Δlog s, Δt, Δc), whose first six numbers are those of `pose_step`.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.compiled import compiled

POSE_SIZE = 6
"""Numbers of a pose step: rotation vector (3), Δlog s, Δt (2)."""

_MOST_LOG_SCALE = 1.0
"""Chosen by hand: a step that would change the size beyond e-fold is astray, and a line search starts from within."""
_SHORTEST = 1e-3
"""Chosen by hand: the share of a step below which a line search gives up."""


class Pose(NamedTuple):
    """A weak perspective camera: s, px per mm, R (3, 3) and t (2,), px."""

    scale: float
    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]

    @staticmethod
    def of(camera: WeakPerspective) -> "Pose":
        """A camera's."""
        rotation, translation = (np.ascontiguousarray(a, np.float64) for a in (camera.rotation, camera.translation))
        return Pose(float(camera.scale), rotation, translation)


class Seen(NamedTuple):
    """What is fitted to: observed (2, P) and its σ, noise_px (P,), px, with Cauchy's k, in σ; infinite for none."""

    observed: NDArray[np.float64]
    noise_px: NDArray[np.float64]
    outlier: float

    @staticmethod
    def of(observed: NDArray[np.float64], noise_px: NDArray[np.float64], outlier: float) -> "Seen":
        """Arrays of any layout."""
        points, sigma = (np.ascontiguousarray(a, np.float64) for a in (observed, noise_px))
        return Seen(points, sigma, float(outlier))


class Prior(NamedTuple):
    """½cᵀΛc − ηᵀc within bounds: Λ (D, D), η, lower and upper (D,)."""

    precision: NDArray[np.float64]
    shift: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]


class Place(NamedTuple):
    """Where a fit stands: its pose, c (D,) and X (3, P), mm, and what comes of them.

    residuals (2, P), px, are model minus image, sigma_px (P,) is the reweighted σ: σ / √w with Cauchy's weight
    w = 1 / (1 + r² / (kσ)²), and energy is the whole sum, ½Σρ and the prior's.
    """

    pose: Pose
    c: NDArray[np.float64]
    X: NDArray[np.float64]
    residuals: NDArray[np.float64]
    sigma_px: NDArray[np.float64]
    energy: float


@compiled
def moved(pose: Pose, step: NDArray[np.float64]) -> Pose:
    """The pose after a step (6,) or longer: R ← exp([ω]×)·R, s ← s·exp(Δlog s), t ← t + Δt."""
    x, y, z = step[0], step[1], step[2]
    square = x * x + y * y + z * z
    angle = math.sqrt(square)
    # sin(θ)/θ and (1 − cos θ)/θ², which near 0 leave the first terms of their series.
    a, b = 1.0, 0.5
    if angle >= 1e-8:
        a, b = math.sin(angle) / angle, (1.0 - math.cos(angle)) / square
    R, rotation = pose.rotation, np.empty((3, 3))
    for j in range(3):
        # Rodrigues' formula on a column of R: r + a·ω×r + b·ω×(ω×r).
        p, q, r = R[0, j], R[1, j], R[2, j]
        u, v, w = y * r - z * q, z * p - x * r, x * q - y * p
        rotation[0, j] = p + a * u + b * (y * w - z * v)
        rotation[1, j] = q + a * v + b * (z * u - x * w)
        rotation[2, j] = r + a * w + b * (x * v - y * u)
    translation = np.empty(2)
    translation[0], translation[1] = pose.translation[0] + step[4], pose.translation[1] + step[5]
    log_scale = min(max(step[3], -_MOST_LOG_SCALE), _MOST_LOG_SCALE)
    return Pose(pose.scale * math.exp(log_scale), rotation, translation)


@compiled
def compared(pose: Pose, X: NDArray[np.float64], seen: Seen) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Residuals (2, P), reweighted σ (P,) and ½Σρ of points X (3, P); see `Place`."""
    s, R, t = pose.scale, pose.rotation, pose.translation
    P, k, loss = X.shape[1], seen.outlier, 0.0
    residuals, sigma_px = np.empty((2, P)), np.empty(P)
    for p in range(P):
        x, y, z = X[0, p], X[1, p], X[2, p]
        u = s * (R[0, 0] * x + R[0, 1] * y + R[0, 2] * z) + t[0] - seen.observed[0, p]
        v = s * (R[1, 0] * x + R[1, 1] * y + R[1, 2] * z) + t[1] - seen.observed[1, p]
        residuals[0, p], residuals[1, p] = u, v
        variance, square = seen.noise_px[p] ** 2, u * u + v * v
        sigma_px[p] = math.sqrt(variance + square / k**2)
        loss += square / variance if k == np.inf else k**2 * math.log1p(square / variance / k**2)
    return residuals, sigma_px, 0.5 * loss


@compiled
def turned(pose: Pose, X: NDArray[np.float64], seen: Seen) -> tuple[Pose, bool]:
    """The pose after a step of the pose alone if that lowers the loss, and whether the points determine that step."""
    residuals, sigma_px, loss = compared(pose, X, seen)
    rows = np.zeros((2, POSE_SIZE))
    # Of H, the upper triangle.
    H, g = np.zeros((POSE_SIZE, POSE_SIZE)), np.zeros(POSE_SIZE)
    for p in range(X.shape[1]):
        _set_by_pose(pose, X, p, 1.0 / sigma_px[p], rows)
        for row in range(2):
            r = residuals[row, p] / sigma_px[p]
            for i in range(POSE_SIZE):
                g[i] += rows[row, i] * r
                for j in range(i, POSE_SIZE):
                    H[i, j] += rows[row, i] * rows[row, j]
    regularize(H)
    # Elimination; a positive definite matrix needs no pivoting.
    for i in range(POSE_SIZE):
        if not 0.0 < H[i, i] < np.inf:
            return pose, False
        for j in range(i + 1, POSE_SIZE):
            factor = H[i, j] / H[i, i]
            g[j] -= factor * g[i]
            for k in range(j, POSE_SIZE):
                H[j, k] -= factor * H[i, k]
    step = np.zeros(POSE_SIZE)
    for i in range(POSE_SIZE - 1, -1, -1):
        step[i] = -g[i]
        for k in range(i + 1, POSE_SIZE):
            step[i] -= H[i, k] * step[k]
        step[i] /= H[i, i]
        if not math.isfinite(step[i]):
            return pose, False
    after = moved(pose, step)
    return (after if compared(after, X, seen)[2] <= loss else pose), True


@compiled
def regularize(H: NDArray[np.float64]) -> None:
    """Add 10⁻⁹ of its diagonal to H: it stays invertible, and directions without information do not move."""
    n, trace = len(H), 0.0
    for i in range(n):
        trace += H[i, i]
    for i in range(n):
        H[i, i] += 1e-9 * H[i, i] + 1e-12 * trace / n


@compiled
def linearized(place: Place, basis: NDArray[np.float64], J: NDArray[np.floating]) -> None:
    """Set J (2P, 6 + D), of any precision: the derivative of the points' x and y, in their σ, by a step.

    A point's by Δc is s·P·R times its basis.
    """
    P, D = basis.shape[1:]
    s, R = place.pose.scale, place.pose.rotation
    for p in range(P):
        weight = 1.0 / place.sigma_px[p]
        _set_by_pose(place.pose, place.X, p, weight, J[2 * p : 2 * p + 2])
        for row in range(2):
            x, y, z = weight * s * R[row, 0], weight * s * R[row, 1], weight * s * R[row, 2]
            for d in range(D):
                J[2 * p + row, POSE_SIZE + d] = x * basis[0, p, d] + y * basis[1, p, d] + z * basis[2, p, d]


@compiled
def slope(place: Place, basis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Jᵀr, (6 + D,): the derivative of ½Σρ by a step."""
    P, D = basis.shape[1:]
    s, R = place.pose.scale, place.pose.rotation
    rows, g = np.zeros((2, POSE_SIZE)), np.zeros(POSE_SIZE + D)
    by_c = g[POSE_SIZE:]
    for p in range(P):
        weight = 1.0 / place.sigma_px[p] ** 2
        u, v = weight * place.residuals[0, p], weight * place.residuals[1, p]
        _set_by_pose(place.pose, place.X, p, 1.0, rows)
        for i in range(POSE_SIZE):
            g[i] += rows[0, i] * u + rows[1, i] * v
        for k in range(3):
            back = s * (R[0, k] * u + R[1, k] * v)
            for d in range(D):
                by_c[d] += back * basis[k, p, d]
    return g


@compiled
def step_problem(
    place: Place, basis: NDArray[np.float64], prior: Prior
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The energy's derivative by a step, and the step's lower and upper bounds, (6 + D,) each."""
    g, c = slope(place, basis), place.c
    lower, upper = np.full(len(g), -np.inf), np.full(len(g), np.inf)
    for i in range(len(c)):
        to_c = -prior.shift[i]
        for j in range(len(c)):
            to_c += prior.precision[i, j] * c[j]
        g[POSE_SIZE + i] += to_c
        lower[POSE_SIZE + i], upper[POSE_SIZE + i] = prior.lower[i] - c[i], prior.upper[i] - c[i]
    return g, lower, upper


@compiled
def placed(pose: Pose, c: NDArray[np.float64], X: NDArray[np.float64], seen: Seen, prior: Prior) -> Place:
    """The place at a pose and c with its points X."""
    residuals, sigma_px, energy = compared(pose, X, seen)
    for i in range(len(c)):
        to_c = 0.0
        for j in range(len(c)):
            to_c += prior.precision[i, j] * c[j]
        energy += c[i] * (0.5 * to_c - prior.shift[i])
    return Place(pose, c, X, residuals, sigma_px, energy)


@compiled
def descended(
    place: Place, step: NDArray[np.float64], motion: NDArray[np.float64], seen: Seen, prior: Prior
) -> tuple[Place, float, float]:
    """A place after a step, halved until the energy does not rise.

    Args:
        place: where the step begins.
        step: (6 + D,).
        motion: (3, P) basis·Δc of the whole step, mm.
        seen: the landmarks.
        prior: on c.

    Returns:
        The place, by how much it moved a coordinate at most, px, and the share of the step that was taken.
    """
    share, movement = 1.0, 0.0
    P, D = place.X.shape[1], len(place.c)
    taken = np.empty(POSE_SIZE + D)
    while True:
        X, c = np.empty((3, P)), np.empty(D)
        for i in range(POSE_SIZE + D):
            taken[i] = share * step[i]
        for i in range(D):
            c[i] = place.c[i] + taken[POSE_SIZE + i]
        for k in range(3):
            for p in range(P):
                X[k, p] = place.X[k, p] + share * motion[k, p]
        trial = placed(moved(place.pose, taken), c, X, seen, prior)
        if trial.energy <= place.energy or share < _SHORTEST:
            break
        share *= 0.5
    for k in range(2):
        for p in range(P):
            movement = max(movement, abs(trial.residuals[k, p] - place.residuals[k, p]))
    return trial, movement, share


@compiled
def _set_by_pose(pose: Pose, X: NDArray[np.float64], p: int, weight: float, rows: NDArray[np.floating]) -> None:
    """Set the first six columns of rows (2, …): the derivative of point p's x and y by a pose step, times a weight."""
    factor, R = weight * pose.scale, pose.rotation
    x = factor * (R[0, 0] * X[0, p] + R[0, 1] * X[1, p] + R[0, 2] * X[2, p])
    y = factor * (R[1, 0] * X[0, p] + R[1, 1] * X[1, p] + R[1, 2] * X[2, p])
    z = factor * (R[2, 0] * X[0, p] + R[2, 1] * X[1, p] + R[2, 2] * X[2, p])
    rows[0, 0], rows[0, 1], rows[0, 2], rows[0, 3], rows[0, 4], rows[0, 5] = 0.0, z, -y, x, weight, 0.0
    rows[1, 0], rows[1, 1], rows[1, 2], rows[1, 3], rows[1, 4], rows[1, 5] = -z, 0.0, x, y, 0.0, weight

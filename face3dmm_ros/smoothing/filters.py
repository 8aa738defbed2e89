"""The filters of a tracked face's motion and of its landmarks; see `face_smoother`."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.compiled import compiled
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.values import FaceParameters
from face3dmm_ros.fitting.pose_step import POSE_SIZE, moved, step_between
from face3dmm_ros.morphable_model.model import MorphableModel

_SHARE = 0.3
"""How far a weight's jitter moves the landmarks, RMS, as a share of their own jitter; measured on the sample clip and
on faces at rest."""

_CHANCE = 2.0
"""Chosen by hand: residuals of landmarks to the model below so many sigmas of jitter are taken for noise."""

_Number = TypeVar("_Number", float, NDArray[np.float64])
_Array = TypeVar("_Array", NDArray[np.float32], NDArray[np.float64])


@dataclass(frozen=True)
class SmoothingOptions:
    """How strongly the filters smooth. Lengths are mm on the face, so that its size in the image does not matter.

    The defaults were chosen by hand; docs/fitting.md has what jitter and lag they leave.

    Attributes:
        noise_mm: jitter of landmarks from image to image, RMS, where the detector gives no standard deviation.
        noise_per_deviation: jitter per standard deviation where it does; most of the error is constant in time.
        weight_noise: upper limit of the weights' jitter, in the model's σ, where landmarks jitter by `noise_mm`.
        rest_acceleration: `constant_velocity`: process noise at rest, RMS acceleration, mm/s²; lower is steadier.
        agreement: `constant_velocity`: share of the smoothed product of successive innovations that is added to the
            process noise; higher follows sooner.
        agreement_cutoff_hz: `constant_velocity`: cutoff frequency of the low-pass of that product.
        chance_agreement: `constant_velocity`: the product below so many noise variances is taken for chance.
        sudden_agreement: `constant_velocity`: as `agreement`, of the product of the last two innovations alone; higher
            follows a start sooner.
        least_sudden: `constant_velocity`: as `chance_agreement`, of the product of the last two innovations alone.
        rest_cutoff_hz: cutoff frequency for a face at rest; lower is steadier (`constant_velocity`: of weights).
        cutoff_per_speed: `one_euro`: β of the paper: Hz by which the cutoff rises per mm/s; higher follows sooner.
        speed_cutoff_hz: `one_euro`: cutoff frequency of the speed.
        longest_gap_s: after a longer time without the face, and where time goes back, smoothing begins anew.
    """

    noise_mm: float = 0.3
    noise_per_deviation: float = 0.28
    weight_noise: float = 0.1
    rest_acceleration: float = 0.5
    agreement: float = 0.01
    agreement_cutoff_hz: float = 1.0
    chance_agreement: float = 0.1
    sudden_agreement: float = 0.05
    least_sudden: float = 2.0
    rest_cutoff_hz: float = 0.3
    cutoff_per_speed: float = 0.7
    speed_cutoff_hz: float = 3.0
    longest_gap_s: float = 0.5

    def __post_init__(self) -> None:
        """Check that all options are positive.

        Raises:
            Face3DMMError: an option is not a positive finite number.
        """
        for name, value in vars(self).items():
            if not 0.0 < value < math.inf:
                raise Face3DMMError(f"smoothing needs a positive {name}, not {value}")


@dataclass(frozen=True, eq=False)
class Motion:
    """What moves of a face: its camera, of points about the landmarks' middle (t is where that is seen, px), and β."""

    camera: WeakPerspective
    beta: NDArray[np.float64]

    def step_to(self, other: "Motion") -> NDArray[np.float64]:
        """The change to another: a pose step and Δβ, (6 + E,)."""
        return np.concatenate([step_between(self.camera, other.camera), other.beta - self.beta])

    def carried(self, carried: Callable[[WeakPerspective], WeakPerspective]) -> "Motion":
        """This, as another camera sees it."""
        return replace(self, camera=carried(self.camera))

    def moved(self, step: NDArray[np.float64]) -> "Motion":
        """This, a step further."""
        return Motion(moved(self.camera, step[:POSE_SIZE]), self.beta + step[POSE_SIZE:])


@dataclass(frozen=True, eq=False)
class Seen:
    """The measurement of a face in one image, with its noise.

    Attributes:
        motion: its pose and weights.
        noise: (6 + E,) jitter (sigma from image to image) of each number of a step.
        noise_mm: jitter of the landmarks on the face, RMS.
        noise_px: jitter of each landmark, (P,), or the same for all, (1,), px.
    """

    motion: Motion
    noise: NDArray[np.float64]
    noise_mm: float
    noise_px: NDArray[np.float32]


class ModelLandmarks:
    """A model's landmarks of one scheme, and the motion that they show."""

    def __init__(self, model: MorphableModel, scheme: str, options: SmoothingOptions) -> None:
        at = model.at_points(model.scheme(scheme))
        # float32 tells them to a thousandth of a pixel, in half the time.
        self._mean = at.mean.T.ravel().astype(np.float32)
        self._shape, self._expression = (
            np.ascontiguousarray(basis.transpose(2, 1, 0), np.float32).reshape(-1, at.mean.size)
            for basis in (at.shape, at.expression)
        )
        self._middle = at.mean.mean(axis=0)
        about = at.mean - self._middle
        self._spread = about.T @ about / len(about)
        # A weight that moves all landmarks far, such as the jaw's, is known more precisely than others.
        reach = np.sqrt((at.expression**2).sum(axis=1).mean(axis=0))
        of_any = options.weight_noise / options.noise_mm * model.expression_sigma
        self._weight_jitter = np.minimum(of_any, _SHARE / np.maximum(reach, 1e-9))

    def motion(self, camera: WeakPerspective, beta: NDArray[np.float64]) -> Motion:
        """The motion of a camera and β."""
        return Motion(replace(camera, translation=camera.project(self._middle)), beta)

    def camera(self, motion: Motion) -> WeakPerspective:
        """The camera of a motion."""
        camera = motion.camera
        return replace(camera, translation=camera.translation - camera.scale * (camera.rotation[:2] @ self._middle))

    def jitter(self, camera: WeakPerspective) -> NDArray[np.float64]:
        """Jitter of each number of a step, (6 + E,), per mm of jitter of the landmarks.

        For the pose, the step that moves the landmarks in the image by as much, RMS. A rotation out of the image plane
        moves them by their depth, which is little, so it is noisier than one within the plane.
        """
        spread = camera.rotation @ self._spread @ camera.rotation.T
        turn = 1.0 / math.sqrt(spread[2, 2])
        roll = 1.0 / math.sqrt(spread[0, 0] + spread[1, 1])
        return np.concatenate([[turn, turn, roll, roll, camera.scale, camera.scale], self._weight_jitter])

    def neutral(self, alpha: NDArray[np.float64]) -> NDArray[np.float32]:
        """The landmarks of an identity without expression, (3P,) mm."""
        return self._mean + alpha.astype(np.float32) @ self._shape

    def projected(self, neutral: NDArray[np.float32], face: FaceParameters) -> NDArray[np.float32]:
        """Where a face's camera sees a neutral face's landmarks under the face's expression, (2, P) px.

        Raises:
            Face3DMMError: the number of weights is not the model's.
        """
        camera, count = face.camera, len(self._expression)
        if len(face.beta) != count:
            raise Face3DMMError(f"the model has {count} expression weights, the face {len(face.beta)}")
        numbers = (camera.scale * camera.rotation[:2], camera.translation, face.beta)
        return _projected(neutral, self._expression, *(np.ascontiguousarray(array, np.float32) for array in numbers))


@compiled
def _projected(
    neutral: NDArray[np.float32],
    expression: NDArray[np.float32],
    view: NDArray[np.float32],
    translation: NDArray[np.float32],
    beta: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Points (3P,) + β·expression (E, 3P), mm, projected by the matrix s·P·R, (2, 3), and t: (2, P) px."""
    points, P = neutral.copy(), len(neutral) // 3
    for e in range(len(beta)):
        for i in range(3 * P):
            points[i] += beta[e] * expression[e, i]
    projected = np.empty((2, P), np.float32)
    for axis in range(2):
        for p in range(P):
            x, y, z = points[p], points[P + p], points[2 * P + p]
            projected[axis, p] = view[axis, 0] * x + view[axis, 1] * y + view[axis, 2] * z + translation[axis]
    return projected


class Filter(Protocol):
    """One face's filter; it holds its memory."""

    def carry(self, carried: Callable[[WeakPerspective], WeakPerspective]) -> None:
        """Take for remembered what the camera would have seen from where it is now.

        Speeds keep their numbers: they are the head's own, and the camera's axes turn little from image to image.
        """
        ...

    def update(self, seen: Seen, dt: float) -> Motion:
        """The smoothed motion after what was seen dt seconds later."""
        ...


class _ConstantVelocity:
    """Pose by an adaptive Kalman filter of position and velocity; weights by the gain of `_shrinkage`.

    The innovations of an optimal filter are white; where it lags, successive ones are correlated (Mehra, On the
    identification of variances and adaptive Kalman filtering, 1970), and the process noise grows with their product.
    Each number of the pose has a velocity and a covariance of its own, the latter in mm of landmark motion.
    """

    def __init__(self, start: Seen, options: SmoothingOptions) -> None:
        self._options = options
        self._smoothed = start.motion
        self._velocity = np.zeros(POSE_SIZE)
        # (3, 6): of the position, of position and velocity, of the velocity.
        self._covariance = np.tile([[start.noise_mm * start.noise_mm], [0.0], [1e4]], POSE_SIZE)
        self._last_mm = np.zeros(POSE_SIZE)
        self._shared = np.zeros(POSE_SIZE)

    def carry(self, carried: Callable[[WeakPerspective], WeakPerspective]) -> None:
        self._smoothed = self._smoothed.carried(carried)

    def update(self, seen: Seen, dt: float) -> Motion:
        options, noise = self._options, seen.noise_mm * seen.noise_mm  # not **2, which raises where it overflows
        step = np.zeros(len(seen.noise))
        step[:POSE_SIZE] = dt * self._velocity
        predicted = self._smoothed.moved(step)
        innovation = predicted.step_to(seen.motion)
        innovation_mm = innovation[:POSE_SIZE] * (seen.noise_mm / seen.noise[:POSE_SIZE])
        product = innovation_mm * self._last_mm
        self._shared += filter_gain(options.agreement_cutoff_hz, dt) * (product - self._shared)
        self._last_mm = innovation_mm
        lasting = options.agreement * np.maximum(0.0, self._shared - options.chance_agreement * noise)
        sudden = options.sudden_agreement * np.maximum(0.0, product - options.least_sudden * noise)
        # Process noise enters with the velocity at the last image and moves the position since then.
        self._covariance[2] += (options.rest_acceleration * dt) ** 2 + (lasting + sudden) / dt**2
        P = np.array([[1.0, 2.0 * dt, dt**2], [0.0, 1.0, dt], [0.0, 0.0, 1.0]]) @ self._covariance
        gain, velocity_gain = P[:2] / (P[0] + noise)
        P[2] -= velocity_gain * P[1]
        P[:2] -= gain * P[:2]
        self._covariance = P
        self._velocity += velocity_gain * innovation[:POSE_SIZE]
        least = filter_gain(options.rest_cutoff_hz, dt)
        shrinkage = _shrinkage(innovation[POSE_SIZE:], seen.noise[POSE_SIZE:], least)
        self._smoothed = predicted.moved(np.concatenate([gain, shrinkage]) * innovation)
        return self._smoothed


class _OneEuro:
    """The One Euro filter (Casiez, Roussel & Vogel, CHI 2012): a low-pass whose cutoff rises with the speed."""

    def __init__(self, start: Seen, options: SmoothingOptions) -> None:
        self._options = options
        self._smoothed = self._last = start.motion
        self._velocity = np.zeros(len(start.noise))

    def carry(self, carried: Callable[[WeakPerspective], WeakPerspective]) -> None:
        self._smoothed, self._last = self._smoothed.carried(carried), self._last.carried(carried)

    def update(self, seen: Seen, dt: float) -> Motion:
        options = self._options
        velocity = self._last.step_to(seen.motion) / dt
        self._velocity += filter_gain(options.speed_cutoff_hz, dt) * (velocity - self._velocity)
        speed_mm = np.abs(self._velocity) * (seen.noise_mm / seen.noise)
        cutoff = options.rest_cutoff_hz + options.cutoff_per_speed * speed_mm
        self._smoothed = self._smoothed.moved(filter_gain(cutoff, dt) * self._smoothed.step_to(seen.motion))
        self._last = seen.motion
        return self._smoothed


def filter_gain(cutoff_hz: _Number, dt: float) -> _Number:
    """Of a first-order low-pass, for one step of dt seconds."""
    return 1.0 / (1.0 + 1.0 / (2.0 * math.pi * dt * cutoff_hz))


def _shrinkage(innovation: _Array, noise: _Array, least: float) -> _Array:
    """Gain for innovations ν under noise of standard deviation σ: 1 − σ²/ν², and at least a low-pass's gain.

    It is the Kalman gain with ν² for the innovation's variance (shrinkage as by James & Stein, 1961).
    """
    variance = noise * noise
    return np.maximum(least, 1.0 - variance / np.maximum(innovation * innovation, variance))


FILTERS: dict[str, Callable[[Seen, SmoothingOptions], Filter]] = {
    "constant_velocity": _ConstantVelocity,
    "one_euro": _OneEuro,
}

SMOOTHING_METHODS = (*FILTERS, "none")
"""The names that `FaceSmoother` knows, the default first."""


class LandmarkFilter:
    """Moves a face's landmarks with its smoothed model, and averages their residual to the model."""

    def __init__(self, model: ModelLandmarks, face: FaceParameters, points: NDArray[np.float32]) -> None:
        self._model = model
        self._face = face
        self._neutral = model.neutral(face.alpha)
        self._residual = points.T - self._model.projected(self._neutral, face)
        self._images = 1

    def update(
        self,
        fitted: FaceParameters,
        smoothed: FaceParameters,
        points: NDArray[np.float32],
        noise_px: NDArray[np.float32],
        least: float,
    ) -> NDArray[np.float32]:
        """The landmarks, (P, 2) px, of a face whose parameters were smoothed.

        Args:
            fitted: its parameters as they were.
            smoothed: its parameters now.
            points: (P, 2) the landmarks as they were seen, px.
            noise_px: jitter of each, (P,) or (1,).
            least: gain where the innovation is within the noise.
        """
        if (fitted.alpha != self._face.alpha).any():
            # The identity's estimate has changed, the landmarks have not.
            neutral = self._model.neutral(fitted.alpha)
            before, after = (self._model.projected(shape, self._face) for shape in (self._neutral, neutral))
            self._residual += before - after
            self._neutral = neutral
        self._face = smoothed
        seen, carried = (self._model.projected(self._neutral, face) for face in (fitted, smoothed))
        innovation = np.ascontiguousarray(points.T) - seen - self._residual
        # A low-pass would keep the first image's noise for long: at first the mean of all images is taken.
        self._images += 1
        least = max(least, 1.0 / self._images)
        self._residual += _shrinkage(innovation, _CHANCE * noise_px, least) * innovation
        return (carried + self._residual).T

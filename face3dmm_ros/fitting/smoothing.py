"""Smoothing of tracked faces over time: less noise, at rest and in motion, with hardly any lag.

Pose and expression weights are filtered separately, because they move differently.

- A head has inertia. Each number of the pose has a Kalman filter of position and velocity; its process noise grows with
  the correlation of successive innovations, so that a single outlier, however large, is taken for noise.
- An eyelid closes within one image. A weight follows an innovation at once where it far exceeds the noise, and is
  averaged otherwise.

The errors of s, R, t and β are correlated, and separate gains would break what compensates in the image. So the pose is
parametrised with nearly independent errors: the head turns about the mean of its landmarks instead of the model's
origin, about which an error of the rotation comes with one of the translation. Errors of weights that the pose
compensates remain coupled: where the former are smoothed, the latter may show.

Landmarks move with the smoothed model, and so does the expression that a detector has read; their residual to the model
is averaged as the weights are. So a later fit to them, such as that under full perspective, finds the smoothed face.
The identity α passes unchanged: the fit already averages it over the track.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.face_memory import FaceMemory
from face3dmm_ros.core.values import FaceParameters, Landmarks, TrackedFace
from face3dmm_ros.fitting.observation import in_a_known_scheme, weights_read
from face3dmm_ros.fitting.pose_step import POSE_SIZE, moved, step_between
from face3dmm_ros.morphable_model.model import MorphableModel

_SHORTEST_STEP = 0.01
"""s; chosen by hand: over shorter steps, as between images with nearly equal stamps, noise would look like speed."""

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
class _Motion:
    """What moves of a face: its camera, of points about the landmarks' middle (t is where that is seen, px), and β."""

    camera: WeakPerspective
    beta: NDArray[np.float64]

    def step_to(self, other: "_Motion") -> NDArray[np.float64]:
        """The change to another: a pose step and Δβ, (6 + E,)."""
        return np.concatenate([step_between(self.camera, other.camera), other.beta - self.beta])

    def moved(self, step: NDArray[np.float64]) -> "_Motion":
        """This, a step further."""
        return _Motion(moved(self.camera, step[:POSE_SIZE]), self.beta + step[POSE_SIZE:])


@dataclass(frozen=True, eq=False)
class _Seen:
    """The measurement of a face in one image, with its noise.

    Attributes:
        motion: its pose and weights.
        noise: (6 + E,) jitter (sigma from image to image) of each number of a step.
        noise_mm: jitter of the landmarks on the face, RMS.
        noise_px: jitter of each landmark, (P,), or the same for all, (1,), px.
    """

    motion: _Motion
    noise: NDArray[np.float64]
    noise_mm: float
    noise_px: NDArray[np.float32]


class _ModelLandmarks:
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

    def motion(self, camera: WeakPerspective, beta: NDArray[np.float64]) -> _Motion:
        """The motion of a camera and β."""
        return _Motion(replace(camera, translation=camera.project(self._middle)), beta)

    def camera(self, motion: _Motion) -> WeakPerspective:
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

    def projected(self, neutral: NDArray[np.float32], *faces: FaceParameters) -> list[NDArray[np.float32]]:
        """Where the cameras of faces see a neutral face's landmarks under their expressions, (2, P) px each."""
        points = neutral + np.array([face.beta for face in faces], np.float32) @ self._expression
        return [
            (face.camera.scale * face.camera.rotation[:2]).astype(np.float32) @ moved.reshape(3, -1)
            + face.camera.translation.astype(np.float32)[:, None]
            for face, moved in zip(faces, points, strict=True)
        ]


class _Filter(Protocol):
    """One face's filter; it holds its memory."""

    def update(self, seen: _Seen, dt: float) -> _Motion:
        """The smoothed motion after what was seen dt seconds later."""
        ...


class _ConstantVelocity:
    """Pose by an adaptive Kalman filter of position and velocity; weights by the gain of `_shrinkage`.

    The innovations of an optimal filter are white; where it lags, successive ones are correlated (Mehra, On the
    identification of variances and adaptive Kalman filtering, 1970), and the process noise grows with their product.
    Each number of the pose has a velocity and a covariance of its own, the latter in mm of landmark motion.
    """

    def __init__(self, start: _Seen, options: SmoothingOptions) -> None:
        self._options = options
        self._smoothed = start.motion
        self._velocity = np.zeros(POSE_SIZE)
        # (3, 6): of the position, of position and velocity, of the velocity.
        self._covariance = np.tile([[start.noise_mm**2], [0.0], [1e4]], POSE_SIZE)
        self._last_mm = np.zeros(POSE_SIZE)
        self._shared = np.zeros(POSE_SIZE)

    def update(self, seen: _Seen, dt: float) -> _Motion:
        options, noise = self._options, seen.noise_mm**2
        step = np.zeros(len(seen.noise))
        step[:POSE_SIZE] = dt * self._velocity
        predicted = self._smoothed.moved(step)
        innovation = predicted.step_to(seen.motion)
        innovation_mm = innovation[:POSE_SIZE] * (seen.noise_mm / seen.noise[:POSE_SIZE])
        product = innovation_mm * self._last_mm
        self._shared += _gain(options.agreement_cutoff_hz, dt) * (product - self._shared)
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
        least = _gain(options.rest_cutoff_hz, dt)
        shrinkage = _shrinkage(innovation[POSE_SIZE:], seen.noise[POSE_SIZE:], least)
        self._smoothed = predicted.moved(np.concatenate([gain, shrinkage]) * innovation)
        return self._smoothed


class _OneEuro:
    """The One Euro filter (Casiez, Roussel & Vogel, CHI 2012): a low-pass whose cutoff rises with the speed."""

    def __init__(self, start: _Seen, options: SmoothingOptions) -> None:
        self._options = options
        self._smoothed = self._last = start.motion
        self._velocity = np.zeros(len(start.noise))

    def update(self, seen: _Seen, dt: float) -> _Motion:
        options = self._options
        velocity = self._last.step_to(seen.motion) / dt
        self._velocity += _gain(options.speed_cutoff_hz, dt) * (velocity - self._velocity)
        speed_mm = np.abs(self._velocity) * (seen.noise_mm / seen.noise)
        cutoff = options.rest_cutoff_hz + options.cutoff_per_speed * speed_mm
        self._smoothed = self._smoothed.moved(_gain(cutoff, dt) * self._smoothed.step_to(seen.motion))
        self._last = seen.motion
        return self._smoothed


def _gain(cutoff_hz: _Number, dt: float) -> _Number:
    """Of a first-order low-pass, for one step of dt seconds."""
    return 1.0 / (1.0 + 1.0 / (2.0 * math.pi * dt * cutoff_hz))


def _shrinkage(innovation: _Array, noise: _Array, least: float) -> _Array:
    """Gain for innovations ν under noise of standard deviation σ: 1 − σ²/ν², and at least a low-pass's gain.

    It is the Kalman gain with ν² for the innovation's variance (shrinkage as by James & Stein, 1961).
    """
    variance = noise * noise
    return np.maximum(least, 1.0 - variance / np.maximum(innovation * innovation, variance))


_FILTERS: dict[str, Callable[[_Seen, SmoothingOptions], _Filter]] = {
    "constant_velocity": _ConstantVelocity,
    "one_euro": _OneEuro,
}

SMOOTHING_METHODS = (*_FILTERS, "none")
"""The names that `FaceSmoother` knows, the default first."""


class _LandmarkFilter:
    """Moves a face's landmarks with its smoothed model, and averages their residual to the model."""

    def __init__(self, model: _ModelLandmarks, face: FaceParameters, points: NDArray[np.float32]) -> None:
        self._model = model
        self._face = face
        self._neutral = model.neutral(face.alpha)
        self._residual = points.T - self._model.projected(self._neutral, face)[0]
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
            before, after = (self._model.projected(shape, self._face)[0] for shape in (self._neutral, neutral))
            self._residual += before - after
            self._neutral = neutral
        self._face = smoothed
        seen, carried = self._model.projected(self._neutral, fitted, smoothed)
        innovation = np.ascontiguousarray(points.T) - seen - self._residual
        # A low-pass would keep the first image's noise for long: at first the mean of all images is taken.
        self._images += 1
        least = max(least, 1.0 / self._images)
        self._residual += _shrinkage(innovation, _CHANCE * noise_px, least) * innovation
        return (carried + self._residual).T


@dataclass(eq=False)
class _Track:
    """A face's filters, with the time of its last image, s, and of how many weights and landmarks it consists."""

    motion: _Filter
    landmarks: _LandmarkFilter
    time: float
    sizes: tuple[int, int]


class FaceSmoother(FaceMemory[_Track]):
    """Smooths tracked faces over time, each with a memory of its own.

    The fit goes on from its own, unsmoothed state; smoothing comes after it and feeds nothing back.
    """

    def __init__(
        self, model: MorphableModel, method: str = SMOOTHING_METHODS[0], options: SmoothingOptions | None = None
    ) -> None:
        """Smooth faces of a model by one of `SMOOTHING_METHODS`.

        Raises:
            Face3DMMError: an unknown method.
        """
        if method not in SMOOTHING_METHODS:
            raise Face3DMMError(f"unknown smoothing {method!r}; known: {', '.join(SMOOTHING_METHODS)}")
        self.method = method
        self._model = model
        self.options = options or SmoothingOptions()
        self._read = weights_read(model)
        self._model_landmarks: dict[str, _ModelLandmarks] = {}
        super().__init__()

    def smooth(self, face: TrackedFace, time: float) -> TrackedFace:
        """The face with pose, expression and landmarks smoothed, and the gaze that they make.

        Args:
            face: of one image of a sequence. Landmarks in a scheme that the model does not know come out in one that it
                knows.
            time: when that image was taken, s; the steps between images may differ. A track begins anew where time
                goes back, leaps or is not finite.

        Raises:
            Face3DMMError: the model knows no scheme of these landmarks.
        """
        if self.method == "none":
            return face
        if not (math.isfinite(time) and _is_finite(face)):
            # What is not finite must not stay in a filter's memory.
            self._faces.pop(face.face_id, None)
            return face
        face = replace(face, landmarks=in_a_known_scheme(face.landmarks, self._model))
        fitted, landmarks = face.parameters, face.landmarks
        model = self._landmarks_of(landmarks.scheme)
        seen = self._see(model, fitted, landmarks)
        sizes = len(fitted.beta), len(landmarks.points)
        track = self._faces.get(face.face_id)
        if track is None or not 0.0 <= time - track.time <= self.options.longest_gap_s or track.sizes != sizes:
            filters = _FILTERS[self.method](seen, self.options), _LandmarkFilter(model, fitted, landmarks.points)
            self._faces[face.face_id] = _Track(*filters, time, sizes)
            return face
        dt = max(time - track.time, _SHORTEST_STEP)
        track.time = time
        motion = track.motion.update(seen, dt)
        camera, beta = model.camera(motion), motion.beta
        smoothed = replace(fitted, camera=camera, beta=beta, gaze=self._model.gaze(camera.rotation, beta))
        least = _gain(self.options.rest_cutoff_hz, dt)
        points = track.landmarks.update(fitted, smoothed, landmarks.points, seen.noise_px, least)
        expression = landmarks.expression
        if expression is not None and len(self._read):
            expression = expression + (beta - fitted.beta)[self._read].astype(np.float32)
        return TrackedFace(face.face_id, replace(landmarks, points=points, expression=expression), smoothed)

    def _landmarks_of(self, scheme: str) -> _ModelLandmarks:
        if scheme not in self._model_landmarks:
            self._model_landmarks[scheme] = _ModelLandmarks(self._model, scheme, self.options)
        return self._model_landmarks[scheme]

    def _see(self, model: _ModelLandmarks, parameters: FaceParameters, landmarks: Landmarks) -> _Seen:
        options, camera = self.options, parameters.camera
        if landmarks.deviation is None:
            noise_px = np.array([options.noise_mm * camera.scale], np.float32)
        else:
            noise_px = options.noise_per_deviation * landmarks.deviation
        noise_mm = math.sqrt(float(noise_px @ noise_px) / len(noise_px)) / camera.scale
        return _Seen(model.motion(camera, parameters.beta), noise_mm * model.jitter(camera), noise_mm, noise_px)


def _is_finite(face: TrackedFace) -> bool:
    """Whether all numbers that are smoothed, or say how finely they are seen, are finite."""
    parameters, landmarks = face.parameters, face.landmarks
    camera, deviation = parameters.camera, () if landmarks.deviation is None else landmarks.deviation
    numbers = (camera.rotation.flat, camera.translation, parameters.alpha, parameters.beta, landmarks.points.flat)
    return 0.0 < camera.scale < math.inf and bool(np.isfinite(np.concatenate([*numbers, deviation])).all())

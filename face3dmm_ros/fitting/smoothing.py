"""Time smoothing of tracked faces that takes away jitter and hardly lags.

Pose, expression and landmarks of a face are filtered with one gain for all of them. The errors of s, R, t and β belong
together: one makes up for another where the face is seen. Filters that judged each by itself would tear that apart and
could make the face jitter more. Under one gain it is what is seen that is smoothed, for the projection of a small
change is linear in it. The identity α passes as it is: the fit already averages it over the track.
"""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.camera import WeakPerspective, rotation_from_vector, rotation_vector
from face3dmm_ros.errors import Face3DMMError
from face3dmm_ros.morphable_model.model import MorphableModel
from face3dmm_ros.values import TrackedFace

_SHORTEST_STEP = 0.01
"""s; noise between images stamped alike, or nearly so, would pass for speed."""


@dataclass(frozen=True)
class SmoothingOptions:
    """How strongly the filters smooth. Lengths are mm on the face, so that its size in the image does not matter.

    Attributes:
        noise_mm: `constant_velocity`: how far landmarks jitter on a still face, RMS.
        rest_acceleration: `constant_velocity`: how a face at rest accelerates, RMS, mm/s²; lower is steadier.
        surprise_cutoff_hz: `constant_velocity`: cutoff frequency of the surprise that raises it for a face that moves.
        rest_cutoff_hz: `one_euro`: cutoff frequency for a face at rest; lower is steadier.
        cutoff_per_speed: `one_euro`: Hz by which the cutoff rises per mm/s of the landmarks; higher follows sooner.
        speed_cutoff_hz: `one_euro`: cutoff frequency of that speed.
        longest_gap_s: after a longer time without the face, and where time goes back, smoothing begins anew.
    """

    noise_mm: float = 0.3
    rest_acceleration: float = 0.5
    surprise_cutoff_hz: float = 5.0
    rest_cutoff_hz: float = 0.3
    cutoff_per_speed: float = 0.5
    speed_cutoff_hz: float = 3.0
    longest_gap_s: float = 0.5

    def __post_init__(self) -> None:
        """Check that all are positive.

        Raises:
            Face3DMMError: one is not.
        """
        for name, value in vars(self).items():
            if not 0.0 < value < math.inf:
                raise Face3DMMError(f"smoothing needs a positive {name}, not {value}")


@dataclass(frozen=True, eq=False)
class _Motion:
    """What moves about a face: camera, β (E,) and landmarks (2P,), px."""

    camera: WeakPerspective
    beta: NDArray[np.float64]
    points: NDArray[np.float64]

    @staticmethod
    def of(face: TrackedFace) -> "_Motion":
        return _Motion(
            face.parameters.camera, face.parameters.beta, np.asarray(face.landmarks.points, np.float64).ravel()
        )

    @property
    def size(self) -> int:
        """Length of a step."""
        return 6 + len(self.beta) + len(self.points)

    @property
    def finite(self) -> bool:
        camera = self.camera
        numbers = (camera.rotation, camera.translation, self.beta, self.points)
        return 0.0 < camera.scale < math.inf and all(np.isfinite(values).all() for values in numbers)

    def step_to(self, other: "_Motion") -> NDArray[np.float64]:
        """The change to another: rotation vector (3), Δlog s, Δt (2), Δβ (E), Δpoints (2P)."""
        step = np.empty(self.size)
        here, there, E = self.camera, other.camera, len(self.beta)
        step[:3] = rotation_vector(there.rotation @ here.rotation.T)
        step[3] = math.log(there.scale / here.scale)
        step[4:6] = there.translation - here.translation
        step[6 : 6 + E] = other.beta - self.beta
        step[6 + E :] = other.points - self.points
        return step

    def moved(self, step: NDArray[np.float64]) -> "_Motion":
        """This, a step further."""
        camera, E = self.camera, len(self.beta)
        return _Motion(
            WeakPerspective(
                camera.scale * math.exp(step[3]),
                rotation_from_vector(step[:3]) @ camera.rotation,
                camera.translation + step[4:6],
            ),
            self.beta + step[6 : 6 + E],
            self.points + step[6 + E :],
        )

    def length_mm(self, step: NDArray[np.float64]) -> float:
        """How far a step moves the landmarks on the face: RMS over them, mm."""
        moved = step[6 + len(self.beta) :]
        return math.sqrt(2.0 * float(moved @ moved) / max(len(moved), 1)) / self.camera.scale


class _Filter(Protocol):
    """One face's filter; it holds its memory."""

    def update(self, seen: _Motion, dt: float) -> _Motion:
        """The smoothed motion after what was seen dt seconds later."""
        ...


class _ConstantVelocity:
    """A Kalman filter of position and velocity, driven by white acceleration.

    All that moves shares one covariance, which depends on the time steps and on how surprising the landmarks are: where
    they depart from the prediction by more than the filter expects, its acceleration grows (adjustable process noise:
    Bar-Shalom, Li & Kirubarajan, Estimation with Applications to Tracking and Navigation, 2001, section 11.2).
    """

    def __init__(self, start: _Motion, options: SmoothingOptions) -> None:
        self._options = options
        self._smoothed = start
        self._velocity = np.zeros(start.size)
        self._covariance = np.diag([options.noise_mm**2, 1e4])
        self._surprise = 0.0

    def update(self, seen: _Motion, dt: float) -> _Motion:
        options = self._options
        predicted = self._smoothed.moved(dt * self._velocity)
        innovation = predicted.step_to(seen)
        surprise = seen.length_mm(innovation)
        self._surprise += _gain(options.surprise_cutoff_hz, dt) * (surprise - self._surprise)
        excess = max(0.0, self._surprise - 1.5 * options.noise_mm)
        acceleration = options.rest_acceleration + excess / dt**2
        F = np.array([[1.0, dt], [0.0, 1.0]])
        drive = acceleration * np.array([0.5 * dt**2, dt])
        P = F @ self._covariance @ F.T + np.outer(drive, drive)
        gain = P[:, 0] / (P[0, 0] + options.noise_mm**2)
        self._covariance = P - np.outer(gain, P[0])
        self._smoothed = predicted.moved(gain[0] * innovation)
        self._velocity += gain[1] * innovation
        return self._smoothed


class _OneEuro:
    """The One Euro filter (Casiez, Roussel & Vogel, CHI 2012): a low-pass whose cutoff rises with the speed."""

    def __init__(self, start: _Motion, options: SmoothingOptions) -> None:
        self._options = options
        self._smoothed = start
        self._last = start
        self._velocity = np.zeros(start.size)

    def update(self, seen: _Motion, dt: float) -> _Motion:
        options = self._options
        velocity = self._last.step_to(seen) / dt
        self._velocity += _gain(options.speed_cutoff_hz, dt) * (velocity - self._velocity)
        cutoff = options.rest_cutoff_hz + options.cutoff_per_speed * seen.length_mm(self._velocity)
        self._smoothed = self._smoothed.moved(_gain(cutoff, dt) * self._smoothed.step_to(seen))
        self._last = seen
        return self._smoothed


def _gain(cutoff_hz: float, dt: float) -> float:
    """Of a first-order low-pass, for one step of dt seconds."""
    return 1.0 / (1.0 + 1.0 / (2.0 * np.pi * cutoff_hz * dt))


_FILTERS: dict[str, Callable[[_Motion, SmoothingOptions], _Filter]] = {
    "constant_velocity": _ConstantVelocity,
    "one_euro": _OneEuro,
}

SMOOTHING_METHODS = (*_FILTERS, "none")
"""The names that `FaceSmoother` knows, the default first."""


@dataclass(eq=False)
class _Track:
    """A face's filter with what it must go on from.

    Attributes:
        time: of its last image, s.
        smoothed: what it said then.
    """

    filter: _Filter
    time: float
    smoothed: _Motion


class FaceSmoother:
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
        self._bounds = model.expression_bounds.astype(np.float64)
        self.options = options or SmoothingOptions()
        self._tracks: dict[int, _Track] = {}

    def smooth(self, face: TrackedFace, time: float) -> TrackedFace:
        """The face with pose, expression and landmarks smoothed, and the gaze that they make.

        Args:
            face: of one image of a sequence.
            time: when that image was taken, s; the steps between images may differ. A track begins anew where time
                goes back, leaps or is not finite.
        """
        if self.method == "none":
            return face
        seen = _Motion.of(face)
        if not (math.isfinite(time) and seen.finite):
            # What is not finite must not stay in a filter's memory.
            self._tracks.pop(face.face_id, None)
            return face
        track = self._tracks.get(face.face_id)
        if (
            track is None
            or not 0.0 <= time - track.time <= self.options.longest_gap_s
            or track.smoothed.size != seen.size
        ):
            self._tracks[face.face_id] = _Track(_FILTERS[self.method](seen, self.options), time, seen)
            return face
        track.smoothed = motion = track.filter.update(seen, max(time - track.time, _SHORTEST_STEP))
        track.time = time
        points = motion.points.reshape(-1, 2).astype(np.float32)
        beta = np.clip(motion.beta, *self._bounds)  # a prediction may overshoot
        return replace(
            face,
            landmarks=replace(face.landmarks, points=points),
            parameters=replace(
                face.parameters,
                camera=motion.camera,
                beta=beta,
                gaze=self._model.gaze(motion.camera.rotation, beta),
            ),
        )

    def retain(self, face_ids: Collection[int]) -> None:
        """Forget all tracks but these."""
        for face_id in [known for known in self._tracks if known not in face_ids]:
            del self._tracks[face_id]

    def reset(self) -> None:
        """Forget all tracks."""
        self._tracks.clear()

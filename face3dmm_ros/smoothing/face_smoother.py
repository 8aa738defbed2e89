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
What is told to lie over them is smoothed for those who draw (`smoothing.cover_smoother`); no fit asks for it.
The identity α passes unchanged: the fit already averages it over the track.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.face_memory import FaceMemory
from face3dmm_ros.core.values import FaceParameters, Landmarks, TrackedFace
from face3dmm_ros.fitting.observation import in_a_known_scheme, weights_read
from face3dmm_ros.morphable_model.model import MorphableModel
from face3dmm_ros.smoothing.camera_motion import CameraPlace, carried
from face3dmm_ros.smoothing.cover_smoother import CoverSmoother
from face3dmm_ros.smoothing.filters import (
    FILTERS,
    SMOOTHING_METHODS,
    Filter,
    LandmarkFilter,
    ModelLandmarks,
    Seen,
    SmoothingOptions,
    filter_gain,
)

_SHORTEST_STEP = 0.01
"""s; chosen by hand: over shorter steps, as between images with nearly equal stamps, noise would look like speed."""


@dataclass(eq=False)
class _Track:
    """A face's filters, with the time of its last image, s, of how many weights and landmarks it consists, and from
    where the camera saw it."""

    motion: Filter
    landmarks: LandmarkFilter
    time: float
    sizes: tuple[int, int]
    place: CameraPlace | None


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
        self._cover = CoverSmoother()
        self._read = weights_read(model)
        self._model_landmarks: dict[str, ModelLandmarks] = {}
        super().__init__()

    def smooth(self, face: TrackedFace, time: float, place: CameraPlace | None = None) -> TrackedFace:
        """The face with pose, expression and landmarks smoothed, and the gaze that they make.

        Args:
            face: of one image of a sequence. Landmarks in a scheme that the model does not know come out in one that it
                knows.
            time: when that image was taken, s; the steps between images may differ. A track begins anew where time
                goes back, leaps or is not finite, and where numbers are so large or small that none can be smoothed.
            place: where the camera was then, in a frame in which faces are to be smoothed, because the camera moves;
                None: they are smoothed in the image's own.

        Raises:
            Face3DMMError: the model knows no scheme of these landmarks.
        """
        if self.method == "none":
            return face
        if not (math.isfinite(time) and _is_finite(face)):
            # What is not finite must not stay in a filter's memory.
            self._faces.pop(face.face_id, None)
            return face
        landmarks = in_a_known_scheme(face.landmarks, self._model)
        if landmarks.covered is not None:
            landmarks = replace(landmarks, covered=self._cover.smooth(face.face_id, landmarks.covered, time))
        face = replace(face, landmarks=landmarks)
        fitted, landmarks = face.parameters, face.landmarks
        model = self._landmarks_of(landmarks.scheme)
        seen = self._see(model, fitted, landmarks)
        sizes = len(fitted.beta), len(landmarks.points)
        track = self._faces.get(face.face_id)
        if track is None or not 0.0 <= time - track.time <= self.options.longest_gap_s or track.sizes != sizes:
            filters = FILTERS[self.method](seen, self.options), LandmarkFilter(model, fitted, landmarks.points)
            self._faces[face.face_id] = _Track(*filters, time, sizes, place)
            return face
        dt = max(time - track.time, _SHORTEST_STEP)
        if place is not None and track.place is not None:
            track.motion.carry(partial(carried, before=track.place, now=place))
        track.time, track.place = time, place
        motion = track.motion.update(seen, dt)
        camera, beta = model.camera(motion), motion.beta
        smoothed = replace(fitted, camera=camera, beta=beta, gaze=self._model.gaze(camera.rotation, beta))
        least = filter_gain(self.options.rest_cutoff_hz, dt)
        points = track.landmarks.update(fitted, smoothed, landmarks.points, seen.noise_px, least)
        expression = landmarks.expression
        if expression is not None and len(self._read):
            expression = expression + (beta - fitted.beta)[self._read].astype(np.float32)
        result = TrackedFace(face.face_id, replace(landmarks, points=points, expression=expression), smoothed)
        if not _is_finite(result):
            # Of finite numbers, squares and quotients need not be: what they left in the filters would stay there.
            del self._faces[face.face_id]
            return face
        return result

    def retain(self, face_ids: Collection[int]) -> None:
        """Forget all faces but these."""
        super().retain(face_ids)
        self._cover.retain(face_ids)

    def reset(self) -> None:
        """Forget all faces."""
        super().reset()
        self._cover.reset()

    def _landmarks_of(self, scheme: str) -> ModelLandmarks:
        if scheme not in self._model_landmarks:
            self._model_landmarks[scheme] = ModelLandmarks(self._model, scheme, self.options)
        return self._model_landmarks[scheme]

    def _see(self, model: ModelLandmarks, parameters: FaceParameters, landmarks: Landmarks) -> Seen:
        options, camera = self.options, parameters.camera
        if landmarks.deviation is None:
            noise_px = np.array([options.noise_mm * camera.scale], np.float32)
        else:
            noise_px = options.noise_per_deviation * landmarks.deviation
        noise_mm = math.sqrt(float(noise_px @ noise_px) / len(noise_px)) / camera.scale
        return Seen(model.motion(camera, parameters.beta), noise_mm * model.jitter(camera), noise_mm, noise_px)


def _is_finite(face: TrackedFace) -> bool:
    """Whether all numbers that are smoothed, or say how finely they are seen, are finite."""
    parameters, landmarks = face.parameters, face.landmarks
    camera, deviation = parameters.camera, () if landmarks.deviation is None else landmarks.deviation
    numbers = (camera.rotation.flat, camera.translation, parameters.alpha, parameters.beta, landmarks.points.flat)
    return 0.0 < camera.scale < math.inf and bool(np.isfinite(np.concatenate([*numbers, deviation])).all())

"""A film's landmarks to tracks: each person's identity from all of the film, then pose and expression of each image.

Once forward, for the identity; then backward with that identity. Filters of live images know the past alone, and lag
behind what moves. Here they run from both ends, and the mean of both lags neither way (as Rauch, Tung & Striebel's
smoother, AIAA Journal 1965, takes both sides' word): what lags in one direction is ahead in the other.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.values import FaceParameters, TrackedFace, TrackedLandmarks
from face3dmm_ros.films.landmark_store import LandmarkStore, LocatedFrame
from face3dmm_ros.films.tracks import FaceTrack
from face3dmm_ros.fitting.albedo import PersonColors
from face3dmm_ros.fitting.pose_step import moved, step_between
from face3dmm_ros.fitting.track_fitter import TrackFitter
from face3dmm_ros.morphable_model.model import MorphableModel
from face3dmm_ros.smoothing import SMOOTHING_METHODS, FaceSmoother

OFFLINE = "offline"
SMOOTHINGS = (OFFLINE, *SMOOTHING_METHODS)
"""By what comes before and after, or by one of the filters of live images, which know what comes before alone."""
"""How tracks are smoothed, the default first: from both sides; as live images are, by the past alone; not at all."""
PASSES = 3
"""How often `fit_film` goes through all frames; the last time only smooths."""


@dataclass(frozen=True, eq=False)
class _Kept:
    """A face in an image: as fitted, and smoothed by what comes after it."""

    fitted: FaceParameters
    by_future: FaceParameters


def fit_film(
    store: LandmarkStore,
    model: MorphableModel,
    smoothing: str = SMOOTHINGS[0],
    passed: Callable[[LocatedFrame], None] = lambda frame: None,
) -> list[FaceTrack]:
    """The tracks of a film's faces, ordered by face_id.

    Faces that cannot be fitted are left out.

    Args:
        store: the film's landmarks.
        model: the face model.
        smoothing: one of `SMOOTHINGS`.
        passed: hears of each frame that is done with, `PASSES` times of each, the first time in the film's order.

    Raises:
        Face3DMMError: an unknown smoothing, or the store is damaged.
    """
    if smoothing not in SMOOTHINGS:
        raise Face3DMMError(f"unknown smoothing {smoothing!r}; known: {', '.join(SMOOTHINGS)}")
    fitter, colors = TrackFitter(model), PersonColors(model)
    gammas: dict[int, np.ndarray] = {}
    for frame in store.frames():
        for face in frame.faces:
            if (fitted := _fitted(fitter, face)) is not None:
                gammas[face.face_id] = colors.color(fitted).parameters.gamma
        passed(frame)
    fitter.settle()
    # Its filter is that of live images unless told otherwise; backwards it is needed offline alone.
    offline = smoothing == OFFLINE
    by_future = FaceSmoother(model, SMOOTHING_METHODS[0] if offline else "none")
    kept: dict[tuple[int, int], _Kept] = {}
    for frame in store.frames(backward=True):
        for face in frame.faces:
            if (fitted := _fitted(fitter, face)) is not None:
                smoothed = by_future.smooth(fitted, -frame.time)
                kept[frame.index, face.face_id] = _Kept(fitted.parameters, smoothed.parameters)
        passed(frame)
    by_past = FaceSmoother(model, SMOOTHING_METHODS[0] if offline else smoothing)
    found: defaultdict[int, dict[int, FaceParameters]] = defaultdict(dict)
    for frame in store.frames():
        for face in frame.faces:
            if (known := kept.pop((frame.index, face.face_id), None)) is not None:
                smoothed = by_past.smooth(TrackedFace(face.face_id, face.landmarks, known.fitted), frame.time)
                parameters = smoothed.parameters
                if offline:
                    parameters = _between(parameters, known.by_future, model)
                gamma = gammas.get(face.face_id, parameters.gamma)
                found[face.face_id][frame.index] = replace(parameters, gamma=gamma)
        passed(frame)
    return [
        FaceTrack(face_id, np.array(list(track), np.int32), list(track.values()))
        for face_id, track in sorted(found.items())
    ]


def _fitted(fitter: TrackFitter, face: TrackedLandmarks) -> TrackedFace | None:
    try:
        return TrackedFace(face.face_id, face.landmarks, fitter.fit(face))
    except Face3DMMError:
        return None


def _between(one: FaceParameters, other: FaceParameters, model: MorphableModel) -> FaceParameters:
    """The face half way from one to the other."""
    camera = moved(one.camera, 0.5 * step_between(one.camera, other.camera))
    beta = 0.5 * (one.beta + other.beta)
    return replace(one, camera=camera, beta=beta, gaze=model.gaze(camera.rotation, beta))

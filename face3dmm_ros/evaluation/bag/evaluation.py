"""What a replayed bag says about the tracker: how often it finds, how steady it is, and how far from the truth."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from face3dmm_ros.bags.replay import STAGES, Replay
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import pose_angles, rotation_angle
from face3dmm_ros.core.values import FaceParameters, TrackedFace
from face3dmm_ros.evaluation.bag.sequence_metrics import (
    aligned_distance,
    jitter,
    lag,
    project,
    rms,
    rotation_vectors,
    runs,
    speed,
    summary,
    windows,
)
from face3dmm_ros.evaluation.metrics import angle_degrees
from face3dmm_ros.landmarks.schemes import IBUG68
from face3dmm_ros.morphable_model import MorphableModel, PointModel, SurfacePoints

JAW = "jawOpen"
Truth = Mapping[int, Mapping[int, FaceParameters]]
"""The true faces: by stamp, ns, and face_id."""

_REST_TRUTH_PX = 0.02
"""The truth rests while the RMS step of its landmarks from image to image stays below this."""
_REST_SPEED = 0.002
"""Without truth, a face rests while its landmarks move by less than this part of its size per image."""
_HEAD_WIDTH_MM = 150.0
_MIN_TURN_DEG, _MIN_WEIGHT = 0.5, 0.03
"""A curve whose truth varies by less (standard deviation) tells no lag."""
_CHUNK = 64


@dataclass(frozen=True, eq=False)
class FaceTrack:
    """One face over F images.

    Attributes:
        images: (F,) which images, ascending.
        scale: (F,) s, px/mm.
        rotation: (F, 3, 3) R.
        translation: (F, 2) t, px.
        alpha: (F, K), or (F, 0) where it is not this model's.
        beta: (F, E), likewise.
        gaze: (F, 3) where both eyes look; NaN where unknown.
    """

    images: NDArray[np.intp]
    scale: NDArray[np.float64]
    rotation: NDArray[np.float64]
    translation: NDArray[np.float64]
    alpha: NDArray[np.float64]
    beta: NDArray[np.float64]
    gaze: NDArray[np.float64]

    @staticmethod
    def of(images: Sequence[int], faces: Sequence[FaceParameters], *, coefficients: bool = True) -> "FaceTrack":
        """The track of a face's parameters in some images, with α and β or without."""
        cameras = [face.camera for face in faces]
        none = np.zeros((len(faces), 0))
        return FaceTrack(
            np.array(images),
            np.array([camera.scale for camera in cameras]),
            np.array([camera.rotation for camera in cameras]),
            np.array([camera.translation for camera in cameras]),
            np.array([face.alpha for face in faces]) if coefficients else none,
            np.array([face.beta for face in faces]) if coefficients else none,
            np.array([face.gaze[2] if len(face.gaze) else np.full(3, np.nan) for face in faces]),
        )

    def angles(self) -> NDArray[np.float64]:
        """(F, 3) pitch, yaw and roll, degrees."""
        return np.degrees([pose_angles(R) for R in self.rotation])

    def landmarks(self, surface: PointModel) -> NDArray[np.float64]:
        """The surface's points in the image, (F, P, 2) px."""
        points = surface.points(self.alpha, self.beta)
        return project(points, self.scale, self.rotation, self.translation)


@dataclass(frozen=True, eq=False)
class Subject:
    """A face that was tracked, with its truth where there is one.

    Attributes:
        faces: the tracked face in each image that it was found in.
        estimate: the same as arrays.
        truth: the truth in the same images; None where unknown.
        same_model: whether the truth's coefficients are the estimate's model's.
    """

    faces: list[TrackedFace]
    estimate: FaceTrack
    truth: FaceTrack | None
    same_model: bool


@dataclass(eq=False)
class BagEvaluation:
    """The result of an evaluation.

    Attributes:
        record: all figures, ready for JSON.
        subjects: the faces, the longest track first.
        curves: over the images of the first subject, (F,) each: what `bag_report` draws.
        notes: what could not be measured, and why.
    """

    record: dict[str, Any]
    subjects: list[Subject]
    curves: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def evaluate(replay: Replay, model: MorphableModel, truth: Truth | None) -> BagEvaluation:
    """Measure a replay against the truth, if there is one, and against itself."""
    notes: list[str] = []
    if replay.stamp_problem:
        notes.append(f"{replay.stamp_problem}: when images were recorded is taken for their time.")
    stamps = Counter(image.stamp_ns for image in replay.images)
    if truth is not None and (repeated := sum(count for count in stamps.values() if count > 1)):
        truth = {stamp: faces for stamp, faces in truth.items() if stamps[stamp] <= 1} or None
        notes.append(
            f"{repeated} images share a stamp with others: their truth is left out, for stamps tell whose it is."
        )
    pairs = _matched(replay, truth)
    subjects = _subjects(replay, pairs, truth, model)
    surface = _landmark_surface(model)
    face = model.at_points(SurfacePoints.at_vertices(_face_vertices(model)))
    record: dict[str, Any] = {
        "images": len(replay.images),
        "skipped": sum(replay.skipped.values()),
        "skipped_reasons": dict(replay.skipped),
        "images_per_s": len(replay.images) / max(replay.seconds, 1e-9),
        "detection": _detection(replay, pairs, truth),
        "tracks": _tracks(replay, pairs),
        "residual_px": summary([face.parameters.residual_px for image in replay.images for face in image.faces]),
        "jitter": _jitter(subjects, surface),
        "identity_drift_mm": _identity_drift(subjects, face),
        "latency_ms": _latency(replay),
        "truth": None if truth is None else _truth_errors(subjects, model, surface, face, len(replay.images)),
    }
    if truth is not None and subjects and not all(subject.same_model for subject in subjects):
        notes.append(
            "The truth belongs to another model (its digest differs): errors of α, β and of the vertices are left out, "
            "and those of s, R and t hold only as far as the two models' frames agree."
        )
    if record["jitter"]["rest_images"] == 0:
        notes.append("The face never rested for ten images in a row: there is no jitter to tell.")
    evaluation = BagEvaluation(record, subjects, notes=notes)
    if subjects:
        evaluation.curves = _curves(replay, subjects[0], face, jaw_index(model))
    return evaluation


def jaw_index(model: MorphableModel) -> int | None:
    """Which β opens the jaw; None in a model that has no such name."""
    return model.expression_names.index(JAW) if JAW in model.expression_names else None


def _matched(replay: Replay, truth: Truth | None) -> list[dict[int, int]]:
    """Per image, the tracked face (its place in the image) of each true face_id: nearest first, within half a head."""
    matched: list[dict[int, int]] = []
    for image in replay.images:
        true = {} if truth is None else truth.get(image.stamp_ns, {})
        found: dict[int, int] = {}
        if true and image.faces:
            t = np.array([face.camera.translation for face in true.values()])
            limit = np.array([0.5 * _HEAD_WIDTH_MM * face.camera.scale for face in true.values()])
            estimates = np.array([face.parameters.camera.translation for face in image.faces])
            distance = np.linalg.norm(t[:, None] - estimates[None], axis=2) / limit[:, None]
            ids = list(true)
            for row, column in zip(*linear_sum_assignment(np.minimum(distance, 10.0)), strict=True):
                if distance[row, column] < 1.0:
                    found[ids[row]] = int(column)
        matched.append(found)
    return matched


def _subjects(replay: Replay, pairs: list[dict[int, int]], truth: Truth | None, model: MorphableModel) -> list[Subject]:
    """The faces, by the truth's face_id where there is one, by the tracker's otherwise; the longest first."""
    found: dict[int, list[tuple[int, TrackedFace]]] = {}
    for index, image in enumerate(replay.images):
        if truth is None:
            for face in image.faces:
                found.setdefault(face.face_id, []).append((index, face))
        else:
            for true_id, place in pairs[index].items():
                found.setdefault(true_id, []).append((index, image.faces[place]))
    subjects = []
    for face_id, members in sorted(found.items(), key=lambda item: (-len(item[1]), item[0])):
        images, faces = [index for index, _ in members], [face for _, face in members]
        estimate = FaceTrack.of(images, [face.parameters for face in faces])
        if truth is None:
            subjects.append(Subject(faces, estimate, None, False))
            continue
        true = [truth[replay.images[index].stamp_ns][face_id] for index in images]
        same_model = all(_is_of(face, model) for face in true)
        subjects.append(Subject(faces, estimate, FaceTrack.of(images, true, coefficients=same_model), same_model))
    return subjects


def _is_of(face: FaceParameters, model: MorphableModel) -> bool:
    """Whether a face's coefficients are a model's.

    Raises:
        Face3DMMError: they say so, but are too many or too few.
    """
    if face.model_digest != model.digest:
        return False
    found, expected = (len(face.alpha), len(face.beta)), (model.shape_count, model.expression_count)
    if found != expected:
        raise Face3DMMError(f"the truth has {found} coefficients α and β, model {model.name} has {expected}")
    return True


def _landmark_surface(model: MorphableModel) -> PointModel:
    """The model's 68 landmarks, or those of another scheme, or vertices spread over it."""
    if model.landmarks:
        name = IBUG68 if IBUG68 in model.landmarks else min(model.landmarks)
        return model.at_points(model.landmarks[name])
    return model.at_points(SurfacePoints.at_vertices(np.linspace(0, model.vertex_count - 1, 68).astype(np.intp)))


def _face_vertices(model: MorphableModel) -> NDArray[np.intp]:
    """The vertices of the face, without neck, ears and the inside of the mouth, where the model tells them."""
    mask = model.regions.get("face")
    return np.arange(model.vertex_count) if mask is None else np.flatnonzero(mask > 0.5)


def _detection(replay: Replay, pairs: list[dict[int, int]], truth: Truth | None) -> dict[str, Any]:
    with_face = sum(bool(image.faces) for image in replay.images)
    found: dict[str, Any] = {"images_with_face": with_face, "rate": with_face / len(replay.images)}
    if truth is not None:
        true = sum(len(truth.get(image.stamp_ns, {})) for image in replay.images)
        matched = sum(len(pair) for pair in pairs)
        known = [image for image in replay.images if image.stamp_ns in truth]
        found |= {
            "images_with_truth": len(known),
            "true_faces": true,
            "true_faces_found": matched / true if true else None,
            "false_faces": sum(len(image.faces) for image in known) - matched,
        }
    return found


def _tracks(replay: Replay, pairs: list[dict[int, int]]) -> dict[str, int]:
    """How whole the tracks are: losses (found in an image, not in the next), returns, and switches of number.

    A switch is a true face whose track gets another number. Without truth it is a number more than the most faces that
    were there at a time.
    """
    numbers = [{face.face_id for face in image.faces} for image in replay.images]
    losses = sum(len(before - now) for before, now in pairwise(numbers))
    seen: set[int] = set()
    returns = 0
    for before, now in zip([set(), *numbers], numbers, strict=False):
        returns += len((now - before) & seen)
        seen |= now
    if any(pairs):
        last: dict[int, int] = {}
        switches = 0
        for image, pair in zip(replay.images, pairs, strict=True):
            for true_id, place in pair.items():
                number = image.faces[place].face_id
                switches += last.get(true_id, number) != number
                last[true_id] = number
    else:
        switches = len(seen) - max(map(len, numbers))
    return {"tracks": len(seen), "losses": losses, "returns": returns, "switches": switches}


def _jitter(subjects: list[Subject], surface: PointModel) -> dict[str, Any]:
    """Jitter at rest, over all faces: of the model's and of the detector's landmarks, px, and of the rotation."""
    shakes: dict[str, list[tuple[float, int]]] = {"fitted_px": [], "detected_px": [], "rotation_deg": []}
    by_truth = bool(subjects) and all(subject.same_model for subject in subjects)
    for subject in subjects:
        fitted = subject.estimate.landmarks(surface)
        gap = np.diff(subject.estimate.images, prepend=subject.estimate.images[0] - 1) != 1
        if by_truth and subject.truth is not None:
            true = subject.truth.landmarks(surface)
            step = rms(np.diff(true, axis=0, prepend=true[:1]), axes=(1,))
            still, degree = (step < _REST_TRUTH_PX) & ~gap, 0
            stretches = runs(still)
        else:
            size = np.sqrt(np.prod(np.ptp(fitted, axis=1), axis=1))
            still, degree = (speed(fitted) < _REST_SPEED * size) & ~gap, 1
            stretches = windows(runs(still))
        frames = sum(stretch.stop - stretch.start for stretch in stretches)
        turns = rotation_vectors(subject.estimate.rotation)[:, None]
        shakes["fitted_px"].append((jitter(fitted, stretches, degree), frames))
        shakes["rotation_deg"].append((jitter(turns, stretches, degree), frames))
        if len({face.landmarks.scheme for face in subject.faces}) == 1:
            detected = np.array([face.landmarks.points for face in subject.faces], np.float64)
            shakes["detected_px"].append((jitter(detected, stretches, degree), frames))
    frames = sum(count for _, count in shakes["fitted_px"])
    return {name: _pooled(values) for name, values in shakes.items()} | {
        "rest_images": frames,
        "rest_told_by": "truth" if by_truth else "motion",
    }


def _pooled(values: list[tuple[float, int]]) -> float | None:
    """Root mean square of some figures, each weighed by its number of images."""
    weighed = [(value, count) for value, count in values if count]
    total = sum(count for _, count in weighed)
    return float(np.sqrt(sum(value**2 * count for value, count in weighed) / total)) if total else None


def _identity_drift(subjects: list[Subject], face: PointModel) -> dict[str, Any]:
    """How the face of α changes along the longest track: RMS over the face's vertices, mm, not aligned."""
    if not subjects:
        return {"first_to_last": None, "largest_step": None, "settled_after_images": None}
    alpha = subjects[0].estimate.alpha
    to_last = _identity_distance(face, alpha - alpha[-1])
    unsettled = np.flatnonzero(to_last > 0.5)
    return {
        "first_to_last": float(to_last[0]),
        "largest_step": float(_identity_distance(face, np.diff(alpha, axis=0)).max(initial=0.0)),
        "settled_after_images": int(unsettled[-1] + 1) if unsettled.size else 0,
    }


def _identity_distance(face: PointModel, difference: NDArray[np.float64]) -> NDArray[np.float64]:
    """RMS over P vertices of what a difference of α (F, K) makes, (F,) mm: √(Δαᵀ(SᵀS)Δα / P)."""
    S = face.shape.reshape(-1, face.shape.shape[-1])
    gram = S.T @ S
    squares = np.einsum("fk,kl,fl->f", difference, gram, difference)
    return np.sqrt(np.maximum(squares, 0.0) / len(face.mean))


def _latency(replay: Replay) -> dict[str, dict[str, float]]:
    """Of each stage and of all, ms."""
    times = {stage: np.array([image.stage_ms[stage] for image in replay.images]) for stage in STAGES}
    times["total"] = np.sum(list(times.values()), axis=0)
    return {
        stage: dict(zip(("median", "p95", "p99"), np.percentile(values, (50, 95, 99)).tolist(), strict=True))
        for stage, values in times.items()
    }


def _truth_errors(
    subjects: list[Subject], model: MorphableModel, surface: PointModel, face: PointModel, images: int
) -> dict[str, Any]:
    """Errors over all found true faces."""
    true = [(subject, subject.truth) for subject in subjects if subject.truth is not None]
    same_model = bool(true) and all(subject.same_model for subject, _ in true)
    errors: dict[str, Any] = {"same_model": same_model, "faces": sum(len(subject.faces) for subject, _ in true)}
    if not true:
        return errors

    def over_all(measure: Any) -> dict[str, float | None]:
        return summary(np.concatenate([measure(subject.estimate, truth) for subject, truth in true]))

    errors["scale"] = over_all(lambda e, t: np.abs(e.scale / t.scale - 1.0))
    errors["rotation_deg"] = over_all(lambda e, t: np.degrees(rotation_angle(e.rotation, t.rotation)))
    for index, angle in enumerate(("pitch", "yaw", "roll")):
        errors[f"{angle}_deg"] = over_all(lambda e, t, i=index: np.abs(_angle_errors(e, t)[:, i]))
    errors["gaze_deg"] = over_all(lambda e, t: angle_degrees(e.gaze, t.gaze))
    errors["translation_px"] = over_all(lambda e, t: np.linalg.norm(e.translation - t.translation, axis=1))
    jaw = jaw_index(model) if same_model else None
    errors["lag_images"] = {
        "rotation": _rotation_lag(*true[0], images),
        JAW: None if jaw is None else _weight_lag(*true[0], jaw, images),
    }
    if same_model:
        sigma = model.shape_sigma.astype(np.float64)
        errors["landmarks_px"] = over_all(lambda e, t: rms(e.landmarks(surface) - t.landmarks(surface), axes=(1,)))
        errors["alpha_sigma"] = over_all(lambda e, t: np.sqrt((((e.alpha - t.alpha) / sigma) ** 2).mean(axis=1)))
        errors["beta"] = over_all(lambda e, t: np.sqrt(((e.beta - t.beta) ** 2).mean(axis=1)))
        difference = np.concatenate([subject.estimate.beta - truth.beta for subject, truth in true])
        spread = np.concatenate([truth.beta for _, truth in true])
        errors["blendshapes"] = {
            name: {"rms": float(r), "bias": float(b), "true_mean": float(m)}
            for name, r, b, m in zip(
                model.expression_names,
                np.sqrt((difference**2).mean(axis=0)),
                difference.mean(axis=0),
                spread.mean(axis=0),
                strict=True,
            )
        }
        for name, scale in (("vertices_mm", True), ("vertices_unscaled_mm", False)):
            errors[name] = over_all(lambda e, t, s=scale: _vertex_errors(e, t, face, scale=s))
        errors["identity_mm"] = over_all(
            lambda e, t: aligned_distance(face.neutral(e.alpha[-1:]), face.neutral(t.alpha[-1:]), scale=True)
        )
    return errors


def _angle_errors(estimate: FaceTrack, truth: FaceTrack) -> NDArray[np.float64]:
    """(F, 3) differences of pitch, yaw and roll, degrees in ±180."""
    return (estimate.angles() - truth.angles() + 180.0) % 360.0 - 180.0


def _vertex_errors(estimate: FaceTrack, truth: FaceTrack, face: PointModel, *, scale: bool) -> NDArray[np.float64]:
    """RMS over the face's vertices in the head's frame, expression included, after alignment, (F,) mm."""
    errors = []
    for start in range(0, len(estimate.images), _CHUNK):
        part = slice(start, start + _CHUNK)
        found = face.points(estimate.alpha[part], estimate.beta[part])
        true = face.points(truth.alpha[part], truth.beta[part])
        errors.append(aligned_distance(found, true, scale=scale))
    return np.concatenate(errors)


def _rotation_lag(subject: Subject, truth: FaceTrack, images: int) -> float | None:
    """By how many images the head's turning comes late."""
    both = rotation_vectors(np.concatenate([subject.estimate.rotation, truth.rotation]))
    found, true = both[: len(truth.images)], both[len(truth.images) :]
    return _curve_lag(found, true, truth.images, images, _MIN_TURN_DEG)


def _weight_lag(subject: Subject, truth: FaceTrack, index: int, images: int) -> float | None:
    """By how many images a blendshape comes late."""
    found, true = subject.estimate.beta[:, [index]], truth.beta[:, [index]]
    return _curve_lag(found, true, truth.images, images, _MIN_WEIGHT)


def _curve_lag(
    found: NDArray[np.float64], true: NDArray[np.float64], at: NDArray[np.intp], images: int, least: float
) -> float | None:
    """The lag of curves (F, C) known in some of the images; None where the truth hardly moves, or none is found."""
    if rms(true - true.mean(axis=0)) < least:
        return None
    late = lag(_spread(found, at, images), _spread(true, at, images))
    return late if np.isfinite(late) else None


def _spread(values: NDArray[np.float64], at: NDArray[np.intp], images: int) -> NDArray[np.float64]:
    """Values (F, …) of some images in their places among all, NaN elsewhere."""
    spread = np.full((images, *values.shape[1:]), np.nan)
    spread[at] = values
    return spread


def _curves(replay: Replay, subject: Subject, face: PointModel, jaw: int | None) -> dict[str, NDArray[np.float64]]:
    """The curves of a subject and of the pipeline over all images, NaN where the face was not found."""
    images = len(replay.images)
    estimate, truth = subject.estimate, subject.truth
    at = estimate.images

    def spread(values: Any) -> NDArray[np.float64]:
        return _spread(np.asarray(values, np.float64), at, images)

    times = np.array([image.time_ns for image in replay.images], np.int64)
    curves = {"seconds": 1e-9 * (times - times[0])}
    curves |= {stage: np.array([image.stage_ms[stage] for image in replay.images]) for stage in STAGES}
    curves["residual_px"] = spread([face.parameters.residual_px for face in subject.faces])
    curves["identity_mm"] = spread(_identity_distance(face, estimate.alpha - estimate.alpha[-1]))
    tracks = {"": estimate} if truth is None else {"": estimate, "true_": truth}
    for prefix, track in tracks.items():
        for name, values in zip(("pitch", "yaw", "roll"), track.angles().T, strict=True):
            curves[f"{prefix}{name}"] = spread(values)
        if jaw is not None and len(track.beta[0]):
            curves[f"{prefix}jaw"] = spread(track.beta[:, jaw])
    return curves

"""Measures the tracker on a replayed bag: how often it finds a face, how steady it is, and how far from the truth."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment

from face3dmm_ros.bags.replay import STAGES, Replay, ReplayedImage
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import pose_angles, rotation_angle
from face3dmm_ros.core.values import FaceParameters, TrackedFace
from face3dmm_ros.evaluation.bag.sequence_metrics import (
    aligned_distance,
    jitter,
    lag,
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

# The thresholds are chosen by hand; `report._METHOD` tells the reader those that define a figure.
# The truth rests while the RMS step of its landmarks from image to image stays below this; without truth a face rests
# while its landmarks move by less than this part of its size per image.
_REST_TRUTH_PX, _REST_SPEED = 0.02, 0.002
# About that of an adult. A tracked face may lie half of it away from the true face that it is matched with.
_HEAD_WIDTH_MM = 150.0
# The identity has settled once it stays within this of its last value.
_SETTLED_MM = 0.5
# The lag of a curve is left out if the truth varies by less (standard deviation).
_MIN_TURN_DEG, _MIN_WEIGHT = 0.5, 0.03


@dataclass(frozen=True, eq=False)
class FaceTrack:
    """One face over F images.

    Attributes:
        images: (F,) which images, ascending.
        scale: (F,) s, px/mm.
        rotation: (F, 3, 3) R.
        translation: (F, 2) t, px.
        alpha: (F, K), or (F, 0) if it is another model's.
        beta: (F, E), likewise.
        gaze: (F, 3) unit vectors, where both eyes look; NaN where unknown.
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

    @staticmethod
    def joined(tracks: Sequence["FaceTrack"]) -> "FaceTrack":
        """The frames of all tracks, one track after the other."""
        return FaceTrack(*(np.concatenate([getattr(track, f.name) for track in tracks]) for f in fields(FaceTrack)))

    def angles(self) -> NDArray[np.float64]:
        """(F, 3) pitch, yaw and roll, degrees."""
        return np.degrees([pose_angles(R) for R in self.rotation])

    def landmarks(self, surface: PointModel) -> NDArray[np.float64]:
        """The surface's points in the image, x = s·P·R·X + t, (F, P, 2) px."""
        points = surface.points(self.alpha, self.beta)
        return np.einsum("f,fij,fpj->fpi", self.scale, self.rotation[:, :2], points) + self.translation[:, None]


@dataclass(frozen=True, eq=False)
class Subject:
    """A face that was tracked, with its truth where there is one.

    Attributes:
        faces: the tracked face in each image that it was found in.
        estimate: the same as arrays.
        truth: the truth in the same images; None where unknown.
    """

    faces: list[TrackedFace]
    estimate: FaceTrack
    truth: FaceTrack | None

    @property
    def same_model(self) -> bool:
        """Whether the truth has coefficients of the estimate's model."""
        return self.truth is not None and self.truth.alpha.shape == self.estimate.alpha.shape


@dataclass(eq=False)
class BagEvaluation:
    """The result of an evaluation.

    Attributes:
        record: all figures, NaN where one is unknown.
        subjects: the faces, the longest track first.
        curves: of the first subject over all images, (F,) each, by name: what `bag_report` draws.
        notes: what could not be measured, and why.
    """

    record: dict[str, Any]
    subjects: list[Subject]
    curves: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def evaluate(replay: Replay, model: MorphableModel, truth: Truth | None) -> BagEvaluation:
    """Measure a replay: against the truth, if there is one, and for steadiness.

    Raises:
        Face3DMMError: the truth claims this model, but has another number of coefficients.
    """
    notes: list[str] = []
    if replay.stamp_problem:
        notes.append(f"{replay.stamp_problem}: when images were recorded is taken for their time.")
    stamps = Counter(image.stamp_ns for image in replay.images)
    if truth is not None and (repeated := sum(count for count in stamps.values() if count > 1)):
        truth = {stamp: faces for stamp, faces in truth.items() if stamps[stamp] <= 1} or None
        notes.append(
            f"{repeated} images share a stamp with others: their truth is left out, for stamps tell whose it is."
        )
    pairs = [
        _matched(image, truth.get(image.stamp_ns, {}))
        if truth is not None
        else {face.face_id: place for place, face in enumerate(image.faces)}
        for image in replay.images
    ]
    subjects = _subjects(replay, pairs, truth, model)
    surface = _landmark_surface(model)
    face = model.at_points(SurfacePoints.at_vertices(_face_vertices(model)))
    record: dict[str, Any] = {
        "images": len(replay.images),
        "skipped": sum(replay.skipped.values()),
        "skipped_reasons": dict(replay.skipped),
        "images_per_s": len(replay.images) / max(replay.seconds, 1e-9),
        "detection": _detection(replay, pairs, truth),
        "tracks": _tracks(replay, subjects),
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


def _matched(image: ReplayedImage, truth: Mapping[int, FaceParameters]) -> dict[int, int]:
    """The tracked face (its place in the image) of each true face_id: nearest first, within half a head."""
    if not truth or not image.faces:
        return {}
    t = np.array([face.camera.translation for face in truth.values()])
    limit = np.array([0.5 * _HEAD_WIDTH_MM * face.camera.scale for face in truth.values()])
    estimates = np.array([face.parameters.camera.translation for face in image.faces])
    distance = np.linalg.norm(t[:, None] - estimates[None], axis=2) / limit[:, None]
    ids = list(truth)
    # Whatever lies farther counts alike, so that no far pair outweighs a near one.
    rows, columns = linear_sum_assignment(np.minimum(distance, 10.0))
    return {ids[i]: int(k) for i, k in zip(rows, columns, strict=True) if distance[i, k] < 1.0}


def _subjects(replay: Replay, pairs: list[dict[int, int]], truth: Truth | None, model: MorphableModel) -> list[Subject]:
    """The faces, by the truth's face_id if there is one, by the tracker's otherwise; the longest first."""
    found: dict[int, list[tuple[int, TrackedFace]]] = defaultdict(list)
    for index, (image, pair) in enumerate(zip(replay.images, pairs, strict=True)):
        for face_id, place in pair.items():
            found[face_id].append((index, image.faces[place]))
    stamps = [image.stamp_ns for image in replay.images]
    true = {key: [truth[stamps[index]][key] for index, _ in faces] for key, faces in found.items()} if truth else {}
    same_model = all(_is_of(face, model) for faces in true.values() for face in faces)
    subjects = []
    for face_id, members in sorted(found.items(), key=lambda item: (-len(item[1]), item[0])):
        images, faces = [index for index, _ in members], [face for _, face in members]
        subjects.append(
            Subject(
                faces,
                FaceTrack.of(images, [face.parameters for face in faces]),
                FaceTrack.of(images, true[face_id], coefficients=same_model) if truth else None,
            )
        )
    return subjects


def _is_of(face: FaceParameters, model: MorphableModel) -> bool:
    """Whether a face's coefficients are a model's.

    Raises:
        Face3DMMError: the digest is the model's, but the number of coefficients is not.
    """
    if face.model_digest != model.digest:
        return False
    found, expected = (len(face.alpha), len(face.beta)), (model.shape_count, model.expression_count)
    if found != expected:
        raise Face3DMMError(f"the truth has {found} coefficients α and β, model {model.name} has {expected}")
    return True


def _landmark_surface(model: MorphableModel) -> PointModel:
    """The model's 68 landmarks, or those of another scheme."""
    return model.at_points(model.landmarks[IBUG68 if IBUG68 in model.landmarks else min(model.landmarks)])


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
            "true_faces_found": matched / true if true else np.nan,
            "false_faces": sum(len(image.faces) for image in known) - matched,
        }
    return found


def _tracks(replay: Replay, subjects: list[Subject]) -> dict[str, int]:
    """Tracks, losses (a face_id is in an image and not in the next), returns, and identity switches.

    A switch is a true face that is given another face_id. Without truth it is a face_id beyond the largest number of
    faces seen at once.
    """
    numbers = [{face.face_id for face in image.faces} for image in replay.images]
    seen = set().union(*numbers)
    appearances = sum(len(now - before) for before, now in pairwise([set(), *numbers]))
    losses = sum(len(before - now) for before, now in pairwise(numbers))
    if any(subject.truth is not None for subject in subjects):
        switches = sum(a.face_id != b.face_id for subject in subjects for a, b in pairwise(subject.faces))
    else:
        switches = len(seen) - max(map(len, numbers))
    return {"tracks": len(seen), "losses": losses, "returns": appearances - len(seen), "switches": switches}


def _jitter(subjects: list[Subject], surface: PointModel) -> dict[str, Any]:
    """Jitter at rest, over all faces: of the model's and of the detector's landmarks, px, and of the rotation."""
    shakes: dict[str, list[tuple[float, int]]] = {"fitted_px": [], "detected_px": [], "rotation_deg": []}
    by_truth = bool(subjects) and all(subject.same_model for subject in subjects)
    for subject in subjects:
        fitted = subject.estimate.landmarks(surface)
        follows = np.diff(subject.estimate.images, prepend=subject.estimate.images[0] - 1) == 1
        if by_truth and subject.truth is not None:
            true = subject.truth.landmarks(surface)
            step = rms(np.diff(true, axis=0, prepend=true[:1]), axes=(1,))
            stretches, degree = runs((step < _REST_TRUTH_PX) & follows), 0
        else:
            size = np.sqrt(np.prod(np.ptp(fitted, axis=1), axis=1))
            stretches, degree = windows(runs((speed(fitted) < _REST_SPEED * size) & follows)), 1
        frames = sum(stretch.stop - stretch.start for stretch in stretches)
        points = {"fitted_px": fitted, "rotation_deg": rotation_vectors(subject.estimate.rotation)[:, None]}
        if len({face.landmarks.scheme for face in subject.faces}) == 1:
            points["detected_px"] = np.array([face.landmarks.points for face in subject.faces], np.float64)
        for name, values in points.items():
            shakes[name].append((jitter(values, stretches, degree), frames))
    frames = sum(count for _, count in shakes["fitted_px"])
    return {name: _pooled(values) for name, values in shakes.items()} | {
        "rest_images": frames,
        "rest_told_by": "truth" if by_truth else "motion",
    }


def _pooled(values: list[tuple[float, int]]) -> float:
    """Root mean square of some figures, each weighted by its number of images; NaN without any image."""
    known = np.array([value for value in values if value[1]]).reshape(-1, 2)
    return float(np.sqrt(np.average(known[:, 0] ** 2, weights=known[:, 1]))) if len(known) else np.nan


def _identity_drift(subjects: list[Subject], face: PointModel) -> dict[str, float]:
    """How the face of α changes along the longest track: RMS over the face's vertices, mm, not aligned."""
    if not subjects:
        return dict.fromkeys(("first_to_last", "largest_step", "settled_after_images"), np.nan)
    alpha = subjects[0].estimate.alpha
    to_last = _identity_distance(face, alpha - alpha[-1])
    unsettled = np.flatnonzero(to_last > _SETTLED_MM)
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
    """Errors over all found true faces; lags of the one found most often."""
    true = [(subject.estimate, subject.truth) for subject in subjects if subject.truth is not None]
    if not true:
        return {"same_model": False, "faces": 0}
    same_model = subjects[0].same_model
    e, t = (FaceTrack.joined(tracks) for tracks in zip(*true, strict=True))
    angles = np.abs((e.angles() - t.angles() + 180.0) % 360.0 - 180.0)
    errors = {
        "scale": np.abs(e.scale / t.scale - 1.0),
        "rotation_deg": np.degrees(rotation_angle(e.rotation, t.rotation)),
        **dict(zip(("pitch_deg", "yaw_deg", "roll_deg"), angles.T, strict=True)),
        "gaze_deg": angle_degrees(e.gaze, t.gaze),
        "translation_px": np.linalg.norm(e.translation - t.translation, axis=1),
    }
    found, truth = true[0]
    turns, true_turns = np.split(rotation_vectors(np.concatenate([found.rotation, truth.rotation])), 2)
    lags = {"rotation": _curve_lag(turns, true_turns, truth.images, images, _MIN_TURN_DEG), JAW: np.nan}
    record: dict[str, Any] = {"same_model": same_model, "faces": len(e.images), "lag_images": lags}
    if same_model:
        jaw = jaw_index(model)
        if jaw is not None:
            lags[JAW] = _curve_lag(found.beta[:, [jaw]], truth.beta[:, [jaw]], truth.images, images, _MIN_WEIGHT)
        off, sigma = e.beta - t.beta, model.shape_sigma.astype(np.float64)
        last = np.cumsum([len(track.images) for track, _ in true]) - 1
        errors |= {
            "landmarks_px": rms(e.landmarks(surface) - t.landmarks(surface), axes=(1,)),
            "alpha_sigma": np.sqrt((((e.alpha - t.alpha) / sigma) ** 2).mean(axis=1)),
            "beta": np.sqrt((off**2).mean(axis=1)),
            "vertices_mm": _vertex_errors(e, t, face, scale=True),
            "vertices_unscaled_mm": _vertex_errors(e, t, face, scale=False),
            "identity_mm": aligned_distance(face.neutral(e.alpha[last]), face.neutral(t.alpha[last]), scale=True),
        }
        record["blendshapes"] = {
            name: {"rms": float(np.sqrt((d**2).mean())), "bias": float(d.mean()), "true_mean": float(b.mean())}
            for name, d, b in zip(model.expression_names, off.T, t.beta.T, strict=True)
        }
    return record | {name: summary(values) for name, values in errors.items()}


def _vertex_errors(estimate: FaceTrack, truth: FaceTrack, face: PointModel, *, scale: bool) -> NDArray[np.float64]:
    """RMS over the face's vertices in the head's frame, expression included, after alignment, (F,) mm."""
    # Frame by frame: the vertices of all frames at once would take gigabytes.
    frames = [slice(k, k + 1) for k in range(len(estimate.images))]
    points = (tuple(face.points(track.alpha[k], track.beta[k]) for track in (estimate, truth)) for k in frames)
    return np.concatenate([aligned_distance(*both, scale=scale) for both in points])


def _curve_lag(
    found: NDArray[np.float64], true: NDArray[np.float64], at: NDArray[np.intp], images: int, least: float
) -> float:
    """The lag of curves (F, C) known in some of the images; NaN if the truth hardly moves, or none is found."""
    if rms(true - true.mean(axis=0)) < least:
        return np.nan
    return lag(_spread(found, at, images), _spread(true, at, images))


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

    def spread(values: ArrayLike) -> NDArray[np.float64]:
        return _spread(np.asarray(values, np.float64), at, images)

    times = np.array([image.time_ns for image in replay.images], np.int64)
    curves = {"seconds": 1e-9 * (times - times[0])}
    curves |= {stage: np.array([image.stage_ms[stage] for image in replay.images]) for stage in STAGES}
    curves["residual_px"] = spread([face.parameters.residual_px for face in subject.faces])
    curves["identity_mm"] = spread(_identity_distance(face, estimate.alpha - estimate.alpha[-1]))
    for prefix, track in (("", estimate), *((("true_", truth),) if truth is not None else ())):
        for name, values in zip(("pitch", "yaw", "roll"), track.angles().T, strict=True):
            curves[f"{prefix}{name}"] = spread(values)
        if jaw is not None and track.beta.size:
            curves[f"{prefix}jaw"] = spread(track.beta[:, jaw])
    return curves

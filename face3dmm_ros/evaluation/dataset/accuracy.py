"""Records of single faces, summed up as the field does: by yaw bin, and the mean of the bins."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import rotation_angle, rotation_from_pose_angles
from face3dmm_ros.evaluation.dataset.datasets import LANDMARK_COUNT
from face3dmm_ros.evaluation.dataset.expression_metrics import EXPRESSION_DISTANCES, Agreement, agreement
from face3dmm_ros.evaluation.dataset.reliability import Reliability, reliability
from face3dmm_ros.evaluation.metrics import auc, failure_rate, pose_angle_errors, rotation_offset
from face3dmm_ros.fitting.confidence import RIGHT_WITHIN

YAW_BINS: Mapping[str, tuple[float, float]] = {"0-30": (0.0, 30.0), "30-60": (30.0, 60.0), "60-90": (60.0, np.inf)}
"""|yaw| in degrees: from, up to. The last bin holds every yaw from 60° up."""
MEAN, ALL = "mean", "all"
MEANS = (
    "The mean of bins weighs the yaw bins that hold faces alike, however many these are; all faces weighs faces alike."
)
"""What a summary's `MEAN` and `ALL` are."""
EXPRESSION_BIN = "0-30"
"""Farther turned, a mouth or an eye is seen from the side, and its width tells of the pose."""
FOUND_IOU = 0.5
ERROR_LIMIT = 10.0
"""% NME at which AUC and failure rate are taken."""

Summary = dict[str, float]


@dataclass(frozen=True, eq=False)
class FaceErrors:
    """The errors of one fit method on N labelled faces; NaN where something is unknown.

    Attributes:
        names: of the pictures.
        yaw_deg: (N,) true yaw.
        found: (N,) whether the box of the fitted points overlaps that of the true ones by IoU ≥ 0.5.
        nme: (N,) of the fitted 68 points, %, their outline as the truth means it.
        nme_fixed: (N,) with the outline at its own places on the skin.
        nme_visible: (N,) with the outline slid to the face's visible edge.
        nme_detected: (N,) of the detector's own points, %.
        nme_3d: (N,) of the fitted points in 3D after similarity alignment, %.
        vertex_mm: (N,) mean distance of all vertices after similarity alignment, where the truth has the model's shape.
        rotation_deg: (N,) geodesic error after the offset.
        pose_deg: (N, 3) errors of pitch, yaw and roll after the offset.
        landmark_errors: (N, 68) of each fitted point, %.
        shift_px: (N, 2) mean of fitted minus true points.
        confidence: (N,) of the fit.
        expression: (N, 5) `EXPRESSION_DISTANCES` of the fitted points, over the true face's size.
        expression_truth: (N, 5) those of the true points.
        offset: (3, 3) the constant rotation between the model's frame and the truth's; None where it is unknown.
        extra_faces: faces detected beside the labelled ones.
        failures: what the methods said where they gave up, by picture.
    """

    names: list[str]
    yaw_deg: NDArray[np.float64]
    found: NDArray[np.bool_]
    nme: NDArray[np.float64]
    nme_fixed: NDArray[np.float64]
    nme_visible: NDArray[np.float64]
    nme_detected: NDArray[np.float64]
    nme_3d: NDArray[np.float64]
    vertex_mm: NDArray[np.float64]
    rotation_deg: NDArray[np.float64]
    pose_deg: NDArray[np.float64]
    landmark_errors: NDArray[np.float32]
    shift_px: NDArray[np.float64]
    confidence: NDArray[np.float64]
    expression: NDArray[np.float64]
    expression_truth: NDArray[np.float64]
    offset: NDArray[np.float64] | None
    extra_faces: int
    failures: dict[str, str]

    @property
    def nme_or_miss(self) -> NDArray[np.float64]:
        """(N,) NME, infinite where the face was not found."""
        return np.where(self.found, self.nme, np.inf)

    def in_bin(self, name: str) -> NDArray[np.bool_]:
        """(N,) which faces a yaw bin holds; ``all`` holds all."""
        low, high = (0.0, np.inf) if name == ALL else YAW_BINS[name]
        yaw = np.abs(self.yaw_deg)
        return (yaw >= low) & (yaw < high)

    @property
    def with_expression(self) -> NDArray[np.bool_]:
        """(N,) the faces on which expressions are judged: those found that look at the camera."""
        return self.found & self.in_bin(EXPRESSION_BIN)


def face_errors(
    records: Iterable[Mapping[str, Any]], methods: Sequence[str], *, visible_outline: bool
) -> dict[str, FaceErrors]:
    """The errors of each method from the records of labelled faces (see `FaceEvaluator.face`), read once."""
    rows: dict[str, list[tuple]] = {method: [] for method in methods}
    landmark_errors: dict[str, list[NDArray[np.float32]]] = {method: [] for method in methods}
    rotations: dict[str, list[NDArray[np.float64]]] = {method: [] for method in methods}
    expressions: dict[str, list[list[float]]] = {method: [] for method in methods}
    failures: dict[str, dict[str, str]] = {method: {} for method in methods}
    names, yaws, poses, expressions_truth, extra = [], [], [], [], 0
    for record in records:
        name = str(record["key"]).partition("/")[2]
        names.append(name)
        yaws.append(record["yaw_deg"])
        poses.append(record["pose"] or [np.nan] * 3)
        expressions_truth.append(record["expression"])
        extra += record["extra_faces"]
        detected = _number((record["detected"] or {}).get("nme"))
        for method in methods:
            fit = record["fits"][method] or {}
            numbers = ("iou", "nme_fixed", "nme_visible", "nme_3d", "vertex_mm", "confidence")
            rows[method].append((*(_number(fit.get(key)) for key in numbers), detected, *fit.get("shift_px", (0, 0))))
            landmark_errors[method].append(
                np.array(fit.get("landmark_errors", [np.nan] * LANDMARK_COUNT), dtype=np.float32)
            )
            rotations[method].append(np.array(fit.get("rotation", np.full((3, 3), np.nan)), dtype=np.float64))
            expressions[method].append(fit.get("expression", [np.nan] * len(EXPRESSION_DISTANCES)))
            said = record["failures"].get(method, record["failures"].get("landmarks"))
            if said:
                failures[method][name] = said
    errors = {}
    for method in methods:
        table = np.array(rows[method], dtype=np.float64).reshape(-1, 9)
        found = table[:, 0] >= FOUND_IOU
        pose = np.array(poses, dtype=np.float64).reshape(-1, 3)
        offset, rotation_deg, pose_deg = _rotation_errors(np.array(rotations[method]).reshape(-1, 3, 3), pose, found)
        errors[method] = FaceErrors(
            names=names,
            yaw_deg=np.array(yaws, dtype=np.float64),
            found=found,
            nme=table[:, 2 if visible_outline else 1],
            nme_fixed=table[:, 1],
            nme_visible=table[:, 2],
            nme_detected=table[:, 6],
            nme_3d=table[:, 3],
            vertex_mm=table[:, 4],
            rotation_deg=rotation_deg,
            pose_deg=pose_deg,
            landmark_errors=np.array(landmark_errors[method]).reshape(-1, LANDMARK_COUNT),
            shift_px=table[:, 7:9],
            confidence=table[:, 5],
            expression=_table(expressions[method]),
            expression_truth=_table(expressions_truth),
            offset=offset,
            extra_faces=extra,
            failures=failures[method],
        )
    return errors


def summarize(errors: FaceErrors) -> dict[str, Summary]:
    """A summary of each yaw bin, of the bins' ``mean``, and of ``all`` faces alike.

    `found`, `auc10` and `failure10` are fractions of all faces; other errors are means over the faces found, NaN where
    there is none. The mean is over the bins that hold faces; its `faces` is their sum.
    """
    bins = {name: _summary(errors, errors.in_bin(name)) for name in YAW_BINS}
    held = [summary for summary in bins.values() if summary["faces"]]
    pooled = _summary(errors, errors.in_bin(ALL))
    mean = {key: float(np.mean([summary[key] for summary in held])) if held else float("nan") for key in pooled}
    return {**bins, MEAN: {**mean, "faces": pooled["faces"]}, ALL: pooled}


def expression_agreement(errors: FaceErrors) -> dict[str, Agreement]:
    """How the fitted faces' `EXPRESSION_DISTANCES` follow the true ones, over the faces `with_expression`."""
    ours, truth = errors.expression[errors.with_expression], errors.expression_truth[errors.with_expression]
    return {name: agreement(ours[:, k], truth[:, k]) for k, name in enumerate(EXPRESSION_DISTANCES)}


def confidence_reliability(errors: FaceErrors) -> Reliability:
    """Whether the fits' confidence tells how many of them lie within `RIGHT_WITHIN`, over the faces found."""
    return reliability(errors.confidence[errors.found], errors.nme[errors.found] <= RIGHT_WITHIN)


def _summary(errors: FaceErrors, chosen: NDArray[np.bool_]) -> Summary:
    found = chosen & errors.found
    judged = errors.nme_or_miss[chosen]
    pitch, yaw, roll = (_mean(errors.pose_deg[found, axis]) for axis in range(3))
    return {
        "faces": int(chosen.sum()),
        "found": float(errors.found[chosen].mean()) if chosen.any() else float("nan"),
        "nme_fitted": _mean(errors.nme[found]),
        "nme_fixed_outline": _mean(errors.nme_fixed[found]),
        "nme_visible_outline": _mean(errors.nme_visible[found]),
        "nme_detected": _mean(errors.nme_detected[found]),
        "nme_3d": _mean(errors.nme_3d[found]),
        "vertex_mm": _mean(errors.vertex_mm[found]),
        "auc10": auc(judged, ERROR_LIMIT),
        "failure10": failure_rate(judged, ERROR_LIMIT),
        "rotation_deg": _mean(errors.rotation_deg[found]),
        "pitch_deg": pitch,
        "yaw_deg": yaw,
        "roll_deg": roll,
        "mae_deg": (pitch + yaw + roll) / 3.0,
    }


def _rotation_errors(
    rotations: NDArray[np.float64], poses: NDArray[np.float64], found: NDArray[np.bool_]
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64], NDArray[np.float64]]:
    """The offset, and with it the geodesic (N,) and the angles' (N, 3) errors of the faces found, degrees."""
    geodesic, angles = np.full(len(poses), np.nan), np.full((len(poses), 3), np.nan)
    known = np.flatnonzero(found & np.isfinite(poses).all(axis=1))
    truth = np.array([rotation_from_pose_angles(*poses[index]) for index in known]).reshape(-1, 3, 3)
    try:
        offset = rotation_offset(rotations[known], truth)
    except Face3DMMError:  # no face, or faces that have nothing in common
        return None, geodesic, angles
    turned = rotations[known] @ offset
    geodesic[known] = np.degrees(rotation_angle(turned, truth))
    angles[known] = [pose_angle_errors(R, pose) for R, pose in zip(turned, poses[known], strict=True)]
    return offset, geodesic, angles


def _table(rows: list[list[float]]) -> NDArray[np.float64]:
    """(N, 5) of N rows, also of none."""
    return np.array(rows, dtype=np.float64).reshape(-1, len(EXPRESSION_DISTANCES))


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _mean(values: NDArray[np.float64]) -> float:
    """Mean of the values; NaN where there is none, or where one is unknown."""
    return float(values.mean()) if len(values) else float("nan")

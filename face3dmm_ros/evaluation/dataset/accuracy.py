"""Errors of single faces, aggregated as is usual for face alignment: by yaw bin, and the mean of the bins."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import rotation_angle, rotation_from_pose_angles
from face3dmm_ros.evaluation.dataset.datasets import LANDMARK_COUNT
from face3dmm_ros.evaluation.dataset.evaluation import name_of
from face3dmm_ros.evaluation.dataset.expression_metrics import EXPRESSION_DISTANCES, Agreement, agreement
from face3dmm_ros.evaluation.dataset.reliability import Reliability, reliability
from face3dmm_ros.evaluation.metrics import auc, failure_rate, pose_angle_errors, rotation_offset
from face3dmm_ros.fitting.confidence import RIGHT_WITHIN

YAW_BINS: Mapping[str, tuple[float, float]] = {"0-30": (0.0, 30.0), "30-60": (30.0, 60.0), "60-90": (60.0, np.inf)}
"""|yaw| in degrees, [from, to), as in Zhu et al., Face Alignment Across Large Poses, CVPR 2016; but their 90° is no
limit."""
MEAN, ALL = "mean", "all"
MEANS = (
    "The mean of bins weighs the yaw bins that hold faces alike, however many these are; all faces weighs faces alike."
)
"""What a summary's `MEAN` and `ALL` are."""
EXPRESSION_BIN = "0-30"
"""Farther turned, a mouth or an eye is seen from the side, and its width depends on the pose. Chosen by hand."""
TERCILES = ("dark", "medium", "light")
"""Thirds of the faces by how light their skin is in the picture."""
FOUND_IOU = 0.5
"""Intersection over union from which a detection counts, as in PASCAL VOC (Everingham et al., IJCV 2010)."""
ERROR_LIMIT = 10.0
"""% NME at which AUC and failure rate are taken; usual for faces of all poses, chosen by hand."""

_ANGLES = ("pitch_deg", "yaw_deg", "roll_deg")
_FIT_SHAPES: Mapping[str, tuple[int, ...]] = {
    **dict.fromkeys(("iou", "nme_fixed", "nme_visible", "nme_3d", "vertex_mm", "confidence"), ()),
    "rotation": (3, 3),
    "shift_px": (2,),
    "landmark_errors": (LANDMARK_COUNT,),
    "expression": (len(EXPRESSION_DISTANCES),),
}
"""What is read from the record of a fit, and its shape."""

Summary = dict[str, float]


@dataclass(frozen=True, eq=False)
class FaceErrors:
    """The errors of one fit method on N labelled faces; NaN where something is unknown.

    Attributes:
        names: of the pictures.
        yaw_deg: (N,) true yaw.
        skin_lightness: (N,) L* of the skin as the picture shows it.
        found: (N,) whether the boxes around fitted and true points have an IoU of `FOUND_IOU` or more.
        nme: (N,) of the fitted 68 points, %, their outline as the truth means it.
        nme_detected: (N,) of the detector's own points, %.
        means: by name other errors (N,) that are summed up as means: NME, %, with the outline fixed on the skin and at
            its visible edge, and in 3D after similarity alignment; distance of all vertices after similarity alignment,
            mm, if the truth has the model's shape; errors of the rotation and its angles after the offset, degrees.
        landmark_errors: (N, 68) of each fitted point, %.
        shift_px: (N, 2) mean of fitted minus true points.
        confidence: (N,) of the fit.
        expression: (N, 5) `EXPRESSION_DISTANCES` of the fitted points, over the true face's size.
        expression_truth: (N, 5) those of the true points.
        offset: (3, 3) the constant rotation between the model's frame and the truth's; None where it is unknown.
        extra_faces: faces detected beside the labelled ones.
        failures: why the method failed, by picture.
    """

    names: list[str]
    yaw_deg: NDArray[np.float64]
    skin_lightness: NDArray[np.float64]
    found: NDArray[np.bool_]
    nme: NDArray[np.float64]
    nme_detected: NDArray[np.float64]
    means: Mapping[str, NDArray[np.float64]]
    landmark_errors: NDArray[np.float64]
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
        """(N,) the faces on which expressions are evaluated: those found in `EXPRESSION_BIN`."""
        return self.found & self.in_bin(EXPRESSION_BIN)


def face_errors(
    records: Iterable[Mapping[str, Any]], methods: Sequence[str], *, visible_outline: bool
) -> dict[str, FaceErrors]:
    """The errors of each method from the records of labelled faces (see `FaceEvaluator.face`), iterated once."""
    columns: dict[str, dict[str, list[NDArray[np.float64]]]] = {
        method: {field: [] for field in _FIT_SHAPES} for method in methods
    }
    failures: dict[str, dict[str, str]] = {method: {} for method in methods}
    names, yaws, poses, lightness, detected, expressions, extra = [], [], [], [], [], [], 0
    for record in records:
        names.append(name_of(record))
        yaws.append(record["yaw_deg"])
        lightness.append(_known(record["skin_lightness"], ()))
        poses.append(_known(record["pose"], (3,)))
        detected.append(_known((record["detected"] or {}).get("nme"), ()))
        expressions.append(record["expression"])
        extra += record["extra_faces"]
        for method in methods:
            fit = record["fits"][method] or {}
            for field, shape in _FIT_SHAPES.items():
                columns[method][field].append(_known(fit.get(field), shape))
            said = record["failures"].get(method, record["failures"].get("landmarks"))
            if said:
                failures[method][names[-1]] = said
    errors = {}
    for method in methods:
        fits = {field: _stacked(values, _FIT_SHAPES[field]) for field, values in columns[method].items()}
        found = fits.pop("iou") >= FOUND_IOU
        offset, rotation_errors = _rotation_errors(fits.pop("rotation"), _stacked(poses, (3,)), found)
        outlines = {"nme_fixed_outline": fits.pop("nme_fixed"), "nme_visible_outline": fits.pop("nme_visible")}
        errors[method] = FaceErrors(
            names=names,
            yaw_deg=np.array(yaws, dtype=np.float64),
            skin_lightness=_stacked(lightness, ()),
            found=found,
            nme=outlines["nme_visible_outline" if visible_outline else "nme_fixed_outline"],
            nme_detected=_stacked(detected, ()),
            means={**outlines, **{key: fits.pop(key) for key in ("nme_3d", "vertex_mm")}, **rotation_errors},
            expression_truth=_stacked(expressions, _FIT_SHAPES["expression"]),
            offset=offset,
            extra_faces=extra,
            failures=failures[method],
            **fits,
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


def skin_terciles(errors: FaceErrors) -> dict[str, NDArray[np.bool_]]:
    """Which faces (N,) are in each of the `TERCILES` of skin lightness within their yaw bin, so that yaw is no cause.

    Faces whose skin is not in the picture are in none.
    """
    terciles = {name: np.zeros(len(errors.names), bool) for name in TERCILES}
    for name in YAW_BINS:
        members = np.flatnonzero(errors.in_bin(name) & np.isfinite(errors.skin_lightness))
        order = members[np.argsort(errors.skin_lightness[members], kind="stable")]
        for tercile, part in zip(TERCILES, np.array_split(order, len(TERCILES)), strict=True):
            terciles[tercile][part] = True
    return terciles


def by_skin(errors: FaceErrors) -> dict[str, Summary]:
    """A summary of each of the `skin_terciles`, all yaw bins together, with the median lightness, L*."""
    return {
        name: {
            **_summary(errors, members),
            "lightness": float(np.median(errors.skin_lightness[members])) if members.any() else float("nan"),
        }
        for name, members in skin_terciles(errors).items()
    }


def expression_agreement(errors: FaceErrors, chosen: NDArray[np.bool_] | None = None) -> dict[str, Agreement]:
    """How the fitted faces' `EXPRESSION_DISTANCES` follow the true ones, over the faces `with_expression`.

    Args:
        errors: of the faces.
        chosen: (N,) which faces to look at alone; all if None.
    """
    which = errors.with_expression if chosen is None else errors.with_expression & chosen
    ours, truth = errors.expression[which], errors.expression_truth[which]
    return {name: agreement(ours[:, k], truth[:, k]) for k, name in enumerate(EXPRESSION_DISTANCES)}


def confidence_reliability(errors: FaceErrors) -> Reliability:
    """Calibration of the confidence over the faces found; a fit is right if its NME is at most `RIGHT_WITHIN`."""
    return reliability(errors.confidence[errors.found], errors.nme[errors.found] <= RIGHT_WITHIN)


def _summary(errors: FaceErrors, chosen: NDArray[np.bool_]) -> Summary:
    found = chosen & errors.found
    values = {"nme_fitted": errors.nme, "nme_detected": errors.nme_detected, **errors.means}
    means = {name: _mean(each[found]) for name, each in values.items()}
    return {
        "faces": int(chosen.sum()),
        "found": _mean(errors.found[chosen]),
        **means,
        "mae_deg": sum(means[angle] for angle in _ANGLES) / 3.0,
        "auc10": auc(errors.nme_or_miss[chosen], ERROR_LIMIT),
        "failure10": failure_rate(errors.nme_or_miss[chosen], ERROR_LIMIT),
    }


def _rotation_errors(
    rotations: NDArray[np.float64], poses: NDArray[np.float64], found: NDArray[np.bool_]
) -> tuple[NDArray[np.float64] | None, dict[str, NDArray[np.float64]]]:
    """The frames' offset (3, 3) and, given it, errors (N,) of the faces found, degrees, by their name in a summary."""
    errors = np.full((4, len(poses)), np.nan)
    named = dict(zip(("rotation_deg", *_ANGLES), errors, strict=True))
    known = np.flatnonzero(found & np.isfinite(poses).all(axis=1))
    truth = np.array([rotation_from_pose_angles(*poses[index]) for index in known]).reshape(-1, 3, 3)
    try:
        offset = rotation_offset(rotations[known], truth)
    except Face3DMMError:  # no face, or faces that have nothing in common
        return None, named
    turned = rotations[known] @ offset
    angles = np.array([pose_angle_errors(R, pose) for R, pose in zip(turned, poses[known], strict=True)])
    errors[:, known] = [np.degrees(rotation_angle(turned, truth)), *angles.T]
    return offset, named


def _known(value: ArrayLike | None, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """The value of a record as an array, NaN where it is None."""
    return np.full(shape, np.nan) if value is None else np.asarray(value, dtype=np.float64)


def _stacked(values: Sequence[ArrayLike], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """(N, *shape) of N values, also where N is 0."""
    return np.array(values, dtype=np.float64).reshape(-1, *shape)


def _mean(values: NDArray[Any]) -> float:
    """Mean of the values; NaN where there is none, or where one is unknown."""
    return float(values.mean()) if len(values) else float("nan")

"""What an evaluation of a data set says: report.json, report.html and a table for the terminal."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from face3dmm_ros.core.rotations import rotation_angle
from face3dmm_ros.evaluation.dataset.accuracy import (
    ALL,
    ERROR_LIMIT,
    EXPRESSION_BIN,
    FOUND_IOU,
    MEAN,
    MEANS,
    YAW_BINS,
    FaceErrors,
    Summary,
    confidence_reliability,
    expression_agreement,
    summarize,
)
from face3dmm_ros.evaluation.dataset.datasets import FaceTruth, dataset_format
from face3dmm_ros.evaluation.dataset.evaluation import Made
from face3dmm_ros.evaluation.dataset.expression_metrics import EXPRESSION_DISTANCES
from face3dmm_ros.evaluation.dataset.face_evaluator import EvaluationOptions
from face3dmm_ros.evaluation.dataset.reliability import BINS
from face3dmm_ros.evaluation.dataset.report_parts import add_incidents, add_versions, versions, write_record
from face3dmm_ros.evaluation.dataset.results_file import Record
from face3dmm_ros.evaluation.metrics import box_around, cumulative_error
from face3dmm_ros.evaluation.report import Report, plain_table
from face3dmm_ros.files.pictures import read_picture
from face3dmm_ros.fitting.confidence import RIGHT_WITHIN

WORST = 10
_TILE_PX = 300
_COLUMNS = {
    "faces": "faces",
    "found": "found %",
    "nme_fitted": "NME fitted %",
    "nme_detected": "NME detected %",
    "nme_3d": "NME 3D %",
    "auc10": "AUC 10",
    "failure10": "failure 10 %",
    "rotation_deg": "rotation °",
    "pitch_deg": "pitch °",
    "yaw_deg": "yaw °",
    "roll_deg": "roll °",
    "mae_deg": "MAE °",
    "vertex_mm": "vertices mm",
}
_DISTANCES = dict(zip(EXPRESSION_DISTANCES, ("eyes", "wink", "lips", "mouth's width", "brows"), strict=True))
_PERCENT = frozenset({"found", "failure10"})
_EDGES = [k / BINS for k in range(BINS + 1)]
_CONFIDENCE_BINS = _EDGES[:-1], _EDGES[1:]
_GREEN, _BLUE, _RED = (60, 200, 60), (255, 140, 30), (60, 60, 255)
_JAW, _BROWS, _NOSE, _EYES, _MOUTH = range(17), range(17, 27), range(27, 36), range(36, 48), range(48, 68)
_PARTS = {"jaw": _JAW, "brows": _BROWS, "nose": _NOSE, "eyes": _EYES, "mouth": _MOUTH}


@dataclass(frozen=True, eq=False)
class FalseAlarms:
    """Faces that the detector saw in pictures without one.

    Attributes:
        pictures: how many pictures were looked at.
        faces: by the name of the picture, where there were any.
    """

    pictures: int
    faces: dict[str, int]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All that a report tells.

    Attributes:
        dataset: the data set's folder.
        options: what was judged.
        made: with which model and software.
        errors: of each fit method.
        skipped: pictures that could not be used, and why.
        false_alarms: None where the detector did not run.
    """

    dataset: Path
    options: EvaluationOptions
    made: Made
    errors: Mapping[str, FaceErrors]
    skipped: Mapping[str, str]
    false_alarms: FalseAlarms | None

    @property
    def summaries(self) -> dict[str, dict[str, Summary]]:
        """By method and bin."""
        return {method: summarize(errors) for method, errors in self.errors.items()}


def write_json(evaluation: Evaluation, path: Path) -> None:
    """Write report.json; what is unknown is null.

    Raises:
        Face3DMMError: the file cannot be written.
    """
    methods = {
        method: {
            "bins": bins,
            "expression": _expression_record(evaluation.errors[method]),
            "confidence": _confidence_record(evaluation.errors[method]),
            **_frames(evaluation.errors[method]),
        }
        for method, bins in evaluation.summaries.items()
    }
    first = methods[evaluation.options.fit_methods[0]]
    alarms = evaluation.false_alarms
    record = {
        "dataset": str(evaluation.dataset),
        "options": asdict(evaluation.options),
        "versions": versions(evaluation.made),
        "outline": _outline(evaluation.options),
        "note": MEANS,
        **first,
        "methods": methods,
        "extra_faces": next(iter(evaluation.errors.values())).extra_faces,
        "false_alarms": alarms
        and {
            "pictures": alarms.pictures,
            "pictures_with_faces": len(alarms.faces),
            "faces": sum(alarms.faces.values()),
            "where": alarms.faces,
        },
        "skipped": dict(evaluation.skipped),
        "failures": {method: errors.failures for method, errors in evaluation.errors.items()},
    }
    write_record(record, path)


def console_table(evaluation: Evaluation) -> str:
    """The figures of all methods as a table of plain text."""
    lines = []
    for method, bins in evaluation.summaries.items():
        headers, rows = _bin_table(bins)
        lines += [plain_table([f"{method}: |yaw|", *headers[1:]], rows), ""]
    lines += [plain_table(*_expression_table(evaluation.errors)), ""]
    lines += [plain_table(*_confidence_table(evaluation.errors)), ""]
    lines.append(_remarks(evaluation))
    return "\n".join(lines)


def html_report(evaluation: Evaluation, fits: Mapping[str, Record]) -> Report:
    """The whole report. `fits` holds the records of the first method's worst faces (`worst_faces`) by name."""
    options, first = evaluation.options, evaluation.options.fit_methods[0]
    report = Report(
        f"Accuracy on {evaluation.dataset.name}",
        f"{len(evaluation.errors[first].names)} faces; format {options.format}, backend {options.backend}, "
        f"model {evaluation.made.model}, boxes by the {options.roi}, landmarks by the {options.landmarks}",
    )
    report.heading("By yaw")
    for method, bins in evaluation.summaries.items():
        headers, rows = _bin_table(bins)
        report.table(headers, rows, caption=f"fit method {method}")
    if len(evaluation.errors) > 1:
        report.table(*_side_by_side(evaluation.summaries), caption="Fit methods side by side")
    report.text(_meaning(options))
    report.text(_remarks(evaluation))
    report.plot(_error_curve(evaluation.errors), "Cumulative error: the share of all faces with an NME up to x.")
    report.plot(_error_by_yaw(evaluation.errors), "NME of each face found by its true yaw, and medians of 10°.")
    report.plot(_error_by_landmark(evaluation.errors[first]), f"Mean error of each landmark by bin, {first}.")
    _expression_section(report, evaluation.errors)
    _confidence_section(report, evaluation.errors)
    _frame_section(report, evaluation)
    if fits:
        report.heading(f"The worst faces of {first}")
        report.text("Truth green, the detector's own points blue, the fitted points red.")
        read = dataset_format(options.format).read
        for name, record in fits.items():
            picture = evaluation.dataset / name
            report.picture(_drawn(read_picture(picture), read(picture), record, first), _caption(name, record, first))
    incidents = {"Pictures skipped": evaluation.skipped}
    incidents |= {f"Where {method} gave up": errors.failures for method, errors in evaluation.errors.items()}
    if evaluation.false_alarms is not None:
        faces = evaluation.false_alarms.faces
        incidents["False alarms"] = {name: f"{count} faces" for name, count in faces.items()}
    add_incidents(report, incidents)
    add_versions(report, evaluation.made)
    return report


def worst_faces(errors: FaceErrors) -> list[str]:
    """The names of the faces with a fit furthest from the truth, the worst first, found or not."""
    order = np.argsort(-np.nan_to_num(errors.nme, nan=-np.inf), kind="stable")[:WORST]
    return [errors.names[index] for index in order if np.isfinite(errors.nme[index])]


def _bin_table(bins: Mapping[str, Summary]) -> tuple[list[str], list[list[str | float]]]:
    """Headers and rows of a method's summary; columns that no bin knows are left out."""
    known = [key for key in _COLUMNS if any(not math.isnan(summary[key]) for summary in bins.values())]
    rows: list[list[str | float]] = []
    for name, summary in bins.items():
        label = {MEAN: "mean of bins", ALL: "all faces"}.get(name, f"{name}°")
        rows.append([label, *(_shown(key, summary) for key in known)])
    return ["|yaw|", *(_COLUMNS[key] for key in known)], rows


def _shown(key: str, summary: Summary) -> float:
    return 100.0 * summary[key] if key in _PERCENT else summary[key]


def _side_by_side(summaries: Mapping[str, Mapping[str, Summary]]) -> tuple[list[str], list[list[str | float]]]:
    columns = [("nme_fitted", name) for name in (*YAW_BINS, MEAN)]
    columns += [(key, MEAN) for key in ("found", "nme_3d", "rotation_deg", "mae_deg")] + [
        ("auc10", ALL),
        ("failure10", ALL),
    ]
    headers = ["fit method", *(f"{_COLUMNS[key]}, {name}" for key, name in columns)]
    rows: list[list[str | float]] = [
        [method, *(_shown(key, bins[name]) for key, name in columns)] for method, bins in summaries.items()
    ]
    return headers, rows


def _outline(options: EvaluationOptions) -> str:
    return "visible edge of the face" if dataset_format(options.format).visible_outline else "fixed points of the skin"


def _meaning(options: EvaluationOptions) -> str:
    box = "the true box" if options.roi == "truth" else "the detector's boxes"
    looked = (
        f"Landmarks were looked for in {box}."
        if options.landmarks == "detector"
        else ("The true 2D points were given to the fit in place of a detector's.")
    )
    return (
        f"{looked} A face counts as found when the box around the 68 fitted points overlaps the box around the true "
        f"ones with an IoU of at least {FOUND_IOU}; errors are means over the faces found. NME is the mean distance "
        f"over √(w·h) of the true points' box. In this format the truth's outline landmarks are the "
        f"{_outline(options)}, and the fitted model's points are compared as such. AUC and failure rate are taken at "
        f"{ERROR_LIMIT:.0f} % NME over all faces, a miss counting as infinite. The rotation error is geodesic, after "
        "one constant rotation between the model's frame and the truth's; so are those of pitch, yaw and roll, whose "
        "mean is the MAE. Pixel (0, 0) is taken to be the centre of "
        "the top-left pixel in the truth, too; the origin of AFLW2000-3D's and 300W-LP's pixels is not documented, and "
        "one pixel on both axes is about 0.75 % NME on a face of 190 px."
    )


def _remarks(evaluation: Evaluation) -> str:
    errors = evaluation.errors[evaluation.options.fit_methods[0]]
    alarms = evaluation.false_alarms
    if alarms is None:
        counted = "not counted, as the detector did not run"
    elif alarms.pictures == 0:
        counted = "not counted, as scikit-image, whose pictures serve by default, is not installed"
    else:
        counted = f"{sum(alarms.faces.values())} on {alarms.pictures} pictures without a face"
    return (
        f"False alarms: {counted}. Faces detected beside the labelled ones: {errors.extra_faces}. "
        f"Pictures skipped: {len(evaluation.skipped)}. {MEANS}"
    )


def _frames(errors: FaceErrors) -> dict[str, Any]:
    """How the model's frame lies to the truth's, and the fitted points to the true ones."""
    found = errors.found
    return {
        "rotation_offset": None if errors.offset is None else errors.offset.tolist(),
        "rotation_offset_deg": None
        if errors.offset is None
        else float(np.degrees(rotation_angle(errors.offset, np.eye(3)))),
        "mean_shift_px": errors.shift_px[found].mean(axis=0).tolist() if found.any() else None,
    }


def _frame_section(report: Report, evaluation: Evaluation) -> None:
    rows: list[list[str | float]] = []
    for method, errors in evaluation.errors.items():
        frames = _frames(errors)
        x, y = frames["mean_shift_px"] or (math.nan, math.nan)
        angle = frames["rotation_offset_deg"]
        bins = evaluation.summaries[method][MEAN]
        rows.append(
            [method, math.nan if angle is None else angle, x, y, bins["nme_fixed_outline"], bins["nme_visible_outline"]]
        )
    headers = ["fit method", "offset of the frames °", "mean shift x px", "mean shift y px"]
    headers += ["NME % with the outline fixed", "NME % with the visible outline"]
    report.heading("Frames and outline")
    report.text(
        "The offset is the rotation nearest to the sum of all faces' R_fittedᵀ·R_truth, without faces beyond twice the "
        "median error. The shift is the mean of fitted minus true points. NME are means of the bins."
    )
    report.table(headers, rows)


def _expression_record(errors: FaceErrors) -> dict[str, Any]:
    """Slope and correlation of each distance, and of how many faces."""
    agreements = {name: asdict(agreement) for name, agreement in expression_agreement(errors).items()}
    return {**agreements, "faces": int(errors.with_expression.sum())}


def _expression_table(all_errors: Mapping[str, FaceErrors]) -> tuple[list[str], list[list[str | float]]]:
    """Headers and rows: slope and correlation of each distance by each method, and of how many faces."""
    headers = [f"expression, |yaw| {EXPRESSION_BIN}°"]
    rows: list[list[str | float]] = [[label] for label in (*_DISTANCES.values(), "faces")]
    for method, errors in all_errors.items():
        headers += [f"{method}: slope", "correlation"]
        agreements = expression_agreement(errors).values()
        cells: list[tuple[float, float | str]] = [(each.slope, each.correlation) for each in agreements]
        cells.append((int(errors.with_expression.sum()), ""))
        for row, pair in zip(rows, cells, strict=True):
            row += pair
    return headers, rows


def _expression_section(report: Report, all_errors: Mapping[str, FaceErrors]) -> None:
    report.heading("Expression")
    report.text(
        "How distances between the fitted points follow those between the true ones: slope and correlation, both 1 "
        "where they follow wholly, 0 where not at all. Over the faces found within 30° of the front, in the picture "
        "and over √(w·h) of the true points' box. Eyes: how far open; wink: the person's left eye's opening minus the "
        "right one's; lips: between them; brows: from the middle of each to that of its eye. The truth has errors too, "
        "which lower both figures."
    )
    report.table(*_expression_table(all_errors))
    report.plot(_expression_plot(all_errors), "Each face's distances: fitted against true, and the lines.")


def _expression_plot(all_errors: Mapping[str, FaceErrors]) -> Figure:
    figure = Figure(figsize=(9, 6))
    panels = figure.subplots(2, 3).ravel()
    for k, (axes, (name, label)) in enumerate(zip(panels, _DISTANCES.items(), strict=False)):
        axes.set(title=label, xlabel="true", ylabel="fitted")
        for index, (method, errors) in enumerate(all_errors.items()):
            x, y = (d[errors.with_expression, k] for d in (errors.expression_truth, errors.expression))
            axes.plot(x, y, ".", markersize=2.5, alpha=0.35, color=f"C{index}")
            slope = expression_agreement(errors)[name].slope
            if math.isfinite(slope):
                ends = np.array([x.min(), x.max()])
                axes.plot(ends, y.mean() + slope * (ends - x.mean()), color=f"C{index}", label=method)
    handles, labels = panels[0].get_legend_handles_labels()
    panels[-1].axis("off")
    panels[-1].legend(handles, labels, loc="center", frameon=False)
    figure.tight_layout()
    return figure


def _confidence_record(errors: FaceErrors) -> dict[str, Any]:
    """The calibration error and each bin."""
    found = confidence_reliability(errors)
    bins = zip(*_CONFIDENCE_BINS, found.said.tolist(), found.true.tolist(), found.count.tolist(), strict=True)
    return {
        "right_within_nme": RIGHT_WITHIN,
        "calibration_error": found.error,
        "bins": [dict(zip(("from", "to", "said", "true", "faces"), each, strict=True)) for each in bins],
    }


def _confidence_table(all_errors: Mapping[str, FaceErrors]) -> tuple[list[str], list[list[str | float]]]:
    """Headers and rows: confidence and share of right fits in each bin, and the calibration error."""
    headers = ["confidence"]
    rows: list[list[str | float]] = [[f"{low:.1f}-{high:.1f}"] for low, high in zip(*_CONFIDENCE_BINS, strict=True)]
    rows.append(["calibration error"])
    for method, errors in all_errors.items():
        headers += [f"{method}: said", "true", "faces"]
        found = confidence_reliability(errors)
        cells: list[tuple[float | str, ...]] = list(zip(found.said, found.true, found.count, strict=True))
        for row, cell in zip(rows, [*cells, (f"{found.error:.3f}", "", int(found.count.sum()))], strict=True):
            row += cell
    return headers, rows


def _confidence_section(report: Report, all_errors: Mapping[str, FaceErrors]) -> None:
    report.heading("Confidence")
    report.text(
        f"Whether fits can be taken at their word: of those that are said to be 0.8 sure, 80 % should have an NME of "
        f"{RIGHT_WITHIN:.0f} % or less. Over the faces found, in bins of equal width; the calibration error is the "
        "mean difference between said and true over the faces (expected calibration error)."
    )
    report.table(*_confidence_table(all_errors))
    figure = Figure(figsize=(5, 5))
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.8", zorder=0)
    for index, (method, errors) in enumerate(all_errors.items()):
        found = confidence_reliability(errors)
        axes.plot(found.said, found.true, color=f"C{index}", label=f"{method}: {found.error:.3f}")
        axes.scatter(found.said, found.true, s=1 + 300 * found.count / max(1, found.count.sum()), color=f"C{index}")
    axes.set(xlabel="confidence", ylabel="share of right fits", xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="upper left", frameon=False)
    report.plot(figure, "Said and true in each bin, and the calibration error; the area of a dot is that of its faces.")


def _error_curve(all_errors: Mapping[str, FaceErrors]) -> Figure:
    figure = Figure(figsize=(7, 4.5))
    axes = figure.subplots()
    thresholds = np.linspace(0.0, ERROR_LIMIT, 501)
    for index, (method, errors) in enumerate(all_errors.items()):
        axes.plot(thresholds, 100 * cumulative_error(errors.nme_or_miss, thresholds), label=method, color=f"C{index}")
    detected = next(iter(all_errors.values())).nme_detected
    if np.isfinite(detected).any():
        curve = 100 * cumulative_error(detected, thresholds)
        axes.plot(thresholds, curve, "--", label="the detector's own points", color="0.5")
    axes.set(xlabel="NME, %", ylabel="faces, %", xlim=(0, ERROR_LIMIT), ylim=(0, 100))
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left")
    return figure


def _error_by_yaw(all_errors: Mapping[str, FaceErrors]) -> Figure:
    figure = Figure(figsize=(7, 4.5))
    axes = figure.subplots()
    limit = 2.5 * ERROR_LIMIT
    edges = np.arange(-100, 101, 10)
    for index, (method, errors) in enumerate(all_errors.items()):
        found = errors.found
        yaw, nme = errors.yaw_deg[found], np.minimum(errors.nme[found], limit)
        axes.plot(yaw, nme, ".", markersize=2.5, alpha=0.35, color=f"C{index}")
        place = np.digitize(yaw, edges)
        steps = [step for step in range(1, len(edges)) if np.count_nonzero(place == step) >= 3]
        medians = [np.median(errors.nme[found][place == step]) for step in steps]
        axes.plot([edges[step] - 5 for step in steps], medians, "-o", markersize=4, label=method, color=f"C{index}")
    missed = ~next(iter(all_errors.values())).found
    yaw = next(iter(all_errors.values())).yaw_deg[missed]
    axes.plot(yaw, np.full(len(yaw), limit), "|", color="0.4", markersize=9, label=f"missed ({len(yaw)})")
    for boundary in (-60, -30, 30, 60):
        axes.axvline(boundary, color="0.8", linewidth=0.8, zorder=0)
    axes.set(xlabel="true yaw, °", ylabel="NME, %", ylim=(0, 1.05 * limit))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False)
    return figure


def _error_by_landmark(errors: FaceErrors) -> Figure:
    figure = Figure(figsize=(7, 4.5))
    axes = figure.subplots()
    highest = 1.0
    for name in YAW_BINS:
        chosen = errors.found & errors.in_bin(name)
        if chosen.any():
            means = errors.landmark_errors[chosen].mean(axis=0)
            highest = max(highest, float(means.max()))
            axes.plot(means, "-o", markersize=3, label=f"{name}° ({np.count_nonzero(chosen)})")
    for part, indices in _PARTS.items():
        axes.axvline(indices.start - 0.5, color="0.8", linewidth=0.8, zorder=0)
        axes.text((indices.start + indices.stop - 1) / 2, 1.02 * highest, part, ha="center", color="0.4")
    axes.set(xlabel="landmark of iBUG 68, 0-based", ylabel="error, %", ylim=(0, 1.1 * highest))
    axes.set(xlim=(-1, 68))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    return figure


def _drawn(image: NDArray[np.uint8], truth: FaceTruth, record: Record, method: str) -> NDArray[np.uint8]:
    """The part of a picture around the face, enlarged, with true, detected and fitted points."""
    layers = [(truth.points, _GREEN)]
    if record["detected"] and record["detected"]["points"]:
        layers.append((np.array(record["detected"]["points"]), _BLUE))
    layers.append((np.array(record["fits"][method]["points"]), _RED))
    box = box_around(np.concatenate([points for points, _ in layers]))
    side = min(1.2 * max(box.width, box.height), 2.0 * max(image.shape[:2]))
    left, top = box.x + (box.width - side) / 2.0, box.y + (box.height - side) / 2.0
    scale = _TILE_PX / side
    matrix = np.array([[scale, 0.0, -scale * left], [0.0, scale, -scale * top]])
    drawn = cv2.warpAffine(image, matrix, (_TILE_PX, _TILE_PX), flags=cv2.INTER_LINEAR)
    for points, color in layers:
        for x, y in np.clip(np.round(16 * ((points - [left, top]) * scale)), -1e6, 1e6).astype(int):
            cv2.circle(drawn, (int(x), int(y)), 16 * 2, color, -1, cv2.LINE_AA, shift=4)
    return np.asarray(drawn, dtype=np.uint8)


def _caption(name: str, record: Record, method: str) -> str:
    fit = record["fits"][method]
    visible = "" if fit["iou"] >= FOUND_IOU else ", not found"
    return f"{name}: yaw {record['yaw_deg']:.0f}°, IoU {fit['iou']:.2f}{visible}"

"""The report on labelled faces: report.json, report.html and tables for the terminal."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
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
    by_skin,
    confidence_reliability,
    expression_agreement,
    skin_terciles,
    summarize,
)
from face3dmm_ros.evaluation.dataset.datasets import FaceTruth, dataset_format
from face3dmm_ros.evaluation.dataset.expression_metrics import EXPRESSION_DISTANCES
from face3dmm_ros.evaluation.dataset.face_evaluator import EvaluationOptions
from face3dmm_ros.evaluation.dataset.reliability import BINS
from face3dmm_ros.evaluation.dataset.report_parts import Evaluation
from face3dmm_ros.evaluation.dataset.results_file import Record
from face3dmm_ros.evaluation.metrics import box_around, cumulative_error
from face3dmm_ros.evaluation.report import Report, Table, new_plot, plain_table
from face3dmm_ros.files.pictures import read_picture
from face3dmm_ros.fitting.confidence import RIGHT_WITHIN

# How the report looks, chosen by hand: how many of the worst faces it shows, the side of each of their pictures (three
# stand side by side) and that side over the larger side of the box around all points, and how many faces a step of 10°
# of yaw needs for its median to be drawn.
_WORST = 10
_TILE_PX = 300
_BOX_MARGIN = 1.2
_FEWEST_FOR_MEDIAN = 3
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
_SKIN_COLUMNS = ("faces", "found", "nme_fitted", "rotation_deg")
_PERCENT = frozenset({"found", "failure10"})
_EDGES = [k / BINS for k in range(BINS + 1)]
_CONFIDENCE_BINS = _EDGES[:-1], _EDGES[1:]
_GREEN, _BLUE, _RED = (60, 200, 60), (255, 140, 30), (60, 60, 255)
"""Of true, detected and fitted points, BGR."""
_PARTS = {
    "jaw": range(17), "brows": range(17, 27), "nose": range(27, 36), "eyes": range(36, 48), "mouth": range(48, 68)
}  # fmt: skip
"""Parts of the face in iBUG's 68 points (Sagonas et al., 300 Faces in-the-Wild Challenge, 2013)."""


@dataclass(frozen=True, eq=False)
class FaceReport(Evaluation[FaceErrors]):
    """The report on labelled faces.

    Attributes:
        false_alarms: the faceless pictures that the detector looked at, by name, and the faces it saw in each; None if
            it did not run.
        worst: the records of the first method's `worst_faces` by name.
    """

    note = MEANS
    options: EvaluationOptions
    false_alarms: Sequence[tuple[str, int]] | None
    worst: Mapping[str, Record]

    @property
    def first(self) -> FaceErrors:
        """The errors of the first fit method."""
        return self.methods[self.options.fit_methods[0]]

    def figures(self, found: FaceErrors) -> Record:
        """Errors by yaw bin and by skin, expression, confidence and frames."""
        return {
            "bins": summarize(found),
            "skin": _skin_record(found),
            "expression": _expression_record(found),
            "confidence": _confidence_record(found),
            **_frames(found),
        }

    def record(self) -> Record:
        """The same with what the detector saw beside the labelled faces."""
        alarms, where = self.false_alarms, {name: faces for name, faces in self.false_alarms or () if faces}
        counts = {"pictures_with_faces": len(where), "faces": sum(where.values()), "where": where}
        return {
            **super().record(),
            "outline": _outline(self.options),
            "extra_faces": self.first.extra_faces,
            "false_alarms": None if alarms is None else {"pictures": len(alarms), **counts},
        }

    def console_table(self) -> str:
        """Errors by yaw bin of each method, then skin, expression and confidence of all."""
        lines = []
        for method, errors in self.methods.items():
            headers, rows = _bin_table(errors)
            lines += [plain_table([f"{method}: |yaw|", *headers[1:]], rows), ""]
        for table in (_skin_table, _expression_table, _confidence_table):
            lines += [plain_table(*table(self.methods)), ""]
        return "\n".join([*lines, self._remarks()])

    def html_report(self) -> Report:
        """The same tables, plots of the errors, and pictures of the worst faces.

        Raises:
            Face3DMMError: a picture of the worst faces, or its truth, can no longer be read.
        """
        options, name = self.options, self.options.fit_methods[0]
        report = Report(
            f"Accuracy on {self.dataset.name}",
            f"{len(self.first.names)} faces; format {options.format}, backend {options.backend}, "
            f"model {self.versions['model']}, boxes by the {options.roi}, landmarks by the {options.landmarks}",
        )
        report.heading("By yaw")
        for method, errors in self.methods.items():
            report.table(*_bin_table(errors), caption=f"fit method {method}")
        if len(self.methods) > 1:
            report.table(*_side_by_side(self.methods), caption="Fit methods side by side")
        report.text(_meaning(options))
        report.text(self._remarks())
        report.plot(_error_curve(self.methods), "Cumulative error: the share of all faces with an NME up to x.")
        report.plot(_error_by_yaw(self.methods), "NME of each face found by its true yaw, and medians of 10°.")
        report.plot(_error_by_landmark(self.first), f"Mean error of each landmark by bin, {name}.")
        _skin_section(report, self.methods)
        _expression_section(report, self.methods)
        _confidence_section(report, self.methods)
        _frame_section(report, self.methods)
        self._add_worst(report, name)
        alarms = {picture: f"{faces} faces" for picture, faces in self.false_alarms or () if faces}
        self.add_appendix(report, {"False alarms": alarms})
        return report

    def _add_worst(self, report: Report, method: str) -> None:
        if self.worst:
            report.heading(f"The worst faces of {method}")
            report.text("Truth green, the detector's own points blue, the fitted points red.")
        for name, record in self.worst.items():
            picture = self.dataset / name
            truth = dataset_format(self.options.format).read(picture)
            report.picture(_drawn(read_picture(picture), truth, record, method), _caption(name, record, method))

    def _remarks(self) -> str:
        alarms = self.false_alarms
        if alarms is None:
            counted = "not counted, as the detector did not run"
        elif not alarms:
            counted = "not counted, as scikit-image, whose pictures serve by default, is not installed"
        else:
            counted = f"{sum(faces for _, faces in alarms)} on {len(alarms)} pictures without a face"
        return (
            f"False alarms: {counted}. Faces detected beside the labelled ones: {self.first.extra_faces}. "
            f"Pictures skipped: {len(self.skipped)}. {MEANS}"
        )


def worst_faces(errors: FaceErrors) -> list[str]:
    """The names of the faces whose fits are furthest from the truth, the worst first, found or not."""
    order = np.argsort(-np.nan_to_num(errors.nme, nan=-np.inf), kind="stable")[:_WORST]
    return [errors.names[index] for index in order if np.isfinite(errors.nme[index])]


def _bin_table(errors: FaceErrors) -> Table:
    """A method's summary; columns that are unknown in every bin are left out."""
    bins = summarize(errors)
    known = [key for key in _COLUMNS if any(not math.isnan(summary[key]) for summary in bins.values())]
    rows: list[list[str | float]] = []
    for name, summary in bins.items():
        label = {MEAN: "mean of bins", ALL: "all faces"}.get(name, f"{name}°")
        rows.append([label, *(_shown(key, summary) for key in known)])
    return ["|yaw|", *(_COLUMNS[key] for key in known)], rows


def _shown(key: str, summary: Summary) -> float:
    return 100.0 * summary[key] if key in _PERCENT else summary[key]


def _side_by_side(all_errors: Mapping[str, FaceErrors]) -> Table:
    columns = [("nme_fitted", name) for name in (*YAW_BINS, MEAN)]
    columns += [(key, MEAN) for key in ("found", "nme_3d", "rotation_deg", "mae_deg")]
    columns += [(key, ALL) for key in ("auc10", "failure10")]
    headers = ["fit method", *(f"{_COLUMNS[key]}, {name}" for key, name in columns)]
    bins = {method: summarize(errors) for method, errors in all_errors.items()}
    return headers, [[method, *(_shown(key, bins[method][name]) for key, name in columns)] for method in bins]


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


def _frames(errors: FaceErrors) -> dict[str, Any]:
    """How the model's frame lies to the truth's, and the fitted points to the true ones; NaN where unknown."""
    offset, found = errors.offset, errors.found
    return {
        "rotation_offset": None if offset is None else offset.tolist(),
        "rotation_offset_deg": math.nan if offset is None else float(np.degrees(rotation_angle(offset, np.eye(3)))),
        "mean_shift_px": errors.shift_px[found].mean(axis=0).tolist() if found.any() else None,
    }


def _frame_section(report: Report, all_errors: Mapping[str, FaceErrors]) -> None:
    rows = []
    for method, errors in all_errors.items():
        frames, bins = _frames(errors), summarize(errors)[MEAN]
        x, y = frames["mean_shift_px"] or (math.nan, math.nan)
        outlines = bins["nme_fixed_outline"], bins["nme_visible_outline"]
        rows.append([method, frames["rotation_offset_deg"], x, y, *outlines])
    headers = ["fit method", "offset of the frames °", "mean shift x px", "mean shift y px"]
    headers += ["NME % with the outline fixed", "NME % with the visible outline"]
    report.heading("Frames and outline")
    report.text(
        "The offset is the rotation nearest to the sum of all faces' R_fittedᵀ·R_truth, without faces beyond twice the "
        "median error. The shift is the mean of fitted minus true points. NME are means of the bins."
    )
    report.table(headers, rows)


def _skin_record(errors: FaceErrors) -> dict[str, Any]:
    """The summary of each tercile, with how expressions are followed there, and the worst over the mean."""
    summaries = by_skin(errors)
    terciles = {
        name: {
            **summaries[name],
            "expression": {key: asdict(each) for key, each in expression_agreement(errors, members).items()},
        }
        for name, members in skin_terciles(errors).items()
    }
    return {"terciles": terciles, "worst_nme_over_mean": _worst_over_mean(summaries)}


def _worst_over_mean(summaries: Mapping[str, Summary]) -> float:
    """The largest NME of the terciles over their mean."""
    nme = [summary["nme_fitted"] for summary in summaries.values()]
    return float(np.max(nme) / np.mean(nme))


def _skin_table(all_errors: Mapping[str, FaceErrors]) -> Table:
    """Each method's errors by tercile of skin lightness, and the worst NME over the mean."""
    rows: list[list[str | float]] = []
    for method, errors in all_errors.items():
        members, summaries = skin_terciles(errors), by_skin(errors)
        for name, summary in summaries.items():
            eyes = expression_agreement(errors, members[name])[EXPRESSION_DISTANCES[0]]
            figures = [summary["lightness"], *(_shown(key, summary) for key in _SKIN_COLUMNS)]
            rows.append([f"{method}: {name}", *figures, eyes.correlation])
        rows.append([f"{method}: worst / mean", "", "", "", _worst_over_mean(summaries), "", ""])
    return ["skin", "median L*", *(_COLUMNS[key] for key in _SKIN_COLUMNS), "eyes, correlation"], rows


def _skin_section(report: Report, all_errors: Mapping[str, FaceErrors]) -> None:
    report.heading("Dark and light skins")
    report.text(
        "Thirds of the faces by how light their cheeks and nose are in the picture (L* of CIELAB), taken within each "
        "bin of yaw. It is the skin in its light: one picture does not tell a dark skin from a dark room."
    )
    report.table(*_skin_table(all_errors))


def _expression_record(errors: FaceErrors) -> dict[str, Any]:
    """Slope and correlation of each distance, and of how many faces."""
    agreements = {name: asdict(agreement) for name, agreement in expression_agreement(errors).items()}
    return {**agreements, "faces": int(errors.with_expression.sum())}


def _expression_table(all_errors: Mapping[str, FaceErrors]) -> Table:
    """Slope and correlation of each distance by each method, and of how many faces."""
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


def _confidence_table(all_errors: Mapping[str, FaceErrors]) -> Table:
    """Mean confidence and share of right fits in each bin, and the calibration error."""
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
    figure, axes = new_plot(5, 5)
    axes.plot([0, 1], [0, 1], color="0.8", zorder=0)
    for index, (method, errors) in enumerate(all_errors.items()):
        found = confidence_reliability(errors)
        axes.plot(found.said, found.true, color=f"C{index}", label=f"{method}: {found.error:.3f}")
        axes.scatter(found.said, found.true, s=1 + 300 * found.count / max(1, found.count.sum()), color=f"C{index}")
    axes.set(xlabel="confidence", ylabel="share of right fits", xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="upper left", frameon=False)
    report.plot(figure, "Said and true in each bin, and the calibration error; the area of a dot is that of its faces.")


def _error_curve(all_errors: Mapping[str, FaceErrors]) -> Figure:
    figure, axes = new_plot(7, 4.5)
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
    figure, axes = new_plot(7, 4.5)
    limit = 2.5 * ERROR_LIMIT  # larger errors are drawn there
    edges = np.arange(-100, 101, 10)
    for index, (method, errors) in enumerate(all_errors.items()):
        found = errors.found
        yaw, nme = errors.yaw_deg[found], np.minimum(errors.nme[found], limit)
        axes.plot(yaw, nme, ".", markersize=2.5, alpha=0.35, color=f"C{index}")
        place = np.digitize(yaw, edges)
        steps = [step for step in range(1, len(edges)) if np.count_nonzero(place == step) >= _FEWEST_FOR_MEDIAN]
        medians = [np.median(errors.nme[found][place == step]) for step in steps]
        axes.plot([edges[step] - 5 for step in steps], medians, "-o", markersize=4, label=method, color=f"C{index}")
    first = next(iter(all_errors.values()))
    yaw = first.yaw_deg[~first.found]
    axes.plot(yaw, np.full(len(yaw), limit), "|", color="0.4", markersize=9, label=f"missed ({len(yaw)})")
    for boundary in (-60, -30, 30, 60):
        axes.axvline(boundary, color="0.8", linewidth=0.8, zorder=0)
    axes.set(xlabel="true yaw, °", ylabel="NME, %", ylim=(0, 1.05 * limit))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=4, frameon=False)
    return figure


def _error_by_landmark(errors: FaceErrors) -> Figure:
    figure, axes = new_plot(7, 4.5)
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
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=3, frameon=False)
    return figure


def _drawn(image: NDArray[np.uint8], truth: FaceTruth, record: Record, method: str) -> NDArray[np.uint8]:
    """The part of a picture around the face, enlarged, with true, detected and fitted points."""
    layers = [(truth.points, _GREEN)]
    if record["detected"] and record["detected"]["points"]:
        layers.append((np.array(record["detected"]["points"]), _BLUE))
    layers.append((np.array(record["fits"][method]["points"]), _RED))
    box = box_around(np.concatenate([points for points, _ in layers]))
    side = min(_BOX_MARGIN * max(box.width, box.height), 2.0 * max(image.shape[:2]))
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

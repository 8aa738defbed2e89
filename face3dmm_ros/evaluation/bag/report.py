"""The report on an evaluated bag: figures in tables, curves over time as plots, and lines for the terminal."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from face3dmm_ros.bags.replay import STAGES
from face3dmm_ros.evaluation.bag.evaluation import JAW, BagEvaluation
from face3dmm_ros.evaluation.report import Report, new_plot

_ESTIMATE = {"color": "#1f77b4", "label": "estimate", "linewidth": 1.2}
_TRUTH = {"color": "#d62728", "label": "truth", "linewidth": 2.5, "alpha": 0.45}
# How many blendshapes are listed, the worst first; chosen by hand.
_WORST = 10
_ERRORS = (
    ("scale", "s, relative (%)", 100.0),
    ("rotation_deg", "R, geodesic (°)", 1.0),
    ("pitch_deg", "pitch (°)", 1.0),
    ("yaw_deg", "yaw (°)", 1.0),
    ("roll_deg", "roll (°)", 1.0),
    ("gaze_deg", "gaze of both eyes (°)", 1.0),
    ("translation_px", "t (px)", 1.0),
    ("landmarks_px", "model's 68 landmarks, RMS (px)", 1.0),
    ("alpha_sigma", "α, RMS (σ)", 1.0),
    ("beta", "β, RMS (weight)", 1.0),
    ("vertices_mm", "face's vertices after similarity, RMS (mm)", 1.0),
    ("vertices_unscaled_mm", "the same without aligning the scale (mm)", 1.0),
    ("identity_mm", "last identity, neutral, after similarity (mm)", 1.0),
)


def bag_report(evaluation: BagEvaluation, title: str, subtitle: str) -> Report:
    """The page of an evaluation."""
    record, curves = evaluation.record, evaluation.curves
    report = Report(title, subtitle)
    for note in evaluation.notes:
        report.text(note)
    report.heading("At a glance")
    report.table(("measure", "value"), _glance(record))
    if record["skipped_reasons"]:
        rows = [(reason, count) for reason, count in record["skipped_reasons"].items()]
        report.table(("why images were skipped", "images"), rows)
    if record["truth"] is not None:
        _add_truth(report, record["truth"])
    if curves:
        report.heading("Curves over time")
        if len(evaluation.subjects) > 1:
            report.text(f"Of the face seen longest; there were {len(evaluation.subjects)}.")
        angles = {name: f"{name} (°)" for name in ("yaw", "pitch", "roll")}
        report.plot(_plot(curves, angles, height=5.5), "Where the head looks. Gaps: the face was not found.")
        if "jaw" in curves:
            report.plot(_plot(curves, {"jaw": JAW}, -0.03, 1.03), f"How far the mouth is open: β of {JAW}.")
        plot = _plot(curves, {"residual_px": "residual (px)"}, 0.0)
        report.plot(plot, "Residual of the fit, RMS over its landmarks.")
        caption = "How far the identity α is from the last one, RMS over the face's vertices."
        report.plot(_plot(curves, {"identity_mm": "mm"}, 0.0), caption)
        report.plot(_latency_plot(curves), "How long each stage took.")
    report.heading("How this is measured")
    for paragraph in _METHOD:
        report.text(paragraph)
    return report


def console_lines(evaluation: BagEvaluation) -> list[str]:
    """The main figures and the notes for a terminal."""
    record = evaluation.record
    detection, jitter, truth = record["detection"], record["jitter"], record["truth"]
    residual, drift = record["residual_px"]["median"], record["identity_drift_mm"]["first_to_last"]
    lines = [
        f"{record['images']} images, {record['skipped']} skipped, {detection['images_with_face']} with a face, "
        f"{record['images_per_s']:.1f} images/s",
        f"residual {_number(residual, ' px')}, identity drift {_number(drift, ' mm')}",
    ]
    if jitter["rest_images"]:
        rest = f"{jitter['rest_images']} images at rest"
        lines.append(f"jitter {_number(jitter['fitted_px'], ' px')}, {_number(jitter['rotation_deg'], '°')} in {rest}")
    if truth is not None and truth["faces"]:
        rotation, translation = (_number(truth[key]["mean"]) for key in ("rotation_deg", "translation_px"))
        vertices = f", vertices {_number(truth['vertices_mm']['mean'])} mm after similarity"
        lines.append(
            f"against the truth: R {rotation}°, t {translation} px{vertices if truth['same_model'] else ''}, "
            f"lag {_number(truth['lag_images']['rotation'])} images"
        )
    return [*lines, *evaluation.notes]


_METHOD = (
    "Every image was processed once and in order, however long it took. Latency is that of decoding the image, of "
    "finding the landmarks and of fitting with smoothing, one after the other, without ROS.",
    "Jitter: the standard deviation of a point, as a distance, over the images in which the face rests: "
    "√(Σ|x − x̂|² / (P·Σ(n − d − 1))) over stretches of n images and P landmarks. Where the truth tells, the face rests "
    "while the true landmarks move by less than 0.02 px (RMS) per image, and x̂ is the stretch's mean (d = 0). "
    "Elsewhere it rests while the fitted landmarks, over 9 images, move by less than 0.2 % of their box's size √(w·h) "
    "per image; then stretches have 10 images and x̂ is a line (d = 1), so that slow motion of the person does not "
    "count. The rotation's jitter is the same of rotation vectors.",
    "Lag: the shift at which the correlation of the estimate's curve with the truth's is greatest, between images by "
    "the parabola through the peak; positive means that the estimate is late, a dash that the truth hardly moved or no "
    "peak was found within 10 images. Rotation as vectors from the mean.",
    "Vertices: those of the model's face region (no neck, no ears), expression included, in the head's frame, brought "
    "onto the truth by the best rotation and shift, with or without the best scale: one camera cannot tell a head's "
    "size.",
    "Switches: a true face whose track got another number; without truth, numbers beyond the most faces seen at once.",
)


def _glance(record: dict[str, Any]) -> list[tuple[str, str]]:
    detection, tracks, jitter = record["detection"], record["tracks"], record["jitter"]
    drift, latency, residual = record["identity_drift_mm"], record["latency_ms"], record["residual_px"]
    rows = [
        ("images", f"{record['images']}, {record['skipped']} skipped"),
        ("with a face", f"{detection['images_with_face']} ({_number(100.0 * detection['rate'], ' %', 1)})"),
    ]
    if "true_faces" in detection:
        found = _number(100.0 * detection["true_faces_found"], " %", 1)
        rows.append(("true faces found", f"{found} of {detection['true_faces']}, {detection['false_faces']} false"))
    return [
        *rows,
        ("tracks", f"{tracks['tracks']}"),
        ("losses / returns / switches", "{losses} / {returns} / {switches}".format(**tracks)),
        (
            "residual: 50 / 95 %",
            f"{_number(residual['median'], digits=2)} / {_number(residual['p95'], ' px', 2)}",
        ),
        ("jitter of the fitted landmarks", _number(jitter["fitted_px"], " px")),
        ("jitter of the detected landmarks", _number(jitter["detected_px"], " px")),
        ("jitter of the rotation", _number(jitter["rotation_deg"], "°")),
        ("images at rest", f"{jitter['rest_images']}, told by {jitter['rest_told_by']}"),
        ("identity, first to last", _number(drift["first_to_last"], " mm")),
        ("identity, largest step", _number(drift["largest_step"], " mm")),
        ("identity, within 0.5 mm after", _number(drift["settled_after_images"], " images", 0)),
        *(
            (f"{stage}: 50 / 95 / 99 %", " / ".join(f"{value:.1f}" for value in latency[stage].values()) + " ms")
            for stage in (*STAGES, "total")
        ),
        ("images per second, all in all", f"{record['images_per_s']:.1f}"),
    ]


def _add_truth(report: Report, truth: dict[str, Any]) -> None:
    report.heading("Against the truth")
    if not truth["faces"]:
        report.text("None of the true faces was found.")
        return
    rows = [
        (label, *(_number(factor * v) for v in truth[key].values())) for key, label, factor in _ERRORS if key in truth
    ]
    report.table(("error", "mean", "median", "95 %"), rows, f"over {truth['faces']} faces")
    lags = [(name, _number(value, digits=2)) for name, value in truth["lag_images"].items()]
    report.table(("curve", "lag (images)"), lags, "how late the estimate is")
    if "blendshapes" in truth:
        shapes = sorted(truth["blendshapes"].items(), key=lambda item: -item[1]["rms"])[:_WORST]
        rows = [(name, *(_number(e[key]) for key in ("rms", "bias", "true_mean"))) for name, e in shapes]
        report.table(("blendshape", "RMS error", "mean error", "true mean"), rows, "the worst blendshapes")


def _plot(
    curves: Mapping[str, NDArray[np.float64]],
    labels: Mapping[str, str],
    bottom: float | None = None,
    top: float | None = None,
    *,
    height: float = 2.6,
) -> Figure:
    """Curves by name, one below the other with the label of its axis, each with its truth where that is known."""
    figure = Figure((9.0, height), layout="constrained")
    panels = figure.subplots(len(labels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (name, label) in zip(panels, labels.items(), strict=True):
        if f"true_{name}" in curves:
            axes.plot(curves["seconds"], curves[f"true_{name}"], **_TRUTH)
        axes.plot(curves["seconds"], curves[name], **_ESTIMATE)
        axes.set_ylabel(label)
        axes.set_ylim(bottom, top)
        _finish(axes, legend=axes is panels[0] and f"true_{name}" in curves, last=axes is panels[-1])
    return figure


def _latency_plot(curves: dict[str, NDArray[np.float64]]) -> Figure:
    figure, axes = new_plot(9.0, 2.8)
    stages = [curves[stage] for stage in STAGES]
    axes.stackplot(curves["seconds"], stages, labels=STAGES, colors=("#9ecae1", "#4292c6", "#08519c"))
    # The first image and a busy moment would hide all others.
    total = np.sum(stages, axis=0)
    axes.set_ylim(0.0, 2.0 * float(np.percentile(total, 95)))
    axes.set_ylabel("ms")
    _finish(axes, legend=True)
    return figure


def _finish(axes: Any, *, legend: bool, last: bool = True) -> None:
    axes.grid(alpha=0.3)
    axes.margins(x=0.01)
    if legend:
        axes.legend(loc="upper right", ncol=3, fontsize="small")
    if last:
        axes.set_xlabel("seconds")


def _number(value: float, unit: str = "", digits: int = 3) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}{unit}"

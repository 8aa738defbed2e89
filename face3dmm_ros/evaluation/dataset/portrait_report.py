"""What an evaluation of people's portraits says: report.json, report.html and a table for the terminal; no pictures."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.evaluation.dataset.evaluation import Made, PipelineOptions
from face3dmm_ros.evaluation.dataset.report_parts import add_incidents, add_versions, versions, write_record
from face3dmm_ros.evaluation.dataset.smiles import WAYS, SmileWeights, strongest, summarize_smiles
from face3dmm_ros.evaluation.report import Report, plain_table

_MEANING = (
    "Each person's neutral and smiling picture went through the live pipeline. Track: the neutral picture four times, "
    "then the smiling one four times, 1/30 s apart and smoothed, the last of each read; single: each picture by "
    "itself. Smile strongest: the share of people of whose 52 weights mouthSmileLeft or mouthSmileRight rises most "
    "from neutral to smile; smile's rise: the mean of these two. Found: the share of single pictures in which the face "
    "was seen where the label says. Who was not seen in all pictures does not count among the people."
)
_COLUMNS = {
    "people": "people",
    "found": "found %",
    "smile_strongest_track": "smile strongest % (track)",
    "smile_strongest_single": "(single)",
    "smile_mean_track": "smile's rise (track)",
    "smile_mean_single": "(single)",
}
_PERCENT = frozenset({"found", "smile_strongest_track", "smile_strongest_single"})


@dataclass(frozen=True, eq=False)
class PortraitEvaluation:
    """All that a report tells.

    Attributes:
        dataset: the folder.
        options: what was judged.
        made: with which model and software.
        seen: by each fit method.
        skipped: people whose files could not be used, and why.
    """

    dataset: Path
    options: PipelineOptions
    made: Made
    seen: Mapping[str, SmileWeights]
    skipped: Mapping[str, str]


def write_json(evaluation: PortraitEvaluation, path: Path) -> None:
    """Write report.json; what is unknown is null.

    Raises:
        Face3DMMError: the file cannot be written.
    """
    methods = {method: {"portraits": summarize_smiles(seen)} for method, seen in evaluation.seen.items()}
    record = {
        "dataset": str(evaluation.dataset),
        "options": asdict(evaluation.options),
        "versions": versions(evaluation.made),
        "note": _MEANING,
        **methods[evaluation.options.fit_methods[0]],
        "methods": methods,
        "skipped": dict(evaluation.skipped),
        "failures": {method: seen.failures for method, seen in evaluation.seen.items()},
    }
    write_record(record, path)


def console_table(evaluation: PortraitEvaluation) -> str:
    """The figures of all methods as tables of plain text."""
    tables = [plain_table(*_smile_table(evaluation.seen))]
    tables += [plain_table(*_rest_table(method, seen)) for method, seen in evaluation.seen.items()]
    lost = sum(len(seen.failures) for seen in evaluation.seen.values())
    return "\n\n".join([*tables, f"Skipped: {len(evaluation.skipped)}. Not seen in all pictures: {lost}."])


def html_report(evaluation: PortraitEvaluation) -> Report:
    """The whole report."""
    options = evaluation.options
    report = Report(
        f"Smiles and faces at rest of {evaluation.dataset.name}",
        f"backend {options.backend}, model {evaluation.made.model}, smoothing as by default",
    )
    report.heading("Smiles")
    report.table(*_smile_table(evaluation.seen))
    report.text(_MEANING)
    for way in WAYS:
        report.plot(_bars({method: seen.rise(way) for method, seen in evaluation.seen.items()}), f"Mean rises, {way}.")
    report.heading("At rest")
    for method, seen in evaluation.seen.items():
        report.table(*_rest_table(method, seen))
    report.plot(_bars({method: seen.at_rest for method, seen in evaluation.seen.items()}), "Mean weights at rest.")
    incidents = {"Skipped": evaluation.skipped}
    incidents |= {f"Where {method} did not see somebody": seen.failures for method, seen in evaluation.seen.items()}
    add_incidents(report, incidents)
    add_versions(report, evaluation.made)
    return report


def _smile_table(all_seen: Mapping[str, SmileWeights]) -> tuple[list[str], list[list[str | float]]]:
    rows: list[list[str | float]] = []
    for method, seen in all_seen.items():
        summary = summarize_smiles(seen)
        rows.append([method, *(summary[key] * (100.0 if key in _PERCENT else 1) for key in _COLUMNS)])
    return ["fit method", *_COLUMNS.values()], rows


def _rest_table(method: str, seen: SmileWeights) -> tuple[list[str], list[tuple[str, float]]]:
    return [f"{method}: at rest, single", "mean weight"], list(strongest(seen.at_rest).items())


def _bars(all_weights: Mapping[str, NDArray[np.float64]]) -> Figure:
    """The weights (P, 52) of each method that are the first one's strongest, as means."""
    figure = Figure(figsize=(7, 4.5))
    axes = figure.subplots()
    names = list(strongest(next(iter(all_weights.values()))))
    height = 0.8 / len(all_weights)
    for index, (method, weights) in enumerate(all_weights.items()):
        means = [weights[:, ARKIT_NAMES.index(name)].mean() for name in names] if len(weights) else [0.0] * len(names)
        axes.barh(np.arange(len(names)) + index * height, means, height, label=method)
    axes.set_yticks(np.arange(len(names)) + 0.4 - height / 2.0, names)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="lower right")
    return figure

"""The report on people's portraits: report.json, report.html and tables for the terminal; it shows no pictures."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.evaluation.dataset.report_parts import Evaluation
from face3dmm_ros.evaluation.dataset.results_file import Record
from face3dmm_ros.evaluation.dataset.smiles import WAYS, SmileWeights, strongest, summarize_smiles
from face3dmm_ros.evaluation.report import Report, Table, new_plot, plain_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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


class PortraitReport(Evaluation[SmileWeights]):
    """The report on people's portraits."""

    note = _MEANING

    def figures(self, found: SmileWeights) -> Record:
        """Those of `summarize_smiles`."""
        return {"portraits": summarize_smiles(found)}

    def console_table(self) -> str:
        """How the smiles came through, and each method's strongest weights at rest."""
        tables = [_smile_table(self.methods), *(_rest_table(method, seen) for method, seen in self.methods.items())]
        lost = sum(len(seen.failures) for seen in self.methods.values())
        counts = f"Skipped: {len(self.skipped)}. Not seen in all pictures: {lost}."
        return "\n\n".join([*(plain_table(*table) for table in tables), counts])

    def html_report(self) -> Report:
        """The same tables, and the mean weights as bars."""
        report = Report(
            f"Smiles and faces at rest of {self.dataset.name}",
            f"backend {self.options.backend}, model {self.versions['model']}, smoothing as by default",
        )
        report.heading("Smiles")
        report.table(*_smile_table(self.methods))
        report.text(self.note)
        for way in WAYS:
            report.plot(_bars({method: seen.rise(way) for method, seen in self.methods.items()}), f"Mean rises, {way}.")
        report.heading("At rest")
        for method, seen in self.methods.items():
            report.table(*_rest_table(method, seen))
        report.plot(_bars({method: seen.at_rest for method, seen in self.methods.items()}), "Mean weights at rest.")
        self.add_appendix(report)
        return report


def _smile_table(all_seen: Mapping[str, SmileWeights]) -> Table:
    rows: list[list[str | float]] = []
    for method, seen in all_seen.items():
        summary = summarize_smiles(seen)
        rows.append([method, *(summary[key] * (100.0 if key in _PERCENT else 1) for key in _COLUMNS)])
    return ["fit method", *_COLUMNS.values()], rows


def _rest_table(method: str, seen: SmileWeights) -> Table:
    return [f"{method}: at rest, single", "mean weight"], [[*row] for row in strongest(seen.at_rest).items()]


def _bars(all_weights: Mapping[str, NDArray[np.float64]]) -> "Figure":
    """Each method's mean weights over (P, 52), those that are strongest in the first method."""
    figure, axes = new_plot(7, 4.5)
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

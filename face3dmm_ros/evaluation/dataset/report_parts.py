"""What the reports on all kinds of data sets have in common."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Generic, Protocol, TypeVar

from face3dmm_ros.evaluation.dataset.pipeline_options import PipelineOptions, made_with
from face3dmm_ros.evaluation.dataset.results_file import Record
from face3dmm_ros.evaluation.report import Report, write_json

# Rows of a table of skipped pictures or failures; report.json has them all. Chosen by hand, to keep pages short.
_LISTED = 20


class Findings(Protocol):
    """What was measured of one fit method."""

    @property
    def failures(self) -> Mapping[str, str]:
        """Why the method failed, by picture or person."""


AnyFindings = TypeVar("AnyFindings", bound=Findings)


@dataclass(frozen=True, eq=False)
class Evaluation(ABC, Generic[AnyFindings]):
    """The content of a report, and how it is presented.

    Attributes:
        dataset: the data set's folder.
        options: what was evaluated.
        methods: the findings of each fit method.
        skipped: why pictures or people could not be used, by name.
        note: what the figures mean.
    """

    note: ClassVar[str]

    dataset: Path
    options: PipelineOptions
    methods: Mapping[str, AnyFindings]
    skipped: Mapping[str, str]

    @cached_property
    def versions(self) -> Mapping[str, str]:
        """Those of the model and the software, see `made_with`."""
        return made_with(self.options)

    @abstractmethod
    def figures(self, found: AnyFindings) -> Record:
        """What report.json holds of one method; NaN where something is unknown."""

    @abstractmethod
    def console_table(self) -> str:
        """The figures of all methods as tables of plain text."""

    @abstractmethod
    def html_report(self) -> Report:
        """The report as a page."""

    def record(self) -> Record:
        """The content of report.json."""
        methods = {method: self.figures(found) for method, found in self.methods.items()}
        return {
            "dataset": str(self.dataset),
            "options": asdict(self.options),
            "versions": self.versions,
            "note": self.note,
            **methods[self.options.fit_methods[0]],
            "methods": methods,
            "skipped": self.skipped,
            "failures": {method: found.failures for method, found in self.methods.items()},
        }

    def write(self, out: Path) -> None:
        """Write report.json and report.html to a folder.

        Raises:
            Face3DMMError: a file cannot be written.
        """
        write_json(self.record(), out / "report.json")
        self.html_report().write(out / "report.html")

    def add_appendix(self, report: Report, incidents: Mapping[str, Mapping[str, str]] | None = None) -> None:
        """Add tables of what was skipped, of failures, of other incidents by title and picture, and of the versions."""
        failures = {f"Failures of {method}": found.failures for method, found in self.methods.items()}
        for title, listed in {"Skipped": self.skipped, **failures, **(incidents or {})}.items():
            if listed:
                report.heading(title)
                rows = list(listed.items())[:_LISTED]
                if len(listed) > _LISTED:
                    rows.append(("…", f"and {len(listed) - _LISTED} more, in report.json"))
                report.table(("which", "what"), rows)
        report.heading("Made with")
        report.table(("what", "which"), list(self.versions.items()))

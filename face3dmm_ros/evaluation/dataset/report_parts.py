"""What the reports of all kinds of data sets have in common."""

import json
import math
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import face3dmm_ros
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.evaluation.dataset.evaluation import Made
from face3dmm_ros.evaluation.report import Report

_LISTED = 20


def versions(made: Made) -> dict[str, str]:
    """Software and model by name."""
    return {
        "face3dmm_ros": face3dmm_ros.__version__,
        "software_digest": made.software,
        "model": made.model,
        "model_digest": made.model_digest,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
    }


def write_record(record: Mapping[str, Any], path: Path) -> None:
    """Write a report as JSON; numbers that JSON does not know become null.

    Raises:
        Face3DMMError: the file cannot be written.
    """
    text = json.dumps(_without_nan(record), indent=1, ensure_ascii=False, allow_nan=False)
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise Face3DMMError(f"the report cannot be written to {path}: {error}") from error


def add_incidents(report: Report, incidents: Mapping[str, Mapping[str, str]]) -> None:
    """A table for each title, of what happened by picture; none where nothing did."""
    for title, listed in incidents.items():
        if listed:
            report.heading(title)
            rows = list(listed.items())[:_LISTED]
            if len(listed) > _LISTED:
                rows.append(("…", f"and {len(listed) - _LISTED} more, in report.json"))
            report.table(("which", "what"), rows)


def add_versions(report: Report, made: Made) -> None:
    """Say what the report was made with."""
    report.heading("Made with")
    report.table(("what", "which"), list(versions(made).items()))


def _without_nan(value: Any) -> Any:
    """The same with None in place of numbers that JSON does not know."""
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

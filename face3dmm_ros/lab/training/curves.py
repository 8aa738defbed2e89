"""The curves of a training: as CSV files, and for TensorBoard where it is installed."""

import csv
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.files.whole_file import whole_file

KINDS = ("losses", "validation")
TENSORBOARD = "tensorboard"
"""Subfolder of its event files."""


class Curves:
    """Curves in a folder, one CSV file for each kind (``losses.csv``, ``validation.csv``), a row for each step."""

    def __init__(self, folder: Path, last_step: int) -> None:
        """Resume after a step: rows of later steps, which come again, are dropped.

        Raises:
            Face3DMMError: the folder cannot be written to, or holds other files of these names.
        """
        self._folder = folder
        for kind in KINDS:
            _drop_after(folder / f"{kind}.csv", last_step)
        self.board: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self.board = SummaryWriter(str(folder / TENSORBOARD), purge_step=last_step + 1)

    def add(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Append a row.

        Raises:
            Face3DMMError: the file cannot be written.
        """
        path = self._folder / f"{kind}.csv"
        try:
            with path.open("a", newline="", encoding="utf-8") as file:
                writer = csv.writer(file, lineterminator="\n")
                if file.tell() == 0:
                    writer.writerow(["step", *values])
                writer.writerow([step, *(f"{value:.7g}" for value in values.values())])
        except OSError as error:
            raise Face3DMMError(f"cannot write {path}: {error}") from error
        self.show(kind, step, values)

    def show(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Values for TensorBoard only."""
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """Write what TensorBoard's writer still holds."""
        if self.board is not None:
            self.board.close()


def read_curve(path: Path) -> list[dict[str, float]]:
    """A file's rows.

    Raises:
        Face3DMMError: the file cannot be read or is no such CSV. A last row that is cut short is ignored.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(StringIO("".join(whole)))]
    except (OSError, ValueError, TypeError, AttributeError, csv.Error) as error:
        raise Face3DMMError(f"{path} is not a training's curve: {error}") from error


def _drop_after(path: Path, last_step: int) -> None:
    if not path.exists():
        return
    rows = [row for row in read_curve(path) if row.get("step", 0) <= last_step]
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)[: len(rows) + 1 if rows else 0]
    with whole_file(path) as unfinished:
        unfinished.write_text("".join(lines), encoding="utf-8")

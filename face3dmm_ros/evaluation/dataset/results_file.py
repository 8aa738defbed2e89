"""Results that survive a kill: one JSON record a line, appended as each is finished, tied to the run's settings."""

import contextlib
import fcntl
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from face3dmm_ros.core.closing import Closing
from face3dmm_ros.core.errors import Face3DMMError

Record = dict[str, Any]
# Hexadecimal digits of SHA-256.
_DIGEST_LENGTH = 64


class ResultsFile(Closing):
    """An append-only file of records, each with a ``key`` and the ``stamp`` of the input that it was made from.

    The first line holds the settings. An unfinished record at the end, as a kill leaves it, is removed.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], *, fresh: bool = False) -> None:
        """Lock the file for one run, and keep the results in it unless `fresh`.

        Raises:
            Face3DMMError: it cannot be written, another run has it, or its results were made with other settings.
        """
        self.path = path
        with contextlib.ExitStack() as opened:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._file = opened.enter_context(path.open("a+b"))
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Face3DMMError(
                    f"another run is writing to {path}: wait for it, or choose another --out"
                ) from error
            except OSError as error:
                raise Face3DMMError(f"results cannot be written to {path}: {error}") from error
            self._stamps = self._begin(dict(settings), fresh)
            opened.pop_all()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def holds(self, key: str, stamp: object) -> bool:
        """Whether there is a record of this key, made from an input of this stamp."""
        return key in self._stamps and self._stamps[key] == stamp

    def append(self, record: Record) -> None:
        """Add a record, which from here on survives the end of this process."""
        self._file.write(_line(record))
        self._file.flush()
        self._stamps[record["key"]] = record["stamp"]

    def records(self) -> Iterator[Record]:
        """The newest record of each key, in the order of the file. They are read one by one, as there may be many."""
        for line in self._lines():
            record = json.loads(line)
            if "key" in record and self._stamps.get(record["key"]) == record["stamp"]:
                yield record

    def _begin(self, settings: Record, fresh: bool) -> dict[str, object]:
        """Check the settings, or write them; returns the stamps by key."""
        # What JSON makes of them, tuples turned to lists, is what they are compared as.
        settings = json.loads(json.dumps(settings))
        stamps: dict[str, object] = {}
        length = 0
        for line in () if fresh else self._lines():
            record = _parsed(line)
            if length == 0:
                self._check(record.get("settings", {}), settings)
            elif "key" in record:
                stamps[record["key"]] = record["stamp"]
            else:  # damaged: this line and what follows is done again
                break
            length += len(line)
        self._file.truncate(length)
        self._file.seek(0, 2)
        if length == 0:
            self._file.write(_line({"settings": settings}))
            self._file.flush()
        return stamps

    def _check(self, found: Record, settings: Record) -> None:
        changed = [name for name in {**settings, **found} if found.get(name) != settings.get(name)]
        if changed:
            changes = ", ".join(
                f"{name} was {_brief(found.get(name))}, is {_brief(settings.get(name))}" for name in changed
            )
            raise Face3DMMError(
                f"{self.path} holds results of another run ({changes}): add --fresh to drop them, or choose another "
                "--out"
            )

    def _lines(self) -> Iterator[bytes]:
        """The complete lines."""
        with self.path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield line


def _parsed(line: bytes) -> Record:
    """The record of a line; empty if the line is damaged."""
    with contextlib.suppress(ValueError):
        record = json.loads(line)
        if isinstance(record, dict):
            return record
    return {}


def _line(record: Record) -> bytes:
    return json.dumps(record, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _brief(value: object) -> str:
    """A setting as text for a message; of a digest the first digits."""
    text = str(value)
    return text if len(text) != _DIGEST_LENGTH else f"{text[:12]}…"

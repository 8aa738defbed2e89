"""`python -m tools.campaign files`: hostile files of all kinds, each read in a process with limits."""

import multiprocessing
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from tools.campaign.file_worker import serve
from tools.campaign.hostile_files import CANARY
from tools.campaign.report import Case

LONGEST_S = 10.0
"""s that a file may take, on a machine with nothing else to do."""
GOOD = ("read", "refused")
"""Outcomes of a file that did no harm."""


@dataclass
class _Reader:
    """A process that reads, and the way to it."""

    process: BaseProcess
    connection: Connection


def run(numbers: Iterable[int], seed: int, only: str = "", longest_s: float = LONGEST_S) -> Iterator[Case]:
    """Let files be read, the kinds in turn, and yield what came of each.

    Args:
        numbers: of the files; number k is made with the seeds (`seed`, k), and is the same whenever it is made.
        seed: of them all.
        only: a part of the names of the kinds to take; all of them if empty.
        longest_s: that a file may take.
    """
    names: list[str] = []
    with tempfile.TemporaryDirectory(prefix="campaign_") as folder:
        (Path(folder) / CANARY).write_text("nobody reads this")
        (Path(folder) / "files").mkdir()
        reader: _Reader | None = None
        for k in numbers:
            if reader is None:
                ours, theirs = multiprocessing.Pipe()
                arguments = theirs, Path(folder) / "files", only
                process = multiprocessing.get_context("spawn").Process(target=serve, args=arguments, daemon=True)
                process.start()
                theirs.close()
                reader = _Reader(process, ours)
                names = ours.recv()
            name = names[k % len(names)]
            outcome, words = _read_one(reader, name, (seed, k), longest_s)
            if outcome in ("hung", "died", "swelled"):
                reader.process.kill()
                reader.process.join()
                reader = None
            yield Case(name, f"{seed},{k}", outcome, words, outcome in GOOD)
        if reader is not None:
            reader.connection.send(None)
            reader.process.join()


def _read_one(reader: _Reader, name: str, seed: tuple[int, int], longest_s: float) -> tuple[str, str]:
    try:
        reader.connection.send((name, seed))
        reader.connection.recv()
        if not reader.connection.poll(longest_s):
            return "hung", f"for {longest_s:.0f} s"
        outcome, words = reader.connection.recv()
        return outcome, words
    except (EOFError, BrokenPipeError, ConnectionResetError):
        reader.process.join(1.0)
        return "died", f"exit code {reader.process.exitcode}"

"""`python -m tools.campaign runs`: live runs that start, are told to end, and are killed, in whole or in part."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator

from face3dmm_ros.bags.reader import BagReader
from face3dmm_ros.core.errors import Face3DMMError
from tools.campaign.report import Case

_MARK = "FACE3DMM_CAMPAIGN"
"""A variable by which processes of one run are found."""
_READY_S, _END_S, _ORPHAN_S = 90.0, 60.0, 5.0
"""s in which a run gives its first overlay, ends, and leaves no process behind; chosen by hand for a busy machine."""
_LOST_S = 2.0
"""s before a kill that a recording may lack."""
_NODES = ("video_source_node", "landmark_node", "fitter_node", "renderer_node")


@dataclass(frozen=True)
class _Run:
    """A run of `face3dmm live` with a recording."""

    process: subprocess.Popen
    out: Path
    mark: str

    def processes(self) -> dict[int, str]:
        """The command lines of all living processes of the run, by their ids."""
        found = {}
        for folder in Path("/proc").iterdir():
            with suppress(OSError):
                if folder.name.isdigit() and f"{_MARK}={self.mark}".encode() in (folder / "environ").read_bytes():
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().decode(errors="replace")
        return found

    def wait_for_overlays(self) -> str:
        """Wait until it draws; an error if it does not."""
        end = time.monotonic() + _READY_S
        while not (video := self.out / "overlay.mp4").exists() or video.stat().st_size < 20_000:
            if self.process.poll() is not None:
                return f"ended with {self.process.returncode} before it drew anything: {self.said()}"
            if time.monotonic() > end:
                return "drew nothing"
            time.sleep(0.05)
        return ""

    def end(self, number: int, allowed: tuple[int, ...]) -> str:
        """Send a signal and wait for the end; an error if it is not one of the exit codes, or leaves something."""
        with suppress(ProcessLookupError):
            self.process.send_signal(number)
        try:
            self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            return f"does not end by signal {number}"
        said = self.said()
        if self.process.returncode not in allowed:
            return f"ended with {self.process.returncode} by signal {number}: {said}"
        return "Traceback: " + said if "Traceback" in said else self.orphans()

    def orphans(self) -> str:
        """Processes that outlive the run, after a while; empty if there are none."""
        end = time.monotonic() + _ORPHAN_S
        while (left := self.processes()) and time.monotonic() < end:
            time.sleep(0.1)
        return f"left {', '.join(left.values())}"[:300] if left else ""

    def said(self) -> str:
        """The end of what it said."""
        return (self.out.parent / f"{self.mark}.txt").read_text(errors="replace")[-600:]


def _started(folder: Path, *arguments: str) -> _Run:
    mark = uuid.uuid4().hex
    out = folder / mark
    command = [sys.executable, "-m", "face3dmm_ros.cli.main", "live", "--source", "sample", "--width", "320"]
    with (folder / f"{mark}.txt").open("w") as said:
        process = subprocess.Popen(
            [*command, "--out", str(out), *arguments],
            env=os.environ | {_MARK: mark},
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    return _Run(process, out, mark)


def _placement(rng: Generator) -> str:
    return "--composed" if rng.random() < 0.5 else "--no-composed"


def _start(folder: Path, rng: Generator) -> str:
    """A run of a second, sometimes where one was killed a moment before."""
    if rng.random() < 0.3:
        before = _started(folder, _placement(rng))
        time.sleep(float(rng.uniform(0.0, 6.0)))
        before.process.kill()
        before.process.wait()
        if left := before.orphans():
            return left
    run = _started(folder, "--duration", "1", _placement(rng))
    try:
        code = run.process.wait(_READY_S + _END_S)
    except subprocess.TimeoutExpired:
        run.process.kill()
        return "does not end"
    if code not in (0, 3):
        return f"ended with {code}: {run.said()}"
    overlays = json.loads((run.out / "summary.json").read_text())["frames_overlay"]
    return run.orphans() if overlays else "drew nothing"


def _signal(folder: Path, rng: Generator) -> str:
    """A run that is told to end at any moment of its start, or a little later."""
    run = _started(folder, _placement(rng))
    time.sleep(float(rng.uniform(0.0, 8.0)))
    return run.end(int(rng.choice([signal.SIGINT, signal.SIGTERM])), (0, 3, 130, 143, -signal.SIGINT, -signal.SIGTERM))


def _kill_node(folder: Path, rng: Generator) -> str:
    """A run of which a node is killed: it goes on."""
    run = _started(folder, "--no-composed")
    if wrong := run.wait_for_overlays():
        return wrong
    name = _NODES[int(rng.integers(len(_NODES)))]
    victim = next(pid for pid, command in run.processes().items() if f"\0{name}\0" in command)
    os.kill(victim, signal.SIGKILL)
    killed = time.monotonic()
    length = (run.out / "overlay.mp4").stat().st_size
    time.sleep(1.5)  # What was under way has come out.
    while (run.out / "overlay.mp4").stat().st_size < length + 100_000:
        if time.monotonic() - killed > _READY_S or run.process.poll() is not None:
            return f"{name} does not come back"
        time.sleep(0.1)
    return run.end(signal.SIGINT, (0, 3))


def _kill_all(folder: Path, rng: Generator) -> str:
    """A run that is killed: its recording is there, and nothing else is left."""
    run = _started(folder, _placement(rng))
    if wrong := run.wait_for_overlays():
        return wrong
    time.sleep(float(rng.uniform(0.5, 5.0)))
    run.process.kill()
    killed_ns = time.time_ns()
    run.process.wait()
    if left := run.orphans():
        return left
    try:
        with BagReader(run.out / "bag") as bag:
            last = max(time_ns for _, time_ns, _ in bag.read(["/face/params"]))
    except (Face3DMMError, ValueError) as error:
        return f"its bag cannot be read: {error}"
    missing = 1e-9 * (killed_ns - last)
    return "" if missing <= _LOST_S else f"its bag lacks the last {missing:.1f} s"


_TRIALS: dict[str, Callable[[Path, Generator], str]] = {
    "start": _start,
    "signal": _signal,
    "kill a node": _kill_node,
    "kill all": _kill_all,
}


def run(numbers: Iterable[int], seed: int, only: str) -> Iterator[Case]:
    """Let live runs start and end, the kinds in turn, and yield what came of each.

    Args:
        numbers: of the trials; trial k is made with the seeds (`seed`, k).
        seed: of them all.
        only: a part of the names of the kinds to take; all of them if empty.
    """
    names = [name for name in _TRIALS if only in name]
    for k in numbers:
        name = names[k % len(names)]
        with tempfile.TemporaryDirectory(prefix="campaign_") as folder:
            wrong = _TRIALS[name](Path(folder), np.random.default_rng((seed, k)))
        yield Case(name, f"{seed},{k}", "failed" if wrong else "survived", wrong, not wrong)

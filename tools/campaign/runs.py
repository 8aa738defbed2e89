"""`python -m tools.campaign runs`: live runs that start, are told to end, and are killed, in whole or in part."""

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.random import Generator

from face3dmm_ros.bags.reader import BagReader
from face3dmm_ros.core.errors import Face3DMMError
from tools.campaign.live_run import END_S, READY_S, started
from tools.campaign.report import Case

_LOST_S = 2.0
"""s before a kill that a recording may lack."""
_SLOWEST_RETURN = 1.5
"""The time that a killed node takes to be back, against that of its run's start."""
_UNDER_WAY_S = 1.5
"""s in which what was under way at a kill has come out, and is on disk; chosen by hand."""
_NODES = ("video_source_node", "landmark_node", "fitter_node", "renderer_node")
_CLIP = ("--source", "sample", "--width", "320")


def _placement(rng: Generator) -> str:
    return "--composed" if rng.random() < 0.5 else "--no-composed"


def _start(folder: Path, rng: Generator) -> str:
    """A run of a second, sometimes where one was killed a moment before."""
    if rng.random() < 0.3:
        before = started(folder, *_CLIP, _placement(rng))
        time.sleep(float(rng.uniform(0.0, 6.0)))
        before.process.kill()
        before.process.wait()
        if left := before.orphans():
            return left
    run = started(folder, *_CLIP, "--duration", "1", _placement(rng))
    try:
        code = run.process.wait(READY_S + END_S)
    except subprocess.TimeoutExpired:
        run.process.kill()
        return "does not end"
    if code not in (0, 3):
        return f"ended with {code}: {run.said()}"
    overlays = json.loads((run.out / "summary.json").read_text())["frames_overlay"]
    return run.orphans() if overlays else "drew nothing"


def _signal(folder: Path, rng: Generator) -> str:
    """A run that is told to end at any moment of its start, or a little later."""
    run = started(folder, *_CLIP, _placement(rng))
    time.sleep(float(rng.uniform(0.0, 8.0)))
    return run.end(int(rng.choice([signal.SIGINT, signal.SIGTERM])), (0, 3, 130, 143, -signal.SIGINT, -signal.SIGTERM))


def _kill_node(folder: Path, rng: Generator) -> str:
    """A run of which a node is killed: it goes on, and is back soon."""
    begun = time.monotonic()
    run = started(folder, *_CLIP, "--no-composed")
    if wrong := run.wait_for_overlays():
        return wrong
    start_s = time.monotonic() - begun
    name = _NODES[int(rng.integers(len(_NODES)))]
    victim = next(pid for pid, command in run.processes().items() if f"\0{name}\0" in command)
    os.kill(victim, signal.SIGKILL)
    killed = time.monotonic()
    time.sleep(_UNDER_WAY_S)
    if wrong := run.wait_for_overlays(after=(run.out / "overlay.mp4").stat().st_size):
        return f"{name} does not come back: {wrong}"
    return_s = time.monotonic() - killed
    if return_s > _SLOWEST_RETURN * start_s:
        return f"{name} is back after {return_s:.1f} s only, its run started in {start_s:.1f} s"
    return run.end(signal.SIGINT, (0, 3))


def _kill_all(folder: Path, rng: Generator) -> str:
    """A run that is killed: its recording is there, and nothing else is left."""
    run = started(folder, *_CLIP, _placement(rng))
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

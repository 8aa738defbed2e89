"""`python -m tools.campaign runs`: live runs that start, are told to end, are killed, in whole or in part, lack room on
the disk, or meet another run, and nodes whose clock jumps."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.random import Generator

from face3dmm_ros.bags.reader import BagReader
from face3dmm_ros.core.errors import Face3DMMError
from tools.campaign.live_run import END_S, READY_S, LiveRun, kill_what_is_left, started
from tools.campaign.report import Case

_LOST_S = 2.0
"""s before a kill that a recording may lack."""
_SLOWEST_RETURN = 1.5
"""The time that a killed node takes to be back, against that of its run's start."""
_UNDER_WAY_S = 1.5
"""s in which what was under way at a kill has come out, and is on disk; chosen by hand."""
_NODES = ("video_source_node", "landmark_node", "fitter_node", "renderer_node")
_JUMPS, _TICKS = 20, 5
"""Of a clock, and how often each time is told; chosen by hand: after half a minute a node that fails has."""
_PYTHON_S = 1.0
"""s in which Python itself starts, also on a busy machine; an interrupt that comes then may get lost in it."""
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
        return f"does not end: {run.said()}"
    if code not in (0, 3):
        return f"ended with {code}: {run.said()}"
    overlays = json.loads((run.out / "summary.json").read_text())["frames_overlay"]
    return run.orphans() if overlays else "drew nothing"


def _signal(folder: Path, rng: Generator) -> str:
    """A run that is told to end at any moment of its start, or a little later."""
    run = started(folder, *_CLIP, _placement(rng))
    time.sleep(float(rng.uniform(_PYTHON_S, 8.0)))
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


def _disk_full(folder: Path, rng: Generator) -> str:
    """A run whose recording can grow no more: it says so, and what was written can be read.

    A limit of the size of files stands for a full disk: the system refuses to write in the same way.
    """
    run = started(folder, *_CLIP, _placement(rng))
    if wrong := run.wait_for_overlays():
        return wrong
    most = (run.out / "overlay.mp4").stat().st_size + int(rng.integers(2_000_000))
    resource.prlimit(run.process.pid, resource.RLIMIT_FSIZE, (most, most))
    try:
        code = run.process.wait(END_S)
    except subprocess.TimeoutExpired:
        return run.end(signal.SIGKILL, ()) and "goes on without its recording"
    said = run.said()
    if code not in (2, 3) or "Traceback" in said or os.strerror(errno.EFBIG) not in said:
        return f"ended with {code}: {said}"
    return run.orphans() or _unreadable(run)


def _two_instances(folder: Path, rng: Generator) -> str:
    """A second run in a ROS domain is refused, and one in another domain is not; the first goes on."""
    domain = int(rng.integers(1, 100))
    first = started(folder, *_CLIP, _placement(rng), domain=domain)
    if wrong := first.wait_for_overlays():
        return wrong
    second = started(folder, *_CLIP, _placement(rng), domain=domain)
    code, said = second.process.wait(READY_S), second.said()
    if code != 2 or len(said.splitlines()) != 1 or f"in ROS domain {domain}" not in said or second.out.exists():
        return f"the second ended with {code}: {said}"
    other = started(folder, *_CLIP, "--composed", domain=domain + 1)
    wrong = other.wait_for_overlays() or first.wait_for_overlays(after=(first.out / "overlay.mp4").stat().st_size)
    # Both are ended, also where one is at fault.
    faults = [run.end(signal.SIGINT, (0, 3)) for run in (other, first)]
    return wrong or "; ".join(filter(None, faults))


def _clock_jump(folder: Path, rng: Generator) -> str:
    """Nodes whose clock jumps by hours to and fro: they go on answering, and end as they are told to.

    The clock is ROS's simulated time, since nobody may set the machine's.
    """
    import rclpy
    from rosgraph_msgs.msg import Clock
    from sensor_msgs.msg import Image

    from face3dmm_ros.core import topics
    from face3dmm_ros.nodes.qos import image_qos

    command = [sys.executable, "-m", "face3dmm_ros.live.composition", *_NODES, "--ros-args", "--log-level", "error"]
    command += ["-p", "use_sim_time:=true", "-p", "video_source_node:source:=sample"]
    stamps: list[int] = []
    with (folder / "said.txt").open("w") as said, ExitStack() as stack:
        rclpy.init()
        stack.callback(rclpy.try_shutdown)
        node = rclpy.create_node("clock_jump")
        stack.callback(node.destroy_node)
        clock = node.create_publisher(Clock, "/clock", 10)
        node.create_subscription(Image, f"/{topics.OVERLAY}", lambda m: stamps.append(m.header.stamp.sec), image_qos())
        running = subprocess.Popen(command, stdout=said, stderr=said)
        stack.callback(running.kill)
        # Of the overlays that come in the jumps the last must be of a clock that has jumped.
        seconds, begun, jumps = 1_000_000, time.monotonic(), 0
        while jumps < _JUMPS or not stamps:
            if running.poll() is not None or time.monotonic() - begun > READY_S:
                return f"ended ({running.poll()}) or silent: {(folder / 'said.txt').read_text()[-600:]}"
            if stamps:
                seconds, jumps = int(rng.integers(1, 2**31)), jumps + 1
                stamps.clear()
            for _ in range(_TICKS):
                message = Clock()
                message.clock.sec = seconds
                clock.publish(message)
                rclpy.spin_once(node, timeout_sec=0.05)
        running.send_signal(signal.SIGINT)
        code = running.wait(END_S)
    text = (folder / "said.txt").read_text()
    return "" if code == 0 and "Traceback" not in text else f"ended with {code}: {text[-600:]}"


def _unreadable(run: LiveRun) -> str:
    """Why the recording of a run cannot be read; empty if it can."""
    try:
        with BagReader(run.out / "bag") as bag:
            return "" if any(bag.read(["/face/params"])) else "its bag is empty"
    except (Face3DMMError, ValueError) as error:
        return f"its bag cannot be read: {error}"


_TRIALS: dict[str, Callable[[Path, Generator], str]] = {
    "start": _start,
    "signal": _signal,
    "kill a node": _kill_node,
    "kill all": _kill_all,
    "disk full": _disk_full,
    "two instances": _two_instances,
    "clock jump": _clock_jump,
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
            kill_what_is_left()
        yield Case(name, f"{seed},{k}", "failed" if wrong else "survived", wrong, not wrong)

"""`python -m benchmarks.load`: how old answers are, how many images have one, and what an image costs of processor
time, also while something takes a core.

The live nodes run as `ros2 run` starts them, on the sample clip at 640×480. The
conditions take turns; the last tells what libraries' threads cost where no environment variable limits them.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from face3dmm_ros.live.middleware import fast_dds_settings, free_stale_segments

os.environ.update(fast_dds_settings(os.environ, loopback=True))

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from face3dmm_ros.core import topics
from face3dmm_ros.msg import Face3DMMParamsArray
from face3dmm_ros.nodes.diagnostics import Statuses
from face3dmm_ros.nodes.qos import image_qos, result_qos
from face3dmm_ros.nodes.synchronization import serialized_stamp

SOURCE = "video_source_node"
NODES = ("landmark_node", "fitter_node", "renderer_node")
VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")
CLIP = ("source:=sample", "width:=640", "height:=480")
Answer = tuple[type, str, QoSProfile]
"""Messages that answer images, beginning with their header: their class, topic, and how they are taken."""
PARAMETERS: Answer = (Face3DMMParamsArray, topics.PARAMETERS, result_qos(100))
OVERLAY: Answer = (Image, topics.OVERLAY, image_qos())
_SETTLING = 4.0
"""s of images before it is measured; chosen by hand."""
_START_TIMEOUT, _STOP_TIMEOUT = 60.0, 10.0
"""s; chosen by hand."""


@dataclass(frozen=True)
class Condition:
    """What is beside the nodes, and in their environment."""

    name: str
    busy_cores: int = 0
    environment: dict[str, str] = field(default_factory=dict)


CONDITIONS = (
    Condition("quiet"),
    Condition("one core busy", busy_cores=1),
    Condition("quiet, OMP_NUM_THREADS=1", environment={"OMP_NUM_THREADS": "1"}),
)


@dataclass(frozen=True)
class Run:
    """What was seen of a run.

    Attributes:
        answered: share of the images that the source was to give.
        rate: answers per second.
        age_ms: of their answers: of the topic that was listened to last.
        processor_ms: of all nodes, on all cores, for each image that was answered.
        stage_ms: medians of the stages.
        start_s: from the start of the processes to the first answer.
    """

    answered: float
    rate: float
    age_ms: list[float]
    processor_ms: float
    stage_ms: dict[str, float]
    start_s: float


class Listener(Node):
    """Keeps how old each image was when it was answered, by its stamp in ns, and what the nodes report.

    It takes no more than rviz does: each copy that leaves the nodes' process costs them time.
    """

    def __init__(self, answers: Iterable[Answer]) -> None:
        """Listen to some topics."""
        super().__init__("load_listener")
        self.age_ms: dict[int, float] = {}
        self.statuses = Statuses()
        self.create_subscription(DiagnosticArray, "/diagnostics", self.statuses.take, 100)
        self._dated = ""
        for answer in answers:
            self.listen(answer)

    def listen(self, answer: Answer) -> None:
        """Listen to a topic too; of all of them, the ages of this one's messages are kept from now on."""
        message_type, self._dated, qos = answer
        # Serialized: what this process takes, the nodes lack.
        self.create_subscription(message_type, self._dated, partial(self._on_answer, self._dated), qos, raw=True)

    def _on_answer(self, topic: str, message: bytes) -> None:
        if topic != self._dated:
            return
        seconds, nanoseconds = serialized_stamp(message)
        stamp = 1_000_000_000 * seconds + nanoseconds
        self.age_ms.setdefault(stamp, 1e-6 * (self.get_clock().now().nanoseconds - stamp))

    def spin_for(self, seconds: float) -> None:
        """Listen for a while."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            rclpy.spin_once(self, timeout_sec=left)


@contextmanager
def process(*command: str, environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen]:
    """A Python program that runs meanwhile."""
    inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    started = subprocess.Popen([sys.executable, *command], env=inherited | (environment or {}))
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            started.kill()
            raise


def processor_ms(processes: Iterable[subprocess.Popen]) -> float:
    """Processor time that processes have used so far (Linux)."""
    clock_ticks = 0
    for running in processes:
        # The name, in brackets, may hold anything; then come 11 fields before the times in user and system mode.
        fields = Path(f"/proc/{running.pid}/stat").read_text().rpartition(")")[2].split()
        clock_ticks += int(fields[11]) + int(fields[12])
    return 1000.0 * clock_ticks / os.sysconf("SC_CLK_TCK")


def nodes(*command: str, environment: dict[str, str], fps: float | None) -> AbstractContextManager[subprocess.Popen]:
    """A module with nodes that runs meanwhile, on the clip at a rate if the source is among them; avatars are heads."""
    values = () if fps is None else (*CLIP, f"fps:={fps}")
    parameters = ["-p", "avatar_node:style:=head"]
    parameters += [argument for value in values for argument in ("-p", f"{SOURCE}:{value}")]
    arguments = ("--ros-args", "--log-level", "warn", *parameters)
    return process("-m", *command, *arguments, environment=environment)


@dataclass(frozen=True)
class Live:
    """Nodes that run, and who listens to them.

    Attributes:
        start_s: from the start of the processes to the first answer.
        fps: images per second that the source is to give.
    """

    listener: Listener
    processes: list[subprocess.Popen]
    start_s: float
    fps: float

    def look(self, seconds: float) -> Run:
        """Look at the nodes for some seconds."""
        start, used = time.time_ns(), processor_ms(self.processes)
        self.listener.spin_for(seconds)
        stop, used = time.time_ns(), processor_ms(self.processes) - used
        self.listener.spin_for(1.0)
        ages = [age for stamp, age in self.listener.age_ms.items() if start <= stamp < stop]
        stages = {
            key.removeprefix("stage_ms/"): float(value)
            for name in NODES
            for key, value in self.listener.statuses.get(name, {}).items()
            if key.startswith("stage_ms/")
        }
        rate = len(ages) / (1e-9 * (stop - start))
        return Run(rate / self.fps, rate, ages, used / max(len(ages), 1), stages, self.start_s)


@contextmanager
def live(
    condition: Condition,
    answers: Iterable[Answer],
    names: Sequence[str] = (SOURCE, *NODES),
    *,
    composed: bool,
    fps: float = 30.0,
    settling: float = _SETTLING,
) -> Iterator[Live]:
    """Nodes, the source the first of them, that run meanwhile and have settled for some seconds; and who listens.

    Raises:
        SystemExit: no image was answered.
    """
    free_stale_segments()  # of a run that was killed
    environment = condition.environment
    with ExitStack() as stack:
        listener = Listener(answers)
        stack.callback(listener.destroy_node)
        if composed:
            commands = [nodes("face3dmm_ros.live.composition", *names, environment=environment, fps=fps)]
        else:
            commands = [
                nodes("face3dmm_ros.nodes", name, environment=environment, fps=fps if name == SOURCE else None)
                for name in (*names[1:], names[0])
            ]
        begin = time.monotonic()
        running = [stack.enter_context(command) for command in commands]
        end = begin + _START_TIMEOUT
        for _ in range(condition.busy_cores):
            stack.enter_context(process("-c", "while True: pass"))
        while not listener.age_ms:
            if time.monotonic() > end:
                raise SystemExit(f"no image was answered within {_START_TIMEOUT:.0f} s")
            listener.spin_for(0.05)
        start_s = time.monotonic() - begin
        listener.spin_for(settling)
        yield Live(listener, running, start_s, fps)


def run(condition: Condition, seconds: float, *, composed: bool, overlay: bool, fps: float = 30.0) -> Run:
    """Run the nodes and look at them for some seconds.

    Raises:
        SystemExit: no image was answered.
    """
    with live(condition, [OVERLAY if overlay else PARAMETERS], composed=composed, fps=fps) as running:
        return running.look(seconds)


def main() -> int:
    """Measure and print a table."""
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    arguments.add_argument("--rounds", type=int, default=3, help="how often each condition takes its turn")
    arguments.add_argument("--seconds", type=float, default=15.0, help="how long it is looked at")
    arguments.add_argument("--overlay", action="store_true", help="subscribe to the overlay: its age is told")
    arguments.add_argument("--fps", type=float, default=30.0, help="images per second that the source gives")
    arguments.add_argument("--composed", action="store_true", help="all nodes in one process, not each in its own")
    names = [condition.name for condition in CONDITIONS]
    arguments.add_argument("--only", choices=names, nargs="+", default=names, help="some conditions alone")
    options = arguments.parse_args()
    rclpy.init()
    conditions = [condition for condition in CONDITIONS if condition.name in options.only]
    runs: dict[str, list[Run]] = {condition.name: [] for condition in conditions}
    for _ in range(options.rounds):
        for condition in conditions:
            found = run(condition, options.seconds, composed=options.composed, overlay=options.overlay, fps=options.fps)
            runs[condition.name].append(found)
    rclpy.shutdown()
    stages = sorted({stage for turns in runs.values() for one in turns for stage in one.stage_ms})
    titles = ["condition", "images answered", "age p50", "p99", "processor ms", "first", *(f"{s} ms" for s in stages)]
    print(f"| {' | '.join(titles)} |")
    print("| --- " * len(titles) + "|")
    for name, turns in runs.items():
        ages = np.concatenate([one.age_ms for one in turns])
        medians = [np.median([one.stage_ms.get(stage, np.nan) for one in turns]) for stage in stages]
        answered = 100.0 * np.median([one.answered for one in turns])
        p50, p99 = np.percentile(ages, [50, 99]) if ages.size else (np.nan, np.nan)
        used = np.median([one.processor_ms for one in turns])
        row = [name, f"{answered:.0f} %", f"{p50:.0f} ms", f"{p99:.0f} ms", f"{used:.1f}"]
        row.append(f"{np.median([one.start_s for one in turns]):.1f} s")
        row += [f"{ms:.2f}" for ms in medians]
        print(f"| {' | '.join(row)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())

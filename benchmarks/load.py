"""`python -m benchmarks.load`: how old answers are, and how many images have one, also while something takes a core.

The live nodes run as `ros2 run` starts them, on the sample clip at 640×480 and 30 images/s. The
conditions take turns; the last tells what libraries' threads cost where no environment variable limits them.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field

from face3dmm_ros.live.middleware import fast_dds_settings

os.environ.update(fast_dds_settings(os.environ, loopback=True))

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image

from face3dmm_ros.core import topics
from face3dmm_ros.core.image_clock import stamp_ns
from face3dmm_ros.msg import Face3DMMParamsArray
from face3dmm_ros.nodes.diagnostics import Statuses
from face3dmm_ros.nodes.qos import image_qos, result_qos

SOURCE = "video_source_node"
NODES = ("landmark_node", "fitter_node", "renderer_node")
VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")
CLIP = ("source:=sample", "width:=640", "height:=480", "fps:=30.0")
_SETTLING = 4.0
"""s of images before it is measured; chosen by hand."""
_START_TIMEOUT = 60.0
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
    """What was seen of a run: answered share of the images, ages of /face/params, ms, and medians of the stages, ms."""

    answered: float
    age_ms: list[float]
    stage_ms: dict[str, float]


class Listener(Node):
    """Keeps when each image was sent and when it was answered, by its stamp in ns, and what the nodes report."""

    def __init__(self, *, overlay: bool) -> None:
        """Listen, also to overlays if they are to be drawn."""
        super().__init__("load_listener")
        self.images: set[int] = set()
        self.age_ms: dict[int, float] = {}
        self.statuses = Statuses()
        self.create_subscription(CameraInfo, topics.CAMERA_INFO, self._on_image, image_qos(30))
        self.create_subscription(Face3DMMParamsArray, topics.PARAMETERS, self._on_answer, result_qos(100))
        self.create_subscription(DiagnosticArray, "/diagnostics", self.statuses.take, 100)
        if overlay:
            self.create_subscription(Image, topics.OVERLAY, lambda _: None, image_qos(), raw=True)

    def _on_image(self, message: CameraInfo) -> None:
        self.images.add(stamp_ns(message.header))

    def _on_answer(self, message: Face3DMMParamsArray) -> None:
        stamp = stamp_ns(message.header)
        self.age_ms.setdefault(stamp, 1e-6 * (self.get_clock().now().nanoseconds - stamp))

    def spin_for(self, seconds: float) -> None:
        """Listen for a while."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            rclpy.spin_once(self, timeout_sec=left)


@contextmanager
def process(*command: str, environment: dict[str, str] | None = None) -> Iterator[None]:
    """A Python program that runs meanwhile."""
    inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    started = subprocess.Popen([sys.executable, *command], env=inherited | (environment or {}))
    try:
        yield
    finally:
        started.terminate()
        started.wait()


def nodes(*command: str, environment: dict[str, str], clip: bool) -> AbstractContextManager[None]:
    """A module with nodes that runs meanwhile, on the clip if the source is among them."""
    parameters = [argument for value in CLIP for argument in ("-p", f"{SOURCE}:{value}")] if clip else []
    arguments = ("--ros-args", "--log-level", "warn", *parameters)
    return process("-m", *command, *arguments, environment=environment)


def run(condition: Condition, seconds: float, *, composed: bool, overlay: bool) -> Run:
    """Run the nodes and look at them for some seconds.

    Raises:
        SystemExit: no image was answered.
    """
    environment = condition.environment
    with ExitStack() as stack:
        listener = Listener(overlay=overlay)
        stack.callback(listener.destroy_node)
        if composed:
            stack.enter_context(nodes("face3dmm_ros.live.composition", environment=environment, clip=True))
        else:
            for name in (*NODES, SOURCE):
                stack.enter_context(nodes("face3dmm_ros.nodes", name, environment=environment, clip=name == SOURCE))
        end = time.monotonic() + _START_TIMEOUT
        for _ in range(condition.busy_cores):
            stack.enter_context(process("-c", "while True: pass"))
        while not listener.age_ms:
            if time.monotonic() > end:
                raise SystemExit(f"no image was answered within {_START_TIMEOUT:.0f} s")
            listener.spin_for(0.5)
        listener.spin_for(_SETTLING)
        start = time.time_ns()
        listener.spin_for(seconds)
        stop = time.time_ns()
        listener.spin_for(1.0)
        images = {stamp for stamp in listener.images if start <= stamp < stop}
        ages = [age for stamp, age in listener.age_ms.items() if start <= stamp < stop]
        stages = {
            key.removeprefix("stage_ms/"): float(value)
            for name in NODES
            for key, value in listener.statuses.get(name, {}).items()
            if key.startswith("stage_ms/")
        }
        return Run(len(images & listener.age_ms.keys()) / max(len(images), 1), ages, stages)


def main() -> int:
    """Measure and print a table."""
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    arguments.add_argument("--rounds", type=int, default=3, help="how often each condition takes its turn")
    arguments.add_argument("--seconds", type=float, default=15.0, help="how long it is looked at")
    arguments.add_argument("--overlay", action="store_true", help="subscribe to the overlay, so that it is drawn")
    arguments.add_argument("--composed", action="store_true", help="all nodes in one process, not each in its own")
    names = [condition.name for condition in CONDITIONS]
    arguments.add_argument("--only", choices=names, nargs="+", default=names, help="some conditions alone")
    options = arguments.parse_args()
    rclpy.init()
    conditions = [condition for condition in CONDITIONS if condition.name in options.only]
    runs: dict[str, list[Run]] = {condition.name: [] for condition in conditions}
    for _ in range(options.rounds):
        for condition in conditions:
            found = run(condition, options.seconds, composed=options.composed, overlay=options.overlay)
            runs[condition.name].append(found)
    rclpy.shutdown()
    stages = sorted({stage for turns in runs.values() for one in turns for stage in one.stage_ms})
    print("| condition | images answered | age p50 | age p90 | " + " | ".join(f"{s} ms" for s in stages) + " |")
    print("| --- " * (4 + len(stages)) + "|")
    for name, turns in runs.items():
        ages = np.concatenate([one.age_ms for one in turns])
        medians = [np.median([one.stage_ms.get(stage, np.nan) for one in turns]) for stage in stages]
        answered = 100.0 * np.median([one.answered for one in turns])
        p50, p90 = np.percentile(ages, [50, 90]) if ages.size else (np.nan, np.nan)
        row = [name, f"{answered:.0f} %", f"{p50:.0f} ms", f"{p90:.0f} ms", *(f"{ms:.2f}" for ms in medians)]
        print(f"| {' | '.join(row)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Nodes under test and a subscriber to them, spun together in one process; and launch files."""

import gc
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.logging import LoggingSeverity, set_logger_level
from rclpy.node import Node
from rclpy.qos import QoSProfile

from face3dmm_ros.live.ros_arguments import parameter_arguments
from face3dmm_ros.nodes.qos import result_qos

TIMEOUT = 20.0


class Harness:
    """Spins nodes and keeps what arrives on the topics that it listens to.

    Attributes:
        node: its own node, to publish and subscribe with.
        received: messages by topic.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.executor = SingleThreadedExecutor(context=context)
        self.node = Node("harness", context=context)
        self.received: defaultdict[str, list[Any]] = defaultdict(list)
        self._nodes: list[Node] = []
        self.add(self.node)

    def add(self, node: Node) -> Node:
        self._nodes.append(node)
        self.executor.add_node(node)
        return node

    def start(self, node_class: Callable[..., Node], **parameters: Any) -> Node:
        """A node of a class with parameters."""
        arguments = ["--ros-args", *parameter_arguments(parameters)]
        return self.add(node_class(context=self.context, cli_args=arguments))

    def listen(self, message_type: type, topic: str, qos: QoSProfile | None = None) -> None:
        self.node.create_subscription(message_type, topic, self.received[topic].append, qos or result_qos(1000))

    def spin_until_subscribed(self, counts: dict[Any, int]) -> None:
        """Spin until the first output of each node has so many subscribers or more; it may not be configured yet."""
        self.spin_until(
            lambda: all(node._outputs and node._outputs[0].subscribers >= count for node, count in counts.items()),
            "the nodes to hear each other",
        )

    def spin_until(self, condition: Callable[[], Any], what: str = "condition", timeout: float = TIMEOUT) -> None:
        """Spin until a condition holds; the test fails if it does not come to hold."""
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f"waited {timeout} s in vain for {what}"
            self.executor.spin_once(timeout_sec=0.05)

    def spin_for(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.executor.spin_once(timeout_sec=0.02)

    def close(self) -> None:
        self.executor.shutdown()
        for node in self._nodes:
            node.destroy_node()
        # Nodes freeze what they have loaded, and with it, in a process of many tests, what those before left.
        gc.unfreeze()


@contextmanager
def harness() -> Iterator[Harness]:
    """A harness in a ROS context of its own, in the domain of the process."""
    context = Context()
    rclpy.init(context=context)
    # Of the whole process: a run with --log-level would silence the tests after it.
    set_logger_level("", LoggingSeverity.INFO)
    spun = Harness(context)
    try:
        yield spun
    finally:
        spun.close()
        context.try_shutdown()


def launch(file: Path, *arguments: str) -> subprocess.Popen:
    """A launch file with arguments `name:=value`, as `ros2 launch` runs it; the test is skipped without launch_ros."""
    for module in ("launch", "launch_ros"):
        pytest.importorskip(module, reason=f"needs {module}, which no PyPI wheel carries")
    script = "import sys; from launch import LaunchService, LaunchDescription; from launch.actions import *; from "
    script += "launch.launch_description_sources import PythonLaunchDescriptionSource as Source; "
    script += "path, *pairs = sys.argv[1:]; service = LaunchService(); service.include_launch_description("
    script += (
        "LaunchDescription([IncludeLaunchDescription(Source(path), launch_arguments=[p.split(':=') for p in pairs])]));"
    )
    script += "sys.exit(service.run())"
    return subprocess.Popen(
        [sys.executable, "-c", script, str(file), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def stop(process: subprocess.Popen) -> str:
    """Ctrl-C, as a terminal gives it: to the whole process group. Returns all that was said."""
    os.killpg(process.pid, signal.SIGINT)
    try:
        return process.communicate(timeout=30)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise

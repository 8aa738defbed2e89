"""`python -m tools.campaign messages`: hostile messages on the topics of running nodes, in batches.

Each batch is followed by a good image, which all nodes have to answer: nobody may have ended, nor forgotten its work.
"""

import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import numpy as np
import rclpy
from numpy.random import Generator
from rclpy.node import Node
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from benchmarks.clip import clip_frames
from face3dmm_ros.core import topics
from face3dmm_ros.msg import BlendshapesArray, Face3DMMParamsArray, FaceLandmarksArray
from face3dmm_ros.nodes.images import cv2_to_compressed_imgmsg, image_conversion
from face3dmm_ros.nodes.qos import image_output_qos, image_qos, result_qos
from tools.campaign.memory import peak_bytes
from tools.campaign.mutations import damaged_bytes
from tools.campaign.report import Case

BATCH = 100
"""Messages before the nodes are asked for a good answer."""
MOST_BYTES = 1_500_000_000
"""Of memory that a node may take."""
_ANSWER_S, _START_S = 20.0, 90.0
"""s in which a good image has to be answered, and nodes to start; chosen by hand for a busy machine."""
_MANY = 2000
"""Faces, or other messages within one, at most."""
_SIZE = (320, 240)
_RAW, _COMPRESSED, _COMPOSED = "/raw", "/compressed", "/composed"
"""Namespaces of three sets of nodes: two of a process for each, by how they take images, and one in one process, where
they hand each other what comes of it."""
_NODES = ("landmark_node", "fitter_node", "renderer_node", "avatar_node")
_EDGES = (0.0, -0.0, 1e-38, -1.0, 1e38, -1e38, 1e308, float("nan"), float("inf"), -float("inf"))
_INTEGERS = (0, 1, -1, 2, 127, 255, 65535, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1)
_WORDS = (
    "",
    "bgr8",
    "rgb16",
    "32FC3",
    "nv12",
    "bayer_rggb16",
    "mono1",
    "x" * 5000,
    "../..",
    "jpeg",
    "\N{SNOWMAN}",
    "png",
)


def run(numbers: Iterable[int], seed: int, only: str) -> Iterator[Case]:
    """Send batches of hostile messages, the topics in turn, and yield what came of each batch.

    Args:
        numbers: of the batches; batch k is made with the seeds (`seed`, k).
        seed: of them all.
        only: a part of the names of the topics to take; all of them if empty.
    """
    rclpy.init()
    with ExitStack() as stack:
        stack.callback(rclpy.try_shutdown)
        bench = _Bench()
        stack.callback(bench.close)
        chosen = [target for target in bench.targets if only in target]
        for k in numbers:
            target = chosen[k % len(chosen)]
            bench.send(target, np.random.default_rng((seed, k)))
            ended = bench.ended()
            if ended:
                outcome, words = "ended", ended
                bench.start_again()
            elif (swollen := bench.most_bytes()) > MOST_BYTES:
                outcome, words = "swelled", f"to {swollen} bytes"
                bench.start_again()
            elif not bench.answers():
                outcome, words = "silent", f"no answer to a good image in {_ANSWER_S:.0f} s"
                bench.start_again()
            else:
                outcome, words = "survived", ""
            yield Case(target, f"{seed},{k}", outcome, words, outcome == "survived")


class _Bench:
    """Three sets of nodes, publishers on all topics that they take, and ears for what they answer."""

    def __init__(self) -> None:
        self._processes: dict[str, subprocess.Popen] = {}
        self._node = Node("campaign")
        self._heard: dict[str, set[int]] = {}
        self._clip = clip_frames(_SIZE)
        self._sent = 0
        self.targets: dict[str, tuple[Any, Any]] = {}
        for space in (_RAW, _COMPRESSED, _COMPOSED):
            image = (f"{space}/{topics.IMAGE}", Image, image_output_qos())
            if space == _COMPRESSED:
                image = (f"{space}/{topics.IMAGE}{topics.COMPRESSED}", CompressedImage, image_output_qos())
            others = [(CameraInfo, topics.CAMERA_INFO), (FaceLandmarksArray, topics.LANDMARKS),
                      (Face3DMMParamsArray, topics.PARAMETERS), (BlendshapesArray, topics.BLENDSHAPES)]  # fmt: skip
            for name, kind, qos in [image, *((f"{space}/{topic}", kind, result_qos()) for kind, topic in others)]:
                self.targets[name] = (kind, self._node.create_publisher(kind, name, qos))
            for topic in (topics.OVERLAY, topics.AVATAR_IMAGE):
                self._listen(f"{space}/{topic}")
        self._good: dict[type, Any] = {}
        for kind, topic in ((FaceLandmarksArray, topics.LANDMARKS), (Face3DMMParamsArray, topics.PARAMETERS)):
            self._node.create_subscription(kind, f"{_RAW}/{topic}", self._keeper(kind), result_qos())
        self.start_again()

    def _keeper(self, kind: type) -> Callable[[Any], None]:
        def keep(message: Any) -> None:
            # The first that has a face is the good one that hostile ones are made from.
            if message.faces and kind not in self._good:
                self._good[kind] = message

        return keep

    def _listen(self, topic: str) -> None:
        heard = self._heard[topic] = set()

        def hear(message: Image) -> None:
            heard.add(message.header.stamp.sec)

        self._node.create_subscription(Image, topic, hear, image_qos())

    def start_again(self) -> None:
        """Start all nodes anew, and wait until they answer."""
        self.close_processes()
        for space in (_RAW, _COMPRESSED):
            for name in _NODES:
                command = [sys.executable, "-m", "face3dmm_ros.nodes", name, "--ros-args", "-r", f"__ns:={space}"]
                if space == _COMPRESSED and name != "fitter_node":
                    command += ["-p", "image_transport:=compressed"]
                self._start(f"{space}/{name}", command)
        composed = [sys.executable, "-m", "face3dmm_ros.live.composition", *_NODES]
        self._start(_COMPOSED, [*composed, "--ros-args", "-r", f"__ns:={_COMPOSED}"])
        end = time.monotonic() + _START_S
        while not self.answers():
            if time.monotonic() > end:
                raise SystemExit(f"the nodes do not answer a good image: {self.ended() or 'all run'}")

    def _start(self, name: str, command: list[str]) -> None:
        command = [*command, "--log-level", "fatal"]
        self._processes[name] = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def send(self, target: str, rng: Generator) -> None:
        """Publish a batch on a topic."""
        kind, publisher = self.targets[target]
        sent = 0
        while sent < BATCH:
            # rclpy itself refuses what does not fit into a field, and tells so in its own ways.
            with suppress(AssertionError, AttributeError, OverflowError, SystemError, TypeError, ValueError):
                publisher.publish(self._hostile(kind, rng))
                sent += 1
            rclpy.spin_once(self._node, timeout_sec=0.0)

    def answers(self) -> bool:
        """Whether good images are answered by all nodes."""
        conversion = image_conversion()
        end = time.monotonic() + _ANSWER_S
        while time.monotonic() < end:
            self._sent += 1
            header = Header()
            header.stamp.sec = 1_000_000 + self._sent
            image = conversion.cv2_to_imgmsg(self._clip[self._sent % len(self._clip)], header)
            for space in (_RAW, _COMPOSED):
                self.targets[f"{space}/{topics.IMAGE}"][1].publish(image)
            small = cv2_to_compressed_imgmsg(self._clip[self._sent % len(self._clip)], header)
            self.targets[f"{_COMPRESSED}/{topics.IMAGE}{topics.COMPRESSED}"][1].publish(small)
            wait = time.monotonic() + 0.3
            while (left := wait - time.monotonic()) > 0:
                rclpy.spin_once(self._node, timeout_sec=left)
            if all(max(heard, default=0) > 1_000_000 + self._sent - 8 for heard in self._heard.values()):
                return True
        return False

    def ended(self) -> str:
        """The nodes that run no more."""
        return ", ".join(f"{name} ({p.returncode})" for name, p in self._processes.items() if p.poll() is not None)

    def most_bytes(self) -> int:
        """Bytes of memory that one of the nodes had at most."""
        return max(peak_bytes(process.pid) for process in self._processes.values())

    def close_processes(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()
        self._processes.clear()

    def close(self) -> None:
        self.close_processes()
        self._node.destroy_node()

    def _hostile(self, kind: type, rng: Generator) -> Any:
        """A damaged message, or damaged bytes of one."""
        message = self._template(kind, rng)
        if rng.random() < 0.3:
            return damaged_bytes(serialize_message(message), rng)
        for _ in range(int(rng.integers(1, 4))):
            damage(message, rng)
        return message

    def _template(self, kind: type, rng: Generator) -> Any:
        frame = self._clip[int(rng.integers(len(self._clip)))]
        header = Header()
        header.stamp.sec = int(rng.integers(2**31))
        if kind is Image:
            return image_conversion().cv2_to_imgmsg(frame, header)
        if kind is CompressedImage:
            return cv2_to_compressed_imgmsg(frame, header)
        if kind is CameraInfo:
            k = [300.0, 0.0, 160.0, 0.0, 300.0, 120.0, 0.0, 0.0, 1.0]
            return CameraInfo(header=header, width=_SIZE[0], height=_SIZE[1], k=k)
        good = self._good.get(kind)
        return kind() if good is None else deserialize_message(serialize_message(good), kind)


def damage(message: Any, rng: Generator) -> None:
    """Put something else into one of a message's fields, or of those of a message within it."""
    while True:
        fields = list(message.get_fields_and_field_types())
        name = fields[int(rng.integers(len(fields)))]
        value = getattr(message, name)
        if hasattr(value, "get_fields_and_field_types"):
            message = value
        elif isinstance(value, list) and value and hasattr(value[0], "get_fields_and_field_types"):
            if rng.random() < 0.2:
                # Not more, also where this comes twice: four million faces would end the sender.
                setattr(message, name, (value * int(rng.choice([0, 2, 50, _MANY])))[:_MANY])
                return
            message = value[int(rng.integers(len(value)))]
        else:
            # rclpy itself refuses some of them.
            with suppress(AssertionError, OverflowError, TypeError, ValueError):
                setattr(message, name, _other(value, rng))
            return


def _other(value: Any, rng: Generator) -> Any:
    """A value of the same type that is wrong."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return int(rng.choice(np.array(_INTEGERS, object)))
    if isinstance(value, float):
        return float(rng.choice(_EDGES))
    if isinstance(value, str):
        return _WORDS[int(rng.integers(len(_WORDS)))]
    if isinstance(value, bytes):
        return b"\xff"
    values = list(value)
    if values and rng.random() < 0.5:
        for _ in range(int(rng.integers(1, 20))):
            at = int(rng.integers(len(values)))
            values[at] = type(values[at])(_other(values[at], rng))
    else:
        count = int(rng.choice([0, 1, 3, len(values) // 2, len(values) + 1, 3 * len(values)]))
        values = (values * 4)[:count]
    return type(value)(value.typecode, values) if isinstance(value, array) else values

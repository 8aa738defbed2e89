"""Sixteen faces at once: is every image answered at every hop?

    tools/in_environment.sh python -m benchmarks.many_faces

Pictures of sixteen faces at 5/s go through landmarks, fitter, renderer and avatar, in one process and in one each; then
landmarks of sixteen faces at 10/s through fitter and avatar alone. Printed are the messages on each topic.
"""

import argparse
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import cv2
import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from face3dmm_ros.core import topics
from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.rotations import FRONTAL
from face3dmm_ros.core.values import Box, Landmarks, TrackedLandmarks
from face3dmm_ros.live.middleware import apply_settings
from face3dmm_ros.live.ros_arguments import parameter_arguments
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.msg import BlendshapesArray, Face3DMMParamsArray, FaceLandmarksArray
from face3dmm_ros.nodes.conversions import landmarks_to_message
from face3dmm_ros.nodes.images import image_conversion
from face3dmm_ros.nodes.qos import result_qos

FACES = 16
_IMAGE_SIZE = 640, 480
"""(width, height), px."""
HOPS = {
    topics.LANDMARKS: FaceLandmarksArray,
    topics.PARAMETERS: Face3DMMParamsArray,
    topics.OVERLAY: Image,
    topics.BLENDSHAPES: BlendshapesArray,
}
_PARAMETERS: dict[str, dict[str, object]] = {
    "landmark_node": {"max_faces": FACES},
    "fitter_node": {},
    "renderer_node": {},
    "avatar_node": {"style": "head", "placement": "alone"},
}
_START_TIMEOUT, _SETTLING = 90.0, 3.0
"""s to wait for the nodes, and for the last answers; chosen by hand."""


def main() -> int:
    """Run all three and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_faces", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each run")
    seconds = parser.parse_args().seconds
    apply_settings(loopback=True)
    picture, bridge = faces_picture(), image_conversion()
    landmarks = faces_landmarks()
    makers: dict[str, Callable[[Header], object]] = {
        topics.IMAGE: lambda header: bridge.cv2_to_imgmsg(picture, header),
        topics.LANDMARKS: lambda header: landmarks_to_message(header, _IMAGE_SIZE, landmarks),
    }
    everybody = list(_PARAMETERS)
    for title, composed, nodes, rate in (
        ("pictures, in one process", True, everybody, 5.0),
        ("pictures, a process each", False, everybody, 5.0),
        ("landmarks at 10/s", False, ["fitter_node", "avatar_node"], 10.0),
    ):
        fed = topics.IMAGE if "landmark_node" in nodes else topics.LANDMARKS
        wanted = list(HOPS) if fed == topics.IMAGE else [topics.PARAMETERS, topics.BLENDSHAPES]
        with running(nodes, composed=composed):
            sent, counts, faces = drive(fed, makers[fed], wanted, rate, seconds)
        print(f"{title}: {sent} sent; " + ", ".join(f"{topic} {counts[topic]}" for topic in wanted), f"({faces} faces)")
    return 0


def faces_picture() -> NDArray[np.uint8]:
    """A picture of sixteen faces, 640×480: a public-domain portrait of scikit-image's, four by four."""
    from skimage.data import astronaut

    face = cv2.resize(np.ascontiguousarray(astronaut()[:300, 60:460, ::-1]), (160, 120), interpolation=cv2.INTER_AREA)
    return np.tile(face, (4, 4, 1))


def faces_landmarks() -> list[TrackedLandmarks]:
    """Exact landmarks of sixteen mean faces in an image of 640×480."""
    model = load_model("default")
    points = model.landmarks["mediapipe478"].interpolate(model.mean)
    found = []
    for index in range(FACES):
        center = np.array([80.0 + 160.0 * (index % 4), 60.0 + 120.0 * (index // 4)])
        seen = WeakPerspective(0.4, FRONTAL, center).project(points).astype(np.float32)
        found.append(TrackedLandmarks(index, Landmarks("mediapipe478", seen, Box(0, 0, 9, 9), 1.0, _IMAGE_SIZE)))
    return found


@contextmanager
def running(nodes: list[str], *, composed: bool) -> Iterator[None]:
    """Nodes in one process or one each, which end with the block."""
    quiet = ["--ros-args", "--log-level", "warn"]
    if composed:
        parameters = [text for name in nodes for text in parameter_arguments(_PARAMETERS[name], name)]
        commands = [["-m", "face3dmm_ros.live.composition", *nodes, *quiet, *parameters]]
    else:
        commands = [
            ["-m", "face3dmm_ros.nodes", name, *quiet, *parameter_arguments(_PARAMETERS[name])] for name in nodes
        ]
    processes = [subprocess.Popen([sys.executable, *command], env=os.environ) for command in commands]
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(timeout=20)


def drive(
    topic: str, make: Callable[[Header], object], wanted: list[str], rate: float, seconds: float
) -> tuple[int, Counter[str], int]:
    """Publish on a topic at a rate; returns how many were sent, came back by topic, and the faces in the last."""
    rclpy.init()
    node = Node("many_faces")
    counts: Counter[str] = Counter()
    faces = [0]

    def take(name: str, message: object) -> None:
        counts[name] += 1
        if isinstance(message, BlendshapesArray):
            faces[0] = len(message.faces)

    for name in wanted:
        node.create_subscription(HOPS[name], name, partial(take, name), result_qos(100))
    publisher = node.create_publisher(Image if topic == topics.IMAGE else FaceLandmarksArray, topic, result_qos(5))

    def send() -> None:
        publisher.publish(make(Header(stamp=node.get_clock().now().to_msg(), frame_id="camera")))

    # Until all hops answer, nothing counts.
    deadline = time.monotonic() + _START_TIMEOUT
    while not all(counts[name] for name in wanted) and time.monotonic() < deadline:
        send()
        spin_for(node, 1.0)
    spin_for(node, _SETTLING)
    counts.clear()
    sent, start = 0, time.monotonic()
    while sent < seconds * rate:
        send()
        sent += 1
        spin_for(node, start + sent / rate - time.monotonic())
    spin_for(node, _SETTLING)
    node.destroy_node()
    rclpy.shutdown()
    return sent, counts, faces[0]


def spin_for(node: Node, seconds: float) -> None:
    """Take messages for some time."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        rclpy.spin_once(node, timeout_sec=left)


if __name__ == "__main__":
    sys.exit(main())

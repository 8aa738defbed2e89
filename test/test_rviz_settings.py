"""config/face.rviz made fit for a run: its topics, its namespace, its frame."""

import copy

import pytest
import yaml

from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.live.rviz_settings import frame_in, resolved, rviz_settings


@pytest.fixture
def template():
    return yaml.safe_load(package_file("config/face.rviz").read_text(encoding="utf-8"))


def topics(settings):
    displays = settings["Visualization Manager"]["Displays"]
    return {display["Name"]: display["Topic"]["Value"] for display in displays if "Topic" in display}


def test_all_topics_move_into_the_namespace(template):
    moved = topics(rviz_settings(template, frame_id="", namespace="robot/head", renamed={}))
    assert moved == {name: f"/robot/head{topic}" for name, topic in topics(template).items()}


def test_a_camera_with_topics_of_its_own_is_shown(template):
    renamed = {"camera/image_raw": "/usb/image"}
    moved = topics(rviz_settings(template, frame_id="", namespace="robot", renamed=renamed))
    assert moved["Camera image"] == "/usb/image"
    assert moved["Overlay"] == "/robot/face/overlay"


def test_rviz_looks_from_the_given_frame(template):
    manager = rviz_settings(template, frame_id="usb_camera", namespace="", renamed={})["Visualization Manager"]
    assert manager["Global Options"]["Fixed Frame"] == "usb_camera"
    assert manager["Views"]["Current"]["Target Frame"] == "usb_camera"


def test_without_namespace_and_frame_the_settings_are_the_templates_which_stays_as_it_is(template):
    before = copy.deepcopy(template)
    assert rviz_settings(template, frame_id="", namespace="", renamed={}) == template
    rviz_settings(template, frame_id="usb_camera", namespace="robot", renamed={})
    assert template == before


@pytest.mark.parametrize(
    ("topic", "namespace", "absolute"),
    [
        ("face/params", "", "/face/params"),
        ("face/params", "robot", "/robot/face/params"),
        ("face/params", "/robot/", "/robot/face/params"),
        ("/face/params", "robot", "/face/params"),
    ],
)
def test_a_topic_is_resolved_as_ros_does(topic, namespace, absolute):
    assert resolved(topic, namespace) == absolute


@pytest.mark.parametrize("name", ["video_source_node", "/robot/video_source_node", "/**/video_source_node", "/**"])
def test_the_frame_is_found_in_a_file_of_parameters_in_any_namespace(name):
    assert frame_in({"/fitter_node": {}, name: {"ros__parameters": {"frame_id": "usb_camera"}}}) == "usb_camera"
    assert frame_in({name: {"ros__parameters": {"source": "0"}}}) == ""

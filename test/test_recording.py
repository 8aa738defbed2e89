"""The thread that writes a live run: bounded memory, losses that are told, and files that survive a kill."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy")

from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from face3dmm_ros.bags.reader import BagReader
from face3dmm_ros.live import recording as module
from face3dmm_ros.live.recording import Recording, Topic, needed_topics
from face3dmm_ros.nodes.images import serialized_image
from face3dmm_ros.nodes.qos import image_output_qos

IMAGE = "sensor_msgs/msg/Image"
IMAGES, OVERLAY = (Topic(name, IMAGE, image_output_qos()) for name in ("/camera/image_raw", "/face/overlay"))


def message(second=1, brightness=100):
    header = Header(frame_id="camera")
    header.stamp.sec = second
    return serialized_image(np.full((48, 64, 3), brightness, np.uint8), header)


@pytest.fixture
def stuck(monkeypatch):
    """Lets the writing thread wait until the event is set."""
    go = threading.Event()
    write_one = Recording._write_one

    def wait(*arguments):
        go.wait()
        write_one(*arguments)

    monkeypatch.setattr(Recording, "_write_one", wait)
    yield go
    go.set()


def test_an_image_becomes_a_jpeg_with_its_own_header(tmp_path):
    recording = Recording(tmp_path, [IMAGES], images="jpeg", videos={})
    recording.write("/camera/image_raw", 7, message())
    recording.close()
    with BagReader(tmp_path / "bag") as bag:
        ((time_ns, data),) = bag.messages("/camera/image_raw/compressed")
    compressed = deserialize_message(data, CompressedImage)
    assert (time_ns, compressed.header.stamp.sec, compressed.header.frame_id) == (7, 1, "camera")
    assert compressed.format == "bgr8; jpeg compressed bgr8"
    assert cv2.imdecode(np.asarray(compressed.data), cv2.IMREAD_COLOR).mean() == pytest.approx(100, abs=2)


def test_a_picture_may_go_into_a_video_and_not_into_the_bag(tmp_path):
    recording = Recording(tmp_path, [IMAGES], images="none", videos={"/face/overlay": "overlay.mp4"})
    assert recording.wanted == {"/face/overlay"}
    recording.write("/face/overlay", 7, message())
    recording.close()
    assert cv2.VideoCapture(str(tmp_path / "overlay.mp4")).read()[0]
    with BagReader(tmp_path / "bag") as bag:
        assert bag.topics == {}


def test_a_picture_of_bag_and_video_is_encoded_once(tmp_path, monkeypatch):
    encoded = []
    jpeg = module.jpeg
    monkeypatch.setattr(module, "jpeg", lambda *arguments: encoded.append(1) or jpeg(*arguments))
    recording = Recording(tmp_path, [OVERLAY], images="jpeg", videos={"/face/overlay": "overlay.mp4"})
    recording.write("/face/overlay", 7, message())
    recording.close()
    assert len(encoded) == 1


def test_what_the_other_topics_make_again_is_not_needed():
    names = ["/camera/image_raw", "/face/landmarks", "/face/params", "/face/mesh", "/face/mesh_cloud", "/face/overlay"]
    kept = needed_topics([Topic(name, IMAGE, image_output_qos()) for name in names])
    assert [topic.name for topic in kept] == names[:3]


def test_messages_beyond_the_bytes_that_may_wait_are_counted_by_topic_and_it_is_said(tmp_path, monkeypatch, stuck):
    monkeypatch.setattr(module, "_WAITING_BYTES", 3 * len(message()))
    recording = Recording(tmp_path, [IMAGES, OVERLAY], images="jpeg", videos={})
    assert recording.problem == ""
    for topic in ("/camera/image_raw", "/face/overlay") * 3:
        recording.write(topic, 7, message())
    assert recording.lost == {"/camera/image_raw": 1, "/face/overlay": 2}
    assert "loses messages: processor or disk do not keep up" in recording.problem
    stuck.set()
    recording.close()
    with BagReader(tmp_path / "bag") as bag:
        assert bag.count("/camera/image_raw/compressed") + bag.count("/face/overlay/compressed") == 3


def test_a_second_time_of_losses_is_said_in_other_words(tmp_path, monkeypatch, stuck):
    monkeypatch.setattr(module, "_WAITING_BYTES", len(message()))
    monkeypatch.setattr(module, "_EPISODE", 0.2)
    recording = Recording(tmp_path, [IMAGES], images="jpeg", videos={})
    said = []
    for _ in range(2):
        stuck.clear()
        for _ in range(2):
            recording.write("/camera/image_raw", 7, message())
        said.append(recording.problem)
        stuck.set()
        deadline = time.monotonic() + 20.0
        while (recording.problem or recording._waiting) and time.monotonic() < deadline:
            time.sleep(0.01)
    recording.close()
    assert "for the 2. time" in said[1]
    assert said[0] != said[1]


def test_the_end_tells_how_many_bytes_are_yet_to_be_written(tmp_path, stuck):
    recording = Recording(tmp_path, [IMAGES], images="jpeg", videos={})
    for _ in range(2):
        recording.write("/camera/image_raw", 7, message())
    told = []

    def report(waiting):
        told.append(waiting)
        stuck.set()

    recording.close(report)
    assert told[0] == 2 * len(message())
    assert told[-1] == 0


def test_what_is_no_image_is_refused_and_the_recording_goes_on(tmp_path):
    recording = Recording(tmp_path, [IMAGES], images="jpeg", videos={"/face/overlay": "overlay.mp4"})
    for data in (b"", b"no image", message()[:-1], message()):
        recording.write("/camera/image_raw", 7, data)
        recording.write("/face/overlay", 7, data)
    recording.close()
    assert (recording.failure, recording.lost.total()) == ("", 0)
    assert recording.refused == {"/camera/image_raw": 3, "/face/overlay": 3}
    with BagReader(tmp_path / "bag") as bag:
        assert len(list(bag.messages("/camera/image_raw/compressed"))) == 1


def test_what_comes_after_a_failure_is_lost(tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError("no space left on device")

    recording = Recording(tmp_path, [IMAGES], images="jpeg", videos={})
    monkeypatch.setattr(recording._bag, "write_serialized", fail)
    for _ in range(2):
        recording.write("/camera/image_raw", 7, message())
    recording.close()
    assert "failed" in recording.failure
    assert recording.lost == {"/camera/image_raw": 2}


KILLED = """
import sys, time
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from test_recording import IMAGES, OVERLAY, message
from face3dmm_ros.live.recording import Recording
recording = Recording(Path(sys.argv[1]), [IMAGES], images="jpeg", videos={"/face/overlay": "overlay.mp4"})
for k in range(1, 9):
    recording.write("/camera/image_raw", k, message(k))
    recording.write("/face/overlay", k, message(k))
time.sleep(600)
"""


def test_after_a_kill_all_that_came_can_be_read_but_the_last_overlay(tmp_path):
    folder = str(Path(__file__).parent)
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path), folder])
    files = [tmp_path / "bag" / "bag.mcap", tmp_path / "overlay.mp4"]
    deadline = time.monotonic() + 60.0
    # More than what stands in the files before the first message.
    while not all(file.exists() and file.stat().st_size > 2000 for file in files) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "bag" / "metadata.yaml").exists()
    with BagReader(tmp_path / "bag") as bag:
        assert [time_ns for time_ns, _ in bag.messages("/camera/image_raw/compressed")] == list(range(1, 9))
        assert bag.notice.endswith("was not finished: what its recorder had written is read")
    video = cv2.VideoCapture(str(tmp_path / "overlay.mp4"))
    # How long the last one is shown is not known yet.
    assert [video.read()[0] for _ in range(8)] == [True] * 7 + [False]

"""The node that gives images: cameras and streams that come and go, and the times of recorded films."""

import cv2
import numpy as np
import pytest
from video_devices import VideoDevices, write_video

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy")

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.image_clock import stamp_ns
from face3dmm_ros.files import captures
from face3dmm_ros.nodes import threaded_node, video_source_node
from face3dmm_ros.nodes.qos import image_qos
from face3dmm_ros.nodes.video_source_node import VideoSourceNode

IMAGES = "/camera/image_raw"


@pytest.fixture
def devices(monkeypatch, tmp_path):
    """Cameras and streams in place of the machine's, looked for often."""
    devices = VideoDevices(tmp_path)
    monkeypatch.setattr(captures, "DEVICES", tmp_path)
    monkeypatch.setattr(captures.cv2, "VideoCapture", devices)
    monkeypatch.setattr(video_source_node, "_REOPEN_PERIOD", 0.05)
    return devices


def start(spun, source, **parameters):
    """The source node, whose images are listened to."""
    spun.listen(Image, IMAGES, image_qos(1000, reliable=True))
    return spun.start(VideoSourceNode, source=source, reliable_images=True, **parameters)


def values(spun):
    """The values of the images that came."""
    return [message.data[0] for message in spun.received[IMAGES]]


def status(node):
    report = node.activity.status("video_source_node", {})
    return report.level, report.message


def test_a_camera_that_is_plugged_in_again_goes_on_under_the_same_name(spun, devices, capfd):
    link = devices.folder / "usb-cam-video-index0"
    link.symlink_to("video4")
    for source, name in (("0", "video0"), (str(devices.folder / "video3"), "video3"), (str(link), "video4")):
        capfd.readouterr()
        spun.received.clear()
        devices.plug_in(name, 10)
        node = start(spun, source)
        spun.spin_until(lambda: len(values(spun)) >= 3)
        devices.plug_in("video9", 99)  # another camera, which nobody asked for
        devices.unplug(name)
        spun.spin_until(lambda node=node: status(node)[0] == DiagnosticStatus.ERROR)
        spun.spin_for(0.3)
        assert "there is no " in status(node)[1]
        devices.plug_in(name, 20)
        spun.spin_until(lambda: 20 in values(spun))
        assert status(node)[0] == DiagnosticStatus.OK
        assert set(values(spun)) == {10, 20}
        said = capfd.readouterr().err
        assert said.count("gives no images: waiting for") == 1
        assert said.count("images from") == 2
        node.trigger_deactivate()


def test_a_link_leads_to_its_camera_wherever_that_is_plugged_in(spun, devices):
    link = devices.folder / "usb-cam-video-index0"
    link.symlink_to("video0")
    devices.plug_in("video0", 10)
    start(spun, str(link))
    spun.spin_until(lambda: 10 in values(spun))
    devices.unplug("video0")
    link.unlink()
    spun.spin_for(0.2)
    devices.plug_in("video7", 20)
    link.symlink_to("video7")
    spun.spin_until(lambda: 20 in values(spun))


def test_any_camera_takes_the_place_of_one_where_any_was_asked_for(spun, devices):
    devices.plug_in("video0", 10)
    start(spun, "camera")
    spun.spin_until(lambda: 10 in values(spun))
    devices.unplug("video0")
    spun.spin_for(0.2)
    devices.plug_in("video1", 20)
    spun.spin_until(lambda: 20 in values(spun))


@pytest.mark.parametrize("source", ["2", "video2", "rtsp://me:secret@10.0.0.5/live"])
def test_a_camera_or_url_that_was_named_is_waited_for_from_the_start(spun, devices, source, capfd):
    devices.plug_in("video0", 99)
    wanted = source if source != "video2" else str(devices.folder / source)
    node = start(spun, wanted)
    spun.spin_until(lambda: node._active)
    spun.spin_for(0.3)
    level, message = status(node)
    assert level == DiagnosticStatus.WARN
    assert "there is no " in message or "rtsp://me:…@10.0.0.5/live cannot be opened" in message
    assert node.activity.details["source"].endswith(" yet")
    devices.plug_in(source if "://" in source else "video2", 20)
    spun.spin_until(lambda: len(values(spun)) >= 3)
    assert set(values(spun)) == {20}
    assert status(node)[0] == DiagnosticStatus.OK
    said = capfd.readouterr().err
    assert said.count("waiting for") == 1
    assert "secret" not in said + message + node.activity.details["source"]


def test_auto_without_a_camera_shows_the_clip_and_warns_of_it_for_as_long_as_it_does(spun, devices, monkeypatch, capfd):
    devices.plug_in("clip.mp4", 70)
    monkeypatch.setattr("face3dmm_ros.files.frame_source.sample_clip", lambda: devices.folder / "clip.mp4")
    node = start(spun, "auto")
    spun.spin_until(lambda: 70 in values(spun))
    devices.plug_in("video0", 20)
    spun.spin_for(0.3)
    warning = "no camera gave images at the start: the sample clip is shown in its place"
    assert status(node) == (DiagnosticStatus.WARN, warning)
    assert "no camera gives images: the sample clip is taken in its place. there is no camera" in capfd.readouterr().err
    assert set(values(spun)) == {70}


def test_a_stream_that_breaks_is_opened_again_and_again_ever_more_rarely(spun, devices, monkeypatch, capfd):
    url = "http://10.0.0.5/video"
    waits = []

    class Stop(type(video_source_node.threading.Event())):
        def wait(self, timeout=None):
            if timeout:
                waits.append(timeout)
            return super().wait(min(timeout or 0.0, 0.02))

    devices.plug_in(url, 10, images=5)
    node = start(spun, url, autostart=False)
    node._stop = Stop()
    node.trigger_configure()
    node.trigger_activate()
    spun.spin_until(lambda: len(waits) >= 8)
    assert waits[:8] == pytest.approx([0.05 * 2**k for k in (0, 1, 2, 3, 4, 5, 5, 5)])
    assert status(node)[0] == DiagnosticStatus.ERROR
    devices.plug_in(url, 20)
    spun.spin_until(lambda: 20 in values(spun))
    assert status(node)[0] == DiagnosticStatus.OK
    said = capfd.readouterr().err
    assert said.count("gives no images: waiting for") == 1
    waits.clear()
    devices.unplug(url)
    spun.spin_until(lambda: waits)
    assert waits[0] == pytest.approx(0.05), "it gave images: begin anew"


def test_a_stream_that_opens_and_gives_no_image_is_no_news(spun, devices, capfd):
    url = "http://10.0.0.5/video"
    devices.plug_in(url, 10, images=3)
    node = start(spun, url)
    spun.spin_until(lambda: status(node)[0] == DiagnosticStatus.ERROR)
    for _ in range(3):
        devices.plug_in(url, 30, images=1)  # which opening it takes
        spun.spin_for(0.3)
    assert capfd.readouterr().err.count("waiting for") == 1
    assert set(values(spun)) == {10}


def test_a_camera_whose_images_cannot_be_read_is_lost(spun, devices):
    devices.plug_in("video0", 0)  # retrieves nothing
    node = start(spun, "0")
    spun.spin_until(lambda: "camera 0 gives no images: waiting for camera 0" in status(node)[1])
    assert node.activity.skipped >= 30


def test_a_camera_that_gives_more_images_than_it_says_loses_none(spun, devices):
    devices.plug_in("video0", 10, images=60)
    devices.gives = {cv2.CAP_PROP_FPS: 25.0}  # what FFmpeg says of every MJPEG stream; these come at 200
    node = start(spun, "0")
    spun.spin_until(lambda: status(node)[0] == DiagnosticStatus.ERROR)
    assert node.activity.answered == 59, "one was looked at when it was opened"


def test_a_camera_is_asked_for_the_format_that_is_wanted(spun, devices, capfd):
    devices.plug_in("video0", 10)
    devices.gives = {cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*"YUYV")}
    start(spun, "0", camera_format="MJPG", width=64, height=48, fps=50.0)
    spun.spin_until(lambda: values(spun))
    asked = dict(devices.settings)
    assert asked[cv2.CAP_PROP_FOURCC] == cv2.VideoWriter.fourcc(*"MJPG")
    assert (asked[cv2.CAP_PROP_FRAME_WIDTH], asked[cv2.CAP_PROP_FRAME_HEIGHT], asked[cv2.CAP_PROP_FPS]) == (64, 48, 50)
    assert "camera 0 was asked for MJPG and gives YUYV" in capfd.readouterr().err


def test_a_camera_format_that_is_none_keeps_the_node_from_starting(spun, devices):
    node = spun.start(VideoSourceNode, autostart=False, source="0", camera_format="JPEG2000")
    node.trigger_configure()
    assert "four letters" in node.failure


def test_the_images_of_a_film_are_stamped_and_shown_at_its_own_times(spun, tmp_path):
    times = np.array([0.0, 0.1, 0.2, 0.6, 0.64, 0.68, 1.2, 1.3])
    write_video(tmp_path / "film.mp4", times.tolist())
    arrivals = []
    node = start(spun, str(tmp_path / "film.mp4"), loop=False)
    spun.node.create_subscription(
        Image, IMAGES, lambda _: arrivals.append(node.get_clock().now().nanoseconds), image_qos(1000, reliable=True)
    )
    spun.spin_until(lambda: len(values(spun)) == len(arrivals) == len(times))
    stamps = np.array([stamp_ns(message.header) for message in spun.received[IMAGES]])
    late = np.array(arrivals) - stamps
    assert (1e-9 * (stamps - stamps[0]) > times - 1e-3).all(), "no image is ahead of its time, also after a late one"
    # By far most are as exact as the clocks: the time to read or send an image is not in them.
    assert np.median(np.abs(1e-9 * np.diff(stamps) - np.diff(times))) < 1e-3
    assert (late >= 0).all(), "no image comes before its time"


def test_a_film_that_is_shown_at_a_rate_of_ones_own_has_no_pauses(spun, tmp_path):
    write_video(tmp_path / "film.mp4", [0.0, 20.0, 120.0, 120.1])
    start(spun, str(tmp_path / "film.mp4"), loop=False, fps=20.0)
    spun.spin_until(lambda: len(values(spun)) == 4)
    stamps = [1e-9 * stamp_ns(message.header) for message in spun.received[IMAGES]]
    assert np.ptp(stamps) < 15.0, "0.15 s, or more on a busy machine; the film pauses for 20 and for 100"


def set_rate(node, fps):
    return node.set_parameters([Parameter("fps", value=fps)])[0]


def test_a_new_rate_holds_at_once_also_while_the_next_image_is_waited_for(spun, tmp_path):
    write_video(tmp_path / "film.mp4", [0.0, 1000.0, 2000.0, 3000.0])
    node = start(spun, str(tmp_path / "film.mp4"), loop=False)
    spun.spin_until(lambda: len(values(spun)) == 1)
    assert set_rate(node, 50.0).successful
    spun.spin_until(lambda: len(values(spun)) == 4)


@pytest.mark.parametrize("fps", [1e-10, 5e-324, 0.009, -0.5])
def test_a_rate_that_is_none_is_refused_with_the_reason_and_the_node_goes_on(spun, tmp_path, fps):
    write_video(tmp_path / "film.mp4", [0.0, 0.02, 0.04])
    node = start(spun, str(tmp_path / "film.mp4"))
    spun.spin_until(lambda: values(spun))
    result = set_rate(node, fps)
    assert not result.successful
    assert f"fps is -1, 0, or 0.01 and more, not {fps:g}" in result.reason
    count = len(values(spun))
    spun.spin_until(lambda: len(values(spun)) > count + 3)


def test_a_node_does_not_start_with_a_rate_that_is_none(spun, tmp_path):
    write_video(tmp_path / "film.mp4", [0.0, 0.02, 0.04])
    start(spun, str(tmp_path / "film.mp4"), fps=1e-10)
    with pytest.raises(Face3DMMError, match="fps is -1, 0, or"):
        spun.spin_until(lambda: values(spun))


def test_the_end_of_a_source_is_a_warning_until_it_is_shown_again(spun, tmp_path):
    write_video(tmp_path / "film.mp4", [0.0, 0.02, 0.04])
    node = start(spun, str(tmp_path / "film.mp4"), loop=False)
    end = DiagnosticStatus.WARN, f"end of {tmp_path / 'film.mp4'}"
    spun.spin_until(lambda: status(node) == end)
    node.trigger_deactivate()
    node.set_parameters([Parameter("loop", value=True)])
    node.trigger_activate()
    spun.spin_until(lambda: status(node)[0] == DiagnosticStatus.OK)


def test_work_that_an_error_ends_is_told_and_begun_anew(spun, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(threaded_node, "_RESTART_PERIOD", 0.3)
    write_video(tmp_path / "film.mp4", [0.0, 0.02, 0.04])
    errors = [OverflowError("timestamp too large")] * 2

    def broken(source, header, image):
        if errors:
            raise errors.pop()
        publish(source, header, image)

    publish = VideoSourceNode._publish
    monkeypatch.setattr(VideoSourceNode, "_publish", broken)
    node = start(spun, str(tmp_path / "film.mp4"))
    problem = "its work was broken off by OverflowError: timestamp too large"
    spun.spin_until(lambda: status(node) == (DiagnosticStatus.ERROR, problem))
    spun.spin_until(lambda: values(spun))
    spun.spin_until(lambda: status(node)[0] == DiagnosticStatus.OK)
    assert "timestamp too large" in capfd.readouterr().err


def test_a_thread_that_has_ended_is_a_warning(spun, tmp_path, monkeypatch):
    monkeypatch.setattr(VideoSourceNode, "work", lambda _: None)
    write_video(tmp_path / "film.mp4", [0.0, 0.02, 0.04])
    node = start(spun, str(tmp_path / "film.mp4"))
    spun.spin_until(lambda: node._active)
    spun.spin_until(lambda: "it has nothing left to do: its work has ended" in node.complaints())

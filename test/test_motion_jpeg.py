"""Motion JPEG in MP4: readable when it is finished, and, up to its last fragment, when it is not."""

import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest

from face3dmm_ros.files import motion_jpeg
from face3dmm_ros.files.image_layout import jpeg
from face3dmm_ros.files.motion_jpeg import MotionJpegWriter

TENTH = 100_000_000


def picture(k):
    return jpeg(np.full((48, 64, 3), 8 * k, np.uint8), 90).tobytes()


def shown(path):
    capture = cv2.VideoCapture(str(path))
    found = []
    while (read := capture.read())[0]:
        found.append(round(float(read[1].mean()) / 8))
    return found


def finished_video(path: Path) -> cv2.VideoCapture:
    """Ten pictures, a tenth of a second each, as they are read back."""
    with MotionJpegWriter(path, (64, 48)) as video:
        for k in range(10):
            video.write(picture(k), TENTH * k)
    return cv2.VideoCapture(str(path))


@pytest.fixture(params=[0.0, 1e9], ids=["a fragment an image", "one fragment"])
def _period(request, monkeypatch):
    monkeypatch.setattr(motion_jpeg, "_FRAGMENT_PERIOD", request.param)


@pytest.mark.usefixtures("_period")
def test_a_finished_video_tells_its_images_and_how_long_it_takes(tmp_path):
    capture = finished_video(tmp_path / "video.mp4")
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 10
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(10.0)
    assert (capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)) == (64, 48)
    assert shown(tmp_path / "video.mp4") == list(range(10))


@pytest.mark.usefixtures("_period")
def test_an_image_can_be_sought_in_a_finished_video(tmp_path):
    capture = finished_video(tmp_path / "video.mp4")
    capture.set(cv2.CAP_PROP_POS_FRAMES, 7)
    assert round(float(capture.read()[1].mean()) / 8) == 7


@pytest.mark.parametrize("cut", [0, 200])
def test_a_video_that_was_not_finished_shows_its_complete_fragments(tmp_path, monkeypatch, cut):
    monkeypatch.setattr(motion_jpeg, "_FRAGMENT_PERIOD", 0.0)
    video = MotionJpegWriter(tmp_path / "video.mp4", (64, 48))
    for k in range(10):
        video.write(picture(k), TENTH * k)
    so_far = (tmp_path / "video.mp4").read_bytes()
    video.close()
    (tmp_path / "cut.mp4").write_bytes(so_far[: len(so_far) - cut])
    # How long the last image is shown is not known yet.
    assert shown(tmp_path / "cut.mp4") == list(range(9 if cut == 0 else 8))


def test_a_video_without_an_image_can_be_finished(tmp_path):
    MotionJpegWriter(tmp_path / "video.mp4", (64, 48)).close()
    assert shown(tmp_path / "video.mp4") == []


def test_finishing_a_long_video_takes_a_few_bytes_an_image(tmp_path):
    video, count = MotionJpegWriter(tmp_path / "video.mp4", (64, 48)), 30_000
    for k in range(count):
        video.write(b"x", TENTH * k)
    video._write_fragment()
    tracemalloc.start()
    try:
        video.close()
        assert tracemalloc.get_traced_memory()[1] < 60 * count
    finally:
        tracemalloc.stop()

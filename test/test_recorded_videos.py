"""The videos of a recording: each image is shown from its time on, so they take as long as what they show did."""

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy")

from face3dmm_ros.files.image_layout import jpeg
from face3dmm_ros.live.recording import _Video

START = 1_700_000_000.0


def shown(path, times_s, size=lambda k: (24, 32)):
    """When, s, the video shows which image, by its place among all, if images came at these times."""
    images = [np.full((*size(k), 3), 8 * k, np.uint8) for k in range(len(times_s))]
    video = _Video(path, images[0])
    for image, time_s in zip(images, times_s, strict=True):
        video.write(image, jpeg(image, 80), int(1e9 * (START + time_s)), 0)
    video.close()
    capture = cv2.VideoCapture(str(path))
    found = []
    while (read := capture.read())[0]:
        assert read[1].shape == (24, 32, 3)
        found.append((1e-3 * capture.get(cv2.CAP_PROP_POS_MSEC), round(float(read[1].mean()) / 8)))
    return found


@pytest.mark.parametrize(
    "times_s",
    [
        pytest.param([0, 0.1, 0.2, 0.3], id="a constant rate"),
        pytest.param([0, 0.096, 0.22, 0.28, 0.42], id="about that"),
        pytest.param([0, 0.1, 0.7, 0.8], id="a pause"),
        pytest.param([0], id="one image"),
    ],
)
def test_a_video_shows_each_image_once_and_from_its_time_on(tmp_path, times_s):
    found = shown(tmp_path / "video.mp4", times_s)
    assert [place for _, place in found] == list(range(len(times_s)))
    assert [time_s for time_s, _ in found] == pytest.approx(times_s, abs=0.001)


def test_a_camera_that_was_unplugged_for_long_makes_a_video_no_longer_than_a_short_pause(tmp_path):
    found = shown(tmp_path / "video.mp4", [0, 0.1, 3600.0, 3600.1])
    assert [time_s for time_s, _ in found] == pytest.approx([0, 0.1, 10.1, 10.2], abs=0.001)


def test_images_of_another_size_are_scaled_to_the_first_ones(tmp_path):
    found = shown(tmp_path / "video.mp4", [0, 0.1, 0.2], size=lambda k: (24, 32) if k != 1 else (48, 64))
    assert [place for _, place in found] == [0, 1, 2]

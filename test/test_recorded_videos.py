"""The videos of a recording: they take as long as what they show did."""

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2's rclpy")

from face3dmm_ros.live.recording import _Video

START = 1_700_000_000.0


def shown(path, rate, times_s):
    """Which image, by its place among all, each image of the video shows, if images came at these times."""
    images = [np.full((24, 32, 3), 8 * k, np.uint8) for k in range(len(times_s))]
    video = _Video(path, rate, images[0])
    for image, time_s in zip(images, times_s, strict=True):
        video.write(image, int(1e9 * (START + time_s)), 0)
    video.close()
    capture = cv2.VideoCapture(str(path))
    found = []
    while (read := capture.read())[0]:
        found.append(round(float(read[1].mean()) / 8))
    return found


@pytest.mark.parametrize(
    ("times_s", "expected"),
    [
        pytest.param([0, 0.1, 0.2, 0.3], [0, 1, 2, 3], id="the video's own rate"),
        pytest.param([0, 0.096, 0.22, 0.28, 0.42], [0, 1, 2, 3, 4], id="about that"),
        pytest.param([0, 0.25, 0.5], [0, 0, 1, 1, 1, 2], id="fewer"),
        pytest.param([0, 0.1, 0.7, 0.8], [0, 1, 1, 1, 1, 1, 1, 2, 3], id="a pause"),
        pytest.param([0.05 * k for k in range(9)], [0, 1, 2, 3, 6, 8], id="twice as many"),
    ],
)
def test_a_video_takes_as_long_as_its_images_did(tmp_path, times_s, expected):
    found = shown(tmp_path / "video.mp4", 10.0, times_s)
    assert found == expected
    assert len(found) / 10.0 == pytest.approx(times_s[-1] + 0.1, abs=0.11)


def test_a_camera_that_was_unplugged_for_long_makes_a_video_no_longer_than_a_short_pause(tmp_path):
    found = shown(tmp_path / "video.mp4", 10.0, [0, 0.1, 3600.0, 3600.1])
    assert found == [0] + [1] * 101 + [2, 3]

"""Cameras as ROS describes them."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from face3dmm_ros.calibration import Calibration, read_calibration
from face3dmm_ros.errors import Face3DMMError

K = np.array([[600.0, 0.0, 319.5], [0.0, 610.0, 239.5], [0.0, 0.0, 1.0]])
YAML = """
image_width: 640
image_height: 480
camera_name: test
camera_matrix: {rows: 3, cols: 3, data: [600, 0, 319.5, 0, 610, 239.5, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [-0.2, 0.05, 0, 0, 0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [590, 0, 319, 0, 0, 600, 239, 0, 0, 0, 1, 0]}
"""


@pytest.mark.parametrize(
    ("model", "coefficients"),
    [
        ("plumb_bob", []),
        ("plumb_bob", [-0.28, 0.08, 0.001, -0.0005, 0.0]),
        ("rational_polynomial", [0.1, 0.05, 0.0, 0.0, 0.01, 0.4, 0.1, 0.02]),
        ("equidistant", [-0.02, 0.01, -0.003, 0.001]),
    ],
)
def test_rays_undo_the_lens(model: str, coefficients: list[float]) -> None:
    rays = np.random.default_rng(0).uniform([-0.4, -0.3], [0.4, 0.3], (50, 2))
    points = np.column_stack([rays, np.ones(50)])[:, None]
    project = cv2.fisheye.projectPoints if model == "equidistant" else cv2.projectPoints
    D = np.array(coefficients)
    pixels = project(points, np.zeros(3), np.zeros(3), K, D if len(D) else None)[0][:, 0]
    np.testing.assert_allclose(Calibration((640, 480), K, model, D).rays(pixels), rays, atol=1e-4)


def test_a_calibration_is_read_from_ros_yaml(tmp_path: Path) -> None:
    path = tmp_path / "camera.yaml"
    path.write_text(YAML)
    calibration = read_calibration(path)
    assert calibration.image_size == (640, 480)
    np.testing.assert_array_equal(calibration.matrix, K)
    np.testing.assert_array_equal(calibration.distortion, [-0.2, 0.05, 0.0, 0.0, 0.0])
    assert calibration.projection[0, 0] == 590.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- 1",
        YAML.replace("600, 0, 319.5", "0, 0, 0"),
        YAML.replace("600, 0, 319.5", ".nan, 0, 0"),
        YAML.replace("600, 0, 319.5", "-600, 0, 319.5"),
        YAML.replace("640", "0"),
        YAML.replace("plumb_bob", "cobweb"),
        YAML.replace("-0.2, 0.05", ".inf, 0"),
        YAML.replace("[600", "[1, 600"),
        "a: !!python/object/apply:os.getcwd []",
    ],
)
def test_what_is_no_camera_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "camera.yaml"
    path.write_text(text)
    with pytest.raises(Face3DMMError, match=r"camera\.yaml"):
        read_calibration(path)


def test_a_missing_calibration_is_named(tmp_path: Path) -> None:
    with pytest.raises(Face3DMMError, match=r"nowhere\.yaml"):
        read_calibration(tmp_path / "nowhere.yaml")

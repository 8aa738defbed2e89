"""Cameras as ROS describes them."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from face3dmm_ros.core.calibration import Calibration, SensorWindow, read_calibration
from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.picture_turns import TURNS, turned

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


CAMERAS = [
    Calibration((640, 480), K, "plumb_bob", np.array([-0.28, 0.08, 0.01, -0.005, 0.02])),
    Calibration((640, 480), K),
    Calibration((640, 480), K, "rational_polynomial", np.array([0.1, 0.05, 0.01, -0.02, 0.01, 0.4, 0.1, 0.02])),
    Calibration(
        (640, 480),
        K,
        "rational_polynomial",
        np.array([0.1, 0.05, 0.01, -0.02, 0.01, 0.4, 0.1, 0.02, 0.03, -0.01, 0.02, 0.04]),
    ),
    Calibration((640, 480), K, "equidistant", np.array([-0.02, 0.01, -0.003, 0.001])),
]
TILTED = Calibration(
    (640, 480),
    K,
    "rational_polynomial",
    np.array([0.1, 0.0, 0.01, -0.02, *[0.0] * 4, 0.03, 0.0, 0.02, 0.0, 0.05, -0.03]),
)


def pixels(camera: Calibration, points: np.ndarray) -> np.ndarray:
    """Where a camera sees (N, 3) points in its frame, (N, 2) px."""
    project = cv2.fisheye.projectPoints if camera.distortion_model == "equidistant" else cv2.projectPoints
    D = camera.distortion if len(camera.distortion) else None
    return project(points[:, None], np.zeros(3), np.zeros(3), camera.matrix, D)[0][:, 0]


@pytest.mark.parametrize(
    ("camera", "degrees"), [(camera, degrees) for camera in CAMERAS for degrees in TURNS] + [(TILTED, 180)]
)
def test_the_camera_of_turned_images_sees_a_point_where_the_turned_image_shows_it(
    camera: Calibration, degrees: int
) -> None:
    points = np.random.default_rng(0).uniform([-0.4, -0.3, 0.9], [0.4, 0.3, 1.1], (40, 3))
    width, height = camera.image_size
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    turned_columns, turned_rows = (turned(values.astype(np.float32), degrees) for values in (columns, rows))
    there = camera.turned(degrees)
    assert there.image_size == turned_columns.shape[::-1]
    # Turned clockwise: what the image shows on the right comes to lie below.
    turn = Rotation.from_euler("z", degrees, degrees=True)
    found = pixels(there, turn.apply(points))
    inside = ((found > 1.0) & (found < np.array(there.image_size) - 2.0)).all(axis=1)
    assert inside.sum() > 20
    column, row = found[inside].astype(np.float32).T[..., None]
    shown = [cv2.remap(values, column, row, cv2.INTER_LINEAR)[:, 0] for values in (turned_columns, turned_rows)]
    np.testing.assert_allclose(np.transpose(shown), pixels(camera, points)[inside], atol=0.02)


@pytest.mark.parametrize("degrees", TURNS)
def test_a_rectified_stereo_camera_is_turned_with_its_images(degrees: int) -> None:
    rectify = Rotation.from_euler("xyz", [0.02, -0.03, 0.01]).as_matrix()
    P = np.array([[590.0, 0.0, 319.0, -35.0], [0.0, 600.0, 239.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    camera = Calibration((640, 480), K, rectification=rectify, projection=P)
    there, turn = camera.turned(degrees), Rotation.from_euler("z", degrees, degrees=True).as_matrix()
    point = np.array([0.1, -0.2, 1.3])

    def seen(camera: Calibration, point: np.ndarray) -> np.ndarray:
        u, v, w = camera.projection @ [*(camera.rectification @ point), 1.0]
        return np.array([u, v]) / w

    u, v = seen(camera, point)
    expected = {0: (u, v), 90: (479.0 - v, u), 180: (639.0 - u, 479.0 - v), 270: (v, 639.0 - u)}[degrees]
    np.testing.assert_allclose(seen(there, turn @ point), expected, atol=1e-9)


SENSOR = Calibration(
    (1280, 960),
    np.array([[1200.0, 0.0, 650.0], [0.0, 1210.0, 470.0], [0.0, 0.0, 1.0]]),
    "plumb_bob",
    np.array([-0.28, 0.08, 0.001, -0.0005, 0.0]),
    Rotation.from_euler("xyz", [0.02, -0.03, 0.01]).as_matrix(),
    np.array([[1100.0, 0.0, 630.0, -80.0], [0.0, 1100.0, 485.0, 0.0], [0.0, 0.0, 1.0, 0.0]]),
)
IN_FRONT = np.random.default_rng(0).uniform([-0.4, -0.3, 0.9], [0.4, 0.3, 1.1], (40, 3))
IMAGES = {
    "whole": (SensorWindow(), (1280, 960), lambda pixel: pixel),
    "region": (SensorWindow(100, 51, 640, 480), (640, 480), lambda pixel: pixel - [100.0, 51.0]),
    "whole as region": (SensorWindow(0, 0, 1280, 960), (1280, 960), lambda pixel: pixel),
    # 2×2 pixels, the first two of them at 0 and 1, become one with its centre between theirs.
    "binned": (SensorWindow(binning_x=2, binning_y=2), (640, 480), lambda pixel: (pixel - 0.5) / 2.0),
    "binned with a remainder": (SensorWindow(binning_x=3, binning_y=3), (426, 320), lambda pixel: (pixel - 1.0) / 3.0),
    "region, binned": (
        SensorWindow(100, 50, 640, 480, 2, 2),
        (320, 240),
        lambda pixel: (pixel - [100.5, 50.5]) / 2.0,
    ),
    "binned unequally": (
        SensorWindow(binning_x=2, binning_y=4),
        (640, 240),
        lambda pixel: (pixel - [0.5, 1.5]) / [2.0, 4.0],
    ),
    "halved": (SensorWindow(), (640, 480), lambda pixel: (pixel - 0.5) / 2.0),
    "enlarged": (SensorWindow(), (1920, 1440), lambda pixel: 1.5 * pixel + 0.25),
    "resized, sides rounded": (
        SensorWindow(),
        (427, 320),
        lambda pixel: (pixel + 0.5) * [427.0 / 1280.0, 320.0 / 960.0] - 0.5,
    ),
    "region, binned, halved": (
        SensorWindow(100, 50, 640, 480, 2, 2),
        (160, 120),
        lambda pixel: (pixel - [101.5, 51.5]) / 4.0,
    ),
    "binned, but camera_info counts the binned pixels": (
        SensorWindow(binning_x=2, binning_y=2),
        (1280, 960),
        lambda pixel: pixel,
    ),
}


@pytest.mark.parametrize(("window", "size", "moved"), IMAGES.values(), ids=IMAGES)
def test_the_camera_of_part_of_a_sensor_sees_a_point_where_the_image_shows_it(window, size, moved) -> None:
    camera = replace(SENSOR, window=window).of(size)
    assert camera.image_size == size
    np.testing.assert_allclose(pixels(camera, IN_FRONT), moved(pixels(SENSOR, IN_FRONT)), atol=1e-9)


@pytest.mark.parametrize(("window", "size", "moved"), IMAGES.values(), ids=IMAGES)
def test_the_camera_of_rectified_images_is_p(window, size, moved) -> None:
    camera = replace(SENSOR, window=window).of(size, rectified=True)
    u, v, w = SENSOR.projection[:, :3] @ IN_FRONT.T
    np.testing.assert_allclose(pixels(camera, IN_FRONT), moved(np.transpose([u / w, v / w])), atol=1e-9)
    np.testing.assert_allclose(camera.rays(pixels(camera, IN_FRONT)), IN_FRONT[:, :2] / IN_FRONT[:, 2:], atol=1e-9)


def test_a_point_has_the_same_ray_in_the_image_and_in_the_rectified_one() -> None:
    raw, rectified = SENSOR.of((1280, 960)), SENSOR.of((1280, 960), rectified=True)
    in_lens = IN_FRONT @ SENSOR.rectification  # Rᵀ·X
    np.testing.assert_allclose(raw.rays(pixels(raw, in_lens)), rectified.rays(pixels(rectified, IN_FRONT)), atol=1e-4)


def test_a_head_is_placed_in_the_rectified_cameras_axes() -> None:
    plain = replace(SENSOR, rectification=np.zeros((3, 3)))
    camera, R = WeakPerspective(1.2, np.diag([1.0, -1.0, -1.0]), np.array([700.0, 300.0])), SENSOR.rectification
    np.testing.assert_allclose(SENSOR.pose(camera).position, R @ plain.pose(camera).position)
    np.testing.assert_allclose(SENSOR.pose(camera).rotation, R @ plain.pose(camera).rotation)


def test_a_camera_without_r_is_its_own_rectified_one() -> None:
    without, identity = (replace(SENSOR, rectification=R) for R in (np.zeros((3, 3)), np.eye(3)))
    np.testing.assert_array_equal(without.rays(IN_FRONT[:, :2]), identity.rays(IN_FRONT[:, :2]))


@pytest.mark.parametrize(
    ("window", "size", "rectified", "complaint"),
    [
        (SensorWindow(), (1280, 720), False, "1280×960, these have 1280×720: another shape"),
        (SensorWindow(), (640, 470), False, "another shape"),
        (SensorWindow(100, 50, 640, 480), (1280, 960), False, r"whole sensor.*640×480 at \(100, 50\)"),
        (SensorWindow(100, 50, 600, 480), (640, 480), False, "600×480, these have 640×480"),
        (SensorWindow(100, 50, 640, 480, do_rectify=True), (620, 464), True, "do_rectify"),
    ],
)
def test_images_that_the_calibration_does_not_describe_are_refused(window, size, rectified, complaint) -> None:
    with pytest.raises(Face3DMMError, match=complaint):
        replace(SENSOR, window=window).of(size, rectified=rectified)


@pytest.mark.parametrize("P", [np.zeros((3, 4)), np.full((3, 4), np.nan), np.eye(3, 4) * [[-1.0], [1.0], [1.0]]])
def test_rectified_images_need_p(P: np.ndarray) -> None:
    camera = replace(SENSOR, projection=P)
    assert camera.of((640, 480)).image_size == (640, 480)
    with pytest.raises(Face3DMMError, match=r"a camera's P, of which rectified images are made, (is|has) "):
        camera.of((640, 480), rectified=True)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"matrix": np.diag([1e308, 1e308, 1.0])}, r"K has focal lengths of 0.001 to 1e\+07 px"),
        ({"matrix": np.diag([1e-300, 600.0, 1.0])}, r"K has focal lengths of 0.001 to 1e\+07 px"),
        ({"matrix": np.array([[600.0, 0, 1e300], [0, 600.0, 240.0], [0, 0, 1.0]])}, r"its centre within 1e\+07 px"),
        ({"rectification": np.full((3, 3), np.nan)}, "R is a rotation"),
        ({"rectification": np.diag([1.0, 1.0, -1.0])}, "R is a rotation"),
        ({"rectification": np.full((3, 3), 1e308)}, "R has numbers up to"),
        ({"distortion": np.array([1e308, 1e308, 0.0, 0.0, 1e308])}, "D has numbers up to"),
        ({"projection": np.full((3, 4), -1e308)}, "P has numbers up to"),
        ({"image_size": (10**400, 960)}, "have 1 to 65536 px a side"),
        ({"distortion": np.array([0.1, 0.2, 0.3])}, "'plumb_bob' with 3 coefficients"),
        ({"window": SensorWindow(1000, 0, 640, 480)}, r"640×480 at \(1000, 0\) does not lie within the 1280×960"),
        ({"window": SensorWindow(10, 0, 0, 0)}, "has a width and a height"),
        ({"window": SensorWindow(0, 0, 640, 0)}, "has a width and a height"),
        ({"window": SensorWindow(binning_x=0)}, "at least 1×1 pixels"),
    ],
)
def test_a_camera_that_cannot_be_is_refused(changes, complaint) -> None:
    with pytest.raises(Face3DMMError, match=complaint):
        replace(SENSOR, **changes)


def test_images_of_a_window_are_not_turned() -> None:
    with pytest.raises(Face3DMMError, match="whole sensor"):
        replace(SENSOR, window=SensorWindow(0, 0, 640, 480)).turned(90)


def test_four_quarters_of_a_turn_give_the_camera_back() -> None:
    camera = CAMERAS[0]
    back = camera.turned(90).turned(180).turned(90)
    assert back.image_size == camera.image_size
    np.testing.assert_allclose(back.matrix, camera.matrix)
    np.testing.assert_allclose(back.distortion, camera.distortion)


def test_what_cannot_be_turned_is_refused() -> None:
    with pytest.raises(Face3DMMError, match="0, 90, 180, 270 degrees clockwise, not 45"):
        CAMERAS[0].turned(45)
    with pytest.raises(Face3DMMError, match="tilted"):
        TILTED.turned(90)


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
        YAML.replace("640", "65537"),
        YAML.replace("640", "9" * 400),
        YAML.replace("640", "9" * 5000),
        YAML.replace("640", ":".join(2000 * ["59"])),  # YAML 1.1's sexagesimal number
        YAML.replace("600, 0, 319.5", "9" * 400 + ", 0, 319.5"),
        YAML.replace("plumb_bob", "cobweb"),
        YAML.replace("-0.2, 0.05", ".inf, 0"),
        YAML.replace("[600", "[1, 600"),
        "a: !!python/object/apply:os.getcwd []",
    ],
)
def test_what_is_no_camera_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "camera.yaml"
    path.write_text(text)
    with pytest.raises(Face3DMMError, match=r"camera\.yaml") as found:
        read_calibration(path)
    assert "\n" not in str(found.value)


def test_a_missing_calibration_is_named(tmp_path: Path) -> None:
    with pytest.raises(Face3DMMError, match=r"nowhere\.yaml"):
        read_calibration(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(("model", "D"), [("plumb_bob", [-5.0, 0, 0, 0, 0]), ("equidistant", [-5.0, 0, 0, 0])])
def test_a_distortion_that_cannot_be_undone_is_refused(model: str, D: list[float]) -> None:
    calibration = Calibration((640, 480), K, model, np.array(D))
    corner = np.random.default_rng(0).uniform([500, 350], [639, 479], (20, 2))
    with pytest.raises(Face3DMMError, match="cannot be undone"):
        calibration.rays(corner)

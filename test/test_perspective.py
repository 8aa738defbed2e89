"""Faces under full perspective, on exact projections of a near face."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from face3dmm_ros.core.calibration import Calibration, SensorWindow
from face3dmm_ros.core.camera import MetricPose, metric_pose
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import rotation_angle, rotation_from_pose_angles, rotation_from_vector
from face3dmm_ros.core.values import Box, Landmarks, TrackedFace, TrackedLandmarks
from face3dmm_ros.fitting import FitOptions, TrackFitter
from face3dmm_ros.fitting.perspective import PerspectiveFitter
from face3dmm_ros.morphable_model import MorphableModel

SIZE = (640, 480)
K = np.array([[600.0, 0.0, 319.5], [0.0, 600.0, 239.5], [0.0, 0.0, 1.0]])
CALIBRATION = Calibration(SIZE, K)
OPTIONS = FitOptions(outline=False)


def at_distance(
    model: MorphableModel, distance_mm: float, seed: int, turn: float = 0.0
) -> tuple[Landmarks, np.ndarray, np.ndarray]:
    """Landmarks as a pinhole sees them, R and the vertices in the camera, mm."""
    rng = np.random.default_rng(seed)
    alpha = rng.standard_normal(model.shape_count) * model.shape_sigma
    R = rotation_from_vector([0.0, turn, 0.0]) @ rotation_from_pose_angles(*rng.uniform(-0.4, 0.4, 3))
    T = distance_mm * np.array([rng.uniform(-0.2, 0.2), rng.uniform(-0.1, 0.1), 1.0])
    vertices = model.identity(alpha) @ R.T + T
    seen = model.scheme("mediapipe478").interpolate(vertices) @ K.T
    points = (seen[:, :2] / seen[:, 2:]).astype(np.float32)
    return Landmarks("mediapipe478", points, Box(0, 0, *SIZE), 1.0, SIZE), R, vertices


@pytest.mark.parametrize("distance_mm", [300.0, 500.0, 1000.0])
def test_a_near_faces_pose_and_shape_come_closer_to_the_truth(
    default_model: MorphableModel, distance_mm: float
) -> None:
    errors = []
    for seed in range(3):
        landmarks, R, truth = at_distance(default_model, distance_mm, seed)
        weak = TrackFitter(default_model, options=OPTIONS).fit(TrackedLandmarks(1, landmarks))
        full = PerspectiveFitter(TrackFitter(default_model, options=OPTIONS)).fit(
            TrackedFace(1, landmarks, weak), CALIBRATION
        )
        row = []
        for parameters, pose in (
            (weak, metric_pose(weak.camera, CALIBRATION.intrinsics)),
            (full.parameters, full.pose),
        ):
            vertices = 1000.0 * pose.transform(default_model.vertices(parameters.alpha, parameters.beta))
            moved = (vertices - vertices.mean(axis=0)) - (truth - truth.mean(axis=0))
            row.append((np.degrees(rotation_angle(pose.rotation, R)), np.linalg.norm(moved, axis=1).mean()))
        errors.append(row)
    (weak_degrees, weak_mm), (full_degrees, full_mm) = np.mean(errors, axis=0)
    assert full_degrees < 0.7 * weak_degrees
    assert full_degrees < 1.5
    assert full_mm < weak_mm


def test_the_persons_colours_are_kept(default_model: MorphableModel) -> None:
    landmarks, _, _ = at_distance(default_model, 500.0, 0)
    weak = TrackFitter(default_model, options=OPTIONS).fit(TrackedLandmarks(1, landmarks))
    colored = replace(weak, gamma=np.arange(8.0))
    fitter = PerspectiveFitter(TrackFitter(default_model, options=OPTIONS))
    np.testing.assert_array_equal(
        fitter.fit(TrackedFace(1, landmarks, colored), CALIBRATION).parameters.gamma, np.arange(8.0)
    )


def test_a_later_image_needs_one_fit_and_is_as_good(default_model: MorphableModel) -> None:
    weak = TrackFitter(default_model, options=OPTIONS)
    inner = TrackFitter(default_model, options=OPTIONS)
    full = PerspectiveFitter(inner)
    fits = []
    original = inner.fit
    inner.fit = lambda face: fits.append(face) or original(face)
    for frame in range(6):
        landmarks, R, _ = at_distance(default_model, 350.0, 1, turn=0.03 * frame)
        fitted = full.fit(TrackedFace(1, landmarks, weak.fit(TrackedLandmarks(1, landmarks))), CALIBRATION)
        assert np.degrees(rotation_angle(fitted.pose.rotation, R)) < 1.5
    assert len(fits) == 3 + 5


def test_the_face_projects_onto_its_landmarks(default_model: MorphableModel) -> None:
    landmarks, _, _ = at_distance(default_model, 400.0, 2)
    weak = TrackFitter(default_model, options=OPTIONS).fit(TrackedLandmarks(1, landmarks))
    full = PerspectiveFitter(TrackFitter(default_model, options=OPTIONS)).fit(
        TrackedFace(1, landmarks, weak), CALIBRATION
    )
    points = default_model.scheme("mediapipe478").interpolate(
        default_model.vertices(full.parameters.alpha, full.parameters.beta)
    )
    seen = full.pose.transform(points) @ K.T
    distance = np.linalg.norm(seen[:, :2] / seen[:, 2:] - landmarks.points, axis=1)
    assert np.sqrt((distance**2).mean()) < weak.residual_px


SENSOR = Calibration(
    (1280, 960),
    np.array([[1100.0, 0.0, 650.0], [0.0, 1105.0, 470.0], [0.0, 0.0, 1.0]]),
    "plumb_bob",
    np.array([-0.28, 0.08, 0.001, -0.0005, 0.0]),
    rotation_from_vector([0.03, -0.04, 0.02]),
    np.array([[1300.0, 0.0, 600.0, 0.0], [0.0, 1300.0, 500.0, 0.0], [0.0, 0.0, 1.0, 0.0]]),
)
WINDOW = SensorWindow(320, 160, 800, 640)
IMAGES = {
    "region": (WINDOW, (800, 640), False),
    "binned": (SensorWindow(binning_x=2, binning_y=2), (640, 480), False),
    "binned unequally": (SensorWindow(binning_x=2), (640, 960), False),
    "region, binned": (replace(WINDOW, binning_x=2, binning_y=2), (400, 320), False),
    "resized": (SensorWindow(), (640, 480), False),
    "rectified": (SensorWindow(), (1280, 960), True),
    "rectified, region, binned": (replace(WINDOW, binning_x=2, binning_y=2), (400, 320), True),
}


def located(model: MorphableModel, camera: Calibration, points: np.ndarray) -> MetricPose:
    """The pose of a face whose landmarks are at (N, 2) px."""
    landmarks = Landmarks("mediapipe478", points.astype(np.float32), Box(0, 0, 9, 9), 1.0, camera.image_size)
    weak = TrackFitter(model, options=OPTIONS).fit(TrackedLandmarks(1, landmarks))
    full = PerspectiveFitter(TrackFitter(model, options=OPTIONS))
    return full.fit(TrackedFace(1, landmarks, weak), camera).pose


@pytest.mark.parametrize(("window", "size", "rectified"), IMAGES.values(), ids=IMAGES)
def test_a_face_is_in_one_place_whatever_part_of_the_sensor_the_images_show(
    default_model: MorphableModel, window: SensorWindow, size: tuple[int, int], rectified: bool
) -> None:
    rng = np.random.default_rng(5)
    R, T = rotation_from_pose_angles(0.1, -0.3, 0.1), np.array([30.0, -10.0, 550.0])
    vertices = default_model.identity(rng.standard_normal(default_model.shape_count) * default_model.shape_sigma)
    points = default_model.scheme("mediapipe478").interpolate(vertices) @ R.T + T
    whole, lens = SENSOR.of(SENSOR.image_size), SENSOR.rectification.T
    seen = cv2.projectPoints(points @ lens.T, np.zeros(3), np.zeros(3), whole.matrix, whole.distortion)[0][:, 0]
    expected = located(default_model, whole, seen)
    if rectified:
        seen = points @ SENSOR.projection[:, :3].T
        seen = seen[:, :2] / seen[:, 2:]
    shown = np.array([window.width or 1280, window.height or 960])
    moved = (seen - [window.x, window.y] + 0.5) * size / shown - 0.5
    found = located(default_model, replace(SENSOR, window=window).of(size, rectified=rectified), moved)
    assert np.degrees(rotation_angle(found.rotation, expected.rotation)) < 0.01
    assert np.linalg.norm(found.position - expected.position) < 1e-4 * expected.position[2]


def test_a_calibration_for_other_images_is_refused(default_model: MorphableModel) -> None:
    landmarks, _, _ = at_distance(default_model, 500.0, 0)
    weak = TrackFitter(default_model).fit(TrackedLandmarks(1, landmarks))
    with pytest.raises(Face3DMMError, match="1280×960"):
        PerspectiveFitter(TrackFitter(default_model)).fit(TrackedFace(1, landmarks, weak), Calibration((1280, 960), K))

"""Faces under full perspective, on exact projections of a near face."""

from dataclasses import replace

import numpy as np
import pytest

from face3dmm_ros.core.calibration import Calibration
from face3dmm_ros.core.camera import metric_pose
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


def test_a_calibration_for_other_images_is_refused(default_model: MorphableModel) -> None:
    landmarks, _, _ = at_distance(default_model, 500.0, 0)
    weak = TrackFitter(default_model).fit(TrackedLandmarks(1, landmarks))
    with pytest.raises(Face3DMMError, match="1280×960"):
        PerspectiveFitter(TrackFitter(default_model)).fit(TrackedFace(1, landmarks, weak), Calibration((1280, 960), K))

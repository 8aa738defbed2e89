"""Faces' frames are those of REP-155."""

import numpy as np
import pytest
from located_faces import located

from face3dmm_ros.core.camera import MetricPose, WeakPerspective
from face3dmm_ros.core.face_frames import face_frame, gaze_frame
from face3dmm_ros.core.rotations import FRONTAL, rotation_from_vector
from face3dmm_ros.core.values import FaceParameters

FRONT = face_frame(MetricPose(FRONTAL, np.array([0.1, -0.2, 0.7])), np.array([0.0, 10.0, 20.0]))


def test_a_frontal_faces_x_points_to_the_camera_y_to_its_own_left_and_z_up():
    np.testing.assert_allclose(FRONT.rotation.T, [[0, 0, -1], [1, 0, 0], [0, -1, 0]], atol=1e-12)
    assert np.linalg.det(FRONT.rotation) == pytest.approx(1.0)


def test_the_origin_is_the_sellion_in_metres():
    np.testing.assert_allclose(FRONT.position, [0.1, -0.21, 0.68])


def test_a_gaze_straight_ahead_is_the_faces_x_in_optical_axes():
    gaze = gaze_frame(FRONT)
    x, y, z = gaze.rotation.T
    ahead, left, up = FRONT.rotation.T
    np.testing.assert_allclose([x, y, z], [-left, -up, ahead], atol=1e-12)
    np.testing.assert_array_equal(gaze.position, FRONT.position)


@pytest.mark.parametrize("turn", [(0.3, 0.0, 0.0), (0.0, -0.5, 0.0), (0.2, 0.4, 0.1)])
def test_a_gaze_aside_has_its_z_there_its_y_down_and_is_a_rotation(turn):
    direction = rotation_from_vector(turn) @ FRONT.rotation[:, 0]
    gaze = gaze_frame(FRONT, direction)
    np.testing.assert_allclose(gaze.rotation[:, 2], direction, atol=1e-12)
    np.testing.assert_allclose(gaze.rotation.T @ gaze.rotation, np.eye(3), atol=1e-12)
    assert np.linalg.det(gaze.rotation) == pytest.approx(1.0)
    assert gaze.rotation[:, 0] @ FRONT.rotation[:, 2] == pytest.approx(0.0, abs=1e-12), "x stays level with the face"
    assert gaze.rotation[:, 1] @ FRONT.rotation[:, 2] < 0


def test_a_gaze_straight_up_is_no_division_by_zero():
    gaze = gaze_frame(FRONT, FRONT.rotation[:, 2])
    assert np.isfinite(gaze.rotation).all()


@pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (0.2, -0.6, 0.3)])
def test_a_located_faces_frames_are_those_of_the_truth(default_model, turn):
    model = default_model
    camera = WeakPerspective(0.9, rotation_from_vector(turn) @ FRONTAL, np.array([450.0, 100.0]))
    alpha = np.random.default_rng(0).normal(size=model.shape_count) * model.shape_sigma
    beta = np.zeros(model.expression_count)
    beta[[model.expression_names.index(name) for name in ("eyeLookInLeft", "eyeLookOutRight")]] = 0.8
    gaze = model.gaze(camera.rotation, beta)
    parameters = FaceParameters(camera, alpha, beta, model.name, model.digest, "joint", 0.0, 1.0, (640, 480), gaze=gaze)
    face = located(model, parameters)
    neutral = model.vertices(alpha, np.zeros_like(beta))
    sellion = model.landmarks["ibug68"].interpolate(neutral)[27:28]
    np.testing.assert_allclose(face.frame.position, face.placed.pose.transform(sellion)[0], atol=1e-6)
    np.testing.assert_allclose(face.frame.rotation[:, 0], face.placed.pose.rotation[:, 2])
    # Relative to the viewing ray the gaze is (0, 0, −1) when it meets the camera.
    on_ray = face.placed.pose.rotation @ camera.rotation.T
    np.testing.assert_allclose(face.gaze_frame.rotation[:, 2], on_ray @ gaze[2], atol=1e-9)

"""Smoothing while the camera moves: in a frame that does not."""

import numpy as np
import pytest

from benchmarks.random_model import random_model
from face3dmm_ros.core.camera import Intrinsics, MetricPose, metric_pose, weak_perspective_of
from face3dmm_ros.core.rotations import FRONTAL, rotation_angle, rotation_from_vector
from face3dmm_ros.core.values import Box, FaceParameters, Landmarks, TrackedFace
from face3dmm_ros.smoothing import SMOOTHING_METHODS, CameraPlace, FaceSmoother
from face3dmm_ros.smoothing.camera_motion import carried

MODEL = random_model(300, 5, 51, landmarks=68, blendshapes=True)
POINTS = MODEL.scheme("ibug68").interpolate(MODEL.mean)
SIZE = (640, 480)
CAMERA = Intrinsics.from_field_of_view(SIZE, 60.0)
RATE, SPEED, WIDEST = 30.0, 60.0, 20.0
HEAD = MetricPose(rotation_from_vector([0.1, 0.2, 0.0]) @ FRONTAL, np.array([0.05, 0.0, 0.8]))
FILTERS = [method for method in SMOOTHING_METHODS if method != "none"]


def place(angle_deg: float, position=(0.0, 0.0, 0.0)) -> CameraPlace:
    """A camera that was turned about its y axis."""
    return CameraPlace(rotation_from_vector([0.0, np.radians(angle_deg), 0.0]), np.array(position), CAMERA)


def seen_from(camera: CameraPlace, head: MetricPose = HEAD) -> MetricPose:
    """A head's pose in the camera, of one in the fixed frame."""
    return MetricPose(camera.rotation.T @ head.rotation, camera.rotation.T @ (head.position - camera.position))


def in_fixed_frame(face: TrackedFace, camera: CameraPlace) -> MetricPose:
    pose = metric_pose(face.parameters.camera, CAMERA)
    return MetricPose(camera.rotation @ pose.rotation, camera.rotation @ pose.position + camera.position)


def scan(time: float) -> float:
    """Degrees: the camera stands, turns at 60 degrees a second to one side, stands, turns back, and so on."""
    leg, rest = 2.0 * WIDEST / SPEED, 1.0
    phase = time % (2.0 * (leg + rest))
    back = phase >= leg + rest
    turned = SPEED * np.clip(phase - back * (leg + rest) - rest, 0.0, leg) - WIDEST
    return float(-turned if back else turned)


def face(pose: MetricPose, rng: np.random.Generator) -> TrackedFace:
    """As a fit sees a head: 0.4 degrees and 0.3 px off by chance."""
    camera = weak_perspective_of(
        MetricPose(rotation_from_vector(np.radians(rng.normal(0.0, 0.4, 3))) @ pose.rotation, pose.position), CAMERA
    )
    points = (camera.project(POINTS) + rng.normal(0.0, 0.3, 2)).astype(np.float32)
    camera = type(camera)(camera.scale, camera.rotation, camera.translation + rng.normal(0.0, 0.3, 2))
    landmarks = Landmarks("ibug68", points, Box(0, 0, *SIZE), 0.9, SIZE)
    weights = np.full(51, 0.5)
    parameters = FaceParameters(camera, np.zeros(5), weights, MODEL.name, MODEL.digest, "joint", 1.0, 0.9, SIZE)
    return TrackedFace(1, landmarks, parameters)


def errors(method: str, *, told: bool, angle=scan, seconds: float = 6.0) -> np.ndarray:
    """Of a still head, after the first second: RMS and largest error of its place, mm, and RMS of its turn, degrees."""
    rng, smoother = np.random.default_rng(0), FaceSmoother(MODEL, method)
    places, turns = [], []
    for index in range(int(seconds * RATE)):
        camera = place(angle(index / RATE))
        fitted = face(seen_from(camera), rng)
        smoothed = smoother.smooth(fitted, index / RATE, camera if told else None)
        pose = in_fixed_frame(smoothed, camera)
        places.append(1e3 * np.linalg.norm(pose.position - HEAD.position))
        turns.append(np.degrees(rotation_angle(pose.rotation, HEAD.rotation)))
    place_mm, turn_deg = np.array(places[int(RATE) :]), np.array(turns[int(RATE) :])
    return np.array([np.sqrt((place_mm**2).mean()), place_mm.max(), np.sqrt((turn_deg**2).mean())])


def test_a_heads_weak_perspective_is_that_of_its_pose():
    pose = seen_from(place(15.0))
    again = metric_pose(weak_perspective_of(pose, CAMERA), CAMERA)
    np.testing.assert_allclose(again.position, pose.position, atol=1e-12)
    np.testing.assert_allclose(again.rotation, pose.rotation, atol=1e-12)


def test_what_a_camera_saw_is_carried_to_what_it_sees_from_another_place():
    before, now = place(-10.0), place(12.0, position=(0.1, -0.05, 0.2))
    found = carried(weak_perspective_of(seen_from(before), CAMERA), before, now)
    expected = weak_perspective_of(seen_from(now), CAMERA)
    assert found.scale == pytest.approx(expected.scale)
    np.testing.assert_allclose(found.translation, expected.translation, atol=1e-9)
    np.testing.assert_allclose(found.rotation, expected.rotation, atol=1e-12)


def test_what_would_lie_behind_the_camera_stays_as_it_was():
    seen = weak_perspective_of(HEAD, CAMERA)
    assert carried(seen, place(0.0), place(150.0)) is seen


@pytest.mark.parametrize("method", FILTERS)
def test_a_still_head_stays_where_it_is_while_the_camera_turns(method):
    without, told = errors(method, told=False), errors(method, told=True)
    assert (told[:2] < 0.5 * without[:2]).all()
    # R is relative to the viewing ray, about which the camera's turn changes little.
    assert told[2] < 1.01 * without[2]


@pytest.mark.parametrize("method", FILTERS)
def test_a_camera_that_stands_still_changes_nothing(method):
    still, untold = (errors(method, told=told, angle=lambda _: 5.0, seconds=2.0) for told in (True, False))
    np.testing.assert_allclose(still, untold, rtol=1e-6)


def test_where_the_place_is_unknown_for_an_image_smoothing_goes_on_in_the_images_frame():
    rng = np.random.default_rng(0)
    fitted = [face(seen_from(place(angle)), rng) for angle in (0.0, 2.0, 4.0)]
    partly, never = FaceSmoother(MODEL), FaceSmoother(MODEL)
    for index, each in enumerate(fitted):
        a = partly.smooth(each, index / RATE, None if index == 1 else place(2.0 * index))
        b = never.smooth(each, index / RATE)
        np.testing.assert_array_equal(a.landmarks.points, b.landmarks.points)

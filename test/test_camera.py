"""The camera's conventions, pinned."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from face3dmm_ros.core.camera import (
    Intrinsics,
    WeakPerspective,
    clip_to_screen,
    estimate_weak_perspective,
    gold_standard_affine,
    metric_pose,
    model_to_world,
    view_to_clip,
    weak_perspective_from_affine,
    world_to_view,
)
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import (
    FRONTAL,
    nearest_rotation,
    pose_angles,
    quaternion,
    rotation_angle,
    rotation_from_pose_angles,
    rotation_from_vector,
    rotation_vector,
)

RNG = np.random.default_rng(0)
POINTS = RNG.uniform(-80, 80, (30, 3))
angles = st.floats(-1.4, 1.4)


def test_a_frontal_face_keeps_x_and_flips_y_and_z() -> None:
    camera = WeakPerspective(2.0, FRONTAL, np.array([100.0, 50.0]))
    left_up_front = np.array([[10.0, 5.0, 7.0]])
    np.testing.assert_allclose(camera.project(left_up_front), [[120.0, 40.0]])
    np.testing.assert_allclose(camera.depth(left_up_front), [-14.0])


def test_projection_is_the_formula() -> None:
    R = rotation_from_vector([0.3, -0.2, 0.5]) @ FRONTAL
    camera = WeakPerspective(1.7, R, np.array([3.0, 4.0]))
    P = np.eye(3)[:2]
    expected = np.array([1.7 * P @ R @ X + camera.translation for X in POINTS])
    np.testing.assert_allclose(camera.project(POINTS), expected)


@settings(max_examples=50, deadline=None)
@given(angles, angles, angles)
def test_pose_angles_and_rotation_are_inverse(pitch: float, yaw: float, roll: float) -> None:
    R = rotation_from_pose_angles(pitch, yaw, roll)
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(R) == pytest.approx(1.0)
    np.testing.assert_allclose(pose_angles(R), (pitch, yaw, roll), atol=1e-9)


def test_angles_of_zero_are_a_frontal_face() -> None:
    np.testing.assert_array_equal(rotation_from_pose_angles(0.0, 0.0, 0.0), FRONTAL)


def test_positive_yaw_turns_the_face_toward_the_images_left_edge() -> None:
    nose = np.array([[0.0, 0.0, 1.0]])
    camera = WeakPerspective(1.0, rotation_from_pose_angles(0.0, 0.5, 0.0), np.zeros(2))
    assert camera.project(nose)[0, 0] < 0.0


def test_aflw2000_faces_turned_back_by_their_pose_look_forward(shared_data: Path) -> None:
    faces = []
    for path in sorted((shared_data / "aflw2000_dev").glob("*.mat"))[:40]:
        label = scipy.io.loadmat(path)
        points = label["pt3d_68"].astype(float) * [[1], [1], [-1]]  # the label's z points toward the viewer
        points -= points.mean(axis=1, keepdims=True)
        R = rotation_from_pose_angles(*label["Pose_Para"][0, :3])
        faces.append(R.T @ points / np.linalg.norm(points))
    mean = np.mean(faces, axis=0)
    assert mean[2, 30] > mean[2, 0]  # the nose stands out, toward +z
    assert mean[1, 8] < mean[1, 27]  # the chin is below the nose's root
    turn = [np.degrees(rotation_angle(nearest_rotation(mean @ face.T), np.eye(3))) for face in faces]
    assert np.median(turn) < 2.0


def test_gold_standard_recovers_an_exact_affine_camera() -> None:
    P = RNG.standard_normal((2, 4))
    image = POINTS @ P[:, :3].T + P[:, 3]
    np.testing.assert_allclose(gold_standard_affine(POINTS, image), P, atol=1e-10)


def test_four_correspondences_are_enough() -> None:
    P = np.array([[1.0, 0.2, -0.3, 5.0], [0.1, -1.1, 0.4, 7.0]])
    image = POINTS[:4] @ P[:, :3].T + P[:, 3]
    np.testing.assert_allclose(gold_standard_affine(POINTS[:4], image), P, atol=1e-9)


def test_points_in_a_plane_are_told_from_a_flat_relief() -> None:
    image = POINTS[:, :2] + POINTS[:, 2:]
    gold_standard_affine(POINTS * [1.0, 1.0, 1e-4], image)
    with pytest.raises(Face3DMMError, match="plane"):
        gold_standard_affine(POINTS * [1.0, 1.0, 1e-8], image)


def test_the_scale_of_an_affine_camera_is_between_those_of_its_rows() -> None:
    camera = weak_perspective_from_affine([[2.0, 0.0, 0.0, 5.0], [0.0, -3.0, 0.0, 7.0]])
    assert camera.scale == pytest.approx(2.5)
    np.testing.assert_allclose(camera.rotation, FRONTAL, atol=1e-12)
    np.testing.assert_array_equal(camera.translation, [5.0, 7.0])


@pytest.mark.parametrize(("along_y", "refused"), [(1e-8, False), (1e-10, True), (0.0, True)])
def test_an_affine_camera_without_a_plane_is_refused(along_y: float, refused: bool) -> None:
    affine = [[1.0, 0.0, 0.0, 0.0], [0.0, along_y, 0.0, 0.0]]
    if not refused:
        weak_perspective_from_affine(affine)
        return
    with pytest.raises(Face3DMMError, match="rank below two"):
        weak_perspective_from_affine(affine)


@pytest.mark.parametrize("numbers", [(0.0, 1.0, 1.0), (-5.0, 1.0, 1.0), (np.inf, 1.0, 1.0), (9.0, np.nan, 1.0)])
def test_a_camera_without_a_focal_length_or_a_middle_is_refused(numbers: tuple[float, float, float]) -> None:
    with pytest.raises(Face3DMMError, match="positive focal length"):
        Intrinsics(*numbers)
    assert Intrinsics(0.5, 0.0, 0.0).focal == 0.5


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_the_yaw_of_a_profile_is_a_right_angle_though_rounding_goes_beyond(sign: float) -> None:
    R = rotation_from_pose_angles(0.0, sign * np.pi / 2.0, 0.0)
    beyond = R * (1.0 + 1e-12)
    assert pose_angles(beyond)[1] == pytest.approx(sign * np.pi / 2.0)


def test_gold_standard_minimises_the_image_distance() -> None:
    P = RNG.standard_normal((2, 4))
    image = POINTS @ P[:, :3].T + P[:, 3] + RNG.standard_normal((len(POINTS), 2))
    estimate = gold_standard_affine(POINTS, image)
    homogeneous = np.column_stack([POINTS, np.ones(len(POINTS))])
    gradient = homogeneous.T @ (homogeneous @ estimate.T - image)
    np.testing.assert_allclose(gradient, 0.0, atol=1e-8)


def test_weak_perspective_comes_back_from_exact_points() -> None:
    truth = WeakPerspective(1.3, rotation_from_pose_angles(0.2, -0.7, 0.1), np.array([200.0, 90.0]))
    estimate = estimate_weak_perspective(POINTS, truth.project(POINTS))
    assert estimate.scale == pytest.approx(truth.scale)
    np.testing.assert_allclose(estimate.rotation, truth.rotation, atol=1e-10)
    np.testing.assert_allclose(estimate.translation, truth.translation, atol=1e-8)


def test_rotation_out_of_a_noisy_affine_camera_is_proper() -> None:
    for _ in range(20):
        R = weak_perspective_from_affine(RNG.standard_normal((2, 4))).rotation
        np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(R) == pytest.approx(1.0)


def test_nearest_rotation_undoes_a_small_disturbance() -> None:
    R = rotation_from_vector([0.4, 0.1, -0.9])
    np.testing.assert_allclose(nearest_rotation(1.1 * R), R, atol=1e-12)
    mirrored = nearest_rotation(R @ np.diag([1.0, 1.0, -1.0]))
    assert np.linalg.det(mirrored) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("model", "image", "complaint"),
    [
        (POINTS[:3], POINTS[:3, :2], "at least 4"),
        (POINTS * [1, 1, 0], POINTS[:, :2], "plane"),
        (np.where(POINTS[2, 1] == POINTS, np.nan, POINTS), POINTS[:, :2], "not finite"),
        (POINTS, np.full((30, 2), np.inf), "not finite"),
        (np.ones((30, 3)), POINTS[:, :2], "coincide"),
        (POINTS, POINTS, "expected"),
        (POINTS, POINTS[:, :1], "expected"),
        (POINTS, POINTS[:29, :2], "expected"),
        (np.zeros((0, 3)), np.zeros((0, 2)), "at least 4"),
    ],
)
def test_degenerate_correspondences_are_refused(model: np.ndarray, image: np.ndarray, complaint: str) -> None:
    with pytest.raises(Face3DMMError, match=complaint):
        gold_standard_affine(model, image)


def test_image_points_on_a_line_are_refused() -> None:
    with pytest.raises(Face3DMMError, match="line"):
        estimate_weak_perspective(POINTS, POINTS[:, :1] * [1.0, 2.0])


@pytest.mark.parametrize("matrix", [np.full((3, 3), np.nan), np.eye(2), np.ones((3, 3))])
def test_a_matrix_without_a_nearest_rotation_is_refused(matrix: np.ndarray) -> None:
    with pytest.raises(Face3DMMError):
        nearest_rotation(matrix)


def test_rotation_angle_is_geodesic_and_exact_near_zero() -> None:
    assert rotation_angle(np.eye(3), rotation_from_vector([0.0, 1.0, 0.0])) == pytest.approx(1.0)
    assert rotation_angle(np.eye(3), rotation_from_vector([1e-9, 0.0, 0.0])) == pytest.approx(1e-9, rel=1e-3)
    assert rotation_angle(np.eye(3), np.diag([1.0, -1.0, -1.0])) == pytest.approx(np.pi)


def test_a_centred_face_stands_on_the_optical_axis_at_its_metric_distance() -> None:
    intrinsics = Intrinsics(600.0, 319.5, 239.5)
    pose = metric_pose(WeakPerspective(1.2, FRONTAL, np.array([319.5, 239.5])), intrinsics)
    np.testing.assert_allclose(pose.position, [0.0, 0.0, 0.5])
    np.testing.assert_allclose(pose.rotation, FRONTAL)


def test_an_off_axis_face_is_turned_by_its_viewing_ray() -> None:
    """A head that looks along the camera's axis, 45° off it, is seen turned by 45° and comes back as it is."""
    intrinsics = Intrinsics(500.0, 320.0, 240.0)
    position = np.array([0.6, 0.0, 0.6])
    ray = position / np.linalg.norm(position)
    to_ray = np.array([[ray[2], 0, -ray[0]], [0, 1, 0], [ray[0], 0, ray[2]]])
    seen = WeakPerspective(500.0 / 600.0, to_ray @ FRONTAL, np.array([320.0 + 500.0, 240.0]))
    pose = metric_pose(seen, intrinsics)
    np.testing.assert_allclose(pose.position, position, atol=1e-12)
    np.testing.assert_allclose(pose.rotation, FRONTAL, atol=1e-12)


def test_the_metric_mesh_projects_near_the_weak_perspective_image() -> None:
    intrinsics = Intrinsics(800.0, 319.5, 239.5)
    camera = WeakPerspective(0.5, rotation_from_pose_angles(0.1, 0.4, -0.1), np.array([420.0, 150.0]))
    points = 0.2 * POINTS
    metric = metric_pose(camera, intrinsics).transform(points)
    pinhole = metric[:, :2] / metric[:, 2:] * intrinsics.focal + [intrinsics.center_x, intrinsics.center_y]
    np.testing.assert_allclose(pinhole, camera.project(points), atol=0.6)


def test_field_of_view_gives_the_focal_length() -> None:
    intrinsics = Intrinsics.from_field_of_view((640, 480), 90.0)
    assert intrinsics.focal == pytest.approx(320.0)
    assert (intrinsics.center_x, intrinsics.center_y) == (319.5, 239.5)
    for degrees in (0.0, 180.0, float("nan")):
        with pytest.raises(Face3DMMError, match="field of view"):
            Intrinsics.from_field_of_view((640, 480), degrees)


def test_the_chain_to_the_screen_agrees_with_the_projection() -> None:
    size = (640, 480)
    camera = WeakPerspective(1.4, rotation_from_pose_angles(0.3, 0.6, -0.2), np.array([310.0, 222.0]))
    homogeneous = np.column_stack([POINTS, np.ones(len(POINTS))])
    clip = homogeneous @ (view_to_clip(size, 500.0) @ world_to_view() @ model_to_world(camera)).T
    np.testing.assert_allclose(clip_to_screen(clip, size), camera.project(POINTS), atol=1e-9)
    # Nearer points (smaller depth in the camera) have smaller z in clip space, which ends at the range of depths.
    np.testing.assert_allclose(clip[:, 2], camera.depth(POINTS) / 500.0)


def test_the_images_corner_is_half_a_pixel_outside_the_first_pixels_centre() -> None:
    corners = np.array([[-1.0, 1.0, 0.0, 1.0], [1.0, -1.0, 0.0, 1.0]])
    np.testing.assert_allclose(clip_to_screen(corners, (640, 480)), [[-0.5, -0.5], [639.5, 479.5]])


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-6, 0.3, 2.0, np.pi - 1e-9, np.pi])
def test_a_rotations_vector_is_the_one_that_it_was_made_from(angle: float) -> None:
    for axis in (*np.eye(3), *np.random.default_rng(0).normal(size=(20, 3))):
        vector = angle * axis / np.linalg.norm(axis)
        found = rotation_vector(rotation_from_vector(vector))
        np.testing.assert_allclose(rotation_from_vector(found), rotation_from_vector(vector), atol=1e-12)
        if angle < 3.0:
            np.testing.assert_allclose(found, vector, atol=1e-12)


def test_a_quaternion_is_that_of_its_rotation() -> None:
    random = np.random.default_rng(0).normal(size=(20, 3))
    for vector in (*random, np.zeros(3), [np.pi, 0, 0], [0, np.pi - 1e-9, 0], [0, 0, 3.0]):
        rotation = rotation_from_vector(vector)
        found = np.array(quaternion(rotation))
        assert np.linalg.norm(found) == pytest.approx(1.0)
        assert found[3] >= 0.0
        np.testing.assert_allclose(Rotation.from_quat(found).as_matrix(), rotation, atol=1e-12)

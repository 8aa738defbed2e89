"""Each metric against figures worked out by hand."""

import numpy as np
import pytest

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import FRONTAL, rotation_angle, rotation_from_pose_angles, rotation_from_vector
from face3dmm_ros.core.similarity import align
from face3dmm_ros.core.values import Box
from face3dmm_ros.evaluation import metrics

RECTANGLE = np.array([[10.0, 20.0], [14.0, 20.0], [10.0, 29.0], [14.0, 29.0]])
"""4 px wide and 9 high, so √(w·h) is 6."""


def test_nme_is_the_mean_distance_over_the_root_of_the_truths_box() -> None:
    points = RECTANGLE + np.array([[3.0, 0.0], [0.0, 3.0], [0.0, 0.0], [0.0, 0.0]])
    assert metrics.nme(points, RECTANGLE) == pytest.approx(100 * 1.5 / 6)


def test_nme_is_measured_in_the_truths_box_not_the_predictions() -> None:
    assert metrics.nme(2 * RECTANGLE, RECTANGLE) != pytest.approx(metrics.nme(RECTANGLE, 2 * RECTANGLE))


@pytest.mark.parametrize("truth", [np.ones((5, 2)), np.array([[0.0, 0.0], [5.0, 0.0]]), np.full((4, 2), np.nan)])
def test_nothing_is_measured_in_a_box_without_area(truth: np.ndarray) -> None:
    with pytest.raises(Face3DMMError, match="box"):
        metrics.face_size(truth)


def test_points_and_truth_of_different_numbers_are_refused() -> None:
    with pytest.raises(Face3DMMError, match=r"\(3, 2\)"):
        metrics.nme(RECTANGLE[:3], RECTANGLE)


@pytest.mark.parametrize(
    ("other", "iou"),
    [
        (Box(0, 0, 2, 2), 1.0),
        (Box(1, 0, 2, 2), 2 / 6),
        (Box(2, 0, 2, 2), 0.0),
        (Box(5, 5, 2, 2), 0.0),
        (Box(0.5, 0.5, 1, 1), 1 / 4),
        (Box(0, 0, 0, 0), 0.0),
    ],
)
def test_box_iou(other: Box, iou: float) -> None:
    assert metrics.box_iou(Box(0, 0, 2, 2), other) == pytest.approx(iou)
    assert metrics.box_iou(other, Box(0, 0, 2, 2)) == pytest.approx(iou)


def test_a_similarity_is_undone_exactly() -> None:
    source = np.random.default_rng(0).normal(size=(30, 3))
    target = 2.5 * source @ rotation_from_vector([0.3, -1.2, 2.0]).T + [4.0, -5.0, 6.0]
    np.testing.assert_allclose(align(source, target), target, atol=1e-12)


def test_no_other_similarity_brings_the_points_nearer() -> None:
    random = np.random.default_rng(1)
    source, target = random.normal(size=(30, 3)), random.normal(size=(30, 3))
    aligned = align(source, target)
    best = ((aligned - target) ** 2).sum()
    for _ in range(50):
        turn = rotation_from_vector(random.normal(scale=0.05, size=3))
        center = aligned.mean(axis=0)
        moved = (aligned - center) @ turn.T * random.normal(1.0, 0.05) + center + random.normal(scale=0.05, size=3)
        assert ((moved - target) ** 2).sum() >= best


def test_a_similarity_does_not_mirror() -> None:
    source = np.random.default_rng(2).normal(size=(30, 3))
    target = source * [1.0, 1.0, -1.0]
    assert np.abs(align(source, target) - target).max() > 0.5


@pytest.mark.parametrize("degrees", [1e-6, 0.5, 30.0, 179.0, 180.0])
def test_the_angle_between_rotations_is_geodesic(degrees: float) -> None:
    a = rotation_from_vector([0.4, 0.2, -0.9])
    b = a @ rotation_from_vector(np.radians(degrees) * np.array([0.6, 0.0, 0.8]))
    assert np.degrees(rotation_angle(a[None], b[None]))[0] == pytest.approx(degrees, rel=1e-6)


def test_the_offset_between_two_frames_is_found_though_a_fifth_of_the_fits_failed() -> None:
    random = np.random.default_rng(3)
    predicted = np.array([rotation_from_vector(v) for v in random.normal(size=(50, 3))])
    offset = rotation_from_vector([0.05, -0.02, 0.01])
    truth = predicted @ offset @ np.array([rotation_from_vector(v) for v in random.normal(scale=1e-3, size=(50, 3))])
    truth[:10] = truth[:10] @ rotation_from_vector([0.0, 1.0, 0.0])
    found = metrics.rotation_offset(predicted, truth)
    assert np.degrees(rotation_angle(found, offset)) < 0.1


def test_an_offset_needs_a_face() -> None:
    with pytest.raises(Face3DMMError, match="offset"):
        metrics.rotation_offset(np.zeros((0, 3, 3)), np.zeros((0, 3, 3)))


def test_pose_errors_are_the_differences_of_the_angles() -> None:
    rotation = rotation_from_pose_angles(*np.radians([12.0, -31.0, 4.0]))
    errors = metrics.pose_angle_errors(rotation, np.radians([10.0, -30.0, 9.0]))
    np.testing.assert_allclose(errors, [2.0, 1.0, 5.0], atol=1e-9)


def test_a_head_turned_beyond_90_degrees_keeps_its_small_pitch_and_roll() -> None:
    rotation = rotation_from_pose_angles(*np.radians([3.0, 105.0, -2.0]))
    errors = metrics.pose_angle_errors(rotation, np.radians([0.0, 100.0, 0.0]))
    np.testing.assert_allclose(errors, [3.0, 5.0, 2.0], atol=1e-9)


def test_a_frontal_face_has_no_pose_error() -> None:
    np.testing.assert_allclose(metrics.pose_angle_errors(FRONTAL, [0.0, 0.0, 0.0]), 0.0, atol=1e-12)


ERRORS = np.array([0.0, 5.0, 10.0, np.inf])


def test_cumulative_error_counts_what_is_at_most_the_threshold() -> None:
    np.testing.assert_allclose(metrics.cumulative_error(ERRORS, [0.0, 4.9, 5.0, 10.0]), [0.25, 0.25, 0.5, 0.75])


def test_auc_by_hand() -> None:
    assert metrics.auc(ERRORS, 10.0) == pytest.approx((1.0 + 0.5 + 0.0 + 0.0) / 4)


def test_auc_is_the_area_under_the_curve() -> None:
    errors = np.append(np.random.default_rng(4).exponential(5.0, 300), [np.inf, np.nan])
    thresholds = np.linspace(0.0, 10.0, 20_001)
    area = metrics.cumulative_error(errors, thresholds).mean()
    assert metrics.auc(errors, 10.0) == pytest.approx(area, abs=1e-3)


def test_failures_are_errors_above_the_limit_misses_and_the_unknown() -> None:
    assert metrics.failure_rate([3.0, 10.0, 10.1, np.inf, np.nan], 10.0) == pytest.approx(3 / 5)


def test_without_faces_there_is_no_rate() -> None:
    assert np.isnan(metrics.auc([], 10.0))
    assert np.isnan(metrics.failure_rate([], 10.0))

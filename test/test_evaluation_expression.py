"""Distances that expressions change, and how one row of figures follows another, by numbers that are easy to check."""

import numpy as np
import pytest

from face3dmm_ros.evaluation.dataset.expression_metrics import EXPRESSION_DISTANCES, agreement, expression_distances


def face() -> np.ndarray:
    """(68, 2) px: right eye open by 4, left by 10 and 6, lips apart by 5, mouth 30 wide, brows 12 and 20 above eyes."""
    points = np.zeros((68, 2))
    for upper, lower, opening in ((37, 41, 4), (38, 40, 4), (43, 47, 10), (44, 46, 6), (62, 66, 5)):
        points[[upper, lower], 1] = -opening / 2, opening / 2
    points[54] = 30, 0
    points[17:22, 1], points[22:27, 1] = -12, -20
    return points


def test_distances_are_those_between_the_points_over_the_faces_size() -> None:
    distances = dict(zip(EXPRESSION_DISTANCES, expression_distances(face(), 100.0), strict=True))
    assert distances == pytest.approx({"eyes": 0.06, "wink": 0.04, "lips": 0.05, "mouth_width": 0.30, "brows": 0.16})


def test_a_winking_right_eye_is_negative() -> None:
    points = face()
    points[[43, 44, 46, 47]] = 0.0
    assert expression_distances(points, 100.0)[EXPRESSION_DISTANCES.index("wink")] == pytest.approx(-0.04)


def test_neither_the_outline_nor_the_place_of_the_face_counts() -> None:
    moved = face() + np.array([300.0, -20.0])
    moved[:17] = np.random.default_rng(0).normal(size=(17, 2))
    np.testing.assert_allclose(expression_distances(moved, 100.0), expression_distances(face(), 100.0))


def test_the_slope_is_that_of_ours_on_the_truth() -> None:
    follows = agreement(np.array([0.0, 2.0, 1.0, 3.0]), np.array([0.0, 1.0, 2.0, 3.0]))
    assert (follows.slope, follows.correlation) == pytest.approx((0.8, 0.8))
    half = agreement(0.5 * np.array([1.0, 5.0, 9.0]) + 7.0, np.array([1.0, 5.0, 9.0]))
    assert (half.slope, half.correlation) == pytest.approx((0.5, 1.0))


@pytest.mark.parametrize(
    ("ours", "truth"), [([], []), ([1, 2], [1, 2]), ([1, 2, 3], [0.1, 0.1, 0.1]), ([0.1, 0.1, 0.1], [0.1, 0.1, 0.1])]
)
def test_of_too_few_faces_or_of_a_truth_that_does_not_vary_nothing_can_be_told(ours: list, truth: list) -> None:
    unknown = agreement(np.array(ours, float), np.array(truth, float))
    assert np.isnan([unknown.slope, unknown.correlation]).all()


def test_a_fit_that_never_moves_has_no_slope_and_an_unknown_correlation() -> None:
    follows = agreement(np.full(3, 0.1), np.array([1.0, 2.0, 3.0]))
    assert follows.slope == pytest.approx(0.0)
    assert np.isnan(follows.correlation)

"""How far a fit may be believed."""

import numpy as np
import pytest

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.rotations import rotation_from_pose_angles
from face3dmm_ros.core.values import Box, Landmarks
from face3dmm_ros.fitting.confidence import fit_confidence


def landmarks(confidence: float = 0.999, *, told: bool = True) -> Landmarks:
    deviation = np.ones(68, np.float32) if told else None
    points = np.zeros((68, 2), np.float32)
    return Landmarks("ibug68", points, Box(0, 0, 9, 9), confidence, (640, 480), deviation=deviation)


def seen(yaw: float = 0.0, scale: float = 1.0) -> WeakPerspective:
    return WeakPerspective(scale, rotation_from_pose_angles(0.0, np.radians(yaw), 0.0), np.zeros(2))


@pytest.mark.parametrize("told", [True, False])
def test_a_surer_detector_and_a_nearer_front_are_believed_more(told: bool) -> None:
    usual = fit_confidence(landmarks(0.99, told=told), seen(30.0), "joint")
    assert fit_confidence(landmarks(0.999, told=told), seen(30.0), "joint") > usual
    assert fit_confidence(landmarks(0.99, told=told), seen(0.0), "joint") > usual


@pytest.mark.parametrize("method", ["alternating", "regressor"])
def test_methods_that_fit_less_closely_are_believed_less(method: str) -> None:
    assert fit_confidence(landmarks(), seen(), method) < fit_confidence(landmarks(), seen(), "joint")


def test_the_side_to_which_a_face_is_turned_and_its_size_do_not_matter() -> None:
    right = fit_confidence(landmarks(), seen(40.0), "joint")
    assert fit_confidence(landmarks(), seen(-40.0), "joint") == pytest.approx(right)
    assert fit_confidence(landmarks(), seen(40.0, scale=0.2), "joint") == pytest.approx(right)


@pytest.mark.parametrize("confidence", [0.0, 1.0])
def test_it_lies_between_0_and_1_however_sure_the_detector_is(confidence: float) -> None:
    assert 0.0 < fit_confidence(landmarks(confidence), seen(), "joint") < 1.0

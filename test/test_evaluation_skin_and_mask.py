"""Skin in its light, and masks over faces, on drawn pictures."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.rotations import rotation_from_pose_angles
from face3dmm_ros.evaluation.dataset.face_mask import with_mask
from face3dmm_ros.evaluation.dataset.skin_lightness import skin_lightness
from face3dmm_ros.morphable_model import MorphableModel


def points_at(model: MorphableModel, yaw: float) -> NDArray[np.float64]:
    """iBUG's points of the mean face in a picture of 300 × 300 px."""
    camera = WeakPerspective(1.2, rotation_from_pose_angles(0.0, np.radians(yaw), 0.0), np.array([150.0, 110.0]))
    return camera.project(model.scheme("ibug68").interpolate(model.mean))


@pytest.mark.parametrize("yaw", [0.0, 60.0, -60.0])
def test_the_skins_lightness_is_that_of_what_faces_the_camera(default_model: MorphableModel, yaw: float) -> None:
    points = points_at(default_model, yaw)
    picture = np.full((300, 300, 3), 255, np.uint8)
    cv2.fillConvexPoly(picture, cv2.convexHull(np.round(points).astype(np.int32)), (60, 60, 60))
    assert skin_lightness(picture, points) == pytest.approx(25.3, abs=0.3)  # L* of the sRGB grey 60


def test_a_face_outside_of_the_picture_has_none(default_model: MorphableModel) -> None:
    assert skin_lightness(np.zeros((300, 300, 3), np.uint8), points_at(default_model, 0.0) + 1000.0) is None


def test_a_mask_hides_mouth_and_nose_and_leaves_the_eyes(default_model: MorphableModel) -> None:
    points = points_at(default_model, 0.0)
    picture = np.random.default_rng(0).integers(90, 160, (300, 300, 3), dtype=np.uint8)
    masked = with_mask(picture, points, "a.jpg")
    changed = np.abs(masked.astype(int) - picture).sum(axis=2) > 30

    def share(part: slice) -> float:
        x, y = np.round(points[part]).astype(int).T
        return float(changed[y, x].mean())

    assert share(slice(48, 68)) > 0.9  # lips
    assert share(slice(30, 36)) > 0.8  # nose
    assert share(slice(36, 48)) == 0.0  # eyes
    assert share(slice(17, 27)) == 0.0  # brows
    np.testing.assert_array_equal(masked, with_mask(picture, points, "a.jpg"))
    others = [with_mask(picture, points, f"{k}.jpg") for k in range(8)]
    assert any(not np.array_equal(masked, other) for other in others), "masks have several colours"

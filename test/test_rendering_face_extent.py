from dataclasses import replace

import numpy as np
import pytest

from face3dmm_ros.core.landmark_schemes import IBUG68
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.rendering.face_extent import face_opacity


def test_the_face_shows_from_brows_to_chin(default_model: MorphableModel) -> None:
    opacity = face_opacity(default_model)
    points = default_model.scheme(IBUG68).interpolate(opacity[:, None])[:, 0]
    assert points[17:].min() > 0.7  # brows, nose, eyes and mouth; the brows' ends lie on the temples
    assert points[27:].min() == pytest.approx(1.0, abs=1e-3)
    assert points[8] > 0.8  # the chin
    for region in ("eyes", "mouth_interior", "teeth"):
        assert opacity[default_model.regions[region] > 0.5].min() == 1.0


def test_hair_ears_and_neck_do_not_show(default_model: MorphableModel) -> None:
    opacity = face_opacity(default_model)
    assert opacity.dtype == np.float32
    for region in ("scalp", "neck", "ears"):
        assert opacity[default_model.regions[region] > 0.95].max() == 0.0
    assert not opacity[default_model.mean[:, 2] < -75.0].any()


def test_the_face_fades_without_a_step(default_model: MorphableModel) -> None:
    opacity, triangles = face_opacity(default_model), default_model.triangles
    skin = (default_model.regions["skin"] > 0.5)[triangles].all(axis=1)
    of_triangles = opacity[triangles[skin]]
    length = np.linalg.norm(np.ptp(default_model.mean[triangles[skin]], axis=1), axis=1)
    assert (np.ptp(of_triangles, axis=1) / np.maximum(length, 5.0)).max() < 0.15  # a millimetre


def test_a_model_with_the_68_points_alone_fades_alike(default_model: MorphableModel) -> None:
    sparse = replace(default_model, landmarks={IBUG68: default_model.scheme(IBUG68)}, contours={})
    assert np.abs(face_opacity(sparse) - face_opacity(default_model)).mean() < 0.05


def test_a_model_without_landmarks_shows_whole(default_model: MorphableModel) -> None:
    bare = replace(default_model, landmarks={}, contours={})
    assert (face_opacity(bare) == 1.0).all()

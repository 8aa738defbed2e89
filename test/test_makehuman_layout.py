"""Where the default model lies in MakeHuman's skins."""

from dataclasses import replace

import numpy as np
import pytest

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.morphable_model.makehuman_layout import MakeHumanLayout


def test_all_but_the_eyeballs_lies_in_the_picture(default_model: MorphableModel) -> None:
    layout = MakeHumanLayout.of(default_model)
    somewhere = np.isfinite(layout.uv).all(axis=(1, 2))
    eyes = layout.base_vertex[default_model.triangles].min(axis=1) < 0
    np.testing.assert_array_equal(somewhere, ~eyes)
    assert layout.uv[somewhere].min() >= 0.0
    assert layout.uv[somewhere].max() <= 1.0


def test_neighbours_on_the_face_are_neighbours_in_the_picture(default_model: MorphableModel) -> None:
    layout = MakeHumanLayout.of(default_model)
    face = (default_model.regions["face"][default_model.triangles] > 0.5).all(axis=1)
    corners = layout.uv[face]
    assert np.linalg.norm(corners - corners.mean(axis=1, keepdims=True), axis=2).max() < 0.02
    at = dict(zip(default_model.triangles[face].ravel(), corners.reshape(-1, 2), strict=True))
    nose, chin = (at[default_model.landmarks["ibug68"].vertices[k, 0]] for k in (30, 8))
    # MakeHuman's skins show the face lying on its side.
    assert nose[0] < chin[0]
    assert abs(nose[1] - chin[1]) < 0.01


def test_another_models_triangles_are_refused(default_model: MorphableModel) -> None:
    with pytest.raises(Face3DMMError, match="other triangles"):
        MakeHumanLayout.of(replace(default_model, triangles=default_model.triangles[:-1]))

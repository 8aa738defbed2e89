"""A coarse surface of a model that still looks like the face, and moves like it."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from face3dmm_ros.morphable_model.decimation import decimate


@pytest.fixture(scope="module")
def coarse(default_model):
    return decimate(default_model, 1000)


def test_there_are_no_more_triangles_than_asked_for(coarse):
    kept, triangles = coarse
    assert 950 <= len(triangles) <= 1000
    assert triangles.min() == 0
    assert triangles.max() == len(kept) - 1


def test_its_corners_are_vertices_of_the_full_surface(coarse, default_model):
    kept, _ = coarse
    assert len(np.unique(kept)) == len(kept)
    assert kept.max() < default_model.vertex_count


def test_no_triangle_is_there_twice_or_has_a_corner_twice(coarse):
    _, triangles = coarse
    corners = np.sort(triangles, axis=1)
    assert (corners[:, :-1] != corners[:, 1:]).all()
    assert len(np.unique(corners, axis=0)) == len(corners)


def surface_points(vertices, triangles, count=20_000):
    """Points spread evenly over a surface."""
    rng = np.random.default_rng(0)
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    chosen = rng.choice(len(triangles), count, p=area / area.sum())
    u, v = np.sort(rng.uniform(size=(2, count)), axis=0)
    return a[chosen] * u[:, None] + b[chosen] * (v - u)[:, None] + c[chosen] * (1 - v)[:, None]


@pytest.mark.parametrize("expression", [None, "jawOpen", "mouthPucker", "eyeBlinkLeft"])
def test_it_stays_close_to_the_face_whatever_its_expression(coarse, default_model, expression):
    kept, triangles = coarse
    beta = np.zeros(default_model.expression_count)
    if expression:
        beta[default_model.expression_names.index(expression)] = 1.0
    full = default_model.vertices([], beta)
    distance, _ = cKDTree(surface_points(full, default_model.triangles)).query(surface_points(full[kept], triangles))
    assert np.median(distance) < 2.5
    assert np.quantile(distance, 0.99) < 8.0


def test_a_surface_that_is_coarse_enough_stays_as_it_is(default_model):
    kept, triangles = decimate(default_model, len(default_model.triangles))
    np.testing.assert_array_equal(kept[triangles], default_model.triangles)


def test_the_same_surface_comes_out_again(coarse, default_model):
    kept, triangles = decimate(default_model, 1000)
    np.testing.assert_array_equal(kept, coarse[0])
    np.testing.assert_array_equal(triangles, coarse[1])

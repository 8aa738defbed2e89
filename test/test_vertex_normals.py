"""Normals of a surface's vertices."""

import numpy as np
import pytest

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.normals import vertex_normals
from face3dmm_ros.morphable_model import MorphableModel

CORNER = np.float32([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 2], [5, 5, 5]])
"""Of a box, with a vertex that belongs to nothing."""
SIDES = np.int32([[0, 1, 2], [0, 2, 3]])
"""One that looks along +z, of area ½, and one along +x, of area 1."""


def test_a_vertexs_normal_is_that_of_its_triangle() -> None:
    np.testing.assert_array_equal(vertex_normals(CORNER, SIDES)[[1, 3]], [[0, 0, 1], [1, 0, 0]])


def test_larger_triangles_count_more_in_the_normals_of_shared_vertices() -> None:
    shared = vertex_normals(CORNER, SIDES)[[0, 2]]
    np.testing.assert_allclose(shared, np.tile(np.array([2.0, 0.0, 1.0]) / np.sqrt(5.0), (2, 1)), rtol=1e-6)


def test_a_vertex_without_triangles_has_no_normal() -> None:
    np.testing.assert_array_equal(vertex_normals(CORNER, SIDES)[4], np.zeros(3))


def test_triangles_of_other_vertices_are_refused() -> None:
    for triangles in ([[0, 1, 5]], [[0, 1, -1]]):
        with pytest.raises(Face3DMMError, match="and there are 5"):
            vertex_normals(CORNER, np.int32(triangles))


def test_small_triangles_have_normals_of_unit_length_too() -> None:
    np.testing.assert_allclose(vertex_normals(1e-12 * CORNER, SIDES)[1], [0, 0, 1], rtol=1e-6)


def test_another_models_vertices_have_no_normals(default_model: MorphableModel) -> None:
    with pytest.raises(Face3DMMError, match="has vertices"):
        default_model.normals(default_model.mean[:-1])

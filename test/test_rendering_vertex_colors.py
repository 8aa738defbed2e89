import numpy as np
import pytest
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import FRONTAL, rotation_from_vector
from face3dmm_ros.rendering.vertex_colors import (
    merge_vertex_colors,
    sample_vertex_colors,
    vertex_visibility,
    visible_vertices,
)

CAMERA = WeakPerspective(1.0, FRONTAL, np.array([50.0, 50.0]))


def sphere(count: int = 40, radius: float = 80.0) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:
    """Vertices (mm), normals and triangles of a sphere; its z is the direction out of the face."""
    u, v = np.meshgrid(np.linspace(0, 2 * np.pi, 2 * count, endpoint=False), np.linspace(0.01, np.pi - 0.01, count))
    normals = np.stack([np.sin(v) * np.sin(u), np.cos(v), np.sin(v) * np.cos(u)], axis=-1).reshape(-1, 3)
    upper_left = np.arange((count - 1) * 2 * count)
    upper_right = upper_left - upper_left % (2 * count) + (upper_left + 1) % (2 * count)
    lower_left, lower_right = upper_left + 2 * count, upper_right + 2 * count
    first = np.stack([upper_left, lower_left, upper_right], axis=1)
    second = np.stack([upper_right, lower_left, lower_right], axis=1)
    triangles = np.concatenate([first, second]).astype(np.int32)
    return (radius * normals).astype(np.float32), normals.astype(np.float32), triangles


class TestVisibility:
    @pytest.mark.parametrize("turn", [(0, 0, 0), (0.3, -0.9, 0.2)])
    @pytest.mark.parametrize("scale", [0.1, 5.0])
    def test_of_a_sphere_the_front_is_seen_and_the_back_is_not(self, turn: tuple, scale: float) -> None:
        vertices, normals, triangles = sphere()
        camera = WeakPerspective(scale, FRONTAL @ rotation_from_vector(turn), np.zeros(2))
        toward_viewer = -(normals @ camera.rotation[2])
        visible = visible_vertices(vertices, triangles, camera)
        assert visible[toward_viewer > 0.3].all()
        assert not visible[toward_viewer < -0.2].any()

    def test_a_part_behind_another_is_hidden_though_it_faces_the_viewer(self) -> None:
        near = np.float32([[-20, -20, 30], [20, -20, 30], [20, 20, 30], [-20, 20, 30]])
        far = np.float32([[-5, -5, 0], [50, -5, 0], [50, 5, 0], [-5, 5, 0]])
        square = np.array([[0, 1, 2], [0, 2, 3]])
        visible = visible_vertices(np.concatenate([near, far]), np.concatenate([square, square + 4]), CAMERA)
        assert visible.tolist() == [True] * 4 + [False, True, True, False]

    def test_the_tolerance_is_in_millimetres(self) -> None:
        near = np.float32([[-20, -20, 4], [20, -20, 4], [20, 20, 4], [-20, 20, 4]])
        vertices, square = np.concatenate([near, [[0, 0, 0]]]), np.array([[0, 1, 2], [0, 2, 3]])
        assert not visible_vertices(vertices, square, CAMERA, tolerance_mm=3.0)[4]
        assert visible_vertices(vertices, square, CAMERA, tolerance_mm=5.0)[4]

    def test_it_falls_to_zero_toward_the_outline(self) -> None:
        vertices, normals, triangles = sphere()
        visibility = vertex_visibility(vertices, normals, triangles, CAMERA)
        facing = normals[:, 2]
        assert (visibility[facing > 0.6] == 1.0).all()
        assert (visibility[facing < 0.1] == 0.0).all()
        between = visibility[(facing > 0.2) & (facing < 0.45)]
        assert 0.0 < between.min() <= between.max() < 1.0


class TestSampling:
    image = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)

    def sample(self, points: list, visibility: list, fallback: tuple = (1, 2, 3), **options: object) -> list:
        colors = np.tile(np.uint8(fallback), (len(points), 1))
        return sample_vertex_colors(self.image, points, visibility, colors, **options).tolist()  # type: ignore[arg-type]

    def test_at_a_pixels_centre_its_colour_is_taken_as_rgb(self) -> None:
        assert self.sample([[7, 20], [0, 0], [29, 39]], [True] * 3) == [
            self.image[y, x, ::-1].tolist() for x, y in ((7, 20), (0, 0), (29, 39))
        ]

    def test_between_pixels_it_is_bilinear(self) -> None:
        a, b, c, d = (self.image[y, x, ::-1].astype(float) for x, y in ((7, 20), (8, 20), (7, 21), (8, 21)))
        expected = 0.75 * (0.6 * a + 0.4 * b) + 0.25 * (0.6 * c + 0.4 * d)
        assert np.abs(self.sample([[7.4, 20.25]], [True]) - expected).max() <= 0.5 + 1e-9

    def test_what_is_not_visible_takes_the_fallback_and_what_is_half_visible_the_mean(self) -> None:
        pixel = self.image[20, 7, ::-1].astype(float)
        hidden, half = self.sample([[7, 20], [7, 20]], [0.0, 0.5])
        assert hidden == [1, 2, 3]
        assert np.abs(half - (pixel + np.array([1, 2, 3])) / 2).max() <= 0.5

    def test_points_outside_the_image_take_the_fallback(self) -> None:
        outside = [[-1, 5], [30, 5], [5, -1], [5, 40], [np.nan, 5], [1e30, 5]]
        assert self.sample(outside, [True] * len(outside)) == [[1, 2, 3]] * len(outside)

    def test_the_fallback_takes_on_the_tint_of_the_skin_that_is_seen(self) -> None:
        self_colored = np.full((10, 10, 3), (50, 100, 200), np.uint8)  # BGR
        fallback = np.full((2, 3), 100, np.uint8)
        colors = sample_vertex_colors(self_colored, [[5, 5], [5, 5]], [1.0, 0.0], fallback, skin=[1.0, 1.0])
        assert np.abs(colors[1].astype(int) - [200, 100, 50]).max() <= 1

    def test_arrays_that_do_not_fit_are_refused(self) -> None:
        for call, reason in (
            (lambda: self.sample([[1, 2, 3]], [True]), "image points"),
            (lambda: self.sample([[1, 2]], [True, False]), "visibility"),
            (lambda: sample_vertex_colors(self.image[..., 0], [[1, 2]], [1], np.zeros((1, 3), np.uint8)), "BGR"),
        ):
            with pytest.raises(Face3DMMError, match=reason):
                call()


def test_colors_of_several_pictures_are_taken_where_they_see_best() -> None:
    red, blue = np.full((3, 3), (200, 0, 0), np.uint8), np.full((3, 3), (0, 0, 100), np.uint8)
    merged = merge_vertex_colors([red, blue], [np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])])
    np.testing.assert_array_equal(merged, [[200, 0, 0], [0, 0, 100], [100, 0, 50]])

"""What `FaceCanvas` draws, drawn without OpenGL: the same calls, into a picture in memory."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.rendering import rasterization, shading
from face3dmm_ros.rendering.lighting import Lighting

_BAND_PIXELS = 200_000
"""Of a drawing, at least, for each thread; chosen by hand: fewer take no longer than to set the triangles up."""


class SoftwareCanvas:
    """A picture and one mesh topology."""

    def __init__(self, triangles: NDArray[np.integer], edges: NDArray[np.integer]) -> None:
        """Prepare for (M, 3) triangles and their (E, 2) edges."""
        self._triangles = np.ascontiguousarray(triangles, np.int32)
        self._edges = np.ascontiguousarray(edges, np.int32)
        self._pixels = np.zeros((0, 0, 4), np.uint8)

    def begin(self, width: int, height: int) -> None:
        """Begin a picture of a size, px, that shows nothing."""
        self._pixels = np.zeros((height, width, 4), np.uint8)

    def load(
        self,
        vertices: NDArray[np.floating],
        normals: NDArray[np.floating],
        rgb: NDArray[np.uint8],
        opacity: NDArray[np.float32],
    ) -> None:
        """Take the mesh that is drawn next: (N, 3) each, and how much of each vertex shows, (N,) in [0, 1].

        It will hide what was drawn before, also where it does not show itself.
        """
        self._vertices = np.ascontiguousarray(vertices, np.float32)
        self._normals = np.ascontiguousarray(normals, np.float32)
        self._rgb = np.ascontiguousarray(rgb)
        self._opacity = np.ascontiguousarray(opacity, np.float32)

    def read(self) -> NDArray[np.uint8]:
        """The picture, (height, width, 4) uint8 BGRA, its first row the lowest in clip space."""
        return self._pixels

    def draw_shaded(
        self,
        model_to_clip: NDArray[np.float64],
        normal_to_world: NDArray[np.float64],
        lighting: Lighting,
        *,
        per_pixel: bool,
    ) -> None:
        """Draw the loaded mesh, lit per pixel or per vertex; a large one in bands, each by a thread of its own."""
        vertices, (top, left), nearest = self._placed(self._in_pixels(model_to_clip))
        paint = shading.paint_lit if per_pixel else shading.paint_lit_at_vertices
        light = shading.Light.of(lighting, normal_to_world)

        def draw_band(first: int, depth: NDArray[np.float64]) -> None:
            moved = vertices - [0.0, first, 0.0]
            fragments = rasterization.draw(moved, self._triangles, depth)
            drawn = shading.Drawn(moved, self._triangles, fragments.triangle, fragments.weights, self._opacity)
            paint(drawn, self._rgb, self._normals, light, self._pixels, (top + first, left))

        count = max(1, min(len(os.sched_getaffinity(0)), nearest.size // _BAND_PIXELS))
        bands = np.array_split(nearest, count)
        firsts = np.cumsum([0, *(len(band) for band in bands[:-1])]).tolist()
        if count == 1:
            draw_band(0, nearest)
        else:
            with ThreadPoolExecutor(count) as threads:
                list(threads.map(draw_band, firsts, bands))

    def draw_wireframe(self, model_to_clip: NDArray[np.float64], color: tuple[float, float, float]) -> None:
        """Draw the loaded mesh's edges, sRGB from 0 to 1, without those that its own surface hides."""
        vertices, corner, nearest = self._placed(self._in_pixels(model_to_clip))
        rasterization.draw(vertices, self._triangles, nearest, offset=1.0)
        red, green, blue = color
        rgb = 255.0 * red, 255.0 * green, 255.0 * blue
        shading.paint_lines(vertices, self._edges, nearest, self._opacity, rgb, self._pixels, corner)

    def draw_toon(
        self,
        model_to_clip: NDArray[np.float64],
        normal_to_world: NDArray[np.float64],
        to_light: NDArray[np.float64],
        outline_width: NDArray[np.float64],
        outline_color: tuple[float, float, float],
    ) -> None:
        """Draw the loaded mesh like a cartoon.

        Args:
            model_to_clip: (4, 4).
            normal_to_world: (3, 3), to x right, y up, z toward the viewer.
            to_light: (3,) unit vector in the world.
            outline_width: (3,) along x, y and z in clip space.
            outline_color: sRGB from 0 to 1.
        """
        # As `toon.HULL_FUNCTION`.
        normals = self._normals @ normal_to_world.T
        unit = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
        outward = unit[:, :2] / np.maximum(np.linalg.norm(unit[:, :2], axis=1, keepdims=True), 0.25)
        push = np.column_stack([outward * [1.0, -1.0], np.ones(len(outward))]) * outline_width
        surface = self._in_pixels(model_to_clip)
        both, corner, nearest = self._placed(np.concatenate([surface, surface + push * self._pixels_per_clip]))
        surface, hull = np.split(both, 2)
        fragments = rasterization.draw(surface, self._triangles, nearest)
        to_model = normal_to_world.T
        drawn = shading.Drawn(surface, self._triangles, fragments.triangle, fragments.weights, self._opacity)
        towards = shading.as_vector(to_model @ to_light), shading.as_vector(to_model[:, 2])
        shading.paint_toon(drawn, self._rgb, self._normals, *towards, self._pixels, corner)
        behind = rasterization.draw(hull, self._triangles, nearest, backs_only=True)
        red, green, blue = outline_color
        drawn = shading.Drawn(hull, self._triangles, behind.triangle, behind.weights, self._opacity)
        shading.paint_flat(drawn, (255.0 * red, 255.0 * green, 255.0 * blue), self._pixels, corner)

    @property
    def _pixels_per_clip(self) -> NDArray[np.float64]:
        """(3,) pixels that one of clip space takes along x and y; depth stays as it is."""
        height, width = self._pixels.shape[:2]
        return np.array([width / 2.0, height / 2.0, 1.0])

    def _in_pixels(self, model_to_clip: NDArray[np.float64]) -> NDArray[np.float64]:
        """The loaded vertices' pixels and depth, (N, 3); the centre of the first row's first pixel is (0, 0)."""
        scale = self._pixels_per_clip
        projection = scale[:, None] * model_to_clip[:3]
        projection[:2, 3] += scale[:2] - 0.5
        return rasterization.project(self._vertices, projection)

    def _placed(self, points: NDArray[np.float64]) -> tuple[NDArray[np.float64], tuple[int, int], NDArray[np.float64]]:
        """Points (N, 3), moved to the part of the picture that they cover, its corner, and a depth buffer for it."""
        height, width = self._pixels.shape[:2]
        (low_x, high_x), (low_y, high_y), _ = rasterization.extent(points)
        left, right = np.clip([np.floor(low_x), np.ceil(high_x) + 1], 0, width).astype(int).tolist()
        top, bottom = np.clip([np.floor(low_y), np.ceil(high_y) + 1], 0, height).astype(int).tolist()
        points -= [left, top, 0.0]
        return points, (top, left), rasterization.far((right - left, bottom - top))

"""A depth buffer without OpenGL: the triangle that each pixel sees, and where on it.

A triangle's barycentric weights (Pineda, SIGGRAPH 1988), and with them its depth, are affine in the image, as weak
perspective makes them. So in each row of pixels they tell from where to where the triangle reaches. On triangles of a
pixel or two that takes a fraction of the time that a software OpenGL needs to set them up.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.compiled import compiled
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.morphable_model.model import SurfacePoints


@dataclass(frozen=True, eq=False)
class Fragments:
    """What of a surface each pixel of an image sees.

    Attributes:
        triangle: (H, W) int32, the nearest triangle under each pixel's centre, −1 where there is none.
        weights: (H, W, 3) float32, barycentric weights of that triangle's corners, 0 where there is none.
    """

    triangle: NDArray[np.int32]
    weights: NDArray[np.float32]

    @staticmethod
    def none(image_size: tuple[int, int]) -> "Fragments":
        """Those of an image of (width, height) px that sees nothing yet."""
        width, height = image_size
        return Fragments(np.full((height, width), -1, np.int32), np.zeros((height, width, 3), np.float32))

    def surface_points(self, triangles: NDArray[np.integer], pixels: NDArray[np.bool_]) -> SurfacePoints:
        """The surface points under some covered pixels, a (H, W) mask, in row-major order."""
        corners = triangles[self.triangle[pixels]].astype(np.int32)
        return SurfacePoints(corners, self.weights[pixels])


def rasterize(
    points: NDArray[np.floating],
    depth: NDArray[np.floating],
    triangles: NDArray[np.integer],
    image_size: tuple[int, int],
) -> Fragments:
    """Find the nearest triangle under each pixel's centre; triangles are visible from both sides.

    Args:
        points: (N, 2) projected vertices, px.
        depth: (N,) depth of the vertices, smaller is nearer.
        triangles: (M, 3) vertex indices.
        image_size: (width, height), px; triangles may lie outside.

    Raises:
        Face3DMMError: a triangle refers to a vertex that there is not.
    """
    if triangles.size and not 0 <= triangles.min() <= triangles.max() < len(points):
        raise Face3DMMError(
            f"triangles refer to vertices {triangles.min()} to {triangles.max()}, and there are {len(points)}"
        )
    vertices = np.column_stack([points, depth]).astype(np.float64)
    return draw(vertices, np.ascontiguousarray(triangles, np.int32), far(image_size))


def far(image_size: tuple[int, int]) -> NDArray[np.float64]:
    """An empty depth buffer, (H, W), of an image of (width, height) px."""
    return np.full(image_size[::-1], np.inf)


def draw(
    vertices: NDArray[np.float64],
    triangles: NDArray[np.int32],
    nearest: NDArray[np.float64],
    *,
    backs_only: bool = False,
    offset: float = 0.0,
) -> Fragments:
    """Draw triangles into a depth buffer; the pixels where they are nearest.

    Args:
        vertices: (N, 3) projected vertices: x and y, px, and depth, smaller is nearer.
        triangles: (M, 3) vertex indices below N, which is not checked, counter-clockwise seen from outside.
        nearest: (H, W), changed in place; what lies behind it is not seen.
        backs_only: leave out triangles that are seen from outside.
        offset: lay them back by so many times the depth that they cover within a pixel.
    """
    height, width = nearest.shape
    fragments = Fragments.none((width, height))
    _fill(vertices, triangles, backs_only, offset, nearest, fragments.triangle, fragments.weights)
    return fragments


@compiled
def project(vertices: NDArray[np.float32], projection: NDArray[np.float64]) -> NDArray[np.float64]:
    """Apply an affine map, (3, 4), to vertices (N, 3): (N, 3)."""
    projected = np.empty((len(vertices), 3))
    for i in range(len(vertices)):
        x, y, z = vertices[i, 0], vertices[i, 1], vertices[i, 2]
        for k in range(3):
            row = projection[k]
            projected[i, k] = row[0] * x + row[1] * y + row[2] * z + row[3]
    return projected


@compiled
def extent(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lowest and highest value of each coordinate of points (N ≥ 1, 3), (3, 2); not finite where one of them is not."""
    box = np.empty((3, 2))
    box[:, 0], box[:, 1] = points[0], points[0]
    # What is not a number would be lost in comparisons.
    spoilt = 0.0
    for i in range(len(points)):
        for k in range(3):
            value = points[i, k]
            box[k, 0] = min(box[k, 0], value)
            box[k, 1] = max(box[k, 1], value)
            spoilt += value - value
    return box + spoilt


_ON_EDGE = 1e-9
"""Px by which a triangle reaches beyond its edges, so that rounding leaves no gap between it and the next."""


@compiled
def _span(slope_x: float, slope_y: float, least: float) -> tuple[float, float, float, float]:
    """Where slope_x·x + slope_y·y ≥ least in a row y: from the first + second·y up to the third + fourth·y."""
    if slope_x > 0.0:
        return least / slope_x - _ON_EDGE, -slope_y / slope_x, np.inf, 0.0
    if slope_x < 0.0:
        return -np.inf, 0.0, least / slope_x + _ON_EDGE, -slope_y / slope_x
    # A level edge, beyond which there are no rows of the triangle.
    return -np.inf, 0.0, np.inf, 0.0


@compiled
def _fill(
    vertices: NDArray[np.float64],
    triangles: NDArray[np.int32],
    backs_only: bool,
    offset: float,
    nearest: NDArray[np.float64],
    triangle: NDArray[np.int32],
    weights: NDArray[np.float32],
) -> None:
    height, width = nearest.shape
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay, az = vertices[a, 0], vertices[a, 1], vertices[a, 2]
        bx, by, cx, cy = vertices[b, 0], vertices[b, 1], vertices[c, 0], vertices[c, 1]
        # Compared as floats, so that what lies far outside or is not a number is left out.
        left, right = max(np.ceil(min(ax, bx, cx)), 0.0), min(np.floor(max(ax, bx, cx)), width - 1.0)
        top, bottom = max(np.ceil(min(ay, by, cy)), 0.0), min(np.floor(max(ay, by, cy)), height - 1.0)
        if not (left <= right and top <= bottom):
            continue
        ux, uy, vx, vy = bx - ax, by - ay, cx - ax, cy - ay
        doubled_area = ux * vy - uy * vx  # negative if counter-clockwise, since y points down
        if not abs(doubled_area) > 1e-12 or (backs_only and doubled_area < 0.0):
            continue
        # Of the second and the third corner's weight and of the depth, the slopes along x and y.
        second_x, second_y = vy / doubled_area, -vx / doubled_area
        third_x, third_y = -uy / doubled_area, ux / doubled_area
        depth_x = (vertices[b, 2] - az) * second_x + (vertices[c, 2] - az) * third_x
        depth_y = (vertices[b, 2] - az) * second_y + (vertices[c, 2] - az) * third_y
        at_first = az + offset * max(abs(depth_x), abs(depth_y))
        # Where no corner's weight is negative.
        low_a, low_ay, high_a, high_ay = _span(-second_x - third_x, -second_y - third_y, -1.0)
        low_b, low_by, high_b, high_by = _span(second_x, second_y, 0.0)
        low_c, low_cy, high_c, high_cy = _span(third_x, third_y, 0.0)
        for y in range(int(top), int(bottom) + 1):
            dy = y - ay
            low = max(left, ax + max(low_a + low_ay * dy, low_b + low_by * dy, low_c + low_cy * dy))
            high = min(right, ax + min(high_a + high_ay * dy, high_b + high_by * dy, high_c + high_cy * dy))
            # Edges that are nearly level meet the row far outside, where no integer is large enough.
            if not low <= high:
                continue
            for x in range(int(np.ceil(low)), int(np.floor(high)) + 1):
                dx = x - ax
                depth = at_first + dx * depth_x + dy * depth_y
                if depth < nearest[y, x]:
                    second, third = dx * second_x + dy * second_y, dx * third_x + dy * third_y
                    nearest[y, x] = depth
                    triangle[y, x] = t
                    weights[y, x, 0] = 1.0 - second - third
                    weights[y, x, 1] = second
                    weights[y, x, 2] = third

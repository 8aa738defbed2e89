"""A depth buffer in numpy, without OpenGL: the triangle that each pixel sees, and where on it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.morphable_model.model import SurfacePoints

_BATCH = 2_000_000  # pixels tested together, chosen by hand: more take more memory, fewer more time


@dataclass(frozen=True, eq=False)
class Fragments:
    """What of a surface each pixel of an image sees.

    Attributes:
        triangle: (H, W) int32, the nearest triangle under each pixel's centre, −1 where there is none.
        weights: (H, W, 3) float32, barycentric weights of that triangle's corners.
    """

    triangle: NDArray[np.int32]
    weights: NDArray[np.float32]

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

    Every triangle is tried at the pixels of its bounding box, all triangles at once. The barycentric weights, and with
    them the depth, are affine in the image, as weak perspective makes them.

    Args:
        points: (N, 2) projected vertices, px.
        depth: (N,) depth of the vertices, smaller is nearer.
        triangles: (M, 3) vertex indices.
        image_size: (width, height), px; triangles may lie outside.
    """
    width, height = image_size
    corners = points[triangles].astype(np.float64)
    low = np.maximum(np.ceil(corners.min(axis=1)), 0.0)
    high = np.minimum(np.floor(corners.max(axis=1)), [width - 1.0, height - 1.0])
    u, v = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    doubled_area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    drawn = np.flatnonzero((high >= low).all(axis=1) & (np.abs(doubled_area) > 1e-12))
    low, spans = low[drawn], (high - low)[drawn].astype(np.intp) + 1
    counts = spans.prod(axis=1)
    # The weights of the second and third corner and the depth, each as value at `low`, slope along x, slope along y.
    slopes = np.stack([v[:, 1], -v[:, 0], -u[:, 1], u[:, 0]], axis=1)[drawn] / doubled_area[drawn, None]
    start = low - corners[drawn, 0]
    z = depth[triangles[drawn]].astype(np.float64)
    planes = np.empty((3, 3, len(drawn)))
    for k in (0, 1):
        planes[k, 1:] = slopes[:, 2 * k : 2 * k + 2].T
        planes[k, 0] = (slopes[:, 2 * k : 2 * k + 2] * start).sum(axis=1)
    planes[2] = (z[:, 1] - z[:, 0]) * planes[0] + (z[:, 2] - z[:, 0]) * planes[1]
    planes[2, 0] += z[:, 0]

    nearest = np.full(height * width, np.inf)
    triangle = np.full(height * width, -1, np.int32)
    weights = np.zeros((height * width, 3), np.float32)
    batches = np.searchsorted(np.cumsum(counts), np.arange(_BATCH, counts.sum(), _BATCH))
    for part in np.split(np.arange(len(drawn)), batches):
        which = np.repeat(part, counts[part])
        offset = np.arange(len(which)) - np.repeat(np.cumsum(counts[part]) - counts[part], counts[part])
        y, x = np.divmod(offset, spans[which, 0])
        second, third = (planes[k, 0, which] + planes[k, 1, which] * x + planes[k, 2, which] * y for k in (0, 1))
        inside = np.flatnonzero((second >= 0.0) & (third >= 0.0) & (second + third <= 1.0))
        which, x, y, second, third = which[inside], x[inside], y[inside], second[inside], third[inside]
        z = planes[2, 0, which] + planes[2, 1, which] * x + planes[2, 2, which] * y
        pixel = ((y + low[which, 1]) * width + x + low[which, 0]).astype(np.intp)
        np.minimum.at(nearest, pixel, z)
        won = np.flatnonzero(z == nearest[pixel])
        seen, second, third = pixel[won], second[won], third[won]
        triangle[seen] = drawn[which[won]]
        weights[seen] = np.stack([1.0 - second - third, second, third], axis=1)
    return Fragments(triangle.reshape(height, width), weights.reshape(height, width, 3))

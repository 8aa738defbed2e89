"""Colours of a face's vertices, read from the image where the camera sees them, and which vertices it sees."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import map_coordinates

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.rendering.layer import check_image

_CELLS = 256
"""Of the depth map along the face's longer side, chosen by hand: about 1 mm each on a head. More take more time."""

_FADE_COSINES = (0.15, 0.5)
"""Cosines between viewing ray and normal up to which a surface is seen too obliquely to read its colour, and from which
it is seen well. Chosen by hand.
"""


def sample_vertex_colors(
    image: NDArray[np.uint8],
    image_points: ArrayLike,
    visibility: ArrayLike,
    fallback: NDArray[np.uint8],
    *,
    skin: ArrayLike | None = None,
) -> NDArray[np.uint8]:
    """Read vertex colours from an image, (N, 3) uint8 RGB, bilinear between its pixels.

    Args:
        image: (H, W, 3) uint8 BGR.
        image_points: (N, 2) projected vertices, px.
        visibility: (N,) from 0 or False (take the fallback) to 1 or True (take the image); points outside the image
            take the fallback in any case.
        fallback: (N, 3) uint8 RGB.
        skin: (N,) weights of the vertices, such as a model's region ``face``. The fallback is scaled so that its
            weighted mean colour is that of the image, so that the two meet without a seam; None leaves it as it is.

    Raises:
        Face3DMMError: the image has another form, or the arrays do not fit together.
    """
    check_image(image)
    points = np.asarray(image_points, dtype=np.float64)
    weight = np.asarray(visibility, dtype=np.float64)
    N = len(points)
    if points.shape != (N, 2) or weight.shape != (N,) or fallback.shape != (N, 3):
        raise Face3DMMError(
            "expected (N, 2) image points, (N,) visibility and (N, 3) fallback colours, "
            f"found {points.shape}, {weight.shape} and {fallback.shape}"
        )
    height, width = image.shape[:2]
    last = np.array([width - 1, height - 1])
    inside = np.asarray(((points >= -0.5) & (points <= last + 0.5)).all(axis=1))  # False where a point is NaN
    x, y = np.clip(np.where(inside[:, None], points, 0.0), 0.0, last).T
    red, green, blue = (map_coordinates(image[..., c], (y, x), output=np.float64, order=1) for c in (2, 1, 0))
    sampled = np.stack([red, green, blue], axis=1)
    share = weight * inside
    tinted = fallback.astype(np.float64)
    if skin is not None and (seen := np.asarray(skin) * share).sum() > 0.0:
        tinted *= (seen @ sampled + 1.0) / (seen @ tinted + 1.0)
    mixed = share[:, None] * sampled + (1.0 - share[:, None]) * tinted
    return np.round(np.clip(mixed, 0.0, 255.0)).astype(np.uint8)


def merge_vertex_colors(
    colors: Sequence[NDArray[np.uint8]], visibilities: Sequence[NDArray[np.floating]]
) -> NDArray[np.uint8]:
    """Merge vertex colours from several pictures of one face, (N, 3) uint8 RGB, weighted by squared visibility.

    Args:
        colors: (N, 3) uint8 RGB from each picture, as `sample_vertex_colors` gives them.
        visibilities: (N,) of the vertices in each picture, in [0, 1]; where all are 0, the weights are equal.
    """
    # Squared, a frontal view outweighs oblique ones, still without a seam where one takes over from another.
    weights = np.stack(visibilities).astype(np.float64) ** 2 + 1e-6
    weights /= weights.sum(axis=0)
    return np.round(np.einsum("vn,vnc->nc", weights, np.stack(colors))).astype(np.uint8)


def vertex_visibility(
    vertices: NDArray[np.floating],
    normals: NDArray[np.floating],
    triangles: NDArray[np.integer],
    camera: WeakPerspective,
) -> NDArray[np.float32]:
    """How well the camera sees each vertex, (N,) float32 from 0 (hidden or seen edge-on) to 1.

    Args:
        vertices: (N, 3) model space, mm.
        normals: (N, 3) model space, unit length.
        triangles: (M, 3) vertex indices.
        camera: projects the face into the image.
    """
    cosine = -(normals @ camera.rotation[2])
    low, high = _FADE_COSINES
    facing = np.clip((cosine - low) / (high - low), 0.0, 1.0)
    return (facing * visible_vertices(vertices, triangles, camera)).astype(np.float32)


def visible_vertices(
    vertices: NDArray[np.floating],
    triangles: NDArray[np.integer],
    camera: WeakPerspective,
    *,
    tolerance_mm: float = 5.0,
) -> NDArray[np.bool_]:
    """Which vertices the camera sees, (N,) bool: those not farther behind the nearest surface than a tolerance.

    The surface is sampled into a small depth map, without OpenGL. Its cells scale with the face, so that the result
    does not depend on the face's size in the image.

    Args:
        vertices: (N, 3) model space, mm.
        triangles: (M, 3) vertex indices.
        camera: projects the face into the image.
        tolerance_mm: depth by which a vertex may lie behind the nearest point in its cell, which on a slope is nearer
            than the vertex itself. The default was chosen by hand: less hides slopes, more shows what is behind.
    """
    posed = np.asarray(vertices, dtype=np.float64) @ camera.rotation.T
    low, high = posed[:, :2].min(axis=0), posed[:, :2].max(axis=0)
    cell = max(float((high - low).max()) / _CELLS, 1e-9)
    position, depth = (posed[:, :2] - low) / cell, posed[:, 2]

    depth_map = np.full((_CELLS + 1) ** 2, np.inf)
    longest_side = np.abs(position[triangles] - position[triangles[:, [1, 2, 0]]]).max(axis=(1, 2))
    steps_of_triangle = np.ceil(longest_side).astype(np.intp) + 1
    for steps in np.unique(steps_of_triangle):
        chosen = triangles[steps_of_triangle == steps]
        weights = _barycentric_grid(int(steps))
        sample_positions = np.einsum("sk,mkc->msc", weights, position[chosen]).reshape(-1, 2)
        np.minimum.at(depth_map, _cell_index(sample_positions), (depth[chosen] @ weights.T).ravel())
    return depth <= depth_map[_cell_index(position)] + tolerance_mm


def _barycentric_grid(steps: int) -> NDArray[np.float64]:
    """Weights of points spread evenly over a triangle, its corners included, (S, 3)."""
    i, j = np.meshgrid(np.arange(steps + 1), np.arange(steps + 1), indexing="ij")
    inside = i + j <= steps
    return np.stack([i[inside], j[inside], steps - (i + j)[inside]], axis=1) / steps


def _cell_index(positions: NDArray[np.float64]) -> NDArray[np.intp]:
    """Where (S, 2) positions, in cells, lie in the flattened depth map."""
    cells = np.clip(positions, 0, _CELLS).astype(np.intp)
    return cells[:, 1] * (_CELLS + 1) + cells[:, 0]

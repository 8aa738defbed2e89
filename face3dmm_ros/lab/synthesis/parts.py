"""Meshes of the things around a face, built from grids of points."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from face3dmm_ros.lab.synthesis.vertex_arrays import VertexArrays
from face3dmm_ros.rendering.grids import grid_normals, grid_triangles


@dataclass(frozen=True, eq=False)
class Part:
    """A mesh of one material; model space, mm.

    Attributes:
        material: one of `scene_shaders.MATERIALS`.
        arrays: its vertices.
        triangles: (m, 3) int32.
    """

    material: str
    arrays: VertexArrays
    triangles: NDArray[np.int32]


def grid_part(
    material: str,
    points: NDArray[np.floating],
    color: ArrayLike,
    *,
    place: NDArray[np.floating] | None = None,
    traits: ArrayLike = (1, 0, 0, 0),
    masks: ArrayLike = (0, 0, 1, 0),
    normals: NDArray[np.floating] | None = None,
) -> Part:
    """A surface from (R, C, 3) points whose rows and columns run so that ∂column × ∂row points outward.

    Args:
        material: as in `Part`.
        points: mm.
        color: sRGB in [0, 1], anything that broadcasts to (R, C, 3).
        place: (R, C, 3) texture coordinates and layer; column and row number if None.
        traits, masks: in [0, 1], anything that broadcasts to (R, C, 4).
        normals: (R, C, 3); from the points if None.
    """
    rows, columns = points.shape[:2]
    n = rows * columns
    if place is None:
        column, row = np.meshgrid(np.arange(columns), np.arange(rows))
        place = np.stack([column, row, np.zeros_like(row)], axis=-1)
    if normals is None:
        normals = grid_normals(points)
    arrays = VertexArrays(
        np.asarray(points, np.float32).reshape(n, 3),
        np.asarray(normals, np.float32).reshape(n, 3),
        np.asarray(place, np.float32).reshape(n, 3),
        _bytes(color, (rows, columns, 3)),
        _bytes(traits, (rows, columns, 4)),
        _bytes(masks, (rows, columns, 4)),
    )
    return Part(material, arrays, grid_triangles(rows, columns))


def _bytes(values: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    clipped = np.clip(np.asarray(values, np.float32), 0.0, 1.0)
    return np.broadcast_to(np.round(255 * clipped).astype(np.uint8), shape).reshape(-1, shape[-1])


def join(parts: Sequence[Part]) -> tuple[VertexArrays, dict[str, NDArray[np.int32]]]:
    """Parts in one set of arrays, and their triangles by material, glass last."""
    parts = sorted(parts, key=lambda part: part.material == "glass")
    blocks: dict[str, list[NDArray[np.int32]]] = {}
    start = 0
    for part in parts:
        blocks.setdefault(part.material, []).append(part.triangles + start)
        start += len(part.arrays.position)
    if not parts:
        empty = np.zeros((0, 3), np.float32)
        return VertexArrays(empty, empty, empty, *(np.zeros((0, k), np.uint8) for k in (3, 4, 4))), {}
    arrays = VertexArrays(*(np.concatenate(column) for column in zip(*(p.arrays.arrays() for p in parts), strict=True)))
    return arrays, {material: np.concatenate(triangles) for material, triangles in blocks.items()}

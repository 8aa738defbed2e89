"""Meshes of the things around a face, built from grids of points."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from face3dmm_ros.rendering.vertex_arrays import VertexArrays


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


def grid_normals(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """Unit normals of (R, C, 3) points; columns whose first and last coincide are joined smoothly."""
    if np.allclose(points[:, 0], points[:, -1]):
        around = np.concatenate([points[:, -2:-1], points, points[:, 1:2]], axis=1)
        du = around[:, 2:] - around[:, :-2]
    else:
        du = np.gradient(points, axis=1)
    dv = np.gradient(points, axis=0)
    normals = np.empty_like(du)
    normals[..., 0] = du[..., 1] * dv[..., 2] - du[..., 2] * dv[..., 1]
    normals[..., 1] = du[..., 2] * dv[..., 0] - du[..., 0] * dv[..., 2]
    normals[..., 2] = du[..., 0] * dv[..., 1] - du[..., 1] * dv[..., 0]
    return np.asarray(normals / np.maximum(np.sqrt((normals**2).sum(-1, keepdims=True)), 1e-9))


@cache
def grid_triangles(rows: int, columns: int) -> NDArray[np.int32]:
    """(2 (R − 1) (C − 1), 3) triangles of a grid, counter-clockwise seen from where ∂column × ∂row points to."""
    first = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    right, below, both = first + 1, first + columns, first + columns + 1
    return np.concatenate([np.stack([first, right, both], 1), np.stack([first, both, below], 1)]).astype(np.int32)


def _bytes(values: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    clipped = np.clip(np.asarray(values, np.float32), 0.0, 1.0)
    return np.broadcast_to(np.round(255 * clipped).astype(np.uint8), shape).reshape(-1, shape[-1])


def tube(path: NDArray[np.floating], radius: float, *, closed: bool = False, sides: int = 6) -> NDArray[np.floating]:
    """(n, sides + 1, 3) points around a path (n, 3) that does not run along z throughout, mm."""
    ahead = np.roll(path, -1, 0) - np.roll(path, 1, 0) if closed else np.gradient(path, axis=0)
    ahead = ahead / np.maximum(np.linalg.norm(ahead, axis=1, keepdims=True), 1e-9)
    side = np.cross(ahead, [0.1, 0.3, 0.95])
    side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-9)
    other = np.cross(ahead, side)
    angle = np.linspace(0.0, 2 * np.pi, sides + 1)[None, :, None]
    points = path[:, None] + radius * (np.cos(angle) * side[:, None] + np.sin(angle) * other[:, None])
    return np.concatenate([points, points[:1]]) if closed else points


def ellipsoid(center: ArrayLike, radii: ArrayLike, rows: int = 9, columns: int = 13) -> NDArray[np.floating]:
    """(rows, columns, 3) points of an upright ellipsoid, mm."""
    down, around = np.meshgrid(np.linspace(0.01, np.pi - 0.01, rows), np.linspace(2 * np.pi, 0, columns), indexing="ij")
    sphere = np.stack([np.sin(down) * np.sin(around), np.cos(down), np.sin(down) * np.cos(around)], axis=-1)
    return np.asarray(np.asarray(center) + np.asarray(radii) * sphere)


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

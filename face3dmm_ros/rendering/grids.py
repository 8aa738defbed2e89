"""Surfaces built from grids of points: rows and columns that run so that ∂column × ∂row points outward."""

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray


def grid_normals(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """Unit normals of (R, C, 3) points, (R, C, 3); if the first and last column coincide, smooth across the seam."""
    if np.allclose(points[:, 0], points[:, -1]):
        around = np.concatenate([points[:, -2:-1], points, points[:, 1:2]], axis=1)
        du = around[:, 2:] - around[:, :-2]
    else:
        du = np.gradient(points, axis=1)
    dv = np.gradient(points, axis=0)
    normals = cross(du, dv)
    return np.asarray(normals / np.maximum(np.sqrt((normals**2).sum(-1, keepdims=True)), 1e-9))


def unit(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    """Vectors (…, 3) brought to unit length; those without one stay short."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9))


def cross(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.floating]:
    """a × b over the last axis, (…, 3) each: np.cross takes several times as long on small arrays."""
    product = np.empty_like(a)
    for k, (i, j) in enumerate(((1, 2), (2, 0), (0, 1))):
        product[..., k] = a[..., i] * b[..., j] - a[..., j] * b[..., i]
    return product


@cache
def grid_triangles(rows: int, columns: int) -> NDArray[np.int32]:
    """(2 (R − 1) (C − 1), 3) vertex indices of a grid, counter-clockwise seen from where ∂column × ∂row points to."""
    first = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    right, below, both = first + 1, first + columns, first + columns + 1
    return np.concatenate([np.stack([first, right, both], 1), np.stack([first, both, below], 1)]).astype(np.int32)


def tube(path: NDArray[np.floating], radius: float, *, closed: bool = False, sides: int = 6) -> NDArray[np.floating]:
    """A tube: (n, sides + 1, 3) points, and one row more if closed, around a path.

    Args:
        path: (n, 3), mm; nowhere parallel to (0.1, 0.3, 0.95).
        radius: mm.
        closed: whether the path's end is joined to its beginning.
        sides: of the tube's cross section.
    """
    ahead = np.roll(path, -1, 0) - np.roll(path, 1, 0) if closed else np.gradient(path, axis=0)
    ahead = ahead / np.maximum(np.linalg.norm(ahead, axis=1, keepdims=True), 1e-9)
    side = np.cross(ahead, [0.1, 0.3, 0.95])
    side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-9)
    other = np.cross(ahead, side)
    angle = np.linspace(0.0, 2 * np.pi, sides + 1)[None, :, None]
    points = path[:, None] + radius * (np.cos(angle) * side[:, None] + np.sin(angle) * other[:, None])
    return np.concatenate([points, points[:1]]) if closed else points


def ellipsoid(center: ArrayLike, radii: ArrayLike, rows: int = 9, columns: int = 13) -> NDArray[np.floating]:
    """(rows, columns, 3) points of an ellipsoid with semi-axes `radii`, (3,), along x, y and z; all in mm."""
    down, around = np.meshgrid(np.linspace(0.01, np.pi - 0.01, rows), np.linspace(2 * np.pi, 0, columns), indexing="ij")
    sphere = np.stack([np.sin(down) * np.sin(around), np.cos(down), np.sin(down) * np.cos(around)], axis=-1)
    return np.asarray(np.asarray(center) + np.asarray(radii) * sphere)

"""Strokes: thick bands along a path, of which a character's brows, lashes and locks are made."""

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.rendering.grids import grid_triangles, unit

_SIDES = 8  # of a cross section; chosen by hand


def stroke(
    path: NDArray[np.floating],
    normals: NDArray[np.floating],
    widths: NDArray[np.floating],
    depths: NDArray[np.floating],
) -> NDArray[np.float64]:
    """Points (n, 8, 3) on ellipses around a path, mm.

    Args:
        path: (n, 3), mm.
        normals: (n, 3), of any length, not parallel to the path.
        widths: (n,) semi-axes across path and normals, mm.
        depths: (n,) semi-axes along the normals, mm.
    """
    along = unit(np.gradient(path, axis=0))
    across = unit(np.cross(normals, along))
    outward = np.cross(along, across)
    angle = np.linspace(0.0, 2 * np.pi, _SIDES, endpoint=False)[None, :, None]
    section = np.cos(angle) * (widths[:, None] * across)[:, None] + np.sin(angle) * (depths[:, None] * outward)[:, None]
    return np.asarray(path[:, None] + section)


def stroke_triangles(rows: int) -> NDArray[np.int32]:
    """(16 (n − 1), 3) triangles of a stroke of n rows, counter-clockwise seen from outside."""
    row, column = np.divmod(grid_triangles(rows, _SIDES + 1), _SIDES + 1)
    return np.asarray(row * _SIDES + column % _SIDES, np.int32)

"""Which triangles of a mesh belong to closed surfaces, whose back faces need not be drawn."""

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.rendering.connected_parts import connected_parts

_WELD = 1e-5  # of the mesh's size: closer vertices count as one that a texture's seam has split; chosen by hand


def on_closed_surfaces(positions: NDArray[np.floating], triangles: NDArray[np.integer]) -> NDArray[np.bool_]:
    """(M,) whether each triangle lies on a connected, closed surface that faces outward.

    A surface is closed if each edge of a triangle is an edge of another in the opposite direction; it faces outward if
    the volume that it encloses, the sum of a·(b×c)/6, is positive.

    Args:
        positions: (N, 3).
        triangles: (M, 3) vertex indices, counter-clockwise seen from outside.
    """
    if not len(triangles):
        return np.zeros(0, bool)
    corners = positions[triangles.ravel()].astype(np.float64)
    size = max(float(np.ptp(corners, axis=0).max()), 1e-20)
    grid = np.round((corners - corners.min(axis=0)) / (_WELD * size)).astype(np.int64)
    _, welded = np.unique(grid, axis=0, return_inverse=True)
    welded = welded.reshape(-1, 3)
    n = int(welded.max()) + 1
    edges = welded[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    edges = edges[edges[:, 0] != edges[:, 1]]
    border = ~np.isin(edges[:, 0] * n + edges[:, 1], edges[:, 1] * n + edges[:, 0])
    count, surface_of = connected_parts(welded, n)
    a, b, c = corners.reshape(-1, 3, 3).transpose(1, 0, 2) - corners.mean(axis=0)
    surface = surface_of[welded[:, 0]]
    closed = np.bincount(surface, np.einsum("mi,mi->m", a, np.cross(b, c)), count) > 0.0
    closed[surface_of[edges[border, 0]]] = False
    return closed[surface]

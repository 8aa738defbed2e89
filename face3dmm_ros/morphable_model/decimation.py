"""A coarser surface of the same face, for viewers that cannot take the whole mesh."""

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.errors import Face3DMMError


def decimate(
    vertices: NDArray[np.floating], triangles: NDArray[np.integer], max_triangles: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The finest clustering of a mesh that has at most `max_triangles` triangles (Rossignac & Borrel, 1993).

    Vertices that share a cell of a cubic grid become one; the cell's size is found by bisection.

    Args:
        vertices: (N, 3).
        triangles: (M, 3) vertex indices.
        max_triangles: at least 1.

    Returns:
        (K,) indices of the vertices that stay, and (T, 3) triangles that index into those. With these the coarse
        surface of any other face of the same topology is `other[kept][triangles]`.

    Raises:
        Face3DMMError: `max_triangles` is below 1.
    """
    if max_triangles < 1:
        raise Face3DMMError(f"a mesh needs at least one triangle, not {max_triangles}")
    if len(triangles) <= max_triangles:
        return np.arange(len(vertices)), triangles.astype(np.int64)
    fine, coarse = 0.0, float(np.ptp(vertices, axis=0).max()) or 1.0
    best = _cluster(vertices, triangles, 2.0 * coarse)
    for _ in range(20):
        cell = (fine + coarse) / 2.0
        clustered = _cluster(vertices, triangles, cell)
        if len(clustered[1]) > max_triangles:
            fine = cell
        else:
            coarse, best = cell, clustered
    return best


def _cluster(
    vertices: NDArray[np.floating], triangles: NDArray[np.integer], cell: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Merge vertices by cells of a size; each keeps the vertex nearest to its cell's mean."""
    cells = np.floor((vertices - vertices.min(axis=0)) / cell).astype(np.int64)
    _, cluster = np.unique(cells, axis=0, return_inverse=True)
    cluster = cluster.ravel()
    count = np.bincount(cluster)
    mean = np.stack([np.bincount(cluster, vertices[:, k]) / count for k in range(3)], axis=1)
    distance = np.linalg.norm(vertices - mean[cluster], axis=1)
    order = np.lexsort((distance, cluster))
    kept = order[np.searchsorted(cluster[order], np.arange(len(count)))]
    merged = cluster[triangles]
    a, b, c = merged.T
    merged = merged[(a != b) & (b != c) & (c != a)]
    _, first = np.unique(np.sort(merged, axis=1), axis=0, return_index=True)
    return kept, merged[np.sort(first)]

"""Connected parts of a mesh."""

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components


def connected_parts(triangles: NDArray[np.integer], vertex_count: int) -> tuple[int, NDArray[np.int32]]:
    """How many parts, and which of them each vertex belongs to, (vertex_count,) from 0.

    Args:
        triangles: (M, 3) vertex indices; vertices of one triangle are connected.
        vertex_count: a vertex in no triangle is a part of its own.
    """
    edges = (triangles.ravel(), triangles[:, [1, 2, 0]].ravel())
    graph = scipy.sparse.coo_array((np.ones(triangles.size, bool), edges), shape=(vertex_count, vertex_count))
    count, part_of = connected_components(graph, directed=False)
    return int(count), part_of

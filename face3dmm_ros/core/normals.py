"""Normals of a surface's vertices."""

import math

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.compiled import compiled
from face3dmm_ros.core.errors import Face3DMMError


def vertex_normals(vertices: NDArray[np.floating], triangles: NDArray[np.integer]) -> NDArray[np.float32]:
    """Area-weighted mean of the normals of the triangles (M, 3) around each vertex, (N, 3) → (N, 3), of unit length.

    Triangles run counter-clockwise seen from outside. A vertex without any gets 0.

    Raises:
        Face3DMMError: a triangle refers to a vertex that there is not.
    """
    corners = np.ascontiguousarray(triangles, np.int32)
    if corners.size and not 0 <= corners.min() <= corners.max() < len(vertices):
        raise Face3DMMError(
            f"triangles refer to vertices {corners.min()} to {corners.max()}, and there are {len(vertices)}"
        )
    return _summed(np.ascontiguousarray(vertices, np.float32), corners)


@compiled
def _summed(vertices: NDArray[np.float32], triangles: NDArray[np.int32]) -> NDArray[np.float32]:
    normals = np.zeros_like(vertices)
    for m in range(len(triangles)):
        a, b, c = triangles[m, 0], triangles[m, 1], triangles[m, 2]
        ux, uy, uz = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2]
        vx, vy, vz = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2]
        # u × v is twice the triangle's area long.
        x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for corner in (a, b, c):
            normals[corner, 0] += x
            normals[corner, 1] += y
            normals[corner, 2] += z
    for n in range(len(normals)):
        # In double precision squares of small areas do not vanish.
        x, y, z = np.float64(normals[n, 0]), np.float64(normals[n, 1]), np.float64(normals[n, 2])
        length = max(math.sqrt(x * x + y * y + z * z), 1e-30)
        normals[n, 0], normals[n, 1], normals[n, 2] = x / length, y / length, z / length
    return normals

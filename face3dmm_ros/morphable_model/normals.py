"""Normals of a face's vertices."""

import math

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.compiled import compiled


@compiled
def vertex_normals(vertices: NDArray[np.float32], triangles: NDArray[np.int32]) -> NDArray[np.float32]:
    """Area-weighted mean of the normals of the triangles (M, 3) around each vertex, (N, 3) → (N, 3), of unit length.

    The arrays are C-contiguous; triangles run counter-clockwise seen from outside. A vertex without any gets 0.
    """
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
        x, y, z = normals[n, 0], normals[n, 1], normals[n, 2]
        length = max(math.sqrt(x * x + y * y + z * z), 1e-12)
        normals[n, 0], normals[n, 1], normals[n, 2] = x / length, y / length, z / length
    return normals

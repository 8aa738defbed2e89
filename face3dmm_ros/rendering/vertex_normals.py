"""Normals of a mesh's vertices."""

import numpy as np
from numpy.typing import NDArray


def vertex_normals(positions: NDArray[np.floating], triangles: NDArray[np.int32]) -> NDArray[np.float32]:
    """(N, 3) unit normals, the mean of the triangles around each vertex weighted by their area."""
    a, b, c = (positions[triangles[:, corner]] for corner in range(3))
    faces = np.cross(b - a, c - a)
    sums = np.stack(
        [np.bincount(triangles.ravel(), np.repeat(faces[:, axis], 3), len(positions)) for axis in range(3)], axis=1
    )
    return (sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-20)).astype(np.float32)

"""Smooth fields over the skin: bumps that spread from a vertex along the surface, and not across a mouth's slit.

A bump is what diffusion (implicit Euler steps of the heat equation with the cotangent Laplacian; Crane, Weischedel &
Wardetzky, Geodesics in Heat, ACM TOG 2013) leaves of a source at its vertex. Upper and lower lip touch, but along the
surface they are far apart, so that each moves by itself.
"""

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
from numpy.typing import NDArray

# Of diffusion. Chosen by hand: more make a bump more like a Gaussian, and take longer.
_STEPS = 3


def smooth_fields(
    vertices: NDArray[np.float64],
    triangles: NDArray[np.integer],
    anchors: NDArray[np.integer],
    radius: NDArray[np.floating],
) -> NDArray[np.float64]:
    """K bumps at every vertex, (N, K): each 1 at its highest, 0 outside the surface.

    Args:
        vertices: (N, 3) mm.
        triangles: (M, 3), the surface.
        anchors: (K,) vertices that the bumps spread from.
        radius: (K,) mm, their standard deviations.
    """
    used, local = np.unique(triangles, return_inverse=True)
    mass, stiffness = _cotangent_laplacian(vertices[used], local.reshape(-1, 3))
    values = np.zeros((len(vertices), len(anchors)))
    for size in np.unique(radius):
        chosen = np.flatnonzero(radius == size)
        # A step of length t adds 2t to the variance along each direction.
        step = size**2 / (2 * _STEPS)
        solve = scipy.sparse.linalg.splu(scipy.sparse.csc_array(mass + step * stiffness)).solve
        heat = np.zeros((len(used), len(chosen)))
        heat[np.searchsorted(used, anchors[chosen]), range(len(chosen))] = 1.0
        for _ in range(_STEPS):
            heat = solve(mass @ heat)
        values[np.ix_(used, chosen)] = heat / heat.max(axis=0)
    return values


def spread_anchors(
    vertices: NDArray[np.float64], spacing: NDArray[np.float64], mirror: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Vertices that lie evenly, the same on both sides: none nearer to another than its spacing (N,), mm.

    Vertices with an infinite spacing are never chosen.
    """
    # The left half from the midline outward; each vertex brings its mirror image.
    order = np.lexsort((vertices[:, 1], np.round(np.abs(vertices[:, 0]), 1)))
    chosen: list[int] = []
    for vertex in order:
        if not np.isfinite(spacing[vertex]) or vertices[vertex, 0] < -0.5:
            continue
        both = [vertex] if mirror[vertex] == vertex else [vertex, int(mirror[vertex])]
        if len(both) == 2 and np.linalg.norm(vertices[both[0]] - vertices[both[1]]) < spacing[vertex]:
            continue
        near = np.linalg.norm(vertices[chosen] - vertices[vertex], axis=1)
        if near.min(initial=np.inf) >= spacing[vertex]:
            chosen += both
    return np.array(chosen, np.int64)


def vertex_areas(vertices: NDArray[np.float64], triangles: NDArray[np.integer]) -> NDArray[np.float64]:
    """(N,) mm², a third of the area of the triangles (M, 3) around each vertex (N, 3), mm."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    third = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 6
    return np.bincount(triangles.ravel(), np.repeat(third, 3), len(vertices)).astype(np.float64, copy=False)


def _cotangent_laplacian(
    vertices: NDArray[np.float64], triangles: NDArray[np.integer]
) -> tuple[scipy.sparse.csr_array, scipy.sparse.csr_array]:
    """Lumped mass and stiffness matrices, (N, N), of a surface."""
    N = len(vertices)
    stiffness = scipy.sparse.csr_array((N, N))
    for k in range(3):
        a, b, c = (triangles[:, (k + j) % 3] for j in range(3))
        u, v = vertices[b] - vertices[a], vertices[c] - vertices[a]
        twice = np.linalg.norm(np.cross(u, v), axis=1)
        # Obtuse and thin triangles would give negative and huge weights, and so bumps that overshoot.
        weight = 0.5 * np.clip((u * v).sum(axis=1) / np.maximum(twice, 1e-9), 0.02, 20.0)
        rows, columns = np.concatenate([b, c, b, c]), np.concatenate([c, b, b, c])
        entries = np.concatenate([-weight, -weight, weight, weight])
        stiffness = scipy.sparse.csr_array(stiffness + scipy.sparse.csr_array((entries, (rows, columns)), shape=(N, N)))
    return scipy.sparse.csr_array(scipy.sparse.diags_array(vertex_areas(vertices, triangles))), stiffness

"""A coarser surface of the same face, for viewers that cannot take the whole mesh."""

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from face3dmm_ros.morphable_model.model import MorphableModel

# Chosen by hand.
_MOTIONS = 4
"""Principal motions of the expressions that the error is summed over; each costs as much as the mean face."""
_BORDER_WEIGHT = 10.0
"""Of a border's walls over the surface's planes: the larger, the better borders keep their place."""
_SHARE_PER_ROUND = 0.1
"""Of the edges, the cheapest, that may collapse in a round: smaller is better, larger is faster."""
_LEAST_COSINE = 0.2
"""Between a triangle's normals before and after a collapse: below it the surface would fold."""

Indices = NDArray[np.int64]


def decimate(model: MorphableModel, max_triangles: int) -> tuple[Indices, Indices]:
    """A model's surface with at most `max_triangles` triangles, whose corners are vertices of the full one.

    Edges collapse onto one of their ends, first those that change the surface least by the quadric error metric
    (Garland & Heckbert, SIGGRAPH 1997), summed over the mean face and its main expressions (as Mohr & Gleicher, 2003),
    so that a coarse face still speaks and blinks. In each round all edges collapse whose triangles do not overlap.

    Returns:
        (K,) indices of the vertices that stay, and (T, 3) triangles that index into those: the coarse surface of any
        face (N, 3) of the model is `face[kept][triangles]`. There are more triangles than asked for where no edge is
        left that could collapse without folding or tearing the surface.
    """
    triangles: Indices = model.triangles.astype(np.int64)
    poses = _poses(model)
    quadrics = np.stack([_quadrics(pose, triangles) for pose in poses])
    while len(triangles) > max_triangles:
        removed, target = _collapses(poses, triangles, quadrics)
        enough = (len(triangles) - max_triangles + 1) // 2
        removed, target = removed[:enough], target[:enough]
        if not len(removed):
            break
        quadrics[:, target] += quadrics[:, removed]
        merged = np.arange(model.vertex_count)
        merged[removed] = target
        triangles = merged[triangles]
        a, b, c = triangles.T
        triangles = triangles[(a != b) & (b != c) & (c != a)]
    kept, corners = np.unique(triangles, return_inverse=True)
    return kept, corners.reshape(-1, 3)


def _poses(model: MorphableModel) -> NDArray[np.float64]:
    """The mean face, and the mean under each of the expression basis's principal motions, (P, N, 3)."""
    motion = np.asarray(model.expression_basis * model.expression_sigma, np.float64)
    U, S, _ = np.linalg.svd(motion, full_matrices=False)
    moved = (U * S)[:, :_MOTIONS].T.reshape(-1, model.vertex_count, 3)
    return model.mean + np.concatenate([np.zeros((1, model.vertex_count, 3)), moved])


def _edges(triangles: Indices) -> tuple[Indices, Indices, Indices]:
    """The edges, (E, 2) with the lower vertex first, how many triangles share each, and one of these."""
    start, end = triangles.ravel(), triangles[:, [1, 2, 0]].ravel()
    # An edge as one number: numpy sorts these ten times faster than pairs.
    N = int(triangles.max()) + 1
    sides = np.minimum(start, end) * N + np.maximum(start, end)
    edges, first, count = np.unique(sides, return_index=True, return_counts=True)
    return np.column_stack([edges // N, edges % N]), count, first // 3


def _quadrics(vertices: NDArray[np.float64], triangles: Indices) -> NDArray[np.float64]:
    """Each vertex's sum of squared distances to the planes around it, (N, 4, 4), weighted by area.

    A border counts as if a wall stood upright on it, or it would shrink.
    """
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    normals = np.cross(b - a, c - a)
    edges, count, triangle = _edges(triangles)
    border = edges[count == 1]
    along = vertices[border[:, 1]] - vertices[border[:, 0]]
    walls = _BORDER_WEIGHT * np.cross(along, normals[triangle[count == 1]])
    quadrics = np.zeros((len(vertices), 4, 4))
    for normal, point, owners in ((normals, a, triangles), (walls, vertices[border[:, 0]], border)):
        length = np.maximum(np.linalg.norm(normal, axis=1), 1e-12)
        plane = np.column_stack([normal, -np.einsum("ij,ij->i", normal, point)]) / np.sqrt(length)[:, None]
        for k in range(owners.shape[1]):
            np.add.at(quadrics, owners[:, k], plane[:, :, None] * plane[:, None, :])
    return quadrics


def _collapses(
    poses: NDArray[np.float64], triangles: Indices, quadrics: NDArray[np.float64]
) -> tuple[Indices, Indices]:
    """Vertices to remove, and the neighbours that take their place; no two touch the same triangle."""
    N = poses.shape[1]
    edges, count, _ = _edges(triangles)
    on_border = np.zeros(N, bool)
    on_border[edges[count == 1]] = True
    # A collapse keeps the surface a surface if the ends have no common neighbours but those across the edge.
    ones = np.ones(len(edges))
    half = scipy.sparse.coo_array((ones, (edges[:, 0], edges[:, 1])), shape=(N, N))
    neighbours = (half + half.T).tocsr()
    common = np.asarray((neighbours @ neighbours)[edges[:, 0], edges[:, 1]]).ravel()
    sound = common == count
    removed, target = np.concatenate([edges, edges[:, ::-1]]).T
    allowed = np.tile(sound, 2) & (~on_border[removed] | np.tile(count == 1, 2))
    removed, target = removed[allowed], target[allowed]
    cost = _costs(poses, quadrics, removed, target)
    cheapest = np.argsort(cost)[: max(1, int(_SHARE_PER_ROUND * len(cost)))]
    cheapest = cheapest[~_folds(poses[0], triangles, removed[cheapest], target[cheapest])]
    removed, target = removed[cheapest], target[cheapest]
    # Each vertex belongs to the first collapse within its reach, in a drawn order (by cost, chains of neighbours would
    # wait for each other); a collapse goes ahead if both its ends' surroundings belong to it.
    rank = np.random.default_rng(0).permutation(len(removed)).astype(np.float64)
    best = np.full(N, np.inf)
    np.minimum.at(best, removed, rank)
    np.minimum.at(best, target, rank)
    reach = best.copy()
    for a, b in (edges.T, edges[:, ::-1].T):
        np.minimum.at(reach, a, best[b])
    free = (reach[removed] == rank) & (reach[target] == rank)
    return removed[free], target[free]


def _costs(
    poses: NDArray[np.float64], quadrics: NDArray[np.float64], removed: Indices, target: Indices
) -> NDArray[np.float64]:
    """Quadric error of each collapse, (C,), summed over the poses."""
    cost = np.zeros(len(removed))
    for vertices, Q in zip(poses, quadrics, strict=True):
        h = np.column_stack([vertices[target], np.ones(len(target))])
        cost += np.einsum("ci,cij,cj->c", h, Q[removed] + Q[target], h)
    return cost


def _folds(vertices: NDArray[np.float64], triangles: Indices, removed: Indices, target: Indices) -> NDArray[np.bool_]:
    """Whether each collapse turns over one of the triangles around the vertex that it removes, (C,)."""
    order = np.argsort(triangles.ravel(), kind="stable")
    corner_vertex = triangles.ravel()[order]
    begin, end = np.searchsorted(corner_vertex, removed), np.searchsorted(corner_vertex, removed, side="right")
    collapse = np.repeat(np.arange(len(removed)), end - begin)
    within = np.arange(len(collapse)) - np.repeat(np.cumsum(end - begin) - (end - begin), end - begin)
    before = triangles[order[begin[collapse] + within] // 3]
    after = np.where(before == removed[collapse, None], target[collapse, None], before)
    stays = (np.sort(after, axis=1)[:, :-1] != np.sort(after, axis=1)[:, 1:]).all(axis=1)

    def unit_normals(t: Indices) -> NDArray[np.float64]:
        normals = np.cross(vertices[t[:, 1]] - vertices[t[:, 0]], vertices[t[:, 2]] - vertices[t[:, 0]])
        return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)

    cosine = np.einsum("ij,ij->i", unit_normals(before), unit_normals(after))
    folds = np.zeros(len(removed), bool)
    folds[collapse[stays & (cosine < _LEAST_COSINE)]] = True
    return folds

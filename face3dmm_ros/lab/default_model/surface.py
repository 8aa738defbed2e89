"""Points on a triangle mesh."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.morphable_model import SurfacePoints

# Triangles whose middles are nearest to a point that are searched; chosen by hand, more than meet at any vertex.
_NEIGHBOURS = 48


def interpolated(
    at: NDArray[np.float64], positions: NDArray[np.floating], values: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Rows (m, C) at m places, linearly between the rows of values (n, C) at n ascending positions."""
    return np.column_stack([np.interp(at, positions, column) for column in values.T])


def nearest_on_surface(
    points: NDArray[np.float64], vertices: NDArray[np.float64], triangles: NDArray[np.integer]
) -> SurfacePoints:
    """The surface points nearest to (P, 3) points, among the triangles (M, 3) given."""
    corners = vertices[triangles]
    tree = cKDTree(corners.mean(axis=1))
    neighbours = tree.query(points, k=min(_NEIGHBOURS, len(triangles)))[1].reshape(len(points), -1)
    weights = _nearest_in_triangle(points[:, None], corners[neighbours])
    found = np.einsum("pnk,pnkc->pnc", weights, corners[neighbours])
    best = np.linalg.norm(found - points[:, None], axis=2).argmin(axis=1)
    rows = np.arange(len(points))
    chosen = triangles[neighbours[rows, best]]
    return SurfacePoints(chosen.astype(np.int32), weights[rows, best].astype(np.float32))


def pick(
    points: NDArray[np.float64],
    vertices: NDArray[np.floating],
    triangles: NDArray[np.integer],
    camera: WeakPerspective,
) -> tuple[SurfacePoints, NDArray[np.float64]]:
    """What lies under (P, 2) image points: the front-most surface points, and how far off they are, (P,) px.

    A point beside the surface gets the visible surface point nearest to it in the image.
    """
    projected, depth = camera.project(vertices), camera.depth(vertices)
    a, b, c = (projected[triangles[:, k]] for k in range(3))
    area = _cross(b - a, c - a)
    # Counter-clockwise from outside is clockwise in an image whose y axis points down.
    seen = np.flatnonzero(area < 0)
    triangles, a, b, c, area = triangles[seen], a[seen], b[seen], c[seen], area[seen]
    chosen = np.empty((len(points), 3), np.int32)
    weights = np.empty((len(points), 3), np.float32)
    distance = np.zeros(len(points))
    for i, point in enumerate(points):
        under = np.stack([_cross(b - point, c - point), _cross(c - point, a - point)], axis=1) / area[:, None]
        inside = (under >= 0).all(axis=1) & (under.sum(axis=1) <= 1)
        if inside.any():
            candidates = np.flatnonzero(inside)
            w = np.column_stack([under[candidates], 1 - under[candidates].sum(axis=1)])
            nearest = (w * depth[triangles[candidates]]).sum(axis=1).argmin()
            chosen[i], weights[i] = triangles[candidates[nearest]], w[nearest]
        else:
            flat = np.column_stack([projected, np.zeros(len(projected))])
            beside = nearest_on_surface(np.array([[*point, 0.0]]), flat, triangles)
            chosen[i], weights[i] = beside.vertices[0], beside.weights[0]
            distance[i] = np.linalg.norm(beside.interpolate(projected)[0] - point)
    return SurfacePoints(chosen, weights), distance


def _cross(u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
    return u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]


def _nearest_in_triangle(points: NDArray[np.float64], corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Barycentric weights (…, 3) of the point of each triangle (…, 3, 3) nearest to (…, 3) points."""
    a, b, c = corners[..., 0, :], corners[..., 1, :], corners[..., 2, :]
    u, v, p = b - a, c - a, points - a
    uu, uv, vv = ((x * y).sum(-1) for x, y in ((u, u), (u, v), (v, v)))
    up, vp = (u * p).sum(-1), (v * p).sum(-1)
    determinant = np.maximum(uu * vv - uv * uv, 1e-12)
    s, t = (vv * up - uv * vp) / determinant, (uu * vp - uv * up) / determinant
    inside = np.stack([1 - s - t, s, t], axis=-1)
    candidates = [inside]
    for i, j in ((0, 1), (1, 2), (2, 0)):
        start, along = corners[..., i, :], corners[..., j, :] - corners[..., i, :]
        share = ((points - start) * along).sum(-1) / np.maximum((along * along).sum(-1), 1e-12)
        share = np.clip(share, 0.0, 1.0)
        edge = np.zeros_like(inside)
        edge[..., i], edge[..., j] = 1 - share, share
        candidates.append(edge)
    stacked = np.stack(candidates, axis=-2)
    distance = np.linalg.norm(np.einsum("...ek,...kc->...ec", stacked, corners) - points[..., None, :], axis=-1)
    distance[..., 0] = np.where((inside >= 0).all(-1), distance[..., 0], np.inf)
    best = distance.argmin(axis=-1)
    return np.take_along_axis(stacked, best[..., None, None], axis=-2)[..., 0, :]

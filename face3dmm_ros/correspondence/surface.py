"""Points on a triangle mesh."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.morphable_model import SurfacePoints

_NEIGHBOURS = 48
"""Triangles whose middles are nearest to a point that are searched; chosen by hand, more than meet at any vertex."""
_AT_A_TIME = 4096
"""Points that are searched for together, which bounds the memory; chosen by hand."""
_ROUNDING = 1e-6
"""px beyond a triangle's reach in which it is looked for."""
_FACING, _FACES_AWAY = 0.3, 1e6
"""Cosine between normals below which a surface faces away, by hand; and what that counts as, mm: more than any way."""


@dataclass(frozen=True, eq=False)
class Surface:
    """A triangle mesh.

    Attributes:
        vertices: (V, 3) float64, mm.
        triangles: (M, 3), counter-clockwise seen from outside.
    """

    vertices: NDArray[np.float64]
    triangles: NDArray[np.integer]

    @cached_property
    def normals(self) -> NDArray[np.float64]:
        """Unit normals of the vertices, (V, 3), weighted by the triangles' areas; 0 where there is no triangle."""
        return unit(np.column_stack([self._summed(axis) for axis in self._areas.T]))

    @cached_property
    def facing(self) -> NDArray[np.float64]:
        """Unit normals of the triangles, (M, 3)."""
        return unit(self._areas)

    @cached_property
    def _areas(self) -> NDArray[np.float64]:
        a, b, c = (self.vertices[self.triangles[:, k]] for k in range(3))
        return np.cross(b - a, c - a)

    def _summed(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(self.triangles.T.ravel(), np.tile(values, 3), minlength=len(self.vertices)).astype(
            np.float64
        )

    def nearest(self, points: NDArray[np.float64], facing: NDArray[np.float64] | None = None) -> SurfacePoints:
        """`nearest_on_surface` of (P, 3) points; with their unit normals `facing` (P, 3), on what faces as they do."""
        return nearest_on_surface(
            points, self.vertices, self.triangles, None if facing is None else (self.facing, facing)
        )


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vectors (P, 3) of length 1; zero ones stay."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def nearest_on_surface(
    points: NDArray[np.float64],
    vertices: NDArray[np.float64],
    triangles: NDArray[np.integer],
    facing: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
) -> SurfacePoints:
    """The surface points nearest to (P, 3) points, among the triangles (M, 3) given.

    Args:
        points: (P, 3).
        vertices: (V, 3).
        triangles: (M, 3).
        facing: unit normals of the triangles (M, 3) and of the points (P, 3): what faces away from a point is taken
            only where nothing else is near.
    """
    corners = vertices[triangles]
    tree = cKDTree(corners.mean(axis=1))
    found = [
        _nearest(points[some], corners, tree, None if facing is None else (facing[0], facing[1][some]))
        for some in np.array_split(np.arange(len(points)), max(1, -(-len(points) // _AT_A_TIME)))
    ]
    chosen, weights = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return SurfacePoints(triangles[chosen].astype(np.int32), weights.astype(np.float32))


def _nearest(
    points: NDArray[np.float64],
    corners: NDArray[np.float64],
    tree: cKDTree,
    facing: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Triangles (P,) and weights (P, 3)."""
    neighbours = tree.query(points, k=min(_NEIGHBOURS, len(corners)))[1].reshape(len(points), -1)
    weights = _nearest_in_triangle(points[:, None], corners[neighbours])
    found = np.einsum("pnk,pnkc->pnc", weights, corners[neighbours])
    distance = np.linalg.norm(found - points[:, None], axis=2)
    if facing is not None:
        alignment = np.einsum("pnc,pc->pn", facing[0][neighbours], facing[1])
        distance += np.where(alignment < _FACING, _FACES_AWAY, 0.0)
    best = distance.argmin(axis=1)
    rows = np.arange(len(points))
    return neighbours[rows, best], weights[rows, best]


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
    middle = (a + b + c) / 3
    reach = max(float(np.linalg.norm(corner - middle, axis=1).max(initial=0.0)) for corner in (a, b, c))
    near = cKDTree(middle).query_ball_point(points, reach + _ROUNDING, return_sorted=True)
    chosen = np.empty((len(points), 3), np.int32)
    weights = np.empty((len(points), 3), np.float32)
    distance = np.zeros(len(points))
    for i, point in enumerate(points):
        k = np.array(near[i], np.int64)
        under = np.stack([_cross(b[k] - point, c[k] - point), _cross(c[k] - point, a[k] - point)], axis=1)
        under /= area[k, None]
        inside = (under >= 0).all(axis=1) & (under.sum(axis=1) <= 1)
        if inside.any():
            w = np.column_stack([under[inside], 1 - under[inside].sum(axis=1)])
            candidates = triangles[k[inside]]
            nearest = (w * depth[candidates]).sum(axis=1).argmin()
            chosen[i], weights[i] = candidates[nearest], w[nearest]
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

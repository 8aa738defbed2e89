"""Candidate vertices of the visible outline: one path across cheek, jaw or forehead per outline landmark."""

import numpy as np
import scipy.sparse.csgraph
from numpy.typing import NDArray

from face3dmm_ros.core.landmark_schemes import FACE_OVAL
from face3dmm_ros.morphable_model import Contour, MorphableModel, SurfacePoints

IBUG_OUTLINE = (*range(8), *range(9, 17))
"""iBUG's points of the jaw but for the chin, which is seen from every side."""

# All of these are chosen by hand; `report` draws the paths that they give.
#
# A point inside the head, from which cheeks, jaw and forehead are each seen once in every direction, mm.
_INSIDE = np.array([0.0, -35.0, -65.0])
# Degrees that a path reaches from its landmark, seen from inside: toward the face's middle and away from it.
_INWARD, _OUTWARD, _STEP = 50.0, 24.0, 2.0
# A path ends where the allowed surface is interrupted for this long, degrees; sparse vertices are no interruption.
_GAP = 9.0
# How far, mm, a path's end may lie off the cut that it follows, and the offset at which an edge counts double.
_END_OFFSET, _DOUBLING_OFFSET = 7.0, 2.5
# Where no outline of a face runs before it is a profile: (x, y, radius in x, radius in y) of eyes, nose and mouth, mm.
_INNER_FACE = ((30.0, 2.0, 25.0, 24.0), (0.0, -30.0, 24.0, 34.0), (0.0, -72.0, 34.0, 19.0))


def outline_contours(model: MorphableModel, landmarks: dict[str, SurfacePoints]) -> dict[str, Contour]:
    """Contours of both schemes, from their landmarks on the mean face."""
    mean = model.mean.astype(np.float64)
    jaw = landmarks["ibug68"].interpolate(mean)[:17].astype(np.float64)
    oval = landmarks["mediapipe478"].interpolate(mean)[list(FACE_OVAL)].astype(np.float64)
    sides = list(IBUG_OUTLINE)
    return {
        "ibug68": _contour(model, IBUG_OUTLINE, jaw[sides], np.gradient(jaw, axis=0)[sides]),
        "mediapipe478": _contour(model, FACE_OVAL, oval, np.roll(oval, -1, axis=0) - np.roll(oval, 1, axis=0)),
    }


def _contour(
    model: MorphableModel, outline: tuple[int, ...], points: NDArray[np.float64], tangents: NDArray[np.float64]
) -> Contour:
    mean = model.mean.astype(np.float64)
    allowed = (model.regions["skin"] > 0.5) & (model.regions["ears"] < 0.3)
    for x, y, across, up in _INNER_FACE:
        inside = ((np.abs(mean[:, 0]) - x) / across) ** 2 + ((mean[:, 1] - y) / up) ** 2 < 1
        allowed &= ~(inside & (mean[:, 2] > -35))
    edges = np.unique(np.sort(model.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)
    edges = edges[allowed[edges].all(axis=1)]
    graph = scipy.sparse.coo_array((np.ones(len(edges)), edges.T), shape=(len(mean), len(mean)))
    _, piece = scipy.sparse.csgraph.connected_components(graph, directed=False)
    allowed &= piece == np.bincount(piece[allowed]).argmax()
    paths = [_path(mean, allowed, edges, *landmark) for landmark in zip(points, tangents, strict=True)]
    longest = max(len(path) for path in paths)
    candidates = np.array([np.pad(path, (0, longest - len(path)), mode="edge") for path in paths], np.int32)
    return Contour(np.array(outline, np.int32), candidates)


def _path(
    mean: NDArray[np.float64],
    allowed: NDArray[np.bool_],
    edges: NDArray[np.int32],
    point: NDArray[np.float64],
    tangent: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Connected vertices, front to back, along the face's cut with a plane through the point across the outline."""
    # The outline is judged as seen from the front, so that the cut across it keeps to its height on the cheeks.
    normal = tangent * [1.0, 1.0, 0.35]
    normal /= np.linalg.norm(normal)
    center = _INSIDE + ((point - _INSIDE) @ normal) * normal
    outward = (point - center) / np.linalg.norm(point - center)
    inward = np.cross(normal, outward)
    middle_of_face = np.array([0.0, 0.5 * point[1] - 15.0, 60.0])
    inward *= np.sign(inward @ (middle_of_face - point))
    arm = mean - center
    offset = np.abs(arm @ normal)
    angle = np.degrees(np.arctan2(arm @ inward, arm @ outward))

    def end(direction: float, reach: float) -> int:
        """The vertex at which the cut leaves the allowed surface or has reached far enough."""
        found = int(np.where(allowed, np.linalg.norm(mean - point, axis=1), np.inf).argmin())
        last = 0.0
        for target in np.arange(_STEP, reach, _STEP):
            near = np.flatnonzero(allowed & (offset < _END_OFFSET) & (np.abs(direction * angle - target) < 1.5 * _STEP))
            if target - last > _GAP:
                break
            if len(near):
                found, last = int(near[(offset[near] - 0.5 * direction * angle[near]).argmin()]), float(target)
        return found

    length = np.linalg.norm(mean[edges[:, 0]] - mean[edges[:, 1]], axis=1)
    cost = length * (1 + (offset[edges].mean(axis=1) / _DOUBLING_OFFSET) ** 2)
    graph = scipy.sparse.csr_array((cost, (edges[:, 0], edges[:, 1])), shape=(len(mean), len(mean)))
    front, back = end(1.0, _INWARD), end(-1.0, _OUTWARD)
    _, before = scipy.sparse.csgraph.dijkstra(graph, directed=False, indices=front, return_predecessors=True)
    path = [back]
    while path[-1] != front:
        path.append(int(before[path[-1]]))
        assert path[-1] >= 0, f"the outline's path at {point} is interrupted"
    return np.array(path[::-1])

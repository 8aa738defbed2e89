"""Where the points of our skin lie on another head.

The other head is moved onto ours by points that are known on both and then bent, smoothly, toward the nearest points of
our skin, in passes that ask for ever more of them (a coarse-to-fine non-rigid ICP as in Amberg et al., Optimal Step
Nonrigid ICP Algorithms for Surface Registration, CVPR 2007, here with biharmonic splines).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from face3dmm_ros.core.similarity import scaled_rotation
from face3dmm_ros.correspondence.surface import Surface, unit
from face3dmm_ros.morphable_model import SurfacePoints

_PASSES = ((150, 2.0, 15.0), (400, 1.0, 10.0), (800, 0.5, 7.0), (1200, 0.3, 6.0), (1500, 0.2, 5.0))
"""How many of our skin's points pull, the spline's smoothing there, and from how far at most they pull, mm; pass by
pass. Chosen by hand: looser passes keep the other's shape, tighter ones fold."""
_FIRST_SMOOTHING = 0.1
"""Of the spline through the known points alone, over theirs in the passes; chosen by hand."""
_TRUSTED_MM, _TRUSTED_COSINES = 2.5, (0.3, 0.7)
"""How trust falls with distance, and between which cosines of the normals it rises from 0 to 1; chosen by hand."""
_MOST_POINTS_A_TIME = 8192
"""Of the other's vertices, bent together, which bounds the memory."""


@dataclass(frozen=True, eq=False)
class Similarity:
    """x ↦ scale·rotation·x + shift, from another head's unit and axes to ours, mm."""

    scale: float
    rotation: NDArray[np.float64]
    shift: NDArray[np.float64]

    @staticmethod
    def between(theirs: NDArray[np.float64], ours: NDArray[np.float64]) -> "Similarity":
        """The one that brings (P, 3) points nearest to others (Umeyama, PAMI 1991).

        Raises:
            Face3DMMError: the points do not determine a rotation.
        """
        x, y = theirs - theirs.mean(axis=0), ours - ours.mean(axis=0)
        scale, rotation = scaled_rotation(y.T @ x, float((x**2).sum()))
        return Similarity(scale, rotation, ours.mean(axis=0) - scale * rotation @ theirs.mean(axis=0))

    def of(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """(P, 3) points of the other head, moved."""
        return self.scale * points @ self.rotation.T + self.shift

    def back(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """(P, 3) moved points, where they were on the other head."""
        return self.direction(points - self.shift)

    def direction(self, ways: NDArray[np.float64]) -> NDArray[np.float64]:
        """Displacements (…, 3), mm on our head, in the other head's unit and axes."""
        return ways @ self.rotation / self.scale


@dataclass(frozen=True, eq=False)
class KnownPairs:
    """P points that are known on both heads.

    Attributes:
        theirs: (P, 3) mm, moved onto our head by the similarity.
        ours: (P, 3) mm.
        looseness: (P,) the spline's smoothing there: the more, the less they are heeded.
    """

    theirs: NDArray[np.float64]
    ours: NDArray[np.float64]
    looseness: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Registration:
    """Of another head with ours.

    Attributes:
        similarity: from the other's unit and axes to ours.
        points: of the other's surface, one for each of our N vertices.
        trust: (N,) from 0 to 1, how well surface and normal agree there; 0 off the skin.
        distance: (N,) mm from our vertices to those points, once bent; infinite off the skin.
        bent: the other's surface, bent onto ours.
    """

    similarity: Similarity
    points: SurfacePoints
    trust: NDArray[np.float64]
    distance: NDArray[np.float64]
    bent: Surface


def register(
    theirs: Surface,
    similarity: Similarity,
    ours: Surface,
    on_skin: NDArray[np.bool_],
    pairs: KnownPairs,
    progress: Callable[[], object] = lambda: None,
) -> Registration:
    """Bend a head onto ours.

    Args:
        theirs: in its own unit and axes; triangles of what may answer to our skin.
        similarity: that moves it onto ours.
        ours: our mean head, mm.
        on_skin: (N,) which of its vertices are skin.
        pairs: known points.
        progress: is called after each of the passes, `PASSES` times.
    """
    moved = similarity.of(theirs.vertices)
    skin = np.flatnonzero(on_skin)
    mean, normals = ours.vertices, ours.normals
    face = skin[(mean[skin, 2] > -70) & (mean[skin, 1] > -115) & (mean[skin, 1] < 75)]
    way = pairs.ours - pairs.theirs
    bent = moved + _spline(pairs.theirs, way, _FIRST_SMOOTHING * pairs.looseness / pairs.looseness.min())(moved)
    for count, loose, reach in _PASSES:
        points, distance, alignment = _nearest(Surface(bent, theirs.triangles), mean[face], normals[face])
        near = np.flatnonzero((distance < reach) & (alignment > 0.5))
        pulling = near[far_apart(mean[face[near]], count)] if len(near) else near
        start = np.vstack([pairs.theirs, points.at(pulling).interpolate(moved)])
        goal = np.vstack([pairs.ours, mean[face[pulling]]])
        _, once = np.unique(np.round(start, 3), axis=0, return_index=True)
        smoothing = np.concatenate([pairs.looseness, np.full(len(pulling), loose)])[once]
        bent = moved + _spline(start[once], (goal - start)[once], smoothing)(moved)
        progress()
    surface = Surface(bent, theirs.triangles)
    points, near_by, alignment = _nearest(surface, mean[skin], normals[skin])
    trust, distance = np.zeros(len(mean)), np.full(len(mean), np.inf)
    low, high = _TRUSTED_COSINES
    trust[skin] = np.exp(-((near_by / _TRUSTED_MM) ** 2)) * np.clip((alignment - low) / (high - low), 0.0, 1.0)
    distance[skin] = near_by
    vertices, weights = np.zeros((len(mean), 3), np.int32), np.zeros((len(mean), 3), np.float32)
    vertices[skin], weights[skin] = points.vertices, points.weights
    return Registration(similarity, SurfacePoints(vertices, weights), trust, distance, surface)


PASSES = len(_PASSES)
"""How often `register` tells of its progress."""


def far_apart(points: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Up to `count` of (P, 3) points, each the farthest from those before."""
    chosen, distance = [0], np.full(len(points), np.inf)
    while len(chosen) < min(count, len(points)):
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
        chosen.append(int(distance.argmax()))
    return np.array(chosen)


def _spline(
    start: NDArray[np.float64], way: NDArray[np.float64], smoothing: NDArray[np.float64]
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    spline = RBFInterpolator(start, way, kernel="linear", smoothing=smoothing)

    def at(points: NDArray[np.float64]) -> NDArray[np.float64]:
        parts = np.array_split(points, max(1, -(-len(points) // _MOST_POINTS_A_TIME)))
        return np.concatenate([spline(part) for part in parts])

    return at


def _nearest(
    surface: Surface, points: NDArray[np.float64], facing: NDArray[np.float64]
) -> tuple[SurfacePoints, NDArray[np.float64], NDArray[np.float64]]:
    """The surface's points nearest to (P, 3), their distance (P,), and the cosine (P,) between the normals."""
    found = surface.nearest(points)
    normal = unit(found.interpolate(surface.normals).astype(np.float64))
    return found, np.linalg.norm(found.interpolate(surface.vertices) - points, axis=1), (normal * facing).sum(axis=1)

"""Which of a face an overlay leaves out because something lies over it: a hand, a cup, sunglasses.

The detector tells of each landmark how likely it is covered, and is wrong at times. So what it is certain of decides
whether anything is left out, and what it merely takes for likely decides how far around that. Between the landmarks, on
the surface of the mean face, it is interpolated.
"""

import math

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.compiled import compiled
from face3dmm_ros.core.landmark_schemes import MEDIAPIPE478
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.rendering.smoothstep import smoothstep

# Likelihoods chosen on the photographs of odd numbers of `aflw2000_dev`, so that faces which nothing covers hardly lose
# anything; docs/live.md has what those of even numbers lose. All else by hand, looking at the former.
_CERTAIN, _LIKELY = (0.95, 0.98), (0.5, 0.8)
"""Likelihoods between which a landmark comes to be left out by itself, and beside one that is."""
_BY_ITSELF, _BESIDE_ANOTHER = (
    smoothstep(*limits, np.arange(256) / 255.0).astype(np.float32) for limits in (_CERTAIN, _LIKELY)
)
"""How far a landmark is left out, by itself and beside one that is, by its likelihood of 0 to 255."""
_FROM_THE_SIDE = math.cos(math.radians(55.0)), math.cos(math.radians(40.0))
"""How far a face looks into the camera, as a cosine, up to which nothing is left out, and from which on all that is
told: of faces from the side the detector takes cheeks for covered that are not."""
_BESIDE = 12
"""Landmarks that are beside one."""
_AROUND = 4
"""Landmarks that tell of a vertex."""
_NEAR = 15.0, 40.0
"""mm to the nearest of them up to which they tell of it, and from which on they tell nothing."""
_SOFTENING_MM = 1.0
"""Distance below which no landmark counts for more; it keeps a vertex that lies on one finite."""
_BLOCK = 4096
"""Vertices whose distances are worked out at once, so that a large model takes little memory."""


class FaceCover:
    """How much of each of a model's vertices shows, by what is told of the landmarks in `MEDIAPIPE478`."""

    def __init__(self, model: MorphableModel) -> None:
        """Find the landmarks around each vertex.

        Raises:
            Face3DMMError: the model has no landmarks in that scheme.
        """
        points = model.scheme(MEDIAPIPE478).interpolate(model.mean).astype(np.float32)
        self._count = len(points)
        self._beside, _ = _nearest(points, points, _BESIDE)
        self._around, distance = _nearest(model.mean, points, _AROUND)
        weights = 1.0 / (distance**2 + _SOFTENING_MM**2)
        weights /= weights.sum(axis=1, keepdims=True)
        self._weights = np.float32(smoothstep(*_NEAR[::-1], distance.min(axis=1, keepdims=True)) * weights)

    @property
    def vertex_count(self) -> int:
        """N."""
        return len(self._around)

    @staticmethod
    def of(model: MorphableModel) -> "FaceCover | None":
        """Of a model that has these landmarks."""
        return FaceCover(model) if MEDIAPIPE478 in model.landmarks else None

    def shown(self, covered: NDArray[np.uint8] | None, rotation: NDArray[np.float64]) -> NDArray[np.float32] | None:
        """How much of each vertex shows, (N,) in [0, 1]; None: all of it.

        Args:
            covered: (478,) as `core.values.Landmarks` has it; where there is none, or of other landmarks, all shows.
            rotation: of the face, R: model space to camera space.
        """
        if covered is None or len(covered) != self._count or covered.max() <= 255.0 * _CERTAIN[0]:
            return None
        seen = float(smoothstep(*_FROM_THE_SIDE, -rotation[2, 2]))
        if seen == 0.0:
            return None
        by_itself, beside_another = _BY_ITSELF[covered], _BESIDE_ANOTHER[covered]
        return _shown(by_itself, beside_another, np.float32(seen), self._beside, self._around, self._weights)


def _nearest(
    places: NDArray[np.float32], points: NDArray[np.float32], count: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Which of some points (L, 3) are nearest to each of N places (N, 3), (N, count), and how far away, mm."""
    found = np.empty((len(places), count), np.int32)
    distance = np.empty((len(places), count), np.float32)
    for first in range(0, len(places), _BLOCK):
        block = slice(first, first + _BLOCK)
        all_distances = np.sqrt(sum((places[block, None, k] - points[None, :, k]) ** 2 for k in range(3)))
        found[block] = np.argpartition(all_distances, count, axis=1)[:, :count]
        distance[block] = np.take_along_axis(all_distances, found[block], axis=1)
    return found, distance


@compiled
def _shown(
    certain: NDArray[np.float32],
    likely: NDArray[np.float32],
    seen: np.float32,
    beside: NDArray[np.int32],
    around: NDArray[np.int32],
    weights: NDArray[np.float32],
) -> NDArray[np.float32]:
    """How much of each vertex shows, (N,).

    Args:
        certain, likely: (L,) in [0, 1], how far each landmark is left out by itself, and beside one that is.
        seen: in [0, 1], the share of that which counts.
        beside: (L, B) landmarks beside each.
        around: (N, A) landmarks around each vertex.
        weights: (N, A) of these.
    """
    hidden = certain.copy()
    changes = True
    while changes:  # it only grows, and not beyond 1
        changes = False
        for point in range(len(hidden)):
            if likely[point] <= hidden[point] + 0.01:  # less is not seen
                continue
            most = 0.0
            for other in beside[point]:
                most = max(most, hidden[other])
            if likely[point] * most > hidden[point] + 0.01:
                hidden[point] = likely[point] * most
                changes = True
    shown = np.ones(len(around), np.float32)
    for vertex in range(len(around)):
        if weights[vertex, 0] > 0.0:  # else no landmark is near
            covered = np.float32(0.0)
            for place in range(around.shape[1]):
                covered += weights[vertex, place] * hidden[around[vertex, place]]
            shown[vertex] = max(np.float32(1.0) - seen * covered, np.float32(0.0))
    return shown

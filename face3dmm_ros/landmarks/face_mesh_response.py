"""Face Mesh's bias and standard deviation on known faces, by yaw and pitch.

Measured by `lab/landmark_networks/measure_face_mesh_response.py`: from the front on photographs of calm people, and how
that changes as a head turns on this package's synthetic faces. Face Mesh draws the far cheek along the head's visible
edge, turns heads too little from 45° on, and lifts and lowers them too little always; all are undone here.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.compiled import compiled
from face3dmm_ros.core.landmark_schemes import SCHEME_SIZES
from face3dmm_ros.core.similarity import scaled_rotation
from face3dmm_ros.landmarks.schemes import MEDIAPIPE478, SKIN_COUNT
from face3dmm_ros.landmarks.table_file import read_table

_LEAST_VOLUME, _CONVERGED, _MOST_STEPS = 1e-6, 1e-8, 30
"""Of Newton's iteration, by hand: the determinant, over the norm's cube, from which it is used, the change after which
the next one is below rounding, and its length; five steps are usual."""

MOST_PITCH = 40.0
"""Degrees, beyond which errors grow no more; chosen by hand: few of the faces that were measured reach it."""


@dataclass(frozen=True, eq=False)
class FaceMeshResponse:
    """Face Mesh's errors by yaw, for heads that look to the right of the image; the mirror image for the others.

    Attributes:
        yaw: (B,) degrees, ascending from 0.
        bias: (B, 478, 2) float32, mm: how far right and down, as the upright face is seen, each point strays.
        tilt: (B, 478, 2) float32, mm by a degree of pitch, as far as `MOST_PITCH`: how much more.
        deviation: (B, 468) float32, mm: standard deviation of a coordinate of the skin's points about that.
        canonical: (468, 3) float32, mm: where the skin's points lie on the mean face.
        mirror: (478,) int32: each point's counterpart on the other side.
    """

    yaw: NDArray[np.float32]
    bias: NDArray[np.float32]
    tilt: NDArray[np.float32]
    deviation: NDArray[np.float32]
    canonical: NDArray[np.float32]
    mirror: NDArray[np.int32]

    @staticmethod
    def load(path: Path) -> "FaceMeshResponse":
        """Read a .npz.

        Raises:
            Face3DMMError: the file is missing or not such a table.
        """
        all_points = SCHEME_SIZES[MEDIAPIPE478]
        by_yaw = {
            "yaw": ("B",),
            "bias": ("B", all_points, 2),
            "tilt": ("B", all_points, 2),
            "deviation": ("B", SKIN_COUNT),
        }
        shapes = by_yaw | {"canonical": (SKIN_COUNT, 3), "mirror": (all_points,)}
        return FaceMeshResponse(**read_table(path, shapes, "a table of Face Mesh's response"))

    def view(self, points: NDArray[np.float32], depth: NDArray[np.float32]) -> WeakPerspective:
        """How a face is seen whose 468 points (468, 2) and depth (468,), px, are known in three dimensions.

        The similarity from the mean face (Umeyama, PAMI 1991); its translation is left out.
        """
        mean, square = self._centered
        # The mean face is centred: the points need not be.
        cross, rotation = _crossed(points, depth, mean)
        if math.isnan(rotation[0, 0]):
            scale, rotation = scaled_rotation(cross, square)
        else:
            scale = float(np.vdot(rotation, cross)) / square
        return WeakPerspective(max(scale, 1e-6), rotation, np.zeros(2))

    def undo(
        self, points: NDArray[np.float32], view: WeakPerspective
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Face Mesh's points (478, 2), px, as they should be for a face seen so; the skin's deviation (468,), px."""
        yaw, directions = yaw_degrees(view.rotation), right_and_down(view.rotation)
        pitch = min(max(pitch_degrees(view.rotation), -MOST_PITCH), MOST_PITCH)
        table = self.yaw, self.bias, self.tilt, self.deviation, self.mirror
        return _undone(points, yaw, pitch, view.scale, directions, *table)

    @cached_property
    def _centered(self) -> tuple[NDArray[np.float64], float]:
        """The canonical points about their mean, and the sum of their squares."""
        canonical = self.canonical.astype(np.float64)
        canonical -= canonical.mean(axis=0)
        return canonical, float((canonical**2).sum())


def yaw_degrees(rotation: NDArray[np.floating]) -> float:
    """How far a face seen under R (3, 3) looks to the right of the image, degrees."""
    return math.degrees(math.atan2(rotation[0, 2], -rotation[2, 2]))


def pitch_degrees(rotation: NDArray[np.floating]) -> float:
    """How far a face seen under R (3, 3) looks down in the upright face, degrees."""
    down = right_and_down(rotation)[1] @ rotation[:2, 2]
    return math.degrees(math.asin(min(max(float(down), -1.0), 1.0)))


def right_and_down(rotation: NDArray[np.floating]) -> NDArray[np.float64]:
    """(2, 2): the image directions that are right and down once a face seen under R (3, 3) is upright."""
    x, y = float(rotation[0, 1]), float(rotation[1, 1])
    length = max(math.hypot(x, y), 1e-9)
    x, y = x / length, y / length
    return np.array([[-y, x], [-x, -y]])


@compiled
def _crossed(
    points: NDArray[np.float32], depth: NDArray[np.float32], mean: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Σ b·aᵀ, (3, 3), of points b (N, 2) with their depth (N,) and a, (N, 3) about their mean; its nearest rotation."""
    cross = np.zeros((3, 3))
    for point in range(len(points)):
        for axis in range(3):
            cross[0, axis] += points[point, 0] * mean[point, axis]
            cross[1, axis] += points[point, 1] * mean[point, axis]
            cross[2, axis] += depth[point] * mean[point, axis]
    return cross, _nearest_rotation(cross)


@compiled
def _nearest_rotation(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """As `core.rotations.nearest_rotation`, without its decomposition, which takes long; NaN where only that tells.

    Newton's iteration for the polar factor (Higham, Computing the Polar Decomposition — with Applications, 1986) ends
    at the nearest orthogonal matrix: a rotation if the determinant is above 0.
    """
    now, cofactors = np.empty((3, 3)), np.empty((3, 3))
    for i in range(3):
        for c in range(3):
            now[i, c] = matrix[i, c]
    for _ in range(_MOST_STEPS):
        square = cofactor_square = determinant = 0.0
        for i in range(3):
            j, k = (i + 1) % 3, (i + 2) % 3
            for c in range(3):
                d, e = (c + 1) % 3, (c + 2) % 3
                cofactors[i, c] = now[j, d] * now[k, e] - now[j, e] * now[k, d]
                square += now[i, c] ** 2
                cofactor_square += cofactors[i, c] ** 2
            determinant = now[i, 0] * cofactors[i, 0] + now[i, 1] * cofactors[i, 1] + now[i, 2] * cofactors[i, 2]
        if not determinant > _LEAST_VOLUME * square**1.5:
            break
        growth = math.sqrt(math.sqrt(cofactor_square / square) / determinant)
        change = 0.0
        for i in range(3):
            for c in range(3):
                after = (growth * now[i, c] + cofactors[i, c] / (growth * determinant)) / 2.0
                change += abs(after - now[i, c])
                now[i, c] = after
        if change < _CONVERGED:
            return now
    now[0, 0] = np.nan
    return now


@compiled
def _undone(
    points: NDArray[np.float32],
    yaw: float,
    pitch: float,
    scale: float,
    directions: NDArray[np.float64],
    yaws: NDArray[np.float32],
    bias: NDArray[np.float32],
    tilt: NDArray[np.float32],
    deviation: NDArray[np.float32],
    mirror: NDArray[np.int32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """`FaceMeshResponse.undo` at a yaw and pitch, degrees, a scale, px per mm, and `right_and_down` of the view."""
    side = -1.0 if yaw < 0.0 else 1.0
    low = len(yaws) - 2
    while low > 0 and side * yaw < yaws[low]:
        low -= 1
    share = min(max((side * yaw - yaws[low]) / (yaws[low + 1] - yaws[low]), 0.0), 1.0)
    at, strays = np.empty((len(points), 2), np.float32), np.empty(deviation.shape[1], np.float32)
    for point in range(len(points)):
        known = mirror[point] if side < 0.0 else point
        right = (
            side
            * scale
            * (
                (1.0 - share) * (bias[low, known, 0] + pitch * tilt[low, known, 0])
                + share * (bias[low + 1, known, 0] + pitch * tilt[low + 1, known, 0])
            )
        )
        down = scale * (
            (1.0 - share) * (bias[low, known, 1] + pitch * tilt[low, known, 1])
            + share * (bias[low + 1, known, 1] + pitch * tilt[low + 1, known, 1])
        )
        at[point, 0] = points[point, 0] - (right * directions[0, 0] + down * directions[1, 0])
        at[point, 1] = points[point, 1] - (right * directions[0, 1] + down * directions[1, 1])
        if point < len(strays):
            strays[point] = scale * ((1.0 - share) * deviation[low, known] + share * deviation[low + 1, known])
    return at, strays

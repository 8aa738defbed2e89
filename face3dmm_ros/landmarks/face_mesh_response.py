"""Face Mesh's bias and standard deviation on known faces, by yaw.

Measured by `lab/landmark_networks/measure_face_mesh_response.py`: from the front on photographs of calm people, and how
that changes as a head turns on this package's synthetic faces. Face Mesh draws the far cheek along the head's visible
edge and turns heads too little from 45° on; both are undone here.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.similarity import scaled_rotation
from face3dmm_ros.landmarks.schemes import MEDIAPIPE478, SCHEME_SIZES, SKIN_COUNT
from face3dmm_ros.landmarks.table_file import read_table


@dataclass(frozen=True, eq=False)
class FaceMeshResponse:
    """Face Mesh's errors by yaw, for heads that look to the right of the image; the mirror image for the others.

    Attributes:
        yaw: (B,) degrees, ascending from 0.
        bias: (B, 478, 2) float32, mm: how far right and down, as the upright face is seen, each point strays.
        deviation: (B, 468) float32, mm: standard deviation of a coordinate of the skin's points about that.
        canonical: (468, 3) float32, mm: where the skin's points lie on the mean face.
        mirror: (478,) int32: each point's counterpart on the other side.
    """

    yaw: NDArray[np.float32]
    bias: NDArray[np.float32]
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
        by_yaw = {"yaw": ("B",), "bias": ("B", all_points, 2), "deviation": ("B", SKIN_COUNT)}
        shapes = by_yaw | {"canonical": (SKIN_COUNT, 3), "mirror": (all_points,)}
        return FaceMeshResponse(**read_table(path, shapes, "a table of Face Mesh's response"))

    def view(self, points: NDArray[np.float32], depth: NDArray[np.float32]) -> WeakPerspective:
        """How a face is seen whose 468 points (468, 2) and depth (468,), px, are known in three dimensions.

        The similarity from the mean face (Umeyama, PAMI 1991); its translation is left out.
        """
        mean, square = self._centered
        # The mean face is centred: the points need not be.
        cross = np.vstack([points.T @ mean, depth @ mean])
        scale, rotation = scaled_rotation(cross, square)
        return WeakPerspective(max(scale, 1e-6), rotation, np.zeros(2))

    def undo(
        self, points: NDArray[np.float32], view: WeakPerspective
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Face Mesh's points (478, 2), px, as they should be for a face seen so; the skin's deviation (468,), px."""
        yaw = yaw_degrees(view.rotation)
        at = float(np.interp(abs(yaw), self.yaw, np.arange(len(self.yaw))))
        low = min(int(at), len(self.yaw) - 2)
        share = np.float32(at - low)
        bias = (1 - share) * self.bias[low] + share * self.bias[low + 1]
        deviation = (1 - share) * self.deviation[low] + share * self.deviation[low + 1]
        if yaw < 0:
            bias = bias[self.mirror] * np.array([-1, 1], np.float32)
            deviation = deviation[self.mirror[:SKIN_COUNT]]
        scale = np.float32(view.scale)
        return points - scale * (bias @ right_and_down(view.rotation)).astype(np.float32), scale * deviation

    @cached_property
    def _centered(self) -> tuple[NDArray[np.float64], float]:
        """The canonical points about their mean, and the sum of their squares."""
        canonical = self.canonical.astype(np.float64)
        canonical -= canonical.mean(axis=0)
        return canonical, float((canonical**2).sum())


def yaw_degrees(rotation: NDArray[np.floating]) -> float:
    """How far a face seen under R (3, 3) looks to the right of the image, degrees."""
    return float(np.degrees(np.arctan2(rotation[0, 2], -rotation[2, 2])))


def right_and_down(rotation: NDArray[np.floating]) -> NDArray[np.floating]:
    """(2, 2): the image directions that are right and down once a face seen under R (3, 3) is upright."""
    up = rotation[:2, 1] / max(float(np.linalg.norm(rotation[:2, 1])), 1e-9)
    return np.array([[-up[1], up[0]], [-up[0], -up[1]]])

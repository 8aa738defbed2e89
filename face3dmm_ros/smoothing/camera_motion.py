"""A camera that moves: what it saw of heads that stand still, as it sees them from where it is now.

A robot's camera turns with its head, and then all faces move in the image at once. A filter of what is seen there takes
that for their own motion, and lags where it begins and overshoots where it ends. With its memory carried along, it is a
filter in a frame that does not move.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import Intrinsics, MetricPose, WeakPerspective, metric_pose, weak_perspective_of


@dataclass(frozen=True, eq=False)
class CameraPlace:
    """Where a camera is in a frame that does not move: X_fixed = rotation · X_camera + position.

    Attributes:
        rotation: (3, 3) float64, the camera's optical axes in that frame.
        position: (3,) float64, m.
        intrinsics: the camera's.
    """

    rotation: NDArray[np.float64]
    position: NDArray[np.float64]
    intrinsics: Intrinsics


def carried(seen: WeakPerspective, before: CameraPlace, now: CameraPlace) -> WeakPerspective:
    """How a head that was seen from one place, and has not moved, is seen from another.

    It stays as it was where it would lie behind the camera: then the fixed frame itself has leapt.
    """
    pose = metric_pose(seen, before.intrinsics)
    position = now.rotation.T @ (before.rotation @ pose.position + before.position - now.position)
    if position[2] <= 0.0:
        return seen
    rotation = now.rotation.T @ before.rotation @ pose.rotation
    return weak_perspective_of(MetricPose(rotation, position), now.intrinsics)

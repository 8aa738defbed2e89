"""Which faces look at the camera."""

import numpy as np

from face3dmm_ros.core.face_memory import FaceMemory
from face3dmm_ros.core.values import FaceParameters

_LEAVING = 1.5
"""How much farther a face that looks at the camera may look away before it counts as looking elsewhere; chosen by hand,
so that one at the limit does not flicker."""


def angle_to_camera(parameters: FaceParameters) -> float:
    """Degrees between where a face looks and the camera; where the head points, if the model has no eyes that turn."""
    # Both are relative to the viewing ray, along which (0, 0, −1) leads back to the camera.
    looks = parameters.gaze[2] if len(parameters.gaze) else parameters.camera.rotation[:, 2]
    return float(np.degrees(np.arccos(np.clip(-looks[2], -1.0, 1.0))))


class MutualGaze(FaceMemory[bool]):
    """Tells of tracked faces whether they look at the camera, with hysteresis.

    Attributes:
        angle: degrees up to which a face begins to look at the camera; it goes on up to half as much more.
    """

    def __init__(self, angle: float) -> None:
        """Begin without any face."""
        super().__init__()
        self.angle = angle

    def update(self, face_id: int, parameters: FaceParameters) -> bool:
        """Whether a face looks at the camera, given its parameters in its next image."""
        limit = self.angle * (_LEAVING if self._faces.get(face_id, False) else 1.0)
        self._faces[face_id] = angle_to_camera(parameters) <= limit
        return self._faces[face_id]

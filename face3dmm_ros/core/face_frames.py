"""Frames on a face as REP-155 (ROS4HRI) defines them."""

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import MetricPose

_FACE_AXES = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
"""Columns: REP-155's x (out of the face), y (the person's left), z (up): model space's z, x and y."""


def face_frame(pose: MetricPose, sellion: NDArray[np.floating]) -> MetricPose:
    """The frame `face_<id>` in the camera: x out of the face, z up, the origin at the sellion.

    Args:
        pose: model to camera.
        sellion: (3,) the deepest point between nose and forehead, in model space, mm.
    """
    return MetricPose(pose.rotation @ _FACE_AXES, pose.transform(np.asarray(sellion, np.float64)[None])[0])


def gaze_frame(face: MetricPose, direction: NDArray[np.float64] | None = None) -> MetricPose:
    """The frame `gaze_<id>` in the camera: z where the person looks, x right, y down, the origin that of the face.

    It is turned about its z as little as that allows: y lies in the plane of z and the face's down.

    Args:
        face: the frame `face_<id>` in the camera.
        direction: (3,) unit vector in the camera; None, or along the face's z axis: straight ahead.
    """
    ahead, left, up = face.rotation.T
    z = ahead if direction is None else direction / np.linalg.norm(direction)
    x = np.cross(-up, z)
    if np.linalg.norm(x) < 1e-6:
        z, x = ahead, -left
    x = x / np.linalg.norm(x)
    return MetricPose(np.column_stack([x, np.cross(z, x), z]), face.position)

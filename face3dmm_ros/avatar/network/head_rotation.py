"""A head's and its eyes' rotations in the conventions of other programs.

Rotations are relative to a face that looks into the camera, about the axes of the model: x toward the person's own
left, y up, z out of the face. R of weak perspective is relative to the viewing ray, so that a person at the picture's
edge who looks into the camera makes an avatar look straight ahead.
"""

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.avatar.weights.gaze import eye_angles
from face3dmm_ros.core.rotations import FRONTAL, rotation_vector


def unity_quaternion(rotation: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """The rotation of an avatar's head bone in Unity, where an avatar's right is +x, up +y and ahead +z.

    Unity's x axis is the mirror image of the model's, so that the axis of a rotation (a, b, c) becomes (a, −b, −c).
    A person who turns to their own left, about +y here, makes the avatar turn to its own left, about −y there.

    Args:
        rotation: (3, 3) R of weak perspective, model → camera.

    Returns:
        x, y, z and w of a unit quaternion, w ≥ 0.
    """
    return _unity(rotation_vector(FRONTAL @ rotation))


def unity_eye_quaternion(weights: NDArray[np.float32], side: str) -> tuple[float, float, float, float]:
    """The rotation of an avatar's eye bone relative to its head, as `unity_quaternion` gives that of the head.

    Args:
        weights: (52,) of `ARKIT_NAMES`.
        side: ``Left`` or ``Right``.
    """
    yaw, pitch = eye_angles(weights, side)
    return _unity(np.array([-pitch, yaw, 0.0]))


def _unity(vector: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """The quaternion in Unity's axes of a rotation vector in the model's."""
    angle = float(np.linalg.norm(vector))
    x, y, z = vector * (0.5 * np.sinc(angle / (2.0 * np.pi)))  # sin(angle / 2) / angle, also at 0
    return float(x), float(-y), float(-z), float(np.cos(angle / 2.0))


def head_angles(rotation: NDArray[np.float64]) -> tuple[float, float, float]:
    """Yaw ψ, pitch θ and roll φ of FRONTAL·R = Ry(ψ)·Rx(−θ)·Rz(φ), radians.

    As seen by the person, yaw turns left, pitch looks up and roll tilts to the right shoulder. The head is rolled
    first, then pitched, then turned, like Unreal's rotators.

    Args:
        rotation: (3, 3) R of weak perspective, model → camera.
    """
    turn = FRONTAL @ rotation
    yaw, pitch = np.arctan2(turn[0, 2], turn[2, 2]), np.arcsin(np.clip(turn[1, 2], -1.0, 1.0))
    return float(yaw), float(pitch), float(np.arctan2(turn[1, 0], turn[1, 1]))

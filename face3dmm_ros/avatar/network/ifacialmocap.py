"""A face as the text that the iFacialMocap app sends to a computer (its first version).

What is relied on, of the app's page for developers (https://www.ifacialmocap.com/for-developer) and of packets that
programs which read it show:

- A datagram to port 49983 is ASCII: ``NAME-VALUE|`` for each blendshape, then ``=head#RX,RY,RZ,TX,TY,TZ|``,
  ``rightEye#RX,RY,RZ|`` and ``leftEye#RX,RY,RZ|``.
- Names are ARKit's with ``_L`` and ``_R`` for Left and Right, except jawLeft, jawRight, mouthLeft and mouthRight.
- Values are integers from 0 to 100, since ``-`` is what parts them from names.
- Angles are degrees about ARKit's axes, which are the model's: x looks down, y turns to the person's own left, z tilts
  to their right shoulder, rolled first, then pitched, then turned. The page tells no signs; these are what the eyes of
  its example, which look at a near screen, agree with.

The app begins to send when it is greeted; here that is not waited for.
"""

import math
import re

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.avatar.avatar import AvatarFace
from face3dmm_ros.avatar.network.head_rotation import head_angles
from face3dmm_ros.avatar.weights.gaze import eye_angles
from face3dmm_ros.core.arkit import ARKIT_NAMES

_WHOLE = ("jawLeft", "jawRight", "mouthLeft", "mouthRight")
"""Names that tell a direction, not a side."""


def _name(name: str) -> str:
    """What the app calls one of ARKit's blendshapes."""
    return name if name in _WHOLE else re.sub("(Left|Right)$", lambda side: f"_{side[0][0]}", name)


IFACIALMOCAP_NAMES = tuple(map(_name, ARKIT_NAMES))
"""The app's names, in the order of `ARKIT_NAMES`."""


def ifacialmocap_datagrams(face: AvatarFace | None) -> list[bytes]:
    """One frame as one datagram; none without a face, as where the app sees none: the avatar stays as it is.

    Where the head is goes out as 0: the tracker tells its size in the picture, not its place.
    """
    if face is None:
        return []
    yaw, pitch, roll = head_angles(face.parameters.camera.rotation)
    values = np.rint(100.0 * face.weights).astype(int).tolist()
    parts = [f"{name}-{value}" for name, value in zip(IFACIALMOCAP_NAMES, values, strict=True)]
    parts.append(f"=head#{_degrees(-pitch, yaw, roll)},0,0,0")
    parts += [f"{side.lower()}Eye#{_eye(face.weights, side)}" for side in ("Right", "Left")]
    return ["".join(f"{part}|" for part in parts).encode("ascii")]


def _eye(weights: NDArray[np.float32], side: str) -> str:
    yaw, pitch = eye_angles(weights, side)
    return _degrees(-pitch, yaw, 0.0)


def _degrees(*angles: float) -> str:
    return ",".join(f"{math.degrees(angle) + 0.0:.4f}" for angle in angles)

"""A face as VRChat's avatar parameters over OSC, as VRCFaceTracking sends them (its second version).

What is relied on, of https://docs.vrchat.com (OSC as Input Controller, OSC Eye Tracking) and https://docs.vrcft.io
(Parameters):

- VRChat listens on port 9000. ``/avatar/parameters/NAME`` with a float or a bool sets a parameter of the avatar that
  has one of this name; others are ignored. Face tracking avatars name theirs ``FT/v2/`` and the Unified Expression.
- ``v2/EyeLidLeft`` is 0 for a closed eye, 0.75 for an open and 1 for a wide one; ``v2/EyeLeftX`` looks to the person's
  own right, ``v2/EyeLeftY`` up, each in [-1, 1].
- ``EyeTrackingActive`` and ``LipTrackingActive`` tell whether there is anything to show.
- ``/tracking/eye/LeftRightPitchYaw`` and ``/tracking/eye/EyesClosedAmount`` move eyes of avatars without parameters:
  degrees, left pitch, left yaw, right pitch, right yaw; pitch down and yaw to the person's own right are positive.

The head is VRChat's own affair, and parameters of single bits (``JawOpen1``, ``JawOpen2``, …) are not sent.
"""

import math

import numpy as np

from face3dmm_ros.avatar.avatar import AvatarFace
from face3dmm_ros.avatar.network.osc import osc_datagrams, osc_message
from face3dmm_ros.avatar.weights.gaze import eye_angles
from face3dmm_ros.avatar.weights.mixing import mixing_matrix
from face3dmm_ros.avatar.weights.unified_expressions import UNIFIED_BLENDS, UNIFIED_SHAPES
from face3dmm_ros.core.arkit import weight_of

_PARAMETERS = "/avatar/parameters/"
_EXPRESSIONS = {**UNIFIED_SHAPES, **UNIFIED_BLENDS}
_ADDRESSES = tuple(f"{_PARAMETERS}FT/v2/{name}" for name in _EXPRESSIONS)
_MIXING = mixing_matrix(_EXPRESSIONS.values())
_OPEN = 0.75
"""``EyeLid`` of an open eye, as VRCFaceTracking has it; the rest is for a wide one."""


def vrchat_datagrams(face: AvatarFace | None) -> list[bytes]:
    """One frame, in datagrams that fit an Ethernet frame.

    Args:
        face: None says that nothing is tracked: the avatar goes back to VRChat's own eyes and mouth.
    """
    messages = [osc_message(f"{_PARAMETERS}{what}TrackingActive", face is not None) for what in ("Eye", "Lip")]
    if face is not None:
        values = np.clip(_MIXING @ face.weights, -1.0, 1.0).tolist()
        messages += map(osc_message, _ADDRESSES, values)
        messages += _eyes(face)
    return osc_datagrams(messages)


def _eyes(face: AvatarFace) -> list[bytes]:
    """What is no sum of weights: lids, and VRChat's own eyes."""
    closed = {side: weight_of(face.weights, f"eyeBlink{side}") for side in ("Left", "Right")}
    lids = {
        side: _OPEN * (1.0 - blink) + (1.0 - _OPEN) * weight_of(face.weights, f"eyeWide{side}")
        for side, blink in closed.items()
    }
    turns = []
    for side in ("Left", "Right"):
        yaw, pitch = eye_angles(face.weights, side)
        turns += [-math.degrees(pitch), -math.degrees(yaw)]
    return [
        *(osc_message(f"{_PARAMETERS}FT/v2/EyeLid{side}", lid) for side, lid in lids.items()),
        osc_message(f"{_PARAMETERS}FT/v2/EyeLid", sum(lids.values()) / 2.0),
        osc_message("/tracking/eye/LeftRightPitchYaw", *turns),
        osc_message("/tracking/eye/EyesClosedAmount", sum(closed.values()) / 2.0),
    ]

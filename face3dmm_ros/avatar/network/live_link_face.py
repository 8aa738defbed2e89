"""A face as the datagram that Epic's Live Link Face app sends to Unreal Engine (packet version 6).

Big-endian: uint8 version; the device's and the subject's name, each an int32 length and as many ASCII characters; the
frame's time as int32 frame, float32 part of a frame, and the frame rate as int32 numerator and denominator; uint8
number of values; float32 values. Fields and order are those that the AppleARKitFaceSupport plugin of the engine reads.
"""

import struct
from uuid import NAMESPACE_DNS, uuid5

import numpy as np

from face3dmm_ros.avatar.avatar import AvatarFace
from face3dmm_ros.avatar.network.head_rotation import head_angles
from face3dmm_ros.core.arkit import ARKIT_NAMES

# fmt: off
LIVE_LINK_NAMES = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft",
    "eyeWideLeft", "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight",
    "eyeSquintRight", "eyeWideRight", "jawForward", "jawLeft", "jawRight", "jawOpen", "mouthClose", "mouthFunnel",
    "mouthPucker", "mouthLeft", "mouthRight", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft",
    "mouthFrownRight", "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthPressLeft", "mouthPressRight",
    "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight", "browDownLeft",
    "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff", "cheekSquintLeft",
    "cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut",
)
"""ARKit's 52 names in the order of the packet (the engine's EARFaceBlendShape)."""
# fmt: on

_VERSION = 6
_FRAMES_PER_SECOND = 60  # of the time code; chosen by hand
_SECONDS_PER_DAY = 86400.0
_PLACES = np.array([ARKIT_NAMES.index(name) for name in LIVE_LINK_NAMES])
_EYE_ANGLES = (0.0,) * 6
"""Yaw, pitch and roll of the left and the right eye: where the eyes look is in the eyeLook weights."""


def live_link_datagram(face: AvatarFace, subject: str, time: float) -> bytes:
    """Encode one face as one datagram.

    The head's angles are radians with the signs of `head_angles`. Epic documents neither; other programs that move
    MetaHumans from a web camera send them so.

    Args:
        face: its weights and rotation are sent.
        subject: the name under which Unreal lists it, ASCII.
        time: of the image, s; its time of day becomes the frame's time code, at 60 frames a second.
    """
    frame, part = divmod(time % _SECONDS_PER_DAY * _FRAMES_PER_SECOND, 1.0)
    values = (*face.weights[_PLACES].tolist(), *head_angles(face.parameters.camera.rotation), *_EYE_ANGLES)
    return (
        struct.pack(">B", _VERSION)
        + _text(_device(subject))
        + _text(subject)
        + struct.pack(f">ifiiB{len(values)}f", int(frame), part, _FRAMES_PER_SECOND, 1, len(values), *values)
    )


def _device(subject: str) -> str:
    """The same identifier of the same subject in every run; 36 characters, as the app's are."""
    return str(uuid5(NAMESPACE_DNS, f"{subject}.face3dmm_ros"))


def _text(text: str) -> bytes:
    encoded = text.encode("ascii")
    return struct.pack(">i", len(encoded)) + encoded

"""A face as the VMC protocol's messages, which move VRM avatars (https://protocol.vmc.info, marionette specification).

Blendshapes go by the names of "perfect sync", which are ARKit's. Receivers tell upper and lower case apart. The
protocol refers to Unity's enumeration, which begins with capitals (JawOpen), and so do most avatars; others are
named like Apple's (jawOpen).
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pythonosc.parsing.osc_types import IMMEDIATELY, write_date, write_float, write_int, write_string

from face3dmm_ros.avatar.avatar import AvatarFace
from face3dmm_ros.avatar.network.head_rotation import unity_quaternion
from face3dmm_ros.core.arkit import ARKIT_NAMES

BLEND_NAMES: Mapping[str, tuple[str, ...]] = {
    "pascal": tuple(name[0].upper() + name[1:] for name in ARKIT_NAMES),
    "arkit": ARKIT_NAMES,
}
"""Ways to name the blendshapes, in the order of `ARKIT_NAMES`."""
_BUNDLE = b"#bundle\0" + write_date(IMMEDIATELY)
_MESSAGES = 29
"""In a datagram: what fits an Ethernet frame of 1500 bytes."""
_TYPES: dict[type, tuple[str, Callable[[Any], bytes]]] = {
    str: ("s", write_string),
    int: ("i", write_int),
    float: ("f", write_float),
}


def vmc_datagrams(face: AvatarFace | None, time: float, names: str = "pascal") -> list[bytes]:
    """One frame, in datagrams that fit an Ethernet frame; the weights take effect with the last one.

    Bones are given relative to their parents. Where the head bone lies is the avatar's own affair and goes out as 0.

    Args:
        face: None says that no face is tracked: the avatar stays as it is.
        time: since the sender began, s; float32 on the wire.
        names: a key of `BLEND_NAMES`.
    """
    messages = [_message("/VMC/Ext/OK", int(face is not None)), _message("/VMC/Ext/T", float(time))]
    if face is not None:
        head = unity_quaternion(face.parameters.camera.rotation)
        messages += [
            _message("/VMC/Ext/Root/Pos", "root", 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
            _message("/VMC/Ext/Bone/Pos", "Head", 0.0, 0.0, 0.0, *head),
            *map(partial(_message, "/VMC/Ext/Blend/Val"), BLEND_NAMES[names], face.weights.tolist()),
            _message("/VMC/Ext/Blend/Apply"),
        ]
    return [_BUNDLE + b"".join(messages[k : k + _MESSAGES]) for k in range(0, len(messages), _MESSAGES)]


def _message(address: str, *arguments: str | int | float) -> bytes:
    """An element of a bundle, as python-osc's builders make it, which read all back again: ten times the time."""
    tags = "".join(_TYPES[type(argument)][0] for argument in arguments)
    values = b"".join(_TYPES[type(argument)][1](argument) for argument in arguments)
    message = write_string(address) + write_string(f",{tags}") + values
    return write_int(len(message)) + message

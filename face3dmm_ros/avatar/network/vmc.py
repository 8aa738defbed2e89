"""A face as the VMC protocol's messages, which move VRM avatars (https://protocol.vmc.info, marionette specification).

Blendshapes go by the names of "perfect sync", which are ARKit's. Receivers tell upper and lower case apart. The
protocol refers to Unity's enumeration, which begins with capitals (JawOpen), and so do most avatars; others are
named like Apple's (jawOpen).
"""

from collections.abc import Mapping

from face3dmm_ros.avatar.avatar import AvatarFace
from face3dmm_ros.avatar.network.head_rotation import unity_quaternion
from face3dmm_ros.avatar.network.osc import bundles, message
from face3dmm_ros.core.arkit import ARKIT_NAMES

BLEND_NAMES: Mapping[str, tuple[str, ...]] = {
    "pascal": tuple(name[0].upper() + name[1:] for name in ARKIT_NAMES),
    "arkit": ARKIT_NAMES,
}
"""Ways to name the blendshapes, in the order of `ARKIT_NAMES`."""


def vmc_datagrams(face: AvatarFace | None, time: float, names: str = "pascal") -> list[bytes]:
    """One frame, in datagrams that fit an Ethernet frame; the weights take effect with the last one.

    Bones are given relative to their parents. Where the head bone lies is the avatar's own affair and goes out as 0.

    Args:
        face: None says that no face is tracked: the avatar stays as it is.
        time: since the sender began, s; float32 on the wire.
        names: a key of `BLEND_NAMES`.
    """
    state = [message("/VMC/Ext/OK", int(face is not None)), message("/VMC/Ext/T", float(time))]
    if face is None:
        return bundles(state)
    head = unity_quaternion(face.parameters.camera.rotation)
    pose = [
        message("/VMC/Ext/Root/Pos", "root", 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
        message("/VMC/Ext/Bone/Pos", "Head", 0.0, 0.0, 0.0, *head),
    ]
    weights = [
        message("/VMC/Ext/Blend/Val", name, weight)
        for name, weight in zip(BLEND_NAMES[names], face.weights.tolist(), strict=True)
    ]
    return bundles([*state, *pose, *weights, message("/VMC/Ext/Blend/Apply")])

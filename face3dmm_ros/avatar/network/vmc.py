"""A face as the VMC protocol's messages, which move VRM avatars (https://protocol.vmc.info, marionette specification).

Blendshapes go by the names of "perfect sync", which are ARKit's, or as VRM's presets. Receivers tell upper and lower
case apart. The protocol refers to Unity's enumeration, which begins with capitals (JawOpen), and so do most avatars;
others are named like Apple's (jawOpen). Avatars without perfect sync have VRM's presets, which the protocol names as
VRM 0 does (A, Blink_L, Joy).
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.avatar.avatar import AvatarFace
from face3dmm_ros.avatar.network.head_rotation import unity_eye_quaternion, unity_quaternion
from face3dmm_ros.avatar.network.osc import osc_datagrams, osc_message
from face3dmm_ros.avatar.weights.mixing import mixing_matrix
from face3dmm_ros.avatar.weights.vrm_presets import PRESETS, VRM_0_NAMES
from face3dmm_ros.core.arkit import ARKIT_NAMES, weight_of

BLEND_NAMES: Mapping[str, tuple[str, ...]] = {
    "pascal": tuple(name[0].upper() + name[1:] for name in ARKIT_NAMES),
    "arkit": ARKIT_NAMES,
    "vrm": tuple(name for name in VRM_0_NAMES.values() if not name.startswith("Look")),
}
"""Ways to name the blendshapes. The eyes' bones are sent, so that the presets that turn them are not."""
_SENT_PRESETS = [preset for preset, name in VRM_0_NAMES.items() if name in BLEND_NAMES["vrm"]]
_PRESET_MIXING = mixing_matrix(PRESETS[preset] for preset in _SENT_PRESETS)
_VOWELS = [_SENT_PRESETS.index(vowel) for vowel in ("aa", "ih", "ou", "ee", "oh")]


def vmc_datagrams(face: AvatarFace | None, time: float, names: str = "pascal") -> list[bytes]:
    """One frame, in datagrams that fit an Ethernet frame; the weights take effect with the last one.

    Bones are given relative to their parents. Where they lie is the avatar's own affair and goes out as 0.

    Args:
        face: None says that no face is tracked: the avatar stays as it is.
        time: since the sender began, s; float32 on the wire.
        names: a key of `BLEND_NAMES`.
    """
    messages = [osc_message("/VMC/Ext/OK", int(face is not None)), osc_message("/VMC/Ext/T", float(time))]
    if face is not None:
        values = preset_values(face.weights) if names == "vrm" else face.weights
        bones = {
            "Head": unity_quaternion(face.parameters.camera.rotation),
            "LeftEye": unity_eye_quaternion(face.weights, "Left"),
            "RightEye": unity_eye_quaternion(face.weights, "Right"),
        }
        messages += [
            osc_message("/VMC/Ext/Root/Pos", "root", 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
            *(osc_message("/VMC/Ext/Bone/Pos", bone, 0.0, 0.0, 0.0, *turn) for bone, turn in bones.items()),
            *(
                osc_message("/VMC/Ext/Blend/Val", name, value)
                for name, value in zip(BLEND_NAMES[names], values.tolist(), strict=True)
            ),
            osc_message("/VMC/Ext/Blend/Apply"),
        ]
    return osc_datagrams(messages)


def preset_values(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values in [0, 1] of VRM's presets, in the order of ``BLEND_NAMES["vrm"]``, of (52,) weights.

    They are `PRESETS`' sums, but for what receivers add up: vowels share one mouth, so that their sum is at most 1;
    and what both eyes close is Blink, what one closes beyond that is its own.
    """
    values = np.clip(_PRESET_MIXING @ weights, 0.0, 1.0)
    values[_VOWELS] /= max(1.0, float(values[_VOWELS].sum()))
    left, right = weight_of(weights, "eyeBlinkLeft"), weight_of(weights, "eyeBlinkRight")
    both = min(left, right)
    for preset, value in (("blink", both), ("blinkLeft", left - both), ("blinkRight", right - both)):
        values[_SENT_PRESETS.index(preset)] = value
    return values

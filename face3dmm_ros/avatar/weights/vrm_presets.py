"""VRM's preset expressions as sums of ARKit's weights: coarser, but nearly every VRM avatar has them."""

from collections.abc import Mapping

PRESETS: Mapping[str, Mapping[str, float]] = {
    "blinkLeft": {"eyeBlinkLeft": 1.0},
    "blinkRight": {"eyeBlinkRight": 1.0},
    "blink": {"eyeBlinkLeft": 0.5, "eyeBlinkRight": 0.5},
    "aa": {"jawOpen": 1.0},
    "oh": {"mouthFunnel": 1.0},
    "ou": {"mouthPucker": 1.0},
    "ee": {"mouthStretchLeft": 0.5, "mouthStretchRight": 0.5},
    "ih": {"mouthUpperUpLeft": 0.5, "mouthUpperUpRight": 0.5},
    # Artists close the eyes of a joyful face, and open its mouth: all of it would hide the person's own.
    "happy": {"mouthSmileLeft": 0.35, "mouthSmileRight": 0.35},
    "angry": {"browDownLeft": 0.5, "browDownRight": 0.5},
    "sad": {"mouthFrownLeft": 0.5, "mouthFrownRight": 0.5},
    "relaxed": {"mouthDimpleLeft": 0.35, "mouthDimpleRight": 0.35},
    "surprised": {"eyeWideLeft": 0.5, "eyeWideRight": 0.5},
    "lookUp": {"eyeLookUpLeft": 0.5, "eyeLookUpRight": 0.5},
    "lookDown": {"eyeLookDownLeft": 0.5, "eyeLookDownRight": 0.5},
    "lookLeft": {"eyeLookOutLeft": 0.5, "eyeLookInRight": 0.5},
    "lookRight": {"eyeLookInLeft": 0.5, "eyeLookOutRight": 0.5},
}
"""By the names of VRM 1. ``neutral`` has no counterpart; ``relaxed``, a smile without teeth, has its corners drawn in.
Where two weights drive one preset they have half of it each; other shares were chosen by hand.
"""

VRM_0_NAMES: Mapping[str, str] = {
    "aa": "A",
    "ih": "I",
    "ou": "U",
    "ee": "E",
    "oh": "O",
    "blink": "Blink",
    "blinkLeft": "Blink_L",
    "blinkRight": "Blink_R",
    "happy": "Joy",
    "angry": "Angry",
    "sad": "Sorrow",
    "relaxed": "Fun",
    "surprised": "Surprised",
    "lookUp": "LookUp",
    "lookDown": "LookDown",
    "lookLeft": "LookLeft",
    "lookRight": "LookRight",
}
"""What VRM 0 calls them (UniVRM's BlendShapePreset); it has no ``Surprised``, but many avatars do."""

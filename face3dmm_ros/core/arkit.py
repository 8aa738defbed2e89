"""ARKit's 52 blendshapes, the names by which avatars are driven.

Apple, ARFaceAnchor.BlendShapeLocation: each weight lies in [0, 1]. Left and right are the person's own.
"""

import numpy as np
from numpy.typing import NDArray

# fmt: off
ARKIT_NAMES = (
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff",
    "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight",
    "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight",
    "eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen", "jawRight",
    "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel",
    "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker",
    "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft",
    "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "noseSneerLeft", "noseSneerRight", "tongueOut",
)
"""All 52, in alphabetical order; no landmarks tell of tongueOut, so that a fit leaves it at 0."""
# fmt: on
WITHOUT_TONGUE = ARKIT_NAMES[:-1]
"""The 51 that a detector may read."""


def weight_of(weights: NDArray[np.float32], name: str) -> float:
    """One of (52,) weights by its name."""
    return float(weights[ARKIT_NAMES.index(name)])

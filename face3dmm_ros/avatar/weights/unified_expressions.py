"""VRCFaceTracking's Unified Expressions as sums of ARKit's weights.

Names and meanings are those of VRCFaceTracking's documents, https://docs.vrcft.io (Unified Expressions, with a table of
ARKit's names beside them). Left and right are the person's own there, too.
"""

from collections.abc import Mapping


def _both(name: str, *theirs: str) -> dict[str, dict[str, float]]:
    """Their shapes of each side that one of ARKit's of the same side moves."""
    return {f"{shape}{side}": {f"{name}{side}": 1.0} for shape in theirs for side in ("Left", "Right")}


def _all(name: str, *theirs: str) -> dict[str, dict[str, float]]:
    """Their shapes that one of ARKit's moves all together."""
    return {shape: {name: 1.0} for shape in theirs}


UNIFIED_SHAPES: Mapping[str, Mapping[str, float]] = {
    **_both("eyeBlink", "EyeClosed"),
    **_both("eyeSquint", "EyeSquint"),
    **_both("eyeWide", "EyeWide"),
    **_both("browDown", "BrowPinch", "BrowLowerer"),
    **_all("browInnerUp", "BrowInnerUpLeft", "BrowInnerUpRight"),
    **_both("browOuterUp", "BrowOuterUp"),
    **_both("noseSneer", "NoseSneer"),
    **_both("cheekSquint", "CheekSquint"),
    **_all("cheekPuff", "CheekPuffLeft", "CheekPuffRight"),
    **_all("jawOpen", "JawOpen"),
    **_all("jawLeft", "JawLeft"),
    **_all("jawRight", "JawRight"),
    **_all("jawForward", "JawForward"),
    **_all("mouthClose", "MouthClosed"),
    **_all("mouthRollUpper", "LipSuckUpperLeft", "LipSuckUpperRight"),
    **_all("mouthRollLower", "LipSuckLowerLeft", "LipSuckLowerRight"),
    **_all("mouthFunnel", *(f"LipFunnel{lip}{side}" for lip in ("Upper", "Lower") for side in ("Left", "Right"))),
    **_all("mouthPucker", *(f"LipPucker{lip}{side}" for lip in ("Upper", "Lower") for side in ("Left", "Right"))),
    **_both("mouthUpperUp", "MouthUpperUp", "MouthUpperDeepen"),
    **_both("mouthLowerDown", "MouthLowerDown"),
    **_all("mouthLeft", "MouthUpperLeft", "MouthLowerLeft"),
    **_all("mouthRight", "MouthUpperRight", "MouthLowerRight"),
    **_both("mouthSmile", "MouthCornerPull", "MouthCornerSlant"),
    **_both("mouthFrown", "MouthFrown"),
    **_both("mouthStretch", "MouthStretch"),
    **_both("mouthDimple", "MouthDimple"),
    **_all("mouthShrugUpper", "MouthRaiserUpper"),
    **_all("mouthShrugLower", "MouthRaiserLower"),
    **_both("mouthPress", "MouthPress"),
    **_all("tongueOut", "TongueOut"),
}
"""The base shapes that ARKit's weights tell of. Not so the pupils, the nostrils, cheeks drawn in, MouthTightener,
JawBackward, and where the tongue points.
"""

UNIFIED_BLENDS: Mapping[str, Mapping[str, float]] = {
    **_both("browDown", "BrowDown"),
    **{f"BrowUp{side}": {"browInnerUp": 0.5, f"browOuterUp{side}": 0.5} for side in ("Left", "Right")},
    **_both("mouthSmile", "MouthSmile"),
    **{f"MouthSad{side}": {f"mouthFrown{side}": 1.0} for side in ("Left", "Right")},
    **_all("browInnerUp", "BrowInnerUp"),
    **_all("mouthFunnel", "LipFunnel", "LipFunnelUpper", "LipFunnelLower"),
    **_all("mouthPucker", "LipPucker", "LipPuckerUpper", "LipPuckerLower"),
    **_all("mouthRollUpper", "LipSuckUpper"),
    **_all("mouthRollLower", "LipSuckLower"),
    "LipSuck": {"mouthRollUpper": 0.5, "mouthRollLower": 0.5},
    **{
        blend: {f"{name}Left": 0.5, f"{name}Right": 0.5}
        for blend, name in {
            "EyeClosed": "eyeBlink",
            "EyeSquint": "eyeSquint",
            "EyeWide": "eyeWide",
            "BrowDown": "browDown",
            "BrowOuterUp": "browOuterUp",
            "NoseSneer": "noseSneer",
            "CheekSquint": "cheekSquint",
            "MouthUpperUp": "mouthUpperUp",
            "MouthLowerDown": "mouthLowerDown",
            "MouthSmile": "mouthSmile",
            "MouthSad": "mouthFrown",
            "MouthStretch": "mouthStretch",
            "MouthDimple": "mouthDimple",
            "MouthPress": "mouthPress",
        }.items()
    },
    "BrowUp": {"browInnerUp": 0.5, "browOuterUpLeft": 0.25, "browOuterUpRight": 0.25},
    "MouthOpen": {
        **{f"mouthUpperUp{side}": 0.25 for side in ("Left", "Right")},
        **{f"mouthLowerDown{side}": 0.25 for side in ("Left", "Right")},
    },
    **_all("cheekPuff", "CheekPuff"),
    **_all("cheekPuff", "CheekPuffSuckLeft", "CheekPuffSuckRight", "CheekPuffSuck"),
    "JawX": {"jawRight": 1.0, "jawLeft": -1.0},
    **_all("jawForward", "JawZ"),
    **{shape: {"mouthRight": 1.0, "mouthLeft": -1.0} for shape in ("MouthX", "MouthUpperX", "MouthLowerX")},
    "LipSuckFunnelUpper": {"mouthRollUpper": 1.0, "mouthFunnel": -1.0},
    "LipSuckFunnelLower": {"mouthRollLower": 1.0, "mouthFunnel": -1.0},
    **{
        f"{shape}{side}": {f"mouthSmile{side}": 1.0, f"mouthFrown{side}": -1.0}
        for shape in ("SmileFrown", "SmileSad", "MouthCornerY")
        for side in ("Left", "Right")
    },
    **{
        shape: {"mouthSmileLeft": 0.5, "mouthSmileRight": 0.5, "mouthFrownLeft": -0.5, "mouthFrownRight": -0.5}
        for shape in ("SmileFrown", "SmileSad", "MouthCornerY")
    },
    "EyeLeftX": {"eyeLookInLeft": 1.0, "eyeLookOutLeft": -1.0},
    "EyeRightX": {"eyeLookOutRight": 1.0, "eyeLookInRight": -1.0},
    "EyeX": {"eyeLookInLeft": 0.5, "eyeLookOutLeft": -0.5, "eyeLookOutRight": 0.5, "eyeLookInRight": -0.5},
    "EyeY": {"eyeLookUpLeft": 0.5, "eyeLookDownLeft": -0.5, "eyeLookUpRight": 0.5, "eyeLookDownRight": -0.5},
    "EyeLeftY": {"eyeLookUpLeft": 1.0, "eyeLookDownLeft": -1.0},
    "EyeRightY": {"eyeLookUpRight": 1.0, "eyeLookDownRight": -1.0},
}
"""What avatars take in place of several base shapes: means of two, and opposites in [-1, 1], whose positive side is to
the person's own right, up, and out.
"""

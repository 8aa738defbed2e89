"""Other makers' names of morph targets and expressions, as sums of ARKit's weights."""

from collections.abc import Iterable, Mapping

from face3dmm_ros.avatar.weights.unified_expressions import UNIFIED_BLENDS, UNIFIED_SHAPES
from face3dmm_ros.core.shape_names import Vocabulary


def _sides(theirs: str, ours: str) -> dict[str, Mapping[str, float]]:
    return {f"{theirs}{side}": {f"{ours}{side}": 1.0} for side in ("Left", "Right")}


def _mean(ours: str) -> Mapping[str, float]:
    return {f"{ours}Left": 0.5, f"{ours}Right": 0.5}


def _blends(names: Iterable[str]) -> Vocabulary:
    return Vocabulary({name: UNIFIED_BLENDS[name] for name in names})


_FACESHIFT = Vocabulary(
    {
        **_sides("EyeDown", "eyeLookDown"),
        **_sides("EyeUp", "eyeLookUp"),
        **_sides("EyeIn", "eyeLookIn"),
        **_sides("EyeOut", "eyeLookOut"),
        **_sides("EyeOpen", "eyeWide"),
        **_sides("BrowsD", "browDown"),
        **_sides("BrowsU", "browOuterUp"),
        "BrowsU_C": {"browInnerUp": 1.0},
        "JawFwd": {"jawForward": 1.0},
        **_sides("LipsStretch", "mouthStretch"),
        "LipsUpperClose": {"mouthRollUpper": 1.0},
        "LipsLowerClose": {"mouthRollLower": 1.0},
        "LipsUpperUp": _mean("mouthUpperUp"),
        "LipsLowerDown": _mean("mouthLowerDown"),
        "LipsFunnel": {"mouthFunnel": 1.0},
        "LipsPucker": {"mouthPucker": 1.0},
        "ChinLowerRaise": {"mouthShrugLower": 1.0},
        "ChinUpperRaise": {"mouthShrugUpper": 1.0},
        "Sneer": _mean("noseSneer"),
        "Puff": {"cheekPuff": 1.0},
    }
)
"""Faceshift's shapes that are not named like ARKit's, which took the others over. Its JawChew has no counterpart."""

_READY_PLAYER_ME = Vocabulary(
    {
        "mouthOpen": {"jawOpen": 1.0},
        "mouthSmile": _mean("mouthSmile"),
        "eyesClosed": _mean("eyeBlink"),
        "eyesLookUp": _mean("eyeLookUp"),
        "eyesLookDown": _mean("eyeLookDown"),
        "viseme_PP": _mean("mouthPress"),
        "viseme_FF": {"mouthRollLower": 1.0},
    }
)
"""Ready Player Me's targets besides ARKit's, which it has only where they were asked for; its vowels are presets'."""

OTHERS = (
    Vocabulary(UNIFIED_SHAPES),
    _blends(f"Lip{shape}{lip}" for shape in ("Funnel", "Pucker", "Suck") for lip in ("Upper", "Lower")),
    _blends(("LipFunnel", "LipPucker", "LipSuck")),
    _blends(("EyeClosed", "EyeSquint", "EyeWide", "BrowDown", "BrowOuterUp", "BrowUp", "NoseSneer", "CheekSquint")),
    _blends(("MouthSad", "MouthUpperUp", "MouthLowerDown", "MouthStretch", "MouthDimple", "MouthPress")),
    _FACESHIFT,
    _READY_PLAYER_ME,
)
"""Other makers' names, the finer ones first: Unified Expressions and their blends, Faceshift, Ready Player Me."""

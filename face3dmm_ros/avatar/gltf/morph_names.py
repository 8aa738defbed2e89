"""What names of morph targets and expressions mean: ARKit's names, and other makers', as sums of its weights."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from face3dmm_ros.avatar.weights.unified_expressions import UNIFIED_BLENDS, UNIFIED_SHAPES
from face3dmm_ros.core.arkit import ARKIT_NAMES

_MOST_PARTS = 5
"""Parts before a name, such as ``blendShape1.``, that are looked behind; chosen by hand."""


class Meaning(NamedTuple):
    """What a name means.

    Attributes:
        name: as its vocabulary writes it.
        drivers: ARKit's names and their shares.
        distance: how much it differs from how it is written; 0: not at all.
    """

    name: str
    drivers: Mapping[str, float]
    distance: int


class Vocabulary:
    """Names that stand for sums of ARKit's weights.

    They are found as they are, in other cases, with parts before them (``Fcl_``, ``blendShape1.``), and with ``_L`` and
    ``_R`` for Left and Right.
    """

    def __init__(self, sums: Mapping[str, Mapping[str, float]], aliases: Mapping[str, str] | None = None) -> None:
        """Take names and what they stand for, and other names for them."""
        self._sums = sums
        self._spellings = {}
        for name in sums:
            key = _squeezed(name)
            self._spellings[key] = name
            for side in ("left", "right"):
                if key.endswith(side):
                    self._spellings.setdefault(key.removesuffix(side) + side[0], name)
        self._spellings |= {_squeezed(alias): name for alias, name in (aliases or {}).items()}

    def meaning(self, name: str) -> Meaning | None:
        """What a file's name means here; None if nothing."""
        if name in self._sums:
            return Meaning(name, self._sums[name], 0)
        rest = name
        for distance in range(1, _MOST_PARTS + 1):
            found = self._spellings.get(_squeezed(rest))
            if found is not None:
                return Meaning(found, self._sums[found], distance)
            parts = re.split(r"[._:\-\s]+", rest, maxsplit=1)
            if len(parts) < 2:
                return None
            rest = parts[1]
        return None


def _squeezed(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _sides(theirs: str, ours: str) -> dict[str, Mapping[str, float]]:
    return {f"{theirs}{side}": {f"{ours}{side}": 1.0} for side in ("Left", "Right")}


def _mean(ours: str) -> Mapping[str, float]:
    return {f"{ours}Left": 0.5, f"{ours}Right": 0.5}


def _blends(names: Iterable[str]) -> Vocabulary:
    return Vocabulary({name: UNIFIED_BLENDS[name] for name in names})


ARKIT = Vocabulary(
    {name: {name: 1.0} for name in ARKIT_NAMES},
    # Which some models have on each side.
    {f"{name}{side}": name for name in ("browInnerUp", "cheekPuff") for side in ("Left", "Right", "L", "R")},
)

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

"""What names of blendshapes mean, as files write them: ARKit's names, and other makers', as sums of its weights."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

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


_OF_BOTH_SIDES = ("browInnerUp", "cheekPuff")
"""ARKit's, which some models have on each side."""
ARKIT = Vocabulary(
    {name: {name: 1.0} for name in ARKIT_NAMES},
    {f"{name}{side}": name for name in _OF_BOTH_SIDES for side in ("Left", "Right", "L", "R")},
)


def arkit_name(name: str) -> str | None:
    """ARKit's name for one that a file writes in another way, such as ``eyeBlink_R``; None if it is none of ARKit's."""
    meaning = ARKIT.meaning(name)
    return meaning.name if meaning else None


def in_arkits_names(names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """A file's blendshapes by ARKit's names, or by their own where ARKit has none.

    Of several that mean the same, the one whose name is written most alike is taken, and the others keep their names.
    Those that the file has for each side and ARKit has for both, ``browInnerUp`` and ``cheekPuff``, are added up.

    Args:
        names: of the file's blendshapes, each once.

    Returns:
        names, and the indices of the blendshapes whose sum each is, in the file's order.
    """
    meanings = [ARKIT.meaning(name) for name in names]
    found: dict[tuple[str, str], tuple[int, int]] = {}  # ARKit's name and side → distance and index of the closest
    for index, (name, meaning) in enumerate(zip(names, meanings, strict=True)):
        if meaning is not None:
            key = (meaning.name, _side(name) if meaning.name in _OF_BOTH_SIDES else "")
            found[key] = min(found.get(key, (meaning.distance, index)), (meaning.distance, index))
    sums: dict[str, tuple[int, ...]] = {name: (index,) for (name, side), (_, index) in found.items() if not side}
    for name in _OF_BOTH_SIDES:
        if name not in sums and {(name, "l"), (name, "r")} <= found.keys():
            sums[name] = (found[name, "l"][1], found[name, "r"][1])
    used = {index for indices in sums.values() for index in indices}
    sums |= {name: (index,) for index, name in enumerate(names) if index not in used}
    return dict(sorted(sums.items(), key=lambda item: min(item[1])))


def _side(name: str) -> str:
    """The side at the end of a name, ``l`` or ``r``; "" if there is none."""
    end = re.search(r"(l|r|left|right)$", _squeezed(name))
    return end[0][0] if end else ""

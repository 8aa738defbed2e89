"""Which of a glTF or VRM file's morph targets are driven by which of ARKit's weights.

Names are matched in this order; later matches are used only for weights that drive nothing so far.

1. VRM expressions (VRM 1: `VRMC_vrm.expressions`; VRM 0: `blendShapeGroups`) that bear ARKit's names, called "perfect
   sync".
2. Morph targets that bear ARKit's names.
3. VRM's presets, and morph targets named like them, by `PRESETS`: coarser, but they let a mouth and eyelids move.

ARKit's names are found as they are, in other cases, with parts before them (``Fcl_``, ``blendShape1.``), and with
``_L`` and ``_R`` for Left and Right. Morph targets that move no vertex are ignored.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.avatar.gltf.file import Gltf, reading_extension
from face3dmm_ros.avatar.weights.mixing import mixing_matrix
from face3dmm_ros.avatar.weights.vrm_presets import PRESETS
from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.core.errors import Face3DMMError

_ALIASES = {
    "blinkLeft": ("blink_l", "eye_close_l"),
    "blinkRight": ("blink_r", "eye_close_r"),
    "blink": ("eye_close",),
    "aa": ("a", "mth_a", "viseme_aa"),
    "ih": ("i", "mth_i", "viseme_i"),
    "ou": ("u", "mth_u", "viseme_u"),
    "ee": ("e", "mth_e", "viseme_e"),
    "oh": ("o", "mth_o", "viseme_o"),
    "happy": ("joy",),
    "sad": ("sorrow",),
}
"""The presets' names in VRM 0 (presetName), in VRoid's morph targets (less ``Fcl_``, ``Fcl_ALL_``), and of visemes."""


@dataclass(frozen=True)
class Channel:
    """Morph targets that move together.

    Attributes:
        name: of the expression or morph target in the file.
        targets: (mesh, morph target) and the share of the target at value 1, each pair once.
        drivers: ARKit's names and their shares; their sum, in [0, 1], is the channel's value.
    """

    name: str
    targets: Mapping[tuple[int, int], float]
    drivers: Mapping[str, float]


@dataclass(frozen=True)
class Matching:
    """What ARKit's weights drive in a file.

    Attributes:
        channels: all that is driven.
        missing: names of `ARKIT_NAMES` that drive nothing.
        unused: names of the file's morph targets that nothing drives.
    """

    channels: tuple[Channel, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]

    def mixing(self) -> NDArray[np.float32]:
        """(channels, 52) matrix from `ARKIT_NAMES`' weights to the channels' values before clipping to [0, 1]."""
        return mixing_matrix(channel.drivers for channel in self.channels)


def match_morphs(file: Gltf) -> Matching:
    """Find what each of ARKit's weights drives in a file.

    Raises:
        Face3DMMError: the file has no morph targets, or none that could be driven, which the message lists; or its VRM
            expressions are damaged.
    """
    carried = sorted({node.mesh for node, inside in zip(file.nodes, file.in_scene, strict=True) if inside} - {-1})
    targets = [(mesh, index, name) for mesh in carried for index, name in enumerate(file.meshes[mesh].target_names)]
    if not targets:
        raise Face3DMMError(
            f"{file.path}: found no morph targets in its {len(carried)} meshes, expected some with ARKit's names, such "
            "as jawOpen and eyeBlinkLeft, or VRM expressions: export the model with its blendshapes (shape keys)"
        )
    expressions = _expressions(file)
    by_name = _by_file_name([target for target in targets if _moves(file, *target[:2])])
    channels: list[Channel] = []
    for found in (_named_like_arkit, _presets):
        for candidates in (expressions, by_name):
            driven = _driven(channels)
            channels += [channel for channel in found(candidates) if not driven & set(channel.drivers)]
    moved = {target for channel in channels for target in channel.targets}
    if not moved:
        names = ", ".join(sorted({name or f"#{index}" for _, index, name in targets})[:20])
        raise Face3DMMError(
            f"{file.path}: found {len(targets)} morph targets ({names}), but none that ARKit's names drive: expected "
            "names such as jawOpen and eyeBlinkLeft in mesh.extras.targetNames, or VRM expressions"
        )
    driven = _driven(channels)
    used_names = {name for mesh, index, name in targets if (mesh, index) in moved}
    return Matching(
        tuple(channels),
        tuple(name for name in ARKIT_NAMES if name not in driven),
        tuple(dict.fromkeys(name for _, _, name in targets if name and name not in used_names)),
    )


def arkit_name(name: str) -> tuple[str, int] | None:
    """The one of `ARKIT_NAMES` that a file's name means, and how much it differs (0: not at all); None if none."""
    if name in ARKIT_NAMES:
        return name, 0
    rest = name
    for distance in range(1, 6):
        found = _SPELLINGS.get(_squeezed(rest))
        if found is not None:
            return found, distance
        parts = re.split(r"[._:\-\s]+", rest, maxsplit=1)
        if len(parts) < 2:
            return None
        rest = parts[1]
    return None


def _squeezed(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _spellings() -> dict[str, str]:
    spellings = {}
    for name in ARKIT_NAMES:
        key = name.lower()
        spellings[key] = name
        for side in ("left", "right"):
            if key.endswith(side):
                spellings.setdefault(key.removesuffix(side) + side[0], name)
    for name in ("browInnerUp", "cheekPuff"):  # which some models have on each side
        spellings |= {name.lower() + side: name for side in ("left", "right", "l", "r")}
    return spellings


_SPELLINGS = _spellings()


@dataclass(frozen=True)
class _Candidate:
    """Morph targets with a name in common; `preset` is the name that is compared with VRM's presets."""

    name: str
    preset: str
    targets: Mapping[tuple[int, int], float]


def _by_file_name(targets: list[tuple[int, int, str]]) -> list[_Candidate]:
    """Morph targets grouped by name, over all meshes: a face, its teeth, its lashes."""
    result: dict[str, dict[tuple[int, int], float]] = {}
    for mesh, index, name in targets:
        if name:
            result.setdefault(name, {})[mesh, index] = 1.0
    return [_Candidate(name, re.sub(r"^fcl_(all_)?", "", name.lower()), moved) for name, moved in result.items()]


def _named_like_arkit(candidates: list[_Candidate]) -> list[Channel]:
    """The candidates that have ARKit's names; in each mesh only those with the closest spelling."""
    closest: dict[tuple[str, int], int] = {}
    matches = [(candidate, match) for candidate in candidates if (match := arkit_name(candidate.name))]
    for candidate, (meant, distance) in matches:
        for mesh, _ in candidate.targets:
            closest[meant, mesh] = min(distance, closest.get((meant, mesh), distance))
    channels = []
    for candidate, (meant, distance) in matches:
        targets = {key: share for key, share in candidate.targets.items() if closest[meant, key[0]] == distance}
        if targets:
            channels.append(Channel(candidate.name, targets, {meant: 1.0}))
    return channels


def _presets(candidates: list[_Candidate]) -> list[Channel]:
    """The candidates that are named like VRM's presets; of both eyes' blink only the single ones, if there are any."""
    presets = {name.lower(): name for name in PRESETS}
    presets |= {alias: name for name, aliases in _ALIASES.items() for alias in aliases}
    named: dict[str, _Candidate] = {}
    for candidate in candidates:
        preset = presets.get(candidate.preset.lower())
        if preset is not None and candidate.targets:
            named.setdefault(preset, candidate)
    if "blinkLeft" in named and "blinkRight" in named:
        named.pop("blink", None)
    return [Channel(candidate.name, candidate.targets, PRESETS[preset]) for preset, candidate in named.items()]


def _driven(channels: list[Channel]) -> set[str]:
    return {name for channel in channels for name in channel.drivers}


def _expressions(file: Gltf) -> list[_Candidate]:
    """A VRM file's expressions: what they do to morph targets."""
    with reading_extension(file.path, "expressions are"):
        if "VRMC_vrm" in file.extensions:
            return _expressions_of_vrm_1(file, file.extensions["VRMC_vrm"].get("expressions") or {})
        if "VRM" in file.extensions:
            return _expressions_of_vrm_0(file, file.extensions["VRM"].get("blendShapeMaster") or {})
    return []


def _expressions_of_vrm_1(file: Gltf, expressions: Mapping[str, Any]) -> list[_Candidate]:
    candidates = []
    for group in ("custom", "preset"):
        for name, expression in (expressions.get(group) or {}).items():
            binds = [
                (file.nodes[_index(bind["node"])].mesh, bind["index"], float(bind.get("weight", 1.0)))
                for bind in expression.get("morphTargetBinds") or []
            ]
            candidates.append(_Candidate(name, name, _bound(file, binds)))
    return candidates


def _expressions_of_vrm_0(file: Gltf, master: Mapping[str, Any]) -> list[_Candidate]:
    candidates = []
    for group in master.get("blendShapeGroups") or []:
        binds = [
            (_index(bind["mesh"]), bind["index"], float(bind.get("weight", 100.0)) / 100.0)
            for bind in group.get("binds") or []
        ]
        preset = str(group.get("presetName") or "")
        name = str(group.get("name") or preset)
        candidates.append(_Candidate(name, name if preset in ("", "unknown") else preset, _bound(file, binds)))
    return candidates


def _bound(file: Gltf, binds: list[tuple[int, int, float]]) -> Mapping[tuple[int, int], float]:
    """(mesh, morph target) and their shares, of those that move something."""
    targets: dict[tuple[int, int], float] = {}
    for mesh, index, weight in binds:
        if mesh == -1 or not file.meshes[mesh].primitives:
            continue
        count = len(file.meshes[mesh].target_names)
        if _index(index) >= count or not np.isfinite(weight):
            raise Face3DMMError(
                f"{file.path}: a VRM expression moves morph target {index} of mesh {mesh} by {weight}; "
                f"the mesh has {count} (counted from 0)"
            )
        if _moves(file, mesh, index):
            targets[mesh, index] = targets.get((mesh, index), 0.0) + min(max(weight, 0.0), 1.0)
    return targets


def _moves(file: Gltf, mesh: int, index: int) -> bool:
    return any(len(primitive.morphs[index].vertices) for primitive in file.meshes[mesh].primitives)


def _index(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no index")
    return value

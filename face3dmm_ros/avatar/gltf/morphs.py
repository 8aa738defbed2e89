"""Which of a glTF or VRM file's morph targets are driven by which of ARKit's weights.

Names are matched in this order; later matches are used only for weights that drive nothing so far.

1. VRM expressions that bear ARKit's names, called "perfect sync".
2. Morph targets that bear ARKit's names.
3. Both by other makers' names: `morph_names.OTHERS`.
4. VRM's presets, and morph targets named like them, by `vrm_presets.PRESETS`: coarser, but they let a mouth and eyelids
   move.

Morph targets that move no vertex are ignored.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.avatar.gltf.morph_names import OTHERS
from face3dmm_ros.avatar.gltf.vrm_expressions import BLOCK, Expression, moves, read_expressions
from face3dmm_ros.avatar.weights.mixing import mixing_matrix
from face3dmm_ros.avatar.weights.vrm_presets import PRESETS
from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.shape_names import ARKIT, Meaning, Vocabulary
from face3dmm_ros.files.gltf import Gltf

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
    "relaxed": ("fun",),
}
"""The presets' names in VRM 0 (presetName), in VRoid's morph targets (less ``Fcl_``, ``Fcl_ALL_``), and of visemes."""


_GROUPS = {
    **dict.fromkeys(("blink", "blinkLeft", "blinkRight"), "blink"),
    **dict.fromkeys(("lookUp", "lookDown", "lookLeft", "lookRight"), "lookAt"),
    **dict.fromkeys(("aa", "ih", "ou", "ee", "oh"), "mouth"),
}
"""The presets that VRM 1's overrides hold back, by what the overrides call them."""
_ON = 0.5
"""A binary expression is on above this value (VRM 1's specification, isBinary)."""
_MOST_SAID = 20
"""Names, or binds that lead nowhere, that a message tells; chosen by hand."""


@dataclass(frozen=True)
class Channel:
    """Morph targets that move together.

    Attributes:
        name: of the expression or morph target in the file.
        targets: (mesh, morph target) and the share of the target at value 1, each pair once.
        drivers: ARKit's names and their shares; their sum, in [0, 1], is the channel's value.
        binary: whether it is either off or on.
        group: ``blink``, ``lookAt`` or ``mouth`` for a VRM expression that others may hold back, else empty.
        overrides: of these groups those that it holds back while it shows: ``block`` all, or ``blend`` by its value.
    """

    name: str
    targets: Mapping[tuple[int, int], float]
    drivers: Mapping[str, float]
    binary: bool = False
    group: str = ""
    overrides: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Matching:
    """What ARKit's weights drive in a file.

    Attributes:
        channels: all that is driven.
        missing: names of `ARKIT_NAMES` that drive nothing.
        unused: names of the file's morph targets that nothing drives.
        dangling: what VRM expressions name that is not in the file, and so was left out.
    """

    channels: tuple[Channel, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    dangling: tuple[str, ...] = ()

    def mixing(self) -> NDArray[np.float32]:
        """(channels, 52) matrix from `ARKIT_NAMES`' weights to the channels' values before clipping to [0, 1]."""
        return mixing_matrix(channel.drivers for channel in self.channels)

    def values(self, weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """The channels' values in [0, 1] of (52,) weights, with what VRM says of binary ones and of overrides."""
        values = np.clip(self._mixing @ weights, 0.0, 1.0)
        values[self._binary] = values[self._binary] > _ON
        left: dict[str, float] = {}
        for channel, value in zip(self.channels, values.tolist(), strict=True):
            for group, how in channel.overrides.items():
                held = float(value > 0.0) if how == BLOCK else value
                left[group] = max(0.0, left.get(group, 1.0) - held)
        for place, channel in enumerate(self.channels):
            if channel.group in left:
                values[place] *= left[channel.group]
        return values

    def described(self) -> str:
        """What is moved by what, in one line: those under ARKit's own names are only counted."""
        same, others = 0, []
        for channel in self.channels:
            meaning = ARKIT.meaning(channel.name)
            if meaning is not None and dict(meaning.drivers) == dict(channel.drivers):
                same += 1
            else:
                others.append(f"{channel.name} ← {' + '.join(channel.drivers)}")
        return ", ".join([f"{same} under ARKit's names", *others])

    @cached_property
    def _mixing(self) -> NDArray[np.float32]:
        return self.mixing()

    @cached_property
    def _binary(self) -> NDArray[np.bool_]:
        return np.array([channel.binary for channel in self.channels], bool)


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
    expressions, dangling = read_expressions(file)
    by_name = _by_file_name([target for target in targets if moves(file, *target[:2])])
    channels: list[Channel] = []
    finders: list[Callable[[list[Expression]], list[Channel]]]
    finders = [*(partial(_named, vocabulary) for vocabulary in (ARKIT, *OTHERS)), _presets]
    for found in finders:
        for candidates in (expressions, by_name):
            driven = _driven(channels)
            channels += [channel for channel in found(candidates) if not driven & set(channel.drivers)]
    moved = {target for channel in channels for target in channel.targets}
    if not moved:
        names = ", ".join(sorted({name or f"#{index}" for _, index, name in targets})[:_MOST_SAID])
        nowhere = f"; its VRM expressions lead nowhere: {'; '.join(dangling[:_MOST_SAID])}" if dangling else ""
        raise Face3DMMError(
            f"{file.path}: found {len(targets)} morph targets ({names}), but none that ARKit's names drive: expected "
            f"names such as jawOpen and eyeBlinkLeft in mesh.extras.targetNames, or VRM expressions{nowhere}: rename "
            "the shape keys, e.g. in Blender, and export again"
        )
    driven = _driven(channels)
    used_names = {name for mesh, index, name in targets if (mesh, index) in moved}
    return Matching(
        tuple(channels),
        tuple(name for name in ARKIT_NAMES if name not in driven),
        tuple(dict.fromkeys(name for _, _, name in targets if name and name not in used_names)),
        tuple(dangling),
    )


def _by_file_name(targets: list[tuple[int, int, str]]) -> list[Expression]:
    """Morph targets grouped by name, over all meshes: a face, its teeth, its lashes."""
    result: dict[str, dict[tuple[int, int], float]] = {}
    for mesh, index, name in targets:
        if name:
            result.setdefault(name, {})[mesh, index] = 1.0
    return [Expression(name, re.sub(r"^fcl_(all_)?", "", name.lower()), moved) for name, moved in result.items()]


def _named(vocabulary: Vocabulary, candidates: list[Expression]) -> list[Channel]:
    """The candidates that have a vocabulary's names; in each mesh only those with the closest spelling."""
    closest: dict[tuple[str, int], int] = {}
    matches: list[tuple[Expression, Meaning]] = [
        (candidate, meaning) for candidate in candidates if (meaning := vocabulary.meaning(candidate.name))
    ]
    for candidate, (meant, _, distance) in matches:
        for mesh, _ in candidate.targets:
            closest[meant, mesh] = min(distance, closest.get((meant, mesh), distance))
    channels = []
    for candidate, (meant, drivers, distance) in matches:
        targets = {key: share for key, share in candidate.targets.items() if closest[meant, key[0]] == distance}
        if targets:
            channels.append(Channel(candidate.name, targets, drivers, candidate.binary, overrides=candidate.overrides))
    return channels


def _presets(candidates: list[Expression]) -> list[Channel]:
    """The candidates that are named like VRM's presets; of both eyes' blink only the single ones, if there are any."""
    presets = {name.lower(): name for name in PRESETS}
    presets |= {alias: name for name, aliases in _ALIASES.items() for alias in aliases}
    named: dict[str, Expression] = {}
    for candidate in candidates:
        preset = presets.get(candidate.preset.lower())
        if preset is not None and candidate.targets:
            named.setdefault(preset, candidate)
    if "blinkLeft" in named and "blinkRight" in named:
        named.pop("blink", None)
    return [
        Channel(
            candidate.name,
            candidate.targets,
            PRESETS[preset],
            candidate.binary,
            _GROUPS.get(preset, ""),
            candidate.overrides,
        )
        for preset, candidate in named.items()
    ]


def _driven(channels: list[Channel]) -> set[str]:
    return {name for channel in channels for name in channel.drivers}

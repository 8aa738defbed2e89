"""A VRM file's expressions: which morph targets they move, and what else they do.

VRM 1: `VRMC_vrm.expressions`; VRM 0: `VRM.blendShapeMaster`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from face3dmm_ros.files.gltf import Gltf, reading_extension

_OVERRIDES = {"blink": "overrideBlink", "lookAt": "overrideLookAt", "mouth": "overrideMouth"}
BLOCK, BLEND = "block", "blend"


@dataclass(frozen=True)
class Expression:
    """Morph targets that move together.

    Attributes:
        name: in the file.
        preset: the name that is compared with VRM's presets.
        targets: (mesh, morph target) and its share at value 1, of those that move something.
        binary: whether it is either off or on.
        overrides: of ``blink``, ``lookAt`` and ``mouth`` those that it holds back: ``block`` or ``blend``.
    """

    name: str
    preset: str
    targets: Mapping[tuple[int, int], float]
    binary: bool = False
    overrides: Mapping[str, str] = field(default_factory=dict)


def read_expressions(file: Gltf) -> tuple[list[Expression], list[str]]:
    """A file's expressions, and what of them leads nowhere: such binds are left out.

    Raises:
        Face3DMMError: the expressions are damaged.
    """
    dangling: list[str] = []
    with reading_extension(file.path, "expressions are"):
        if "VRMC_vrm" in file.extensions:
            return list(_of_vrm_1(file, file.extensions["VRMC_vrm"].get("expressions") or {}, dangling)), dangling
        if "VRM" in file.extensions:
            return list(_of_vrm_0(file, file.extensions["VRM"].get("blendShapeMaster") or {}, dangling)), dangling
    return [], dangling


def moves(file: Gltf, mesh: int, index: int) -> bool:
    """Whether a morph target moves any vertex."""
    return any(len(primitive.morphs[index].vertices) for primitive in file.meshes[mesh].primitives)


def _of_vrm_1(file: Gltf, expressions: Mapping[str, Any], dangling: list[str]) -> Iterable[Expression]:
    for group in ("custom", "preset"):
        for name, expression in (expressions.get(group) or {}).items():
            binds = []
            for bind in expression.get("morphTargetBinds") or []:
                node = _integer(bind["node"])
                if 0 <= node < len(file.nodes):
                    binds.append((file.nodes[node].mesh, bind["index"], float(bind.get("weight", 1.0))))
                else:
                    dangling.append(f"expression {name!r} moves node {node} of {len(file.nodes)}")
            overrides = {what: str(expression.get(key, "none")) for what, key in _OVERRIDES.items()}
            yield Expression(
                name,
                name,
                _bound(file, name, binds, dangling),
                bool(expression.get("isBinary", False)),
                {what: how for what, how in overrides.items() if how in (BLOCK, BLEND)},
            )


def _of_vrm_0(file: Gltf, master: Mapping[str, Any], dangling: list[str]) -> Iterable[Expression]:
    for group in master.get("blendShapeGroups") or []:
        preset = str(group.get("presetName") or "")
        name = str(group.get("name") or preset)
        binds = [
            (_integer(bind["mesh"]), bind["index"], float(bind.get("weight", 100.0)) / 100.0)
            for bind in group.get("binds") or []
        ]
        targets = _bound(file, name, binds, dangling)
        shown = name if preset in ("", "unknown") else preset
        yield Expression(name, shown, targets, bool(group.get("isBinary", False)))


def _bound(
    file: Gltf, name: str, binds: list[tuple[int, int, float]], dangling: list[str]
) -> Mapping[tuple[int, int], float]:
    """(mesh, morph target) and their shares, of those that are there and move something."""
    targets: dict[tuple[int, int], float] = {}
    for mesh, target, weight in binds:
        index = _integer(target)
        there = 0 <= mesh < len(file.meshes)
        count = len(file.meshes[mesh].target_names) if there else 0
        if there and not file.meshes[mesh].primitives:
            continue  # a mesh that was not read, since nothing shows it
        if not (0 <= index < count and np.isfinite(weight)):
            dangling.append(
                f"expression {name!r} moves morph target {index} of mesh {mesh}, which has {count}, by {weight}"
            )
        elif moves(file, mesh, index):
            targets[mesh, index] = targets.get((mesh, index), 0.0) + min(max(weight, 0.0), 1.0)
    return targets


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise ValueError(f"{value!r} is no index")
    return value

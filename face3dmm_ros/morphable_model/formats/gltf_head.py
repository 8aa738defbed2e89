"""A head in a glTF, GLB or VRM file, whose morph targets are called as ARKit calls its blendshapes.

Khronos, glTF 2.0 specification (ISO/IEC 12113:2022): metres, y up, faces look along +z; VRM 0 looks along -z. A morph
target is known by the name that exporters put into ``extras.targetNames`` (glTF 2.0, 3.7.2.2, implementation note). The
file is taken apart by `files/gltf.py`, which trusts none of its numbers.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.shape_names import arkit_name, in_arkits_names
from face3dmm_ros.core.srgb import encoded, linear
from face3dmm_ros.files.gltf import Gltf, Primitive, load_gltf, parents_first
from face3dmm_ros.morphable_model.formats.blendshape_head import blendshape_head
from face3dmm_ros.morphable_model.formats.source_head import in_our_convention
from face3dmm_ros.morphable_model.model import MorphableModel, check_counts

_MILLIMETRES = 1000.0  # glTF is in m.
_MOST_BASIS_NUMBERS = 150_000_000
"""Of all morph targets together, by hand: those of a hundred thousand vertices and 500 targets."""
_VRM_0 = np.diag([-1.0, 1.0, -1.0, 1.0])
"""Half a turn about y."""


def load(path: Path) -> MorphableModel:
    """Read the meshes of the file's scene that have morph targets with ARKit's names, as one head of N vertices.

    Each is placed by its node's transforms, or, where a skin moves it, as the skin's joints have it at rest. Morph
    targets of one name move all meshes together. Colours are the material's, the vertices', and the base colour
    texture's at the vertices.

    Raises:
        Face3DMMError: the file cannot be read, is damaged or too large (`load_gltf`), or no mesh has such a target.
    """
    file = load_gltf(path)
    parts = [
        (index, primitive, file.meshes[node.mesh].target_names)
        for index, node in enumerate(file.nodes)
        if file.in_scene[index] and node.mesh >= 0 and any(map(arkit_name, file.meshes[node.mesh].target_names))
        for primitive in file.meshes[node.mesh].primitives
    ]
    names = list(dict.fromkeys(name for _, _, targets in parts for name in targets if arkit_name(name)))
    if not names:
        raise Face3DMMError(
            f"{path}: no mesh has a morph target that is called like one of ARKit's blendshapes, such as jawOpen: "
            "export it with these, and with their names"
        )
    ends = np.cumsum([len(primitive.points) for _, primitive, _ in parts])
    count = int(ends[-1])
    check_counts(str(path), count, sum(len(primitive.triangles) for _, primitive, _ in parts), len(names))
    if 3 * count * len(names) > _MOST_BASIS_NUMBERS:
        raise Face3DMMError(f"{path}: {len(names)} morph targets of {count} vertices are too many: simplify it")
    groups = in_arkits_names(names)
    column = {names[index]: place for place, each in enumerate(groups.values()) for index in each}
    mean, albedo = np.empty((count, 3)), np.empty((count, 3))
    columns = np.zeros((count, 3, len(groups)), np.float32)
    world = _world(file)
    with np.errstate(over="ignore", invalid="ignore"):  # of numbers without an end, which the model refuses
        for (node, primitive, targets), end in zip(parts, ends, strict=True):
            mine = slice(end - len(primitive.points), end)
            place = _placed(file, node, primitive, world)
            mean[mine] = np.einsum("nij,nj->ni", place[:, :, :3], primitive.points[:, :3]) + place[:, :, 3]
            albedo[mine] = _colors(file, primitive)
            for name, morph in zip(targets, primitive.morphs, strict=True):
                if name in column:
                    moved = np.einsum("nij,nj->ni", place[morph.vertices, :, :3], morph.points[:, :3])
                    columns[mine][morph.vertices, :, column[name]] += moved.astype(np.float32)
        triangles = [
            primitive.triangles + (end - len(primitive.points))
            for (_, primitive, _), end in zip(parts, ends, strict=True)
        ]
        return in_our_convention(
            blendshape_head(
                path.stem,
                mean,
                np.concatenate(triangles),
                columns.reshape(3 * count, -1),
                tuple(groups),
                albedo,
                _MILLIMETRES,
            )
        )


def _world(file: Gltf) -> NDArray[np.float64]:
    """(nodes, 4, 4), each node's space → the scene, in which the face looks along +z."""
    world = np.tile(np.eye(4), (len(file.nodes), 1, 1))
    root = _VRM_0 if "VRM" in file.extensions else np.eye(4)
    with np.errstate(over="ignore", invalid="ignore"):
        for index in parents_first(file.nodes):
            parent = file.nodes[index].parent
            world[index] = (root if parent < 0 else world[parent]) @ file.nodes[index].matrix
    return world


def _placed(file: Gltf, node: int, primitive: Primitive, world: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3, 4), for each vertex its mesh's space → the scene: the node's, or the weighted mean of its joints'."""
    count, influences = primitive.joints.shape
    if file.nodes[node].skin < 0 or not influences:
        return np.broadcast_to(world[node, :3], (count, 3, 4))
    skin = file.skins[file.nodes[node].skin]
    if primitive.joints.max(initial=0) >= len(skin.joints):
        raise Face3DMMError(
            f"{file.path}: a vertex follows joint {primitive.joints.max()} of a skin that has {len(skin.joints)}"
        )
    joints = (world[skin.joints] @ skin.inverse_bind)[:, :3]
    placed = np.zeros((count, 3, 4))
    for k in range(influences):
        placed += primitive.weights[:, k, None, None] * joints[primitive.joints[:, k]]
    return placed


def _colors(file: Gltf, primitive: Primitive) -> NDArray[np.float64]:
    """(N, 3) sRGB of the vertices: the product, in linear light, of what the file has."""
    material = file.materials[primitive.material]
    light = np.asarray(material.color, np.float64)[:3] * primitive.colors[:, :3]
    if material.texture >= 0:
        texture = file.textures[material.texture]
        height, width = texture.shape[:2]
        # Textures repeat.
        column, row = ((np.nan_to_num(primitive.uv) % 1.0) * [width, height]).astype(np.int64).T
        light = light * linear(texture[np.minimum(row, height - 1), np.minimum(column, width - 1), :3] / 255.0)
    return encoded(light)

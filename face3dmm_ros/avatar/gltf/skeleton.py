"""Which nodes of a glTF or VRM file are a person's bones, and the rest pose in which it is shown."""

import re
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import rotation_from_vector
from face3dmm_ros.files.gltf import Gltf, parents_first, reading_extension

_BONES = {
    "head": r"head",
    "leftEye": r"left_?eye|l_?eye|eye_?l(?:eft)?",
    "rightEye": r"right_?eye|r_?eye|eye_?r(?:ight)?",
    "leftUpperArm": r"left_?(?:upper_?)?arm|l_?upper_?arm|upper_?arm_?l",
    "rightUpperArm": r"right_?(?:upper_?)?arm|r_?upper_?arm|upper_?arm_?r",
    "leftLowerArm": r"left_?(?:fore|lower_?)arm|l_?(?:fore|lower_?)arm|(?:fore|lower_?)arm_?l",
    "rightLowerArm": r"right_?(?:fore|lower_?)arm|r_?(?:fore|lower_?)arm|(?:fore|lower_?)arm_?r",
}
"""VRM's names of bones, and patterns of their names elsewhere: Mixamo, VRoid, Unreal, Blender."""

_ARM_DROP = np.radians(72.0)  # of lowered arms, below the horizontal; chosen by hand


def find_bones(file: Gltf) -> dict[str, int]:
    """The nodes of bones, by VRM's names of these: from the file's VRM humanoid if it has one, else by node names.

    A node that is no joint of a skin counts only if it has children: a mesh called Head is not all that turns with a
    head.

    Raises:
        Face3DMMError: the VRM humanoid is damaged, or names nodes that the file does not have.
    """
    humanoid = _humanoid(file)
    if humanoid:
        return humanoid
    joints = {int(joint) for skin in file.skins for joint in skin.joints}
    parents = {node.parent for node in file.nodes}
    bones: dict[str, int] = {}
    for bone, pattern in _BONES.items():
        named = re.compile(rf"(?:^|.*[^a-z]|.*mixamorig\d*)(?:{pattern})(?:_\d+)?", re.IGNORECASE)
        found = [
            index
            for index, node in enumerate(file.nodes)
            if file.in_scene[index]
            and (index in joints or index in parents)
            and named.fullmatch(re.sub(r"[\s.\-]", "_", node.name))
        ]
        if found:
            bones[bone] = min(found, key=lambda index: (index not in joints, index))
    return bones


def facing(file: Gltf) -> NDArray[np.float64]:
    """(4, 4), a file's space → the world, in which its figure looks along +z.

    VRM 0 figures look along −z (VRM 0.0 specification), all others along +z, as glTF prescribes.
    """
    return np.diag([-1.0, 1.0, -1.0, 1.0]) if "VRM" in file.extensions else np.eye(4)


def rest_pose(file: Gltf, bones: Mapping[str, int]) -> NDArray[np.float64]:
    """(nodes, 4, 4), each node's space → the world, in which the figure looks along +z with its arms lowered.

    Files mostly have their figures in T pose.
    """
    world = np.tile(np.eye(4), (len(file.nodes), 1, 1))
    root = facing(file)
    for index in parents_first(file.nodes):
        parent = file.nodes[index].parent
        world[index] = (root if parent < 0 else world[parent]) @ file.nodes[index].matrix
    for side in ("left", "right"):
        upper, lower = bones.get(f"{side}UpperArm", -1), bones.get(f"{side}LowerArm", -1)
        if upper < 0 or lower < 0:
            continue
        x, y, _ = world[lower, :3, 3] - world[upper, :3, 3]
        drop = np.arctan2(-y, abs(x))
        if drop < _ARM_DROP:
            turn = about(world[upper, :3, 3], rotation_from_vector([0.0, 0.0, np.sign(x) * (drop - _ARM_DROP)]))
            below = nodes_below(file, {upper: 1}) == 1
            world[below] = turn @ world[below]
    return world


def gaze_limits(file: Gltf) -> NDArray[np.float64]:
    """(4,) rad, how far an eye bone may turn up, down, inward and outward: VRM's look-at, or infinity without one.

    Raises:
        Face3DMMError: the VRM look-at is damaged.
    """
    with reading_extension(file.path, "look-at is"):
        if "VRMC_vrm" in file.extensions:
            look_at = file.extensions["VRMC_vrm"].get("lookAt") or {}
            by_bones, prefix, key = look_at.get("type", "bone") == "bone", "rangeMap", "outputScale"
        elif "VRM" in file.extensions:
            look_at = file.extensions["VRM"].get("firstPerson") or {}
            by_bones, prefix, key = look_at.get("lookAtTypeName", "Bone") == "Bone", "lookAt", "yRange"
        else:
            return np.full(4, np.inf)
        ways = ("VerticalUp", "VerticalDown", "HorizontalInner", "HorizontalOuter")
        degrees = [float((look_at.get(prefix + way) or {}).get(key, np.inf)) for way in ways]
    return np.radians(np.fmax(degrees, 0.0)) if by_bones else np.zeros(4)


def eyes_that_turn(file: Gltf, missing: Collection[str], bones: Mapping[str, int]) -> dict[str, bool]:
    """For ``Left`` and ``Right``, whether that eye's bone is to move the gaze, because no morph target does.

    Args:
        file: of the figure.
        missing: ARKit's names that drive no morph target.
        bones: as `find_bones` gives them.
    """
    may_turn = bones.get("head", -1) >= 0 and bool(gaze_limits(file).any())
    return {
        side: may_turn and f"{side.lower()}Eye" in bones and f"eyeLookUp{side}" in missing for side in ("Left", "Right")
    }


def nodes_below(file: Gltf, marks: Mapping[int, int]) -> NDArray[np.int32]:
    """(nodes,) the mark of the nearest marked node at or above each; 0 where there is none."""
    result = np.zeros(len(file.nodes), np.int32)
    for index in parents_first(file.nodes):
        parent = file.nodes[index].parent
        result[index] = marks.get(index, 0 if parent < 0 else result[parent])
    return result


def about(point: NDArray[np.floating], rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """(4, 4): a rotation, (3, 3), about a point, (3,)."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = point - rotation @ point
    return matrix


def _humanoid(file: Gltf) -> dict[str, int]:
    """Nodes by VRM's names of bones; empty if the file is no VRM."""
    with reading_extension(file.path, "humanoid is"):
        if "VRMC_vrm" in file.extensions:
            named: Any = file.extensions["VRMC_vrm"]["humanoid"]["humanBones"]
            bones = {str(name): bone["node"] for name, bone in named.items()}
        elif "VRM" in file.extensions:
            bones = {str(bone["bone"]): bone["node"] for bone in file.extensions["VRM"]["humanoid"]["humanBones"]}
        else:
            return {}
    for name, index in bones.items():
        if type(index) is not int or not 0 <= index < len(file.nodes):
            raise Face3DMMError(f"{file.path}: VRM bone {name!r} is node {index!r}, but there are {len(file.nodes)}")
    return bones

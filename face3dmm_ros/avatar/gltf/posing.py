"""A glTF file's scene as one figure: its skins resolved, its morph targets gathered by what drives them, framed.

Of all joints only the head and, where no morph target moves the gaze, the eyes turn. So a skin need not be evaluated
for each picture: v' = Σⱼ wⱼ Gⱼ Bⱼ v, with Gⱼ a joint's place and Bⱼ its inverse bind matrix, is evaluated once, and
what is left is (1 − h) v' + h D v' with h the sum of the weights of the joints that turn with D. That is exact where a
file's rest pose is the pose in which its skin was bound, and wherever h is 0 or 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.avatar.gltf.closed_surfaces import on_closed_surfaces
from face3dmm_ros.avatar.gltf.figure import TURNS, Figure, Surface
from face3dmm_ros.avatar.gltf.file import Deltas, Gltf, Material, Primitive, Skin, vertex_normals
from face3dmm_ros.avatar.gltf.morphs import Matching
from face3dmm_ros.avatar.gltf.skeleton import find_bones, gaze_limits, nodes_below, rest_pose
from face3dmm_ros.core.errors import Face3DMMError

HEAD, LEFT_EYE, RIGHT_EYE = range(TURNS)
"""The parts that turn."""

_HAIR = 0.35  # of a face's height above it: hats and ears higher than that do not make the head smaller
_FLAT = 0.1  # depth over width of a face that is painted on a head, and tells nothing of the head's size
_WIDEST = 1.1  # width over height of a head: wider ones are shown as if they were higher
_ABOVE, _BELOW = 0.22, 0.62  # of the head's height, in the picture above and below it
_MARGIN = 1.25  # of a scene without a head bone around it
_MOST_VERTICES = 1_000_000  # of all copies of meshes that the nodes carry
_WORTH_SPLITTING = 500  # triangles; fewer cost less than one more surface
_MODES = ("OPAQUE", "MASK", "BLEND")  # in the order of drawing


@dataclass(frozen=True, eq=False)
class Shift:
    """What a channel at 1 adds to a figure's points.

    Attributes:
        vertices: (K,) int32, each once.
        points: (K, 6) float32.
    """

    vertices: NDArray[np.int32]
    points: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Bust:
    """A figure in its frame, and how it moves.

    The unit is the frame's height; the frame lies around the origin in the plane z = 0.

    Attributes:
        figure: at rest.
        morphs: one per channel of the matching, of the figure's vertices, all below `Figure.moving`.
        pivots: (TURNS, 3) float64, about which `HEAD`, `LEFT_EYE` and `RIGHT_EYE` turn.
        eyes_turn: for the left and the right eye, whether it is a bone that moves the gaze.
        gaze_limits: as of `gltf_skeleton.gaze_limits`.
        boxes: (2, 8, 3) float64, corners of what stays and of what turns.
    """

    figure: Figure
    morphs: tuple[Shift, ...]
    pivots: NDArray[np.float64]
    eyes_turn: tuple[bool, bool]
    gaze_limits: NDArray[np.float64]
    boxes: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Part:
    """A primitive where a node puts it, world space; `shares` as in `Figure`."""

    primitive: Primitive
    mesh: int
    positions: NDArray[np.float32]
    normals: NDArray[np.float32]
    shares: NDArray[np.float32]
    triangles: NDArray[np.int32]
    morphs: dict[int, Deltas]


@np.errstate(over="ignore", invalid="ignore")  # what overflows is refused at the end
def make_bust(file: Gltf, matching: Matching) -> Bust:
    """Stand a file's scene before the camera.

    Raises:
        Face3DMMError: the scene has no triangles, is larger than an avatar needs, or its skins do not fit its meshes.
    """
    bones = find_bones(file)
    world = rest_pose(file, bones)
    head = bones.get("head", -1)
    limits = gaze_limits(file)
    eyes_may_turn = head >= 0 and bool(limits.any())
    eyes_turn = tuple(
        eyes_may_turn and f"{side}Eye" in bones and f"eyeLookUp{side.capitalize()}" in matching.missing
        for side in ("left", "right")
    )
    marks = {head: 1 + HEAD} if head >= 0 else {}
    for side, part, turns in zip(("left", "right"), (LEFT_EYE, RIGHT_EYE), eyes_turn, strict=True):
        if turns:
            marks[bones[f"{side}Eye"]] = 1 + part
    # Without a head everything turns.
    groups = nodes_below(file, marks) if head >= 0 else np.full(len(file.nodes), 1 + HEAD, np.int32)
    parts = _parts(file, matching, world, groups)
    low, high = _frame(parts, head >= 0)
    middle, unit = (low + high) / 2.0, float(high[1] - low[1])
    if not (np.isfinite(middle).all() and np.isfinite(unit) and unit > 0.0):
        raise Face3DMMError(f"{file.path}: the scene has no height: {unit}")
    nodes = (head, bones.get("leftEye", -1), bones.get("rightEye", -1))
    pivots = np.array([world[node, :3, 3] if node >= 0 else middle for node in nodes])
    parts = _visible(parts, float(low[1]) - 0.2 * unit)
    offsets = np.cumsum([0, *(len(part.positions) for part in parts)])
    morphs = [_gathered(parts, offsets, channel.targets, unit) for channel in matching.channels]
    figure = _figure(file, parts, offsets, middle, unit)
    if not (np.isfinite(figure.points).all() and all(np.isfinite(morph.points).all() for morph in morphs)):
        raise Face3DMMError(f"{file.path}: its numbers differ too much in size to be drawn")
    figure, morphs = _moving_first(figure, morphs)
    left, right = eyes_turn
    return Bust(figure, tuple(morphs), (pivots - middle) / unit, (left, right), limits, _boxes(figure))


def _parts(file: Gltf, matching: Matching, world: NDArray[np.float64], groups: NDArray[np.int32]) -> list[_Part]:
    targets = {target for channel in matching.channels for target in channel.targets}
    carriers = [(index, node) for index, node in enumerate(file.nodes) if file.in_scene[index] and node.mesh >= 0]
    vertices = sum(len(p.positions) for _, node in carriers for p in file.meshes[node.mesh].primitives)
    if vertices > _MOST_VERTICES:
        raise Face3DMMError(f"{file.path}: the scene has {vertices} vertices; an avatar may have {_MOST_VERTICES}")
    parts = [
        _part(file, primitive, node.mesh, node.skin, world, groups, index, targets)
        for index, node in carriers
        for primitive in file.meshes[node.mesh].primitives
        if len(primitive.triangles)
    ]
    if not parts:
        raise Face3DMMError(f"{file.path}: the scene has no triangles to draw")
    return parts


def _part(
    file: Gltf,
    primitive: Primitive,
    mesh: int,
    skin: int,
    world: NDArray[np.float64],
    groups: NDArray[np.int32],
    node: int,
    targets: set[tuple[int, int]],
) -> _Part:
    N = len(primitive.positions)
    if skin >= 0 and primitive.joints.shape[1]:
        matrices, shares = _skinned(file, primitive, file.skins[skin], world, groups)
    else:
        matrices = np.broadcast_to(world[node].astype(np.float32), (N, 4, 4))
        shares = np.zeros((N, TURNS), np.float32)
        if groups[node]:
            shares[:, groups[node] - 1] = 1.0
    linear = matrices[:, :3, :3]
    # Normals go by the cofactors, which are the inverse transpose but for the scale.
    cofactors = np.stack([np.cross(linear[:, :, i - 2], linear[:, :, i - 1]) for i in range(3)], axis=2)
    mirrored = np.einsum("ni,ni->n", linear[:, :, 0], cofactors[:, :, 0]) < 0.0
    cofactors[mirrored] *= -1.0
    normals = np.einsum("nij,nj->ni", cofactors, primitive.normals)
    lengths = np.maximum(np.linalg.norm(normals, axis=1), 1e-20)
    triangles = primitive.triangles.copy()
    flipped = mirrored[triangles[:, 0]]
    triangles[flipped] = triangles[flipped, ::-1]
    positions = np.einsum("nij,nj->ni", linear, primitive.positions) + matrices[:, :3, 3]
    if not np.isfinite(positions).all():
        raise Face3DMMError(f"{file.path}: node {file.nodes[node].name!r} puts its mesh beyond all numbers")
    morphs = {}
    for index, morph in enumerate(primitive.morphs):
        if (mesh, index) in targets:
            morph = morph if morph.normals.any() else _with_normals(morph, primitive)
            at = morph.vertices
            morphs[index] = Deltas(
                at,
                np.einsum("nij,nj->ni", linear[at], morph.positions),
                np.einsum("nij,nj->ni", cofactors[at], morph.normals) / lengths[at, None],
            )
    return _Part(primitive, mesh, positions, normals / lengths[:, None], shares, triangles, morphs)


def _with_normals(morph: Deltas, primitive: Primitive) -> Deltas:
    """A morph target that has no normals of its own with those of the surface that it makes."""
    touched = np.isin(primitive.triangles, morph.vertices).any(axis=1)
    triangles = primitive.triangles[touched]
    moved = primitive.positions.copy()
    moved[morph.vertices] += morph.positions
    # Where triangles around a vertex stay still they weigh on both sides of the difference alike, and are left out.
    change = vertex_normals(moved, triangles) - vertex_normals(primitive.positions, triangles)
    return Deltas(morph.vertices, morph.positions, change[morph.vertices])


def _skinned(
    file: Gltf, primitive: Primitive, skin: Skin, world: NDArray[np.float64], groups: NDArray[np.int32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Σⱼ wⱼ Gⱼ Bⱼ of each vertex, (N, 4, 4), and its shares."""
    if int(primitive.joints.max(initial=0)) >= len(skin.joints):
        raise Face3DMMError(
            f"{file.path}: a vertex hangs on joint {primitive.joints.max()} of a skin with {len(skin.joints)}"
        )
    moved = (world[skin.joints] @ skin.inverse_bind).astype(np.float32)
    follows = (groups[skin.joints][:, None] == 1 + np.arange(TURNS)).astype(np.float32)
    matrices = np.zeros((len(primitive.positions), 4, 4), np.float32)
    shares = np.zeros((len(primitive.positions), TURNS), np.float32)
    for joints, weights in zip(primitive.joints.T, primitive.weights.T, strict=True):
        matrices += weights[:, None, None] * moved[joints]
        shares += weights[:, None] * follows[joints]
    return matrices, shares


def _frame(parts: Sequence[_Part], has_head: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest corner, (3,) each, of what the picture shows: head and shoulders, or the whole scene."""
    everything = np.concatenate([part.positions for part in parts])
    if not has_head:
        low, high = everything.min(axis=0), everything.max(axis=0)
        extra = (_MARGIN - 1.0) / 2.0 * (high - low)
        return (low - extra).astype(np.float64), (high + extra).astype(np.float64)
    turning = np.concatenate([part.shares.sum(axis=1) > 0.5 for part in parts])
    # The meshes that make faces tell best where the face is: hair may hang down to the hips.
    faces = np.concatenate([np.full(len(part.positions), bool(part.morphs)) for part in parts]) & turning
    width, _, depth = np.ptp(everything[faces], axis=0) if faces.any() else np.zeros(3)
    if depth <= _FLAT * width:
        faces = turning
    face = everything[faces if faces.any() else slice(None)]
    low, high = face.min(axis=0).astype(np.float64), face.max(axis=0).astype(np.float64)
    top = float(everything[turning, 1].max(initial=high[1]))
    high[1] = min(top, high[1] + _HAIR * (high[1] - low[1]))
    height = max(high[1] - low[1], (high[0] - low[0]) / _WIDEST)
    high[1] += _ABOVE * height
    low[1] -= _BELOW * height
    return low, high


def _visible(parts: Sequence[_Part], bottom: float) -> list[_Part]:
    """Without the triangles that stay below the picture, and the vertices that are then left over."""
    result = []
    for part in parts:
        seen = (part.positions[:, 1] > bottom) | (part.shares.sum(axis=1) > 0.0)
        triangles = part.triangles[seen[part.triangles].any(axis=1)]
        kept = np.zeros(len(part.positions), bool)
        kept[triangles] = True
        if not kept.any():
            continue
        places = np.cumsum(kept, dtype=np.int32) - 1
        primitive = Primitive(
            part.primitive.positions[kept],
            part.primitive.normals[kept],
            part.primitive.uv[kept],
            part.primitive.colors[kept],
            places[triangles],
            part.primitive.joints[kept],
            part.primitive.weights[kept],
            part.primitive.material,
            (),
        )
        morphs = {}
        for index, morph in part.morphs.items():
            stays = kept[morph.vertices]
            morphs[index] = Deltas(places[morph.vertices[stays]], morph.positions[stays], morph.normals[stays])
        result.append(
            _Part(
                primitive,
                part.mesh,
                part.positions[kept],
                part.normals[kept],
                part.shares[kept],
                primitive.triangles,
                morphs,
            )
        )
    return result


def _gathered(
    parts: Sequence[_Part], offsets: NDArray[np.int64], targets: Mapping[tuple[int, int], float], unit: float
) -> Shift:
    """What a channel at 1 adds to the vertices of all parts together, in the frame's unit."""
    found = [
        (morph.vertices + offset, share / unit * morph.positions, share * morph.normals)
        for part, offset in zip(parts, offsets[:-1], strict=True)
        for index, morph in part.morphs.items()
        if (share := targets.get((part.mesh, index), 0.0))
    ]
    if not found:
        return Shift(np.zeros(0, np.int32), np.zeros((0, 6), np.float32))
    everything = np.concatenate([vertices for vertices, _, _ in found])
    vertices, places = np.unique(everything, return_inverse=True)
    sums = np.zeros((len(vertices), 6), np.float32)
    np.add.at(sums, places, np.concatenate([np.concatenate([p, n], axis=1) for _, p, n in found]))
    return Shift(vertices.astype(np.int32), sums)


def _figure(
    file: Gltf, parts: Sequence[_Part], offsets: NDArray[np.int64], middle: NDArray[np.float64], unit: float
) -> Figure:
    points = np.concatenate(
        [
            (np.concatenate([part.positions for part in parts]) - middle) / unit,
            np.concatenate([part.normals for part in parts]),
        ],
        axis=1,
    ).astype(np.float32)
    colors = np.concatenate([part.primitive.colors for part in parts])
    by_material: dict[int, list[NDArray[np.int32]]] = {}
    for part, offset in zip(parts, offsets[:-1], strict=True):
        by_material.setdefault(part.primitive.material, []).append(part.triangles + np.int32(offset))
    drawn = [
        _sorted_by_depth(surface, triangles, points[:, 2])
        for index, all_triangles in by_material.items()
        for surface, triangles in _cheapened(file, index, np.concatenate(all_triangles), points, colors[:, 3])
    ]
    drawn.sort(key=lambda each: (_MODES.index(each[0].alpha_mode), each[0].order, each[2]))
    used: dict[int, int] = {}
    surfaces: list[Surface] = []
    first = 0
    for material, triangles, _ in drawn:
        surfaces.append(
            Surface(
                first,
                triangles.size,
                material.color,
                -1 if material.texture < 0 else used.setdefault(material.texture, len(used)),
                material.alpha_mode,
                material.alpha_cutoff,
                material.double_sided,
                material.shading,
                material.shade,
            )
        )
        first += triangles.size
    return Figure(
        points,
        np.concatenate([part.primitive.uv for part in parts]),
        (255.0 * np.clip(colors, 0.0, 1.0) + 0.5).astype(np.uint8),
        np.concatenate([part.shares for part in parts]),
        np.concatenate([triangles for _, triangles, _ in drawn]).astype(np.uint32),
        tuple(surfaces),
        tuple(file.textures[texture] for texture in used),
        0,
    )


def _cheapened(
    file: Gltf, index: int, triangles: NDArray[np.int32], points: NDArray[np.float32], alphas: NDArray[np.float32]
) -> list[tuple[Material, NDArray[np.int32]]]:
    """A material's triangles, with no alpha to test where none is cut out, and no back to draw where none is seen."""
    material = file.materials[index]
    if material.alpha_mode == "MASK":
        least = material.color[3] * float(alphas[triangles].min())
        if material.texture >= 0:
            least *= float(file.textures[material.texture][..., 3].min()) / 255.0
        if least >= material.alpha_cutoff:
            material = replace(material, alpha_mode="OPAQUE")
    if material.double_sided and material.alpha_mode == "OPAQUE" and len(triangles) >= _WORTH_SPLITTING:
        closed = on_closed_surfaces(points[:, :3], triangles)
        if closed.sum() >= _WORTH_SPLITTING:
            halves = [(replace(material, double_sided=False), triangles[closed]), (material, triangles[~closed])]
            return [half for half in halves if len(half[1])]
    return [(material, triangles)]


def _sorted_by_depth(
    material: Material, triangles: NDArray[np.int32], z: NDArray[np.float32]
) -> tuple[Material, NDArray[np.int32], float]:
    """A surface's triangles in the order of drawing, and a number by which surfaces are.

    Blended ones go from far to near: eyes, then glasses. Of others the near surfaces go first, and hide the rest.
    """
    depth = z[triangles].mean(axis=1)
    if material.alpha_mode != "BLEND":
        return material, triangles, -float(depth.mean())
    return material, triangles[np.argsort(depth, kind="stable")], float(depth.mean())


def _moving_first(figure: Figure, morphs: Sequence[Shift]) -> tuple[Figure, list[Shift]]:
    """The same with the vertices that some morph moves before all others."""
    N = len(figure.points)
    moves = np.zeros(N, bool)
    for morph in morphs:
        moves[morph.vertices] = True
    order = np.argsort(~moves, kind="stable")
    places = np.empty(N, np.int32)
    places[order] = np.arange(N, dtype=np.int32)
    return (
        Figure(
            figure.points[order],
            figure.uv[order],
            figure.colors[order],
            figure.shares[order],
            places[figure.triangles].astype(np.uint32),
            figure.surfaces,
            figure.textures,
            int(moves.sum()),
        ),
        [Shift(places[morph.vertices], morph.points) for morph in morphs],
    )


def _boxes(figure: Figure) -> NDArray[np.float64]:
    """Corners of the boxes, (2, 8, 3), around what stays and what turns, with room for what morph targets move."""
    turning = figure.shares.sum(axis=1)
    corners = []
    for inside in (turning < 1.0, turning > 0.0):
        points = figure.points[inside if inside.any() else slice(1), :3]
        low, high = points.min(axis=0) - 0.08, points.max(axis=0) + 0.08
        corners.append(np.stack(np.meshgrid(*np.stack([low, high], axis=1)), axis=-1).reshape(8, 3))
    return np.array(corners, np.float64)

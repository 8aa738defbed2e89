"""A glTF file's scene as one figure: skinned, framed, its morph targets gathered by what drives them.

Of all joints only the head and, where no morph target moves the gaze, the eyes turn. So linear blend skinning is not
evaluated per picture: v' = Σⱼ wⱼ Gⱼ Bⱼ v, with Gⱼ a joint's transform and Bⱼ its inverse bind matrix, is evaluated
once, and per picture (1 − h) v' + h D v', with h the sum of the weights of the joints that turn with D. That is exact
if the file's rest pose is its bind pose, and wherever h is 0 or 1.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.avatar.gltf.closed_surfaces import on_closed_surfaces
from face3dmm_ros.avatar.gltf.figure import TURNS, Figure, Surface
from face3dmm_ros.avatar.gltf.morphs import Matching
from face3dmm_ros.avatar.gltf.skeleton import eyes_that_turn, find_bones, gaze_limits, nodes_below, rest_pose
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.normals import vertex_normals
from face3dmm_ros.files.gltf import Deltas, Gltf, Material, Primitive, Skin

HEAD, LEFT_EYE, RIGHT_EYE = range(TURNS)
"""Indices of the parts that turn."""

# Chosen by hand while looking at VRM and glTF characters.
_HAIR = 0.35  # in heights of the face: hats and ears that rise higher above it are not counted to the head
_FLAT = 0.1  # depth over width: flatter faces are painted on a head, and do not tell the head's size
_WIDEST = 1.1  # width over height of a head: wider ones are framed as if they were higher
_ABOVE, _BELOW = 0.22, 0.62  # in heights of the head, room above and below it
_MARGIN = 1.25  # height of the frame over that of a scene without a head bone
_MOST_VERTICES = 1_000_000  # of all copies of meshes that the nodes carry
_MOST_PARTS = 1_000  # likewise, primitives
_MOST_TARGETS = 5_000  # likewise, morph targets that something drives
_MOST_MOVED = 10_000_000  # likewise, vertices that these move
_LOWEST = -0.7  # height in the frame, whose lower edge is at −0.5, below which nothing is drawn
_WORTH_SPLITTING = 500  # triangles; fewer cost less than one more surface
_MODES = ("OPAQUE", "MASK", "BLEND")  # in the order of drawing


@dataclass(frozen=True, eq=False)
class Bust:
    """A figure in its frame, and how it moves.

    The unit is the frame's height; the frame lies around the origin in the plane z = 0.

    Attributes:
        figure: at rest.
        morphs: one per channel of the matching, of the figure's vertices, all below `Figure.moving`.
        pivots: (TURNS, 3) float64, about which `HEAD`, `LEFT_EYE` and `RIGHT_EYE` turn.
        eyes_turn: for the left and the right eye, whether a bone moves the gaze.
        gaze_limits: see `skeleton.gaze_limits`.
        boxes: (2, 8, 3) float64, corners of boxes around what stays and around what turns.
    """

    figure: Figure
    morphs: tuple[Deltas, ...]
    pivots: NDArray[np.float64]
    eyes_turn: tuple[bool, bool]
    gaze_limits: NDArray[np.float64]
    boxes: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Part:
    """A primitive where a node puts it.

    Attributes:
        mesh, material: their indices in the file.
        points: (N, 6) float32, in the world.
        uv, colors, triangles: as in `Primitive`.
        shares: as in `Figure`.
        morphs: in the world, by index of the morph target; those that something drives.
    """

    mesh: int
    material: int
    points: NDArray[np.float32]
    uv: NDArray[np.float32]
    colors: NDArray[np.float32]
    shares: NDArray[np.float32]
    triangles: NDArray[np.int32]
    morphs: Mapping[int, Deltas]


@np.errstate(over="ignore", invalid="ignore")  # overflows are checked for at the end
def make_bust(file: Gltf, matching: Matching) -> Bust:
    """Pose and frame a file's scene.

    Raises:
        Face3DMMError: the scene has no triangles or too many vertices, its skins do not fit its meshes, or its numbers
            are out of range.
    """
    bones = find_bones(file)
    world = rest_pose(file, bones)
    head = bones.get("head", -1)
    limits = gaze_limits(file)
    eyes_turn = tuple(eyes_that_turn(file, matching.missing, bones).values())
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
    figure, morphs = _figure(file, parts, [channel.targets for channel in matching.channels], middle, unit)
    if not (np.isfinite(figure.points).all() and all(np.isfinite(morph.points).all() for morph in morphs)):
        raise Face3DMMError(f"{file.path}: its numbers differ too much in size to be drawn")
    left, right = eyes_turn
    return Bust(figure, tuple(morphs), (pivots - middle) / unit, (left, right), limits, _boxes(figure))


def _parts(file: Gltf, matching: Matching, world: NDArray[np.float64], groups: NDArray[np.int32]) -> list[_Part]:
    targets = {target for channel in matching.channels for target in channel.targets}
    carriers = [(index, node) for index, node in enumerate(file.nodes) if file.in_scene[index] and node.mesh >= 0]
    vertices = sum(len(p.points) for _, node in carriers for p in file.meshes[node.mesh].primitives)
    if vertices > _MOST_VERTICES:
        raise Face3DMMError(f"{file.path}: the scene has {vertices} vertices; an avatar may have {_MOST_VERTICES}")
    primitives = [(node.mesh, primitive) for _, node in carriers for primitive in file.meshes[node.mesh].primitives]
    driven = [
        len(morph.vertices)
        for mesh, primitive in primitives[:_MOST_PARTS]
        for target, morph in enumerate(primitive.morphs)
        if (mesh, target) in targets
    ]
    found = (("primitives", len(primitives), _MOST_PARTS), ("driven morph targets", len(driven), _MOST_TARGETS))
    for what, number, most in (*found, ("vertices that these move", sum(driven), _MOST_MOVED)):
        if number > most:
            raise Face3DMMError(f"{file.path}: the scene has {number} {what}; an avatar may have {most}: simplify it")
    parts = [
        _part(file, primitive, index, world, groups, targets)
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
    index: int,
    world: NDArray[np.float64],
    groups: NDArray[np.int32],
    targets: Container[tuple[int, int]],
) -> _Part:
    """A primitive of the mesh that node `index` carries; of its morph targets those in `targets`."""
    node, N = file.nodes[index], len(primitive.points)
    if node.skin >= 0 and primitive.joints.shape[1]:
        matrices, shares = _skinned(file, primitive, file.skins[node.skin], world, groups)
    else:
        matrices = np.broadcast_to(world[index].astype(np.float32), (N, 4, 4))
        shares = np.tile(groups[index] == 1 + np.arange(TURNS), (N, 1)).astype(np.float32)
    linear = matrices[:, :3, :3]
    # Normals are transformed by the cofactors, which are the inverse transpose up to a factor.
    cofactors = np.stack([np.cross(linear[:, :, i - 2], linear[:, :, i - 1]) for i in range(3)], axis=2)
    mirrored = np.einsum("ni,ni->n", linear[:, :, 0], cofactors[:, :, 0]) < 0.0
    cofactors[mirrored] *= -1.0
    points = _transformed(primitive.points, linear, cofactors)
    points[:, :3] += matrices[:, :3, 3]
    if not np.isfinite(points[:, :3]).all():
        raise Face3DMMError(f"{file.path}: node {node.name!r} puts its mesh beyond all numbers")
    lengths = np.maximum(np.linalg.norm(points[:, 3:], axis=1), 1e-20)
    points[:, 3:] /= lengths[:, None]
    triangles = primitive.triangles.copy()
    flipped = mirrored[triangles[:, 0]]
    triangles[flipped] = triangles[flipped, ::-1]
    morphs = {}
    for target, morph in enumerate(primitive.morphs):
        if (node.mesh, target) in targets:
            at = morph.vertices
            added = morph.points if morph.points[:, 3:].any() else _with_normals(morph, primitive)
            morphs[target] = Deltas(at, _transformed(added, linear[at], cofactors[at] / lengths[at, None, None]))
    return _Part(node.mesh, primitive.material, points, primitive.uv, primitive.colors, shares, triangles, morphs)


def _transformed(
    points: NDArray[np.float32], linear: NDArray[np.float32], cofactors: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Points (n, 6) whose first three numbers go by one (n, 3, 3) matrix each, and the others by another."""
    halves = zip((points[:, :3], points[:, 3:]), (linear, cofactors), strict=True)
    return np.concatenate([np.einsum("nij,nj->ni", matrices, half) for half, matrices in halves], axis=1)


def _with_normals(morph: Deltas, primitive: Primitive) -> NDArray[np.float32]:
    """The points of a morph target that has no normals of its own, with those of the surface that it makes."""
    triangles = primitive.triangles[np.isin(primitive.triangles, morph.vertices).any(axis=1)]
    rest = primitive.points[:, :3]
    moved = rest.copy()
    moved[morph.vertices] += morph.points[:, :3]
    # Where triangles around a vertex stay still they weigh on both sides of the difference alike, and are left out.
    change = vertex_normals(moved, triangles) - vertex_normals(rest, triangles)
    return np.concatenate([morph.points[:, :3], change[morph.vertices]], axis=1)


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
    matrices = np.zeros((len(primitive.points), 4, 4), np.float32)
    shares = np.zeros((len(primitive.points), TURNS), np.float32)
    for joints, weights in zip(primitive.joints.T, primitive.weights.T, strict=True):
        matrices += weights[:, None, None] * moved[joints]
        shares += weights[:, None] * follows[joints]
    return matrices, shares


def _frame(parts: Sequence[_Part], has_head: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest corner, (3,) each, of what the picture shows: head and shoulders, or the whole scene."""
    everything = np.concatenate([part.points[:, :3] for part in parts])
    if not has_head:
        low, high = everything.min(axis=0), everything.max(axis=0)
        extra = (_MARGIN - 1.0) / 2.0 * (high - low)
        return (low - extra).astype(np.float64), (high + extra).astype(np.float64)
    turning = np.concatenate([part.shares.sum(axis=1) > 0.5 for part in parts])
    # The meshes that make faces tell best where the face is: hair may hang down to the hips.
    faces = np.concatenate([np.full(len(part.points), bool(part.morphs)) for part in parts]) & turning
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


def _figure(
    file: Gltf,
    parts: Sequence[_Part],
    channels: Sequence[Mapping[tuple[int, int], float]],
    middle: NDArray[np.float64],
    unit: float,
) -> tuple[Figure, list[Deltas]]:
    """The parts as one figure, in units of the frame's height from its middle, and what each channel at 1 adds.

    Triangles that stay below the picture are left out, with the vertices that then are in none.
    """
    starts = np.cumsum([0, *(len(part.points) for part in parts[:-1])])
    points = np.concatenate([part.points for part in parts])
    points[:, :3] = (points[:, :3] - middle) / unit
    morphs = [_gathered(parts, starts, targets, unit) for targets in channels]
    shares = np.concatenate([part.shares for part in parts])
    triangles = np.concatenate([part.triangles + start for part, start in zip(parts, starts, strict=True)])
    material_of = np.repeat([part.material for part in parts], [len(part.triangles) for part in parts])
    seen = ((points[:, 1] > _LOWEST) | (shares.sum(axis=1) > 0.0))[triangles].any(axis=1)
    triangles, material_of = triangles[seen], material_of[seen]

    used, moves = np.zeros((2, len(points)), bool)
    used[triangles] = True
    for morph in morphs:
        moves[morph.vertices] = True
    order = np.concatenate([np.flatnonzero(used & moves), np.flatnonzero(used & ~moves)])
    places = np.full(len(points), -1, np.int32)
    places[order] = np.arange(len(order))
    points, triangles = points[order], places[triangles]
    colors = np.concatenate([part.colors for part in parts])[order]
    drawn = [
        _sorted_by_depth(material, some, points[:, 2])
        for index in dict.fromkeys(material_of.tolist())
        for material, some in _cheapened(file, index, triangles[material_of == index], points, colors[:, 3])
    ]
    drawn.sort(key=lambda each: (_MODES.index(each[0].alpha_mode), each[0].order, each[2]))
    textures = list(dict.fromkeys(material.texture for material, _, _ in drawn if material.texture >= 0))
    surfaces: list[Surface] = []
    for material, some, _ in drawn:
        texture = textures.index(material.texture) if material.texture >= 0 else -1
        first = surfaces[-1].first + surfaces[-1].count if surfaces else 0
        surfaces.append(Surface(first, some.size, replace(material, texture=texture)))
    figure = Figure(
        points,
        np.concatenate([part.uv for part in parts])[order],
        (255.0 * np.clip(colors, 0.0, 1.0) + 0.5).astype(np.uint8),
        shares[order],
        np.concatenate([some for _, some, _ in drawn]).astype(np.uint32),
        tuple(surfaces),
        tuple(file.textures[texture] for texture in textures),
        int((used & moves).sum()),
    )
    kept = [places[morph.vertices] >= 0 for morph in morphs]
    return figure, [Deltas(places[m.vertices[k]], m.points[k]) for m, k in zip(morphs, kept, strict=True)]


def _gathered(
    parts: Sequence[_Part], starts: NDArray[np.integer], targets: Mapping[tuple[int, int], float], unit: float
) -> Deltas:
    """What a channel at 1 adds to the vertices of all parts together, in the frame's unit."""
    scale = np.array([1.0 / unit] * 3 + [1.0] * 3, np.float32)
    sums = np.zeros((sum(len(part.points) for part in parts), 6), np.float32)
    for part, start in zip(parts, starts, strict=True):
        for target, morph in part.morphs.items():
            share = targets.get((part.mesh, target), 0.0)
            sums[morph.vertices + start] += share * scale * morph.points
    vertices = np.flatnonzero(sums.any(axis=1)).astype(np.int32)
    return Deltas(vertices, sums[vertices])


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


def _boxes(figure: Figure) -> NDArray[np.float64]:
    """Corners of the boxes, (2, 8, 3), around what stays and what turns, with room for what morph targets move."""
    turning = figure.shares.sum(axis=1)
    corners = []
    for inside in (turning < 1.0, turning > 0.0):
        points = figure.points[inside if inside.any() else slice(1), :3]
        low, high = points.min(axis=0) - 0.08, points.max(axis=0) + 0.08
        corners.append(np.stack(np.meshgrid(*np.stack([low, high], axis=1)), axis=-1).reshape(8, 3))
    return np.array(corners, np.float64)

"""A photograph of a face in relief: the person meshed in depth, all around, and what is behind."""

from dataclasses import dataclass

import cv2
import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.sparse.linalg import spsolve

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.values import FaceParameters
from face3dmm_ros.lab.synthesis.person_mask import person_mask
from face3dmm_ros.lab.synthesis.random_scene import FACE_CENTER
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.rendering.layer import Rectangle
from face3dmm_ros.rendering.pull_push import continued
from face3dmm_ros.rendering.rasterization import Fragments, rasterize
from face3dmm_ros.rendering.texture import Unwrapping, paint_texture

# All numbers chosen by hand while looking at portraits turned to the side.
_LARGEST_SCALE = 1.6  # px/mm: pictures are kept at this scale or below, so that a face is some 240 px high
_REACH = 330.0  # mm to each side, above and below of the face's middle that are kept
_NECK_END = np.array([0.0, -135.0, -60.0])  # mm
_SKULL_MIDDLE = np.array([0.0, 15.0, -85.0])  # mm
_CELL = 2.4  # mm, of the mesh
_ROUND_HEAD, _FLAT_BODY = 0.55, 0.10  # how much rounder than flat hair and clothes are; 1 is a ball
_BODY_BEGINS = (-115.0, -175.0)  # mm below the origin, from where to where the neck turns into the body
_BEHIND_SKIN = 10.0  # mm by which the front lies behind the face's own mesh, but at its edges
_TEXTURE_SIZE = 1024
_AROUND_STRANDS = 5.0  # mm around the person that the backdrop is filled too
_NAPE = (-65.0, -85.0)  # mm below the origin, from where to where hair ends at the back of the neck
_THICKEST_HAIR = 30.0  # mm
_SHORT_HAIR = 12.0  # mm; thicker hair beside the face also hangs over the neck
_SMOOTHINGS = 4
_FLATTEST = 3.0  # mm that the person is thick at least, to each side of the outline's plane
_STRANDS = 3.0  # how much stronger painted strands are than the hair's own variation
_STRANDS_MM = (70.0, 160.0)  # across and along, that the picture of strands covers
_STRANDS_RIM = 12.0  # mm inside the outline over which the front takes on the back's strands
_EDGE = 2.2  # mm inside the outline from which on a pixel is the person's alone
_RIM = 5.0  # mm inside the outline over which the front takes on the colours of the back


_PARTS = {"skin", "face", "ears", "neck", "scalp", "eyes", "teeth", "mouth_interior"}
"""Regions that the model must have."""


@dataclass(frozen=True, eq=False)
class TexturedMesh:
    """A mesh and its texture.

    Attributes:
        points: (n, 3) float32, model space, mm.
        uv: (n, 2) float32, in [0, 1] from the texture's top left corner.
        triangles: (m, 3) int32.
        texture: (h, w, 3) uint8 BGR.
        cover: (n,) float32 in [0, 1], how much it hides of what is behind.
        grain: (n, 3) float32, where the strands of hair over it are read, u, v, and how strong they are.
    """

    points: NDArray[np.float32]
    uv: NDArray[np.float32]
    cover: NDArray[np.float32]
    grain: NDArray[np.float32]
    triangles: NDArray[np.int32]
    texture: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Relief:
    """A photograph in relief.

    Attributes:
        backdrop: (H, W, 3) uint8 BGR, what is behind the person.
        camera: of the face before it.
        meshes: the person: front, back, and over these the face.
        vertices: (N, 3) float32 of the model, mm.
    """

    backdrop: NDArray[np.uint8]
    camera: WeakPerspective
    meshes: tuple[TexturedMesh, ...]
    vertices: NDArray[np.float32]


def make_relief(
    photograph: NDArray[np.uint8], parameters: FaceParameters, model: MorphableModel, unwrapping: Unwrapping
) -> Relief:
    """Mesh a photograph in depth.

    Args:
        photograph: (H, W, 3) uint8 BGR.
        parameters: of the face in it.
        model: of the parameters.
        unwrapping: of the model.

    Raises:
        Face3DMMError: the model does not tell its parts as the default model does.
    """
    if missing := _PARTS - set(model.regions):
        raise Face3DMMError(
            f"a photograph cannot be turned under the model {model.name}, which has no {', '.join(sorted(missing))} "
            "among its regions: use the default model"
        )
    vertices = model.vertices(parameters.alpha, parameters.beta)
    picture, camera, frame = _kept_part(photograph, parameters.camera)
    hull = _Hull.of(model, vertices, camera, picture.shape[:2])
    neck = camera.project(_NECK_END[None])[0]
    picture = _continued_downward(picture, frame.bottom, neck)
    mask = person_mask(picture, hull.head, neck, camera.scale, frame)
    backdrop = _without_person(picture, mask.around, camera.scale, frame)
    body = _colours_inside(picture, mask.inward, mask.theirs | hull.head, camera.scale)
    distance = _rounded_off(_standing(mask.inward, frame.bottom), neck, camera.scale)
    shell = _shell(model, vertices, hull, distance, camera, body)
    face = _face_mesh(body, camera, parameters, model, unwrapping, vertices)
    return Relief(backdrop, camera, (*shell, face), vertices)


@dataclass(frozen=True, eq=False)
class _Hull:
    """The model's outside on a grid of nodes over the picture.

    Attributes:
        step: px between nodes.
        front: (h, w) its nearest depth, mm toward the viewer; NaN where it is not.
        face, neck: (h, w) bool, what its front shows: face and ears, neck.
        head: (H, W) bool, the picture's pixels that show it.
        height: (h, w) of the nodes along the head's upright axis, mm above the model's origin.
        middle: depth of the skull's middle, mm toward the viewer.
    """

    step: float
    front: NDArray[np.float64]
    face: NDArray[np.bool_]
    neck: NDArray[np.bool_]
    head: NDArray[np.bool_]
    height: NDArray[np.float64]
    middle: float

    @staticmethod
    def of(
        model: MorphableModel, vertices: NDArray[np.float32], camera: WeakPerspective, shape: tuple[int, ...]
    ) -> "_Hull":
        step = _CELL * camera.scale
        size = (int(shape[1] / step) + 1, int(shape[0] / step) + 1)
        points = camera.project(vertices) / step
        toward = -camera.depth(vertices) / camera.scale
        seen = rasterize(points, -toward, model.triangles, size)
        front = _depth(seen, toward, model.triangles)
        covered = seen.triangle >= 0
        kind = np.zeros((size[1], size[0], 2))
        inner = np.float32(model.regions["skin"] <= 0.5)
        regions = np.stack([np.maximum(_bare_skin(model), inner), model.regions["neck"]], axis=1)
        kind[covered] = seen.surface_points(model.triangles, covered).interpolate(regions)
        head = _on_pixels(covered, step, shape) > 0.5
        y, x = np.mgrid[: size[1], : size[0]] * step
        up = camera.rotation[:2, 1] / np.linalg.norm(camera.rotation[:2, 1])
        height = ((x - camera.translation[0]) * up[0] + (y - camera.translation[1]) * up[1]) / camera.scale
        middle = float(-camera.rotation[2] @ _SKULL_MIDDLE)
        return _Hull(step, front, kind[..., 0] > 0.5, kind[..., 1] > 0.5, head, height, middle)


def _outside(model: MorphableModel) -> NDArray[np.bool_]:
    """Which triangles are skin, (M,)."""
    return np.asarray((model.regions["skin"] > 0.5)[model.triangles].all(axis=1))


def _bare_skin(model: MorphableModel) -> NDArray[np.float32]:
    """Weights of what hair and clothes leave free on every head: face, ears, the neck in front, (N,)."""
    regions, (_, y, z) = model.regions, model.mean.T
    throat = np.clip((z + 95.0) / 15.0, 0.0, 1.0) * np.clip((-45.0 - y) / 10.0, 0.0, 1.0)
    throat *= np.clip((y + 130.0) / 20.0, 0.0, 1.0)
    free = np.maximum(np.maximum(regions["face"], regions["ears"]), throat) * (1.0 - regions["scalp"])
    return free * (regions["skin"] > 0.5)


def _depth(seen: Fragments, toward: NDArray[np.float64], triangles: NDArray[np.int32]) -> NDArray[np.float64]:
    """Values of the vertices at each node that sees a triangle, NaN elsewhere."""
    covered = seen.triangle >= 0
    depth = np.full(covered.shape, np.nan)
    depth[covered] = seen.surface_points(triangles, covered).interpolate(toward)
    return depth


def _kept_part(
    photograph: NDArray[np.uint8], camera: WeakPerspective
) -> tuple[NDArray[np.uint8], WeakPerspective, Rectangle]:
    """The surroundings of the face, its camera there, and where the photograph is in them, mirrored around."""
    shrink = min(_LARGEST_SCALE / camera.scale, 1.0)
    if shrink < 1.0:
        photograph = np.asarray(cv2.resize(photograph, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA))
    size = np.array(photograph.shape[1::-1])
    scale = camera.scale * shrink
    translation = (camera.translation + 0.5) * shrink - 0.5
    reach = int(np.ceil(_REACH * scale))
    corner = np.round(translation + scale * camera.rotation[:2] @ FACE_CENTER - reach)
    shift = np.array([[1.0, 0.0, -corner[0]], [0.0, 1.0, -corner[1]]])
    frame = (2 * reach, 2 * reach)
    kept = cv2.warpAffine(photograph, shift, frame, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT_101)
    low, high = np.clip([-corner, size - corner], 0, frame).astype(int)
    return (
        np.asarray(kept, np.uint8),
        WeakPerspective(scale, camera.rotation, translation - corner),
        Rectangle(*low, *high),
    )


def _continued_downward(picture: NDArray[np.uint8], end: int, neck: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The picture with what is below the photograph's end mirrored from between there and the neck, to and fro."""
    last = end - 1
    if last >= len(picture) - 1:
        return picture
    first = min(max(int(neck[1]), 0), last - 2)
    band = last - first
    beyond = np.arange(len(picture)) - last
    phase = np.abs((beyond + band) % (2 * band) - band)
    rows = np.where(beyond > 0, last - phase, np.arange(len(picture)))
    return picture[rows]


def _standing(distance: NDArray[np.float32], end: int) -> NDArray[np.float32]:
    """The outline with a body that goes on straight below the photograph's end."""
    last = min(end - 3, len(distance) - 1)
    return distance[np.minimum(np.arange(len(distance)), last)]


def _rounded_off(distance: NDArray[np.float32], neck: NDArray[np.float64], scale: float) -> NDArray[np.float32]:
    """The outline with an end to shoulders that the photograph cuts."""
    x = np.arange(distance.shape[1], dtype=np.float32)
    y = np.arange(distance.shape[0], dtype=np.float32)
    below = np.clip((y - neck[1]) / scale, 0.0, None)
    reach = (95.0 + 115.0 * np.minimum(below / 70.0, 1.0)) * scale
    limit = reach[:, None] - np.abs(x - neck[0])[None]
    limit[y < neck[1] - 20.0 * scale] = np.inf
    return np.minimum(distance, limit.astype(np.float32))


def _without_person(
    picture: NDArray[np.uint8], around: NDArray[np.bool_], scale: float, frame: Rectangle
) -> NDArray[np.uint8]:
    """The photograph with the person's place filled smoothly from around it, mirrored beyond its frame."""
    side = 2 * round(_AROUND_STRANDS * scale) + 1
    free = 1 - cv2.dilate(around.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    within = frame.rows_and_columns
    filled = continued(picture[within].astype(np.float32), free[within].astype(np.float32), 0)
    above, left, (height, width) = frame.top, frame.left, picture.shape[:2]
    beyond = (above, height - frame.bottom, left, width - frame.right)
    mirrored = cv2.copyMakeBorder(filled, *beyond, cv2.BORDER_REFLECT_101)
    return np.asarray(np.clip(np.round(mirrored), 0, 255), np.uint8)


def _colours_inside(
    picture: NDArray[np.uint8], distance: NDArray[np.float32], theirs: NDArray[np.bool_], scale: float
) -> NDArray[np.uint8]:
    """The picture with the person's colours drawn out over the outline, so that no background shows at the edges."""
    rows, columns = distance_transform_edt(
        (distance < _EDGE * scale) | ~theirs, return_distances=False, return_indices=True
    )
    return picture[rows, columns]


def _on_pixels(nodes: NDArray, step: float, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Values at the nodes at the picture's pixels."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32) / np.float32(step)
    return np.asarray(cv2.remap(nodes.astype(np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def _back(
    body: NDArray[np.uint8],
    distance: NDArray[np.float32],
    hull: _Hull,
    thickness: NDArray[np.float32],
    scale: float,
) -> NDArray[np.uint8]:
    """What the person's back looks like, in the picture's pixels: hair, neck and clothes without the face."""
    shape = body.shape[:2]

    def spread(nodes: NDArray) -> NDArray[np.float32]:
        return _on_pixels(nodes, hull.step, shape)

    inside = distance > 0.0
    face = spread(cv2.dilate(hull.face.astype(np.uint8), np.ones((5, 5), np.uint8))) > 0.3
    neck, height = spread(hull.neck) > 0.3, spread(hull.height)
    hair = inside & ~face & ~neck & (height > _NAPE[1] - 25.0)
    below = inside & ~hair & (height < _NAPE[1] - 15.0)
    hair_color = continued(body.astype(np.float32), hair.astype(np.float32), 2)
    rows, columns = distance_transform_edt(~below, return_distances=False, return_indices=True)
    below_color = cv2.GaussianBlur(body[rows, columns], (0, 0), 2.0 * scale)
    hairy = _hairy(height, spread(thickness))[..., None]
    return np.asarray(np.clip(np.round(hairy * hair_color + (1.0 - hairy) * below_color), 0, 255), np.uint8)


def _hairy(height: NDArray[np.floating], thickness: NDArray[np.floating]) -> NDArray[np.floating]:
    """Share of hair at the back of a head, by the height above the model's origin and the hair's thickness, mm."""
    long = np.clip((thickness - _SHORT_HAIR) / 8.0, 0.0, 1.0) * np.clip((height + 130.0) / 15.0, 0.0, 1.0)
    return np.maximum(np.clip((height - _NAPE[1]) / (_NAPE[0] - _NAPE[1]), 0.0, 1.0), long)


def _thickness(hull: _Hull, inward: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    """How thick hair lies over the head, (h, w) mm: as far as it stands out at the sides."""
    covered = np.isfinite(hull.front).astype(np.uint8)
    edge = (covered - cv2.erode(covered, np.ones((3, 3), np.uint8))) * (hull.height > _NAPE[1])
    outside = np.clip(inward / scale, 0.0, _THICKEST_HAIR).astype(np.float32)
    return np.asarray(continued(np.dstack([outside, outside]), edge.astype(np.float32), 1)[..., 0])


def _with_hair(
    model: MorphableModel,
    vertices: NDArray[np.float32],
    camera: WeakPerspective,
    hull: _Hull,
    thickness: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nearest and farthest depth of the head under its hair at the nodes, mm, NaN where it is not."""
    points = camera.project(vertices) / hull.step
    x, y = (np.ascontiguousarray(part[None], np.float32) for part in points.T)
    thick = cv2.remap(thickness, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
    hairy = _hairy(vertices[:, 1], thick) * (1.0 - _bare_skin(model))
    covered = vertices + model.normals(vertices) * (hairy * thick)[:, None]
    points = camera.project(covered) / hull.step
    toward = -camera.depth(covered) / camera.scale
    skin, size = model.triangles[_outside(model)], hull.front.shape[::-1]
    front, back = (_depth(rasterize(points, -sign * toward, skin, size), toward, skin) for sign in (1.0, -1.0))
    return front, back


def _shell(
    model: MorphableModel,
    vertices: NDArray[np.float32],
    hull: _Hull,
    distance: NDArray[np.float32],
    camera: WeakPerspective,
    body: NDArray[np.uint8],
) -> tuple[TexturedMesh, TexturedMesh]:
    """The person's front and back, which meet along the outline."""
    rows, columns = hull.front.shape
    y, x = (np.mgrid[:rows, :columns] * hull.step).astype(np.float32)
    inward = np.asarray(cv2.remap(distance, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)
    inside = inward > 0.0
    rim = (cv2.dilate(inside.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) & ~inside
    slope = np.stack(np.gradient(inward, hull.step)[::-1], axis=-1)
    slope /= np.maximum(np.linalg.norm(slope, axis=-1, keepdims=True), 0.3)
    place = np.stack([x, y], axis=-1)
    place[rim] -= (np.clip(inward, -1.5 * hull.step, 0.0)[..., None] * slope)[rim]

    known = np.isfinite(hull.front) & inside
    thickness = _thickness(hull, inward, camera.scale)
    roundness = np.interp(hull.height, _BODY_BEGINS[::-1], (_FLAT_BODY, _ROUND_HEAD)) * _CELL**2
    skin = (hull.face | hull.neck) & known
    over, behind = _with_hair(model, vertices, camera, hull, thickness)
    near = hull.middle + _bulge(inside, skin, hull.front - hull.middle, roundness)
    hair = known & ~skin
    near[hair] = np.maximum(near, over)[hair]
    near = _smoothed(near, inside & ~skin)
    far = hull.middle - _bulge(inside, inside & (behind < hull.middle - 20.0), hull.middle - behind, roundness)
    near[cv2.erode(hull.face.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0] -= _BEHIND_SKIN

    used = inside | rim
    number = np.cumsum(used.ravel()).reshape(used.shape) - 1
    corners = [number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]]
    whole = used[:-1, :-1] & used[1:, :-1] & used[1:, 1:] & used[:-1, 1:]
    meshes = []
    back = _back(body, distance, hull, thickness, camera.scale)
    rim_share = np.clip(1.0 - distance / (_RIM * camera.scale), 0.0, 1.0)
    rim_share = (rim_share * (1.0 - _on_pixels(hull.face | hull.neck, hull.step, distance.shape)))[..., None]
    front = np.asarray(np.round(rim_share * back + (1.0 - rim_share) * body), np.uint8)
    strength = _strand_strength(body, distance, hull, camera.scale)
    rim_hair = np.clip(1.0 - inward / (_STRANDS_RIM * camera.scale), 0.0, 1.0) * ~skin * (hull.height > -110.0)
    hairy = _hairy(hull.height, thickness)
    for depth, texture, share in ((near, front, rim_hair * hairy), (far, back, hairy)):
        a, b, c, d = (corner[whole] for corner in corners)
        triangles = np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)]).astype(np.int32)
        flat = (place[used] - camera.translation) / camera.scale
        points = np.column_stack([flat, -depth[used]]) @ camera.rotation
        uv = (place[used] + 0.5) / np.array(texture.shape[1::-1])
        solid = np.ones(len(uv), np.float32)
        grain = np.column_stack([_around_skull(points), strength * share[used]]).astype(np.float32)
        meshes.append(TexturedMesh(points.astype(np.float32), uv.astype(np.float32), solid, grain, triangles, texture))
    return meshes[0], meshes[1]


def _strand_strength(body: NDArray[np.uint8], distance: NDArray[np.float32], hull: _Hull, scale: float) -> float:
    """How much strands of the person's hair differ from each other, as a share of its lightness."""
    gray = cv2.cvtColor(body, cv2.COLOR_BGR2GRAY).astype(np.float32)
    hair = (distance > _EDGE * scale) & (_on_pixels(hull.face, hull.step, gray.shape) < 0.1)
    hair &= _on_pixels(hull.height, hull.step, gray.shape) > 20.0
    if not hair.any():
        return 0.0
    detail = gray - np.asarray(cv2.GaussianBlur(gray, (0, 0), 4.0 * scale))
    return float(np.clip(_STRANDS * detail[hair].std() / (gray[hair].mean() + 10.0), 0.0, 1.2))


def _around_skull(points: NDArray[np.floating]) -> NDArray[np.floating]:
    """Where strands are read at points (n, 3), mm: (n, 2) around the skull and down along it."""
    x, y, z = (points - _SKULL_MIDDLE).T
    return np.column_stack([np.arctan2(x, -z) * 85.0, y]) / _STRANDS_MM


def _smoothed(depth: NDArray[np.float64], moved: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The depth without steps at some of its nodes."""
    for _ in range(_SMOOTHINGS):
        depth = np.where(moved, cv2.blur(depth, (3, 3), borderType=cv2.BORDER_REPLICATE), depth)
    return depth


def _bulge(
    inside: NDArray[np.bool_], fixed: NDArray[np.bool_], depth: NDArray[np.float64], roundness: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How far a surface stands off the outline's plane at each node, mm: 0 outside, given at some nodes, round between.

    The square of it solves Poisson's equation, which makes a ball over a disc.
    """
    free, rows, columns = (inside & ~fixed).ravel(), *inside.shape
    squared = np.zeros(inside.size)
    squared[fixed.ravel()] = np.maximum(depth[fixed], _FLATTEST) ** 2
    across, down = (scipy.sparse.eye_array(n) for n in (columns, rows))
    laplacian = scipy.sparse.csc_array(scipy.sparse.kron(down, _path(columns)) + scipy.sparse.kron(_path(rows), across))
    of_free = laplacian[free]
    right = 4.0 * roundness.ravel()[free] - of_free @ squared
    squared[free] = spsolve(scipy.sparse.csc_array(of_free[:, free]), right)
    return np.sqrt(np.maximum(squared, 0.0)).reshape(inside.shape)


def _path(count: int) -> scipy.sparse.dia_array:
    """The Laplacian of a row of nodes, (n, n)."""
    degree = np.full(count, 2.0)
    degree[[0, -1]] = 1.0
    step = -np.ones(count - 1)
    return scipy.sparse.diags_array([step, degree, step], offsets=[-1, 0, 1])


def _face_mesh(
    picture: NDArray[np.uint8],
    camera: WeakPerspective,
    parameters: FaceParameters,
    model: MorphableModel,
    unwrapping: Unwrapping,
    vertices: NDArray[np.float32],
) -> TexturedMesh:
    """The model's face, ears and eyes, painted from the picture; through the lips the front is seen."""
    texture = paint_texture(picture, model, unwrapping, vertices, camera, gamma=parameters.gamma, size=_TEXTURE_SIZE)
    weight = np.maximum(_bare_skin(model), model.regions["eyes"] > 0.5)
    inner = np.maximum(model.regions["teeth"], model.regions["mouth_interior"]) > 0.5
    shown = (weight > 0.0)[model.triangles].any(axis=1) & ~inner[model.triangles].all(axis=1)
    at = unwrapping.vertices
    return TexturedMesh(
        vertices[at],
        unwrapping.uv,
        weight[at],
        np.zeros((len(at), 3), np.float32),
        unwrapping.triangles[shown],
        texture,
    )

"""The front and the back of a photographed person: surfaces that bulge from the outline and meet there."""

import cv2
import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.sparse.linalg import spsolve

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.lab.synthesis.head_hull import CELL, NAPE, HeadHull, hair_share
from face3dmm_ros.lab.synthesis.textured_mesh import TexturedMesh
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.rendering.grids import grid_triangles
from face3dmm_ros.rendering.pull_push import continued

# All numbers chosen by hand while looking at portraits turned to the side; mm unless they say otherwise.
_ROUND_HEAD, _FLAT_BODY = 0.55, 0.10  # how round hair and clothes are; 1 is a ball
_BODY_BEGINS = (-115.0, -175.0)  # heights from where to where the neck turns into the body
_FLATTEST = 3.0  # that the person is thick at least, to each side of the outline's plane
_HAIR_OVER_SKIN = 2.0  # that hair stands over the head in front at least
_BEHIND_SKIN = 10.0  # by which the front lies behind the face's own mesh, but at its edges
_SMOOTHINGS = 4  # of the front outside of the face
_THICKEST_HAIR = 30.0
EDGE = 2.2
"""Distance from the outline inward from which on a pixel shows the person alone, mm."""
_RIM = 5.0  # inside the outline over which the front takes on the colours of the back
_STRANDS_RIM = 12.0  # and its strands
_STRANDS = 3.0  # how much stronger painted strands are than the hair's own variation
_STRANDS_AXIS = np.array([0.0, 15.0, -85.0])  # mm; strands fall around it
_STRANDS_MM = (70.0, 160.0)  # across and along, that the picture of strands covers


def front_and_back(
    model: MorphableModel,
    vertices: NDArray[np.float32],
    hull: HeadHull,
    camera: WeakPerspective,
    body: NDArray[np.uint8],
    inward: NDArray[np.float32],
) -> tuple[TexturedMesh, TexturedMesh]:
    """Mesh a person in a picture.

    Args:
        model: of the face.
        vertices: (N, 3) of the face, model space, mm.
        hull: of these in the picture.
        camera: of the face in the picture.
        body: (H, W, 3) uint8 BGR, the person's colours, beyond the outline too.
        inward: (H, W) how far inside the outline each pixel lies, px, negative outside.
    """
    at_nodes, shape, scale = hull.on_nodes(inward), inward.shape, camera.scale
    inside = at_nodes > 0.0
    thickness = _thickness(hull, at_nodes / scale)
    near, far = _depths(model, vertices, hull, camera, inside, thickness)
    behind = _back_colors(body, inward, hull, thickness, scale)
    skin = hull.face | hull.neck
    rim = np.clip(1.0 - inward / (_RIM * scale), 0.0, 1.0) * (1.0 - hull.on_pixels(skin, shape))
    before = np.asarray(np.round(rim[..., None] * behind + (1.0 - rim[..., None]) * body), np.uint8)
    strands = _strand_strength(body, inward, hull, scale) * hair_share(hull.height, thickness)
    at_rim = np.clip(1.0 - at_nodes / (_STRANDS_RIM * scale), 0.0, 1.0) * ~skin * (hull.height > _BODY_BEGINS[0])
    place, used = _outline_nodes(hull, at_nodes)
    front, back = (
        _mesh(place, used, depth, camera, texture, strength)
        for depth, texture, strength in ((near, before, at_rim * strands), (far, behind, strands))
    )
    return front, back


def _outline_nodes(hull: HeadHull, inward: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Places of the nodes, (h, w, 2) px, and which are used: those inside, and their neighbours, moved to the edge."""
    y, x = (np.mgrid[: inward.shape[0], : inward.shape[1]] * hull.step).astype(np.float32)
    used = cv2.dilate((inward > 0.0).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    slope = np.stack(np.gradient(inward, hull.step)[::-1], axis=-1)
    slope /= np.maximum(np.linalg.norm(slope, axis=-1, keepdims=True), 0.3)
    return np.stack([x, y], axis=-1) - np.clip(inward, -1.5 * hull.step, 0.0)[..., None] * slope, used


def _depths(
    model: MorphableModel,
    vertices: NDArray[np.float32],
    hull: HeadHull,
    camera: WeakPerspective,
    inside: NDArray[np.bool_],
    thickness: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Depth of the front and the back at the nodes, (h, w) mm toward the viewer."""
    hair_near, hair_far, bare_behind = hull.with_hair(model, vertices, camera, thickness)
    roundness = np.interp(hull.height, _BODY_BEGINS[::-1], (_FLAT_BODY, _ROUND_HEAD))
    skin = (hull.face | hull.neck) & inside
    middle = _outline_depth(hull, hair_far)
    near = middle + _bulge(inside, skin, hull.front - middle, roundness)
    near = np.where(hull.head & inside & ~skin, np.fmax(near, hair_near + _HAIR_OVER_SKIN), near)
    for _ in range(_SMOOTHINGS):
        near = np.where(inside & ~skin, cv2.blur(near, (3, 3), borderType=cv2.BORDER_REPLICATE), near)
    far = middle - _bulge(inside, inside & np.isfinite(hair_far), middle - hair_far, roundness)
    near[_without_edge(hull.face)] -= _BEHIND_SKIN
    far[_without_edge(bare_behind)] += _BEHIND_SKIN
    return near, far


def _without_edge(nodes: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(cv2.erode(nodes.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0)


def _outline_depth(hull: HeadHull, far: NDArray[np.float64]) -> NDArray[np.float64]:
    """Depth of the surface in which the outline lies, (h, w) mm: between front and back where the head ends."""
    edge = _edge_of(hull, _BODY_BEGINS[0]) * np.isfinite(far)
    depth = np.where(edge > 0, 0.5 * (hull.front + far), 0.0).astype(np.float32)
    return continued(np.dstack([depth, depth]), edge.astype(np.float32), 1)[..., 0].astype(np.float64)


def _edge_of(hull: HeadHull, lowest: float) -> NDArray[np.uint8]:
    """The head's outermost nodes above a height, mm, (h, w)."""
    head = hull.head.astype(np.uint8)
    return np.asarray((head - cv2.erode(head, np.ones((3, 3), np.uint8))) * (hull.height > lowest), np.uint8)


def _bulge(
    inside: NDArray[np.bool_], given: NDArray[np.bool_], height: NDArray[np.float64], roundness: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How far a surface stands off the outline's plane at each node, mm: 0 outside, given at some nodes, round between.

    The square of it solves Poisson's equation, which makes a ball over a disc.
    """
    free, (rows, columns) = (inside & ~given).ravel(), inside.shape
    squared = np.zeros(inside.size)
    squared[given.ravel()] = np.maximum(height[given], _FLATTEST) ** 2
    down, across = scipy.sparse.eye_array(rows), scipy.sparse.eye_array(columns)
    laplacian = scipy.sparse.csr_array(scipy.sparse.kron(down, _path(columns)) + scipy.sparse.kron(_path(rows), across))
    of_free = laplacian[free]
    right = 4.0 * CELL**2 * roundness.ravel()[free] - of_free @ squared
    squared[free] = spsolve(scipy.sparse.csc_array(of_free[:, free]), right)
    return np.asarray(np.sqrt(np.maximum(squared, 0.0)).reshape(inside.shape))


def _path(count: int) -> scipy.sparse.dia_array:
    """The Laplacian of a row of nodes, (n, n)."""
    degree = np.full(count, 2.0)
    degree[[0, -1]] = 1.0
    step = -np.ones(count - 1)
    return scipy.sparse.diags_array([step, degree, step], offsets=[-1, 0, 1])


def _thickness(hull: HeadHull, inward_mm: NDArray[np.float32]) -> NDArray[np.float32]:
    """How thick hair lies over the head, (h, w) mm: as far as it stands out at the head's edges."""
    outside = np.clip(inward_mm, 0.0, _THICKEST_HAIR)
    return continued(np.dstack([outside, outside]), _edge_of(hull, NAPE[1]).astype(np.float32), 1)[..., 0]


def _back_colors(
    body: NDArray[np.uint8],
    inward: NDArray[np.float32],
    hull: HeadHull,
    thickness: NDArray[np.float32],
    scale: float,
) -> NDArray[np.uint8]:
    """What the person's back looks like, in the picture's pixels: hair, neck and clothes without the face."""
    shape = inward.shape
    skin = (cv2.dilate(hull.face.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0) | hull.neck
    height = hull.on_pixels(hull.height, shape)
    hair = (inward > 0.0) & (hull.on_pixels(skin, shape) < 0.3) & (height > NAPE[1] - 25.0)
    below = (inward > 0.0) & ~hair & (height < NAPE[1] - 15.0)
    hair_color = continued(body.astype(np.float32), hair.astype(np.float32), 2)
    rows, columns = distance_transform_edt(~below, return_distances=False, return_indices=True)
    below_color = cv2.GaussianBlur(body[rows, columns], (0, 0), 2.0 * scale)
    share = hull.on_pixels(hair_share(hull.height, thickness), shape)[..., None]
    return np.asarray(np.clip(np.round(share * hair_color + (1.0 - share) * below_color), 0, 255), np.uint8)


def _strand_strength(body: NDArray[np.uint8], inward: NDArray[np.float32], hull: HeadHull, scale: float) -> float:
    """How much strands of the person's hair differ from each other, as a share of its lightness."""
    gray = np.asarray(cv2.cvtColor(body, cv2.COLOR_BGR2GRAY), np.float32)
    beside = hull.on_pixels(~hull.face & (hull.height > 20.0), gray.shape) > 0.9
    hair = (inward > EDGE * scale) & beside
    if not hair.any():
        return 0.0
    detail = gray - np.asarray(cv2.GaussianBlur(gray, (0, 0), 4.0 * scale))
    return float(np.clip(_STRANDS * detail[hair].std() / (gray[hair].mean() + 10.0), 0.0, 1.2))


def _mesh(
    place: NDArray[np.float32],
    used: NDArray[np.bool_],
    depth: NDArray[np.float64],
    camera: WeakPerspective,
    texture: NDArray[np.uint8],
    strands: NDArray[np.floating],
) -> TexturedMesh:
    """A mesh over the nodes that are used."""
    number = np.cumsum(used.ravel()) - 1
    triangles = grid_triangles(*used.shape)
    triangles = number[triangles[used.ravel()[triangles].all(axis=1)]].astype(np.int32)
    flat = (place[used] - camera.translation) / camera.scale
    points = np.column_stack([flat, -depth[used]]) @ camera.rotation
    uv = (place[used] + 0.5) / np.array(texture.shape[1::-1])
    x, y, z = (points - _STRANDS_AXIS).T
    around_and_down = np.column_stack([np.arctan2(x, -z) * -_STRANDS_AXIS[2], y]) / _STRANDS_MM
    grain = np.column_stack([around_and_down, strands[used]])
    solid = np.ones(len(uv), np.float32)
    return TexturedMesh(
        points.astype(np.float32), uv.astype(np.float32), solid, grain.astype(np.float32), triangles, texture
    )

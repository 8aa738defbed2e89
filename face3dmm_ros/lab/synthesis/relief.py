"""A photograph of a face in relief: the person meshed in depth, all around, and what is behind."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.values import FaceParameters
from face3dmm_ros.lab.synthesis.head_hull import HeadHull, bare_skin
from face3dmm_ros.lab.synthesis.person_mask import person_mask
from face3dmm_ros.lab.synthesis.random_scene import FACE_CENTER
from face3dmm_ros.lab.synthesis.relief_shell import EDGE, front_and_back
from face3dmm_ros.lab.synthesis.textured_mesh import TexturedMesh
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.rendering.layer import Rectangle
from face3dmm_ros.rendering.pull_push import continued
from face3dmm_ros.rendering.texture import Unwrapping, look_at_texels, paint_texture

# All numbers chosen by hand while looking at portraits turned to the side.
_LARGEST_SCALE = 1.6  # px/mm: pictures are kept at this scale or below, so that a face is some 240 px high
_REACH = 330.0  # mm to each side, above and below of the face's middle that are kept
_NECK_END = np.array([0.0, -135.0, -60.0])  # mm
_SHOULDERS = (95.0, 210.0)  # mm to each side of the neck that are kept at its end, and lower
_AROUND = 5.0  # mm around the person that what is behind is filled too
_TEXTURE_SIZE = 1024
_PARTS = {"skin", "face", "ears", "neck", "scalp", "eyes", "teeth", "mouth_interior"}
"""Regions that the model must have."""


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
    hull = HeadHull.of(model, vertices, camera, (picture.shape[1], picture.shape[0]))
    head = hull.on_pixels(hull.head, picture.shape) > 0.5
    neck = camera.project(_NECK_END[None])[0]
    picture = _continued_downward(picture, frame.bottom, neck)
    mask = person_mask(picture, head, neck, camera.scale, frame)
    backdrop = _without_person(picture, mask.around, camera.scale, frame)
    body = _colours_inside(picture, mask.inward, mask.theirs | head, camera.scale)
    inward = _rounded_off(_standing(mask.inward, frame.bottom), neck, camera.scale)
    front, back = front_and_back(model, vertices, hull, camera, body, inward)
    face = _face_mesh(body, camera, parameters, model, unwrapping, vertices)
    return Relief(backdrop, camera, (front, back, face), vertices)


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
    reach = np.interp(below, (0.0, 70.0), _SHOULDERS) * scale
    limit = reach[:, None] - np.abs(x - neck[0])[None]
    limit[y < neck[1] - 20.0 * scale] = np.inf
    return np.minimum(distance, limit.astype(np.float32))


def _without_person(
    picture: NDArray[np.uint8], around: NDArray[np.bool_], scale: float, frame: Rectangle
) -> NDArray[np.uint8]:
    """The photograph with the person's place filled smoothly from around it, mirrored beyond its frame."""
    side = 2 * round(_AROUND * scale) + 1
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
        (distance < EDGE * scale) | ~theirs, return_distances=False, return_indices=True
    )
    return picture[rows, columns]


def _face_mesh(
    picture: NDArray[np.uint8],
    camera: WeakPerspective,
    parameters: FaceParameters,
    model: MorphableModel,
    unwrapping: Unwrapping,
    vertices: NDArray[np.float32],
) -> TexturedMesh:
    """The model's face, ears and eyes, painted from the picture; through the lips the front is seen."""
    gamma = parameters.gamma
    texels = look_at_texels(picture, model, unwrapping, vertices, camera, gamma=gamma, size=_TEXTURE_SIZE)
    texture = paint_texture(texels)
    weight = np.maximum(bare_skin(model), model.regions["eyes"] > 0.5)
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

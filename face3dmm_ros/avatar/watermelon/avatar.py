"""A watermelon in the head's place, with the person's own eyes and mouth."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.avatar.avatar import AvatarFace, draw_each
from face3dmm_ros.avatar.watermelon.face_cutouts import (
    OUTER_RING,
    PART_VERTICES,
    Patches,
    eyes_and_mouth,
    part_triangles,
)
from face3dmm_ros.avatar.watermelon.rind import melon_rind
from face3dmm_ros.avatar.watermelon.shape import Squash, melon_front, melon_shape
from face3dmm_ros.core.arkit import weight_of
from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import FRONTAL
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.morphable_model.shaper import FaceShaper
from face3dmm_ros.rendering.drawer import Drawer
from face3dmm_ros.rendering.layer import Framing, Layer, covering_rectangle, depth_range, posed_box

if TYPE_CHECKING:
    from face3dmm_ros.avatar.watermelon.canvas import MelonCanvas

# All chosen by hand. Of right eye, left eye and mouth, which are enlarged and farther apart than on a face:
_CENTERS = np.array([(-38.0, 14.0), (38.0, 14.0), (0.0, -62.0)])[:, None]  # mm, on the melon, seen from the front
_ENLARGEMENTS = np.array([1.9, 1.9, 1.75])[:, None, None]
_OWN_MM, _RELIEF_MM = 0.3, 5.5
"""Distances beyond a part's outline up to which the picture's pixels show, and from which only their relief does."""

_USUAL_TO_LIGHT = np.array([-0.40, 0.62, 0.70])  # x right, y up, z toward the viewer
_USUAL_BRIGHTNESS = 0.6  # sRGB, of skin in a well lit room
_EXPOSURES = (0.5, 1.15)  # least and greatest
_BRIGHTENING, _BRIGHTENINGS = 1.4, (1.25, 2.0)
"""How much brighter eyes and mouth are than in a well lit picture, and the least and the greatest in any light: beside
the rind they are small, and look dark.
"""

_LUMA = np.array([0.11, 0.59, 0.30])  # BGR weights of brightness (ITU-R BT.601)
_SIDE_LIGHT = 0.8  # how far the light moves sideways if the skin around one eye is e times as bright as the other's
_TONE_BLOCK = 6  # px over which the skin's tone is averaged
_SUPERSAMPLED_PIXELS = 120_000  # most pixels of a melon that is drawn twice as large
_BORDER_PX = 4.0  # distance over which parts fade where the picture ends
_EDGE = (0.07, 0.42)  # cosines between viewing ray and normal over which parts fade toward the melon's outline


class Watermelon(Drawer["MelonCanvas"]):
    """Draws a melon over each face's head, with the person's eyes and mouth.

    These parts are cut from the picture along the fitted face and drawn, a little enlarged, on the melon. Around
    them the picture is divided by the skin's tone, so that its folds, lashes and brows shade the rind instead of
    covering it (ratio images; Liu, Shan & Zhang, SIGGRAPH 2001), which leaves no seam under any light.
    """

    needs_image = True
    report = ""
    mapping = ""

    def __init__(self, model: MorphableModel, platform: str = "auto") -> None:
        """Prepare for faces of a model and open an offscreen OpenGL context.

        Args:
            model: the face model.
            platform: of OpenGL; see `face3dmm_ros.rendering.offscreen.open_context`.

        Raises:
            Face3DMMError: no OpenGL 3.3 here, or the model has no 68 landmarks or no skin around them.
        """
        self._shaper = FaceShaper(model)
        self._cutouts = eyes_and_mouth(model)
        self._shape = melon_shape()
        triangles = np.concatenate([part_triangles() + PART_VERTICES * part for part in range(len(_CENTERS))])

        def make_canvas() -> "MelonCanvas":
            from face3dmm_ros.avatar.watermelon.canvas import MelonCanvas

            return MelonCanvas(self._shape, melon_rind(), triangles)

        super().__init__(platform, make_canvas)

    def draw(
        self, faces: Sequence[AvatarFace], image_size: tuple[int, int], image: NDArray[np.uint8] | None
    ) -> Sequence[Layer]:
        """Draw a melon for each face that lies in the picture, far ones first; see `Avatar.draw`.

        Raises:
            Face3DMMError: a face is of another model or not finite, the image is None or has another form, or the
                watermelon is closed.
        """
        self._require_open()
        width, height = image_size
        if image is None:
            raise Face3DMMError("a watermelon shows the person's own eyes and mouth: it needs the camera's image")
        if image.shape != (height, width, 3) or image.dtype != np.uint8:
            raise Face3DMMError(
                f"expected a ({height}, {width}, 3) uint8 BGR image, found {image.shape} {image.dtype}: "
                "give the image that the faces were found in"
            )
        self._shaper.retain({face.face_id for face in faces})
        return draw_each(faces, lambda face: self._draw(face, image))

    def _draw(self, face: AvatarFace, image: NDArray[np.uint8]) -> Layer | None:
        """The melon of one face; None if it lies outside the picture."""
        camera = face.parameters.camera
        face_vertices = self._shaper.vertices(face.face_id, face.parameters)
        squash = _squash(face)
        vertices, normals = self._shape.squashed(squash)
        box = posed_box(camera, vertices)
        framing = Framing.around(box, (image.shape[1], image.shape[0]), pixels=_SUPERSAMPLED_PIXELS, limit=2)
        if framing is None:
            return None
        parts = _seen_parts(self._cutouts.patches(face_vertices, camera), camera, image)
        exposure, to_light = _light(parts)
        model_to_clip = framing.model_to_clip(camera, depth_range(box))
        with self._drawing() as canvas:
            canvas.begin(*framing.size)
            canvas.draw_melon(vertices, normals, model_to_clip, FRONTAL @ camera.rotation, to_light, exposure)
            if parts is not None:
                canvas.load_picture(parts.picture)
                brightness = float(np.clip(_BRIGHTENING / exposure, *_BRIGHTENINGS))
                canvas.draw_cutouts(self._on_melon(parts, squash, camera), model_to_clip, brightness)
            return framing.layer(canvas.read())

    def _on_melon(self, parts: "_SeenParts", squash: Squash, camera: WeakPerspective) -> list[NDArray[np.floating]]:
        """Vertices of eyes and mouth on the melon; see `MelonCanvas.draw_cutouts`."""
        patches = parts.patches
        enlarged = _CENTERS + _ENLARGEMENTS * (patches.points[..., :2] - self._cutouts.centers[:, None])
        position, normals = melon_front(enlarged.reshape(-1, 2), squash)
        facing = -(normals @ camera.rotation[2])
        margin = np.minimum(parts.places, np.subtract(parts.picture.shape[1::-1], 1) - parts.places).min(axis=1)
        visibility = patches.visibility.ravel() * np.clip((facing - _EDGE[0]) / (_EDGE[1] - _EDGE[0]), 0.0, 1.0)
        visibility *= np.clip(1.0 + margin / _BORDER_PX, 0.0, 1.0)
        relief = (patches.beyond.ravel() - _OWN_MM) / (_RELIEF_MM - _OWN_MM)
        place = np.column_stack([relief, patches.share.ravel(), visibility])
        return [position, parts.places, place, np.repeat(parts.tones[:, ::-1], PART_VERTICES, axis=0)]


@dataclass(frozen=True, eq=False)
class _SeenParts:
    """Eyes and mouth in a picture.

    Attributes:
        patches: the parts on the face.
        picture: (h, w, 4) uint8 BGRA, cropped to the parts.
        places: (P·V, 2) of the parts' points in the crop, px.
        tones: (P, 3) BGR, sRGB in [0, 1], of the skin around each part.
    """

    patches: Patches
    picture: NDArray[np.uint8]
    places: NDArray[np.float32]
    tones: NDArray[np.float64]


def _seen_parts(patches: Patches, camera: WeakPerspective, image: NDArray[np.uint8]) -> _SeenParts | None:
    """Eyes and mouth as an image shows them; None if it shows none."""
    seen = camera.project(patches.points.reshape(-1, 3))
    rectangle = covering_rectangle(seen.min(axis=0), seen.max(axis=0), (image.shape[1], image.shape[0]))
    if rectangle is None or not patches.visibility.any():
        return None
    picture = cv2.cvtColor(image[rectangle.rows_and_columns], cv2.COLOR_BGR2BGRA)
    places = (seen - [rectangle.left, rectangle.top]).astype(np.float32)
    size = np.maximum(1, np.array(picture.shape[1::-1]) // _TONE_BLOCK)
    blocks = cv2.resize(picture, size.tolist(), interpolation=cv2.INTER_AREA)
    outlines = places.reshape(len(_CENTERS), -1, 2)[:, OUTER_RING]
    column, row = np.moveaxis(np.clip((outlines / _TONE_BLOCK).astype(int), 0, size - 1), -1, 0)
    tones = np.median(blocks[row, column, :3], axis=1) / 255.0
    return _SeenParts(patches, np.asarray(picture, np.uint8), places, tones)


def _light(parts: _SeenParts | None) -> tuple[float, NDArray[np.float64]]:
    """The exposure, 1 in a well lit room, and the unit vector to the light, x right, y up, z to the viewer.

    Both are guessed from the skin's brightness, and the side from that around the two eyes.
    """
    # A prior of a usual room avoids a jump when the last part turns away.
    brightness, weight, side = np.full(3, _USUAL_BRIGHTNESS), np.zeros(3), 0.0
    if parts is not None:
        brightness, weight = np.maximum(parts.tones @ _LUMA, 0.05), parts.patches.visibility.mean(axis=1)
        side = float(weight[0] * weight[1] * np.log(brightness[1] / brightness[0]))
    relative = (weight @ (brightness / _USUAL_BRIGHTNESS) + 0.1) / (weight.sum() + 0.1)
    to_light = _USUAL_TO_LIGHT.copy()
    to_light[0] += np.clip(_SIDE_LIGHT * side, -0.4, 0.9)
    return float(np.clip(relative, *_EXPOSURES)), to_light / np.linalg.norm(to_light)


def _squash(face: AvatarFace) -> Squash:
    """The melon gets longer and slimmer as the mouth opens, taller as the brows rise, broader with a smile."""
    jaw = weight_of(face.weights, "jawOpen")
    brows = weight_of(face.weights, "browInnerUp")
    smile = 0.5 * (weight_of(face.weights, "mouthSmileLeft") + weight_of(face.weights, "mouthSmileRight"))
    return Squash(1.0 + 0.04 * smile - 0.05 * jaw, 1.0 + 0.05 * brows, 1.0 + 0.16 * jaw - 0.03 * smile)

"""A watermelon in the head's place, with the person's own eyes and mouth."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.avatar.arkit import weight_of
from face3dmm_ros.avatar.avatar import AvatarFace
from face3dmm_ros.avatar.face_cutouts import OUTER_RING, VERTEX_COUNT, Patch, eyes_and_mouth, patch_triangles
from face3dmm_ros.avatar.melon_rind import melon_rind
from face3dmm_ros.avatar.melon_shape import Squash, melon_front, melon_shape
from face3dmm_ros.camera import FRONTAL, WeakPerspective, model_to_world, view_to_clip, world_to_view
from face3dmm_ros.errors import Face3DMMError
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.morphable_model.shaper import FaceShaper
from face3dmm_ros.rendering.layer import Layer, Rectangle, covering_rectangle
from face3dmm_ros.rendering.offscreen import open_context


@dataclass(frozen=True)
class _Look:
    """How a part of the face is shown.

    Attributes:
        center: of its middle on the melon, (x, y) in model space, mm.
        enlargement: on the melon.
        own_mm, relief_mm: distance beyond its outline up to which the picture itself shows, and from which only its
            relief does.
    """

    center: tuple[float, float]
    enlargement: float
    own_mm: float
    relief_mm: float


_LOOKS = (
    _Look(center=(-37.0, 10.0), enlargement=1.5, own_mm=0.5, relief_mm=5.5),
    _Look(center=(37.0, 10.0), enlargement=1.5, own_mm=0.5, relief_mm=5.5),
    _Look(center=(0.0, -68.0), enlargement=1.4, own_mm=0.0, relief_mm=5.5),
)
"""Of the right eye, the left eye and the mouth: larger than life and farther apart, as a melon has more room."""
_TO_LIGHT = np.array([-0.45, 0.65, 0.75])  # x right, y up, z toward the viewer
_TONE_BLOCK = 6  # px over which the skin's tone is averaged
_TONE_RANGE = (0.7, 1.25)  # of its median: what lies outside is hair, or a nostril


class Watermelon:
    """Draws a melon over each face's head, with the eyes and the mouth that the picture shows there.

    The parts are taken from the picture through the fitted face and laid, a little enlarged, onto the melon. Around
    them the skin's own tone is divided out, so that its folds, lashes and brows shade the rind instead of covering it
    (ratio images; Liu, Shan & Zhang, SIGGRAPH 2001), which leaves no seam under any light.
    """

    def __init__(self, model: MorphableModel, platform: str = "auto") -> None:
        """For faces of a model.

        Args:
            model: the face model.
            platform: of OpenGL; see `face3dmm_ros.rendering.offscreen.open_context`.

        Raises:
            Face3DMMError: no OpenGL 3.3 here, or a model without the 68 landmarks.
        """
        self._shaper = FaceShaper(model)
        self._cutouts = eyes_and_mouth(model)
        self._shape = melon_shape()
        triangles = np.concatenate([patch_triangles() + VERTEX_COUNT * part for part in range(len(self._cutouts))])
        self._context = open_context(platform)
        self._closed = False
        # PyOpenGL, which that module imports, takes the platform that the context has chosen.
        from face3dmm_ros.rendering.melon_canvas import MelonCanvas

        with self._context.current():
            self._canvas = MelonCanvas(melon_rind(), self._shape.rind, self._shape.triangles, triangles)

    @property
    def needs_image(self) -> bool:
        """It does: eyes and mouth come from there."""
        return True

    def draw(
        self, faces: Sequence[AvatarFace], image_size: tuple[int, int], image: NDArray[np.uint8] | None
    ) -> Sequence[Layer]:
        """A melon for each face that lies in the picture, far ones first.

        Args:
            faces: any number.
            image_size: (width, height) of the picture, px.
            image: (H, W, 3) uint8 BGR that the faces were found in.

        Raises:
            Face3DMMError: faces of another model or not finite, no picture or one of another form, or it is closed.
        """
        if self._closed:
            raise Face3DMMError("this watermelon is closed: make a new one")
        width, height = image_size
        if image is None:
            raise Face3DMMError("a watermelon shows the person's own eyes and mouth: it needs the camera's image")
        if image.shape != (height, width, 3) or image.dtype != np.uint8:
            raise Face3DMMError(
                f"expected a ({height}, {width}, 3) uint8 BGR image, found {image.shape} {image.dtype}: "
                "give the image that the faces were found in"
            )
        self._shaper.retain({face.face_id for face in faces})
        far_to_near = sorted(faces, key=lambda face: face.parameters.camera.scale)
        layers = [self._draw(face, image) for face in far_to_near]
        return [layer for layer in layers if layer is not None]

    def close(self) -> None:
        """Give back all that belongs to the OpenGL context; it cannot be used any more."""
        if not self._closed:
            self._closed = True
            self._context.close()

    def _draw(self, face: AvatarFace, image: NDArray[np.uint8]) -> Layer | None:
        """The melon of one face; None where it lies outside the picture."""
        camera = face.parameters.camera
        face_vertices = self._shaper.vertices(face.face_id, face.parameters)
        squash = _squash(face)
        vertices, normals = self._shape.squashed(squash)
        image_size = (image.shape[1], image.shape[0])
        projected = camera.project(vertices)
        if not np.isfinite(projected).all():
            raise Face3DMMError(f"face {face.face_id}'s camera holds values that are not finite (NaN or infinity)")
        rectangle = covering_rectangle(projected.min(axis=0), projected.max(axis=0), image_size)
        if rectangle is None:
            return None
        patches = [cutout.patch(face_vertices, camera) for cutout in self._cutouts]
        depth_range = 1.01 * float(np.abs(camera.depth(vertices)).max()) + 1.0
        to_clip = rectangle.clip_to_canvas(image_size) @ view_to_clip(image_size, depth_range)
        model_to_clip = to_clip @ world_to_view() @ model_to_world(camera)
        to_light = _TO_LIGHT / np.linalg.norm(_TO_LIGHT)
        with self._context.current():
            self._canvas.begin(rectangle.width, rectangle.height)
            self._canvas.draw_melon(vertices, normals, model_to_clip, FRONTAL @ camera.rotation, to_light, 1.0)
            self._draw_parts(patches, squash, camera, image, model_to_clip)
            pixels = self._canvas.read()
        return Layer(rectangle, pixels).softened()

    def _draw_parts(
        self,
        patches: Sequence[Patch],
        squash: Squash,
        camera: WeakPerspective,
        image: NDArray[np.uint8],
        model_to_clip: NDArray[np.float64],
    ) -> None:
        from face3dmm_ros.rendering.melon_canvas import CutoutVertices

        points = np.concatenate([patch.points for patch in patches])
        seen = camera.project(points)
        size = (image.shape[1], image.shape[0])
        rectangle = covering_rectangle(seen.min(axis=0), seen.max(axis=0), size)
        if rectangle is None or not any(patch.visibility.any() for patch in patches):
            return
        crop = image[rectangle.rows_and_columns]
        picture = seen - [rectangle.left, rectangle.top]
        tones = _Tones(crop)
        parts = [slice(VERTEX_COUNT * k, VERTEX_COUNT * (k + 1)) for k in range(len(patches))]
        enlarged, places, tone, visibility = [], [], [], []
        for part, patch, cutout, look in zip(parts, patches, self._cutouts, _LOOKS, strict=True):
            enlarged.append(look.center + look.enlargement * (patch.points[:, :2] - cutout.center[:2]))
            own = (patch.beyond - look.own_mm) / (look.relief_mm - look.own_mm)
            places.append(np.column_stack([own, patch.share]))
            tone.append(tones.around(picture[part][OUTER_RING])[None].repeat(VERTEX_COUNT, axis=0))
            visibility.append(patch.visibility)
        position, normals = melon_front(np.concatenate(enlarged), squash)
        facing = -normals @ camera.rotation[2]
        margin = np.minimum(picture, np.subtract(crop.shape[1::-1], 1) - picture).min(axis=1)
        shown = np.concatenate(visibility) * np.clip(facing / 0.35 - 0.2, 0, 1) * np.clip(margin / 4.0 + 1.0, 0.0, 1.0)
        self._canvas.load_picture(cv2.cvtColor(crop, cv2.COLOR_BGR2BGRA))
        self._canvas.draw_cutouts(
            CutoutVertices(position, picture, np.concatenate(places), np.concatenate(tone), shown), model_to_clip
        )


class _Tones:
    """The skin's tone in a picture."""

    def __init__(self, picture: NDArray[np.uint8]) -> None:
        height, width = picture.shape[:2]
        size = (max(1, width // _TONE_BLOCK), max(1, height // _TONE_BLOCK))
        self._blocks = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)

    def around(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Mean colour near points (P, 2) px, (3,) BGR, sRGB in [0, 1]."""
        column, row = (points / _TONE_BLOCK).astype(int).T
        height, width = self._blocks.shape[:2]
        colors = self._blocks[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)] / 255.0
        return np.median(colors, axis=0)


def _squash(face: AvatarFace) -> Squash:
    """A melon gets longer and slimmer below as the mouth opens, taller as the brows rise, and broader with a smile."""
    jaw = weight_of(face.weights, "jawOpen")
    brows = weight_of(face.weights, "browInnerUp")
    smile = 0.5 * (weight_of(face.weights, "mouthSmileLeft") + weight_of(face.weights, "mouthSmileRight"))
    return Squash(1.0 + 0.04 * smile - 0.05 * jaw, 1.0 + 0.05 * brows, 1.0 + 0.16 * jaw - 0.03 * smile)

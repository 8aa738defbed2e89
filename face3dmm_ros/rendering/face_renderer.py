"""Posed faces drawn by OpenGL, offscreen: alone, or laid over the camera's image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective, model_to_world, view_to_clip, world_to_view
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import FRONTAL
from face3dmm_ros.rendering.drawer import Drawer
from face3dmm_ros.rendering.layer import Layer, covering_rectangle, supersampling
from face3dmm_ros.rendering.lighting import Lighting

if TYPE_CHECKING:
    from face3dmm_ros.rendering.face_canvas import FaceCanvas

VIEWS = ("shaded", "wireframe", "toon")
"""What `FaceRenderer` draws: the lit surface, its edges with the hidden ones left out, or a cartoon of the surface."""

_WIRE_COLOR = (0.25, 0.9, 0.8)
_OUTLINE_COLOR = (0.13, 0.08, 0.12)
_OUTLINE_MM = 1.4  # of a cartoon
_PER_PIXEL_TRIANGLE = 32  # px; triangles larger than this are lit per pixel, smaller ones per vertex


@dataclass(frozen=True, eq=False)
class PosedFace:
    """A face ready to be drawn.

    Attributes:
        vertices: (N, 3) float32, model space, mm.
        normals: (N, 3) float32, model space, pointing out of the face.
        rgb: (N, 3) uint8 sRGB.
        camera: how it meets the image.
    """

    vertices: NDArray[np.float32]
    normals: NDArray[np.float32]
    rgb: NDArray[np.uint8]
    camera: WeakPerspective


class FaceRenderer(Drawer["FaceCanvas"]):
    """Draws faces of one topology.

    Attributes:
        lighting: may be replaced between frames.
    """

    def __init__(
        self, triangles: NDArray[np.integer], *, lighting: Lighting | None = None, platform: str = "auto"
    ) -> None:
        """Open an offscreen OpenGL context.

        Args:
            triangles: (M, 3) vertex indices, counter-clockwise seen from outside.
            lighting: how the faces are lit; `Lighting()` if None.
            platform: ``auto``, ``egl``, ``osmesa`` or ``glx``; see `face3dmm_ros.rendering.offscreen.open_context`.

        Raises:
            Face3DMMError: no OpenGL 3.3 here (the message names the packages), or triangles that are none.
        """
        triangles = np.asarray(triangles)
        if triangles.ndim != 2 or triangles.shape[1] != 3 or not len(triangles) or triangles.dtype.kind not in "iu":
            raise Face3DMMError(f"triangles must be (M, 3) integers, found {triangles.shape} {triangles.dtype}")
        if triangles.min() < 0:
            raise Face3DMMError(f"triangles must be vertex indices, found {triangles.min()}")
        self.lighting = lighting or Lighting()
        self._triangle_count = len(triangles)
        self._least_vertex_count = int(triangles.max()) + 1

        def make_canvas() -> "FaceCanvas":
            from face3dmm_ros.rendering.face_canvas import FaceCanvas

            return FaceCanvas(triangles.astype(np.uint32), _WIRE_COLOR, _OUTLINE_COLOR)

        super().__init__(platform, make_canvas)

    def render(
        self, image_size: tuple[int, int], faces: Sequence[PosedFace], *, view: str = "shaded"
    ) -> NDArray[np.uint8]:
        """Faces on nothing: (H, W, 4) uint8 sRGB with straight alpha, which is 0 where there is no face.

        Args:
            image_size: (width, height), px.
            faces: nearer ones, those with the larger scale, hide the others.
            view: one of `VIEWS`.

        Raises:
            Face3DMMError: an impossible image size, arrays that do not fit together or are not finite, an unknown view.
        """
        width, height = image_size
        if width < 1 or height < 1:
            raise Face3DMMError(f"an image has a positive width and height, not {width}×{height}")
        picture = np.zeros((height, width, 4), np.uint8)
        layer = self._draw(image_size, faces, view)
        if layer is not None:
            rgba = cv2.cvtColor(layer.pixels, cv2.COLOR_BGRA2RGBA)
            picture[layer.rectangle.rows_and_columns] = cv2.cvtColor(rgba, cv2.COLOR_mRGBA2RGBA)
        return picture

    def overlay(
        self, image: NDArray[np.uint8], faces: Sequence[PosedFace], *, opacity: float = 0.7, view: str = "shaded"
    ) -> NDArray[np.uint8]:
        """Faces over a copy of an image, (H, W, 3) uint8 BGR; pixels that no face covers stay as they are.

        Args:
            image: (H, W, 3) uint8 BGR.
            faces: nearer ones, those with the larger scale, hide the others.
            opacity: of the faces, in [0, 1].
            view: one of `VIEWS`.

        Raises:
            Face3DMMError: as `render`, or an image or opacity of another form.
        """
        if not 0.0 <= opacity <= 1.0:
            raise Face3DMMError(f"opacity must lie between 0 and 1, not {opacity}")
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise Face3DMMError(f"expected a (H, W, 3) uint8 BGR image, found {image.shape} {image.dtype}")
        result = np.array(image, order="C")
        layer = self._draw((image.shape[1], image.shape[0]), faces, view)
        if layer is not None:
            layer.over(result, opacity)
        return result

    def _draw(self, image_size: tuple[int, int], faces: Sequence[PosedFace], view: str) -> Layer | None:
        """The part of the image that the faces take up; None if there is none."""
        self._require_open()
        if view not in VIEWS:
            raise Face3DMMError(f"unknown view {view!r}: choose one of {', '.join(VIEWS)}")
        for face in faces:
            _check_face(face, self._least_vertex_count)
        far_to_near = sorted(((face, _bounding_box(face)) for face in faces), key=lambda pair: pair[0].camera.scale)
        if not far_to_near:
            return None
        outline = _OUTLINE_MM if view == "toon" else 0.0
        low = np.min([box[:2, 0] - outline * face.camera.scale for face, box in far_to_near], axis=0)
        high = np.max([box[:2, 1] + outline * face.camera.scale for face, box in far_to_near], axis=0)
        rectangle = covering_rectangle(low, high, image_size)
        if rectangle is None:
            return None
        factor = supersampling(rectangle)
        to_canvas = rectangle.clip_to_canvas(image_size)
        with self._drawing() as canvas:
            canvas.begin(factor * rectangle.width, factor * rectangle.height)
            for face, box in far_to_near:
                depth_range = 1.01 * float(np.abs(box[2]).max()) + 1.0
                to_clip = to_canvas @ view_to_clip(image_size, depth_range)
                model_to_clip = to_clip @ world_to_view() @ model_to_world(face.camera)
                normal_to_world = FRONTAL @ face.camera.rotation
                canvas.load(face.vertices, face.normals, face.rgb)
                if view == "shaded":
                    box_width, box_height = box[:2, 1] - box[:2, 0]
                    per_pixel = box_width * box_height > _PER_PIXEL_TRIANGLE * self._triangle_count
                    canvas.draw_shaded(model_to_clip, normal_to_world, self.lighting, per_pixel=per_pixel)
                elif view == "toon":
                    width = outline * face.camera.scale
                    in_clip = (2 * width / rectangle.width, 2 * width / rectangle.height, width / depth_range)
                    canvas.draw_toon(model_to_clip, normal_to_world, self.lighting, in_clip)
                else:
                    canvas.draw_wireframe(model_to_clip)
            pixels = canvas.read()
        layer = Layer.averaged(rectangle, pixels)
        return layer if factor > 1 or view == "wireframe" else layer.softened()


def _check_face(face: PosedFace, least_vertex_count: int) -> None:
    N = len(face.vertices)
    shapes = {name: getattr(face, name).shape for name in ("vertices", "normals", "rgb")}
    if any(shape != (N, 3) for shape in shapes.values()):
        raise Face3DMMError(f"a face needs three numbers per vertex in vertices, normals and rgb, found {shapes}")
    if least_vertex_count > N:
        raise Face3DMMError(f"the triangles refer to {least_vertex_count} vertices, the face has {N}")
    if face.rgb.dtype != np.uint8:
        raise Face3DMMError(f"vertex colours must be uint8, found {face.rgb.dtype}")


def _bounding_box(face: PosedFace) -> NDArray[np.float64]:
    """Lowest and highest x, y (px) and depth (px) of a face in the image, (3, 2)."""
    to_image = (face.camera.scale * face.camera.rotation).astype(np.float32)
    # (3, N) and not (N, 3): numpy's minimum along contiguous rows is ten times faster.
    posed = to_image @ face.vertices.T
    box = np.stack([posed.min(axis=1), posed.max(axis=1)], axis=1).astype(np.float64)
    box[:2] += np.asarray(face.camera.translation)[:, None]
    if not np.isfinite(box).all():
        raise Face3DMMError("a face's vertices or camera hold values that are not finite (NaN or infinity)")
    return box

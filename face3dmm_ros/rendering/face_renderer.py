"""Posed faces drawn offscreen, with OpenGL or without: alone, or laid over the camera's image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import FRONTAL
from face3dmm_ros.core.values import FaceParameters
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.rendering.drawer import Drawer
from face3dmm_ros.rendering.face_cover import FaceCover
from face3dmm_ros.rendering.face_extent import EXTENTS, FACE, HEAD, face_opacity
from face3dmm_ros.rendering.layer import Framing, Layer, check_image, depth_range, posed_box
from face3dmm_ros.rendering.lighting import Lighting
from face3dmm_ros.rendering.offscreen import SOFTWARE

if TYPE_CHECKING:
    from face3dmm_ros.rendering.face_canvas import FaceCanvas
    from face3dmm_ros.rendering.software_canvas import SoftwareCanvas

VIEWS = ("shaded", "wireframe", "toon")
"""What `FaceRenderer` draws: the lit surface, its edges with the hidden ones left out, or a cartoon of the surface."""

_OUTLINE_MM = 1.4  # of a cartoon; chosen by hand
_WIRE_COLOR, _OUTLINE_COLOR = (0.25, 0.9, 0.8), (0.13, 0.08, 0.12)  # sRGB, chosen by hand

_PER_PIXEL_TRIANGLE = 32
"""Mean area of triangles, px, above which they are lit per pixel and not per vertex; chosen by hand: larger is faster,
and shows the triangles in the highlight.
"""


@dataclass(frozen=True, eq=False)
class PosedFace:
    """A face ready to be drawn.

    Attributes:
        vertices: (N, 3) float32, model space, mm.
        normals: (N, 3) float32, model space, pointing out of the face.
        rgb: (N, 3) uint8 sRGB.
        camera: how it is projected into the image.
        covered: (L,) uint8, how likely something lies over each landmark, as `core.values.Landmarks` has it; None where
            that is not known.
    """

    vertices: NDArray[np.float32]
    normals: NDArray[np.float32]
    rgb: NDArray[np.uint8]
    camera: WeakPerspective
    covered: NDArray[np.uint8] | None = None

    @staticmethod
    def of(
        model: MorphableModel,
        parameters: FaceParameters,
        vertices: NDArray[np.float32] | None = None,
        covered: NDArray[np.uint8] | None = None,
    ) -> "PosedFace":
        """A fitted face in its own colours, or the mean ones where γ is empty; `vertices` if they are there already.

        Raises:
            Face3DMMError: the parameters do not fit the model.
        """
        if vertices is None:
            vertices = model.vertices(parameters.alpha, parameters.beta)
        return PosedFace(vertices, model.normals(vertices), model.rgb(parameters.gamma), parameters.camera, covered)


class FaceRenderer(Drawer[Union["FaceCanvas", "SoftwareCanvas"]]):
    """Draws faces of one topology.

    Attributes:
        lighting: may be replaced between frames.
    """

    def __init__(
        self,
        triangles: NDArray[np.integer],
        *,
        opacity: NDArray[np.floating] | None = None,
        cover: FaceCover | None = None,
        lighting: Lighting | None = None,
        platform: str = "auto",
    ) -> None:
        """Prepare, and open an offscreen OpenGL context where there is a graphics processor.

        Args:
            triangles: (M, 3) vertex indices, counter-clockwise seen from outside.
            opacity: (N,) in [0, 1], how much of each vertex an overlay of the face shows; all of it if None.
            cover: how an overlay leaves out what is covered; it shows that too if None.
            lighting: how the faces are lit; `Lighting()` if None.
            platform: ``auto``, ``software``, or OpenGL's ``egl``, ``osmesa`` or ``glx``; see
                `face3dmm_ros.rendering.offscreen.open_context`.

        Raises:
            NoOpenGLError: the platform was asked for and does not work here; the message names the packages.
            Face3DMMError: `triangles` or `opacity` has another form.
        """
        triangles = np.asarray(triangles)
        if triangles.ndim != 2 or triangles.shape[1] != 3 or not len(triangles) or triangles.dtype.kind not in "iu":
            raise Face3DMMError(f"triangles must be (M, 3) integers, found {triangles.shape} {triangles.dtype}")
        if triangles.min() < 0:
            raise Face3DMMError(f"triangles must be vertex indices, found {triangles.min()}")
        self.lighting = lighting or Lighting()
        self._cover = cover
        self._triangle_count = len(triangles)
        self._least_vertex_count = int(triangles.max()) + 1
        self._fade = None if opacity is None else _checked_opacity(opacity, self._least_vertex_count)
        self._shown = np.zeros(0, np.intp)
        """Corners of the triangles of which an overlay of the face shows something."""

        if self._fade is not None:
            self._shown = np.unique(triangles[(self._fade[triangles] > 0.0).any(axis=1)])
            if not self._shown.size:
                raise Face3DMMError(
                    "opacity must be above 0 on some triangle: an overlay of the face shows nothing else"
                )

        def make_canvas() -> "FaceCanvas | SoftwareCanvas":
            corners = triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
            edges = np.unique(np.sort(corners, axis=1), axis=0)
            if self.platform == SOFTWARE:
                from face3dmm_ros.rendering.software_canvas import SoftwareCanvas

                return SoftwareCanvas(triangles, edges)
            from face3dmm_ros.rendering.face_canvas import FaceCanvas

            return FaceCanvas(triangles, edges)

        super().__init__(platform, make_canvas, software=True)

    @staticmethod
    def of(model: MorphableModel, *, lighting: Lighting | None = None, platform: str = "auto") -> "FaceRenderer":
        """A renderer of a model's faces, whose overlays fade as `face_opacity` says and leave out what is covered.

        Arguments and errors as above.
        """
        opacity, cover = face_opacity(model), FaceCover.of(model)
        return FaceRenderer(model.triangles, opacity=opacity, cover=cover, lighting=lighting, platform=platform)

    def render(
        self, image_size: tuple[int, int], faces: Sequence[PosedFace], *, view: str = "shaded"
    ) -> NDArray[np.uint8]:
        """Draw heads alone: (H, W, 4) uint8 sRGB RGBA with straight alpha, which is 0 where there is none.

        Args:
            image_size: (width, height), px.
            faces: nearer ones, those with the larger scale, hide the others.
            view: one of `VIEWS`.

        Raises:
            Face3DMMError: the image size is not positive, arrays do not fit together or are not finite, or the view is
                unknown.
        """
        width, height = image_size
        if width < 1 or height < 1:
            raise Face3DMMError(f"an image has a positive width and height, not {width}×{height}")
        picture = np.zeros((height, width, 4), np.uint8)
        layer = self._draw(image_size, faces, view, HEAD, None)
        if layer is not None:
            rgba = cv2.cvtColor(layer.pixels, cv2.COLOR_BGRA2RGBA)
            picture[layer.rectangle.rows_and_columns] = cv2.cvtColor(rgba, cv2.COLOR_mRGBA2RGBA)
        return picture

    def overlay(
        self,
        image: NDArray[np.uint8],
        faces: Sequence[PosedFace],
        *,
        opacity: float = 0.7,
        view: str = "shaded",
        extent: str = FACE,
    ) -> NDArray[np.uint8]:
        """Draw faces over a copy of an image, (H, W, 3) uint8 BGR; pixels that no face covers stay as they are.

        What lies over a face by its `covered` is left out where the renderer knows its model's landmarks.

        Args:
            image: (H, W, 3) uint8 BGR.
            faces: nearer ones, those with the larger scale, hide the others.
            opacity: of the faces, in [0, 1].
            view: one of `VIEWS`.
            extent: one of `EXTENTS`: the face, which fades by the renderer's vertex opacities, or the whole head. What
                lies behind the head is hidden by either.

        Raises:
            Face3DMMError: as `render`, or the image has another form, the opacity is out of range, or the extent is
                unknown.
        """
        if not 0.0 <= opacity <= 1.0:
            raise Face3DMMError(f"opacity must lie between 0 and 1, not {opacity}")
        check_image(image)
        result = np.array(image, order="C")
        layer = self._draw((image.shape[1], image.shape[0]), faces, view, extent, self._cover)
        if layer is not None:
            layer.over(result, opacity)
        return result

    def _draw(
        self, image_size: tuple[int, int], faces: Sequence[PosedFace], view: str, extent: str, cover: FaceCover | None
    ) -> Layer | None:
        """The part of the image that the faces cover; None if they cover none."""
        self._require_open()
        if view not in VIEWS:
            raise Face3DMMError(f"unknown view {view!r}: choose one of {', '.join(VIEWS)}")
        if extent not in EXTENTS:
            raise Face3DMMError(f"unknown extent {extent!r}: choose one of {', '.join(EXTENTS)}")
        fade = self._fade if extent == FACE else None
        for face in faces:
            _check_face(face, self._least_vertex_count, fade, cover)
        if not faces:
            return None
        far_to_near = sorted(faces, key=lambda face: face.camera.scale)
        outlines = [_OUTLINE_MM * face.camera.scale if view == "toon" else 0.0 for face in far_to_near]
        boxes = [
            posed_box(f.camera, f.vertices, margin=outline) for f, outline in zip(far_to_near, outlines, strict=True)
        ]
        shown_boxes = boxes
        if fade is not None:
            # A smaller part of the image takes less time, and is drawn finer.
            shown_boxes = [
                posed_box(f.camera, f.vertices[self._shown], margin=outline)
                for f, outline in zip(far_to_near, outlines, strict=True)
            ]
        low, high = np.min(shown_boxes, axis=0)[:, 0], np.max(shown_boxes, axis=0)[:, 1]
        framing = Framing.around(np.stack([low, high], axis=1), image_size)
        if framing is None:
            return None
        with self._drawing() as canvas:
            canvas.begin(*framing.size)
            for face, box, outline in zip(far_to_near, boxes, outlines, strict=True):
                reach = depth_range(box)
                model_to_clip = framing.model_to_clip(face.camera, reach)
                normal_to_world = FRONTAL @ face.camera.rotation
                opacity = np.ones(len(face.vertices), np.float32) if fade is None else fade
                shown = None if cover is None else cover.shown(face.covered, face.camera.rotation)
                if shown is not None:
                    opacity = opacity * shown
                canvas.load(face.vertices, face.normals, face.rgb, opacity)
                if view == "shaded":
                    width, height = box[:2, 1] - box[:2, 0]
                    per_pixel = width * height > _PER_PIXEL_TRIANGLE * self._triangle_count
                    canvas.draw_shaded(model_to_clip, normal_to_world, self.lighting, per_pixel=per_pixel)
                elif view == "toon":
                    outline_width = framing.outline_in_clip(outline, outline, reach)
                    canvas.draw_toon(
                        model_to_clip, normal_to_world, self.lighting.to_light, outline_width, _OUTLINE_COLOR
                    )
                else:
                    canvas.draw_wireframe(model_to_clip, _WIRE_COLOR)
            pixels = canvas.read()
        return framing.layer(pixels, soften=view != "wireframe")


def _checked_opacity(opacity: NDArray[np.floating], least_vertex_count: int) -> NDArray[np.float32]:
    """Vertex opacities, (N,) float32; raises Face3DMMError if they are none."""
    checked = np.array(opacity, np.float32)
    if checked.ndim != 1 or len(checked) < least_vertex_count:
        raise Face3DMMError(
            f"opacity must be one number for each of {least_vertex_count} or more vertices, found {checked.shape}"
        )
    if not ((checked >= 0.0) & (checked <= 1.0)).all():
        raise Face3DMMError(f"opacity must lie between 0 and 1, found {checked.min():g} to {checked.max():g}")
    return checked


def _check_face(
    face: PosedFace, least_vertex_count: int, opacity: NDArray[np.float32] | None, cover: FaceCover | None
) -> None:
    """Raise Face3DMMError if a face's arrays do not fit together or its vertices are too few for the triangles."""
    N = len(face.vertices)
    shapes = {name: getattr(face, name).shape for name in ("vertices", "normals", "rgb")}
    if any(shape != (N, 3) for shape in shapes.values()):
        raise Face3DMMError(f"a face needs three numbers per vertex in vertices, normals and rgb, found {shapes}")
    if least_vertex_count > N:
        raise Face3DMMError(f"the triangles refer to {least_vertex_count} vertices, the face has {N}")
    if opacity is not None and len(opacity) != N:
        raise Face3DMMError(f"the face has {N} vertices, and the renderer opacities of {len(opacity)}")
    if cover is not None and cover.vertex_count != N:
        raise Face3DMMError(f"the face has {N} vertices, and the renderer's model {cover.vertex_count}")
    if face.rgb.dtype != np.uint8:
        raise Face3DMMError(f"vertex colours must be uint8, found {face.rgb.dtype}")

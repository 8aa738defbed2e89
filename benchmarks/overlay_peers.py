"""The overlay of a face beside OpenGL: what draws the same triangles, and how long that alone takes."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.rotations import FRONTAL
from face3dmm_ros.rendering import offscreen
from face3dmm_ros.rendering.face_renderer import FaceRenderer, PosedFace
from face3dmm_ros.rendering.layer import Framing, depth_range, posed_box

PEER = "OpenGL alone: upload, draw, read back"


@contextmanager
def overlays(
    triangles: NDArray[np.integer], image: NDArray[np.uint8], face: PosedFace
) -> Iterator[dict[str, Callable[[], object]]]:
    """Calls that draw a face, by the names of the table's rows; without OpenGL only our own.

    OpenGL alone draws what the overlay does, at the same size and lit the same way, and nothing of what is around it:
    no framing, no soft edges, no image to blend with.
    """
    with ExitStack() as opened:
        own = opened.enter_context(FaceRenderer(triangles, platform=offscreen.SOFTWARE))
        rows: dict[str, Callable[[], object]] = {"overlay, without OpenGL": lambda: own.overlay(image, [face])}
        try:
            with_opengl = opened.enter_context(
                FaceRenderer(triangles, platform=offscreen.choose_platform(offscreen.PLATFORMS))
            )
        except offscreen.NoOpenGLError as error:
            print(f"\nOpenGL is left out beside the overlay: {error}")
        else:
            rows[f"overlay, with OpenGL ({with_opengl.platform})"] = lambda: with_opengl.overlay(image, [face])
            rows[PEER] = _drawn_alone(with_opengl, image, face)
        yield rows


def _drawn_alone(renderer: FaceRenderer, image: NDArray[np.uint8], face: PosedFace) -> Callable[[], object]:
    box = posed_box(face.camera, face.vertices)
    framing = Framing.around(box, (image.shape[1], image.shape[0]))
    assert framing is not None
    size, model_to_clip = framing.size, framing.model_to_clip(face.camera, depth_range(box))
    normal_to_world, lighting = FRONTAL @ face.camera.rotation, renderer.lighting

    def draw() -> NDArray[np.uint8]:
        with renderer._drawing() as canvas:
            canvas.begin(*size)
            canvas.load(face.vertices, face.normals, face.rgb, np.ones(len(face.vertices), np.float32))
            canvas.draw_shaded(model_to_clip, normal_to_world, lighting, per_pixel=False)
            return canvas.read()

    return draw

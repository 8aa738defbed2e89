"""The avatar ``head``: a character of an animated film, with a face, eyes and hair of its own."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.avatar.avatar import AvatarFace, draw_each
from face3dmm_ros.avatar.character.caricature import LARGE_EYE_CENTER, LARGE_EYE_RADII
from face3dmm_ros.avatar.character.rig import build_rig
from face3dmm_ros.core.arkit import ARKIT_NAMES, weight_of
from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.rotations import FRONTAL
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.rendering.drawer import Drawer
from face3dmm_ros.rendering.layer import Framing, Layer, depth_range, posed_box

if TYPE_CHECKING:
    from face3dmm_ros.avatar.character.canvas import CharacterCanvas

# Chosen by hand.
_TO_LIGHT = np.array([-0.34, 0.42, 0.84])
_IRIS = (0.98, 0.66, 0.16)  # sRGB
_OUTLINE_MM = 1.5
_OUTLINE_DEPTH = 2.5  # in widths: the outline is moved back by so much, so that only deep folds show a line
_GLINT = np.array([-0.20, 0.26, 0.0])  # from the iris's middle toward the light, on the unit sphere
# How far the eyes turn at weight 1; chosen by hand.
_LOOK_OUT, _LOOK_IN, _LOOK_UP, _LOOK_DOWN = np.radians([32.0, 30.0, 22.0, 24.0])


class Character(Drawer["CharacterCanvas"]):
    """Draws the character in place of each face, in its pose, size and expression, but not with its identity.

    It is the default model's head, caricatured, and so moves with all of ARKit's blendshapes. A character
    owns an OpenGL context; any thread may draw, one at a time.
    """

    needs_image = False
    report = ""
    mapping = ""

    def __init__(self, platform: str = "auto") -> None:
        """Build the character and open an offscreen OpenGL context.

        Args:
            platform: ``auto``, ``egl``, ``osmesa`` or ``glx``; see `face3dmm_ros.rendering.offscreen.open_context`.

        Raises:
            Face3DMMError: no OpenGL 3.3 here; the message names the packages.
        """
        rig = build_rig(load_model("default"))
        self._model, self._still = rig.model, rig.still_vertices
        self._columns = [ARKIT_NAMES.index(name) for name in rig.model.expression_names]
        to_light = _TO_LIGHT / np.linalg.norm(_TO_LIGHT)
        halfway = to_light + np.array([0.0, 0.0, 1.0])
        constants = {
            "to_light": to_light,
            "halfway": halfway / np.linalg.norm(halfway),
            "eye_center": LARGE_EYE_CENTER,
            "eye_radii": LARGE_EYE_RADII,
            "iris_color": _IRIS,
        }

        def make_canvas() -> "CharacterCanvas":
            from face3dmm_ros.avatar.character.canvas import CharacterCanvas

            return CharacterCanvas(rig, constants)

        super().__init__(platform, make_canvas)

    def draw(
        self, faces: Sequence[AvatarFace], image_size: tuple[int, int], image: NDArray[np.uint8] | None = None
    ) -> list[Layer]:
        """Draw a layer for each face that reaches into the picture, far ones first; see `Avatar.draw`.

        Faces of any model are drawn: only their camera and weights are used.

        Raises:
            Face3DMMError: the character is closed, a camera or weight is not finite, or the picture is larger than
                OpenGL can draw here.
        """
        self._require_open()
        return draw_each(faces, lambda face: self._draw(face.parameters.camera, face.weights, image_size))

    def _draw(self, camera: WeakPerspective, weights: NDArray[np.float32], image_size: tuple[int, int]) -> Layer | None:
        """The character of one face; None if it lies outside the picture."""
        vertices = self._model.express(self._model.mean, weights[self._columns])
        outline = _OUTLINE_MM * camera.scale
        box = posed_box(camera, vertices, self._still, margin=outline)
        framing = Framing.around(box, image_size)
        if framing is None:
            return None
        outline_depth = _OUTLINE_DEPTH * outline
        reach = depth_range(box, outline_depth)
        normal_to_world = FRONTAL @ camera.rotation
        gaze = np.stack([_gaze(weights, "Left"), _gaze(weights, "Right")], axis=1)
        glint = gaze + (normal_to_world.T @ _GLINT)[:, None]
        uniforms = {
            "model_to_clip": framing.model_to_clip(camera, reach),
            "normal_to_world": normal_to_world,
            "gaze": np.column_stack([gaze, np.zeros(3)]),
            "glint": np.column_stack([glint / np.linalg.norm(glint, axis=0), np.zeros(3)]),
            "outline_width": framing.outline_in_clip(outline, outline_depth, reach),
        }
        normals = self._model.normals(vertices)
        with self._drawing() as canvas:
            return framing.layer(canvas.draw(framing.size, vertices, normals, uniforms))


def _gaze(weights: NDArray[np.float32], side: str) -> NDArray[np.float64]:
    """Gaze direction of an eye, ``Left`` or ``Right``: a unit vector (3,) in model space."""
    out = 1.0 if side == "Left" else -1.0
    aside = out * (
        _LOOK_OUT * weight_of(weights, f"eyeLookOut{side}") - _LOOK_IN * weight_of(weights, f"eyeLookIn{side}")
    )
    up = _LOOK_UP * weight_of(weights, f"eyeLookUp{side}") - _LOOK_DOWN * weight_of(weights, f"eyeLookDown{side}")
    return np.array([np.sin(aside) * np.cos(up), np.sin(up), np.cos(aside) * np.cos(up)])

"""The avatar ``head``: a character of an animated film, with a face, eyes and hair of its own."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.avatar.avatar import AvatarFace
from face3dmm_ros.avatar.character.rig import build_rig
from face3dmm_ros.core.arkit import ARKIT_NAMES, weight_of
from face3dmm_ros.core.camera import WeakPerspective, model_to_world, view_to_clip
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import FRONTAL
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.rendering.drawer import Drawer
from face3dmm_ros.rendering.layer import Layer, covering_rectangle, supersampling

if TYPE_CHECKING:
    from face3dmm_ros.avatar.character.canvas import CharacterCanvas

_TO_LIGHT = np.array([-0.34, 0.42, 0.84])
_IRIS = (0.98, 0.66, 0.16)
_OUTLINE_MM = 1.5
_OUTLINE_DEPTH = 2.5  # widths that it lies back, so that only deep folds show a line
_GLINT = np.array([-0.20, 0.26, 0.0])  # from the iris's middle toward the light, on the unit sphere
_LOOK_OUT, _LOOK_IN, _LOOK_UP, _LOOK_DOWN = np.radians([32.0, 30.0, 22.0, 24.0])


class Character(Drawer["CharacterCanvas"]):
    """Draws the character in place of each face, in its pose, size and expression; whose face it is does not show.

    It is the default model's head, caricatured, and so moves with all of ARKit's blendshapes. A character
    owns an OpenGL context; any thread may draw, one at a time.
    """

    needs_image = False
    report = ""

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
            "eye_center": rig.eye_center,
            "eye_radii": rig.eye_radii,
            "iris_color": _IRIS,
        }

        def make_canvas() -> "CharacterCanvas":
            from face3dmm_ros.avatar.character.canvas import CharacterCanvas

            return CharacterCanvas(
                rig.still_vertices, rig.still_normals, rig.paint, (rig.outlined, rig.inner, rig.eyes), constants
            )

        super().__init__(platform, make_canvas)

    def draw(
        self, faces: Sequence[AvatarFace], image_size: tuple[int, int], image: NDArray[np.uint8] | None = None
    ) -> list[Layer]:
        """A layer for each face that reaches into the picture, far ones first; see `Avatar.draw`.

        Faces of any model are drawn: only their camera and weights count.

        Raises:
            Face3DMMError: the character is closed, a camera is not finite, or a picture is larger than OpenGL draws.
        """
        self._require_open()
        far_to_near = sorted(faces, key=lambda face: face.parameters.camera.scale)
        layers = [self._draw_one(face.parameters.camera, face.weights, image_size) for face in far_to_near]
        return [layer for layer in layers if layer is not None]

    def _draw_one(
        self, camera: WeakPerspective, weights: NDArray[np.float32], image_size: tuple[int, int]
    ) -> Layer | None:
        vertices = self._model.express(self._model.mean, weights[self._columns])
        to_image = (camera.scale * camera.rotation).astype(np.float32)
        # (3, N) and not (N, 3): numpy's minimum along contiguous rows is ten times faster.
        posed = np.concatenate([to_image @ vertices.T, to_image @ self._still.T], axis=1)
        low, high = posed.min(axis=1).astype(np.float64), posed.max(axis=1).astype(np.float64)
        if not np.isfinite([*low, *high, *camera.translation]).all():
            raise Face3DMMError("a face's camera or weights hold values that are not finite (NaN or infinity)")
        outline = _OUTLINE_MM * camera.scale
        rectangle = covering_rectangle(
            low[:2] + camera.translation - outline, high[:2] + camera.translation + outline, image_size
        )
        if rectangle is None:
            return None
        depth_range = 1.01 * max(abs(low[2]), abs(high[2])) + _OUTLINE_DEPTH * outline + 1.0
        to_clip = rectangle.clip_to_canvas(image_size) @ view_to_clip(image_size, depth_range)
        normal_to_world = FRONTAL @ camera.rotation
        gaze = np.stack([_gaze(weights, "Left"), _gaze(weights, "Right")], axis=1)
        glint = gaze + (normal_to_world.T @ _GLINT)[:, None]
        uniforms = {
            "model_to_clip": to_clip @ model_to_world(camera),
            "normal_to_world": normal_to_world,
            "gaze": np.column_stack([gaze, np.zeros(3)]),
            "glint": np.column_stack([glint / np.linalg.norm(glint, axis=0), np.zeros(3)]),
        }
        factor = supersampling(rectangle)
        size = (factor * rectangle.width, factor * rectangle.height)
        in_clip = outline * np.array([2 / rectangle.width, 2 / rectangle.height, _OUTLINE_DEPTH / depth_range])
        normals = self._model.normals(vertices)
        with self._drawing() as canvas:
            pixels = canvas.draw(size, vertices, normals, uniforms, in_clip)
        layer = Layer.averaged(rectangle, pixels)
        return layer if factor > 1 else layer.softened()


def _gaze(weights: NDArray[np.float32], side: str) -> NDArray[np.float64]:
    """Where an eye looks, a unit vector (3,) of the model's space."""
    out = 1.0 if side == "Left" else -1.0
    aside = out * (
        _LOOK_OUT * weight_of(weights, f"eyeLookOut{side}") - _LOOK_IN * weight_of(weights, f"eyeLookIn{side}")
    )
    up = _LOOK_UP * weight_of(weights, f"eyeLookUp{side}") - _LOOK_DOWN * weight_of(weights, f"eyeLookDown{side}")
    return np.array([np.sin(aside) * np.cos(up), np.sin(up), np.cos(aside) * np.cos(up)])

"""The avatar `gltf:PATH`: any glTF 2.0 or VRM character whose morph targets have ARKit's names, as a portrait."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.avatar.avatar import AvatarFace
from face3dmm_ros.avatar.gltf.figure import TURNS
from face3dmm_ros.avatar.gltf.morphs import match_morphs
from face3dmm_ros.avatar.gltf.posing import HEAD, LEFT_EYE, RIGHT_EYE, Bust, make_bust
from face3dmm_ros.avatar.gltf.skeleton import about
from face3dmm_ros.avatar.weights.gaze import FULL_GAZE, WAYS, eye_angles
from face3dmm_ros.core.camera import clip_to_screen
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import FRONTAL, rotation_from_vector
from face3dmm_ros.files.gltf import load_gltf
from face3dmm_ros.rendering.drawer import Drawer
from face3dmm_ros.rendering.layer import Framing, Layer

if TYPE_CHECKING:
    from face3dmm_ros.avatar.gltf.canvas import GltfCanvas

# Chosen by hand.
_DISTANCE = 4.0  # of the camera, in heights of the frame: the perspective of a portrait lens
_NARROWEST = 0.62  # width of what the picture shows at least, in heights of the frame
_LEAST_VALUE = 1e-3  # morph targets with smaller values are skipped


class GltfAvatar(Drawer["GltfCanvas"]):
    """Draws the nearest face as a character from a file, head and shoulders in the middle of the picture.

    Its head turns as the person's does; its position in the picture is fixed.
    """

    needs_image: ClassVar[bool] = False

    def __init__(self, path: Path, platform: str = "auto") -> None:
        """Load a .gltf, .glb or .vrm file.

        Args:
            path: of the file.
            platform: of OpenGL; see `face3dmm_ros.rendering.offscreen.open_context`.

        Raises:
            Face3DMMError: as `load_gltf`, `match_morphs`, `make_bust` and `open_context`.
        """
        file = load_gltf(path)
        self._matching = match_morphs(file)
        self._bust = make_bust(file, self._matching)
        self._path = file.path
        self._zmax = _reach(self._bust)

        def make_canvas() -> "GltfCanvas":
            from face3dmm_ros.avatar.gltf.canvas import GltfCanvas

            return GltfCanvas(self._bust.figure)

        super().__init__(platform, make_canvas)

    @property
    def missing(self) -> tuple[str, ...]:
        """The ARKit names that move nothing in the file."""
        turning = [side for side, turns in zip(("Left", "Right"), self._bust.eyes_turn, strict=True) if turns]
        by_bone = tuple(f"eyeLook{way}{side}" for way in WAYS for side in turning)
        return tuple(name for name in self._matching.missing if name not in by_bone)

    @property
    def report(self) -> str:
        """How much is driven, which ARKit names it lacks, which targets nothing drives, and what leads nowhere."""
        lines = [f"{self._path}: {len(self._matching.channels)} of its morph targets and expressions are driven"]
        if self.missing:
            lines.append("ARKit's names that it lacks: " + ", ".join(self.missing))
        if self._matching.unused:
            lines.append("its morph targets that no ARKit name drives: " + ", ".join(self._matching.unused))
        if self._matching.dangling:
            lines.append("left out: " + ", ".join(self._matching.dangling))
        return "; ".join(lines)

    @property
    def mapping(self) -> str:
        """Which of its expressions and morph targets is moved by which of ARKit's weights."""
        return self._matching.described()

    def draw(
        self, faces: Sequence[AvatarFace], image_size: tuple[int, int], image: NDArray[np.uint8] | None = None
    ) -> Sequence[Layer]:
        """Draw the character with the expression and the head's rotation of the nearest face; see `Avatar.draw`.

        Raises:
            Face3DMMError: the avatar is closed, or the picture has no size or is larger than OpenGL can draw here.
        """
        self._require_open()
        if min(image_size) < 1:
            raise Face3DMMError(f"an image has a positive width and height, not {image_size[0]}×{image_size[1]}")
        if not faces:
            return []
        face = max(faces, key=lambda face: face.parameters.camera.scale)
        turns = self._turns(face)
        to_clip = _portrait(image_size, self._zmax)
        framing = self._framing(to_clip, turns[HEAD], image_size)
        if framing is None:
            return []
        points = self._moved(self._matching.values(face.weights))
        with self._drawing() as canvas:
            canvas.move(points)
            return [framing.layer(canvas.draw(framing.size, framing.clip_to_canvas() @ to_clip, turns))]

    def _moved(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Points of the figure's moving vertices, (moving, 6), for the channels' values."""
        points = self._bust.figure.points[: self._bust.figure.moving].copy()
        for morph, value in zip(self._bust.morphs, values, strict=True):
            if value > _LEAST_VALUE:
                points[morph.vertices] += value * morph.points
        return points

    def _turns(self, face: AvatarFace) -> NDArray[np.float64]:
        """(TURNS, 4, 4): the motions of the head and the eyes, each about its own pivot."""
        turns = np.empty((TURNS, 4, 4))
        turns[HEAD] = about(self._bust.pivots[HEAD], FRONTAL @ face.parameters.camera.rotation)
        reach = np.minimum(FULL_GAZE, self._bust.gaze_limits)
        for part, side in ((LEFT_EYE, "Left"), (RIGHT_EYE, "Right")):
            # A person's left is +x, where a positive turn about y looks.
            yaw, pitch = eye_angles(face.weights, side, reach)
            gaze = rotation_from_vector([-pitch, yaw, 0.0])
            turns[part] = turns[HEAD] @ about(self._bust.pivots[part], gaze)
        return turns

    def _framing(
        self, to_clip: NDArray[np.float64], head_turn: NDArray[np.float64], image_size: tuple[int, int]
    ) -> Framing | None:
        still, turning = (np.concatenate([box, np.ones((8, 1))], axis=1) for box in self._bust.boxes)
        points = np.concatenate([still, turning @ head_turn.T])
        screen = clip_to_screen(points @ to_clip.T, image_size)
        return Framing.around(np.stack([screen.min(axis=0), screen.max(axis=0)], axis=1), image_size, limit=1)


def _reach(bust: Bust) -> float:
    """The greatest distance from the plane of the frame, in heights of the frame, whatever the head's rotation."""
    still, turning = bust.boxes
    pivot = bust.pivots[HEAD]
    radius = float(np.linalg.norm(turning - pivot, axis=1).max())
    return max(float(np.abs(still[:, 2]).max()), abs(float(pivot[2])) + radius)


def _portrait(image_size: tuple[int, int], reach: float) -> NDArray[np.float64]:
    """(4, 4) from a bust's space to clip space: the frame stands on the picture's lower edge and fills its height.

    Pictures narrower than a portrait show more above it.
    """
    width, height = image_size
    scale = min(float(height), width / _NARROWEST)  # px per height of the frame
    distance = max(_DISTANCE, 3.0 * reach)
    matrix = np.zeros((4, 4))
    matrix[0, 0] = 2.0 * scale / width
    matrix[1, 1] = 2.0 * scale / height
    matrix[2, 2] = -1.0 / (1.6 * reach)
    matrix[3] = [0.0, 0.0, -1.0 / distance, 1.0]
    matrix[1] += (scale / height - 1.0) * matrix[3]
    return matrix

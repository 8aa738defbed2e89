"""Photographs turned: faces seen from where no photograph was taken, with labels that are exact by construction.

Face profiling (Zhu et al., Face Alignment Across Large Poses: A 3D Solution, CVPR 2016; 300W-LP was made so): a
photograph is meshed in depth under its fitted face and turned. Here the person is a closed surface before a flat
background (`relief`): the face is the model's own, hair and clothes bulge from their outline, what the photograph hides
of the face is painted from its other side, and the back of the head has the colours of the hair.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective, model_to_world, view_to_clip
from face3dmm_ros.core.rotations import pose_angles, rotation_from_pose_angles
from face3dmm_ros.lab.synthesis.random_scene import FACE_CENTER, SceneOptions, place_face
from face3dmm_ros.lab.synthesis.relief import Relief
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.rendering.drawer import Drawer
from face3dmm_ros.rendering.layer import Layer, Rectangle

if TYPE_CHECKING:
    from face3dmm_ros.lab.synthesis.relief_canvas import ReliefCanvas

# All chosen by hand while looking at turned portraits, unless it says otherwise.
_NECK = np.array([0.0, -130.0, -85.0])  # mm, about which the shoulders turn against the head
_TWIST = (-118.0, -190.0)  # mm above the origin, from where to where the neck turns with the shoulders
_DEPTH = 1000.0  # mm before and behind the model's origin that are drawn
_UNDER_SKIN = 5.0  # mm by which front and back count as farther than they are, so that the face lies over them
_HIDDEN_BY = 3.0  # mm by which a visible point may lie behind what was drawn
_UNTURNED = 0.1  # share of the pictures that show the photograph as it was taken
_FOLLOWING = (
    (0.0, 0.3, 0.0),
    (0.4, 0.8, 0.4),
)  # least and greatest share of pitch, yaw, roll in which shoulders follow


@dataclass(frozen=True, eq=False)
class Turn:
    """How a photograph is turned.

    Attributes:
        camera: of the face in the turned picture.
        shoulders: (3, 3) their rotation, model → camera.
    """

    camera: WeakPerspective
    shoulders: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TurnedPicture:
    """A photograph turned, and its truth.

    Attributes:
        image: (H, W, 3) uint8 BGR.
        camera: of the face; the coefficients are the photograph's.
        landmarks: (68, 3) px, z toward the viewer.
        visibility: (68,) bool, which of them the picture shows.
    """

    image: NDArray[np.uint8]
    camera: WeakPerspective
    landmarks: NDArray[np.float64]
    visibility: NDArray[np.bool_]


def random_turn(rng: np.random.Generator, photograph: WeakPerspective, options: SceneOptions) -> Turn:
    """A turn with yaw evenly within the options' range; one of ten is none."""
    before = np.array(pose_angles(photograph.rotation))
    most = np.radians([options.max_pitch, options.max_yaw, options.max_roll])
    after = np.clip(rng.normal(0.0, most / 2), -most, most)
    after[1] = rng.uniform(-most[1], most[1])
    follow = rng.uniform(*_FOLLOWING)
    if rng.random() < _UNTURNED:
        after = before
    camera = place_face(rng, rotation_from_pose_angles(*after), options)
    return Turn(camera, rotation_from_pose_angles(*(before + follow * (after - before))))


class ReliefRenderer(Drawer["ReliefCanvas"]):
    """Draws photographs in relief from other sides. Any thread may call it, one at a time."""

    def __init__(self, model: MorphableModel) -> None:
        """Open an offscreen OpenGL context.

        Raises:
            Face3DMMError: OpenGL 3.3 is not available.
        """
        self._model = model
        self._loaded: Relief | None = None

        def make_canvas() -> "ReliefCanvas":
            from face3dmm_ros.lab.synthesis.relief_canvas import ReliefCanvas

            return ReliefCanvas()

        super().__init__("auto", make_canvas)

    def render(self, relief: Relief, turn: Turn, image_size: tuple[int, int]) -> TurnedPicture:
        """The picture, (width, height) px, of a photograph turned."""
        camera = turn.camera
        twist = camera.rotation.T @ turn.shoulders
        points = [_twisted(mesh.points, twist) for mesh in relief.meshes]
        depth_range = _DEPTH * camera.scale
        to_clip = np.diag([1.0, -1.0, 1.0, 1.0]) @ view_to_clip(image_size, depth_range) @ model_to_world(camera)
        with self._drawing() as canvas:
            if self._loaded is not relief:
                canvas.load(relief.meshes)
                self._loaded = relief
            under = _UNDER_SKIN / _DEPTH
            pixels, depth = canvas.draw(image_size, to_clip, points, [under, under, 0.0])
        image = _backdrop(relief, camera, image_size)
        Layer(Rectangle(0, 0, *image_size), pixels).over(image)
        surface = self._model.scheme("ibug68")
        landmarks = surface.interpolate(relief.vertices).astype(np.float64)
        normals = surface.interpolate(self._model.normals(relief.vertices)).astype(np.float64)
        on_image = np.column_stack([camera.project(landmarks), -camera.depth(landmarks)])
        nearest = (1.0 - 2.0 * depth) * depth_range
        facing = normals @ camera.rotation[2] < 0.0
        return TurnedPicture(image, camera, on_image, facing & _in_front(on_image, nearest, _HIDDEN_BY * camera.scale))


def _in_front(points: NDArray[np.float64], nearest: NDArray[np.floating], tolerance: float) -> NDArray[np.bool_]:
    """Which points, (P, 3) px, lie inside a picture and before what it shows at some depth toward the viewer, px."""
    height, width = nearest.shape
    column, row = np.round(points[:, :2]).astype(np.intp).T
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    shown = nearest[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
    return np.asarray(inside & (points[:, 2] + tolerance >= shown))


def _twisted(points: NDArray[np.float32], twist: NDArray[np.float64]) -> NDArray[np.float32]:
    """Points (n, 3) with what is below the neck turned against the head."""
    share = np.clip((_TWIST[0] - points[:, 1:2]) / (_TWIST[0] - _TWIST[1]), 0.0, 1.0)
    turned = (points - _NECK) @ twist.T + _NECK
    return (points + share * (turned - points)).astype(np.float32)


def _backdrop(relief: Relief, camera: WeakPerspective, image_size: tuple[int, int]) -> NDArray[np.uint8]:
    """What is behind: as in the photograph about the face's middle, in the camera's scale."""
    factor = camera.scale / relief.camera.scale
    before, after = (each.project(FACE_CENTER[None])[0] for each in (relief.camera, camera))
    matrix = np.column_stack([factor * np.eye(2), after - factor * before])
    return np.asarray(
        cv2.warpAffine(relief.backdrop, matrix, image_size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101),
        np.uint8,
    )

"""A picture by which a person judges a correspondence: landmarks on the other head, how far ours lies off it."""

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.landmark_schemes import IBUG68, MEDIAPIPE478
from face3dmm_ros.core.rotations import rotation_from_pose_angles
from face3dmm_ros.correspondence.correspond import Found
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.rendering.face_renderer import FaceRenderer, PosedFace

# All of these are chosen by hand.
_SIDE, _SCALE = 640, 2.4
_YAWS = (0.0, 60.0)
_MIDDLE = np.array([0.0, -30.0, 0.0])
_FARTHEST_MM = 3.0
"""Distance that is drawn in the last colour."""
_GREY, _BACKGROUND = 180, 32
_DOTS = {MEDIAPIPE478: ((255, 200, 0), 1), IBUG68: ((0, 0, 255), 3)}
"""BGR and radius, px, by scheme."""


def draw(model: MorphableModel, ours: MorphableModel, found: Found) -> NDArray[np.uint8]:
    """(2·640, 2·640, 3) uint8 BGR: from the front and from the side, above the other head with its landmarks, below
    our skin where it is trusted, from dark to light by its distance from theirs, 0 to 3 mm; elsewhere grey.
    """
    registration = found.registration
    theirs = registration.similarity.of(model.mean.astype(np.float64)).astype(np.float32)
    level = np.uint8(255 * np.clip(registration.distance / _FARTHEST_MM, 0.0, 1.0))
    colours = cv2.applyColorMap(level[:, None], cv2.COLORMAP_VIRIDIS)[:, 0, ::-1]
    colours = np.where(registration.trust[:, None] > 0.0, colours, _GREY).astype(np.uint8)
    rows = []
    plain = np.full((len(theirs), 3), _GREY, np.uint8)
    for which, vertices, rgb, schemes in (
        (model, theirs, plain, found.correspondence.landmarks),
        (ours, ours.mean, colours, {}),
    ):
        row = []
        normals = which.normals(vertices)
        with FaceRenderer(which.triangles) as renderer:
            for yaw in _YAWS:
                rotation = rotation_from_pose_angles(0.0, np.radians(yaw), 0.0)
                camera = WeakPerspective(_SCALE, rotation, _SIDE / 2 - _SCALE * (rotation @ _MIDDLE)[:2])
                rgba = renderer.render((_SIDE, _SIDE), [PosedFace(vertices, normals, rgb, camera)])
                cover = rgba[:, :, 3:] / 255.0
                image = np.ascontiguousarray(np.uint8(rgba[:, :, 2::-1] * cover + _BACKGROUND * (1.0 - cover)))
                for scheme, (colour, radius) in _DOTS.items():
                    if scheme in schemes:
                        _dot(image, schemes[scheme].interpolate(vertices), schemes[scheme].interpolate(normals),
                             camera, colour, radius)  # fmt: skip
                row.append(image)
        rows.append(np.hstack(row))
    return np.vstack(rows)


def _dot(
    image: NDArray[np.uint8],
    points: NDArray[np.floating],
    normals: NDArray[np.floating],
    camera: WeakPerspective,
    colour: tuple[int, int, int],
    radius: int,
) -> None:
    """Draw the points (P, 3) that face the camera."""
    seen = normals @ camera.rotation[2] < 0.0
    for x, y in np.round(camera.project(points[seen])).astype(int):
        cv2.circle(image, (int(x), int(y)), radius, colour, -1, cv2.LINE_AA)

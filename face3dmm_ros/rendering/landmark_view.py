"""Detected landmarks drawn onto the image that they were found in."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.values import Landmarks
from face3dmm_ros.rendering.face_renderer import VIEWS
from face3dmm_ros.rendering.layer import check_image

LANDMARKS = "landmarks"
OVERLAYS = (*VIEWS, LANDMARKS)
"""What may be laid over the camera's image: the fitted face in one of the views, or the landmarks."""

_POINT_COLOR, _LINE_COLOR = (120, 255, 80), (255, 200, 60)  # BGR, chosen by hand
_SUBPIXEL_BITS = 4  # fractional bits of the integers that OpenCV draws with

# First and last index of each stroke of the iBUG 68 markup (0-based), and whether it closes.
_IBUG68_STROKES = (
    *((0, 16, False), (17, 21, False), (22, 26, False)),  # contour, brows
    *((27, 30, False), (31, 35, False)),  # nose
    *((36, 41, True), (42, 47, True)),  # eyes
    *((48, 59, True), (60, 67, True)),  # lips
)


def draw_landmarks(image: NDArray[np.uint8], faces: Sequence[Landmarks]) -> NDArray[np.uint8]:
    """Draw landmarks as points over a copy of the image, those of `ibug68` joined along the features they outline.

    Points and lines are scaled with the face. Points outside the image are left out.

    Args:
        image: (H, W, 3) uint8 BGR.
        faces: landmarks in the image's pixels.

    Raises:
        Face3DMMError: the image has another form, or points are not (N, 2).
    """
    check_image(image)
    result = np.array(image, order="C")
    for face in faces:
        _draw_face(result, face)
    return result


def _draw_face(image: NDArray[np.uint8], face: Landmarks) -> None:
    points = np.asarray(face.points)
    if points.ndim != 2 or points.shape[1] != 2:
        raise Face3DMMError(f"landmarks must be (N, 2), found {points.shape}")
    drawable = np.asarray((np.abs(points) < 1e6).all(axis=1))  # not NaN, and far from what an integer can hold
    if not drawable.any():
        return
    face_size = np.ptp(points[drawable], axis=0).max()
    fixed_point = np.round(np.where(drawable[:, None], points, 0.0) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    if face.scheme == "ibug68" and len(points) == 68 and drawable.all():
        thickness = max(1, round(face_size / 200))
        for first, last, closed in _IBUG68_STROKES:
            stroke = fixed_point[first : last + 1]
            cv2.polylines(image, [stroke], closed, _LINE_COLOR, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)
    # A share of the distance between neighbouring points, which shrinks with their number; the share chosen by hand.
    radius = max(0.7, 0.12 * face_size / np.sqrt(len(points)))
    for x, y in fixed_point[drawable]:
        center = (int(x), int(y))
        cv2.circle(image, center, round(radius * (1 << _SUBPIXEL_BITS)), _POINT_COLOR, -1, cv2.LINE_AA, _SUBPIXEL_BITS)

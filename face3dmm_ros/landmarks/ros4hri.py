"""Faces as REP-155 (ROS4HRI) has them: 70 landmarks and a region in shares of the image, and two pictures of a face."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.values import Landmarks
from face3dmm_ros.landmarks.region import Region
from face3dmm_ros.landmarks.schemes import IBUG68, LEFT_IRIS, MEDIAPIPE478, RIGHT_IRIS, convert

LANDMARK_COUNT = 70
"""iBUG's 68 in their order, then the right and the left pupil."""

_EYES = (36, 39), (42, 45)
"""iBUG's corners of the right and of the left eye, which stay where they are when eyes close or turn."""
_LIPS = (48, 54)
_EYE_DISTANCE, _EYE_HEIGHT, _EYES_TO_LIPS = 0.315, 0.461, 0.363
"""Of an aligned picture's side: from eye to eye, from its top to the eyes, from the eyes to the mouth's corners, as in
the template of ArcFace (Deng et al., 2019), for which networks that recognise faces are trained."""
_SIDEWAYS = 0.7
"""Share of a frontal face's eye distance below which the way from eyes to lips says how large the face is. Chosen by
hand, as at a yaw of 45°: by its eye distance a profile would be enlarged endlessly."""


def facial_landmarks(landmarks: Landmarks) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Where the 70 landmarks are, and how sure that is.

    Returns:
        (70, 2) x and y as shares of the image's width and height, (0, 0) its top-left corner, cut to [0, 1].
        (70,) the face's confidence; 0 for those outside of the image, and for pupils that were not looked for or whose
        standard deviation says that they are anywhere in the eye.
    """
    points = convert(landmarks, IBUG68).points
    if landmarks.scheme == MEDIAPIPE478:
        points = np.concatenate([points, landmarks.points[[RIGHT_IRIS, LEFT_IRIS]]])
    shares, confidence = np.zeros((LANDMARK_COUNT, 2), np.float32), np.zeros(LANDMARK_COUNT, np.float32)
    shares[: len(points)], confidence[: len(points)] = _shares(points, landmarks), landmarks.confidence
    if landmarks.scheme == MEDIAPIPE478 and landmarks.deviation is not None:
        widths = np.array([np.linalg.norm(points[outer] - points[inner]) for outer, inner in _EYES])
        confidence[68:][landmarks.deviation[[RIGHT_IRIS, LEFT_IRIS]] > widths / 2.0] = 0.0
    inside = np.clip(shares, 0.0, 1.0)
    confidence[(inside != shares).any(axis=1)] = 0.0
    return inside, confidence


def face_region(landmarks: Landmarks) -> NDArray[np.float32]:
    """The box of all landmarks, (xmin, ymin, xmax, ymax) as shares of the image, cut to it."""
    shares = _shares(landmarks.points, landmarks)
    return np.clip(np.concatenate([shares.min(axis=0), shares.max(axis=0)]), 0.0, 1.0)


def cropped_face(image: NDArray[np.uint8], region: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A region of an image, as `face_region` gives it, scaled to fit into a black picture of (width, height) px."""
    height, width = image.shape[:2]
    left, top = np.floor(region[:2] * (width, height)).astype(int)
    right, bottom = np.ceil(region[2:] * (width, height)).astype(int)
    part = image[top:bottom, left:right]
    if not part.size:
        return _in_the_middle(part, size)
    scale = min(size[0] / part.shape[1], size[1] / part.shape[0])
    fitting = tuple(max(1, round(scale * length)) for length in (part.shape[1], part.shape[0]))
    return _in_the_middle(np.asarray(cv2.resize(part, fitting, interpolation=cv2.INTER_AREA), np.uint8), size)


def aligned_face(image: NDArray[np.uint8], landmarks: Landmarks, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A face with its eyes level and in the same places in all pictures, of (width, height) px.

    The face is in the largest square in their middle. In a picture of a face that is turned far aside the eyes lie
    nearer to each other.

    Raises:
        Face3DMMError: the face does not touch the image.
    """
    points = convert(landmarks, IBUG68).points.astype(np.float64)
    right, left = (points[list(corners)].mean(axis=0) for corners in _EYES)
    middle, across = (right + left) / 2.0, left - right
    upright = float(np.linalg.norm(points[list(_LIPS)].mean(axis=0) - middle)) / _EYES_TO_LIPS
    extent = max(float(np.linalg.norm(across)) / _EYE_DISTANCE, _SIDEWAYS * upright, 1.0)
    angle = math.atan2(across[1], across[0])
    down = (0.5 - _EYE_HEIGHT) * extent
    region = Region(middle[0] - down * math.sin(angle), middle[1] + down * math.cos(angle), extent, angle)
    return _in_the_middle(region.crop(image, min(size)), size)


def _shares(points: NDArray[np.floating], landmarks: Landmarks) -> NDArray[np.float32]:
    """Points, px, as shares of the image from its corner, which is half a pixel before the first pixel's centre."""
    return ((points + 0.5) / landmarks.image_size).astype(np.float32)


def _in_the_middle(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture in the middle of a black one of (width, height) px, at least as large."""
    whole = np.zeros((size[1], size[0], 3), np.uint8)
    height, width = picture.shape[:2]
    top, left = (size[1] - height) // 2, (size[0] - width) // 2
    whole[top : top + height, left : left + width] = picture
    return whole

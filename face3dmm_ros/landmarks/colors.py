"""The colours of an image at a face's landmarks, so that who has only the landmarks can tell the person's colours."""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.values import TrackedLandmarks

_CELL = 0.02
"""Side of the square over which a point's colour is averaged, as a share of the face's size. By hand: 3 mm, wider than
pores and a camera's noise, narrower than lips and brows."""
_INTERVALS = ((0, 10), (100, 50))
"""(From which image of a track on, images from one sampling to the next). By hand: a person's colours hardly change,
and sampling takes time."""


class ColorSampler:
    """Looks at tracked faces' colours: in each one's first image, and then now and then."""

    def __init__(self) -> None:
        """No face has been seen yet."""
        self._images: dict[int, int] = {}

    def sample(self, image: NDArray[np.uint8], faces: list[TrackedLandmarks]) -> list[TrackedLandmarks]:
        """The faces of an image, (H, W, 3) BGR uint8, those that it is time for with their colours."""
        self._images = {face.face_id: self._images.get(face.face_id, -1) + 1 for face in faces}
        return [
            replace(face, landmarks=replace(face.landmarks, colors=sample_colors(image, face.landmarks.points)))
            if _is_due(self._images[face.face_id])
            else face
            for face in faces
        ]


def _is_due(image: int) -> bool:
    """Whether a track's image, counted from 0, is one in which colours are looked at."""
    return image % max(interval for start, interval in _INTERVALS if start <= image) == 0


def sample_colors(image: NDArray[np.uint8], points: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Colours of an image at landmarks, (N, 3) uint8 sRGB.

    Each is the mean of a square of `_CELL` of the face's size about its point, or the pixel where that is smaller.

    Args:
        image: (H, W, 3) uint8 BGR.
        points: (N, 2) px, finite.

    Returns:
        Black, (0, 0, 0), stands for a point outside of the image; what is as black in the image tells as little.
    """
    height, width = image.shape[:2]
    colors = np.zeros((len(points), 3), np.uint8)
    inside = ((points >= -0.5) & (points < [width - 0.5, height - 0.5])).all(axis=1)
    if not inside.any():
        return colors
    step = max(1.0, _CELL * float(np.ptp(points, axis=0).max()))
    low = np.clip(np.floor(points.min(axis=0) - step), 0, [width - 1, height - 1]).astype(int)
    high = np.clip(np.ceil(points.max(axis=0) + step) + 1, 1, [width, height]).astype(int)
    part = image[low[1] : high[1], low[0] : high[0]]
    columns, rows = np.maximum(1, np.round((high - low) / step)).astype(int)
    cells = cv2.resize(part, (int(columns), int(rows)), interpolation=cv2.INTER_AREA)
    # (0, 0) is the centre of the first cell here, and of the first pixel there.
    at = (points[inside] - low + 0.5) * ([columns, rows] / (high - low)) - 0.5
    x, y = np.ascontiguousarray(at.T, np.float32)[:, :, None]
    found = cv2.remap(cells, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    colors[inside] = found[:, 0, ::-1]
    return colors

"""Pictures of cameras that are mounted sideways or upside down, turned upright."""

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError

TURNS = (0, 90, 180, 270)
"""Degrees clockwise by which pictures can be turned."""

_CODES = (None, cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_COUNTERCLOCKWISE)


def quarters_of_a_turn(degrees: int) -> int:
    """How many quarter turns an angle in degrees is, 0 to 3.

    Raises:
        Face3DMMError: the angle is not one of `TURNS`.
    """
    if degrees not in TURNS:
        raise Face3DMMError(f"pictures are turned by {', '.join(map(str, TURNS))} degrees clockwise, not {degrees}")
    return TURNS.index(degrees)


def turned(picture: NDArray[np.uint8], degrees: int) -> NDArray[np.uint8]:
    """A picture turned clockwise by some degrees: with 90 its left edge becomes the top.

    Raises:
        Face3DMMError: the angle is not one of `TURNS`.
    """
    code = _CODES[quarters_of_a_turn(degrees)]
    return picture if code is None else np.asarray(cv2.rotate(picture, code), picture.dtype)

"""How light a labelled face's skin is in its picture, so that errors can be told for dark and for light skins."""

import cv2
import numpy as np
from numpy.typing import NDArray

# Cheeks and nose by iBUG's 68 points, which hair, brows and beards mostly leave free; chosen by hand.
_PATCHES = ((2, 31, 48), (14, 54, 35), (27, 31, 35))
_INSET = 0.6
"""Size of a patch over that of the triangle about whose middle it lies, so that it stays off edges; by hand."""


def skin_lightness(image: NDArray[np.uint8], points: NDArray[np.floating]) -> float | None:
    """CIELAB's L*, from 0 to 100: the median over cheeks and nose, as far as these face the camera.

    It is that of the skin in its light: nobody can tell a dark skin from a dark room in one picture.

    Args:
        image: (H, W, 3) BGR.
        points: (68, 2) iBUG's points in it, px.

    Returns:
        None where no skin is in the picture.
    """
    mask = np.zeros(image.shape[:2], np.uint8)
    for patch in _PATCHES:
        corners = points[list(patch)]
        (ax, ay), (bx, by) = corners[1] - corners[0], corners[2] - corners[0]
        # The far cheek of a turned head is seen from behind: its corners run the other way.
        if ax * by - ay * bx < 0.0:
            middle = corners.mean(axis=0)
            inner = np.round(middle + _INSET * (corners - middle)).astype(np.int32)
            cv2.fillConvexPoly(mask, inner, 255)
    pixels = image[mask > 0]
    if not len(pixels):
        return None
    lab = cv2.cvtColor(pixels[None].astype(np.float32) / 255.0, cv2.COLOR_BGR2LAB)
    return float(np.median(lab[0, :, 0]))

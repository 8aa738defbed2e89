"""A mask of cloth painted over mouth and nose, as people wear it in hospitals."""

import zlib

import cv2
import numpy as np
from numpy.typing import NDArray

_UNDER = (*range(2, 15), 28, *range(30, 36), *range(48, 60))
"""iBUG's points that it lies over: the jaw from below one ear to below the other, the nose from its bridge down, and
the lips, which stand out beyond the jaw in profile."""
_COLORS = ((200, 170, 120), (235, 235, 230), (40, 40, 40), (120, 150, 60), (150, 130, 190))
"""Cloth, BGR: light blue, white, black, green, pink."""
_PLEATS = 4
"""Dark lines across it, as surgical masks have them."""
_SOFT = 0.004
"""Blur of its rim over the face's size."""


def with_mask(image: NDArray[np.uint8], points: NDArray[np.floating], name: str) -> NDArray[np.uint8]:
    """A picture, (H, W, 3) BGR uint8, in which the lower half of a face is covered.

    Args:
        image: left as it is.
        points: (68, 2) iBUG's points of the face, px.
        name: of the picture; the same has always the same mask.
    """
    color = _COLORS[zlib.crc32(name.encode()) % len(_COLORS)]
    outline = np.asarray(cv2.convexHull(points[list(_UNDER)].astype(np.float32))[:, 0], np.float32)
    size = float(np.sqrt(np.ptp(points, axis=0).prod()))
    shape = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(shape, [_fixed(outline)], 255, cv2.LINE_AA, shift=4)
    cloth = np.full(image.shape, color, np.float32)
    right, left = points[[2, 3, 4, 5]], points[[14, 13, 12, 11]]
    for pleat in range(_PLEATS):
        ends = np.stack([right[pleat], points[51] + (points[8] - points[51]) * pleat / _PLEATS, left[pleat]])
        cv2.polylines(cloth, [_fixed(ends)], False, [0.75 * value for value in color], max(1, round(size / 120)),
                      cv2.LINE_AA, shift=4)  # fmt: skip
    # The face's own light and shade show through its form.
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (0, 0), max(1.0, size / 12)).astype(np.float32)
    inside = grey[shape > 0]
    if inside.size:
        cloth *= np.clip(grey / max(float(inside.mean()), 1.0), 0.5, 1.5)[..., None]
    alpha = cv2.GaussianBlur(shape.astype(np.float32) / 255.0, (0, 0), max(0.6, _SOFT * size))[..., None]
    return np.round((1.0 - alpha) * image + alpha * np.clip(cloth, 0, 255)).astype(np.uint8)


def _fixed(points: NDArray[np.floating]) -> NDArray[np.int32]:
    """Points as OpenCV takes them with four binary places."""
    return np.round(16.0 * np.clip(points, -1e5, 1e5)).astype(np.int32)

"""Where in an image to look for a face: a square turned by the face's roll, and the crop that a network sees of it."""

import math
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.compiled import compiled
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.values import Box

_Float = TypeVar("_Float", bound=np.floating)


@dataclass(frozen=True)
class Region:
    """A square in an image.

    Attributes:
        x, y: its centre, px; (0, 0) is the centre of the image's top-left pixel.
        size: its side, px.
        angle: roll of the face in it, radians; positive turns the image's x axis toward its y axis.
    """

    x: float
    y: float
    size: float
    angle: float = 0.0

    def box(self, image_size: tuple[int, int]) -> Box:
        """The upright box around the region, cut to an image of (width, height) px."""
        width, height = image_size
        half = self._half_extent()
        left, right = (min(max(edge, 0.0), width) for edge in (self.x - half, self.x + half))
        top, bottom = (min(max(edge, 0.0), height) for edge in (self.y - half, self.y + half))
        return Box(left, top, right - left, bottom - top)

    def overlap(self, other: "Region") -> float:
        """Intersection over union of two regions, in [0, 1], as if neither were turned."""
        reach = (self.size + other.size) / 2.0
        width = min(reach - abs(self.x - other.x), self.size, other.size)
        height = min(reach - abs(self.y - other.y), self.size, other.size)
        if width <= 0.0 or height <= 0.0:
            return 0.0
        shared = width * height
        return shared / (self.size**2 + other.size**2 - shared)

    def crop_to_image(self, side: int) -> NDArray[np.float64]:
        """(2, 3) affine matrix from px of a side × side crop to px of the image; (0, 0) is a pixel's centre in both."""
        step = self.size / side
        cosine, sine = step * math.cos(self.angle), step * math.sin(self.angle)
        middle = (side - 1) / 2.0
        return np.array(
            [
                [cosine, -sine, self.x - middle * (cosine - sine)],
                [sine, cosine, self.y - middle * (sine + cosine)],
            ]
        )

    def to_image(self, points: NDArray[_Float], side: int) -> NDArray[_Float]:
        """(N, 2) px of a side × side crop as px of the image, in the points' own precision."""
        matrix = self.crop_to_image(side).astype(points.dtype)
        return points @ matrix[:, :2].T + matrix[:, 2]

    def to_crop(self, points: NDArray[_Float], side: int) -> NDArray[_Float]:
        """(N, 2) px of the image as px of a side × side crop, in the points' own precision."""
        matrix = self.crop_to_image(side).astype(points.dtype)
        step = np.square(matrix[:, 0]).sum()
        return (points - matrix[:, 2]) @ matrix[:, :2] / step

    def crop(self, image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
        """The region as a side × side picture, upright; what lies outside of the image repeats its border.

        Raises:
            Face3DMMError: the region does not touch the image, or is none: of no size, infinite or NaN.
        """
        # Only the part of the image under the region is touched: OpenCV warps no image beyond 32,767 px.
        height, width = image.shape[:2]
        if not (self.size > 0.0 and math.isfinite(self.x + self.y + self.size + self.angle)):
            raise Face3DMMError(f"{self} lies nowhere in the image of {width}×{height} px")
        half = self._half_extent() + 2.0
        left, right = max(0, int(self.x - half)), min(width, int(self.x + half) + 1)
        top, bottom = max(0, int(self.y - half)), min(height, int(self.y + half) + 1)
        if left >= right or top >= bottom:
            raise Face3DMMError(f"{self} lies outside of the image of {width}×{height} px")
        part = image[top:bottom, left:right]
        matrix = self.crop_to_image(side)
        matrix[:, 2] -= left, top
        # A bilinear warp that skips pixels would alias: what is much larger than the crop is averaged first.
        shrink = int(self.size / side)
        if shrink > 1:
            rows, columns = (max(1, length // shrink) for length in part.shape[:2])
            part = part[: rows * shrink, : columns * shrink]
            scale = np.array([[columns / part.shape[1]], [rows / part.shape[0]]])
            part = np.asarray(cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA), dtype=np.uint8)
            matrix *= scale
            matrix[:, 2:] += (scale - 1.0) / 2.0
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        # OpenCV warps four channels in half the time of three, to the same bits.
        crop = cv2.warpAffine(
            cv2.cvtColor(part, cv2.COLOR_BGR2BGRA), matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(cv2.cvtColor(crop, cv2.COLOR_BGRA2BGR), dtype=np.uint8)

    def _half_extent(self) -> float:
        """Half the side of the upright box around the turned square, px."""
        return self.size * (abs(math.cos(self.angle)) + abs(math.sin(self.angle))) / 2.0


def region_around(points: NDArray[np.floating], angle: float, scale: float) -> Region:
    """The square, turned by angle radians, around (N, 2) points, px; scale times the longer side of their box."""
    cosine, sine = math.cos(angle), math.sin(angle)
    left, top, right, bottom = _bounds(np.ascontiguousarray(points), cosine, sine)
    u, v = (left + right) / 2.0, (top + bottom) / 2.0
    return Region(
        x=cosine * u - sine * v, y=sine * u + cosine * v, size=scale * max(right - left, bottom - top), angle=angle
    )


@compiled
def _bounds(points: NDArray[np.floating], cosine: float, sine: float) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of points (N, 2) on axes turned by an angle."""
    left, top, right, bottom = np.inf, np.inf, -np.inf, -np.inf
    for point in range(len(points)):
        u = cosine * points[point, 0] + sine * points[point, 1]
        v = cosine * points[point, 1] - sine * points[point, 0]
        left, top, right, bottom = min(left, u), min(top, v), max(right, u), max(bottom, v)
    return left, top, right, bottom

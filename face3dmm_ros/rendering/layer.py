"""A drawn part of a picture, to be laid over another."""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

_SUPERSAMPLED_PIXELS = 100_000
_SUPERSAMPLING_LIMIT = 4


@dataclass(frozen=True)
class Rectangle:
    """Pixels left ≤ x < right, top ≤ y < bottom of an image."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Pixels along x."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Pixels along y."""
        return self.bottom - self.top

    @property
    def rows_and_columns(self) -> tuple[slice, slice]:
        """To cut the rectangle out of an image."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def clip_to_canvas(self, image_size: tuple[int, int]) -> NDArray[np.float64]:
        """(4, 4): the clip space of an image of (width, height) px to that of this rectangle in it, upside down.

        Rows of the canvas go upward, rows of an image downward: drawing upside down spares turning the picture over.
        """
        width, height = image_size
        matrix = np.eye(4)
        matrix[0, 0] = width / self.width
        matrix[0, 3] = (width - self.left - self.right) / self.width
        matrix[1, 1] = -height / self.height
        matrix[1, 3] = (height - self.top - self.bottom) / self.height
        return matrix


@dataclass(frozen=True, eq=False)
class Layer:
    """A part of a picture.

    Attributes:
        rectangle: where it lies, within the picture.
        pixels: (h, w, 4) uint8 sRGB, BGR and alpha, premultiplied.
    """

    rectangle: Rectangle
    pixels: NDArray[np.uint8]

    @staticmethod
    def averaged(rectangle: Rectangle, pixels: NDArray[np.uint8]) -> "Layer":
        """A layer from pixels that were drawn larger than the rectangle by `supersampling`."""
        size = (rectangle.width, rectangle.height)
        if pixels.shape[1::-1] == size:
            return Layer(rectangle, pixels)
        return Layer(rectangle, np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8))

    def over(self, image: NDArray[np.uint8], opacity: float = 1.0) -> None:
        """Lay it over an image in place; pixels that it does not cover stay as they are.

        Args:
            image: (H, W, 3) uint8 BGR.
            opacity: in [0, 1].
        """
        part = image[self.rectangle.rows_and_columns]
        alpha = cv2.extractChannel(self.pixels, 3)
        kept = cv2.addWeighted(alpha, -opacity, alpha, 0.0, 255.0)
        background = cv2.multiply(part, cv2.merge([kept, kept, kept]), scale=1.0 / 255.0)
        part[:] = cv2.addWeighted(background, 1.0, cv2.cvtColor(self.pixels, cv2.COLOR_BGRA2BGR), opacity, 0.0)

    def softened(self) -> "Layer":
        """The same, fading out over the pixel inside its outline; multisampling would cost ten times this."""
        alpha = cv2.extractChannel(self.pixels, 3)
        # What is see-through inside the outline stays as it is.
        covered = cv2.threshold(alpha, 0, 255, cv2.THRESH_BINARY)[1]
        mean = cv2.blur(covered, (3, 3), borderType=cv2.BORDER_REPLICATE)
        ramp = cv2.min(covered, cv2.addWeighted(mean, 2.0, mean, 0.0, -255.0))
        return replace(
            self, pixels=np.asarray(cv2.multiply(self.pixels, cv2.merge([ramp] * 4), scale=1 / 255), np.uint8)
        )


def covering_rectangle(
    low: NDArray[np.floating], high: NDArray[np.floating], image_size: tuple[int, int]
) -> Rectangle | None:
    """The part of an image of (width, height) px that holds a box, (2,) and (2,) px, and a pixel around it.

    None where the box lies outside.
    """
    # Clipped before they become integers, which far outside could not hold them.
    left, top = np.floor(np.clip(np.asarray(low) - 1.0, 0.0, image_size)).astype(int)
    right, bottom = np.ceil(np.clip(np.asarray(high) + 2.0, 0.0, image_size)).astype(int)
    return Rectangle(int(left), int(top), int(right), int(bottom)) if left < right and top < bottom else None


def supersampling(rectangle: Rectangle) -> int:
    """How many times larger, along each side, a rectangle is drawn to be averaged: it smooths a small face's edges.

    Large ones are drawn as they are, because of the time that they take.
    """
    factor = math.isqrt(_SUPERSAMPLED_PIXELS // (rectangle.width * rectangle.height))
    return min(max(factor, 1), _SUPERSAMPLING_LIMIT)

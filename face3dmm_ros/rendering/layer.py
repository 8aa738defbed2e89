"""What part of an image is drawn, at which size, and how the drawing is laid over the image."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective, model_to_world, view_to_clip, world_to_view
from face3dmm_ros.core.errors import Face3DMMError

_SUPERSAMPLED_PIXELS = 100_000
"""Most pixels of a supersampled drawing; chosen by hand: more look better and take longer."""

_SUPERSAMPLING_LIMIT = 4
"""Largest factor along each side, 16 samples a pixel; chosen by hand."""


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


@dataclass(frozen=True, eq=False)
class Layer:
    """A part of a picture.

    Attributes:
        rectangle: where it lies, within the picture.
        pixels: (h, w, 4) uint8 sRGB, BGR and alpha, premultiplied.
    """

    rectangle: Rectangle
    pixels: NDArray[np.uint8]

    def over(self, image: NDArray[np.uint8], opacity: float = 1.0) -> None:
        """Blend it over an image in place; pixels with alpha 0 stay as they are.

        Args:
            image: (H, W, 3) uint8 BGR.
            opacity: factor of alpha, in [0, 1].
        """
        part = image[self.rectangle.rows_and_columns]
        alpha = cv2.extractChannel(self.pixels, 3)
        kept = cv2.addWeighted(alpha, -opacity, alpha, 0.0, 255.0)
        background = cv2.multiply(part, cv2.merge([kept, kept, kept]), scale=1.0 / 255.0)
        part[:] = cv2.addWeighted(background, 1.0, cv2.cvtColor(self.pixels, cv2.COLOR_BGRA2BGR), opacity, 0.0)


@dataclass(frozen=True)
class Framing:
    """The part of an image that is drawn, and at which size.

    Attributes:
        rectangle: in the image.
        image_size: (width, height) of the image, px.
        factor: how many times larger than in the image it is drawn along each side.
    """

    rectangle: Rectangle
    image_size: tuple[int, int]
    factor: int

    @staticmethod
    def around(
        box: NDArray[np.floating],
        image_size: tuple[int, int],
        *,
        pixels: int = _SUPERSAMPLED_PIXELS,
        limit: int = _SUPERSAMPLING_LIMIT,
    ) -> "Framing | None":
        """The framing of a box; None if it lies outside the image.

        Small parts are supersampled, which smooths their edges; large ones are not, because of the time that it takes.

        Args:
            box: lowest and highest x and y, px: the first two rows of a (≥ 2, 2) array.
            image_size: (width, height) of the image, px.
            pixels: the drawing is enlarged as long as it has no more pixels than that.
            limit: largest factor by which it is enlarged.
        """
        rectangle = covering_rectangle(box[:2, 0], box[:2, 1], image_size)
        if rectangle is None:
            return None
        factor = math.isqrt(pixels // (rectangle.width * rectangle.height))
        return Framing(rectangle, image_size, min(max(factor, 1), limit))

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the drawing, px."""
        return self.factor * self.rectangle.width, self.factor * self.rectangle.height

    def clip_to_canvas(self) -> NDArray[np.float64]:
        """(4, 4): the clip space of the image to that of the drawing, upside down.

        OpenGL's rows go upward, rows of an image downward: drawing upside down saves flipping the pixels.
        """
        width, height = self.image_size
        rectangle = self.rectangle
        matrix = np.eye(4)
        matrix[0, 0] = width / rectangle.width
        matrix[0, 3] = (width - rectangle.left - rectangle.right) / rectangle.width
        matrix[1, 1] = -height / rectangle.height
        matrix[1, 3] = (height - rectangle.top - rectangle.bottom) / rectangle.height
        return matrix

    def model_to_clip(self, camera: WeakPerspective, depth_range: float) -> NDArray[np.float64]:
        """(4, 4): model space, mm, to the drawing's clip space, for depths up to ±`depth_range`, px."""
        to_canvas = self.clip_to_canvas() @ view_to_clip(self.image_size, depth_range)
        return to_canvas @ world_to_view() @ model_to_world(camera)

    def outline_in_clip(self, width: float, depth: float, depth_range: float) -> NDArray[np.float64]:
        """(3,): the clip-space extent along x, y and z of an outline with a width and a depth in px of the image."""
        return np.array([2 * width / self.rectangle.width, 2 * width / self.rectangle.height, depth / depth_range])

    def layer(self, pixels: NDArray[np.uint8], *, soften: bool = True) -> Layer:
        """The drawing as a layer of the image.

        Args:
            pixels: (h, w, 4) uint8 BGRA, premultiplied, of the framing's `size`.
            soften: whether edges fade over a pixel where there was no supersampling.
        """
        if self.factor > 1:
            size = (self.rectangle.width, self.rectangle.height)
            pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
        elif soften:
            pixels = _softened(pixels)
        return Layer(self.rectangle, pixels)


def _softened(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pixels whose alpha fades out over the pixel inside the outline; multisampling would cost ten times this."""
    alpha = cv2.extractChannel(pixels, 3)
    # What is transparent inside the outline stays as it is.
    covered = cv2.threshold(alpha, 0, 255, cv2.THRESH_BINARY)[1]
    mean = cv2.blur(covered, (3, 3), borderType=cv2.BORDER_REPLICATE)
    ramp = cv2.min(covered, cv2.addWeighted(mean, 2.0, mean, 0.0, -255.0))
    return np.asarray(cv2.multiply(pixels, cv2.merge([ramp] * 4), scale=1 / 255), np.uint8)


def check_image(image: NDArray[np.uint8]) -> None:
    """Check the form of an image.

    Raises:
        Face3DMMError: it is not (H, W, 3) uint8, or has no pixels.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise Face3DMMError(f"expected a (H, W, 3) uint8 BGR image, found {image.shape} {image.dtype}")


def covering_rectangle(
    low: NDArray[np.floating], high: NDArray[np.floating], image_size: tuple[int, int]
) -> Rectangle | None:
    """The part of an image that holds a box and a pixel around it; None if the box lies outside the image.

    Args:
        low, high: (2,) corners of the box, px.
        image_size: (width, height), px.
    """
    # Clipped before they become integers, which far outside could not hold them.
    left, top = np.floor(np.clip(np.asarray(low) - 1.0, 0.0, image_size)).astype(int)
    right, bottom = np.ceil(np.clip(np.asarray(high) + 2.0, 0.0, image_size)).astype(int)
    return Rectangle(int(left), int(top), int(right), int(bottom)) if left < right and top < bottom else None


def posed_box(camera: WeakPerspective, *points: NDArray[np.floating], margin: float = 0.0) -> NDArray[np.float64]:
    """Lowest and highest x, y and depth in the image of model points: (3, 2) px.

    Args:
        camera: projects the points.
        points: (N, 3) each, mm.
        margin: px by which the box is larger along x and y.

    Raises:
        Face3DMMError: a point or the camera is not finite.
    """
    to_image = (camera.scale * camera.rotation).astype(np.float32)
    # (3, N) and not (N, 3): numpy's minimum along contiguous rows is ten times faster.
    posed = np.concatenate([to_image @ part.T for part in points], axis=1)
    box = np.stack([posed.min(axis=1), posed.max(axis=1)], axis=1).astype(np.float64)
    box[:2] += np.asarray(camera.translation)[:, None] + [-margin, margin]
    if not np.isfinite(box).all():
        raise Face3DMMError("a face's vertices, weights or camera hold values that are not finite (NaN or infinity)")
    return box


def depth_range(box: NDArray[np.float64], beyond: float = 0.0) -> float:
    """Depth, px, up to which a `posed_box` and what lies so far beyond it is drawn, with a margin for rounding."""
    return 1.01 * float(np.abs(box[2]).max()) + beyond + 1.0

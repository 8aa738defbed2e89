"""What part of an image is drawn, at which size, and how the drawing is laid over the image."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective, model_to_world, view_to_clip, world_to_view
from face3dmm_ros.core.compiled import compiled
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.rendering.rasterization import extent, project

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
        _blend(self.pixels, float(opacity), image, (self.rectangle.top, self.rectangle.left))


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


@compiled
def _blend(pixels: NDArray[np.uint8], opacity: float, image: NDArray[np.uint8], corner: tuple[int, int]) -> None:
    kept = 1.0 - np.arange(256) * (opacity / 255.0)  # of the image, by alpha
    top, left = corner
    for y in range(pixels.shape[0]):
        for x in range(pixels.shape[1]):
            alpha = pixels[y, x, 3]
            if alpha > 0:
                for k in range(3):
                    mixed = opacity * pixels[y, x, k] + kept[alpha] * image[top + y, left + x, k]
                    image[top + y, left + x, k] = np.uint8(min(mixed + 0.5, 255.0))


@compiled
def _softened(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pixels whose alpha fades out over the pixel inside the outline; multisampling would cost ten times this.

    Of a covered pixel, 2n/9 − 1 remains where n of the nine around it are covered. Beyond the border it goes on as at
    the border.
    """
    height, width = pixels.shape[:2]
    softened = pixels.copy()
    in_column = np.empty(width, np.int64)
    for y in range(height):
        above, below = max(y - 1, 0), min(y + 1, height - 1)
        for x in range(width):
            in_column[x] = (pixels[above, x, 3] > 0) + (pixels[y, x, 3] > 0) + (pixels[below, x, 3] > 0)
        for x in range(width):
            if pixels[y, x, 3] > 0:
                covered = in_column[max(x - 1, 0)] + in_column[x] + in_column[min(x + 1, width - 1)]
                if covered < 9:
                    for k in range(4):
                        softened[y, x, k] = np.uint8(max(2.0 * covered / 9.0 - 1.0, 0.0) * pixels[y, x, k] + 0.5)
    return softened


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
    projection = np.column_stack([camera.scale * camera.rotation, np.append(camera.translation, 0.0)])
    boxes = [extent(project(np.ascontiguousarray(part, np.float32), projection)) for part in points]
    box = np.column_stack([np.min(boxes, axis=0)[:, 0], np.max(boxes, axis=0)[:, 1]])
    box[:2] += [-margin, margin]
    if not np.isfinite(box).all():
        raise Face3DMMError("a face's vertices, weights or camera hold values that are not finite (NaN or infinity)")
    return box


def depth_range(box: NDArray[np.float64], beyond: float = 0.0) -> float:
    """Depth, px, up to which a `posed_box` and what lies so far beyond it is drawn, with a margin for rounding."""
    return 1.01 * float(np.abs(box[2]).max()) + beyond + 1.0

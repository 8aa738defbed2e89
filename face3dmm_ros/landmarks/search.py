"""Where in an image faces are looked for: detectors see a small thumbnail, so what it does not show is looked at too.

A thumbnail of 192 px shows a face of 60 px in a full-HD image with 6. Overlapping tiles show it with 20. Detectors also
know upright faces only, and well-lit ones best: the image is looked at upside down as well, and in another exposure.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.image_limits import MOST_PIXELS, pixels_allowed
from face3dmm_ros.core.values import Box
from face3dmm_ros.landmarks.backend import Detection, LandmarkBackend
from face3dmm_ros.landmarks.region import Region

_TILE = 3 / 8
"""A tile's side over the square root of the image's area; by hand: some 15 tiles whatever the image's size."""
_TILE_PX = (320.0, 640.0)
"""The smallest and the largest tile: in a 192 px thumbnail a face of 20 px in the one, and of 40 px in the other, has
12 px, of which BlazeFace finds 93 % (measured on 125 photographs)."""
_TILED_FROM = 480
"""Longer side, px, of the smallest image that is searched in tiles; by hand: smaller ones fit the thumbnail well."""
_TILE_OVERLAP = 1 / 3
"""Of a tile's side, by hand: a face too large to lie whole in any tile is found in the whole image."""
_SMALLEST_TILE = 20
"""px of the shorter side of the smallest image that is searched in tiles; by hand: smaller ones show no face."""
_MOST_TILES = 320
"""Of an image; a little more than one of `MOST_PIXELS` has, and more where larger ones are allowed. By hand: of longer
strips no tile is looked at, which would take minutes."""
_CUT = 0.01
"""A face whose box is nearer to a tile's inner edge than this share of its side is cut by it: another tile shows it.
By hand."""
_CLIP_LIMIT = 4.0
"""Of the histogram equalisation; measured: with it as many faces are found in photographs darkened to 3 % as in bright
ones."""


@dataclass(frozen=True)
class Look:
    """One way to look for faces: at a part of the image, perhaps upside down or with its contrast equalised.

    Attributes:
        left, top, width, height: the part, px.
        upside_down: whether it is turned by 180° before.
        equalized: whether shadows are lifted and lights lowered before.
    """

    left: int
    top: int
    width: int
    height: int
    upside_down: bool = False
    equalized: bool = False


def look_at_all(image_size: tuple[int, int]) -> Look:
    """The look at the whole of an image of (width, height) px as it is."""
    return Look(0, 0, *image_size)


def look_around(region: Region, times: float, image_size: tuple[int, int]) -> Look:
    """The look at a part of an image of (width, height) px around a region, so many times as large."""
    width, height = image_size
    half = max(times * region.size / 2.0, 1.0)
    left, right = (round(min(max(region.x + sign * half, 0.0), width)) for sign in (-1, 1))
    top, bottom = (round(min(max(region.y + sign * half, 0.0), height)) for sign in (-1, 1))
    return Look(left, top, max(right - left, 1), max(bottom - top, 1))


def closer_looks(image_size: tuple[int, int]) -> list[Look]:
    """The looks at an image of (width, height) px that find what the one at all of it misses, in order.

    First upside down, then the tiles row by row, and in the end the whole in another exposure.
    """
    whole = look_at_all(image_size)
    return [replace(whole, upside_down=True), *_tiles(image_size), replace(whole, equalized=True)]


def detect(backend: LandmarkBackend, image: NDArray[np.uint8], look: Look) -> list[Detection]:
    """The faces in an image (H, W, 3) BGR uint8 that a look shows whole, in px of the image, the surest first."""
    part = image[look.top : look.top + look.height, look.left : look.left + look.width]
    if look.equalized:
        part = _equalized(part)
    if look.upside_down:
        part = part[::-1, ::-1]
    found = [_in_image(detection, look) for detection in backend.detect(np.ascontiguousarray(part))]
    height, width = image.shape[:2]
    return [detection for detection in found if _whole(detection.box, look, width, height)]


def _tiles(image_size: tuple[int, int]) -> list[Look]:
    """The looks at parts of an image of (width, height) px, row by row."""
    width, height = image_size
    if max(image_size) < _TILED_FROM or min(image_size) < _SMALLEST_TILE:
        return []
    side = min(float(np.clip(_TILE * np.sqrt(width * height), *_TILE_PX)), *image_size)
    across, down = _starts(width, side), _starts(height, side)
    if len(across) * len(down) > _MOST_TILES * max(pixels_allowed(), MOST_PIXELS) / MOST_PIXELS:
        return []
    return [Look(left, top, round(side), round(side)) for top in down for left in across]


def _starts(length: int, side: float) -> list[int]:
    """Where tiles of a side begin along an image's length, evenly, overlapping by `_TILE_OVERLAP` or more; px."""
    spare = length - side
    steps = int(np.ceil(spare / ((1.0 - _TILE_OVERLAP) * side)))
    return [round(spare * step / steps) for step in range(steps + 1)] if steps else [0]


def _equalized(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image whose brightness is equalised in parts (Zuiderveld, Contrast Limited Adaptive Histogram Equalization,
    Graphics Gems IV, 1994)."""
    lightness = cv2.cvtColor(image, cv2.COLOR_BGR2YCrCb)
    lightness[..., 0] = cv2.createCLAHE(_CLIP_LIMIT, (8, 8)).apply(np.ascontiguousarray(lightness[..., 0]))
    return np.asarray(cv2.cvtColor(lightness, cv2.COLOR_YCrCb2BGR), np.uint8)


def _in_image(detection: Detection, look: Look) -> Detection:
    """A detection in what a look shows, in px of the image."""
    box, region = detection.box, detection.region
    if look.upside_down:
        x, y = look.width - 1, look.height - 1
        box = replace(box, x=x - box.x - box.width, y=y - box.y - box.height)
        region = replace(region, x=x - region.x, y=y - region.y, angle=region.angle + np.pi)
    return replace(
        detection,
        box=replace(box, x=box.x + look.left, y=box.y + look.top),
        region=replace(region, x=region.x + look.left, y=region.y + look.top),
    )


def _whole(box: Box, look: Look, width: int, height: int) -> bool:
    """Whether a box in an image of width × height px is not cut by an edge of a look's part inside the image."""
    margin = _CUT * max(look.width, look.height)
    right, bottom = look.left + look.width, look.top + look.height
    inner = (
        (box.x - look.left, look.left > 0),
        (box.y - look.top, look.top > 0),
        (right - box.x - box.width, right < width),
        (bottom - box.y - box.height, bottom < height),
    )
    return all(distance > margin for distance, inside in inner if inside)

"""Pictures from their encoded bytes: the one place that decodes what comes from files, messages and the network.

Such bytes may be anything, and a few of them may claim gigabytes of pixels: a picture's size is read from its header
and judged before anything is unpacked, and whatever goes wrong is a `Face3DMMError`.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from io import BytesIO
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.image_limits import MOST_PIXELS, check_size
from face3dmm_ros.files.sample_depth import SampleDepth

# Not `Image.open`: its own limit reports neither the claimed size nor the allowed one.
_HEADERS: dict[str, Callable[[BytesIO], ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WebP": WebPImageFile,
    "TIFF": TiffImageFile,
    "BMP": BmpImageFile,
    "GIF": GifImageFile,
    "PNM": PpmImageFile,
}


def picture_size(
    data: bytes, name: str, formats: Sequence[str] = tuple(_HEADERS), most_pixels: int = MOST_PIXELS
) -> tuple[int, int]:
    """(width, height) px that an encoded picture's header claims; nothing is unpacked.

    Raises:
        Face3DMMError: the picture is of none of the formats, or too large (`check_size`).
    """
    claimed = _claimed_size(data, formats)
    if claimed is None:
        known = f"{', '.join(formats[:-1])} or {formats[-1]}"
        raise Face3DMMError(f"{name} is not a picture that can be read: it is no {known}")
    width, height = claimed
    check_size(width, height, name, most_pixels)
    return width, height


def decode_picture(
    data: bytes, name: str, flags: int = cv2.IMREAD_COLOR, most_pixels: int = MOST_PIXELS
) -> NDArray[np.uint8]:
    """The pixels of an encoded picture, (H, W, 3) BGR uint8 unless OpenCV's `flags` say otherwise.

    Args:
        data: the file's bytes, or another buffer of them.
        name: what the picture is called in errors.
        flags: of `cv2.imdecode`.
        most_pixels: how many it may claim.

    Raises:
        Face3DMMError: the picture is of no known format, too large, or damaged.
    """
    picture_size(data, name, most_pixels=most_pixels)
    decoded = None
    with suppress(cv2.error):
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if decoded is None:
        raise Face3DMMError(f"{name} is not a picture that can be read: it is damaged")
    return np.asarray(decoded)


def decode_bgr(data: bytes, name: str, *, upright: bool = True, depth: SampleDepth | None = None) -> NDArray[np.uint8]:
    """The pixels of an encoded picture, (H, W, 3) BGR uint8; samples of 16 bits are scaled by their `SampleDepth`.

    Args:
        data: the file's bytes, or another buffer of them.
        name: what the picture is called in errors.
        upright: turn the picture as its EXIF tag says; otherwise keep the pixels as stored.
        depth: of the stream that the picture belongs to; None: told from this picture alone.

    Raises:
        Face3DMMError: see `decode_picture`.
    """
    flags = cv2.IMREAD_COLOR | (0 if upright else cv2.IMREAD_IGNORE_ORIENTATION)
    picture: NDArray[Any] = decode_picture(data, name, flags | cv2.IMREAD_ANYDEPTH)
    if picture.dtype == np.uint16:
        return (depth or SampleDepth()).scaled(picture)
    return picture if picture.dtype == np.uint8 else decode_picture(data, name, flags)


def _claimed_size(data: bytes, formats: Sequence[str]) -> tuple[int, int] | None:
    for known in formats:
        # Headers that are hostile, or another format's, fail in many ways.
        with suppress(Exception), _HEADERS[known](BytesIO(data)) as picture:
            return picture.size
    return None

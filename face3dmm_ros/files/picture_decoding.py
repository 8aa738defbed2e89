"""Pictures from their encoded bytes: the one place that decodes what comes from files, messages and the network.

Such bytes may be anything, and a few of them may claim gigabytes of pixels: a picture's size is read from its header
and judged before anything is unpacked, and whatever goes wrong is a `Face3DMMError`.
"""

import logging
import re
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
from face3dmm_ros.core.image_limits import MOST_PIXELS, check_size, pixels_allowed
from face3dmm_ros.core.silent_libraries import silent_in_main_thread
from face3dmm_ros.files.sample_depth import SampleDepth

_MOST_SCANS = 100
"""Of a JPEG, each of which goes over all its pixels; usual programs write 20 at most. By hand."""
_MOST_SCANNED = 1_000_000_000
"""Of a JPEG, pixels times scans, and more where larger images are allowed. By hand: they are decoded in some three
seconds, and pictures of `MOST_PIXELS` have 20."""
_FILE_TYPE_BYTES = 32
"""Of HEIC's and AVIF's first box, where their names are; by hand: it has four or five."""
_SCAN = re.compile(b"\xff\xda")
_NEXT_MARKER = re.compile(b"\xff[^\0\xd0-\xd7\xff]")
"""After a scan's header: neither a stuffed byte, nor a restart marker, nor a byte to fill."""

# Pillow logs what it finds wrong, which without a handler goes to stderr.
logging.getLogger("PIL").addHandler(logging.NullHandler())

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
    data: bytes, name: str, formats: Sequence[str] = tuple(_HEADERS), most_pixels: int | None = None
) -> tuple[int, int]:
    """(width, height) px that an encoded picture's header claims; nothing is unpacked.

    Raises:
        Face3DMMError: the picture is of none of the formats, or too large (`check_size`).
    """
    claimed = _claimed_size(data, formats)
    if claimed is None:
        if kind := _heif_kind(data):
            raise Face3DMMError(
                f"{name} is in {kind}, which is not read: make it a JPEG, as by `heif-convert {name} picture.jpg` (apt "
                "install libheif-examples)"
            )
        known = f"{', '.join(formats[:-1])} or {formats[-1]}"
        raise Face3DMMError(f"{name} is not a picture that can be read: it is no {known}")
    width, height = claimed
    check_size(width, height, name, most_pixels)
    return width, height


def decode_picture(
    data: bytes, name: str, flags: int = cv2.IMREAD_COLOR, most_pixels: int | None = None
) -> NDArray[np.uint8]:
    """The pixels of an encoded picture, (H, W, 3) BGR uint8 unless OpenCV's `flags` say otherwise.

    Args:
        data: the file's bytes, or another buffer of them.
        name: what the picture is called in errors.
        flags: of `cv2.imdecode`.
        most_pixels: how many it may claim; None: as many as `core.image_limits` allows here.

    Raises:
        Face3DMMError: the picture is of no known format, too large, or damaged.
    """
    # Messages have arrays of several kinds, which compare and are searched otherwise.
    _check_scans(memoryview(data).cast("B"), picture_size(data, name, most_pixels=most_pixels), name)
    decoded = None
    # libpng and libjpeg tell of a damaged picture besides.
    with suppress(cv2.error), silent_in_main_thread():
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


def _check_scans(data: memoryview, size: tuple[int, int], name: str) -> None:
    """Check that a picture of (width, height) px is no JPEG of a few bytes that takes a decoder minutes.

    Raises:
        Face3DMMError: it is one with too many scans.
    """
    scanned = _MOST_SCANNED * max(pixels_allowed(), MOST_PIXELS) // MOST_PIXELS
    most = min(_MOST_SCANS, scanned // max(size[0] * size[1], 1))
    # Mostly it is enough to count: only what lies in other data, such as a thumbnail, is taken for a scan so.
    if data[:2] != b"\xff\xd8" or sum(1 for _ in _SCAN.finditer(data)) <= most:
        return
    if (found := _scans(data, most)) > most:
        raise Face3DMMError(
            f"{name} is a JPEG of more than {found - 1} scans; up to {most} are taken with {size[0]}×{size[1]} pixels: "
            "save it again, as a usual program does"
        )


def _scans(data: memoryview, most: int) -> int:
    """How many scans a JPEG has (ITU-T T.81, annex B); counted up to one more than `most`."""
    count, place = 0, 2
    while count <= most and (marker := _NEXT_MARKER.search(data, place)):
        kind, place = data[marker.start() + 1], marker.end()
        if kind == 0xD9:  # the image's end
            break
        if kind not in (0x01, 0xD8):  # which have no content
            place += int.from_bytes(data[place : place + 2], "big")
        count += kind == 0xDA
    return count


def _heif_kind(data: bytes) -> str:
    """HEIC or AVIF, if a file calls itself so (ISO/IEC 23008-12); else nothing."""
    begin = bytes(memoryview(data).cast("B")[:_FILE_TYPE_BYTES])
    if begin[4:8] != b"ftyp":
        return ""
    brands = {begin[place : place + 4] for place in range(8, len(begin), 4)}
    return "AVIF" if brands & {b"avif", b"avis"} else "HEIC" if brands & {b"heic", b"heix", b"hevc", b"mif1"} else ""


def _claimed_size(data: bytes, formats: Sequence[str]) -> tuple[int, int] | None:
    for known in formats:
        # Headers that are hostile, or another format's, fail in many ways.
        with suppress(Exception), _HEADERS[known](BytesIO(data)) as picture:
            return picture.size
    return None

"""Pictures in folders: which there are, and their pixels."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.regular_file import read_regular
from face3dmm_ros.files.picture_decoding import decode_bgr
from face3dmm_ros.files.sample_depth import SampleDepth

PICTURE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
MOST_BYTES = 1 << 29
"""Of a picture's file; by hand: more than 50 megapixels take uncompressed, with 16 bits a colour."""
"""Of the formats that cameras and photographers use, all of which `decode_bgr` reads."""


def is_picture(path: Path) -> bool:
    """Whether a file is a picture, by its suffix."""
    return path.suffix.lower() in PICTURE_SUFFIXES


def find_pictures(root: Path, nested: bool = True) -> list[Path]:
    """The pictures in a folder, and in its subfolders where `nested`, in a fixed order; hidden folders left out.

    Raises:
        Face3DMMError: no such folder, or no picture in it.
    """
    if not root.is_dir():
        raise Face3DMMError(f"{root} is not a folder: name the one that holds the pictures")
    entries = root.rglob("*") if nested else root.iterdir()
    pictures = sorted(
        path
        for path in entries
        if is_picture(path)
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(root).parts[:-1])
    )
    if not pictures:
        raise Face3DMMError(f"{root} holds no pictures ({', '.join(PICTURE_SUFFIXES)})")
    return pictures


def read_picture(path: Path, *, upright: bool = False, depth: SampleDepth | None = None) -> NDArray[np.uint8]:
    """A picture as (H, W, 3) BGR uint8.

    Args:
        path: of the file.
        upright: turn the picture as its EXIF tag says; otherwise keep the pixels as stored, as data sets' labels do.
        depth: of the pictures that it belongs to, if its samples have 16 bits; None: told from this picture alone.

    Raises:
        Face3DMMError: the file cannot be read or decoded; see `decode_picture`.
    """
    return decode_bgr(read_regular(path, MOST_BYTES), str(path), upright=upright, depth=depth)

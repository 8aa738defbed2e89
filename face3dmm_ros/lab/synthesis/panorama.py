"""Panoramas of real places (HDR, equirectangular)."""

import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.image_limits import check_size
from face3dmm_ros.core.regular_file import read_regular, require_regular

SUFFIXES = (".exr", ".hdr")
"""Of the files that `read_panorama` reads."""

_MOST_BYTES, _HEADER_BYTES = 1 << 29, 1 << 14
"""Of a file, and of the text before a Radiance file's pixels; chosen by hand."""
_BRIGHTEST = 16.0  # radiance that eyes mirror at most; chosen by hand, and known to their shader
SMALL_SIZE = (128, 64)
"""Width and height of `Panorama.small`, px: the light on a face is known to a degree or two from so few."""


@dataclass(frozen=True, eq=False)
class Panorama:
    """A place from one point: its middle column is what is behind the camera, columns to the right are further right.

    Attributes:
        name: of it.
        radiance: (H, 2H, 3) float32 linear red, green, blue.
        small: (64, 128, 3) float32, the same.
        mirrored: (64, 128, 3) uint8, the root of the same over 16, of 255.
    """

    name: str
    radiance: NDArray[np.float32]
    small: NDArray[np.float32]
    mirrored: NDArray[np.uint8]


def read_panorama(path: Path) -> Panorama:
    """A panorama from an OpenEXR or Radiance file.

    Raises:
        Face3DMMError: it cannot be read, holds no panorama, or is OpenEXR and the package ``OpenEXR`` is missing.
    """
    require_regular(path, _MOST_BYTES)
    image = _read_exr(path) if path.suffix.lower() == ".exr" else _read_hdr(path)
    if image is None or image.ndim != 3 or image.shape[2] != 3 or image.shape[1] != 2 * image.shape[0]:
        raise Face3DMMError(f"{path} is not a panorama of three colours, twice as wide as it is high")
    radiance = np.asarray(image, np.float32)
    if path.suffix.lower() != ".exr":
        radiance = radiance[..., ::-1]
    if not np.isfinite(radiance).all() or radiance.max() <= 0:
        raise Face3DMMError(f"{path} holds no light, or values that are not finite")
    radiance = np.ascontiguousarray(np.maximum(radiance, 0.0))
    small = np.asarray(cv2.resize(radiance, SMALL_SIZE, interpolation=cv2.INTER_AREA), np.float32)
    mirrored = np.round(255 * np.sqrt(np.minimum(small / _BRIGHTEST, 1.0))).astype(np.uint8)
    return Panorama(path.stem, radiance, small, mirrored)


def _read_hdr(path: Path) -> NDArray[np.float32] | None:
    """Blue, green, red of a Radiance file; None where it is damaged."""
    data = read_regular(path, _MOST_BYTES)
    # The first line of such a form says the size, "-Y 512 +X 1024", after a text of a few lines.
    sides = re.search(rb"\n[-+][XY] (\d{1,9}) [-+][XY] (\d{1,9})\n", data[:_HEADER_BYTES])
    if sides is None:
        return None
    check_size(int(sides[2]), int(sides[1]), str(path))
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    return None if image is None else np.asarray(image, np.float32)


def _read_exr(path: Path) -> NDArray[np.float32]:
    try:
        import OpenEXR
    except ImportError as error:
        raise Face3DMMError(
            f"{path} needs the package OpenEXR, which is not installed: pip install OpenEXR, or give .hdr files"
        ) from error
    try:
        with OpenEXR.File(str(path), header_only=True) as file:
            (left, top), (right, bottom) = file.header()["dataWindow"]
        check_size(int(right) - int(left) + 1, int(bottom) - int(top) + 1, str(path))
        with OpenEXR.File(str(path)) as file:
            channels = file.channels()
            if "RGB" in channels:
                return np.asarray(channels["RGB"].pixels, np.float32)
            return np.stack([np.asarray(channels[name].pixels, np.float32) for name in "RGB"], axis=-1)
    except Face3DMMError:
        raise
    except Exception as error:  # the package raises many kinds, RuntimeError among them
        raise Face3DMMError(f"{path} is not readable as OpenEXR: {error}") from error

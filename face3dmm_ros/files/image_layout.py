"""ROS images to BGR arrays; the same for ROS's own message classes and for those of `rosbags`.

`sensor_msgs/Image` says how its bytes are laid out (encoding, width, height, step, byte order); a message whose fields
and size disagree is an error, whatever wrote it.
"""

from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.image_limits import check_size
from face3dmm_ros.files.picture_decoding import decode_bgr
from face3dmm_ros.files.sample_depth import SampleDepth

JPEG_FORMAT = "bgr8; jpeg compressed bgr8"
"""`CompressedImage.format` of a colour JPEG, as image_transport writes it."""


class _Packed(NamedTuple):
    """Pixels one after the other: bytes of a sample, samples of a pixel, and OpenCV's conversion to BGR, if any."""

    sample_bytes: int
    samples: int
    conversion: int | None


# OpenCV names a Bayer pattern by its second row's second and third pixel, ROS by the first two rows' first two.
_COLORS: dict[str, tuple[int, int | None]] = {
    "bgr": (3, None),
    "rgb": (3, cv2.COLOR_RGB2BGR),
    "bgra": (4, cv2.COLOR_BGRA2BGR),
    "rgba": (4, cv2.COLOR_RGBA2BGR),
    "mono": (1, cv2.COLOR_GRAY2BGR),
    "bayer_rggb": (1, cv2.COLOR_BayerBG2BGR),
    "bayer_bggr": (1, cv2.COLOR_BayerRG2BGR),
    "bayer_gbrg": (1, cv2.COLOR_BayerGR2BGR),
    "bayer_grbg": (1, cv2.COLOR_BayerGB2BGR),
}
# OpenCV's types say nothing of colours: taken for what OpenCV's own pictures are.
_TYPES = {"C1": "mono", "C3": "bgr", "C4": "bgra"}
_PAIRS = {
    "yuv422": cv2.COLOR_YUV2BGR_UYVY,
    "uyvy": cv2.COLOR_YUV2BGR_UYVY,
    "yuv422_yuy2": cv2.COLOR_YUV2BGR_YUY2,
    "yuyv": cv2.COLOR_YUV2BGR_YUY2,
}
_PACKED = (
    {f"{color}{8 * size}": _Packed(size, *layout) for size in (1, 2) for color, layout in _COLORS.items()}
    | {f"{8 * size}U{kind}": _Packed(size, *_COLORS[color]) for size in (1, 2) for kind, color in _TYPES.items()}
    | {pair: _Packed(1, 2, conversion) for pair, conversion in _PAIRS.items()}
)
# A plane of Y, then one of U and V in turn: of every second pixel of every second row, or of each pixel.
_HALVED = {"nv12": cv2.COLOR_YUV2BGR_NV12, "nv21": cv2.COLOR_YUV2BGR_NV21}
_WHOLE = "nv24"
ENCODINGS = (*_PACKED, *_HALVED, _WHOLE)
"""The encodings that are read, all that cameras use of those in `sensor_msgs/image_encodings.hpp`."""


class ImageMessage(Protocol):
    """The fields of `sensor_msgs/Image` that say where its pixels lie."""

    encoding: str
    width: int
    height: int
    step: int
    is_bigendian: int
    data: Any


class CompressedImageMessage(Protocol):
    """The fields of `sensor_msgs/CompressedImage`."""

    format: str
    data: Any


def bytes_per_row(encoding: str, width: int) -> int:
    """How many bytes a row of so many pixels takes at least."""
    if encoding in _PACKED:
        layout = _PACKED[encoding]
        return width * layout.samples * layout.sample_bytes
    return width if encoding == _WHOLE else 2 * _half(width)


def check_layout(message: ImageMessage) -> None:
    """Check that a message's encoding is known, that its size, step and data agree, and that it is not too large.

    Raises:
        Face3DMMError: the encoding is unknown, size, step and data disagree, or the image is empty or too large.
    """
    encoding, width, height, step = message.encoding, message.width, message.height, message.step
    if encoding not in ENCODINGS:
        raise Face3DMMError(f"image encoding {encoding!r} is not one of {', '.join(ENCODINGS)}")
    if width < 1 or height < 1:
        raise Face3DMMError(f"an image of {width}×{height} pixels is empty")
    check_size(width, height, "an image")
    row = bytes_per_row(encoding, width)
    if step < row:
        raise Face3DMMError(f"a row of {width} {encoding} pixels takes {row} bytes, but the image's step is {step}")
    size = step * _rows(encoding, height)
    if len(message.data) != size:
        raise Face3DMMError(
            f"an image of {height} {encoding} rows with a step of {step} has {size} bytes, but {len(message.data)} came"
        )
    if encoding in _PAIRS and width % 2:
        raise Face3DMMError(f"{encoding} pixels come in pairs, but the image is {width} wide")


def image_from_message(message: ImageMessage, depth: SampleDepth | None = None) -> NDArray[np.uint8]:
    """The picture of a message, (H, W, 3) BGR uint8; for bgr8 and 8UC3 a view of the message's data, to read only.

    Args:
        message: the message.
        depth: of the stream that it belongs to, if its samples have 16 bits; None: told from this image alone.

    Raises:
        Face3DMMError: an encoding that is not known, or fields and size that disagree.
    """
    check_layout(message)
    rows = np.frombuffer(message.data, np.uint8).reshape(-1, message.step)
    # Nodes of one process share messages.
    rows.flags.writeable = False
    if message.encoding in _HALVED:
        return _from_halved_chroma(rows, message.width, message.height, _HALVED[message.encoding])
    if message.encoding == _WHOLE:
        return _from_whole_chroma(rows, message.width, message.height)
    sample_bytes, samples, conversion = _PACKED[message.encoding]
    values: NDArray[Any] = rows[:, : bytes_per_row(message.encoding, message.width)]
    if sample_bytes == 2:
        order = ">u2" if message.is_bigendian else "<u2"
        values = np.ascontiguousarray(values).view(order).astype(np.uint16, copy=False)
    # Splitting the last axis of a padded picture is a view too, its rows lie `step` apart.
    pixels = values.reshape(message.height, message.width, samples)
    if conversion is not None:
        pixels = np.asarray(cv2.cvtColor(pixels, conversion))
    return pixels if sample_bytes == 1 else (depth or SampleDepth()).scaled(pixels)


def image_from_compressed(message: CompressedImageMessage, depth: SampleDepth | None = None) -> NDArray[np.uint8]:
    """The picture of a compressed message (JPEG, PNG and the like), (H, W, 3) BGR uint8.

    Args:
        message: the message.
        depth: of the stream that it belongs to, if its samples have 16 bits; None: told from this image alone.

    Raises:
        Face3DMMError: the picture cannot be decoded; see `decode_bgr`.
    """
    return decode_bgr(message.data, compressed_name(message), depth=depth)


def compressed_name(message: CompressedImageMessage) -> str:
    """What a compressed message is called in errors."""
    return f"a message of {len(message.data)} bytes said to be {message.format!r}"


def jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """The bytes of a JPEG file of a picture, (H, W, 3) BGR uint8; the quality goes from 1 to 100."""
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(encoded, np.uint8)


def _half(length: int) -> int:
    """Half a length, px, rounded up: the last U and V of an odd one are of one pixel alone."""
    return (length + 1) // 2


def _rows(encoding: str, height: int) -> int:
    """How many steps an image's data are long."""
    if encoding in _HALVED:
        return height + _half(height)
    return 3 * height if encoding == _WHOLE else height


def _from_halved_chroma(rows: NDArray[np.uint8], width: int, height: int, conversion: int) -> NDArray[np.uint8]:
    """BGR of a plane of Y, (H, step), above one of U and V for each 2×2 pixels, (H/2, step)."""
    luma, chroma = rows[:height, :width], rows[height:, : 2 * _half(width)]
    if width % 2 or height % 2:
        # OpenCV wants whole pairs: the last pixels are repeated, and what comes of them is cut off.
        luma = np.pad(luma, ((0, height % 2), (0, width % 2)), mode="edge")
    bgr = cv2.cvtColor(np.concatenate([luma, chroma]), conversion)
    return np.asarray(bgr, np.uint8)[:height, :width]


def _from_whole_chroma(rows: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """BGR of a plane of Y, (H, step), above one of U and V for each pixel, (H, 2 · step)."""
    luma = rows[:height, :width]
    chroma = rows[height:].reshape(height, -1)[:, : 2 * width].reshape(height, width, 2)
    # OpenCV knows the layout only for pairs of pixels that share U and V: each pixel becomes such a pair.
    pairs = np.stack([chroma[..., 0], luma, chroma[..., 1], luma], axis=-1).reshape(height, 2 * width, 2)
    return np.asarray(cv2.cvtColor(pairs, cv2.COLOR_YUV2BGR_UYVY), np.uint8)[:, ::2]

"""ROS images to BGR arrays; the same for ROS's own message classes and for those of `rosbags`.

`sensor_msgs/Image` says how its bytes are laid out (encoding, width, height, step, byte order); a message whose fields
and size disagree is an error, whatever wrote it.
"""

from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.files.picture_decoding import check_size, decode_picture

JPEG_FORMAT = "bgr8; jpeg compressed bgr8"
"""`CompressedImage.format` of a colour JPEG, as image_transport writes it."""

# Encoding: bytes per pixel, and OpenCV's conversion to BGR, None where the bytes are BGR already. OpenCV names a Bayer
# pattern by its second row's second and third pixel, ROS by the first two rows' first two.
_ENCODINGS: dict[str, tuple[int, int | None]] = {
    "bgr8": (3, None),
    "rgb8": (3, cv2.COLOR_RGB2BGR),
    "bgra8": (4, cv2.COLOR_BGRA2BGR),
    "rgba8": (4, cv2.COLOR_RGBA2BGR),
    "mono8": (1, cv2.COLOR_GRAY2BGR),
    "mono16": (2, cv2.COLOR_GRAY2BGR),
    "yuv422": (2, cv2.COLOR_YUV2BGR_UYVY),
    "uyvy": (2, cv2.COLOR_YUV2BGR_UYVY),
    "yuv422_yuy2": (2, cv2.COLOR_YUV2BGR_YUY2),
    "yuyv": (2, cv2.COLOR_YUV2BGR_YUY2),
    "bayer_rggb8": (1, cv2.COLOR_BayerBG2BGR),
    "bayer_bggr8": (1, cv2.COLOR_BayerRG2BGR),
    "bayer_gbrg8": (1, cv2.COLOR_BayerGR2BGR),
    "bayer_grbg8": (1, cv2.COLOR_BayerGB2BGR),
}


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


def check_layout(message: ImageMessage) -> None:
    """Check that a message's encoding is known, that its size, step and data agree, and that it is not too large.

    Raises:
        Face3DMMError: the encoding is unknown, size, step and data disagree, or the image is empty or too large.
    """
    if message.encoding not in _ENCODINGS:
        raise Face3DMMError(f"image encoding {message.encoding!r} is not one of {', '.join(_ENCODINGS)}")
    if message.width < 1 or message.height < 1:
        raise Face3DMMError(f"an image of {message.width}×{message.height} pixels is empty")
    check_size(message.width, message.height, "an image")
    row = message.width * _ENCODINGS[message.encoding][0]
    if message.step < row:
        raise Face3DMMError(
            f"a row of {message.width} {message.encoding} pixels takes {row} bytes, but the image's step is "
            f"{message.step}"
        )
    if len(message.data) != message.step * message.height:
        raise Face3DMMError(
            f"an image of {message.height} rows with a step of {message.step} has {message.step * message.height} "
            f"bytes, but {len(message.data)} came"
        )
    if _ENCODINGS[message.encoding][0] == 2 and message.encoding != "mono16" and message.width % 2:
        raise Face3DMMError(f"{message.encoding} pixels come in pairs, but the image is {message.width} wide")


def image_from_message(message: ImageMessage) -> NDArray[np.uint8]:
    """The picture of a message, (H, W, 3) BGR uint8; for bgr8 a view of the message's data.

    Raises:
        Face3DMMError: an encoding that is not known, or fields and size that disagree.
    """
    check_layout(message)
    bytes_per_pixel, conversion = _ENCODINGS[message.encoding]
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    rows = rows[:, : message.width * bytes_per_pixel]
    if message.encoding == "mono16":
        values = np.ascontiguousarray(rows).view(">u2" if message.is_bigendian else "<u2").astype(np.uint16)
        gray = cv2.convertScaleAbs(values, alpha=255.0 / 65535.0)
        return np.asarray(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR), np.uint8)
    # Splitting the last axis of a padded picture is a view too, its rows lie `step` apart.
    pixels = rows.reshape(message.height, message.width, bytes_per_pixel)
    return pixels if conversion is None else np.asarray(cv2.cvtColor(pixels, conversion), np.uint8)


def image_from_compressed(message: CompressedImageMessage) -> NDArray[np.uint8]:
    """The picture of a compressed message (JPEG, PNG and the like), (H, W, 3) BGR uint8.

    Raises:
        Face3DMMError: the picture cannot be decoded; see `decode_picture`.
    """
    return decode_picture(message.data, compressed_name(message))


def compressed_name(message: CompressedImageMessage) -> str:
    """What a compressed message is called in errors."""
    return f"a message of {len(message.data)} bytes said to be {message.format!r}"


def jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """The bytes of a JPEG file of a picture, (H, W, 3) BGR uint8; the quality goes from 1 to 100."""
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(encoded, np.uint8)

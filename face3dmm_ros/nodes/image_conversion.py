"""ROS images to BGR arrays and back: cv_bridge where it is installed, elsewhere its two functions written here.

`sensor_msgs/Image` says how its bytes are laid out (encoding, width, height, step, byte order); a message whose fields
and size disagree is an error, whatever wrote it.
"""

import sys
from array import array
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from face3dmm_ros.errors import Face3DMMError

try:
    from cv_bridge import CvBridge, CvBridgeError
except ImportError:
    CvBridge = None

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


class ImageConversion(Protocol):
    """What the nodes need of a converter."""

    def imgmsg_to_cv2(self, message: Image) -> NDArray[np.uint8]:
        """The picture of a message, (H, W, 3) BGR uint8."""
        ...

    def cv2_to_imgmsg(self, image: NDArray[np.uint8], header: Header) -> Image:
        """A bgr8 message of a picture, (H, W, 3) BGR uint8."""
        ...


def check_layout(message: Image) -> None:
    """Check that a message's encoding is known and that its size, step and data agree.

    Raises:
        Face3DMMError: they do not.
    """
    if message.encoding not in _ENCODINGS:
        raise Face3DMMError(f"image encoding {message.encoding!r} is not one of {', '.join(_ENCODINGS)}")
    if message.width < 1 or message.height < 1:
        raise Face3DMMError(f"an image of {message.width}×{message.height} pixels is empty")
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


class PlainConversion:
    """cv_bridge's two functions without cv_bridge. A bgr8 message becomes a view of its bytes, without a copy."""

    def imgmsg_to_cv2(self, message: Image) -> NDArray[np.uint8]:
        """The picture of a message, (H, W, 3) BGR uint8; for bgr8 a view of the message's data.

        Raises:
            Face3DMMError: an encoding that is not known, or fields and size that disagree.
        """
        check_layout(message)
        bytes_per_pixel, conversion = _ENCODINGS[message.encoding]
        rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
        rows = rows[:, : message.width * bytes_per_pixel]
        if message.encoding == "mono16":
            values = np.ascontiguousarray(rows).view(">u2" if message.is_bigendian else "<u2")
            return np.asarray(cv2.cvtColor(_eight_bits(values), cv2.COLOR_GRAY2BGR), np.uint8)
        # Splitting the last axis of a padded picture is a view too, its rows lie `step` apart.
        pixels = rows.reshape(message.height, message.width, bytes_per_pixel)
        return pixels if conversion is None else np.asarray(cv2.cvtColor(pixels, conversion), np.uint8)

    def cv2_to_imgmsg(self, image: NDArray[np.uint8], header: Header) -> Image:
        """A bgr8 message of a picture, (H, W, 3) BGR uint8; its bytes are copied once."""
        height, width = image.shape[:2]
        data = array("B")
        data.frombytes(np.ascontiguousarray(image).data.cast("B"))
        return Image(
            header=header,
            height=height,
            width=width,
            encoding="bgr8",
            is_bigendian=sys.byteorder == "big",
            step=3 * width,
            data=data,
        )


class CvBridgeConversion:
    """The same through cv_bridge, whose failures become `Face3DMMError`."""

    def __init__(self) -> None:
        """Find cv_bridge.

        Raises:
            Face3DMMError: it is not installed.
        """
        if CvBridge is None:
            raise Face3DMMError("cv_bridge is not installed")
        self._bridge: Any = CvBridge()

    def imgmsg_to_cv2(self, message: Image) -> NDArray[np.uint8]:
        """The picture of a message, (H, W, 3) BGR uint8.

        Raises:
            Face3DMMError: an encoding that is not known, or fields and size that disagree.
        """
        check_layout(message)
        try:
            return np.asarray(self._bridge.imgmsg_to_cv2(message, desired_encoding="bgr8"), np.uint8)
        except (CvBridgeError, ValueError, TypeError) as error:
            raise Face3DMMError(f"cv_bridge cannot read a {message.encoding} image: {error}") from error

    def cv2_to_imgmsg(self, image: NDArray[np.uint8], header: Header) -> Image:
        """A bgr8 message of a picture, (H, W, 3) BGR uint8."""
        return self._bridge.cv2_to_imgmsg(image, encoding="bgr8", header=header)


def image_conversion() -> ImageConversion:
    """cv_bridge where it is installed, else this module's own."""
    return PlainConversion() if CvBridge is None else CvBridgeConversion()


def compressed_imgmsg_to_cv2(message: CompressedImage) -> NDArray[np.uint8]:
    """The picture of a compressed message (JPEG or PNG), (H, W, 3) BGR uint8.

    Raises:
        Face3DMMError: its data is no such picture.
    """
    data = np.frombuffer(message.data, np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise Face3DMMError(
            f"{len(message.data)} bytes said to be {message.format!r} are no readable JPEG or PNG picture"
        )
    return np.asarray(image, np.uint8)


def cv2_to_compressed_imgmsg(image: NDArray[np.uint8], header: Header, quality: int = 80) -> CompressedImage:
    """A JPEG message of a picture, (H, W, 3) BGR uint8, as image_transport writes it."""
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    data = array("B")
    data.frombytes(encoded.data.cast("B"))
    return CompressedImage(header=header, format="bgr8; jpeg compressed bgr8", data=data)


def _eight_bits(values: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """16-bit grey values scaled to the 8-bit range."""
    return np.asarray(cv2.convertScaleAbs(values.astype(np.uint16), alpha=255.0 / 65535.0), np.uint8)

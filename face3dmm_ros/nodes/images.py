"""ROS images to BGR arrays and back: cv_bridge where it is installed, elsewhere its two functions written here."""

import sys
from array import array
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.files.image_layout import JPEG_FORMAT, check_layout, image_from_message, jpeg

try:
    from cv_bridge import CvBridge, CvBridgeError
except ImportError:
    CvBridge = None


class ImageConversion(Protocol):
    """What the nodes need of a converter."""

    def imgmsg_to_cv2(self, message: Image) -> NDArray[np.uint8]:
        """The picture of a message, (H, W, 3) BGR uint8."""
        ...

    def cv2_to_imgmsg(self, image: NDArray[np.uint8], header: Header) -> Image:
        """A bgr8 message of a picture, (H, W, 3) BGR uint8."""
        ...


class PlainConversion:
    """cv_bridge's two functions without cv_bridge. A bgr8 message becomes a view of its bytes, without a copy."""

    def imgmsg_to_cv2(self, message: Image) -> NDArray[np.uint8]:
        """The picture of a message, (H, W, 3) BGR uint8; for bgr8 a view of the message's data.

        Raises:
            Face3DMMError: an encoding that is not known, or fields and size that disagree.
        """
        return image_from_message(message)

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
        except (CvBridgeError, cv2.error, ValueError, TypeError) as error:
            raise Face3DMMError(f"cv_bridge cannot read a {message.encoding} image: {error}") from error

    def cv2_to_imgmsg(self, image: NDArray[np.uint8], header: Header) -> Image:
        """A bgr8 message of a picture, (H, W, 3) BGR uint8."""
        return self._bridge.cv2_to_imgmsg(image, encoding="bgr8", header=header)


def image_conversion() -> ImageConversion:
    """cv_bridge where it is installed, else this module's own."""
    return PlainConversion() if CvBridge is None else CvBridgeConversion()


def cv2_to_compressed_imgmsg(image: NDArray[np.uint8], header: Header, quality: int = 80) -> CompressedImage:
    """A JPEG message of a picture, (H, W, 3) BGR uint8, as image_transport writes it."""
    data = array("B")
    data.frombytes(jpeg(image, quality).data.cast("B"))
    return CompressedImage(header=header, format=JPEG_FORMAT, data=data)

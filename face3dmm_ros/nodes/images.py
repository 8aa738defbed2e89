"""Image messages to BGR arrays and back: by cv_bridge where it is installed, elsewhere by methods of the same names."""

import sys
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from face3dmm_ros.core import topics
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.files.image_layout import JPEG_FORMAT, check_layout, image_from_compressed, image_from_message, jpeg
from face3dmm_ros.nodes.conversions import to_array
from face3dmm_ros.nodes.lifecycle_node import FaceNode

try:
    from cv_bridge import CvBridge, CvBridgeError
except ImportError:
    CvBridge = None

ImageCallback = Callable[[Header, NDArray[np.uint8]], None]


class PlainConversion:
    """cv_bridge's two functions without cv_bridge. A bgr8 message becomes a view of its bytes, without a copy."""

    def imgmsg_to_cv2(self, message: Image) -> NDArray[np.uint8]:
        """The picture of a message, (H, W, 3) BGR uint8; for bgr8 a view of the message's data.

        Raises:
            Face3DMMError: the encoding is not supported, or the message's fields and the size of its data disagree.
        """
        return image_from_message(message)

    def cv2_to_imgmsg(self, image: NDArray[np.uint8], header: Header) -> Image:
        """A bgr8 message of a picture, (H, W, 3) BGR uint8; its bytes are copied once."""
        height, width = image.shape[:2]
        return Image(
            header=header,
            height=height,
            width=width,
            encoding="bgr8",
            is_bigendian=sys.byteorder == "big",
            step=3 * width,
            data=to_array(image, np.uint8),
        )


class CvBridgeConversion(PlainConversion):
    """The same through cv_bridge, whose failures become `Face3DMMError`."""

    def __init__(self) -> None:
        """Use cv_bridge, which must be installed."""
        self._bridge: Any = CvBridge()

    def imgmsg_to_cv2(self, message: Image) -> NDArray[np.uint8]:
        """The picture of a message, (H, W, 3) BGR uint8.

        Raises:
            Face3DMMError: the encoding is not supported, or the message's fields and the size of its data disagree.
        """
        check_layout(message)
        try:
            return np.asarray(self._bridge.imgmsg_to_cv2(message, desired_encoding="bgr8"), np.uint8)
        except (CvBridgeError, cv2.error, ValueError, TypeError) as error:
            raise Face3DMMError(f"cv_bridge cannot read a {message.encoding} image: {error}") from error

    def cv2_to_imgmsg(self, image: NDArray[np.uint8], header: Header) -> Image:
        """A bgr8 message of a picture, (H, W, 3) BGR uint8."""
        return self._bridge.cv2_to_imgmsg(image, encoding="bgr8", header=header)


def image_conversion() -> PlainConversion:
    """The conversion by cv_bridge where it is installed, else by this module."""
    return PlainConversion() if CvBridge is None else CvBridgeConversion()


def cv2_to_compressed_imgmsg(image: NDArray[np.uint8], header: Header, quality: int = 80) -> CompressedImage:
    """A JPEG message of a picture, (H, W, 3) BGR uint8, as image_transport writes it; `quality` is from 1 to 100."""
    return CompressedImage(header=header, format=JPEG_FORMAT, data=to_array(jpeg(image, quality), np.uint8))


def create_image_input(node: FaceNode, callback: ImageCallback) -> None:
    """Subscribe to the camera's images, as the node's parameter `image_transport` says.

    The callback gets an image's header and the image, (H, W, 3) BGR uint8.
    """
    conversion = image_conversion()

    def take_raw(message: Image) -> None:
        callback(message.header, conversion.imgmsg_to_cv2(message))

    def take_compressed(message: CompressedImage) -> None:
        callback(message.header, image_from_compressed(message))

    if node.value("image_transport") == "compressed":
        topic = topics.IMAGE + topics.COMPRESSED
        node.create_input(CompressedImage, topic, take_compressed, node.image_qos(), stream=True)
    else:
        node.create_input(Image, topics.IMAGE, take_raw, node.image_qos(), stream=True)

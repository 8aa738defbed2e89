"""Image messages to BGR arrays and back: by cv_bridge where it is installed, elsewhere by methods of the same names."""

import struct
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from face3dmm_ros.core import topics
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.files.image_layout import (
    JPEG_FORMAT,
    bytes_per_row,
    check_layout,
    image_from_compressed,
    image_from_message,
    jpeg,
)
from face3dmm_ros.files.sample_depth import SampleDepth
from face3dmm_ros.nodes.conversions import to_array
from face3dmm_ros.nodes.endpoints import Input, Output
from face3dmm_ros.nodes.lifecycle_node import FaceNode

try:
    from cv_bridge import CvBridge
except ImportError:
    CvBridge = None

_BAYER = ("bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8")
_CV_BRIDGE_ENCODINGS = ("bgr8", "rgb8", "bgra8", "rgba8", "mono8", "yuv422", "yuv422_yuy2", *_BAYER)
"""Those that cv_bridge makes the same pictures of as this package. It knows neither uyvy, yuyv, nv12, nv21 and nv24 nor
the colours of 8UC1, 8UC3 and 8UC4, and takes values of 16 bits to use them all."""

ImageCallback = Callable[[Header, NDArray[np.uint8]], None]


class PlainConversion:
    """cv_bridge's two functions without cv_bridge. A bgr8 message becomes a view of its bytes, without a copy.

    Attributes:
        depth: of the 16-bit images that came; so each stream needs a conversion of its own.
    """

    def __init__(self) -> None:
        """Before the first image."""
        self.depth = SampleDepth()

    def imgmsg_to_cv2(self, message: Image) -> NDArray[np.uint8]:
        """The picture of a message, (H, W, 3) BGR uint8; for bgr8 a view of the message's data.

        Raises:
            Face3DMMError: the encoding is not supported, or the message's fields and the size of its data disagree.
        """
        return image_from_message(message, self.depth)

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
    """The same, but images that cv_bridge reads rightly are read by it; its failures become `Face3DMMError`."""

    def __init__(self) -> None:
        """Use cv_bridge, which must be installed."""
        super().__init__()
        self._bridge: Any = CvBridge()

    def imgmsg_to_cv2(self, message: Image) -> NDArray[np.uint8]:
        """The picture of a message, (H, W, 3) BGR uint8.

        Raises:
            Face3DMMError: the encoding is not supported, or the message's fields and the size of its data disagree.
        """
        check_layout(message)
        if not _cv_bridge_reads(message):
            return super().imgmsg_to_cv2(message)
        try:
            return np.asarray(self._bridge.imgmsg_to_cv2(message, desired_encoding="bgr8"), np.uint8)
        except Exception as error:
            # Of any kind: built for another numpy or OpenCV than the one that is there, it fails in many ways.
            raise Face3DMMError(f"cv_bridge cannot read a {message.encoding} image: {error}") from error


def _cv_bridge_reads(message: Image) -> bool:
    """Whether cv_bridge gives the right picture of a message.

    It shears pictures whose step is no whole number of pixels, and with numpy 2 fails on those that say big-endian.
    """
    tight = message.step == bytes_per_row(message.encoding, message.width)
    return message.encoding in _CV_BRIDGE_ENCODINGS and tight and not message.is_bigendian


def image_conversion() -> PlainConversion:
    """The conversion by cv_bridge where it is installed, else by this module."""
    return PlainConversion() if CvBridge is None else CvBridgeConversion()


def cv2_to_compressed_imgmsg(image: NDArray[np.uint8], header: Header, quality: int = 80) -> CompressedImage:
    """A JPEG message of a picture, (H, W, 3) BGR uint8, as image_transport writes it; `quality` is from 1 to 100."""
    return CompressedImage(header=header, format=JPEG_FORMAT, data=to_array(jpeg(image, quality), np.uint8))


def serialized_image(image: NDArray[np.uint8], header: Header) -> bytes:
    """The message of a picture, (H, W, 3) BGR uint8, as CDR: `rclpy.serialization` of `cv2_to_imgmsg`, in one copy."""
    height, width = image.shape[:2]
    order = "<" if sys.byteorder == "little" else ">"
    frame, encoding = header.frame_id.encode() + b"\0", b"bgr8\0"
    stamp = header.stamp
    head = struct.pack(f"{order}iII", stamp.sec, stamp.nanosec, len(frame)) + frame
    head = _to_four(head) + struct.pack(f"{order}III", height, width, len(encoding)) + encoding
    head = _to_four(head + bytes([sys.byteorder == "big"]))
    head += struct.pack(f"{order}II", 3 * width, 3 * height * width)
    # What comes first tells the byte order.
    return b"".join([bytes([0, sys.byteorder == "little", 0, 0]), head, np.ascontiguousarray(image).data])


def _to_four(head: bytes) -> bytes:
    """Filled up to a multiple of four bytes, where CDR puts numbers."""
    return head + bytes(-len(head) % 4)


def publish_image(output: Output, conversion: PlainConversion, header: Header, image: NDArray[np.uint8]) -> None:
    """Publish a picture, (H, W, 3) BGR uint8: as a message where composed nodes take it, else as its bytes alone."""
    if output.has_takers:
        output.publish(conversion.cv2_to_imgmsg(image, header))
    else:
        output.publish(serialized_image(image, header))


def create_image_input(node: FaceNode, callback: ImageCallback, *, kept: int = 0) -> Input:
    """Subscribe to the camera's images, as the node's parameter `image_transport` says. Returns the input.

    The callback gets an image's header and the image, (H, W, 3) BGR uint8. `kept` is as of `FaceNode.create_input`.
    """
    conversion = image_conversion()

    def take_raw(message: Image) -> None:
        callback(message.header, conversion.imgmsg_to_cv2(message))

    def take_compressed(message: CompressedImage) -> None:
        callback(message.header, image_from_compressed(message, conversion.depth))

    if node.value("image_transport") == "compressed":
        topic = topics.IMAGE + topics.COMPRESSED
        return node.create_input(CompressedImage, topic, take_compressed, node.image_qos(), stream=True, kept=kept)
    return node.create_input(Image, topics.IMAGE, take_raw, node.image_qos(), stream=True, kept=kept)

"""Faces' frames on /tf."""

from collections.abc import Sequence

from std_msgs.msg import Header

from face3dmm_ros.core import topics
from face3dmm_ros.fitting.face_locator import LocatedFace
from face3dmm_ros.nodes.conversions import transforms
from face3dmm_ros.nodes.lifecycle_node import FaceNode
from face3dmm_ros.nodes.qos import result_qos

try:
    from tf2_msgs.msg import TFMessage
except ImportError:
    TFMessage = None

_DEPTH = 100
"""As tf2's own broadcasters have it."""


class TransformOutput:
    """Publishes the frames of REP-155; where it cannot, without tf2_msgs or the image's frame_id, it says so once."""

    def __init__(self, node: FaceNode) -> None:
        """Advertise /tf while the node is configured."""
        self._node = node
        self._output = (
            None if TFMessage is None else node.create_output(TFMessage, topics.TRANSFORMS, result_qos(_DEPTH))
        )

    def publish(self, header: Header, faces: Sequence[LocatedFace], prefix: str) -> None:
        """Publish the frames of an image's faces, whose names begin with `prefix`."""
        if not faces:
            return
        if self._output is None:
            self._say_that_none_comes("tf2_msgs is missing (apt-get install ros-$ROS_DISTRO-tf2-msgs)")
        elif not header.frame_id:
            self._say_that_none_comes("the images' header names no frame (frame_id)")
        elif self._output.subscribers:
            self._output.publish(TFMessage(transforms=transforms(header, faces, prefix)))

    def _say_that_none_comes(self, why: str) -> None:
        self._node.warn_once(f"no frames on /tf: {why}", about=topics.TRANSFORMS)

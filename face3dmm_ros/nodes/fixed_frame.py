"""Where the camera is in a frame that does not move, by /tf."""

from types import SimpleNamespace

from rclpy.time import Time
from std_msgs.msg import Header

from face3dmm_ros.core.camera import Intrinsics
from face3dmm_ros.core.message_fields import pose_from_message
from face3dmm_ros.nodes.lifecycle_node import FaceNode
from face3dmm_ros.smoothing import CameraPlace

try:
    import tf2_ros
except ImportError:
    tf2_ros = None


class FixedFrame:
    """Looks up where the camera was when it took an image.

    Where it cannot, without tf2_ros or the transform, it says so once, and counts such images on /diagnostics.
    """

    def __init__(self, node: FaceNode, frame: str) -> None:
        """Listen to /tf while the node is configured, if a frame is named."""
        self._node, self._frame = node, frame
        self._buffer = None
        self._failed = 0
        if frame and tf2_ros is not None:
            self._buffer = tf2_ros.Buffer()
            node.resources.callback(tf2_ros.TransformListener(self._buffer, node).unregister)

    def place(self, header: Header, intrinsics: Intrinsics) -> CameraPlace | None:
        """The place of the camera of an image; None where no frame is named or the place is not known."""
        if not self._frame:
            return None
        if self._buffer is None:
            self._fail("tf2_ros is missing (apt-get install ros-$ROS_DISTRO-tf2-ros-py)")
            return None
        try:
            transform = self._buffer.lookup_transform(
                self._frame, header.frame_id, Time.from_msg(header.stamp)
            ).transform
        except tf2_ros.TransformException as error:
            self._fail(str(error))
            return None
        pose = pose_from_message(SimpleNamespace(position=transform.translation, orientation=transform.rotation))
        return CameraPlace(pose.rotation, pose.position, intrinsics)

    def _fail(self, why: str) -> None:
        self._failed += 1
        self._node.activity.details["smoothed_in_image_frame"] = str(self._failed)
        self._node.warn_once(
            f"faces are smoothed in their image's frame where {self._frame!r} is not known: {why}", about=self._frame
        )

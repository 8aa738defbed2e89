"""The camera's calibration: from the camera_info beside the images, for the images as they are."""

import re
from collections.abc import Callable
from time import monotonic

from sensor_msgs.msg import CameraInfo

from face3dmm_ros.core import topics
from face3dmm_ros.core.calibration import Calibration
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.nodes.conversions import calibration_from_message
from face3dmm_ros.nodes.lifecycle_node import FaceNode
from face3dmm_ros.nodes.parameters import fixed

_PATIENCE = 3.0
"""s of images without a camera_info before that is said; chosen by hand: longer than a driver's first images take."""
_RECTIFIED_TOPIC = re.compile(r"[/_]rect(ified)?(_[^/]*)?(/image(_color|_mono|_gray)?)?$")
"""Names of topics with rectified images: image_rect, image_mono_rect, image_rect_color (image_proc), image_rect_raw
(RealSense), color/rect/image (ZED)."""

RECTIFIED = fixed(
    "rectified",
    "auto",
    "Whether the images are rectified, so that camera_info's P holds and not its K and D; `auto`: by their topic's "
    "name, such as image_rect.",
    choices=("auto", "true", "false"),
)
FIELD_OF_VIEW = "field_of_view"
"""The parameter that counts where there is no calibration."""


def is_rectified_topic(image_topic: str) -> bool:
    """Whether a topic of images says by its name that they are rectified."""
    return _RECTIFIED_TOPIC.search(image_topic) is not None


def camera_info_beside(image_topic: str) -> str:
    """The camera_info of a topic of images: its sibling, as image_transport has it."""
    return image_topic.rpartition("/")[0] + "/camera_info"


def image_topic_of(node: FaceNode, *, compressed: bool = False) -> str:
    """The full name of a node's image topic, remapped, without /compressed."""
    topic = topics.IMAGE + topics.COMPRESSED
    if compressed and _is_remapped(node, topic):
        return node.resolve_topic_name(topic).removesuffix(topics.COMPRESSED)
    return node.resolve_topic_name(topics.IMAGE)


def camera_info_topic_of(node: FaceNode, image_topic: str) -> str:
    """A node's camera_info: beside its images, whose full name is given, unless that topic is remapped itself."""
    beside = camera_info_beside(image_topic)
    usual = node.resolve_topic_name(topics.CAMERA_INFO)
    # Under its relative name it is counted as ever on /diagnostics.
    return topics.CAMERA_INFO if usual == beside or _is_remapped(node, topics.CAMERA_INFO) else beside


def _is_remapped(node: FaceNode, topic: str) -> bool:
    return node.resolve_topic_name(topic) != node.resolve_topic_name(topic, only_expand=True)


class CameraInput:
    """Subscribes to the camera_info of a node's images, keeps the calibration, and says what is wrong with it.

    The node has the parameters `RECTIFIED` and `field_of_view`.

    Attributes:
        topic: the camera_info's full name.
        received: how many different ones have come.
    """

    def __init__(self, node: FaceNode, on_change: Callable[[], None]) -> None:
        """Subscribe; `on_change` is called when the calibration is another one."""
        image_topic = image_topic_of(node, compressed=node.value("image_transport") == "compressed")
        topic = camera_info_topic_of(node, image_topic)
        self.topic = node.resolve_topic_name(topic)
        self.received = 0
        self._node = node
        self._on_change = on_change
        rectified = node.value(RECTIFIED.name)
        self._rectified = is_rectified_topic(image_topic) if rectified == "auto" else rectified == "true"
        self._contents: tuple | None = None
        self._calibration: Calibration | None = None
        self._of_images: Calibration | None = None
        self._problem = ""
        self._images_since: float | None = None
        node.create_input(CameraInfo, topic, self._on_message, node.image_qos())

    def of(self, image_size: tuple[int, int]) -> Calibration | None:
        """The camera of images of (width, height) px; None, and reported, where there is none or it cannot be used."""
        if not self.received:
            self._say_that_none_comes()
        if self._calibration is None:
            return None
        if self._of_images is None or self._of_images.image_size != image_size:
            try:
                self._of_images = self._calibration.of(image_size, rectified=self._rectified)
            except Face3DMMError as error:
                self.report(str(error))
                return None
        return self._of_images

    def report(self, problem: str) -> None:
        """Report a new problem with the calibration, or, with an empty string, that there is none any more."""
        if problem == self._problem:
            return
        self._problem = problem
        self._node.activity.problem = f"{self.topic} is not used: {problem}" if problem else ""
        if problem:
            self._node.get_logger().error(f"{self._node.activity.problem}; {self._instead()}")

    def _instead(self) -> str:
        return f"the parameter {FIELD_OF_VIEW} ({self._node.value(FIELD_OF_VIEW):g} degrees) is taken instead"

    def _on_message(self, message: CameraInfo) -> None:
        contents = _contents(message)
        if contents == self._contents:
            return
        self._contents = contents
        self._calibration = self._of_images = None
        self._on_change()
        problem = ""
        try:
            self._calibration = calibration_from_message(message)
            if self._calibration is None:
                self._node.get_logger().info(
                    f"{self.topic} says that the camera is not calibrated; {self._instead()}", once=True
                )
        except Face3DMMError as error:
            problem = str(error)
        self.report(problem)
        self.received += 1

    def _say_that_none_comes(self) -> None:
        now = monotonic()
        if self._images_since is None:
            self._images_since = now
        if now - self._images_since >= _PATIENCE:
            self._node.warn_once(f"no camera_info comes on {self.topic}: {self._instead()}", about=self.topic)


def _contents(message: CameraInfo) -> tuple:
    """All that a message says of the camera, comparable also where numbers are NaN."""
    arrays = (message.d.tobytes(), message.k.tobytes(), message.r.tobytes(), message.p.tobytes())
    window = (message.binning_x, message.binning_y, message.roi)
    return (message.width, message.height, message.distortion_model, *arrays, *window)

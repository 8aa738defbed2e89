"""Depth images beside the camera's: they tell how large located heads are."""

from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

from sensor_msgs.msg import Image
from std_msgs.msg import Header

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.image_clock import stamp_ns
from face3dmm_ros.files.depth_layout import depth_from_message
from face3dmm_ros.fitting.face_locator import FaceLocator, LocatedFace
from face3dmm_ros.nodes.lifecycle_node import FaceNode
from face3dmm_ros.nodes.parameters import fixed

DEPTH_TOPIC = fixed(
    "depth_topic",
    "",
    "Topic of depth images, registered to the camera's images (16UC1 in mm, or 32FC1 in m), by which heads are "
    "measured; empty: they are taken for average.",
)
_WAITING = 8
"""Of each kind that wait for the other; chosen by hand: a quarter of a second at 30 images/s."""
_LONGEST_PERIOD_NS = 200_000_000
"""Between two images; chosen by hand: in more than half of it a head moves too far."""
_PATIENCE = 90
"""Images in a row whose faces cannot be measured before that is said; chosen by hand: three seconds at 30
images/s, so not for a hand that passes, or a driver that starts."""

Item = TypeVar("Item")
Depth = TypeVar("Depth")


class NearestMatcher(Generic[Item, Depth]):
    """Pairs images with depth images by their stamps, ns: the nearest, up to half of the time between two images.

    Whichever comes first waits; neither is paired twice.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self._items: deque[tuple[int, Item]] = deque(maxlen=_WAITING)
        self._depths: deque[tuple[int, Depth]] = deque(maxlen=_WAITING)
        self._last_ns = 0
        self._period_ns = _LONGEST_PERIOD_NS

    def add_item(self, stamp: int, item: Item) -> tuple[Item, Depth] | None:
        """Take what belongs to an image; returns the pair if its depth is there already."""
        if stamp > self._last_ns > 0:
            self._period_ns = min(stamp - self._last_ns, _LONGEST_PERIOD_NS)
        self._last_ns = stamp
        self._items.append((stamp, item))
        return self._pair()

    def add_depth(self, stamp: int, depth: Depth) -> tuple[Item, Depth] | None:
        """Take a depth image; returns the pair if its image is there already."""
        self._depths.append((stamp, depth))
        return self._pair()

    def _pair(self) -> tuple[Item, Depth] | None:
        pairs = [(item, depth) for item in self._items for depth in self._depths]
        item, depth = min(pairs, key=lambda pair: abs(pair[0][0] - pair[1][0]), default=(None, None))
        if item is None or depth is None or 2 * abs(item[0] - depth[0]) > self._period_ns:
            return None
        self._items.remove(item)
        self._depths.remove(depth)
        return item[1], depth[1]


class DepthInput:
    """Subscribes to a node's depth images, and measures its faces in them; does nothing without `DEPTH_TOPIC`.

    A depth image serves the images after it: no image waits for its own.
    """

    def __init__(self, node: FaceNode, locator: FaceLocator) -> None:
        """Subscribe, if the parameter names a topic."""
        self._node = node
        self._locator = locator
        self._matcher = NearestMatcher[Sequence[LocatedFace], Image]()
        self._unused = 0
        self._problem = "none has the stamp of an image, or nearly"
        self._topic = node.value(DEPTH_TOPIC.name)
        if self._topic:
            node.create_input(Image, self._topic, self._on_depth, node.image_qos(), stream=True)

    def add_faces(self, header: Header, faces: Sequence[LocatedFace]) -> None:
        """Measure an image's faces, now or when its depth comes."""
        if not (self._topic and faces):
            return
        self._unused += 1
        if (pair := self._matcher.add_item(stamp_ns(header), faces)) is not None:
            self._measure(*pair)
        if self._unused > _PATIENCE:
            said = f"{self._topic} does not tell how large heads are, which are taken for average: {self._problem}"
            self._node.activity.waiting = said
            self._node.warn_once(said, about=self._topic)

    def _on_depth(self, message: Image) -> None:
        if (pair := self._matcher.add_depth(stamp_ns(message.header), message)) is not None:
            self._measure(*pair)

    def _measure(self, faces: Sequence[LocatedFace], message: Image) -> None:
        with self._node.activity.stage("depth"):
            try:
                depth = depth_from_message(message)
            except Face3DMMError as error:
                self._problem = str(error)
                self._node.report_skipped(f"{self._topic}: {error}")
                return
            for face in faces:
                try:
                    self._locator.measure(face, depth)
                except Face3DMMError as error:
                    self._problem = str(error)
                else:
                    self._unused, self._node.activity.waiting = 0, ""

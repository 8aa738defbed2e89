"""An independent subscriber to all that a live run publishes: it measures, and hands on what is to be recorded."""

import importlib
import struct
import threading
from collections.abc import Collection
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from numpy.typing import NDArray
from rclpy.node import Node, NodeNameNonExistentError
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message

from face3dmm_ros.core import topics

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble has it elsewhere.
    from rclpy.qos_event import SubscriptionEventCallbacks

from face3dmm_ros.bags.messages import IMAGE_TYPE
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.live.recording import Recording, Topic
from face3dmm_ros.msg import Face3DMMParams
from face3dmm_ros.nodes.synchronization import Stamp, stamp_of

OVERLAY = "/" + topics.OVERLAY
_PARAMETERS = "/" + topics.PARAMETERS
_DIAGNOSTICS = "/diagnostics"
# Deep enough that a pause of the observer is not taken for a loss of the observed.
_IMAGE_DEPTH, _DEPTH = 30, 300
_SERVICE_TIMEOUT = 30.0
_REMEMBERED_OVERLAYS = 108_000
"""An hour at 30 images a second."""


class MonitorNode(Node):
    """Subscribes to the topics of some nodes.

    All messages come serialized, so that listening costs little: few are unpacked.

    Attributes:
        overlays: overlays that arrived.
        latency_ms: from the last overlays' image stamps to their arrivals, ms.
        arrival_s: when the last overlays arrived, s.
        images_with_face: images with at least one face.
        faces: faces in the last image.
        statuses: what each node last said of itself on /diagnostics, as keys and values, and when, s.
        problems: the nodes that report an error, and which.
    """

    def __init__(self, watched: Collection[str], conducted: str, name: str = "live_monitor", **options: Any) -> None:
        """Watch nodes, given by fully qualified names without the leading slash; start and stop one of them."""
        # Services and a log that nobody asks for would cost a little at each message.
        super().__init__(name, start_parameter_services=False, enable_rosout=False, **options)
        self._conducted = conducted
        self._conductor = self.create_client(ChangeState, f"/{conducted}/change_state")
        self.overlays = 0
        self.latency_ms: list[float] = []
        self.arrival_s: list[float] = []
        self.images_with_face = 0
        self.faces = 0
        self.statuses: dict[str, dict[str, str]] = {}
        self.status_count: dict[str, int] = {}
        self.problems: dict[str, str] = {}
        self._watched = frozenset(watched)
        self._recording: Recording | None = None
        self._last_parameters: Stamp | None = None
        self.create_subscription(DiagnosticArray, _DIAGNOSTICS, self._on_diagnostics, _DEPTH)

    def can_conduct(self) -> bool:
        """Whether the conducted node can be told to start."""
        return self._conductor.service_is_ready()

    def namesakes(self, *, started: bool) -> list[str]:
        """The names of watched nodes that other nodes bear too, whether or not the watched ones have been started."""
        names = [f"{space}/{name}".strip("/") for name, space in self.get_node_names_and_namespaces()]
        return sorted(name for name in self._watched if names.count(name) > started)

    def topics(self) -> list[Topic] | None:
        """What the watched nodes publish; None while not all of them are there."""
        topics: dict[str, Topic] = {}
        for node in self._watched:
            namespace, _, name = f"/{node}".rpartition("/")
            try:
                offers = self.get_publisher_names_and_types_by_node(name, namespace or "/")
            except NodeNameNonExistentError:
                return None
            for topic, types in offers:
                offered = self.get_publishers_info_by_topic(topic)
                if not offered:
                    return None
                depth = _IMAGE_DEPTH if types[0] == IMAGE_TYPE else _DEPTH
                qos = QoSProfile(
                    depth=depth,
                    reliability=offered[0].qos_profile.reliability,
                    durability=offered[0].qos_profile.durability,
                )
                topics[topic] = Topic(topic, types[0], qos)
        return sorted(topics.values(), key=lambda topic: topic.name)

    def watch(self, topics: list[Topic], recording: Recording | None) -> None:
        """Subscribe: to what is measured, and to what is to be recorded."""
        self._recording = recording
        for topic in topics:
            if topic.name in (OVERLAY, _PARAMETERS) or recording is not None:
                self._subscribe(topic)

    def _subscribe(self, topic: Topic) -> None:
        def take(message: bytes) -> None:
            now = self.get_clock().now().nanoseconds
            if topic.name == OVERLAY:
                self._measure(message, now)
            elif topic.name == _PARAMETERS:
                self._count_faces(message)
            if self._recording is not None:
                self._recording.write(topic.name, now, message)

        self.create_subscription(
            _message_class(topic.message_type),
            topic.name,
            take,
            topic.qos,
            raw=True,
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
        )

    def _measure(self, overlay: bytes, now_ns: int) -> None:
        seconds, nanoseconds = serialized_stamp(overlay)
        self.overlays += 1
        self.latency_ms.append(1e-6 * (now_ns - 1_000_000_000 * seconds - nanoseconds))
        self.arrival_s.append(1e-9 * now_ns)
        for values in (self.latency_ms, self.arrival_s):
            del values[:-_REMEMBERED_OVERLAYS]

    def _count_faces(self, serialized: bytes) -> None:
        message: Any = deserialize_message(serialized, Face3DMMParams)
        stamp = stamp_of(message.header)
        if stamp != self._last_parameters:
            self._last_parameters = stamp
            self.faces = message.face_count
            self.images_with_face += message.face_count > 0

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name in self._watched:
                self.statuses[status.name] = {pair.key: pair.value for pair in status.values}
                self.status_count[status.name] = self.status_count.get(status.name, 0) + 1
                self.problems.pop(status.name, None)
                if status.level == DiagnosticStatus.ERROR:
                    self.problems[status.name] = status.message

    def change_state(self, transition: int) -> None:
        """Send the conducted node through a transition; from another thread than the one that spins.

        Raises:
            Face3DMMError: it does not answer, or could not.
        """
        done = threading.Event()
        future = self._conductor.call_async(ChangeState.Request(transition=Transition(id=transition)))
        future.add_done_callback(lambda _: done.set())
        if not done.wait(_SERVICE_TIMEOUT):
            raise Face3DMMError(f"{self._conducted} did not answer within {_SERVICE_TIMEOUT:.0f} s")
        if not future.result().success:
            raise Face3DMMError(f"{self._conducted} could not be started or stopped: its own message says why")


def serialized_stamp(message: bytes) -> Stamp:
    """The stamp of a serialized (CDR) message that begins with a header."""
    return struct.unpack_from("<iI" if message[1] & 1 else ">iI", message, 4)


def percentiles(values: list[float]) -> dict[str, float | None]:
    """The 50th, 90th and 99th percentile; None where there is no value."""
    if not values:
        return {"p50": None, "p90": None, "p99": None}
    found: NDArray = np.percentile(values, [50, 90, 99])
    return {name: round(float(value), 3) for name, value in zip(("p50", "p90", "p99"), found, strict=True)}


def _message_class(message_type: str) -> type:
    """The class of package/msg/Name."""
    package, _, name = message_type.split("/")
    return getattr(importlib.import_module(f"{package}.msg"), name)

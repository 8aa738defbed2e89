"""A subscriber to all that the nodes of a live run publish: it measures, and passes on what is recorded."""

import importlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.client import Client
from rclpy.node import Node, NodeNameNonExistentError
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from std_srvs.srv import Trigger

from face3dmm_ros.bags.messages import IMAGE_TYPE
from face3dmm_ros.core import topics
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.live.latencies import Latencies
from face3dmm_ros.live.recorded_topics import RecordedTopics
from face3dmm_ros.live.recording import Recording, Topic
from face3dmm_ros.msg import Face3DMMParamsArray
from face3dmm_ros.nodes.diagnostics import Statuses, node_of
from face3dmm_ros.nodes.guard import for_people, summary
from face3dmm_ros.nodes.qos import SubscriptionEventCallbacks
from face3dmm_ros.nodes.synchronization import serialized_stamp

OVERLAY = "/" + topics.OVERLAY
_PARAMETERS = "/" + topics.PARAMETERS
_DIAGNOSTICS = "/diagnostics"
_IMAGE_DEPTH, _DEPTH = 30, 300
"""Queue depths of images and of all else; chosen by hand: a second of images and ten of results at 30 images/s, so that
a pause of the monitor is not counted as a loss of the nodes."""
_MOST_BYTES = 1_000_000
"""Of a message whose content is looked at; chosen by hand: statuses of a node have some two thousand, parameters of 64
faces 300,000."""
_MOST_KEYS = 200
"""Of a node's status; chosen by hand: nodes have some 30."""
_LONGEST_VALUE = 10_000
"""Characters of a status's value; chosen by hand: more than the longest path."""
_SERVICE_TIMEOUT = 30.0
"""s; chosen by hand, longer than any source takes to open."""
_ANSWER_TIMEOUT = 5.0
"""s after which an answer is taken to be lost, and asked for again; chosen by hand."""
_REACHED_BY = {
    Transition.TRANSITION_CONFIGURE: State.PRIMARY_STATE_INACTIVE,
    Transition.TRANSITION_ACTIVATE: State.PRIMARY_STATE_ACTIVE,
    Transition.TRANSITION_DEACTIVATE: State.PRIMARY_STATE_INACTIVE,
}


class MonitorNode(Node):
    """Subscribes to the topics of some nodes, and changes the lifecycle state of one, the source of the images.

    All messages are received serialized, since few are deserialized. Anybody may send them: one that cannot be used is
    left out, and told as a problem of this node.

    Attributes:
        latencies: of the overlays.
        images_with_face: images with at least one face.
        faces: faces in the last image.
        statuses: what the nodes last reported on /diagnostics.
        status_count: how many statuses of each node came.
        problems: the error of each node that reports one.
    """

    def __init__(self, watched: Collection[str], source: str, **options: Any) -> None:
        """Watch nodes, given by fully qualified names without the leading slash; `source` is one of them."""
        # Services and a log that nobody uses would cost a little at each message.
        super().__init__("live_monitor", start_parameter_services=False, enable_rosout=False, **options)
        self._source = source
        self._change_state = self.create_client(ChangeState, f"/{source}/change_state")
        self._get_state = self.create_client(GetState, f"/{source}/get_state")
        self._calibrate: Client | None = None
        self.latencies = Latencies()
        self.images_with_face = 0
        self.faces = 0
        self.statuses = Statuses()
        self.status_count: Counter[str] = Counter()
        self.problems: dict[str, str] = {}
        self._watched = frozenset(watched)
        self._recording: Recording | None = None
        self._recorded: RecordedTopics | None = None
        self.create_subscription(
            DiagnosticArray, _DIAGNOSTICS, self._guarded(_DIAGNOSTICS, self._on_diagnostics), _DEPTH, raw=True
        )

    def source_is_ready(self) -> bool:
        """Whether the source's lifecycle state can be changed."""
        return self._change_state.service_is_ready() and self._get_state.service_is_ready()

    def namesakes(self, *, started: bool) -> list[str]:
        """The names of watched nodes that other nodes have too; `started`: whether the watched nodes run already."""
        names = [f"{space}/{name}".strip("/") for name, space in self.get_node_names_and_namespaces()]
        return sorted(name for name in self._watched if names.count(name) > started)

    def topics(self) -> list[Topic] | None:
        """The topics that the watched nodes publish, by name; None while not all nodes have been discovered."""
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
        """Subscribe to what is measured, and, for a recording, to what it wants."""
        self._recording = recording
        wanted = set() if recording is None else recording.wanted
        others = []
        for topic in topics:
            if topic.name == OVERLAY:
                # By the executor, which is told at once: when others could have the overlay is what is measured.
                self._subscribe_to_overlays(topic)
            elif topic.name == _PARAMETERS or topic.name in wanted:
                others.append((topic, _message_class(topic.message_type)))
        self._recorded = RecordedTopics(others, self._take, self.report_failure, context=self.context)

    def destroy_node(self) -> None:
        """Unsubscribe, once what has come is written."""
        if self._recorded is not None:
            self._recorded.close()
            self._recorded = None
        super().destroy_node()

    def _subscribe_to_overlays(self, topic: Topic) -> None:
        def take(message: bytes) -> None:
            now = self.get_clock().now().nanoseconds
            seconds, nanoseconds = serialized_stamp(message)
            self.latencies.add(1_000_000_000 * seconds + nanoseconds, now)
            self._record(topic.name, now, message)

        self.create_subscription(
            _message_class(topic.message_type),
            topic.name,
            self._guarded(topic.name, take),
            topic.qos,
            raw=True,
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
        )

    def report_failure(self, where: str, error: Exception) -> None:
        """Tell of what went wrong with a message of a topic, or elsewhere; the monitor goes on."""
        # The first of them: each that is told is a line, and there may be thousands.
        self.problems.setdefault(self.get_name(), f"{where}: {for_people(summary(error))}")

    def _guarded(self, topic: str, take: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """What takes a topic's messages, whatever they are."""

        def take_or_report(message: bytes) -> None:
            try:
                take(message)
            except Exception as error:
                self.report_failure(topic, error)

        return take_or_report

    def _take(self, topic: str, time_ns: int, message: bytes) -> None:
        if topic == _PARAMETERS:
            self._guarded(topic, self._count_faces)(message)
        self._record(topic, time_ns, message)

    def _record(self, topic: str, time_ns: int, message: bytes) -> None:
        if self._recording is not None and topic in self._recording.wanted:
            self._recording.write(topic, time_ns, message)

    def _count_faces(self, serialized: bytes) -> None:
        self.faces = len(_read(serialized, Face3DMMParamsArray).faces)
        self.images_with_face += bool(self.faces)

    def _on_diagnostics(self, serialized: bytes) -> None:
        message = _read(serialized, DiagnosticArray)
        message.status = [status for status in message.status if node_of(status) in self._watched]
        for status in message.status:
            status.values = status.values[:_MOST_KEYS]
            for pair in status.values:
                pair.value = for_people(pair.value, _LONGEST_VALUE)
        self.statuses.take(message)
        for status in message.status:
            node = node_of(status)
            self.status_count[node] += 1
            self.problems.pop(node, None)
            if status.level == DiagnosticStatus.ERROR:
                self.problems[node] = for_people(status.message)

    def change_state(self, transition: int, unanswered: Callable[[], object] = lambda: None) -> None:
        """Make the source go through a lifecycle transition; to be called from another thread than the one that spins.

        Args:
            transition: as ROS numbers it.
            unanswered: is called whenever no answer came for a while; what it raises ends the waiting.

        Raises:
            Face3DMMError: the source does not answer, or its transition failed.
        """
        deadline = time.monotonic() + _SERVICE_TIMEOUT
        asked = ChangeState.Request(transition=Transition(id=transition))
        answer = self._answer(self._change_state, asked)
        while answer is None or not answer.success:
            # An answer may be lost while the two discover each other: then the node has changed all the same, or is
            # about to, and may refuse to do so again.
            state = self._answer(self._get_state, GetState.Request())
            if state is not None and state.current_state.id == _REACHED_BY[transition]:
                return
            if answer is not None and not answer.success:
                raise Face3DMMError(f"{self._source} could not be started or stopped: its own message says why")
            unanswered()
            if time.monotonic() > deadline:
                raise Face3DMMError(f"{self._source} did not answer within {_SERVICE_TIMEOUT:.0f} s")
            answer = self._answer(self._change_state, asked)

    def calibrate(self, node: str) -> Trigger.Response | None:
        """What a node answers when it is to calibrate; None if it does not in time. From another thread, as above."""
        if self._calibrate is None:
            self._calibrate = self.create_client(Trigger, f"/{node}/calibrate")
        # Else the request is lost while the two discover each other.
        self._calibrate.wait_for_service(_ANSWER_TIMEOUT)
        return self._answer(self._calibrate, Trigger.Request())

    def _answer(self, client: Client, request: Any) -> Any:
        """What a service answers; None if it does not in time."""
        done = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: done.set())
        if done.wait(_ANSWER_TIMEOUT):
            return future.result()
        client.remove_pending_request(future)
        return None


def _read(serialized: bytes, kind: type) -> Any:
    """A message of a type.

    Raises:
        Face3DMMError: it is larger than what is looked at.
        Exception: the bytes are no such message; of many kinds.
    """
    if len(serialized) > _MOST_BYTES:
        raise Face3DMMError(f"it has {len(serialized)} bytes; up to {_MOST_BYTES} are looked at")
    return deserialize_message(serialized, kind)


def _message_class(message_type: str) -> type:
    """The class of a message type such as `std_msgs/msg/Header`."""
    package, _, name = message_type.split("/")
    return getattr(importlib.import_module(f"{package}.msg"), name)

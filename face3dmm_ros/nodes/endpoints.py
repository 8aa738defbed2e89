"""Topics of a node: what it takes messages from, and what it publishes."""

import copy
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from statistics import median
from time import monotonic
from typing import Any

from rclpy.exceptions import ParameterException
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.qos_overriding_options import InvalidQosOverridesError
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription

from face3dmm_ros.core.errors import Face3DMMError, one_line
from face3dmm_ros.nodes.diagnostics import Activity
from face3dmm_ros.nodes.hand_over import Taker, hand_over_of
from face3dmm_ros.nodes.qos import OVERRIDABLE, PublisherEventCallbacks, SubscriptionEventCallbacks
from face3dmm_ros.nodes.synchronization import serialized_stamp

_OVERRIDES = "qos_overrides"
_KEEPS_PACE = 0.8
"""Work on a message, as a share of the time between two, with which a node still catches up; chosen by hand."""
_TIMED = 9
"""Messages over which the work on one, and the time between two, is told; by hand, so that one stall does not count."""
_PATIENCE = 0.2
"""s for which one that paces itself waits for a node beside it; chosen by hand: longer than that takes for an image."""
_SILENCE = 5.0
"""s without a message after which a stream counts as silent; chosen by hand, longer than any node takes to start."""


class Output:
    """A topic that a node publishes while it is active.

    Nodes in this process are handed what is published; the middleware gets it where others listen.

    Attributes:
        topic: its name in the code.
    """

    def __init__(
        self, node: LifecycleNode, activity: Activity, message_type: type, topic: str, qos: QoSProfile, *, paced: bool
    ) -> None:
        """Advertise the topic; Face3DMMError if the user's QoS for it cannot be.

        What is `paced` returns from being published once nodes beside this one have taken it.
        """
        # rclpy's events cost each turn of an executor; the subscriber's own tells of QoS that do not match.
        self._publisher = with_users_qos(
            node.create_lifecycle_publisher,
            message_type,
            topic,
            qos,
            event_callbacks=PublisherEventCallbacks(use_default_callbacks=False),
        )
        self._node, self._activity = node, activity
        self.topic, self._topic_name = topic, node.resolve_topic_name(topic)
        # Those who come later get a latched message from the middleware.
        latched = self._publisher.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
        self._hand_over = None if latched else hand_over_of(node.context)
        self._paced = paced
        self._known: tuple[int, Counter[str]] | None = None
        self._heard_outside = True

    @property
    def subscribers(self) -> int:
        """How many listen."""
        return self._publisher.get_subscription_count()

    @property
    def listeners(self) -> int:
        """How many listen anywhere, those beside this node too."""
        return int(self._node.count_subscribers(self._topic_name))

    @property
    def has_takers(self) -> bool:
        """Whether nodes beside this one take the messages themselves, so that serialized ones are of no use to them."""
        return self._hand_over is not None and bool(self._hand_over.takers(self._topic_name))

    def publish(self, message: object) -> None:
        """Publish and count a message, which nobody may change then; nothing happens while the node is inactive.

        Without takers it may be given serialized, as bytes.
        """
        if not self._publisher.is_activated:
            return
        if self._hand_over is not None and not isinstance(message, bytes):
            self._hand_over.hand(self._topic_name, message)
        if self._hand_over is None or self._is_heard_outside():
            self._publisher.publish(message)
        self._activity.published[self.topic] += 1
        if self._hand_over is not None and self._paced:
            self._hand_over.await_taken(self._topic_name, _PATIENCE)

    def _is_heard_outside(self) -> bool:
        """Whether anybody listens who is not handed the messages."""
        assert self._hand_over is not None
        takers = self._hand_over.takers(self._topic_name)
        # Who they are takes long to ask, and changes only with how many they are.
        if self._known != (seen := (self.subscribers, takers)):
            listeners = self._node.get_subscriptions_info_by_topic(self._topic_name)
            names = [f"{each.node_namespace.rstrip('/')}/{each.node_name}" for each in listeners]
            self._heard_outside = bool(Counter(names) - takers)
            # The name of one that has just come may not be known yet.
            everyone = self.subscribers, self.subscribers + takers.total()
            self._known = seen if len(names) in everyone else None
        return self._heard_outside

    def enable(self) -> None:
        """Publish from now on, in a node that is active already."""
        self._publisher.on_activate(None)

    def destroy(self) -> None:
        """Withdraw the topic."""
        self._node.destroy_lifecycle_publisher(self._publisher)
        _forget_users_qos(self._node, f"{self._node.resolve_topic_name(self.topic)}.publisher")


class Input:
    """A topic that a node takes messages from while it works.

    A stream has one message for each image. A node that keeps pace with it works through what waits after a stall; one
    that does not skips to the newest. Messages that were overwritten before they could be taken, or lost on the way,
    are counted where rclpy tells their numbers (from Jazzy on).

    Attributes:
        topic: its name in the code.
        topic_name: its full name, remapped.
        msg_type: the class of its messages.
    """

    def __init__(
        self,
        node: LifecycleNode,
        activity: Activity,
        message_type: type,
        topic: str,
        handle: Callable[[Any], None],
        qos: QoSProfile,
        *,
        raw: bool,
        stream: bool,
        only_arrival: bool,
        kept: int,
        first: bool,
        most_bytes: int,
        is_wanted: Callable[[], bool],
        on_mismatch: Callable[[Any], None],
        on_refused: Callable[[str], None],
    ) -> None:
        """Subscribe; Face3DMMError if the user's QoS for the topic cannot be.

        `handle` is called with each message that comes while `is_wanted`: serialized where `raw`, with nothing where
        `only_arrival`. At least `kept` that nodes beside this one hand over wait for it, and where it is `first` those
        beside it get them later. `on_mismatch` is called where a publisher's QoS does not go with this one,
        `on_refused` with why a message of more than `most_bytes`, if that is not 0, was not read.
        """
        self.topic, self.msg_type = topic, message_type
        self.topic_name: str = node.resolve_topic_name(topic)
        self._node, self._activity, self._handle, self._qos = node, activity, handle, qos
        self._raw, self._stream, self._on_mismatch = raw, stream, on_mismatch
        self._only_arrival, self._kept, self._first = only_arrival, kept, first
        self._most_bytes, self._on_refused = most_bytes, on_refused
        self._is_wanted = is_wanted
        self._subscription: Any = None
        self._hand_over = None if raw and not only_arrival else hand_over_of(node.context)
        self._taker: Taker | None = None
        self._work_s: deque[float] = deque([0.0], maxlen=_TIMED)
        self._taken: deque[tuple[float, int]] = deque(maxlen=_TIMED)  # times, s, and numbers of messages
        self.open()

    def open(self) -> None:
        """Subscribe, unless that is done."""
        if self._subscription is not None:
            return
        self._last_number = 0
        self.wait_anew()
        if self._hand_over is not None:
            # First, so that nothing comes through the middleware alone, to be found behind what is handed over then.
            self._taker = Taker(self._node, self.topic_name, self._take_handed)
            self._hand_over.join(self._taker, first=self._first)
        # Humble's rclpy tells no numbers.
        numbered = hasattr(Subscription, "CallbackType")
        self._subscription = with_users_qos(
            self._node.create_subscription,
            self.msg_type,
            self.topic,
            self._qos,
            callback=self._take if numbered else lambda message: self._take(message, {}),
            raw=self._serialized,
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=self._on_mismatch, use_default_callbacks=False),
        )
        if self._taker is not None:
            depth = self._subscription.qos_profile.depth
            self._taker.keep(max(depth, self._kept) if depth else 0)

    def close(self) -> None:
        """Unsubscribe until opened again."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
        if self._taker is not None:
            assert self._hand_over is not None
            self._hand_over.leave(self._taker)
            self._taker.close()
            self._taker = None

    def destroy(self) -> None:
        """Unsubscribe for good."""
        self.close()
        _forget_users_qos(self._node, f"{self.topic_name}.subscription")

    def wait_anew(self) -> None:
        """Begin to wait for messages: their absence is told only after a while."""
        self._heard_at = monotonic()

    def complaint(self) -> str:
        """What there is to say of a stream from which nothing comes; empty if there is nothing to say."""
        silence = monotonic() - self._heard_at
        if not self._stream or silence < _SILENCE:
            return ""
        count = self._node.count_publishers(self.topic_name)
        publishers = f"{count or 'no'} publisher{'s' * (count > 1)}"
        return f"no {self.msg_type.__name__} on {self.topic_name} for {silence:.0f} s: it has {publishers}"

    @property
    def _serialized(self) -> bool:
        """Whether messages are taken from the middleware serialized.

        Copies of what a node beside this one has handed over are left so, and what is too large.
        """
        return self._raw or self._only_arrival or self._hand_over is not None or self._most_bytes > 0

    def _take(self, message: Any, info: Mapping[str, Any]) -> None:
        """Handle a message, and with it those that wait behind it, as far as the node keeps pace."""
        if not self._is_wanted():
            self._last_number = 0
            return
        taken = [(message, info), *(self._waiting() if self._stream else ())]
        new = [message for message, _ in taken if not self._was_handed(message)]
        if not new:
            return
        self._count(len(taken), taken[-1][1].get("publication_sequence_number", 0))
        if self._serialized and not (self._raw or self._only_arrival):
            new = [read for message in new if (read := self._read(message)) is not None]
        if new:
            self._work_through(new)

    def _take_handed(self) -> None:
        """Handle what nodes beside this one have handed over, as far as the node keeps pace."""
        if self._taker is None:
            return
        taken, overwritten = self._taker.take()
        if not taken or not self._is_wanted():
            return
        self._heard_at = monotonic()
        self._activity.received[self.topic] += len(taken)
        if self._stream:
            self._activity.lost[self.topic] += overwritten
        self._work_through(taken)

    def _was_handed(self, message: Any) -> bool:
        """Whether a serialized message is the copy of one that was handed over."""
        return self._taker is not None and self._taker.had(serialized_stamp(message))

    def _read(self, message: bytes) -> Any:
        """A message of its bytes; None, which is said, where they are too many or make none."""
        if 0 < self._most_bytes < len(message):
            self._on_refused(f"a message of {len(message)} bytes: up to {self._most_bytes} are read")
            return None
        try:
            return deserialize_message(message, self.msg_type)
        except Exception as error:  # rclpy has a kind of error for each middleware
            self._on_refused(f"a message that cannot be read: {one_line(error)}")
            return None

    def _work_through(self, messages: list[Any]) -> None:
        """Handle messages that have come together; of a stream the newest alone where the node does not keep pace."""
        self._taken.append((monotonic(), len(messages)))
        kept_back = messages if not self._stream or self._keeps_pace() else messages[-1:]
        self._activity.dropped += len(messages) - len(kept_back)
        for message in kept_back:
            start = monotonic()
            self._handle(None if self._only_arrival else message)
            self._work_s.append(monotonic() - start)

    def _keeps_pace(self) -> bool:
        """Whether the work on a message takes clearly less time than passes until the next comes."""
        count = sum(count for _, count in self._taken)
        period = (self._taken[-1][0] - self._taken[0][0]) / max(count - 1, 1)
        return median(self._work_s) <= _KEEPS_PACE * period

    def _waiting(self) -> Iterator[tuple[Any, Mapping[str, Any]]]:
        """Take the messages that wait, the oldest first."""
        for _ in range(self._subscription.qos_profile.depth):
            with self._subscription.handle:
                taken = self._subscription.handle.take_message(self.msg_type, self._serialized)
            if taken is None:
                return
            yield taken

    def _count(self, count: int, number: int) -> None:
        """Count messages, the last of which has a number, and those between them and the ones before."""
        self._heard_at = monotonic()
        self._activity.received[self.topic] += count
        missed = number - self._last_number - count if self._last_number else 0
        # Several publishers number their messages each for itself.
        if self._stream and missed > 0 and self._node.count_publishers(self.topic_name) == 1:
            self._activity.lost[self.topic] += missed
        self._last_number = number


def with_users_qos(create: Callable[..., Any], message_type: type, topic: str, qos: QoSProfile, **options: Any) -> Any:
    """Create a publisher or subscription with a QoS that the user can override by parameters.

    Raises:
        Face3DMMError: the user's QoS cannot be.
    """
    try:
        # A copy, which rclpy puts the user's values into.
        return create(message_type, topic, qos_profile=copy.copy(qos), qos_overriding_options=OVERRIDABLE, **options)
    except (ParameterException, InvalidQosOverridesError, RuntimeError, ValueError) as error:
        raise Face3DMMError(f"the parameters {_OVERRIDES} of {topic} cannot be used: {error}") from error


def _forget_users_qos(node: LifecycleNode, endpoint: str) -> None:
    """Undeclare the parameters of an endpoint's QoS, so that its next one has defaults of its own."""
    prefix = f"{_OVERRIDES}.{endpoint}"
    for name in node.get_parameters_by_prefix(prefix):
        node.describe_parameter(f"{prefix}.{name}").read_only = False  # what rclpy declares so, it does not undeclare
        node.undeclare_parameter(f"{prefix}.{name}")

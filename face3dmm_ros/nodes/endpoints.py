"""Topics of a node: what it takes messages from, and what it publishes."""

import copy
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from statistics import median
from time import monotonic
from typing import Any

from rclpy.exceptions import ParameterException
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import InvalidQosOverridesError
from rclpy.subscription import Subscription

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.nodes.diagnostics import Activity
from face3dmm_ros.nodes.qos import OVERRIDABLE, PublisherEventCallbacks, SubscriptionEventCallbacks

_OVERRIDES = "qos_overrides"
_KEEPS_PACE = 0.8
"""Work on a message, as a share of the time between two, with which a node still catches up; chosen by hand."""
_TIMED = 9
"""Messages over which the work on one, and the time between two, is told; by hand, so that one stall does not count."""
_SILENCE = 5.0
"""s without a message after which a stream counts as silent; chosen by hand, longer than any node takes to start."""


class Output:
    """A topic that a node publishes while it is active.

    Attributes:
        topic: its name in the code.
    """

    def __init__(
        self, node: LifecycleNode, activity: Activity, message_type: type, topic: str, qos: QoSProfile
    ) -> None:
        """Advertise the topic; Face3DMMError if the user's QoS for it cannot be."""
        # rclpy's events cost each turn of an executor; the subscriber's own tells of QoS that do not match.
        self._publisher = with_users_qos(
            node.create_lifecycle_publisher,
            message_type,
            topic,
            qos,
            event_callbacks=PublisherEventCallbacks(use_default_callbacks=False),
        )
        self._node, self._activity = node, activity
        self.topic = topic

    @property
    def subscribers(self) -> int:
        """How many listen."""
        return self._publisher.get_subscription_count()

    def publish(self, message: object) -> None:
        """Publish and count a message; nothing happens while the node is inactive."""
        if self._publisher.is_activated:
            self._publisher.publish(message)
            self._activity.published[self.topic] += 1

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
        is_wanted: Callable[[], bool],
        on_mismatch: Callable[[Any], None],
    ) -> None:
        """Subscribe; Face3DMMError if the user's QoS for the topic cannot be.

        `handle` is called with each message, serialized where `raw`, that comes while `is_wanted`; `on_mismatch` where
        a publisher's QoS does not go with this one.
        """
        self.topic, self.msg_type = topic, message_type
        self.topic_name: str = node.resolve_topic_name(topic)
        self._node, self._activity, self._handle, self._qos = node, activity, handle, qos
        self._raw, self._stream, self._on_mismatch = raw, stream, on_mismatch
        self._is_wanted = is_wanted
        self._subscription: Any = None
        self._work_s: deque[float] = deque([0.0], maxlen=_TIMED)
        self._taken: deque[tuple[float, int]] = deque(maxlen=_TIMED)  # times, s, and numbers of messages
        self.open()

    def open(self) -> None:
        """Subscribe, unless that is done."""
        if self._subscription is not None:
            return
        self._last_number = 0
        self.wait_anew()
        # Humble's rclpy tells no numbers.
        numbered = hasattr(Subscription, "CallbackType")
        self._subscription = with_users_qos(
            self._node.create_subscription,
            self.msg_type,
            self.topic,
            self._qos,
            callback=self._take if numbered else lambda message: self._take(message, {}),
            raw=self._raw,
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=self._on_mismatch, use_default_callbacks=False),
        )

    def close(self) -> None:
        """Unsubscribe until opened again."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

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

    def _take(self, message: Any, info: Mapping[str, Any]) -> None:
        """Handle a message, and with it those that wait behind it, as far as the node keeps pace."""
        if not self._is_wanted():
            self._last_number = 0
            return
        taken = [(message, info), *(self._waiting() if self._stream else ())]
        self._count(len(taken), taken[-1][1].get("publication_sequence_number", 0))
        self._taken.append((monotonic(), len(taken)))
        kept_back = taken if self._keeps_pace() else taken[-1:]
        self._activity.dropped += len(taken) - len(kept_back)
        for kept, _ in kept_back:
            start = monotonic()
            self._handle(kept)
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
                taken = self._subscription.handle.take_message(self.msg_type, self._raw)
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

"""Topics that are recorded and otherwise not looked at: their messages are fetched in a loop, without an executor.

rclpy builds what it waits for anew for each message, in Python: that took a millisecond for each of a dozen messages an
image, beside nodes that need the processor.
"""

import threading
from collections.abc import Callable, Iterable
from typing import Any

from rclpy.context import Context
from rclpy.node import Node

from face3dmm_ros.core.closing import Closing
from face3dmm_ros.live.recording import Topic
from face3dmm_ros.nodes.qos import SubscriptionEventCallbacks

_PERIOD = 0.02
"""s from one look to the next; chosen by hand: less than the queues hold by far. When a message came the middleware
tells."""


class RecordedTopics(Closing):
    """Subscriptions of a node that nobody spins, and a thread that passes on what has come."""

    def __init__(
        self,
        topics: Iterable[tuple[Topic, type]],
        write: Callable[[str, int, bytes], None],
        report: Callable[[str, Exception], object] = lambda topic, error: None,
        *,
        context: Context | None = None,
    ) -> None:
        """Subscribe to topics, given with the classes of their messages.

        `write` gets of each message the topic's name, when it came, in ns, and its bytes; `report` gets a topic's name
        and the error of one that could not be fetched or written.
        """
        self._write, self._report = write, report
        self._node = Node("live_recorder", start_parameter_services=False, enable_rosout=False, context=context)
        events = SubscriptionEventCallbacks(use_default_callbacks=False)
        self._subscriptions: list[tuple[str, Any]] = [
            (
                topic.name,
                self._node.create_subscription(
                    message_class, topic.name, lambda _: None, topic.qos, raw=True, event_callbacks=events
                ),
            )
            for topic, message_class in topics
        ]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._fetch_until_stopped, name="recorded topics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Fetch what has come meanwhile, and unsubscribe."""
        self._stop.set()
        self._thread.join()
        self._node.destroy_node()

    def _fetch_until_stopped(self) -> None:
        while not self._stop.wait(_PERIOD):
            self._fetch()
        self._fetch()

    def _fetch(self) -> None:
        for name, subscription in self._subscriptions:
            # What goes wrong with one is no reason to fetch no others.
            try:
                self._fetch_from(name, subscription)
            except Exception as error:
                self._report(name, error)

    def _fetch_from(self, name: str, subscription: Any) -> None:
        while True:
            with subscription.handle:
                taken = subscription.handle.take_message(subscription.msg_type, True)
            if taken is None:
                return
            message, about = taken
            # Not every middleware tells when a message came.
            self._write(name, about["received_timestamp"] or self._node.get_clock().now().nanoseconds, message)

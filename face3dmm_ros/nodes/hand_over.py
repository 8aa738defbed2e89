"""Messages between the nodes of one process: handed over as they are, neither serialized nor copied.

rclpy sends what a node publishes through the middleware even to a node beside it, which costs a serialization, two
copies and a deserialization for each subscriber: milliseconds for an image. rclcpp's intra-process communication, which
does without, is not there in Python. So nodes that are composed share a `HandOver`; the middleware gets what somebody
outside of the process listens to.
"""

from collections import Counter, deque
from collections.abc import Callable
from threading import Condition, Lock
from typing import Any
from weakref import WeakKeyDictionary

from rclpy.context import Context
from rclpy.node import Node

from face3dmm_ros.nodes.prompt_executor import PromptExecutor
from face3dmm_ros.nodes.synchronization import Stamp, stamp_of

_REMEMBERED = 256
"""Stamps of messages whose copies may yet come through the middleware; chosen by hand: seconds of a stream."""

_NOBODY: Counter[str] = Counter()


class Taker:
    """Where a node takes the messages of a topic that nodes beside it publish.

    What is put here by another thread waits for the node's executor; see `keep`.

    Attributes:
        topic_name: fully resolved.
        node_name: fully qualified.
    """

    def __init__(self, node: Node, topic_name: str, wake: Callable[[], None]) -> None:
        """Of a node, whose executor calls `wake` when something has come."""
        self.topic_name, self.node_name = topic_name, node.get_fully_qualified_name()
        self._waiting: deque[Any] = deque()
        self._stamps: deque[Stamp] = deque(maxlen=_REMEMBERED)
        self._overwritten = 0
        self._lock = Lock()
        self._was_taken = Condition(self._lock)
        self._node, self._wake = node, wake
        self._guard = node.create_guard_condition(wake)

    def keep(self, depth: int) -> None:
        """Let no more than the newest `depth` messages wait; all where that is 0."""
        with self._lock:
            self._waiting = deque(self._waiting, maxlen=depth or None)

    def put(self, message: Any) -> None:
        """Let a message wait, in place of the oldest where no more may."""
        with self._lock:
            self._overwritten += len(self._waiting) == self._waiting.maxlen
            self._waiting.append(message)
            self._stamps.append(stamp_of(message.header))
        executor = self._node.executor
        if isinstance(executor, PromptExecutor):
            executor.call(self._wake)
        else:
            self._guard.trigger()

    def take(self) -> tuple[list[Any], int]:
        """What waits, the oldest first, and how many were overwritten since the last call."""
        with self._lock:
            taken, overwritten = list(self._waiting), self._overwritten
            self._waiting.clear()
            self._overwritten = 0
            self._was_taken.notify_all()
        return taken, overwritten

    def await_taken(self, seconds: float) -> None:
        """Wait until nothing waits here, or no longer than some time; not in the thread that is to take it."""
        executor = self._node.executor
        if isinstance(executor, PromptExecutor) and not executor.is_here:
            with self._was_taken:
                self._was_taken.wait_for(lambda: not self._waiting, seconds)

    def had(self, stamp: Stamp) -> bool:
        """Whether a message that came through the middleware is the copy of one that was put here; told once of it."""
        with self._lock:
            known = stamp in self._stamps
            if known:
                self._stamps.remove(stamp)
        return known

    def close(self) -> None:
        """Take no more; call it once it has left the `HandOver`."""
        self._node.destroy_guard_condition(self._guard)


class HandOver:
    """What the nodes of one process take from each other."""

    def __init__(self) -> None:
        """Without takers."""
        self._takers: dict[str, list[Taker]] = {}
        self._names: dict[str, Counter[str]] = {}  # of the takers' nodes; kept, as each message asks for them
        self._lock = Lock()

    def join(self, taker: Taker, *, first: bool = False) -> None:
        """Hand over to it from now on, before the others where it is to be `first`."""
        with self._lock:
            takers = self._takers.setdefault(taker.topic_name, [])
            takers.insert(0 if first else len(takers), taker)
            self._count(taker.topic_name)

    def leave(self, taker: Taker) -> None:
        """Hand over to it no more."""
        with self._lock:
            self._takers[taker.topic_name].remove(taker)
            self._count(taker.topic_name)

    def hand(self, topic_name: str, message: Any) -> None:
        """Give a message to all who take the topic; nobody may change it from now on."""
        # Held meanwhile, so that none that has left is woken.
        with self._lock:
            for taker in self._takers.get(topic_name, ()):
                taker.put(message)

    def await_taken(self, topic_name: str, seconds: float) -> None:
        """Wait until all have taken what they were handed of a topic, for each no longer than some time."""
        with self._lock:
            takers = list(self._takers.get(topic_name, ()))
        for taker in takers:
            taker.await_taken(seconds)

    def takers(self, topic_name: str) -> Counter[str]:
        """How many takers of a topic each node has, by its fully qualified name."""
        return self._names.get(topic_name, _NOBODY)

    def _count(self, topic_name: str) -> None:
        self._names[topic_name] = Counter(taker.node_name for taker in self._takers[topic_name])


_between: WeakKeyDictionary[Context, HandOver] = WeakKeyDictionary()


def hand_over_between_nodes(context: Context) -> None:
    """Let the nodes that will be made in a context hand messages to each other."""
    _between[context] = HandOver()


def hand_over_of(context: Context) -> HandOver | None:
    """What the nodes of a context share; None where each is alone in its process."""
    return _between.get(context)

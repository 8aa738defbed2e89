"""What a node did, counted and timed, as the status that it reports on /diagnostics; and such statuses read again."""

import math
import socket
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

_REMEMBERED_FRAMES = 10_000
"""Of whose durations the medians are taken: five and a half minutes at 30 images/s. Chosen by hand: with more,
medians are steadier and show a change later."""
TASK = "images"
"""What a status is about; its name is that of the node and this."""
STAMPS = "stamps"
CALIBRATION = "calibration"
"""The entry of the avatar node's status that says what came of the last calibration."""
_LOST = "it falls behind, or the middleware loses them (docs/live.md)"
_LATE_MS = 250.0
"""Median age of the answers, ms, from which a node is told to be late; chosen by hand: an avatar lags visibly."""
_OTHER_CLOCK_MS = 60_000.0
"""Age from which an image was not stamped by this clock, but recorded; chosen by hand."""


def _recent() -> deque[float]:
    return deque(maxlen=_REMEMBERED_FRAMES)


@dataclass
class Activity:
    """Counts since the node was configured; durations of its last 10,000 images.

    Attributes:
        received: messages received, by topic.
        published: messages published, by topic.
        lost: messages that were sent and did not get to be received, by topic.
        skipped: messages that could not be used.
        dropped: images given up without results.
        answered: images whose results have been published.
        faces: faces in the last image.
        stage_ms: durations of each stage, ms, by its name.
        latency_ms: from the images' stamps to the publication of their results, ms.
        problem: what keeps the node from doing its work fully; empty if nothing does.
        waiting: what the node waits for before it can work; empty if nothing.
        details: further entries of the status, by key; under `STAMPS`, what is wrong with the images' stamps.
        skip_reason: why the last message was skipped.
        hardware: what the node works with: a camera, or else this machine.
    """

    received: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    published: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    lost: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    skipped: int = 0
    dropped: int = 0
    answered: int = 0
    faces: int = 0
    stage_ms: defaultdict[str, deque[float]] = field(default_factory=lambda: defaultdict(_recent))
    latency_ms: deque[float] = field(default_factory=_recent)
    problem: str = ""
    waiting: str = ""
    details: dict[str, str] = field(default_factory=dict)
    skip_reason: str = ""
    hardware: str = field(default_factory=socket.gethostname)

    def __post_init__(self) -> None:
        self._reported_at = time.monotonic()
        self._answered_before = 0
        self._bad_before = self._skipped_before = 0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure how long a stage takes."""
        start = time.perf_counter()
        yield
        self.stage_ms[name].append(1e3 * (time.perf_counter() - start))

    def skip(self, reason: str) -> None:
        """Count a message that could not be used."""
        self.skipped += 1
        self.skip_reason = reason

    def status(
        self, node: str, subscribers: Mapping[str, int], *, resting: str = "", warnings: Sequence[str] = ()
    ) -> DiagnosticStatus:
        """The status of a node whose topics have these numbers of subscribers; rates are since the last call.

        ERROR while there is a problem. OK while the node is resting: inactive, say. Else WARN while it waits, if there
        are warnings, of which the first is told, or if since the last status a message was skipped or lost, or an image
        dropped, or the answers came late. Keys with a slash belong to one topic or stage.
        """
        # Other threads count and time meanwhile: a copy is made at once, where going through the original is not.
        now = time.monotonic()
        answered = self.answered - self._answered_before
        rate = answered / max(now - self._reported_at, 1e-3)
        bad = self.skipped + self.dropped + sum(self.lost.copy().values())
        values = {
            "rate_hz": f"{rate:.1f}",
            "answered": self.answered,
            "faces": self.faces,
            "skipped": self.skipped,
            "dropped": self.dropped,
            **self.details.copy(),
            **{f"received/{topic}": count for topic, count in self.received.copy().items()},
            **{f"published/{topic}": count for topic, count in self.published.copy().items()},
            **{f"lost/{topic}": count for topic, count in self.lost.copy().items()},
            **{f"subscribers/{topic}": count for topic, count in subscribers.items()},
            **{
                f"stage_ms/{stage}": f"{np.median(list(times)):.3f}"
                for stage, times in self.stage_ms.copy().items()
                if times
            },
        }
        if self.latency_ms:
            values["latency_ms"] = f"{np.median(list(self.latency_ms)):.2f}"
        status = DiagnosticStatus(name=f"{node}: {TASK}", hardware_id=self.hardware, level=DiagnosticStatus.OK)
        status.message = resting or f"{rate:.1f} images/s"
        if self.problem:
            status.level, status.message = DiagnosticStatus.ERROR, self.problem
        elif not resting and (trouble := [*filter(None, (self.waiting, *warnings)), *self._news(answered, bad)]):
            status.level, status.message = DiagnosticStatus.WARN, trouble[0]
        status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        self._reported_at, self._answered_before = now, self.answered
        self._bad_before, self._skipped_before = bad, self.skipped
        return status

    def _news(self, answered: int, bad: int) -> Iterator[str]:
        """What is wrong with the messages since the last status; `answered` images since then, `bad` messages ever."""
        if bad > self._bad_before:
            reason = self.skip_reason if self.skipped > self._skipped_before else _LOST
            yield f"{bad - self._bad_before} messages lost, skipped or dropped: {reason}"
        if stamps := self.details.get(STAMPS):
            yield stamps
            return
        recent = list(self.latency_ms)[-answered:] if answered else []
        if recent and _LATE_MS < (age := float(np.median(recent))) < _OTHER_CLOCK_MS:
            yield f"it falls behind: answers are {age:.0f} ms old"


def node_of(status: DiagnosticStatus) -> str:
    """The name of the node whose status it is."""
    return status.name.partition(":")[0]


_COUNTED = ("answered", "skipped")
"""Keys of what a node counts from its start on."""
_MOST = 2**63 - 1
"""Of a count: no node comes so far, and a number of thousands of digits cannot even be written."""


class Statuses(dict[str, dict[str, str]]):
    """What nodes last reported on /diagnostics: their statuses' values by key, by the nodes' names."""

    def __init__(self) -> None:
        """Nothing yet."""
        super().__init__()
        self._before: Counter[tuple[str, str]] = Counter()

    def take(self, message: DiagnosticArray) -> None:
        """Keep the statuses of a message."""
        for status in message.status:
            node = node_of(status)
            values = {pair.key: pair.value for pair in status.values}
            for key in _COUNTED:
                last = _integer(self.get(node, {}), key)
                if _integer(values, key) < last:
                    self._before[node, key] += last
            self[node] = values

    def count(self, node: str, key: str) -> int:
        """An integer of a node's status; 0 where the node has not reported it.

        What it counts goes on where a node was started again, from what it had last reported.
        """
        return self._before[node, key] + _integer(self.get(node, {}), key)

    def subscribers(self, node: str, topic: str) -> int:
        """How many subscribers a node sees on a topic that it publishes; 0 where it has not reported that."""
        return self.count(node, f"subscribers/{topic}")


def _integer(values: Mapping[str, str], key: str) -> int:
    """A value as a count; 0 where there is none, or something else: anybody may publish on /diagnostics."""
    try:
        return min(max(int(values.get(key, 0)), 0), _MOST)
    except ValueError:
        return 0


def number(value: str) -> float | None:
    """A value as a number; None where it is none, or not finite."""
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None

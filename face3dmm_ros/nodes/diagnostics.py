"""What a node did, counted and timed, as the status it reports on /diagnostics."""

import time
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

_REMEMBERED_FRAMES = 10_000


def _recent() -> deque[float]:
    return deque(maxlen=_REMEMBERED_FRAMES)


@dataclass
class Activity:
    """Counts since the node was configured; times of its last 10,000 images.

    Attributes:
        received: messages taken, by topic.
        published: messages given, by topic.
        lost: messages that the middleware says never arrived, by topic.
        skipped: messages that could not be used.
        dropped: images given up without an answer.
        answered: images answered.
        faces: faces in the last image.
        stage_ms: duration of each stage, ms, by its name.
        latency_ms: image's stamp to its answer, ms.
        problem: what keeps the node from doing its work fully; empty if nothing does.
        waiting: what has to come before the node can work; empty if it is there.
        details: what else is to be known, by key.
        complaint: why the last message was skipped.
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
    complaint: str = ""

    def __post_init__(self) -> None:
        self._reported_at = time.monotonic()
        self._answered_before = 0
        self._bad_before = 0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage."""
        start = time.perf_counter()
        yield
        self.stage_ms[name].append(1e3 * (time.perf_counter() - start))

    def skip(self, reason: str) -> None:
        """Count a message that cannot be used."""
        self.skipped += 1
        self.complaint = reason

    def status(self, name: str, subscribers: dict[str, int]) -> DiagnosticStatus:
        """The node's status since the last one. Keys with a slash are the topic's or stage's own.

        ERROR while there is a problem; WARN while the node waits, and if since the last status a message was skipped,
        lost or an image dropped.
        """
        now = time.monotonic()
        rate = (self.answered - self._answered_before) / max(now - self._reported_at, 1e-3)
        bad = self.skipped + self.dropped + sum(self.lost.values())
        values = {
            "rate_hz": f"{rate:.1f}",
            "answered": self.answered,
            "faces": self.faces,
            "skipped": self.skipped,
            "dropped": self.dropped,
            **self.details,
            **{f"received/{topic}": count for topic, count in self.received.items()},
            **{f"published/{topic}": count for topic, count in self.published.items()},
            **{f"lost/{topic}": count for topic, count in self.lost.items()},
            **{f"subscribers/{topic}": count for topic, count in subscribers.items()},
            **{f"stage_ms/{stage}": f"{np.median(times):.3f}" for stage, times in self.stage_ms.items()},
        }
        if self.latency_ms:
            values["latency_ms"] = f"{np.median(self.latency_ms):.2f}"
        status = DiagnosticStatus(name=name, level=DiagnosticStatus.OK, message=f"{rate:.1f} images/s")
        if self.problem:
            status.level, status.message = DiagnosticStatus.ERROR, self.problem
        elif self.waiting:
            status.level, status.message = DiagnosticStatus.WARN, self.waiting
        elif bad > self._bad_before:
            status.level = DiagnosticStatus.WARN
            status.message = f"{bad - self._bad_before} messages lost, skipped or dropped: {self.complaint or 'late'}"
        status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        self._reported_at, self._answered_before, self._bad_before = now, self.answered, bad
        return status

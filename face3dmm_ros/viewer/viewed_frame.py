"""All that is shown of one image, and how it is assembled from messages that arrive one by one."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from face3dmm_ros.core.image_clock import ImageClock
from face3dmm_ros.core.values import FaceParameters, Landmarks, Mesh

IMAGE, OVERLAY, LANDMARKS, PARAMETERS, MESH = "image", "overlay", "landmarks", "params", "mesh"
PARTS = (IMAGE, LANDMARKS, PARAMETERS, MESH, OVERLAY)
"""The parts of a frame, in the order in which they come."""

# Both chosen by hand: a stamp older than a second is taken for a restart of the clock, and parts of one image are not
# 100 images apart.
_LATE_NS = 1_000_000_000
_KNOWN_FRAMES = 100
# Below 1, so that a jittering camera of just this rate is not shown at half of it; chosen by hand.
_PERIOD_SHARE = 0.9


@dataclass(frozen=True, eq=False)
class ViewedFrame:
    """An image and its results. A part that did not come is None; an empty mapping means that there is no face.

    Attributes:
        stamp_ns: the image's stamp, ns, or the time that `FrameTimes` takes instead.
        image: a JPEG or PNG file's bytes.
        overlay: the same of the image with the faces drawn over it.
        landmarks: by face_id.
        parameters: by face_id.
        meshes: by face_id.
        latency_ms: by part, from the image's stamp to the arrival, ms; only what was measured.
    """

    stamp_ns: int
    image: bytes | None = None
    overlay: bytes | None = None
    landmarks: Mapping[int, Landmarks] | None = None
    parameters: Mapping[int, FaceParameters] | None = None
    meshes: Mapping[int, Mesh] | None = None
    latency_ms: Mapping[str, float] = field(default_factory=dict)


@dataclass(eq=False)
class _Unfinished:
    """What has come about one image so far: by part a picture or, by face_id, values."""

    values: dict[str, Any] = field(default_factory=dict)
    latency_ms: dict[str, float] = field(default_factory=dict)

    def finished(self, stamp_ns: int) -> ViewedFrame:
        part = self.values.get
        return ViewedFrame(
            stamp_ns, part(IMAGE), part(OVERLAY), part(LANDMARKS), part(PARAMETERS), part(MESH), self.latency_ms
        )


class FrameTimes:
    """Assigns each part to an image, which is identified by a time.

    That is the image's stamp, or the clock's time if stamps are unusable: a part that comes again under one stamp
    belongs to another image, as when all stamps are zero. A new stamp shortly before the newest one belongs to an image
    of which nothing had come yet.

    Attributes:
        clock: tells the time of images whose stamps are unusable.
    """

    def __init__(self) -> None:
        """Start without a known image."""
        self.clock = ImageClock()
        self._newest_ns = 0
        self._known: OrderedDict[int, tuple[int, set[str]]] = OrderedDict()

    def time_of(self, part: str, stamp_ns: int, arrival_ns: int) -> int:
        """The time of the image of a part, ns.

        Args:
            part: one of `PARTS`.
            stamp_ns: its stamp, ns.
            arrival_ns: when it came, or was recorded, ns.
        """
        time_ns, parts = self._known.get(stamp_ns, (0, None))
        if parts is None and 0 < self._newest_ns - stamp_ns < _LATE_NS:
            time_ns, parts = stamp_ns, set()
        elif parts is None or part in parts:
            self._newest_ns = time_ns = self.clock.time_of(stamp_ns, arrival_ns)
            parts = set()
        parts.add(part)
        self._known[stamp_ns] = time_ns, parts
        if len(self._known) > _KNOWN_FRAMES:
            self._known.popitem(last=False)
        return time_ns


class FrameAssembler:
    """Brings together the parts of each image, so that nothing is shown over another image than its own.

    A frame is finished once all expected parts have come, or a later frame is finished, or too many frames wait. Frames
    are returned in the order of their stamps. A part that comes after its frame was returned is dropped.

    Attributes:
        expected: the parts that a frame waits for.
    """

    def __init__(self, capacity: int = 30) -> None:
        """Let at most `capacity` frames wait: by default a second of a usual camera's, chosen by hand."""
        self.expected: frozenset[str] = frozenset()
        self._capacity = capacity
        self._waiting: OrderedDict[int, _Unfinished] = OrderedDict()
        self._last_ns: int | None = None

    def add(self, part: str, stamp_ns: int, value: Any, latency_ms: float | None = None) -> list[ViewedFrame]:
        """Take a part of the image of a stamp, ns; returns the frames that this finishes.

        Args:
            part: one of `PARTS`.
            stamp_ns: the image's.
            value: an encoded picture, None if it is not shown; or, by face_id, values of the image's faces.
            latency_ms: of the part, ms; None if it is unknown.
        """
        if self._last_ns is not None and stamp_ns <= self._last_ns:
            return []
        frame = self._waiting.setdefault(stamp_ns, _Unfinished())
        frame.values[part] = value
        if latency_ms is not None:
            frame.latency_ms[part] = latency_ms
        if self.expected <= frame.values.keys():
            return self._take(sum(stamp <= stamp_ns for stamp in self._waiting))
        return self._take(len(self._waiting) - self._capacity)

    def finish(self) -> list[ViewedFrame]:
        """All frames that still wait, complete or not."""
        return self._take(len(self._waiting))

    def _take(self, count: int) -> list[ViewedFrame]:
        stamps = sorted(self._waiting)[: max(0, count)]
        if stamps:
            self._last_ns = stamps[-1]
        return [self._waiting.pop(stamp).finished(stamp) for stamp in stamps]


class Pace:
    """Chooses which images are shown: at most so many a second, with one answer for all parts of an image.

    Attributes:
        due: whether the image of a stamp, ns, is shown.
    """

    def __init__(self, rate: float) -> None:
        """At most `rate` images a second, by their times; 0 for all."""
        self._period_ns = _PERIOD_SHARE * 1e9 / rate if rate > 0 else 0.0
        self._last_ns = 0
        self.due = lru_cache(_KNOWN_FRAMES)(self._due)

    def _due(self, stamp_ns: int) -> bool:
        due = abs(stamp_ns - self._last_ns) >= self._period_ns
        if due:
            self._last_ns = stamp_ns
        return due

"""All that is shown of one image, and how it comes together from what arrives about it bit by bit."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from face3dmm_ros.core.image_clock import ImageClock
from face3dmm_ros.core.values import FaceParameters, Landmarks, Mesh

IMAGE, OVERLAY, LANDMARKS, PARAMETERS, MESH = "image", "overlay", "landmarks", "params", "mesh"
PARTS = (IMAGE, LANDMARKS, PARAMETERS, MESH, OVERLAY)
"""The parts of a frame, in the order in which they come."""

_LATE_NS = 1_000_000_000
_KNOWN_FRAMES = 100


@dataclass(frozen=True, eq=False)
class ViewedFrame:
    """An image and its results. What did not come is None; a mapping without a face says that there is none.

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
    """What has come about one image so far."""

    pictures: dict[str, bytes] = field(default_factory=dict)
    faces: dict[str, dict[int, Any]] = field(default_factory=dict)
    complete: set[str] = field(default_factory=set)
    latency_ms: dict[str, float] = field(default_factory=dict)

    def finished(self, stamp_ns: int) -> ViewedFrame:
        return ViewedFrame(
            stamp_ns,
            self.pictures.get(IMAGE),
            self.pictures.get(OVERLAY),
            self.faces.get(LANDMARKS),
            self.faces.get(PARAMETERS),
            self.faces.get(MESH),
            self.latency_ms,
        )


class FrameTimes:
    """Tells which image each part belongs to, by the time that stands for it.

    That is the image's stamp, where it is one: what comes again under a stamp belongs to another image, as where all
    stamps are zero. A new stamp a little before the newest is that of an image of which nothing had come yet.

    Attributes:
        clock: what takes the place of stamps that are no time.
    """

    def __init__(self) -> None:
        """With no image known."""
        self.clock = ImageClock()
        self._newest_ns = 0
        self._known: OrderedDict[int, tuple[int, set[tuple[str, int]]]] = OrderedDict()

    def time_of(self, part: str, face_index: int, stamp_ns: int, arrival_ns: int) -> int:
        """The time of the image of a part, ns.

        Args:
            part: one of `PARTS`.
            face_index: which of the image's faces it is about; 0 for a picture.
            stamp_ns: its stamp, ns.
            arrival_ns: when it came, or was recorded, ns.
        """
        time_ns, pieces = self._known.get(stamp_ns, (0, None))
        if pieces is None and 0 < self._newest_ns - stamp_ns < _LATE_NS:
            time_ns, pieces = stamp_ns, set()
        elif pieces is None or (part, face_index) in pieces:
            self._newest_ns = time_ns = self.clock.time_of(stamp_ns, arrival_ns)
            pieces = set()
        pieces.add((part, face_index))
        self._known[stamp_ns] = time_ns, pieces
        if len(self._known) > _KNOWN_FRAMES:
            self._known.popitem(last=False)
        return time_ns


class FrameAssembler:
    """Brings together what has the same stamp, so that nothing is shown over another image than its own.

    A frame is finished once all expected parts are there, or a later one is finished, or too many wait. Frames come
    out in the order of their stamps. What comes for a frame that is out already is left out.

    Attributes:
        expected: the parts that a frame waits for.
    """

    def __init__(self, capacity: int = 30) -> None:
        """Let at most `capacity` frames wait."""
        self.expected: frozenset[str] = frozenset()
        self._capacity = capacity
        self._waiting: OrderedDict[int, _Unfinished] = OrderedDict()
        self._last_ns: int | None = None

    def add_picture(
        self, part: str, stamp_ns: int, encoded: bytes | None, latency_ms: float | None = None
    ) -> list[ViewedFrame]:
        """Take the image or the overlay, None for one that is not to be shown; the frames that this finishes."""
        frame = self._frame(stamp_ns)
        if frame is None:
            return []
        if encoded is not None:
            frame.pictures[part] = encoded
        return self._completed(stamp_ns, frame, part, latency_ms)

    def add_face(
        self, part: str, stamp_ns: int, face_count: int, faces: Mapping[int, Any], latency_ms: float | None = None
    ) -> list[ViewedFrame]:
        """Take values of faces, by face_id, of which the image has `face_count`; the frames that this finishes."""
        frame = self._frame(stamp_ns)
        if frame is None:
            return []
        known = frame.faces.setdefault(part, {})
        known.update(faces)
        return self._completed(stamp_ns, frame, part, latency_ms) if len(known) >= face_count else []

    def finish(self) -> list[ViewedFrame]:
        """All frames that still wait, as they are."""
        return self._take(len(self._waiting))

    def _frame(self, stamp_ns: int) -> _Unfinished | None:
        if self._last_ns is not None and stamp_ns <= self._last_ns:
            return None
        return self._waiting.setdefault(stamp_ns, _Unfinished())

    def _completed(self, stamp_ns: int, frame: _Unfinished, part: str, latency_ms: float | None) -> list[ViewedFrame]:
        frame.complete.add(part)
        if latency_ms is not None:
            frame.latency_ms[part] = latency_ms
        if self.expected <= frame.complete:
            return self._take(sum(stamp <= stamp_ns for stamp in self._waiting))
        return self._take(len(self._waiting) - self._capacity)

    def _take(self, count: int) -> list[ViewedFrame]:
        stamps = sorted(self._waiting)[: max(0, count)]
        if stamps:
            self._last_ns = stamps[-1]
        return [self._waiting.pop(stamp).finished(stamp) for stamp in stamps]


class Pace:
    """Which images are shown, where not all can be: at most so many a second, and the same for all that is asked."""

    def __init__(self, rate: float) -> None:
        """At most `rate` images a second, by their times; 0 for all."""
        self._period_ns = 0.9e9 / rate if rate > 0 else 0.0
        self._decisions: OrderedDict[int, bool] = OrderedDict()
        self._last_ns = 0

    def due(self, stamp_ns: int) -> bool:
        """Whether the image of a stamp is shown."""
        if stamp_ns not in self._decisions:
            due = abs(stamp_ns - self._last_ns) >= self._period_ns
            if due:
                self._last_ns = stamp_ns
            self._decisions[stamp_ns] = due
            if len(self._decisions) > 100:
                self._decisions.popitem(last=False)
        return self._decisions[stamp_ns]

"""A live run on disk: a rosbag2 (MCAP) of its topics and videos of its pictures, written by a thread of its own."""

import contextlib
import fcntl
import math
import os
import queue
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from face3dmm_ros.bags.messages import COMPRESSED_TYPE, IMAGE_TYPE, message_types, unpacked
from face3dmm_ros.bags.writer import BagWriter, check_room_for_bag, remove_bag
from face3dmm_ros.core import topics
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.image_clock import ImageClock, stamp_ns
from face3dmm_ros.files.frame_source import resized
from face3dmm_ros.files.image_layout import JPEG_FORMAT, image_from_message, jpeg
from face3dmm_ros.files.motion_jpeg import MotionJpegWriter
from face3dmm_ros.files.sample_depth import SampleDepth
from face3dmm_ros.files.whole_file import check_writable

IMAGE_RECORDINGS = ("jpeg", "raw", "none")
"""How images go into a bag: as CompressedImage under image_transport's `/compressed`, as they are, or not at all."""
TOPIC_RECORDINGS = ("needed", "all")
"""Which topics go into a bag: those that cannot be made again from the others, or all."""
_REMADE = tuple(
    f"/{name}"
    for name in (
        topics.MESH,
        topics.MESH_CLOUD,
        topics.MESH_MARKER,
        topics.POSE_MARKER,
        topics.OVERLAY,
        topics.AVATAR_IMAGE,
    )
)
"""Topics that parameters and images make again."""

_WAITING_BYTES = 256 << 20
"""Of the messages that wait to be written, at most; chosen by hand: five seconds of images and overlays of 640×480. The
more, the longer a slow disk loses none."""
_FLUSH_PERIOD = 1.0
"""s after which what was written can be read, also if the process is killed; chosen by hand."""
_EPISODE = 10.0
"""s without a loss after which the next one is said again; chosen by hand."""
_LOOK_PERIOD = 0.2
"""s between looks at what is due while nothing comes, and at how far the end is; chosen by hand."""
_LONGEST_PAUSE_NS = 10_000_000_000
"""That a video shows one image while none comes, as when a camera is unplugged; more is left out. Chosen by hand."""
_JPEG_QUALITY = 80
"""image_transport's; chosen by hand."""
_NICENESS = 10
"""Added to the thread's nice value, which goes from 0 to 19; chosen by hand."""


@dataclass(frozen=True)
class Topic:
    """A topic to record: its name, its type as package/msg/Name, and how it is offered."""

    name: str
    message_type: str
    qos: QoSProfile


class RecordingFolder:
    """A folder that is locked for one run, until `close` or the end of the process."""

    def __init__(self, path: Path, names: Collection[str] = ()) -> None:
        """Make the folder if it is missing, and lock it; files of these names stay until `clear`.

        Raises:
            Face3DMMError: it cannot be made or written to, another run has locked it, or something else is in the place
                of its bag or files.
        """
        self._path, self._names = path, names
        check_writable(path, names)
        check_room_for_bag(path / "bag")
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise Face3DMMError(f"{path} cannot be made: {error.strerror}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            raise Face3DMMError(f"another run is writing {path}: choose another folder, or stop that run") from error

    def clear(self) -> None:
        """Remove an earlier run's bag and files.

        Raises:
            Face3DMMError: they cannot be removed.
        """
        remove_bag(self._path / "bag")
        for name in self._names:
            try:
                (self._path / name).unlink(missing_ok=True)
            except OSError as error:
                raise Face3DMMError(f"the earlier {self._path / name} cannot be removed: {error.strerror}") from error

    def close(self) -> None:
        """Unlock it."""
        os.close(self._descriptor)


class Recording:
    """Writes messages in a thread of its own, so that nothing else waits for a disk or an encoder.

    What has been written can be read within about a second, whatever becomes of the process.

    Attributes:
        wanted: the topics that go into the bag or a video; messages of others need not be handed over.
        received: by topic, how many messages were handed over.
        lost: by topic, how many of these were not written, because disk or encoder did not keep up, or failed.
        refused: by topic, how many of these were images that cannot be read: anybody may send them.
        failure: what ended the recording early; empty if nothing did.
    """

    def __init__(self, folder: Path, topics: Collection[Topic], *, images: str, videos: Mapping[str, str]) -> None:
        """Begin a recording.

        Args:
            folder: where `bag/` and the videos go; made if missing.
            topics: what goes into the bag.
            images: one of `IMAGE_RECORDINGS`.
            videos: file names by the image topics of which videos are made, also of those that are not in the bag.

        Raises:
            Face3DMMError: the folder cannot be written, or has a `bag/` already.
        """
        self.received: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.failure = ""
        self._folder = folder
        self._images = images
        self._video_names = videos
        self._videos: dict[str, _Video] = {}
        self._types = message_types()
        self._depths: defaultdict[str, SampleDepth] = defaultdict(SampleDepth)
        self._bag = BagWriter(folder / "bag")
        self._recorded = {topic.name: name for topic in topics if (name := self._add(topic))}
        self.wanted = self._recorded.keys() | videos.keys()
        self._queue: queue.SimpleQueue[tuple[str, int, bytes] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting = 0
        self._losses = 0
        self._lost_at = -math.inf
        # With the limits of images that hold where the recording begins.
        self._thread = threading.Thread(target=copy_context().run, args=(self._write_all,), name="recording")
        self._thread.start()

    @property
    def problem(self) -> str:
        """That messages are being lost, in other words each time it begins; empty if none were for some seconds."""
        if time.monotonic() - self._lost_at > _EPISODE:
            return ""
        again = "" if self._losses == 1 else f", for the {self._losses}. time"
        return f"the recording in {self._folder} loses messages{again}: processor or disk do not keep up"

    def write(self, topic: str, time_ns: int, message: bytes) -> None:
        """Queue a serialized message, which came at `time_ns`, for the bag and for its topic's video."""
        with self._lock:
            self.received[topic] += 1
            if self._waiting + len(message) > _WAITING_BYTES:
                self.lost[topic] += 1
                now = time.monotonic()
                self._losses += now - self._lost_at > _EPISODE
                self._lost_at = now
                return
            self._waiting += len(message)
        self._queue.put((topic, time_ns, message))

    def close(self, report: Callable[[int], object] = lambda waiting: None) -> None:
        """Write what is queued, and finish the files; `report` is told from time to time how many bytes wait.

        Raises:
            Face3DMMError: the bag could not be finished.
        """
        self._queue.put(None)
        self._thread.join(_LOOK_PERIOD)
        while self._thread.is_alive():
            report(self._waiting)
            self._thread.join(_LOOK_PERIOD)
        report(0)
        try:
            for video in self._videos.values():
                video.close()
        except OSError as error:
            raise Face3DMMError(f"a video in {self._folder} could not be finished: {error.strerror}") from error
        finally:
            self._bag.close()

    def _add(self, topic: Topic) -> str:
        """The topic's name in the bag; empty for images that are not recorded."""
        name, kind = topic.name, topic.message_type
        if kind == IMAGE_TYPE and self._images == "none":
            return ""
        if kind == IMAGE_TYPE and self._images == "jpeg":
            name, kind = f"{name}{topics.COMPRESSED}", COMPRESSED_TYPE
        self._bag.add_topic(
            name,
            kind,
            depth=topic.qos.depth or 1,
            reliable=topic.qos.reliability == ReliabilityPolicy.RELIABLE,
            latched=topic.qos.durability == DurabilityPolicy.TRANSIENT_LOCAL,
        )
        return name

    def _write_all(self) -> None:
        # On Linux a thread has a priority of its own: nodes with an image in hand go first.
        with contextlib.suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        due = time.monotonic() + _FLUSH_PERIOD
        while True:
            with contextlib.suppress(queue.Empty):
                item = self._queue.get(timeout=_LOOK_PERIOD)
                if item is None:
                    return
                self._attempt(item[0], self._write_one, *item)
                with self._lock:
                    self._waiting -= len(item[2])
            if time.monotonic() >= due:
                self._attempt("", self._flush)
                due = time.monotonic() + _FLUSH_PERIOD

    def _attempt(self, topic: str, work: Callable[..., None], *arguments: Any) -> None:
        """Do some work on a message of a topic, if any; once it has failed, what comes is lost."""
        try:
            if not self.failure:
                work(*arguments)
        except Exception as error:
            self.failure = f"the recording in {self._folder} failed: {type(error).__name__}: {error}"
        if self.failure and topic:
            with self._lock:
                self.lost[topic] += 1

    def _flush(self) -> None:
        self._bag.flush()
        for video in self._videos.values():
            video.flush()

    def _write_one(self, topic: str, time_ns: int, message: bytes) -> None:
        recorded = self._recorded.get(topic)
        video = self._video_names.get(topic)
        compress = recorded is not None and recorded != topic
        if video is not None or compress:
            try:
                # Not by rclpy, which takes 2.5 ms to copy a megabyte.
                image_message: Any = unpacked(IMAGE_TYPE, memoryview(message))
                image = image_from_message(image_message, self._depths[topic])
                encoded = jpeg(image, _JPEG_QUALITY)
            except Exception:
                # Of many kinds: what is no image is not written, and the recording goes on.
                self.refused[topic] += 1
                return
            if video is not None:
                if topic not in self._videos:
                    self._videos[topic] = _Video(self._folder / video, image)
                self._videos[topic].write(image, encoded, stamp_ns(image_message.header), time_ns)
            if compress:
                kind = self._types.types[COMPRESSED_TYPE]
                compressed = kind(header=image_message.header, format=JPEG_FORMAT, data=encoded)
                message = bytes(self._types.serialize_cdr(compressed, COMPRESSED_TYPE))
        if recorded is not None:
            self._bag.write_serialized(recorded, time_ns, message)


class _Video:
    """A video of its first image's size, to which later images are scaled, that takes as long as they did."""

    def __init__(self, path: Path, first: NDArray[np.uint8]) -> None:
        self._size = first.shape[1], first.shape[0]
        self._writer = MotionJpegWriter(path, self._size)
        self._clock = ImageClock()
        self._last_ns: int | None = None
        self._cut_ns = 0

    def write(self, image: NDArray[np.uint8], encoded: NDArray[np.uint8], stamp_ns: int, arrival_ns: int) -> None:
        """Show an image, given with its JPEG, from its time on; see `ImageClock` for what that is."""
        time_ns = self._clock.time_of(stamp_ns, arrival_ns)
        if self._last_ns is not None:
            self._cut_ns += max(0, time_ns - self._last_ns - _LONGEST_PAUSE_NS)
        self._last_ns = time_ns
        if image.shape[1::-1] != self._size:
            encoded = jpeg(resized(image, *self._size), _JPEG_QUALITY)
        self._writer.write(encoded.tobytes(), time_ns - self._cut_ns)

    def flush(self) -> None:
        self._writer.flush_if_due()

    def close(self) -> None:
        self._writer.close()


def needed_topics(topics: Collection[Topic]) -> list[Topic]:
    """Those that the others cannot make again: without pictures that are drawn, meshes, clouds and markers."""
    return [topic for topic in topics if topic.name not in _REMADE]

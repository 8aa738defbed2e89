"""A live run on disk: a rosbag2 (MCAP) of its topics and videos of its pictures, written by a thread of its own."""

import contextlib
import fcntl
import os
import queue
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image

from face3dmm_ros.bags.messages import COMPRESSED_TYPE, IMAGE_TYPE
from face3dmm_ros.bags.writer import BagWriter, check_room_for_bag, remove_bag
from face3dmm_ros.core import topics
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.image_clock import ImageClock, stamp_ns
from face3dmm_ros.files.frame_source import resized
from face3dmm_ros.nodes.images import cv2_to_compressed_imgmsg, image_conversion

IMAGE_RECORDINGS = ("jpeg", "raw", "none")
"""How images go into a bag: as CompressedImage under image_transport's `/compressed`, as they are, or not at all."""

_WAITING_MESSAGES = 2000
"""Messages that wait to be written at most; chosen by hand: several seconds of a live run. The more, the longer a
slow disk loses none, but each 640×480 image takes a megabyte."""
_LONGEST_PAUSE = 10.0
"""s that a video shows one image while none comes, as when a camera is unplugged; more is left out. Chosen by hand."""
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

    def __init__(self, path: Path) -> None:
        """Make the folder if it is missing, and lock it; its files stay.

        Raises:
            Face3DMMError: it cannot be made, another run has locked it, or something else is in the place of its bag.
        """
        self._path = path
        try:
            check_room_for_bag(path / "bag")
            path.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise Face3DMMError(f"{path} cannot be made: {error.strerror}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            raise Face3DMMError(f"another run is writing {path}: choose another folder, or stop that run") from error

    def clear(self, names: Collection[str]) -> None:
        """Remove an earlier run's bag and files of these names.

        Raises:
            Face3DMMError: the bag cannot be removed.
        """
        remove_bag(self._path / "bag")
        for name in names:
            (self._path / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Unlock it."""
        os.close(self._descriptor)


class Recording:
    """Writes messages in a thread of its own, so that nothing else waits for a disk or an encoder.

    Attributes:
        lost: messages that were not written, because disk or encoder did not keep up, or failed.
        failure: what ended the recording early; empty if nothing did.
    """

    def __init__(
        self, folder: Path, topics: list[Topic], *, images: str, videos: Mapping[str, str], rate: float
    ) -> None:
        """Begin a recording.

        Args:
            folder: where `bag/` and the videos go; made if missing.
            topics: what goes into the bag.
            images: one of `IMAGE_RECORDINGS`.
            videos: file names by the image topics of which videos are made.
            rate: of the videos, images per second.

        Raises:
            Face3DMMError: the folder cannot be written, or has a `bag/` already.
        """
        self.lost = 0
        self.failure = ""
        self._folder = folder
        self._images = images
        self._video_names = videos
        self._rate = rate
        self._conversion = image_conversion()
        self._videos: dict[str, _Video] = {}
        self._bag = BagWriter(folder / "bag")
        self._recorded = {topic.name: self._add(topic) for topic in topics}
        self._queue: queue.Queue[tuple[str, int, bytes] | None] = queue.Queue(_WAITING_MESSAGES)
        self._thread = threading.Thread(target=self._write_all, name="recording")
        self._thread.start()

    def write(self, topic: str, time_ns: int, message: bytes) -> None:
        """Queue a serialized message, which came at `time_ns`, for the bag and for its topic's video."""
        try:
            self._queue.put_nowait((topic, time_ns, message))
        except queue.Full:
            self.lost += 1

    def close(self) -> None:
        """Write what is queued, and finish the files.

        Raises:
            Face3DMMError: the bag could not be finished.
        """
        self._queue.put(None)
        self._thread.join()
        for video in self._videos.values():
            video.close()
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
        while (item := self._queue.get()) is not None:
            if self.failure:
                self.lost += 1
                continue
            try:
                self._write_one(*item)
            except Exception as error:
                self.failure = f"the recording in {self._folder} failed: {type(error).__name__}: {error}"

    def _write_one(self, topic: str, time_ns: int, message: bytes) -> None:
        recorded = self._recorded[topic]
        compress = recorded == f"{topic}{topics.COMPRESSED}"
        video = self._video_names.get(topic)
        if video is not None or compress:
            image_message: Any = deserialize_message(message, Image)
            image = self._conversion.imgmsg_to_cv2(image_message)
            if video is not None:
                if topic not in self._videos:
                    self._videos[topic] = _Video(self._folder / video, self._rate, image)
                self._videos[topic].write(image, stamp_ns(image_message.header), time_ns)
            if compress:
                message = serialize_message(cv2_to_compressed_imgmsg(image, image_message.header))
        if recorded:
            self._bag.write_serialized(recorded, time_ns, message)


class _Video:
    """A video of its first image's size, to which later images are scaled, that takes as long as they did.

    Its rate is constant: an image is repeated until the next one comes, and left out if others have taken its place.
    """

    def __init__(self, path: Path, rate: float, first: NDArray[np.uint8]) -> None:
        self._rate = rate
        self._size = first.shape[1], first.shape[0]
        self._writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), rate, self._size)
        self._clock = ImageClock()
        self._begin_ns: int | None = None
        self._written = 0
        self._last = first

    def write(self, image: NDArray[np.uint8], stamp_ns: int, arrival_ns: int) -> None:
        """Show an image from its time on; see `ImageClock` for what that is."""
        time_ns = self._clock.time_of(stamp_ns, arrival_ns)
        if self._begin_ns is None:
            self._begin_ns = time_ns
        place = round(1e-9 * (time_ns - self._begin_ns) * self._rate)
        if place < self._written - 1:
            return
        pause = place - self._written
        cut = max(0, pause - int(_LONGEST_PAUSE * self._rate))
        self._begin_ns += int(1e9 * cut / self._rate)
        for _ in range(pause - cut):
            self._writer.write(self._last)
        self._last = resized(image, *self._size)
        self._writer.write(self._last)
        self._written += max(0, pause - cut) + 1

    def close(self) -> None:
        self._writer.release()

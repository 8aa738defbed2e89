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
from rosbags.interfaces import Connection, Qos
from rosbags.rosbag2 import StoragePlugin, Writer
from sensor_msgs.msg import Image

from face3dmm_ros.bags import bag_files
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.files.frame_source import resized
from face3dmm_ros.nodes.images import cv2_to_compressed_imgmsg, image_conversion

IMAGE_RECORDINGS = ("jpeg", "raw", "none")
"""How images go into a bag: as CompressedImage under image_transport's `/compressed`, as they are, or not at all."""

_WAITING_MESSAGES = 2000
"""Messages that wait to be written at most; chosen by hand: several seconds of a live run. The more, the longer a
slow disk loses none, but each 640×480 image takes a megabyte."""
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
            bag_files.check_room_for_bag(path / "bag")
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
        bag_files.remove_bag(self._path / "bag")
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
        try:
            self._bag = Writer(folder / "bag", version=bag_files.METADATA_VERSION, storage_plugin=StoragePlugin.MCAP)
            self._bag.open()
        except Exception as error:
            raise Face3DMMError(f"cannot record into {folder}: {error}") from error
        self._typestore = bag_files.message_types()
        self._connections = {topic.name: self._connect(topic) for topic in topics}
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
        try:
            self._bag.close()
        except OSError as error:
            raise Face3DMMError(f"the bag in {self._folder} could not be finished: {error}") from error

    def _connect(self, topic: Topic) -> Connection | None:
        """Add a topic to the bag; None for images that are not recorded."""
        is_image = topic.message_type == bag_files.IMAGE_TYPE
        if is_image and self._images == "none":
            return None
        compress = is_image and self._images == "jpeg"
        return self._bag.add_connection(
            f"{topic.name}{bag_files.COMPRESSED}" if compress else topic.name,
            bag_files.COMPRESSED_TYPE if compress else topic.message_type,
            typestore=self._typestore,
            offered_qos_profiles=[_recorded_qos(topic.qos)],
        )

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
        connection = self._connections[topic]
        video = self._video_names.get(topic)
        compress = connection is not None and connection.msgtype == bag_files.COMPRESSED_TYPE
        if video is not None or compress:
            image_message: Any = deserialize_message(message, Image)
            image = self._conversion.imgmsg_to_cv2(image_message)
            if video is not None:
                if topic not in self._videos:
                    self._videos[topic] = _Video(self._folder / video, self._rate, image)
                self._videos[topic].write(image)
            if compress:
                message = serialize_message(cv2_to_compressed_imgmsg(image, image_message.header))
        if connection is not None:
            self._bag.write(connection, time_ns, message)


class _Video:
    """A video of its first image's size, to which later images are scaled."""

    def __init__(self, path: Path, rate: float, first: NDArray[np.uint8]) -> None:
        self._size = first.shape[1], first.shape[0]
        self._writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), rate, self._size)

    def write(self, image: NDArray[np.uint8]) -> None:
        self._writer.write(resized(image, *self._size))

    def close(self) -> None:
        self._writer.release()


def _recorded_qos(qos: QoSProfile) -> Qos:
    """A topic's QoS as a bag keeps it, so that a player offers the topic likewise."""
    return bag_files.recorded_qos(
        depth=qos.depth or 1,
        reliable=qos.reliability == ReliabilityPolicy.RELIABLE,
        latched=qos.durability == DurabilityPolicy.TRANSIENT_LOCAL,
    )

"""Reads rosbag2 bags (SQLite or MCAP) without ROS, through `rosbags`."""

import contextlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import Connection, MessageDefinitionFormat
from rosbags.rosbag2 import Reader
from rosbags.typesys import get_types_from_msg

from face3dmm_ros.bags import messages as known
from face3dmm_ros.bags.unfinished_mcap import FinishedMcap, is_unfinished
from face3dmm_ros.core import topics
from face3dmm_ros.core.closing import Closing
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.image_clock import stamp_ns
from face3dmm_ros.core.message_fields import parameters_from_message
from face3dmm_ros.core.values import FaceParameters
from face3dmm_ros.files.image_layout import image_from_compressed, image_from_message
from face3dmm_ros.files.sample_depth import SampleDepth

_OVERLAYS = ("/" + topics.OVERLAY, "/" + topics.AVATAR_IMAGE)
"""Topics with images that this package's nodes draw: no camera's."""


@dataclass(frozen=True, eq=False)
class RecordedImage:
    """An image of a bag, decoded on demand.

    Attributes:
        stamp_ns: its header's stamp, ns.
        frame_id: its header's frame.
        time_ns: when the recorder received it, ns.
        pixels: decodes the image: (H, W, 3) BGR uint8. Raises Face3DMMError if it cannot be decoded.
    """

    stamp_ns: int
    frame_id: str
    time_ns: int
    pixels: Callable[[], NDArray[np.uint8]] = field(repr=False)


class BagReader(Closing):
    """Reads a bag: a folder with its metadata.yaml, or a single .mcap or .db3 file. Use it as a context manager.

    An MCAP that was not finished, because its recorder was killed or still runs, is read as far as it goes; so is a
    folder that has such a file and no metadata.yaml.

    Attributes:
        path: of the bag.
        notice: that it was not finished, for the user to know; empty if it was.
    """

    def __init__(self, path: Path) -> None:
        """Open a bag.

        Raises:
            Face3DMMError: there is nothing at the path, or no readable bag.
        """
        self.path = path
        self._typestore = known.message_types()
        self._earlier: set[str] = set()
        """Topics whose messages lack what has been added to their types since."""

        if not path.exists():
            raise Face3DMMError(f"{path} is not there: name a rosbag2 folder, or a .mcap or .db3 file")
        try:
            opened = _readable(path)
            unfinished = isinstance(opened, FinishedMcap)
            self.notice = f"{path} was not finished: what its recorder had written is read" if unfinished else ""
            self._bag = Reader(opened)
            self._bag.open()
        except FileNotFoundError as error:
            raise Face3DMMError(
                f"{path} is no rosbag2: it has no metadata.yaml, nor a single .mcap file (`ros2 bag reindex` makes one "
                "for a recording in several files, or in SQLite, that was killed)"
            ) from error
        except Face3DMMError:
            raise
        except Exception as error:
            raise Face3DMMError(f"{path} is no rosbag2, or a damaged one: {error}") from error

    def close(self) -> None:
        """Close the bag."""
        # rosbags removes what it unpacked; that this fails is no reason to lose what was read.
        with contextlib.suppress(OSError):
            self._bag.close()

    @property
    def topics(self) -> dict[str, str]:
        """The type of each topic."""
        return {connection.topic: connection.msgtype for connection in self._bag.connections}

    def count(self, topic: str) -> int:
        """How many messages a topic has."""
        return sum(connection.msgcount for connection in self._bag.connections if connection.topic == topic)

    def image_topic(self, wanted: str | None = None) -> str:
        """The topic of the camera's images: the one wanted, this package's own, or the only one that there is.

        Raises:
            Face3DMMError: no topic has images, the wanted one has none, or none was wanted and several have some.
        """
        kinds = (known.IMAGE_TYPE, known.COMPRESSED_TYPE)
        pictures = sorted(topic for topic, kind in self.topics.items() if kind in kinds)
        filled = [topic for topic in pictures if self.count(topic)]
        preferred = known.IMAGES if wanted is None else wanted
        for topic in (preferred, f"{preferred}{topics.COMPRESSED}"):
            if topic in filled:
                return topic
        if wanted is not None:
            found = ", ".join(pictures) or "none"
            raise Face3DMMError(f"{self.path} has no images on {wanted}; topics with images: {found}")
        candidates = [topic for topic in filled if not topic.removesuffix(topics.COMPRESSED).endswith(_OVERLAYS)]
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            raise Face3DMMError(f"{self.path} has several topics with images, name one: {', '.join(candidates)}")
        held = ", ".join(f"{topic} ({kind})" for topic, kind in sorted(self.topics.items())) or "nothing at all"
        raise Face3DMMError(f"{self.path} has no camera images (sensor_msgs/Image or CompressedImage); it has {held}")

    def images(self, topic: str) -> Iterator[RecordedImage]:
        """The images of a topic in the order in which they came.

        Raises:
            Face3DMMError: the bag is damaged.
        """
        depth = SampleDepth()
        decode = image_from_compressed if self.topics[topic] == known.COMPRESSED_TYPE else image_from_message
        for connection, time_ns, data in self._serialized([topic]):
            try:
                message = self._unpacked(connection, data)
            except Face3DMMError as error:
                yield RecordedImage(time_ns, "", time_ns, partial(_raise, error))
            else:
                header = message.header
                yield RecordedImage(stamp_ns(header), header.frame_id, time_ns, partial(decode, message, depth))

    def camera_infos(self, image_topic: str) -> dict[int, bytes]:
        """The serialized camera_info of an image topic's camera, by its stamp, ns; empty where there is none."""
        folder = image_topic.removesuffix(topics.COMPRESSED).rpartition("/")[0]
        topic = f"{folder}/camera_info"
        if self.topics.get(topic) != known.CAMERA_INFO_TYPE:
            return {}
        return {
            stamp_ns(self._unpacked(connection, data).header): data for connection, _, data in self._serialized([topic])
        }

    def parameters(self, topic: str) -> dict[int, dict[int, FaceParameters]]:
        """The parameters on a topic: by stamp, ns, and face_id; empty for an image without a face.

        Raises:
            Face3DMMError: the topic has another type, or a message cannot be read.
        """
        if self.topics[topic] != known.PARAMETERS_TYPE:
            raise Face3DMMError(f"{topic} of {self.path} is a {self.topics[topic]}, expected {known.PARAMETERS_TYPE}")
        found: dict[int, dict[int, FaceParameters]] = {}
        for _, _, message in self.read([topic]):
            faces = found.setdefault(stamp_ns(message.header), {})
            faces |= {face.face_id: parameters_from_message(message, face) for face in message.faces}
        return found

    def messages(self, topic: str) -> Iterator[tuple[int, bytes]]:
        """The messages of a topic in the order of reception: time, ns, and serialized bytes (CDR).

        Raises:
            Face3DMMError: the bag is damaged.
        """
        for _, time_ns, data in self._serialized([topic]):
            yield time_ns, data

    def read(self, topics: Collection[str]) -> Iterator[tuple[str, int, Any]]:
        """The messages of some topics in the order in which they came: topic, time, ns, and message.

        Raises:
            Face3DMMError: the bag is damaged, or a message cannot be read.
        """
        for connection, time_ns, data in self._serialized(topics):
            yield connection.topic, time_ns, self._unpacked(connection, data)

    def _serialized(self, topics: Collection[str]) -> Iterator[tuple[Connection, int, bytes]]:
        connections = [connection for connection in self._bag.connections if connection.topic in topics]
        if not connections:
            return
        for connection in connections:
            if not self._is_own_definition(connection):
                self._earlier.add(connection.topic)
        try:
            for connection, time_ns, data in self._bag.messages(connections):
                yield connection, time_ns, bytes(data)
        except Exception as error:
            raise Face3DMMError(f"{self.path} is damaged: {type(error).__name__}: {error}") from error

    def _is_own_definition(self, connection: Connection) -> bool:
        """Whether a type's definition, if the bag holds it, is that of `messages.message_types`; False: of an earlier.

        rosbags makes code of definitions to read by them. Those of a file are only compared: no file shall have code
        made here, nor take all memory, as `string[4000000000] names` does.

        Raises:
            Face3DMMError: it is neither; names the fields.
        """
        if connection.msgdef.format != MessageDefinitionFormat.MSG:
            return True
        try:
            recorded = get_types_from_msg(connection.msgdef.data, connection.msgtype)
        except Exception as error:
            raise Face3DMMError(f"{self.path} is damaged: no definition of {connection.msgtype}: {error}") from error
        own = self._typestore.fielddefs
        differ = [kind for kind in recorded.keys() & own.keys() if recorded[kind][1] != own[kind][1]]
        earlier = known.message_types(earlier=True).fielddefs
        for kind in differ:
            theirs, ours = recorded[kind][1], own[kind][1]
            if theirs != earlier[kind][1]:
                differing = ", ".join(sorted({name for name, _ in {*theirs} ^ {*ours}})) or "their order"
                raise Face3DMMError(
                    f"{connection.topic} of {self.path} was recorded with another definition of {kind}, which differs "
                    f"in {differing}: record it again with this version"
                )
        return not differ

    def _unpacked(self, connection: Connection, data: bytes) -> Any:
        kind = connection.msgtype
        try:
            return known.unpacked(kind, data, connection.topic in self._earlier)
        except Exception as error:
            raise Face3DMMError(
                f"a message on {connection.topic} of {self.path} is no {kind} ({len(data)} bytes): {error}"
            ) from error


def _readable(path: Path) -> Any:
    """What rosbags can read of a bag: its folder or file, or what stands for a file that was not finished."""
    files = list(path.glob("*.mcap")) if path.is_dir() and not (path / "metadata.yaml").exists() else []
    if len(files) == 1:
        path = files[0]
    return FinishedMcap(path) if path.suffix == FinishedMcap.suffix and is_unfinished(path) else path


def _raise(error: Face3DMMError) -> NDArray[np.uint8]:
    raise error

"""rosbag2 bags (SQLite or MCAP) without ROS: images, landmarks and parameters in and out, through `rosbags`."""

import contextlib
import shutil
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import Connection, Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from face3dmm_ros.core.camera import Intrinsics
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.image_clock import stamp_ns
from face3dmm_ros.core.message_fields import (
    landmarks_fields,
    no_landmarks_fields,
    no_parameters_fields,
    parameters_fields,
    parameters_from_message,
)
from face3dmm_ros.core.resource_files import PACKAGE, package_file
from face3dmm_ros.core.values import FaceParameters, TrackedFace, TrackedLandmarks
from face3dmm_ros.files.image_layout import JPEG_FORMAT, image_from_compressed, image_from_message, jpeg

IMAGE_TYPE = "sensor_msgs/msg/Image"
COMPRESSED_TYPE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO_TYPE = "sensor_msgs/msg/CameraInfo"
LANDMARKS_TYPE = f"{PACKAGE}/msg/FaceLandmarks"
PARAMETERS_TYPE = f"{PACKAGE}/msg/Face3DMMParams"

IMAGES = "/camera/image_raw"
CAMERA_INFO = "/camera/camera_info"
LANDMARKS = "/face/landmarks"
PARAMETERS = "/face/params"
TRUTH = "/truth/params"

COMPRESSED = "/compressed"
"""What image_transport adds to the name of a topic for its compressed images."""

METADATA_VERSION: Literal[8] = 8
"""Of the bags written here: Humble's rosbag2 refuses later ones."""

STORAGES = ("mcap", "sqlite3")

_FRAME = "camera_optical_frame"
_OVERLAYS = ("/face/overlay", "/avatar/image")
_OWN_MESSAGES = ("Blendshapes", "Face3DMMParams", "FaceLandmarks", "FaceMesh", "FaceTopology")
_FOREVER = QosTime(9223372036, 854775807)
_SECOND = 1_000_000_000
_SURPLUS = (0, 4, 8, 12, 16)
_WITHOUT_NEWER_FIELDS = {LANDMARKS_TYPE: (bytes(4), bytes(12)), PARAMETERS_TYPE: (bytes(4), bytes(8))}
"""What the messages of earlier versions may lack at their end: arrays, of 4 bytes each where they are empty."""


@cache
def message_types() -> Typestore:
    """ROS's messages and this package's own."""
    typestore = get_typestore(Stores.ROS2_JAZZY)
    for name in _OWN_MESSAGES:
        definition = package_file(f"msg/{name}.msg").read_text(encoding="utf-8")
        typestore.register(get_types_from_msg(definition, f"{PACKAGE}/msg/{name}"))
    return typestore


def recorded_qos(*, depth: int, reliable: bool, latched: bool = False) -> Qos:
    """How a topic is offered, as a bag says it, so that a player offers it likewise."""
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=depth,
        reliability=QosReliability.RELIABLE if reliable else QosReliability.BEST_EFFORT,
        durability=QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        deadline=_FOREVER,
        lifespan=_FOREVER,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=_FOREVER,
        avoid_ros_namespace_conventions=False,
    )


def check_room_for_bag(path: Path) -> None:
    """Check that there is nothing at this path, or a bag that may give way.

    Raises:
        Face3DMMError: what is there is no bag.
    """
    storages = [path / f"{path.name}{suffix}" for suffix in (".mcap", ".db3")]
    if path.exists() and not any(file.is_file() for file in (path / "metadata.yaml", *storages)):
        raise Face3DMMError(f"{path} is there already and is no recording: choose another folder for the output")


def remove_bag(path: Path) -> None:
    """Make room for a bag: take an earlier one at this path away.

    Raises:
        Face3DMMError: what is there is no bag, or cannot be removed.
    """
    if not path.exists():
        return
    check_room_for_bag(path)
    try:
        shutil.rmtree(path)
    except OSError as error:
        raise Face3DMMError(f"the earlier bag {path} cannot be removed: {error.strerror}") from error


class BagWriter:
    """Writes a bag; use it as a context manager. Stamps are those of the images, ns.

    Every method takes the frame of the header, and the time at which the bag says that the message came, ns; without
    one that is the stamp. So nothing of the machine or the hour gets into a bag, and the same calls write the same
    messages.
    """

    def __init__(self, path: Path, storage: str = "mcap") -> None:
        """Begin a bag, a folder that does not exist yet, with storage `mcap` or `sqlite3`.

        Raises:
            Face3DMMError: it exists, or cannot be written.
        """
        if storage not in STORAGES:
            raise Face3DMMError(f"a bag's storage is one of {', '.join(STORAGES)}, not {storage!r}")
        self._path = path
        self._typestore = message_types()
        self._connections: dict[str, Connection] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._bag = Writer(path, version=METADATA_VERSION, storage_plugin=StoragePlugin[storage.upper()])
            self._bag.open()
        except Exception as error:
            raise Face3DMMError(f"the bag {path} cannot be written: {error}") from error

    def __enter__(self) -> "BagWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Finish the bag.

        Raises:
            Face3DMMError: it could not be finished.
        """
        try:
            self._bag.close()
        except (OSError, sqlite3.Error) as error:
            raise Face3DMMError(f"the bag {self._path} could not be finished: {error}") from error

    def write_image(
        self,
        image: NDArray[np.uint8],
        stamp_ns: int,
        topic: str = IMAGES,
        *,
        compressed: bool = False,
        quality: int = 90,
        frame_id: str = _FRAME,
        time_ns: int | None = None,
    ) -> None:
        """A picture, (H, W, 3) BGR uint8; `compressed`: as a JPEG of some quality under the topic's `/compressed`."""
        header = self._header(stamp_ns, frame_id)
        if compressed:
            topic, kind = f"{topic}{COMPRESSED}", COMPRESSED_TYPE
            message = self._message(kind, header=header, format=JPEG_FORMAT, data=jpeg(image, quality))
        else:
            kind, (height, width) = IMAGE_TYPE, image.shape[:2]
            message = self._message(
                kind,
                header=header,
                height=height,
                width=width,
                encoding="bgr8",
                is_bigendian=0,
                step=3 * width,
                data=np.ascontiguousarray(image).reshape(-1),
            )
        self._write(topic, kind, recorded_qos(depth=5, reliable=False), message, stamp_ns, time_ns)

    def write_camera_info(
        self,
        intrinsics: Intrinsics | None,
        image_size: tuple[int, int],
        stamp_ns: int,
        topic: str = CAMERA_INFO,
        *,
        frame_id: str = _FRAME,
        time_ns: int | None = None,
    ) -> None:
        """The camera of images of (width, height) px, without distortion; None: K of zeros, ROS's word for unknown."""
        K, R, P = np.zeros((3, 3)), np.zeros((3, 3)), np.zeros((3, 4))
        if intrinsics is not None:
            f, x, y = intrinsics.focal, intrinsics.center_x, intrinsics.center_y
            K, R = np.array([[f, 0.0, x], [0.0, f, y], [0.0, 0.0, 1.0]]), np.eye(3)
            P[:, :3] = K
        roi = self._message("sensor_msgs/msg/RegionOfInterest", **no_landmarks_fields(image_size)["roi"])
        message = self._message(
            CAMERA_INFO_TYPE,
            header=self._header(stamp_ns, frame_id),
            height=image_size[1],
            width=image_size[0],
            distortion_model="" if intrinsics is None else "plumb_bob",
            d=np.zeros(0 if intrinsics is None else 5),
            k=K.ravel(),
            r=R.ravel(),
            p=P.ravel(),
            binning_x=0,
            binning_y=0,
            roi=roi,
        )
        self._write(topic, CAMERA_INFO_TYPE, recorded_qos(depth=5, reliable=False), message, stamp_ns, time_ns)

    def write_landmarks(
        self,
        faces: Sequence[TrackedFace | TrackedLandmarks],
        stamp_ns: int,
        topic: str = LANDMARKS,
        *,
        image_size: tuple[int, int],
        frame_id: str = _FRAME,
        time_ns: int | None = None,
    ) -> None:
        """The landmarks of all faces of an image of (width, height) px; without a face the one message that says so."""
        region = self._typestore.types["sensor_msgs/msg/RegionOfInterest"]
        bodies = [(face.face_id, landmarks_fields(face.landmarks)) for face in faces]
        empty = no_landmarks_fields(image_size)
        for fields in (empty, *(fields for _, fields in bodies)):
            fields["roi"] = region(**fields["roi"])
        self._write_faces(LANDMARKS_TYPE, topic, bodies, empty, stamp_ns, frame_id, time_ns)

    def write_parameters(
        self,
        faces: Sequence[TrackedFace | FaceParameters],
        stamp_ns: int,
        topic: str = PARAMETERS,
        *,
        image_size: tuple[int, int] = (0, 0),
        model: tuple[str, str] = ("", ""),
        method: str = "",
        frame_id: str = _FRAME,
        time_ns: int | None = None,
    ) -> None:
        """The parameters of all faces of an image; a `FaceParameters` gets its place in the sequence as face_id.

        Image size (width, height) px, model (name and digest) and method are for the one message that says that there
        is no face.
        """
        bodies = [
            (face.face_id, parameters_fields(face.parameters))
            if isinstance(face, TrackedFace)
            else (index, parameters_fields(face))
            for index, face in enumerate(faces)
        ]
        empty = no_parameters_fields(image_size, *model, method)
        self._write_faces(PARAMETERS_TYPE, topic, bodies, empty, stamp_ns, frame_id, time_ns)

    def _write_faces(
        self,
        kind: str,
        topic: str,
        bodies: Sequence[tuple[int, dict[str, Any]]],
        empty: dict[str, Any],
        stamp_ns: int,
        frame_id: str,
        time_ns: int | None,
    ) -> None:
        """One message per face, given as its id and fields, or the one that says that there is none."""
        qos, header = recorded_qos(depth=10, reliable=True), self._header(stamp_ns, frame_id)
        for index, (face_id, fields) in enumerate(bodies or [(0, empty)]):
            message = self._message(
                kind, header=header, face_id=face_id, face_index=index, face_count=len(bodies), **fields
            )
            self._write(topic, kind, qos, message, stamp_ns, time_ns)

    def _header(self, stamp_ns: int, frame_id: str) -> Any:
        seconds, nanoseconds = divmod(int(stamp_ns), _SECOND)
        stamp = self._message("builtin_interfaces/msg/Time", sec=seconds, nanosec=nanoseconds)
        return self._message("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id)

    def _message(self, kind: str, **fields: Any) -> Any:
        return self._typestore.types[kind](**fields)

    def _write(self, topic: str, kind: str, qos: Qos, message: Any, stamp_ns: int, time_ns: int | None) -> None:
        if topic not in self._connections:
            self._connections[topic] = self._bag.add_connection(
                topic, kind, typestore=self._typestore, offered_qos_profiles=[qos]
            )
        data = self._typestore.serialize_cdr(message, kind)
        try:
            self._bag.write(self._connections[topic], int(stamp_ns if time_ns is None else time_ns), data)
        except (OSError, sqlite3.Error) as error:
            raise Face3DMMError(f"the bag {self._path} cannot be written: {error}") from error


@dataclass(frozen=True, eq=False)
class RecordedImage:
    """An image as it lies in a bag.

    Attributes:
        stamp_ns: its header's stamp, ns.
        frame_id: its header's frame.
        time_ns: when it came, ns.
        pixels: decodes it: (H, W, 3) BGR uint8. Raises Face3DMMError for one that cannot be read.
    """

    stamp_ns: int
    frame_id: str
    time_ns: int
    pixels: Callable[[], NDArray[np.uint8]] = field(repr=False)


class BagReader:
    """Reads a bag: a folder with its metadata.yaml, or a single .mcap or .db3 file. Use it as a context manager."""

    def __init__(self, path: Path) -> None:
        """Open a bag.

        Raises:
            Face3DMMError: it is no bag, or is damaged.
        """
        self.path = path
        self._typestore = message_types()
        if not path.exists():
            raise Face3DMMError(f"{path} is not there: name a rosbag2 folder, or a .mcap or .db3 file")
        try:
            self._bag = Reader(path)
            self._bag.open()
        except FileNotFoundError as error:
            raise Face3DMMError(
                f"{path} is no rosbag2: it has no metadata.yaml (`ros2 bag reindex` makes one for a recording that was "
                "killed, or name its .mcap or .db3 file)"
            ) from error
        except Exception as error:
            raise Face3DMMError(f"{path} is no rosbag2, or a damaged one: {error}") from error

    def __enter__(self) -> "BagReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

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
            Face3DMMError: there is none, it is empty, or there are several.
        """
        pictures = {topic: kind for topic, kind in self.topics.items() if kind in (IMAGE_TYPE, COMPRESSED_TYPE)}
        if wanted is not None:
            for topic in (wanted, f"{wanted}{COMPRESSED}"):
                if topic in pictures and self.count(topic):
                    return topic
            found = ", ".join(sorted(pictures)) or "none"
            raise Face3DMMError(f"{self.path} has no images on {wanted}; topics with images: {found}")
        candidates = [topic for topic in sorted(pictures) if self.count(topic) and not _is_overlay(topic)]
        for topic in (IMAGES, f"{IMAGES}{COMPRESSED}"):
            if topic in candidates:
                return topic
        if len(candidates) == 1:
            return candidates[0]
        if candidates:
            raise Face3DMMError(f"{self.path} has several topics with images, name one: {', '.join(candidates)}")
        topics = ", ".join(f"{topic} ({kind})" for topic, kind in sorted(self.topics.items())) or "nothing at all"
        raise Face3DMMError(f"{self.path} has no camera images (sensor_msgs/Image or CompressedImage); it has {topics}")

    def images(self, topic: str) -> Iterator[RecordedImage]:
        """The images of a topic in the order in which they came.

        Raises:
            Face3DMMError: the bag is damaged.
        """
        decode = image_from_compressed if self.topics[topic] == COMPRESSED_TYPE else image_from_message
        for time_ns, data in self.messages(topic):
            try:
                message = self._unpacked(topic, data)
            except Face3DMMError as error:
                yield RecordedImage(time_ns, "", time_ns, _raising(error))
            else:
                header = message.header
                yield RecordedImage(stamp_ns(header), header.frame_id, time_ns, _decoding(decode, message))

    def camera_infos(self, image_topic: str) -> dict[int, bytes]:
        """The serialized camera_info of an image topic's camera, by its stamp, ns; empty where there is none."""
        folder = image_topic.removesuffix(COMPRESSED).rpartition("/")[0]
        topic = f"{folder}/camera_info"
        if self.topics.get(topic) != CAMERA_INFO_TYPE:
            return {}
        return {stamp_ns(self._unpacked(topic, data).header): data for _, data in self.messages(topic)}

    def parameters(self, topic: str) -> dict[int, dict[int, FaceParameters]]:
        """The parameters on a topic: by stamp, ns, and face_id; empty for an image without a face.

        Raises:
            Face3DMMError: the topic has another type, or a message cannot be read.
        """
        if self.topics[topic] != PARAMETERS_TYPE:
            raise Face3DMMError(f"{topic} of {self.path} is a {self.topics[topic]}, expected {PARAMETERS_TYPE}")
        found: dict[int, dict[int, FaceParameters]] = {}
        for _, data in self.messages(topic):
            message = self._unpacked(topic, data)
            faces = found.setdefault(stamp_ns(message.header), {})
            if message.face_count:
                faces[message.face_id] = parameters_from_message(message)
        return found

    def messages(self, topic: str) -> Iterator[tuple[int, bytes]]:
        """When each message of a topic came, ns, and its serialized bytes.

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
        for topic, time_ns, data in self._serialized(topics):
            yield topic, time_ns, self._unpacked(topic, data)

    def _serialized(self, topics: Collection[str]) -> Iterator[tuple[str, int, bytes]]:
        connections = [connection for connection in self._bag.connections if connection.topic in topics]
        if not connections:
            return
        try:
            for connection, time_ns, data in self._bag.messages(connections):
                yield connection.topic, time_ns, bytes(data)
        except Exception as error:
            raise Face3DMMError(f"{self.path} is damaged: {type(error).__name__}: {error}") from error

    def _unpacked(self, topic: str, data: bytes) -> Any:
        kind = self.topics[topic]
        # rclpy.serialize_message can leave bytes behind the last field, more than rosbags puts up with.
        # Nor are they zero, so that they may pass for an array that the message does not have yet.
        for lacking, surplus in product((b"", *_WITHOUT_NEWER_FIELDS.get(kind, ())), _SURPLUS):
            with contextlib.suppress(Exception):
                message = self._typestore.deserialize_cdr(data[: len(data) - surplus] + lacking, kind)
                if _last_field_is_plausible(kind, message):
                    return message
        raise Face3DMMError(f"a message on {topic} of {self.path} is no {kind} ({len(data)} bytes)")


def _last_field_is_plausible(kind: str, message: Any) -> bool:
    """Whether the newest array of a message is empty or as long as it has to be."""
    if kind == PARAMETERS_TYPE:
        return len(message.beta_deviation) in (0, len(message.beta))
    return kind != LANDMARKS_TYPE or len(message.colors) in (0, len(message.points) // 2 * 3)


def _is_overlay(topic: str) -> bool:
    return topic.removesuffix(COMPRESSED).endswith(_OVERLAYS)


def _decoding(decode: Callable[[Any], NDArray[np.uint8]], message: Any) -> Callable[[], NDArray[np.uint8]]:
    return lambda: decode(message)


def _raising(error: Face3DMMError) -> Callable[[], NDArray[np.uint8]]:
    def raise_it() -> NDArray[np.uint8]:
        raise error

    return raise_it

"""Writes rosbag2 bags (SQLite or MCAP) without ROS, through `rosbags`."""

import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import Connection, Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.storage_mcap import McapWriter

from face3dmm_ros.bags import messages as known
from face3dmm_ros.core import topics
from face3dmm_ros.core.camera import Intrinsics
from face3dmm_ros.core.closing import Closing
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.message_fields import (
    landmarks_array_fields,
    landmarks_fields,
    parameters_array_fields,
    parameters_fields,
    region_of_interest,
)
from face3dmm_ros.core.resource_files import PACKAGE
from face3dmm_ros.core.values import Box, FaceParameters, TrackedFace, TrackedLandmarks
from face3dmm_ros.files.image_layout import JPEG_FORMAT, jpeg

_METADATA_VERSION: Literal[8] = 8
"""Humble's rosbag2 refuses later ones."""
_FRAME = "camera_optical_frame"
_JPEG_QUALITY = 90  # chosen by hand: the size of a recording against artefacts
_SECOND = 1_000_000_000  # ns
_FOREVER = QosTime(9223372036, 854775807)  # rmw's RMW_DURATION_INFINITE: 2^63 − 1 ns


def check_room_for_bag(path: Path) -> None:
    """Check that there is nothing at this path, or a bag, which may be replaced.

    Raises:
        Face3DMMError: there is something else than a bag, or one cannot tell.
    """
    storages = [path / f"{path.name}{suffix}" for suffix in (".mcap", ".db3")]
    try:
        is_taken = path.exists() and not any(file.is_file() for file in (path / "metadata.yaml", *storages))
    except OSError as error:
        raise Face3DMMError(f"{path} cannot be looked at: {error.strerror}") from error
    if is_taken:
        raise Face3DMMError(f"{path} is there already and is no recording: choose another folder for the output")


def remove_bag(path: Path) -> None:
    """Delete an earlier bag at this path, if there is one.

    Raises:
        Face3DMMError: there is something else than a bag, or the bag cannot be removed.
    """
    check_room_for_bag(path)
    if not path.exists():
        return
    try:
        shutil.rmtree(path)
    except OSError as error:
        raise Face3DMMError(f"the earlier bag {path} cannot be removed: {error.strerror}") from error


class BagWriter(Closing):
    """Writes a bag; use it as a context manager. Stamps are those of the images, ns.

    Every method that makes a message takes the frame_id of its header, and time_ns, the time of reception that the bag
    notes, ns (the stamp if None). Nothing of the machine or the hour gets into a bag: the same calls write the same
    messages.
    """

    def __init__(self, path: Path, storage: str = "mcap") -> None:
        """Begin a bag, a folder that does not exist yet, with storage `mcap` or `sqlite3`.

        Raises:
            Face3DMMError: the storage is unknown, or the folder exists or cannot be written.
        """
        if storage not in known.STORAGES:
            raise Face3DMMError(f"a bag's storage is one of {', '.join(known.STORAGES)}, not {storage!r}")
        self._path = path
        self._typestore = known.message_types()
        self._connections: dict[str, Connection] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._bag = Writer(path, version=_METADATA_VERSION, storage_plugin=StoragePlugin[storage.upper()])
            self._bag.open()
        except Exception as error:
            raise Face3DMMError(f"the bag {path} cannot be written: {error}") from error

    def close(self) -> None:
        """Finish the bag.

        Raises:
            Face3DMMError: the bag could not be finished.
        """
        try:
            self._bag.close()
        except (OSError, sqlite3.Error) as error:
            raise Face3DMMError(f"the bag {self._path} could not be finished: {error}") from error

    def flush(self) -> None:
        """Make what was written readable, should the process be killed; of an SQLite bag it is not.

        Raises:
            Face3DMMError: it cannot be written.
        """
        storage = self._bag.storage
        if not isinstance(storage, McapWriter):
            return
        try:
            if storage.chunk.msgs:
                storage.close_chunk()
            storage.bio.flush()
        except OSError as error:
            raise Face3DMMError(f"the bag {self._path} cannot be written: {error}") from error

    def add_topic(self, topic: str, kind: str, *, depth: int, reliable: bool, latched: bool = False) -> None:
        """Add a topic with its type, package/msg/Name, and the QoS that players shall offer it with."""
        qos = Qos(
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
        self._connections[topic] = self._bag.add_connection(
            topic, kind, typestore=self._typestore, offered_qos_profiles=[qos]
        )

    def write_serialized(self, topic: str, time_ns: int, data: bytes | memoryview) -> None:
        """Write a message, serialized as CDR, of a topic that was added.

        Raises:
            Face3DMMError: the message cannot be written.
        """
        try:
            self._bag.write(self._connections[topic], time_ns, data)
        except (OSError, sqlite3.Error) as error:
            raise Face3DMMError(f"the bag {self._path} cannot be written: {error}") from error

    def write_image(
        self,
        image: NDArray[np.uint8],
        stamp_ns: int,
        topic: str = known.IMAGES,
        *,
        compressed: bool = False,
        frame_id: str = _FRAME,
        time_ns: int | None = None,
    ) -> None:
        """An image, (H, W, 3) BGR uint8; with `compressed` as a JPEG under the topic's `/compressed`."""
        height, width = image.shape[:2]
        if compressed:
            topic, kind = f"{topic}{topics.COMPRESSED}", known.COMPRESSED_TYPE
            fields: dict[str, Any] = {"format": JPEG_FORMAT, "data": jpeg(image, _JPEG_QUALITY)}
        else:
            kind = known.IMAGE_TYPE
            layout = {"height": height, "width": width, "encoding": "bgr8", "is_bigendian": 0, "step": 3 * width}
            fields = {**layout, "data": np.ascontiguousarray(image).reshape(-1)}
        self._write(topic, kind, fields, stamp_ns, frame_id, time_ns)

    def write_camera_info(
        self,
        intrinsics: Intrinsics | None,
        image_size: tuple[int, int],
        stamp_ns: int,
        topic: str = known.CAMERA_INFO,
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
        fields = {
            "height": image_size[1],
            "width": image_size[0],
            "distortion_model": "" if intrinsics is None else "plumb_bob",
            "d": np.zeros(0 if intrinsics is None else 5),
            "k": K.ravel(),
            "r": R.ravel(),
            "p": P.ravel(),
            "binning_x": 0,
            "binning_y": 0,
            "roi": self._nested("sensor_msgs/msg/RegionOfInterest", region_of_interest(Box(0, 0, 0, 0), image_size)),
        }
        self._write(topic, known.CAMERA_INFO_TYPE, fields, stamp_ns, frame_id, time_ns)

    def write_landmarks(
        self,
        faces: Sequence[TrackedFace | TrackedLandmarks],
        stamp_ns: int,
        topic: str = known.LANDMARKS,
        *,
        image_size: tuple[int, int],
        frame_id: str = _FRAME,
        time_ns: int | None = None,
    ) -> None:
        """The landmarks of all faces of an image of (width, height) px."""
        scheme = faces[0].landmarks.scheme if faces else ""
        fields = landmarks_array_fields(image_size, scheme) | {"faces": [self._landmarks(face) for face in faces]}
        self._write(topic, known.LANDMARKS_TYPE, fields, stamp_ns, frame_id, time_ns)

    def write_parameters(
        self,
        faces: Sequence[TrackedFace | FaceParameters],
        stamp_ns: int,
        topic: str = known.PARAMETERS,
        *,
        image_size: tuple[int, int] = (0, 0),
        model: tuple[str, str] = ("", ""),
        method: str = "",
        expression_names: Sequence[str] = (),
        frame_id: str = _FRAME,
        time_ns: int | None = None,
    ) -> None:
        """The parameters of all faces of an image; a `FaceParameters` gets its place in the sequence as face_id.

        Image size (width, height) px, model (name and digest) and method are for an image without a face.
        """
        tracked = [
            (face.face_id, face.parameters) if isinstance(face, TrackedFace) else (index, face)
            for index, face in enumerate(faces)
        ]
        if tracked:
            shared = tracked[-1][1]
            image_size, method = shared.image_size, shared.method
            model = shared.model, shared.model_digest
        fields = parameters_array_fields(image_size, *model, method, expression_names)
        fields["faces"] = [self._parameters(face_id, parameters) for face_id, parameters in tracked]
        self._write(topic, known.PARAMETERS_TYPE, fields, stamp_ns, frame_id, time_ns)

    def _landmarks(self, face: TrackedFace | TrackedLandmarks) -> Any:
        """A face's message."""
        fields = landmarks_fields(face)
        fields["roi"] = self._nested("sensor_msgs/msg/RegionOfInterest", fields["roi"])
        return self._nested(f"{PACKAGE}/msg/FaceLandmarks", fields)

    def _parameters(self, face_id: int, parameters: FaceParameters) -> Any:
        """A face's message, whose pose is not known: that takes a camera."""
        fields = parameters_fields(face_id, parameters)
        position = self._nested("geometry_msgs/msg/Point", fields["pose"]["position"])
        orientation = self._nested("geometry_msgs/msg/Quaternion", fields["pose"]["orientation"])
        fields["pose"] = self._nested("geometry_msgs/msg/Pose", {"position": position, "orientation": orientation})
        return self._nested(f"{PACKAGE}/msg/Face3DMMParams", fields)

    def _nested(self, kind: str, fields: dict[str, Any]) -> Any:
        return self._typestore.types[kind](**fields)

    def _write(
        self, topic: str, kind: str, fields: dict[str, Any], stamp_ns: int, frame_id: str, time_ns: int | None
    ) -> None:
        """A message with these fields after its header, on a topic that is added with its first one."""
        types = self._typestore.types
        if topic not in self._connections:
            is_result = kind in (known.LANDMARKS_TYPE, known.PARAMETERS_TYPE)
            self.add_topic(topic, kind, depth=10 if is_result else 5, reliable=is_result)
        seconds, nanoseconds = divmod(int(stamp_ns), _SECOND)
        stamp = types["builtin_interfaces/msg/Time"](sec=seconds, nanosec=nanoseconds)
        header = types["std_msgs/msg/Header"](stamp=stamp, frame_id=frame_id)
        data = self._typestore.serialize_cdr(types[kind](header=header, **fields), kind)
        self.write_serialized(topic, int(stamp_ns if time_ns is None else time_ns), data)

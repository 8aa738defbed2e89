"""Makes frames of messages, either ROS's classes or those of `rosbags`, so of live topics and of bags."""

from collections.abc import Callable
from typing import Any

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.image_clock import stamp_ns
from face3dmm_ros.core.message_fields import landmarks_from_message, mesh_from_message, parameters_from_message
from face3dmm_ros.files.image_layout import compressed_name, image_from_message, jpeg
from face3dmm_ros.files.picture_decoding import picture_size
from face3dmm_ros.files.sample_depth import SampleDepth
from face3dmm_ros.viewer.viewed_frame import (
    IMAGE,
    LANDMARKS,
    MESH,
    OVERLAY,
    PARAMETERS,
    FrameAssembler,
    FrameTimes,
    ViewedFrame,
)


class FrameMessages:
    """Makes frames of the messages about images and faces.

    Attributes:
        assembler: brings the parts of an image together.
        times: tells which image a part belongs to.
    """

    def __init__(self, due: Callable[[int], bool], quality: int) -> None:
        """Make frames.

        Args:
            due: whether pictures and meshes of a time, ns, are shown; others are not even decoded.
            quality: 1 to 100, of the JPEGs that are made of raw images; compressed ones stay as they are.
        """
        self.assembler = FrameAssembler()
        self.times = FrameTimes()
        self._due = due
        self._quality = quality
        self._depth = SampleDepth()
        self._topology: Any = None

    def take_topology(self, message: Any) -> None:
        """Take the triangles of the meshes to come, a `FaceTopology`."""
        self._topology = message

    def take(self, part: str, message: Any, arrival_ns: int) -> list[ViewedFrame]:
        """Take a part of a frame; returns the frames that this finishes.

        Args:
            part: one of `PARTS`.
            message: an `Image` or `CompressedImage`, or a `FaceLandmarksArray`, `Face3DMMParamsArray` or
                `FaceMeshArray`.
            arrival_ns: when it came, or was recorded, ns.

        Raises:
            Face3DMMError: the picture cannot be decoded, values are invalid, or a mesh came before its topology.
        """
        stamp = stamp_ns(message.header)
        time_ns = self.times.time_of(part, stamp, arrival_ns)
        # A bag that was written, not recorded, does not tell when something came: it has the stamp there.
        latency_ms = 1e-6 * (arrival_ns - stamp) if stamp not in (0, arrival_ns) else None
        if part in (IMAGE, OVERLAY):
            encoded = self._encoded(message) if self._due(time_ns) else None
            return self.assembler.add(part, time_ns, encoded, latency_ms)
        shown = part != MESH or self._due(time_ns)
        faces = {face.face_id: self._value(part, message, face) for face in message.faces} if shown else {}
        return self.assembler.add(part, time_ns, faces, latency_ms)

    def _value(self, part: str, message: Any, face: Any) -> Any:
        if part == LANDMARKS:
            return landmarks_from_message(message, face).landmarks
        if part == PARAMETERS:
            return parameters_from_message(message, face)
        if self._topology is None:
            raise Face3DMMError("a mesh came and its triangles did not: /face/topology is missing")
        return mesh_from_message(message, face, self._topology)

    def _encoded(self, message: Any) -> bytes:
        """The bytes of a JPEG or PNG file."""
        if hasattr(message, "encoding"):
            return jpeg(image_from_message(message, self._depth), self._quality).tobytes()
        data = bytes(message.data)
        picture_size(data, compressed_name(message), ("JPEG", "PNG"))
        return data

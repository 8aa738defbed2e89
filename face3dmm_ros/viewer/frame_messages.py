"""Messages into frames: the same for ROS's message classes and for those of `rosbags`, so for live topics and bags."""

from collections.abc import Callable
from typing import Any

from face3dmm_ros.errors import Face3DMMError
from face3dmm_ros.image_layout import compressed_name, image_from_message, jpeg
from face3dmm_ros.message_fields import landmarks_from_message, mesh_from_message, parameters_from_message
from face3dmm_ros.picture_decoding import picture_size
from face3dmm_ros.viewer.viewed_frame import LANDMARKS, MESH, PARAMETERS, FrameAssembler, ViewedFrame


class FrameMessages:
    """Makes frames of the messages about images and faces.

    Attributes:
        assembler: what brings them together.
    """

    def __init__(self, due: Callable[[int], bool], quality: int) -> None:
        """Make frames.

        Args:
            due: whether pictures and meshes of a stamp, ns, are wanted; others are not even unpacked.
            quality: 1 to 100, of the JPEGs that are made of raw images; compressed ones stay as they are.
        """
        self.assembler = FrameAssembler()
        self._due = due
        self._quality = quality
        self._topology: Any = None

    def take_topology(self, message: Any) -> None:
        """Take the triangles of the meshes to come, a `FaceTopology`."""
        self._topology = message

    def take_picture(self, part: str, stamp_ns: int, message: Any, latency_ms: float | None) -> list[ViewedFrame]:
        """Take the image or the overlay, an `Image` or `CompressedImage`; the frames that this finishes.

        Raises:
            Face3DMMError: it is no picture.
        """
        encoded = _encoded(message, self._quality) if self._due(stamp_ns) else None
        return self.assembler.add_picture(part, stamp_ns, encoded, latency_ms)

    def take_face(self, part: str, stamp_ns: int, message: Any, latency_ms: float | None) -> list[ViewedFrame]:
        """Take a `FaceLandmarks`, `Face3DMMParams` or `FaceMesh`; the frames that this finishes.

        Raises:
            Face3DMMError: its values cannot be, or no topology has come yet for a mesh.
        """
        if not message.face_count or (part == MESH and not self._due(stamp_ns)):
            return self.assembler.add_face(part, stamp_ns, 0, {}, latency_ms)
        face = {message.face_id: self._value(part, message)}
        return self.assembler.add_face(part, stamp_ns, message.face_count, face, latency_ms)

    def _value(self, part: str, message: Any) -> Any:
        if part == LANDMARKS:
            return landmarks_from_message(message).landmarks
        if part == PARAMETERS:
            return parameters_from_message(message)
        if self._topology is None:
            raise Face3DMMError("a mesh came and its triangles did not: /face/topology is missing")
        return mesh_from_message(message, self._topology)


def _encoded(message: Any, quality: int) -> bytes:
    """The bytes of a JPEG or PNG file."""
    if hasattr(message, "encoding"):
        return jpeg(image_from_message(message), quality).tobytes()
    data = bytes(message.data)
    picture_size(data, compressed_name(message), ("JPEG", "PNG"))
    return data

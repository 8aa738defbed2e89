"""The values that travel to their messages and back. Arrays enter messages as `array.array`: rclpy copies an ndarray
element by element."""

from array import array
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from geometry_msgs.msg import Point, PoseStamped
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, PointCloud2, PointField, RegionOfInterest
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker

from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.core.calibration import Calibration
from face3dmm_ros.core.camera import MetricPose
from face3dmm_ros.core.message_fields import (
    check_slot,
    landmarks_fields,
    no_landmarks_fields,
    no_parameters_fields,
    parameters_fields,
)
from face3dmm_ros.core.values import FaceParameters, Landmarks, Mesh
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.msg import Blendshapes, Face3DMMParams, FaceLandmarks, FaceMesh, FaceTopology

_TYPECODES = {np.dtype(np.float32): "f", np.dtype(np.float64): "d", np.dtype(np.uint8): "B", np.dtype(np.uint32): "I"}


@dataclass(frozen=True)
class FaceSlot:
    """The fields that every message about a face begins with: of which image, which face, and which of how many."""

    header: Header
    face_id: int = 0
    face_index: int = 0
    face_count: int = 0


class FaceMessage(Protocol):
    """A message that begins with a `FaceSlot`'s fields."""

    header: Header
    face_id: int
    face_index: int
    face_count: int


def slot_of(message: FaceMessage) -> FaceSlot:
    """The slot of a message.

    Raises:
        Face3DMMError: its index does not fit its count.
    """
    check_slot(message)
    return FaceSlot(message.header, message.face_id, message.face_index, message.face_count)


def _slot_fields(slot: FaceSlot) -> dict[str, object]:
    return {
        "header": slot.header,
        "face_id": slot.face_id,
        "face_index": slot.face_index,
        "face_count": slot.face_count,
    }


def to_array(values: NDArray, dtype: type[np.generic]) -> array:
    """An array of any shape as a flat `array.array` of a message field's type; one copy of the buffer."""
    contiguous = np.ascontiguousarray(values, dtype=dtype)
    flat = array(_TYPECODES[contiguous.dtype])
    if contiguous.size:
        flat.frombytes(contiguous.data.cast("B"))
    return flat


def _field_arrays(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields with their arrays of any length as `array.array`."""
    fixed = ("rotation", "translation")
    return {
        name: to_array(value, value.dtype.type) if isinstance(value, np.ndarray) and name not in fixed else value
        for name, value in fields.items()
    }


def landmarks_to_message(slot: FaceSlot, landmarks: Landmarks) -> FaceLandmarks:
    """The message of one face's landmarks."""
    return _landmarks_message(slot, landmarks_fields(landmarks))


def no_landmarks_message(header: Header, image_size: tuple[int, int]) -> FaceLandmarks:
    """The answer to an image without a face."""
    return _landmarks_message(FaceSlot(header), no_landmarks_fields(image_size))


def _landmarks_message(slot: FaceSlot, fields: dict[str, Any]) -> FaceLandmarks:
    region = RegionOfInterest(**fields["roi"])
    return FaceLandmarks(**_slot_fields(slot), **_field_arrays(fields) | {"roi": region})


def parameters_to_message(slot: FaceSlot, parameters: FaceParameters) -> Face3DMMParams:
    """The message of one face's parameters."""
    return Face3DMMParams(**_slot_fields(slot), **_field_arrays(parameters_fields(parameters)))


def no_parameters_message(
    header: Header, image_size: tuple[int, int], model: MorphableModel, method: str
) -> Face3DMMParams:
    """The answer to an image without a face."""
    fields = no_parameters_fields(image_size, model.name, model.digest, method)
    return Face3DMMParams(**_slot_fields(FaceSlot(header)), **_field_arrays(fields))


def blendshapes_to_message(slot: FaceSlot, weights: NDArray[np.float32]) -> Blendshapes:
    """The message of one face's weights, (52,) of ARKit's names."""
    return Blendshapes(**_slot_fields(slot), names=ARKIT_NAMES, weights=to_array(weights, np.float32))


def no_blendshapes_message(header: Header) -> Blendshapes:
    """The answer to an image without a face."""
    return Blendshapes(**_slot_fields(FaceSlot(header)))


def mesh_to_message(slot: FaceSlot, mesh: Mesh) -> FaceMesh:
    """The message of one face's mesh; its triangles travel in `FaceTopology`."""
    return FaceMesh(
        **_slot_fields(slot),
        model_digest=mesh.model_digest,
        vertices=to_array(mesh.vertices, np.float32),
        normals=to_array(mesh.normals, np.float32),
        rgb=to_array(mesh.rgb, np.uint8),
    )


def no_mesh_message(header: Header, model: MorphableModel) -> FaceMesh:
    """The answer to an image without a face."""
    return FaceMesh(**_slot_fields(FaceSlot(header)), model_digest=model.digest)


def topology_message(model: MorphableModel) -> FaceTopology:
    """What all meshes of a model share."""
    return FaceTopology(
        model_digest=model.digest,
        triangles=to_array(model.triangles, np.uint32),
        expression_names=list(model.expression_names),
    )


def pose_to_message(header: Header, pose: MetricPose) -> PoseStamped:
    """A head's pose in the camera's optical frame, metres."""
    message = PoseStamped(header=header)
    position, orientation = message.pose.position, message.pose.orientation
    position.x, position.y, position.z = pose.position.tolist()
    orientation.x, orientation.y, orientation.z, orientation.w = Rotation.from_matrix(pose.rotation).as_quat().tolist()
    return message


_CLOUD_POINT = np.dtype([("xyz", np.float32, 3), ("bgrx", np.uint8, 4)])
_CLOUD_FIELDS = [
    *(PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1) for i, name in enumerate("xyz")),
    PointField(name="rgb", offset=12, datatype=PointField.FLOAT32, count=1),
]


def cloud_message(header: Header, vertices: NDArray[np.float32], rgb: NDArray[np.uint8]) -> PointCloud2:
    """Coloured points (N, 3) m with (N, 3) uint8 colours, as rviz shows them."""
    points = np.zeros(len(vertices), _CLOUD_POINT)
    points["xyz"] = vertices
    points["bgrx"][:, :3] = rgb[:, ::-1]
    data = array("B")
    data.frombytes(points.tobytes())
    return PointCloud2(
        header=header,
        height=1,
        width=len(points),
        fields=_CLOUD_FIELDS,
        is_bigendian=False,
        point_step=_CLOUD_POINT.itemsize,
        row_step=_CLOUD_POINT.itemsize * len(points),
        data=data,
        is_dense=True,
    )


_MARKER_NAMESPACE, _GAZE_NAMESPACE = "face", "gaze"
_MARKER_COLOR = ColorRGBA(r=0.85, g=0.68, b=0.58, a=1.0)
_ARROW = np.array([[0.0, 0.0, 60.0], [0.0, 0.0, 220.0]])  # mm in model space, from between the eyes to the front
_ARROW_SHAFT, _ARROW_HEAD = 0.006, 0.018  # m
_ARROW_COLOR = ColorRGBA(r=1.0, g=0.55, b=0.1, a=1.0)
_GAZE_REACH = [0.0, 220.0]  # mm from between the eyes
_GAZE_COLOR = ColorRGBA(r=0.15, g=0.6, b=1.0, a=1.0)


def marker_message(header: Header, face_id: int, corners: NDArray[np.float32]) -> Marker:
    """Triangles whose corners are (3M, 3), m, as rviz shows them."""
    marker = Marker(header=header, ns=_MARKER_NAMESPACE, id=face_id, type=Marker.TRIANGLE_LIST, action=Marker.ADD)
    marker.scale.x = marker.scale.y = marker.scale.z = 1.0
    marker.pose.orientation.w = 1.0
    marker.color = _MARKER_COLOR
    marker.points = [Point(x=x, y=y, z=z) for x, y, z in corners.tolist()]
    return marker


def arrow_message(header: Header, face_id: int, pose: MetricPose) -> Marker:
    """An arrow from the face to where the head points, as rviz shows it."""
    return _arrow(header, _MARKER_NAMESPACE, face_id, pose.transform(_ARROW), _ARROW_COLOR)


def gaze_message(header: Header, face_id: int, pose: MetricPose, parameters: FaceParameters) -> Marker:
    """An arrow from between the eyes to where both look, as rviz shows it; of parameters with a gaze."""
    in_model = parameters.camera.rotation.T @ parameters.gaze[2]
    return _arrow(header, _GAZE_NAMESPACE, face_id, pose.transform(np.outer(_GAZE_REACH, in_model)), _GAZE_COLOR)


def _arrow(header: Header, namespace: str, face_id: int, ends: NDArray[np.floating], color: ColorRGBA) -> Marker:
    """An arrow whose ends are (2, 3), m."""
    marker = Marker(header=header, ns=namespace, id=face_id, type=Marker.ARROW, action=Marker.ADD)
    marker.scale.x, marker.scale.y, marker.scale.z = _ARROW_SHAFT, _ARROW_HEAD, _ARROW_HEAD
    marker.pose.orientation.w = 1.0
    marker.color = color
    marker.points = [Point(x=x, y=y, z=z) for x, y, z in ends.tolist()]
    return marker


def no_marker_message(header: Header) -> Marker:
    """Takes all faces away."""
    return Marker(header=header, ns=_MARKER_NAMESPACE, action=Marker.DELETEALL)


def calibration_from_message(message: CameraInfo) -> Calibration | None:
    """The camera's calibration; None where K[0] = 0 says that it is not known.

    Raises:
        Face3DMMError: K is neither zero nor that of a camera, or the lens model is not known.
    """
    if message.k[0] == 0.0:
        return None
    return Calibration(
        (message.width, message.height),
        np.array(message.k, np.float64).reshape(3, 3),
        message.distortion_model,
        np.array(message.d, np.float64),
        np.array(message.r, np.float64).reshape(3, 3),
        np.array(message.p, np.float64).reshape(3, 4),
    )


def calibration_to_message(header: Header, calibration: Calibration) -> CameraInfo:
    """The message of a camera's calibration."""
    width, height = calibration.image_size
    return CameraInfo(
        header=header,
        width=width,
        height=height,
        distortion_model=calibration.distortion_model,
        d=calibration.distortion.tolist(),
        k=calibration.matrix.ravel(),
        r=calibration.rectification.ravel(),
        p=calibration.projection.ravel(),
    )

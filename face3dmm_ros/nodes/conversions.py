"""Conversions between the values of `core.values` and ROS messages.

Arrays of any length enter messages as `array.array`, since rclpy copies an ndarray element by element.
"""

from array import array
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from geometry_msgs.msg import Point, PoseStamped, Vector3
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, PointCloud2, PointField, RegionOfInterest
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker

from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.core.calibration import Calibration
from face3dmm_ros.core.camera import MetricPose
from face3dmm_ros.core.message_fields import (
    landmarks_fields,
    no_landmarks_fields,
    no_parameters_fields,
    parameters_fields,
)
from face3dmm_ros.core.values import FaceParameters, Landmarks, Mesh
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.msg import Blendshapes, Face3DMMParams, FaceLandmarks, FaceMesh, FaceTopology


@dataclass(frozen=True)
class FaceSlot:
    """The fields that every message about a face begins with.

    Attributes:
        header: that of the image, unchanged.
        face_id: which face, over time.
        face_index: which of the image's faces, from 0.
        face_count: how many faces the image has.
    """

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


def to_array(values: NDArray, dtype: type[np.generic]) -> array:
    """An array of any shape as a flat `array.array` of a message field's type; its buffer is copied once."""
    contiguous = np.ascontiguousarray(values, dtype).reshape(-1)
    flat = array(contiguous.dtype.char)
    flat.frombytes(contiguous.view(np.uint8))  # type: ignore[arg-type]
    return flat


def _field_arrays(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields with their arrays as `array.array`, except those of fixed length, which stay ndarrays."""
    fixed = ("rotation", "translation")
    return {
        name: to_array(value, value.dtype.type) if isinstance(value, np.ndarray) and name not in fixed else value
        for name, value in fields.items()
    }


def landmarks_to_message(slot: FaceSlot, landmarks: Landmarks) -> FaceLandmarks:
    """The message of one face's landmarks."""
    return _landmarks_message(slot, landmarks_fields(landmarks))


def no_landmarks_message(header: Header, image_size: tuple[int, int]) -> FaceLandmarks:
    """The message that says that an image has no face."""
    return _landmarks_message(FaceSlot(header), no_landmarks_fields(image_size))


def _landmarks_message(slot: FaceSlot, fields: dict[str, Any]) -> FaceLandmarks:
    region = RegionOfInterest(**fields["roi"])
    return FaceLandmarks(**vars(slot), **_field_arrays(fields) | {"roi": region})


def parameters_to_message(slot: FaceSlot, parameters: FaceParameters) -> Face3DMMParams:
    """The message of one face's parameters."""
    return Face3DMMParams(**vars(slot), **_field_arrays(parameters_fields(parameters)))


def no_parameters_message(
    header: Header, image_size: tuple[int, int], model: MorphableModel, method: str
) -> Face3DMMParams:
    """The message that says that an image has no face."""
    fields = no_parameters_fields(image_size, model.name, model.digest, method)
    return Face3DMMParams(**vars(FaceSlot(header)), **_field_arrays(fields))


def blendshapes_to_message(slot: FaceSlot, weights: NDArray[np.float32]) -> Blendshapes:
    """The message of one face's blendshape weights, (52,), in the order of `ARKIT_NAMES`."""
    return Blendshapes(**vars(slot), names=ARKIT_NAMES, weights=to_array(weights, np.float32))


def no_blendshapes_message(header: Header) -> Blendshapes:
    """The message that says that an image has no face."""
    return Blendshapes(**vars(FaceSlot(header)))


def mesh_to_message(slot: FaceSlot, mesh: Mesh) -> FaceMesh:
    """The message of one face's mesh; its triangles travel in `FaceTopology`."""
    return FaceMesh(
        **vars(slot),
        model_digest=mesh.model_digest,
        vertices=to_array(mesh.vertices, np.float32),
        normals=to_array(mesh.normals, np.float32),
        rgb=to_array(mesh.rgb, np.uint8),
    )


def no_mesh_message(header: Header, model: MorphableModel) -> FaceMesh:
    """The message that says that an image has no face."""
    return FaceMesh(**vars(FaceSlot(header)), model_digest=model.digest)


def topology_message(model: MorphableModel) -> FaceTopology:
    """The message of what all meshes of a model share."""
    return FaceTopology(
        model_digest=model.digest,
        triangles=to_array(model.triangles, np.uint32),
        expression_names=list(model.expression_names),
    )


def pose_to_message(header: Header, pose: MetricPose) -> PoseStamped:
    """The message of a head's pose in the camera's optical frame, m."""
    message = PoseStamped(header=header)
    position, orientation = message.pose.position, message.pose.orientation
    position.x, position.y, position.z = pose.position.tolist()
    orientation.x, orientation.y, orientation.z, orientation.w = Rotation.from_matrix(pose.rotation).as_quat().tolist()
    return message


# The layout in which rviz expects coloured points: x, y, z and the bytes of "rgb" read as a float.
_CLOUD_POINT = np.dtype([("xyz", np.float32, 3), ("bgrx", np.uint8, 4)])
_CLOUD_FIELDS = [
    *(PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1) for i, name in enumerate("xyz")),
    PointField(name="rgb", offset=12, datatype=PointField.FLOAT32, count=1),
]


def cloud_message(header: Header, vertices: NDArray[np.float32], rgb: NDArray[np.uint8]) -> PointCloud2:
    """The message of points, (N, 3) m, with RGB colours, (N, 3) uint8."""
    points = np.zeros(len(vertices), _CLOUD_POINT)
    points["xyz"] = vertices
    points["bgrx"][:, :3] = rgb[:, ::-1]
    return PointCloud2(
        header=header,
        height=1,
        width=len(points),
        fields=_CLOUD_FIELDS,
        is_bigendian=False,
        point_step=_CLOUD_POINT.itemsize,
        row_step=_CLOUD_POINT.itemsize * len(points),
        data=to_array(points.view(np.uint8), np.uint8),
        is_dense=True,
    )


# How markers look in rviz: colours, lengths and thicknesses are chosen by hand.
_FACE_NAMESPACE, _GAZE_NAMESPACE = "face", "gaze"
_FACE_COLOR = ColorRGBA(r=0.85, g=0.68, b=0.58, a=1.0)
_UNSCALED = Vector3(x=1.0, y=1.0, z=1.0)
_ARROW_ENDS = np.array([[0.0, 0.0, 60.0], [0.0, 0.0, 220.0]])
"""mm in model space, whose origin lies between the eyes and whose z points to the front."""
_ARROW_SIZE = Vector3(x=0.006, y=0.018, z=0.018)
"""Diameters of shaft and head, and the head's length, m."""
_ARROW_COLOR = ColorRGBA(r=1.0, g=0.55, b=0.1, a=1.0)
_GAZE_ENDS = [0.0, 220.0]
"""mm from the midpoint between the eyes, along the gaze."""
_GAZE_COLOR = ColorRGBA(r=0.15, g=0.6, b=1.0, a=1.0)


def marker_message(header: Header, face_id: int, corners: NDArray[np.float32]) -> Marker:
    """A marker of triangles, whose corners are (3M, 3), m."""
    return _marker(header, face_id, _FACE_NAMESPACE, Marker.TRIANGLE_LIST, _UNSCALED, _FACE_COLOR, corners)


def arrow_message(header: Header, face_id: int, pose: MetricPose) -> Marker:
    """A marker of an arrow from the face to where the head points."""
    ends = pose.transform(_ARROW_ENDS)
    return _marker(header, face_id, _FACE_NAMESPACE, Marker.ARROW, _ARROW_SIZE, _ARROW_COLOR, ends)


def gaze_message(header: Header, face_id: int, pose: MetricPose, parameters: FaceParameters) -> Marker:
    """A marker of an arrow from between the eyes to where both look; the parameters must have a gaze."""
    in_model = parameters.camera.rotation.T @ parameters.gaze[2]
    ends = pose.transform(np.outer(_GAZE_ENDS, in_model))
    return _marker(header, face_id, _GAZE_NAMESPACE, Marker.ARROW, _ARROW_SIZE, _GAZE_COLOR, ends)


def _marker(
    header: Header, face_id: int, namespace: str, kind: int, scale: Vector3, color: ColorRGBA, points: NDArray
) -> Marker:
    marker = Marker(header=header, ns=namespace, id=face_id, type=kind, action=Marker.ADD, scale=scale, color=color)
    marker.pose.orientation.w = 1.0
    marker.points = [Point(x=x, y=y, z=z) for x, y, z in points.tolist()]
    return marker


def no_marker_message(header: Header) -> Marker:
    """A marker that removes all earlier ones."""
    return Marker(header=header, ns=_FACE_NAMESPACE, action=Marker.DELETEALL)


def calibration_from_message(message: CameraInfo) -> Calibration | None:
    """The camera's calibration; None where K[0] = 0, with which ROS marks an uncalibrated camera.

    Raises:
        Face3DMMError: a matrix, size or distortion is not valid, or the distortion model is not known.
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

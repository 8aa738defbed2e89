"""The values that travel to their messages and back. Arrays enter messages as `array.array`: rclpy copies an ndarray
element by element."""

from array import array
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from geometry_msgs.msg import Point, PoseStamped
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, PointCloud2, PointField, RegionOfInterest
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker

from face3dmm_ros.camera import Intrinsics, MetricPose, WeakPerspective
from face3dmm_ros.errors import Face3DMMError
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.msg import Face3DMMParams, FaceLandmarks, FaceMesh, FaceTopology
from face3dmm_ros.values import Box, FaceParameters, Landmarks, Mesh, TrackedLandmarks

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
    if message.face_index >= max(message.face_count, 1):
        raise Face3DMMError(f"face_index {message.face_index} of a message with face_count {message.face_count}")
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


def from_array(values: array, dtype: type[np.generic], columns: int, what: str) -> NDArray:
    """A message's array field as (N, columns), or (N,) for one column; a view of the message's buffer.

    Raises:
        Face3DMMError: its length is no multiple of the columns, or a value is not finite.
    """
    flat = np.frombuffer(values, dtype) if len(values) else np.empty(0, dtype)
    if flat.size % columns:
        raise Face3DMMError(f"{what} has {flat.size} values, expected a multiple of {columns}")
    if flat.dtype.kind == "f" and not np.isfinite(flat).all():
        raise Face3DMMError(f"{what} holds values that are not finite (NaN or infinity)")
    return flat if columns == 1 else flat.reshape(-1, columns)


def landmarks_to_message(slot: FaceSlot, landmarks: Landmarks) -> FaceLandmarks:
    """The message of one face's landmarks."""
    width, height = landmarks.image_size
    depth = np.empty(0) if landmarks.depth is None else landmarks.depth
    return FaceLandmarks(
        **_slot_fields(slot),
        image_width=width,
        image_height=height,
        scheme=landmarks.scheme,
        roi=_region_of_interest(landmarks.box, landmarks.image_size),
        confidence=float(landmarks.confidence),
        points=to_array(landmarks.points, np.float32),
        depth=to_array(depth, np.float32),
    )


def no_landmarks_message(header: Header, image_size: tuple[int, int]) -> FaceLandmarks:
    """The answer to an image without a face."""
    return FaceLandmarks(**_slot_fields(FaceSlot(header)), image_width=image_size[0], image_height=image_size[1])


def landmarks_from_message(message: FaceLandmarks) -> TrackedLandmarks:
    """The landmarks of a message that has a face; the box is in whole pixels, within the image.

    Raises:
        Face3DMMError: arrays of the wrong length, values that are not finite, or an image without size.
    """
    slot = slot_of(message)
    points = from_array(message.points, np.float32, 2, "FaceLandmarks.points")
    depth = from_array(message.depth, np.float32, 1, "FaceLandmarks.depth")
    if len(depth) not in (0, len(points)):
        raise Face3DMMError(f"FaceLandmarks has {len(points)} points but {len(depth)} depths")
    if not len(points):
        raise Face3DMMError("FaceLandmarks of a face has no points")
    roi = message.roi
    landmarks = Landmarks(
        scheme=message.scheme,
        points=points,
        box=Box(roi.x_offset, roi.y_offset, roi.width, roi.height),
        confidence=_confidence(message.confidence),
        image_size=_image_size(message.image_width, message.image_height),
        depth=depth if len(depth) else None,
    )
    return TrackedLandmarks(slot.face_id, landmarks)


def parameters_to_message(slot: FaceSlot, parameters: FaceParameters) -> Face3DMMParams:
    """The message of one face's parameters."""
    width, height = parameters.image_size
    camera = parameters.camera
    return Face3DMMParams(
        **_slot_fields(slot),
        image_width=width,
        image_height=height,
        model=parameters.model,
        model_digest=parameters.model_digest,
        method=parameters.method,
        scale=float(camera.scale),
        rotation=np.asarray(camera.rotation, np.float64).ravel(),
        translation=np.asarray(camera.translation, np.float64),
        alpha=to_array(parameters.alpha, np.float64),
        beta=to_array(parameters.beta, np.float64),
        gamma=to_array(parameters.gamma, np.float64),
        residual_px=float(parameters.residual_px),
        confidence=float(parameters.confidence),
    )


def no_parameters_message(
    header: Header, image_size: tuple[int, int], model: MorphableModel, method: str
) -> Face3DMMParams:
    """The answer to an image without a face."""
    return Face3DMMParams(
        **_slot_fields(FaceSlot(header)),
        image_width=image_size[0],
        image_height=image_size[1],
        model=model.name,
        model_digest=model.digest,
        method=method,
    )


def parameters_from_message(message: Face3DMMParams) -> FaceParameters:
    """The parameters of a message that has a face.

    Raises:
        Face3DMMError: values that are not finite, a scale that is not positive, an R that is no rotation, or an image
            without size.
    """
    slot_of(message)
    R = np.array(message.rotation, np.float64).reshape(3, 3)
    t = np.array(message.translation, np.float64)
    if not (np.isfinite(R).all() and np.isfinite(t).all() and np.isfinite(message.scale) and message.scale > 0):
        raise Face3DMMError("Face3DMMParams needs a positive scale and a finite rotation and translation")
    if np.abs(R @ R.T - np.eye(3)).max() > 1e-6 or np.linalg.det(R) < 0:
        raise Face3DMMError(f"Face3DMMParams.rotation is no rotation: {R.ravel().tolist()}")
    return FaceParameters(
        camera=WeakPerspective(message.scale, R, t),
        alpha=from_array(message.alpha, np.float64, 1, "Face3DMMParams.alpha"),
        beta=from_array(message.beta, np.float64, 1, "Face3DMMParams.beta"),
        gamma=from_array(message.gamma, np.float64, 1, "Face3DMMParams.gamma"),
        model=message.model,
        model_digest=message.model_digest,
        method=message.method,
        residual_px=message.residual_px,
        confidence=_confidence(message.confidence),
        image_size=_image_size(message.image_width, message.image_height),
    )


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


def mesh_from_message(message: FaceMesh, topology: FaceTopology) -> Mesh:
    """The mesh of a message that has a face, with the triangles of its model's topology.

    Raises:
        Face3DMMError: arrays of the wrong length, values that are not finite, triangles of another model or beyond the
            vertices.
    """
    slot_of(message)
    if message.model_digest != topology.model_digest:
        raise Face3DMMError(
            f"a mesh of model {message.model_digest[:12]}… cannot take the triangles of model "
            f"{topology.model_digest[:12]}…: wait for its own FaceTopology"
        )
    vertices = from_array(message.vertices, np.float32, 3, "FaceMesh.vertices")
    normals = from_array(message.normals, np.float32, 3, "FaceMesh.normals")
    rgb = from_array(message.rgb, np.uint8, 3, "FaceMesh.rgb")
    if not len(vertices) == len(normals) == len(rgb):
        raise Face3DMMError(f"FaceMesh has {len(vertices)} vertices, {len(normals)} normals and {len(rgb)} colours")
    triangles = from_array(topology.triangles, np.uint32, 3, "FaceTopology.triangles")
    if triangles.size and triangles.max() >= len(vertices):
        raise Face3DMMError(f"FaceTopology refers to vertex {triangles.max()}, the mesh has {len(vertices)}")
    return Mesh(vertices, normals, triangles.astype(np.int32), rgb, message.model_digest)


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


_MARKER_NAMESPACE = "face"
_MARKER_COLOR = ColorRGBA(r=0.85, g=0.68, b=0.58, a=1.0)


def marker_message(header: Header, face_id: int, corners: NDArray[np.float32]) -> Marker:
    """Triangles whose corners are (3M, 3), m, as rviz shows them."""
    marker = Marker(header=header, ns=_MARKER_NAMESPACE, id=face_id, type=Marker.TRIANGLE_LIST, action=Marker.ADD)
    marker.scale.x = marker.scale.y = marker.scale.z = 1.0
    marker.pose.orientation.w = 1.0
    marker.color = _MARKER_COLOR
    marker.points = [Point(x=x, y=y, z=z) for x, y, z in corners.tolist()]
    return marker


def no_marker_message(header: Header) -> Marker:
    """Takes all faces away."""
    return Marker(header=header, ns=_MARKER_NAMESPACE, action=Marker.DELETEALL)


def intrinsics_from_message(message: CameraInfo) -> Intrinsics | None:
    """The camera's intrinsics; None where K[0] = 0 says that they are not known. Lens distortion is not modelled.

    Raises:
        Face3DMMError: K is neither zero nor that of a camera.
    """
    if message.k[0] == 0.0:
        return None
    return Intrinsics(float(message.k[0]), float(message.k[2]), float(message.k[5]))


def _region_of_interest(box: Box, image_size: tuple[int, int]) -> RegionOfInterest:
    """A box in whole pixels, within the image."""
    width, height = image_size
    left, right = (int(np.clip(round(x), 0, width)) for x in (box.x, box.x + box.width))
    top, bottom = (int(np.clip(round(y), 0, height)) for y in (box.y, box.y + box.height))
    return RegionOfInterest(x_offset=left, y_offset=top, width=right - left, height=bottom - top)


def _confidence(value: float) -> float:
    if not 0.0 <= value <= 1.0:
        raise Face3DMMError(f"a confidence lies between 0 and 1, not {value}")
    return value


def _image_size(width: int, height: int) -> tuple[int, int]:
    if width < 1 or height < 1:
        raise Face3DMMError(f"the image of a face has a size, not {width}×{height}")
    return width, height

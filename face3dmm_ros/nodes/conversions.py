"""Conversions between the values of `core.values` and ROS messages.

Arrays of any length enter messages as `array.array`, since rclpy copies an ndarray element by element.
"""

from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, Pose, PoseArray, Quaternion, Transform, TransformStamped, Vector3
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, PointCloud2, PointField, RegionOfInterest
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.core.calibration import Calibration, SensorWindow
from face3dmm_ros.core.camera import MetricPose
from face3dmm_ros.core.message_fields import (
    landmarks_array_fields,
    landmarks_fields,
    parameters_array_fields,
    parameters_fields,
    pose_fields,
)
from face3dmm_ros.core.values import Mesh, TrackedLandmarks
from face3dmm_ros.fitting.face_locator import LocatedFace
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.msg import (
    Blendshapes,
    BlendshapesArray,
    Face3DMMParams,
    Face3DMMParamsArray,
    FaceLandmarks,
    FaceLandmarksArray,
    FaceMesh,
    FaceMeshArray,
    FaceTopology,
)


def to_array(values: NDArray, dtype: type[np.generic]) -> array:
    """An array of any shape as a flat `array.array` of a message field's type; its buffer is copied once."""
    contiguous = np.ascontiguousarray(values, dtype).reshape(-1)
    flat = array(contiguous.dtype.char)
    flat.frombytes(contiguous.view(np.uint8))  # type: ignore[arg-type]
    return flat


def _field_arrays(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields as rclpy takes them: their arrays as `array.array`, except those of fixed length, and their messages."""
    fixed = ("rotation", "translation")
    return {
        name: to_array(value, value.dtype.type) if isinstance(value, np.ndarray) and name not in fixed else value
        for name, value in fields.items()
    } | {name: _NESTED[name](fields[name]) for name in _NESTED.keys() & fields.keys()}


def _pose_message(fields: dict[str, Any]) -> Pose:
    return Pose(position=Point(**fields["position"]), orientation=Quaternion(**fields["orientation"]))


_NESTED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "roi": lambda fields: RegionOfInterest(**fields),
    "pose": _pose_message,
}
"""How the fields that are messages themselves are made, by their names."""


def landmarks_to_message(
    header: Header, image_size: tuple[int, int], faces: Sequence[TrackedLandmarks]
) -> FaceLandmarksArray:
    """The message of the landmarks of an image's faces."""
    scheme = faces[0].landmarks.scheme if faces else ""
    return FaceLandmarksArray(
        header=header,
        **landmarks_array_fields(image_size, scheme),
        faces=[FaceLandmarks(**_field_arrays(landmarks_fields(face))) for face in faces],
    )


def parameters_to_message(
    header: Header, image_size: tuple[int, int], model: MorphableModel, method: str, faces: Sequence[LocatedFace]
) -> Face3DMMParamsArray:
    """The message of the parameters of an image's faces."""
    shared = parameters_array_fields(image_size, model.name, model.digest, method, model.expression_names)
    return Face3DMMParamsArray(header=header, **shared, faces=[_parameters_message(face) for face in faces])


def _parameters_message(face: LocatedFace) -> Face3DMMParams:
    fields = parameters_fields(face.face_id, face.parameters, face.frame, face.scale)
    return Face3DMMParams(**_field_arrays(fields))


def blendshapes_to_message(header: Header, weights: Mapping[int, NDArray[np.float32]]) -> BlendshapesArray:
    """The message of an image's faces' blendshape weights: by face_id, (52,), in the order of `ARKIT_NAMES`."""
    faces = [Blendshapes(face_id=key, weights=to_array(values, np.float32)) for key, values in weights.items()]
    return BlendshapesArray(header=header, names=ARKIT_NAMES, faces=faces)


def meshes_to_message(header: Header, model: MorphableModel, meshes: Mapping[int, Mesh]) -> FaceMeshArray:
    """The message of an image's faces' meshes, by face_id; their triangles travel in `FaceTopology`."""
    faces = [
        FaceMesh(
            face_id=face_id,
            vertices=to_array(mesh.vertices, np.float32),
            normals=to_array(mesh.normals, np.float32),
            rgb=to_array(mesh.rgb, np.uint8),
        )
        for face_id, mesh in meshes.items()
    ]
    return FaceMeshArray(header=header, model_digest=model.digest, faces=faces)


def topology_message(model: MorphableModel) -> FaceTopology:
    """The message of what all meshes of a model share."""
    return FaceTopology(
        model_digest=model.digest,
        triangles=to_array(model.triangles, np.uint32),
        expression_names=list(model.expression_names),
    )


def poses_to_message(header: Header, faces: Sequence[LocatedFace]) -> PoseArray:
    """The message of an image's faces' poses, with REP-155's axes, in the camera's optical frame, m."""
    return PoseArray(header=header, poses=[_pose_message(pose_fields(face.frame)) for face in faces])


def transforms(header: Header, faces: Sequence[LocatedFace], prefix: str = "") -> list[TransformStamped]:
    """The frames `face_<id>` and `gaze_<id>` of REP-155 of an image's faces, in the image's own frame.

    `prefix` is put before the names of these frames, not before that of the image's.
    """
    return [
        TransformStamped(header=header, child_frame_id=f"{prefix}{name}_{face.face_id}", transform=_transform(frame))
        for face in faces
        for name, frame in (("face", face.frame), ("gaze", face.gaze_frame))
    ]


def _transform(pose: MetricPose) -> Transform:
    fields = pose_fields(pose)
    return Transform(translation=Vector3(**fields["position"]), rotation=Quaternion(**fields["orientation"]))


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
_ARROW_LENGTH = 0.2
"""m, from the sellion."""
_ARROW_SIZE = Vector3(x=0.006, y=0.018, z=0.018)
"""Diameters of shaft and head, and the head's length, m."""
_ARROW_COLOR = ColorRGBA(r=1.0, g=0.55, b=0.1, a=1.0)
_GAZE_COLOR = ColorRGBA(r=0.15, g=0.6, b=1.0, a=1.0)
_MARKER_LIFETIME = Duration(nanosec=500_000_000)
"""After which the marker of a lost face vanishes: more than twice the time between two of its meshes."""


def surfaces_message(header: Header, corners: Mapping[int, NDArray[np.float32]]) -> MarkerArray:
    """Markers of triangles, by face_id the corners of its, (3M, 3), m."""
    return MarkerArray(
        markers=[
            _marker(header, face_id, _FACE_NAMESPACE, Marker.TRIANGLE_LIST, _UNSCALED, _FACE_COLOR, points)
            for face_id, points in corners.items()
        ]
    )


def arrows_message(header: Header, faces: Sequence[LocatedFace]) -> MarkerArray:
    """Markers of arrows from each face to where the head points, and from between the eyes to where both look."""
    arrows = []
    for face in faces:
        ahead = _arrow(face.frame.position, face.frame.rotation[:, 0])
        arrows.append(_marker(header, face.face_id, _FACE_NAMESPACE, Marker.ARROW, _ARROW_SIZE, _ARROW_COLOR, ahead))
        if len(face.parameters.gaze):
            gaze = face.gaze_frame
            looks = _arrow(gaze.position, gaze.rotation[:, 2])
            arrows.append(_marker(header, face.face_id, _GAZE_NAMESPACE, Marker.ARROW, _ARROW_SIZE, _GAZE_COLOR, looks))
    return MarkerArray(markers=arrows)


def _arrow(origin: NDArray[np.float64], direction: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([origin, origin + _ARROW_LENGTH * direction])


def _marker(
    header: Header, face_id: int, namespace: str, kind: int, scale: Vector3, color: ColorRGBA, points: NDArray
) -> Marker:
    # A marker's id is signed.
    marker_id = int(np.uint32(face_id).astype(np.int32))
    marker = Marker(header=header, ns=namespace, id=marker_id, type=kind, action=Marker.ADD, scale=scale, color=color)
    marker.lifetime = _MARKER_LIFETIME
    marker.pose.orientation.w = 1.0
    marker.points = [Point(x=x, y=y, z=z) for x, y, z in points.tolist()]
    return marker


def calibration_from_message(message: CameraInfo) -> Calibration | None:
    """The camera's calibration; None where K[0] = 0, with which ROS marks an uncalibrated camera.

    Raises:
        Face3DMMError: a matrix, size, distortion or region is not valid, or the distortion model is not known.
    """
    if message.k[0] == 0.0:
        return None
    roi = message.roi
    return Calibration(
        (message.width, message.height),
        np.array(message.k, np.float64).reshape(3, 3),
        message.distortion_model,
        np.array(message.d, np.float64),
        np.array(message.r, np.float64).reshape(3, 3),
        np.array(message.p, np.float64).reshape(3, 4),
        SensorWindow(
            roi.x_offset,
            roi.y_offset,
            roi.width,
            roi.height,
            message.binning_x or 1,  # 0 says 1, too
            message.binning_y or 1,
            roi.do_rectify,
        ),
    )


def calibration_to_message(header: Header, calibration: Calibration) -> CameraInfo:
    """The message of a camera's calibration."""
    (width, height), window = calibration.image_size, calibration.window
    return CameraInfo(
        header=header,
        width=width,
        height=height,
        distortion_model=calibration.distortion_model,
        d=calibration.distortion.tolist(),
        k=calibration.matrix.ravel(),
        r=calibration.rectification.ravel(),
        p=calibration.projection.ravel(),
        binning_x=window.binning_x,
        binning_y=window.binning_y,
        roi=RegionOfInterest(
            x_offset=window.x, y_offset=window.y, width=window.width, height=window.height, do_rectify=window.do_rectify
        ),
    )

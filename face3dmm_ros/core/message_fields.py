"""Landmarks and parameters as the fields of their messages, and back; the same for ROS's message classes and for those
of `rosbags`, so that a node and a bag cannot differ."""

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.arkit import WITHOUT_TONGUE
from face3dmm_ros.core.camera import MetricPose, WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.image_limits import check_size
from face3dmm_ros.core.rotations import quaternion
from face3dmm_ros.core.values import (
    AVERAGE_HEAD,
    Box,
    FaceParameters,
    HeadScale,
    Landmarks,
    Mesh,
    TrackedFace,
    TrackedLandmarks,
)

MOST_FACES = 64
"""Of an image. Chosen by hand: with more, no node here keeps pace with a camera."""
_OPTIONAL = ("depth", "deviation", "expression", "expression_deviation")
"""Arrays of float32 that landmarks may lack."""
_LANDMARK_ARRAYS = dict.fromkeys(("points", *_OPTIONAL), np.float32) | {"colors": np.uint8, "covered": np.uint8}
_PARAMETER_ARRAYS = {"alpha": 1, "beta": 1, "gamma": 1, "gaze": 3, "beta_deviation": 1}
"""Arrays of any length in `Face3DMMParams`, all float64, with their columns."""
_MOST_POINTS = 10_000
"""Of a face; chosen by hand: twenty times those of MediaPipe, far fewer than would keep a node busy for seconds."""
_FARTHEST = 100
"""How many times the image's longest side landmarks may be away from its corner or uncertain; chosen by hand: no
detector errs so far, and what is computed with such numbers stays finite."""
_UNKNOWN_POSE = MetricPose(np.eye(3), np.full(3, np.nan))


def from_array(values: array | NDArray, dtype: type[np.generic], columns: int, what: str) -> NDArray:
    """A message's array field as (N, columns), or (N,) for one column; a view of the message's buffer.

    Raises:
        Face3DMMError: the length is no multiple of the columns, or a value is not finite.
    """
    flat = np.frombuffer(values, dtype) if len(values) else np.empty(0, dtype)
    if flat.size % columns:
        raise Face3DMMError(f"{what} has {flat.size} values, expected a multiple of {columns}")
    if flat.dtype.kind == "f" and not np.isfinite(flat).all():
        raise Face3DMMError(f"{what} holds values that are not finite (NaN or infinity)")
    return flat if columns == 1 else flat.reshape(-1, columns)


def landmarks_array_fields(image_size: tuple[int, int], scheme: str) -> dict[str, Any]:
    """What `FaceLandmarksArray` has beside header and faces."""
    return {"image_width": image_size[0], "image_height": image_size[1], "scheme": scheme}


def landmarks_fields(face: TrackedFace | TrackedLandmarks) -> dict[str, Any]:
    """The fields of a face's `FaceLandmarks`; `roi` holds those of the region of interest."""
    landmarks = face.landmarks
    arrays = {name: getattr(landmarks, name) for name in _LANDMARK_ARRAYS}
    return {
        "face_id": face.face_id,
        "roi": region_of_interest(landmarks.box, landmarks.image_size),
        "confidence": float(landmarks.confidence),
    } | {
        name: np.empty(0, dtype) if arrays[name] is None else np.asarray(arrays[name], dtype).ravel()
        for name, dtype in _LANDMARK_ARRAYS.items()
    }


def parameters_array_fields(
    image_size: tuple[int, int], model: str, model_digest: str, method: str, expression_names: Sequence[str]
) -> dict[str, Any]:
    """What `Face3DMMParamsArray` has beside header and faces."""
    return {
        "image_width": image_size[0],
        "image_height": image_size[1],
        "model": model,
        "model_digest": model_digest,
        "method": method,
        "expression_names": list(expression_names),
    }


def parameters_fields(
    face_id: int, parameters: FaceParameters, pose: MetricPose = _UNKNOWN_POSE, scale: HeadScale = AVERAGE_HEAD
) -> dict[str, Any]:
    """The fields of a face's `Face3DMMParams`; `pose` holds those of the pose, given with REP-155's axes."""
    camera = parameters.camera
    return {
        "face_id": face_id,
        "scale": float(camera.scale),
        "rotation": np.asarray(camera.rotation, np.float64).ravel(),
        "translation": np.asarray(camera.translation, np.float64),
        "pose": pose_fields(pose),
        "residual_px": float(parameters.residual_px),
        "confidence": float(parameters.confidence),
        "scale_source": scale.source,
        "scale_factor": scale.factor,
        "scale_deviation": scale.deviation,
    } | {name: np.asarray(getattr(parameters, name), np.float64).ravel() for name in _PARAMETER_ARRAYS}


def pose_fields(pose: MetricPose) -> dict[str, dict[str, float]]:
    """The fields of a `geometry_msgs/Pose`."""
    return {
        "position": dict(zip("xyz", pose.position.tolist(), strict=True)),
        "orientation": dict(zip("xyzw", quaternion(pose.rotation), strict=True)),
    }


def pose_from_message(message: Any) -> MetricPose:
    """A `geometry_msgs/Pose`; the position is NaN where it is not known.

    Raises:
        Face3DMMError: the orientation is no rotation.
    """
    position, orientation = message.position, message.orientation
    quaternion = np.array([orientation.x, orientation.y, orientation.z, orientation.w])
    if not abs(np.linalg.norm(quaternion) - 1.0) < 1e-3:
        raise Face3DMMError(f"a pose's orientation is a unit quaternion, not {quaternion.tolist()}")
    from scipy.spatial.transform import Rotation  # only now: it takes a tenth of a second, and few read poses

    return MetricPose(
        Rotation.from_quat(quaternion).as_matrix(), np.array([position.x, position.y, position.z], np.float64)
    )


def image_size_from_message(message: Any) -> tuple[int, int]:
    """(width, height) px of the image of a `FaceLandmarksArray` or `Face3DMMParamsArray`.

    Raises:
        Face3DMMError: the image has no size, or one beyond `core.image_limits`.
    """
    width, height = message.image_width, message.image_height
    if width < 1 or height < 1:
        raise Face3DMMError(f"the image of a face has a size, not {width}×{height}")
    check_size(width, height, "the image of a face")
    return width, height


def landmarks_from_message(message: Any, face: Any) -> TrackedLandmarks:
    """The landmarks of one of the faces of a `FaceLandmarksArray`; the box is in whole pixels, within the image.

    Raises:
        Face3DMMError: arrays of the wrong length, values that are not finite or absurd beside the image's size, or an
            image without size or too large.
    """
    points = from_array(face.points, np.float32, 2, "FaceLandmarks.points")
    optional = {name: from_array(getattr(face, name), np.float32, 1, f"FaceLandmarks.{name}") for name in _OPTIONAL}
    depth, deviation, *expression = map(len, optional.values())
    if not {depth, deviation} <= {0, len(points)}:
        raise Face3DMMError(f"FaceLandmarks has {len(points)} points but {depth} depths and {deviation} deviations")
    colors = from_array(face.colors, np.uint8, 3, "FaceLandmarks.colors")
    if len(colors) not in (0, len(points)):
        raise Face3DMMError(
            f"FaceLandmarks has {len(points)} points but {len(colors)} colours, expected as many or none"
        )
    # A bag that was recorded before there was such a field is read without it.
    covered = from_array(getattr(face, "covered", array("B")), np.uint8, 1, "FaceLandmarks.covered")
    if len(covered) not in (0, len(points)):
        raise Face3DMMError(
            f"FaceLandmarks has {len(points)} points, of {len(covered)} of which it says how likely they are covered, "
            "expected all or none"
        )
    if expression not in ([0, 0], [len(WITHOUT_TONGUE)] * 2):
        raise Face3DMMError(
            f"FaceLandmarks has an expression of {expression[0]} weights and {expression[1]} deviations, expected "
            f"{len(WITHOUT_TONGUE)} or none of each"
        )
    if not 0 < len(points) <= _MOST_POINTS:
        raise Face3DMMError(f"FaceLandmarks of a face has {len(points) or 'no'} points, expected 1 to {_MOST_POINTS}")
    image_size = image_size_from_message(message)
    for name, values in {"points": points, "depth": optional["depth"], "deviation": optional["deviation"]}.items():
        most = _FARTHEST * max(image_size)
        if (found := float(np.abs(values).max(initial=0.0))) > most:
            raise Face3DMMError(
                f"FaceLandmarks.{name} reaches {found:.3g} px, expected {most} at most: not of this image"
            )
    roi = face.roi
    landmarks = Landmarks(
        scheme=message.scheme,
        points=points,
        box=Box(roi.x_offset, roi.y_offset, roi.width, roi.height),
        confidence=_confidence(face.confidence),
        image_size=image_size,
        colors=colors if len(colors) else None,
        covered=covered if len(covered) else None,
        **{name: values if len(values) else None for name, values in optional.items()},
    )
    return TrackedLandmarks(face.face_id, landmarks)


def parameters_from_message(message: Any, face: Any) -> FaceParameters:
    """The parameters of one of the faces of a `Face3DMMParamsArray`.

    Raises:
        Face3DMMError: values that are not finite, a scale that is not positive, an R that is no rotation, a gaze that
            is not three unit vectors, deviations that are not β's, or an image without size or too large.
    """
    R = np.array(face.rotation, np.float64).reshape(3, 3)
    t = np.array(face.translation, np.float64)
    if not (np.isfinite(R).all() and np.isfinite(t).all() and np.isfinite(face.scale) and face.scale > 0):
        raise Face3DMMError("Face3DMMParams needs a positive scale and a finite rotation and translation")
    if np.abs(R @ R.T - np.eye(3)).max() > 1e-6 or np.linalg.det(R) < 0:
        raise Face3DMMError(f"Face3DMMParams.rotation is no rotation: {R.ravel().tolist()}")
    arrays = {
        name: from_array(getattr(face, name), np.float64, columns, f"Face3DMMParams.{name}")
        for name, columns in _PARAMETER_ARRAYS.items()
    }
    gaze, beta, deviation = arrays["gaze"], arrays["beta"], arrays["beta_deviation"]
    if len(gaze) not in (0, 3) or (np.abs(np.linalg.norm(gaze, axis=1) - 1.0) > 1e-6).any():
        raise Face3DMMError(f"Face3DMMParams.gaze must be three unit vectors or empty, found {gaze.ravel().tolist()}")
    if len(deviation) not in (0, len(beta)) or (deviation < 0).any():
        raise Face3DMMError(
            f"Face3DMMParams.beta_deviation must be {len(beta)} numbers from 0 up or empty, found {len(deviation)} "
            f"from {deviation.min(initial=np.inf)} up"
        )
    return FaceParameters(
        camera=WeakPerspective(face.scale, R, t),
        model=message.model,
        model_digest=message.model_digest,
        method=message.method,
        residual_px=face.residual_px,
        confidence=_confidence(face.confidence),
        image_size=image_size_from_message(message),
        **arrays,
    )


def mesh_from_message(message: Any, face: Any, topology: Any) -> Mesh:
    """The mesh of one of the faces of a `FaceMeshArray`, with the triangles of its model's topology.

    Raises:
        Face3DMMError: arrays of the wrong length, values that are not finite, triangles of another model or beyond the
            vertices.
    """
    if message.model_digest != topology.model_digest:
        raise Face3DMMError(
            f"a mesh of model {message.model_digest[:12]}… cannot take the triangles of model "
            f"{topology.model_digest[:12]}…: wait for its own FaceTopology"
        )
    vertices = from_array(face.vertices, np.float32, 3, "FaceMesh.vertices")
    normals = from_array(face.normals, np.float32, 3, "FaceMesh.normals")
    rgb = from_array(face.rgb, np.uint8, 3, "FaceMesh.rgb")
    if not len(vertices) == len(normals) == len(rgb):
        raise Face3DMMError(f"FaceMesh has {len(vertices)} vertices, {len(normals)} normals and {len(rgb)} colours")
    triangles = from_array(topology.triangles, np.uint32, 3, "FaceTopology.triangles")
    if triangles.size and triangles.max() >= len(vertices):
        raise Face3DMMError(f"FaceTopology refers to vertex {triangles.max()}, the mesh has {len(vertices)}")
    return Mesh(vertices, normals, triangles.astype(np.int32), rgb, message.model_digest)


def region_of_interest(box: Box, image_size: tuple[int, int]) -> dict[str, Any]:
    """A box in whole pixels, within the image, as the fields of `RegionOfInterest`."""
    width, height = image_size
    left, right = (int(np.clip(round(x), 0, width)) for x in (box.x, box.x + box.width))
    top, bottom = (int(np.clip(round(y), 0, height)) for y in (box.y, box.y + box.height))
    return {"x_offset": left, "y_offset": top, "height": bottom - top, "width": right - left, "do_rectify": False}


def _confidence(value: float) -> float:
    if not 0.0 <= value <= 1.0:
        raise Face3DMMError(f"a confidence lies between 0 and 1, not {value}")
    return value

"""Landmarks and parameters as the fields of their messages, and back; the same for ROS's message classes and for those
of `rosbags`, so that a node and a bag cannot differ."""

from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.arkit import WITHOUT_TONGUE
from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.values import Box, FaceParameters, Landmarks, Mesh, TrackedLandmarks

_OPTIONAL = ("depth", "deviation", "expression", "expression_deviation")
"""Arrays that landmarks may lack, beside colours."""
_LANDMARK_ARRAYS = dict.fromkeys(("points", *_OPTIONAL), np.float32) | {"colors": np.uint8}
_PARAMETER_ARRAYS = {"alpha": 1, "beta": 1, "gamma": 1, "gaze": 3, "beta_deviation": 1}
"""Arrays of any length in `Face3DMMParams`, all float64, with their columns."""


def check_slot(message: Any) -> None:
    """Check that the face_index of a message about a face fits its face_count.

    Raises:
        Face3DMMError: the index is not below the count.
    """
    if message.face_index >= max(message.face_count, 1):
        raise Face3DMMError(f"face_index {message.face_index} of a message with face_count {message.face_count}")


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


def landmarks_fields(landmarks: Landmarks) -> dict[str, Any]:
    """The fields of `FaceLandmarks` after the slot's; `roi` holds those of the region of interest."""
    return (
        no_landmarks_fields(landmarks.image_size)
        | {
            "scheme": landmarks.scheme,
            "roi": _region_of_interest(landmarks.box, landmarks.image_size),
            "confidence": float(landmarks.confidence),
        }
        | {
            name: np.asarray(values, dtype).ravel()
            for name, dtype in _LANDMARK_ARRAYS.items()
            if (values := getattr(landmarks, name)) is not None
        }
    )


def no_landmarks_fields(image_size: tuple[int, int]) -> dict[str, Any]:
    """The fields of `FaceLandmarks` after the slot's for an image without a face."""
    return {
        "image_width": image_size[0],
        "image_height": image_size[1],
        "scheme": "",
        "roi": _region_of_interest(Box(0, 0, 0, 0), image_size),
        "confidence": 0.0,
    } | {name: np.empty(0, dtype) for name, dtype in _LANDMARK_ARRAYS.items()}


def parameters_fields(parameters: FaceParameters) -> dict[str, Any]:
    """The fields of `Face3DMMParams` after the slot's."""
    camera = parameters.camera
    model = parameters.model, parameters.model_digest
    return (
        no_parameters_fields(parameters.image_size, *model, parameters.method)
        | {
            "scale": float(camera.scale),
            "rotation": np.asarray(camera.rotation, np.float64).ravel(),
            "translation": np.asarray(camera.translation, np.float64),
            "residual_px": float(parameters.residual_px),
            "confidence": float(parameters.confidence),
        }
        | {name: np.asarray(getattr(parameters, name), np.float64).ravel() for name in _PARAMETER_ARRAYS}
    )


def no_parameters_fields(image_size: tuple[int, int], model: str, model_digest: str, method: str) -> dict[str, Any]:
    """The fields of `Face3DMMParams` after the slot's for an image without a face."""
    return {
        "image_width": image_size[0],
        "image_height": image_size[1],
        "model": model,
        "model_digest": model_digest,
        "method": method,
        "scale": 0.0,
        "rotation": np.zeros(9),
        "translation": np.zeros(2),
        "residual_px": 0.0,
        "confidence": 0.0,
    } | {name: np.empty(0) for name in _PARAMETER_ARRAYS}


def landmarks_from_message(message: Any) -> TrackedLandmarks:
    """The landmarks of a `FaceLandmarks` that has a face; the box is in whole pixels, within the image.

    Raises:
        Face3DMMError: arrays of the wrong length, values that are not finite, or an image without size.
    """
    check_slot(message)
    points = from_array(message.points, np.float32, 2, "FaceLandmarks.points")
    optional = {name: from_array(getattr(message, name), np.float32, 1, f"FaceLandmarks.{name}") for name in _OPTIONAL}
    depth, deviation, *expression = map(len, optional.values())
    if not {depth, deviation} <= {0, len(points)}:
        raise Face3DMMError(f"FaceLandmarks has {len(points)} points but {depth} depths and {deviation} deviations")
    colors = from_array(message.colors, np.uint8, 3, "FaceLandmarks.colors")
    if len(colors) not in (0, len(points)):
        raise Face3DMMError(
            f"FaceLandmarks has {len(points)} points but {len(colors)} colours, expected as many or none"
        )
    if expression not in ([0, 0], [len(WITHOUT_TONGUE)] * 2):
        raise Face3DMMError(
            f"FaceLandmarks has an expression of {expression[0]} weights and {expression[1]} deviations, expected "
            f"{len(WITHOUT_TONGUE)} or none of each"
        )
    if not len(points):
        raise Face3DMMError("FaceLandmarks of a face has no points")
    roi = message.roi
    landmarks = Landmarks(
        scheme=message.scheme,
        points=points,
        box=Box(roi.x_offset, roi.y_offset, roi.width, roi.height),
        confidence=_confidence(message.confidence),
        image_size=_image_size(message.image_width, message.image_height),
        colors=colors if len(colors) else None,
        **{name: values if len(values) else None for name, values in optional.items()},
    )
    return TrackedLandmarks(message.face_id, landmarks)


def parameters_from_message(message: Any) -> FaceParameters:
    """The parameters of a `Face3DMMParams` that has a face.

    Raises:
        Face3DMMError: values that are not finite, a scale that is not positive, an R that is no rotation, a gaze that
            is not three unit vectors, deviations that are not β's, or an image without size.
    """
    check_slot(message)
    R = np.array(message.rotation, np.float64).reshape(3, 3)
    t = np.array(message.translation, np.float64)
    if not (np.isfinite(R).all() and np.isfinite(t).all() and np.isfinite(message.scale) and message.scale > 0):
        raise Face3DMMError("Face3DMMParams needs a positive scale and a finite rotation and translation")
    if np.abs(R @ R.T - np.eye(3)).max() > 1e-6 or np.linalg.det(R) < 0:
        raise Face3DMMError(f"Face3DMMParams.rotation is no rotation: {R.ravel().tolist()}")
    arrays = {
        name: from_array(getattr(message, name), np.float64, columns, f"Face3DMMParams.{name}")
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
        camera=WeakPerspective(message.scale, R, t),
        model=message.model,
        model_digest=message.model_digest,
        method=message.method,
        residual_px=message.residual_px,
        confidence=_confidence(message.confidence),
        image_size=_image_size(message.image_width, message.image_height),
        **arrays,
    )


def mesh_from_message(message: Any, topology: Any) -> Mesh:
    """The mesh of a `FaceMesh` that has a face, with the triangles of its model's topology.

    Raises:
        Face3DMMError: arrays of the wrong length, values that are not finite, triangles of another model or beyond the
            vertices.
    """
    check_slot(message)
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


def _region_of_interest(box: Box, image_size: tuple[int, int]) -> dict[str, Any]:
    """A box in whole pixels, within the image, as the fields of `RegionOfInterest`."""
    width, height = image_size
    left, right = (int(np.clip(round(x), 0, width)) for x in (box.x, box.x + box.width))
    top, bottom = (int(np.clip(round(y), 0, height)) for y in (box.y, box.y + box.height))
    return {"x_offset": left, "y_offset": top, "height": bottom - top, "width": right - left, "do_rectify": False}


def _confidence(value: float) -> float:
    if not 0.0 <= value <= 1.0:
        raise Face3DMMError(f"a confidence lies between 0 and 1, not {value}")
    return value


def _image_size(width: int, height: int) -> tuple[int, int]:
    if width < 1 or height < 1:
        raise Face3DMMError(f"the image of a face has a size, not {width}×{height}")
    return width, height

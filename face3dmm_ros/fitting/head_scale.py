"""How large a head is, from depth images.

One camera cannot tell a small near head from a large far one, so faces are located at the average size. Where depth is
measured, it tells by how much all is nearer or farther, and so how much smaller or larger. A person's size does not
change: the sizes seen along a track are pooled.
"""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.calibration import Calibration
from face3dmm_ros.core.camera import MetricPose
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.face_memory import FaceMemory
from face3dmm_ros.core.values import AVERAGE_HEAD, FaceParameters, HeadScale
from face3dmm_ros.fitting.perspective import PerspectiveFace
from face3dmm_ros.morphable_model.model import MorphableModel, SurfacePoints

_POINTS = 400
"""Points on the face whose depth is looked up; chosen by hand: more cost time, and noise is not what limits."""
_REACH = 70.0
"""mm about the middle of the inner landmarks in which they lie: cheeks, nose and lower forehead, not hair or beard."""
_FACING = 0.4
"""Least cosine between a point's normal and the direction to the camera; chosen by hand: beyond, edges are near."""
_FEWEST = 40
"""Points with depth for an estimate; chosen by hand: their median is known to a few per cent of their spread."""
_SPREAD = 0.06
"""How far a point's ratio may be from the median's, relatively; chosen by hand: sensors' noise, and the model's error
on a nose, are below it; hands and hair before a face are beyond."""
_AGREEING = 0.6
"""Least share of the points with depth that agree so; chosen by hand: fewer mean that a good part of the face is
covered, and the median may be the cover's."""
_SIZES = 0.65, 1.35
"""Of heads over the model's; others are no heads. A newborn's circumference is 0.62 of an adult's, a one-year-old's
0.82 (WHO Child Growth Standards: 34.5 and 46 cm; 56 cm)."""
_MEMORY = 150
"""Sizes of a track that are pooled; chosen by hand: five seconds at 30 images/s."""
_SINGLE_DEVIATION = 0.025
"""Standard deviation of the size from one image, relatively: measured on rendered heads that turn at random between two
images (0.020 to 0.027); where they turn as people do it is 0.003."""
_POOLED_DEVIATION = 0.01
"""Of one from many images: what is wrong in the same way in all. By hand: 0.005 on rendered heads, and as much for a
sensor's own calibration."""


class HeadScaler(FaceMemory[deque[float]]):
    """Measures tracked heads in depth images, and pools what is seen of each along its track."""

    def __init__(self, model: MorphableModel) -> None:
        """Measure heads of a model."""
        super().__init__()
        chosen = _skin_in_front(model)
        self._points = model.at_points(SurfacePoints.at_vertices(chosen))
        self._normals = model.normals(model.mean)[chosen].astype(np.float64)

    def measure(self, face_id: int, face: PerspectiveFace, camera: Calibration, depth: NDArray[np.float32]) -> None:
        """Take a face's size from a depth image of the same camera.

        Args:
            face_id: which face.
            face: where it was located, at whatever size.
            camera: of the image in which it was found.
            depth: (H, W), z in m of each pixel of that image; what is not finite and positive is not known.

        Raises:
            Face3DMMError: the depth image has another size, or shows no head there.
        """
        height, width = depth.shape
        if (width, height) != camera.image_size:
            raise Face3DMMError(
                f"a depth image of {width}×{height} is not registered to images of {camera.image_size[0]}×"
                f"{camera.image_size[1]}"
            )
        parameters, pose = face.parameters, face.pose
        points = pose.transform(self._points.points(parameters.alpha, parameters.beta))
        ratio = depth_ratio(points[_facing(points, self._normals, pose)], camera, depth)
        if not _SIZES[0] <= ratio * pose.size <= _SIZES[1]:
            raise Face3DMMError(
                f"what is measured at the face is {ratio * pose.size:.2f} times as far away as a head of average size "
                "would be"
            )
        size = ratio * pose.size * self._size(parameters)
        self._faces.setdefault(face_id, deque(maxlen=_MEMORY)).append(size)

    def scale(self, face_id: int, parameters: FaceParameters) -> HeadScale:
        """How large a head is, over the model's with its α: the median of what has been seen, or the average."""
        sizes = self._faces.get(face_id)
        if not sizes:
            return AVERAGE_HEAD
        deviation = float(np.hypot(_POOLED_DEVIATION, _SINGLE_DEVIATION / np.sqrt(len(sizes))))
        return HeadScale("depth", float(np.median(sizes)) / self._size(parameters), deviation)

    def _size(self, parameters: FaceParameters) -> float:
        """How large a face is without its expression: the RMS distance of its points from their middle, mm."""
        points = self._points.neutral(parameters.alpha)
        return float(np.sqrt(((points - points.mean(axis=0)) ** 2).sum(axis=1).mean()))


def depth_ratio(points: NDArray[np.floating], camera: Calibration, depth: NDArray[np.float32]) -> float:
    """How many times as far away as (N, 3) visible points, m, a depth image (H, W), m, has them: a robust mean.

    Raises:
        Face3DMMError: too few of the points have depth, or too few agree.
    """
    pixels = np.rint(camera.project(points)).astype(np.intp)
    height, width = depth.shape
    inside = ((pixels >= 0) & (pixels < [width, height])).all(axis=1)
    column, row = pixels[inside].T
    measured = depth[row, column].astype(np.float64)
    known = np.isfinite(measured) & (measured > 0.0)
    if known.sum() < _FEWEST:
        raise Face3DMMError(f"{known.sum()} points of the face have depth, {_FEWEST} are needed")
    ratios = measured[known] / points[inside, 2][known]
    middle = np.median(ratios)
    agreeing = np.abs(ratios / middle - 1.0) < _SPREAD
    if agreeing.mean() < _AGREEING:
        raise Face3DMMError(
            f"{100 * agreeing.mean():.0f} % of the face's depth agree, {100 * _AGREEING:.0f} % are needed"
        )
    return float(ratios[agreeing].mean())


def _facing(points: NDArray[np.floating], normals: NDArray[np.float64], pose: MetricPose) -> NDArray[np.bool_]:
    """Which of (N, 3) points in the camera, with normals (N, 3) in the model, face it."""
    to_camera = -points / np.linalg.norm(points, axis=1, keepdims=True)
    return ((normals @ pose.rotation.T) * to_camera).sum(axis=1) > _FACING


def _skin_in_front(model: MorphableModel) -> NDArray[np.intp]:
    """Vertices of bare, stiff skin about the middle of a model's face, spread evenly over them."""
    landmarks = next((points.interpolate(model.mean) for points in model.landmarks.values()), model.mean)
    near = np.linalg.norm(model.mean - np.median(landmarks, axis=0), axis=1) < _REACH
    near &= model.normals(model.mean)[:, 2] > _FACING
    near &= model.regions.get("skin", np.ones(model.vertex_count)) > 0.5
    for region in ("eyes", "lips", "mouth_interior", "teeth", "beard", "brows"):
        near &= model.regions.get(region, np.zeros(model.vertex_count)) < 0.5
    found = np.flatnonzero(near)
    return found[np.linspace(0, len(found) - 1, min(_POINTS, len(found))).astype(np.intp)]

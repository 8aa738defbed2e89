"""How far a fit may be believed: of the faces said to be 0.8 sure, about 80 % lie within `RIGHT_WITHIN`.

A detector tells how likely it is that it sees a face at all. Whether the face is where the fit puts it depends on that,
on how far the head is turned, and on how well the model can be brought to the landmarks: a logistic regression of the
three, fitted by `tools/fit_confidence.py` to photographs of people that were spoilt and covered in many ways, and to
renderings of heads turned up to 90°.
"""

import math

from face3dmm_ros.camera import WeakPerspective
from face3dmm_ros.landmarks.face_mesh_response import yaw_degrees
from face3dmm_ros.values import Landmarks

RIGHT_WITHIN = 5.0
"""A fit is right if its 68 points are off by no more, on average, in % of the square root of their box's area."""
_FACTORS = 0.60, -1.18, -2.42, -1.64
"""Of `confidence_features`, and a constant."""
_FACTORS_WITHOUT_DEVIATIONS = 0.60, -0.42, -2.23, -2.35
"""The same for detectors that tell no deviation of their points, and whose confidence means something else."""
_CERTAIN = 1e-6
_CLOSEST_MM = 0.3
"""A detector's points are never nearer to a model's than that."""


def confidence_features(
    landmarks: Landmarks, camera: WeakPerspective, residual_px: float
) -> tuple[float, float, float]:
    """What a fit's confidence depends on.

    The log odds that the landmarks' confidence gives a face; how far the face is turned aside, in quarter turns; and
    the logarithm of the fit's residual, mm on the face.
    """
    p = min(max(landmarks.confidence, _CERTAIN), 1.0 - _CERTAIN)
    yaw = abs(yaw_degrees(camera.rotation)) / 90.0
    return math.log(p / (1.0 - p)), yaw, math.log(max(residual_px / camera.scale, _CLOSEST_MM))


def fit_confidence(landmarks: Landmarks, camera: WeakPerspective, residual_px: float) -> float:
    """How likely it is that a fit to some landmarks is right, by its camera and its RMS distance to them, px."""
    factors = _FACTORS_WITHOUT_DEVIATIONS if landmarks.deviation is None else _FACTORS
    features = (*confidence_features(landmarks, camera, residual_px), 1.0)
    return 1.0 / (1.0 + math.exp(-sum(factor * value for factor, value in zip(factors, features, strict=True))))

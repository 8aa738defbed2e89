"""How far a fit may be believed: of the faces said to be 0.8 sure, about 80 % lie within `RIGHT_WITHIN`.

A detector tells how likely it is that it sees a face at all. Whether the face is where the fit puts it depends on that
and on how far the head is turned: a logistic regression, fitted by `lab/experiments/fit_confidence.py` to photographs
of people that were spoilt and covered in many ways, and to renderings of heads turned up to 90°.
"""

import math

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.values import Landmarks
from face3dmm_ros.landmarks.face_mesh_response import yaw_degrees

RIGHT_WITHIN = 5.0
"""A fit is right if its 68 points are off by no more, on average, in % of the square root of their box's area."""
_FACTORS = 0.75, -0.93, -3.62
"""Of `confidence_features`, and a constant."""
_FACTORS_WITHOUT_DEVIATIONS = 0.35, -1.20, -1.85
"""The same for detectors that tell no deviation of their points, and whose confidence means something else."""
_METHODS = {"alternating": -0.75, "regressor": -1.30}
"""What is added for methods that fit less closely than `joint`."""
_CERTAIN = 1e-6


def confidence_features(landmarks: Landmarks, camera: WeakPerspective) -> tuple[float, float]:
    """What a fit's confidence depends on.

    The log odds that the landmarks' confidence gives a face, and how far the face is turned aside, in quarter turns.
    """
    p = min(max(landmarks.confidence, _CERTAIN), 1.0 - _CERTAIN)
    return math.log(p / (1.0 - p)), abs(yaw_degrees(camera.rotation)) / 90.0


def fit_confidence(landmarks: Landmarks, camera: WeakPerspective, method: str) -> float:
    """How likely it is that a method's fit to some landmarks is right."""
    factors = _FACTORS_WITHOUT_DEVIATIONS if landmarks.deviation is None else _FACTORS
    values = (*confidence_features(landmarks, camera), 1.0)
    odds = _METHODS.get(method, 0.0) + sum(factor * value for factor, value in zip(factors, values, strict=True))
    return 1.0 / (1.0 + math.exp(-odds))

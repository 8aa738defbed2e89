"""A fit's calibrated confidence: of the faces with 0.8, about 80 % have an error below `RIGHT_WITHIN`.

A detector tells how likely it is that it sees a face at all. Whether the face is where the fit puts it depends on that
and on how far the head is turned: a logistic regression, fitted by `lab/experiments/fit_confidence.py` to photographs
of people that were spoilt and covered in many ways, and to renderings of heads turned up to 90°.
"""

import math

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.values import Landmarks
from face3dmm_ros.landmarks.face_mesh_response import yaw_degrees

RIGHT_WITHIN = 5.0
"""A fit is right if the mean error of its 68 points is below this, in % of the square root of their box's area (NME).
By hand: about twice the error of a good fit from the front."""
_FACTORS = 0.75, -0.93, -3.62
"""Coefficients of `confidence_features`, and the constant; measured by `lab.experiments.fit_confidence`."""
_FACTORS_WITHOUT_DEVIATIONS = 0.35, -1.20, -1.85
"""The same for detectors without standard deviations, whose confidence means something else; by the same program with
`--backend facemesh`."""
_METHODS = {"alternating": -0.75, "regressor": -1.30}
"""Added to the log odds of methods that fit less closely than `joint`; chosen on one half of `aflw2000_dev`, checked on
the other (docs/landmarks.md)."""
_CERTAIN = 1e-6
"""Keeps the log odds of a confidence of 0 or 1 finite."""


def confidence_features(landmarks: Landmarks, camera: WeakPerspective) -> tuple[float, float]:
    """The features of a fit's confidence: log odds of the landmarks' confidence, and |yaw| in quarter turns."""
    p = min(max(landmarks.confidence, _CERTAIN), 1.0 - _CERTAIN)
    return math.log(p / (1.0 - p)), abs(yaw_degrees(camera.rotation)) / 90.0


def fit_confidence(landmarks: Landmarks, camera: WeakPerspective, method: str) -> float:
    """How likely it is that a method's fit to some landmarks is right."""
    factors = _FACTORS_WITHOUT_DEVIATIONS if landmarks.deviation is None else _FACTORS
    values = (*confidence_features(landmarks, camera), 1.0)
    odds = _METHODS.get(method, 0.0) + sum(factor * value for factor, value in zip(factors, values, strict=True))
    return 1.0 / (1.0 + math.exp(-odds))

"""The measurements of a fit: a face's landmarks in the model's order, each with its standard deviation."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.arkit import WITHOUT_TONGUE
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.values import Landmarks
from face3dmm_ros.fitting.linear_points import LandmarkModel
from face3dmm_ros.landmarks.schemes import IBUG68, convert
from face3dmm_ros.morphable_model.model import MorphableModel

_SMALLEST_PX = 1.0
"""Extent of a face's landmarks; chosen by hand: in less than a pixel nobody sees a face, and a fit would be of any."""


def in_a_known_scheme(landmarks: Landmarks, model: MorphableModel) -> Landmarks:
    """The landmarks in a scheme that the model knows: converted to iBUG's 68 where it lacks theirs, as BFM does.

    Raises:
        Face3DMMError: the landmarks cannot be converted to iBUG's scheme.
    """
    if landmarks.scheme not in model.landmarks and IBUG68 in model.landmarks:
        return convert(landmarks, IBUG68)
    return landmarks


def weights_read(model: MorphableModel) -> NDArray[np.intp]:
    """Indices in β of the blendshapes that a detector reads, (51,); empty for a model with other expressions."""
    readable = set(WITHOUT_TONGUE) <= set(model.expression_names)
    return np.array([model.expression_names.index(name) for name in WITHOUT_TONGUE] if readable else [], np.intp)


@dataclass(frozen=True, eq=False)
class Observation:
    """P landmarks.

    Attributes:
        points: (2, P) float64, px.
        deviation: (P,) float64 standard deviation of each one's coordinates, px; None where the detector knows none.
        expression: (2, 51) float64, weights of ARKit's blendshapes and their standard deviations; None where the
            detector reads none.
    """

    points: NDArray[np.float64]
    deviation: NDArray[np.float64] | None
    expression: NDArray[np.float64] | None

    @staticmethod
    def of(landmarks: Landmarks, model: LandmarkModel) -> "Observation":
        """Landmarks in the order of the model's points.

        Raises:
            Face3DMMError: a wrong number of landmarks, deviations or weights, values that are not finite (or, for
                deviations, not positive), or landmarks in less than a pixel.
        """
        count = len(model.order)
        points = np.asarray(landmarks.points, dtype=np.float64)
        if points.shape != (count, 2):
            raise Face3DMMError(
                f"scheme {landmarks.scheme} has {count} landmarks, expected a ({count}, 2) array, found {points.shape}"
            )
        if not np.isfinite(points).all():
            raise Face3DMMError("the landmarks hold values that are not finite (NaN or infinity)")
        if (extent := float(np.ptp(points, axis=0).max(initial=0.0))) < _SMALLEST_PX:
            raise Face3DMMError(
                f"the landmarks coincide: they lie within {extent:.2g} px, a face takes {_SMALLEST_PX:g} px or more"
            )
        deviation = None
        if landmarks.deviation is not None:
            deviation = np.asarray(landmarks.deviation, dtype=np.float64)
            if deviation.shape != (count,) or not _are_positive(deviation):
                raise Face3DMMError(
                    f"the landmarks' deviations must be {count} positive numbers, one per landmark, found an array of "
                    f"shape {deviation.shape} from {deviation.min(initial=np.inf)} up"
                )
            deviation = deviation[model.order]
        expression = None
        if landmarks.expression is not None and landmarks.expression_deviation is not None:
            weights, doubt = (np.asarray(v, np.float64) for v in (landmarks.expression, landmarks.expression_deviation))
            if not weights.shape == doubt.shape == (len(WITHOUT_TONGUE),):
                raise Face3DMMError(
                    f"the landmarks' expression must be {len(WITHOUT_TONGUE)} weights and as many deviations, found "
                    f"arrays of shape {weights.shape} and {doubt.shape}"
                )
            if not (np.isfinite(weights).all() and _are_positive(doubt)):
                raise Face3DMMError("the landmarks' expression must be finite, and its deviations above 0")
            expression = np.array([weights, doubt])
        return Observation(np.ascontiguousarray(points[model.order].T), deviation, expression)


def _are_positive(values: NDArray[np.float64]) -> bool:
    """Whether all values are positive and finite; not if one is NaN."""
    return bool(values.min(initial=np.inf) > 0.0 and values.max(initial=0.0) < np.inf)

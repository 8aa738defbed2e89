"""Fit method `regressor+fit`: a network gives the landmark fit its start and more landmarks, and judges the result."""

from collections.abc import Collection
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.values import FaceParameters, Landmarks, TrackedLandmarks
from face3dmm_ros.fitting import FitOptions, TrackFitter
from face3dmm_ros.landmarks.schemes import IBUG68
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.regressor.image_regressor import ImageRegressor, RegressedFace
from face3dmm_ros.regressor.regressor_fitter import required

METHOD = "regressor+fit"
_DOUBTFUL = 2.0
"""Distance from the network's landmarks, in its standard deviations (RMS), from which a fit's confidence is lowered;
chosen by hand."""


class GuidedFitter:
    """A `FaceFitter` that fits to landmarks with the help of a network.

    A new face's fit starts at the network's parameters. Where both the detector and the network tell how sure they are
    of their landmarks, the fit is to both. Then the network judges: the farther it sees its own landmarks from the
    fitted face's, in its own deviations, the less confident the fit is.
    """

    method = METHOD

    def __init__(self, regressor: ImageRegressor, options: FitOptions | None = None) -> None:
        """Guide fits with these options by a regressor."""
        self.model = regressor.model
        self._regressor = regressor
        self._fitter = TrackFitter(_with_joined_schemes(regressor.model), options=options or FitOptions())

    def fit(self, face: TrackedLandmarks, image: NDArray[np.uint8] | None = None) -> FaceParameters:
        """Fit one face, continuing its track.

        Raises:
            Face3DMMError: no image, or as `ImageRegressor.regress` and `TrackFitter.fit`.
        """
        seen = self._regressor.regress(required(image, self.method), face.landmarks)
        evidence = TrackedLandmarks(face.face_id, _joined(face.landmarks, seen))
        fitted = self._fitter.fit(evidence, start=seen.parameters)
        confidence = fitted.confidence * min(1.0, _DOUBTFUL / max(self._disagreement(fitted, seen), 1e-9))
        return replace(fitted, method=self.method, gamma=seen.parameters.gamma, confidence=confidence)

    def retain(self, face_ids: Collection[int]) -> None:
        """Forget all tracks but these."""
        self._fitter.retain(face_ids)

    def reset(self) -> None:
        """Forget all tracks."""
        self._fitter.reset()

    def _disagreement(self, fitted: FaceParameters, seen: RegressedFace) -> float:
        """How far the fitted face's landmarks are from the network's, RMS, in its standard deviations; 0 if unknown."""
        if seen.points is None or seen.deviation is None:
            return 0.0
        points = self._regressor.points(fitted.camera, fitted.alpha, fitted.beta)
        squares = ((points - seen.points) ** 2).sum(axis=1) / 2.0
        return float(np.sqrt((squares / seen.deviation**2).mean()))


def _joined_name(scheme: str) -> str:
    return f"{scheme} and the network's {IBUG68}"


def _joined(landmarks: Landmarks, seen: RegressedFace) -> Landmarks:
    """The detector's landmarks followed by the network's, where both are known with their deviations."""
    if landmarks.deviation is None or seen.points is None or seen.deviation is None:
        return landmarks
    return replace(
        landmarks,
        scheme=_joined_name(landmarks.scheme),
        points=np.concatenate([landmarks.points, seen.points]).astype(np.float32),
        deviation=np.concatenate([landmarks.deviation, seen.deviation]).astype(np.float32),
        depth=None,
    )


def _with_joined_schemes(model: MorphableModel) -> MorphableModel:
    """The model with a scheme more for each that it has: its points, and then iBUG's."""
    network = model.scheme(IBUG68)
    joined = {_joined_name(name): points.followed_by(network) for name, points in model.landmarks.items()}
    return replace(model, landmarks={**model.landmarks, **joined})

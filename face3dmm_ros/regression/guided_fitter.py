"""Fit method `regressor+fit`: a network's face is where the landmark fit starts, and what it is judged by."""

from collections.abc import Collection
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.fitting import TrackFitter
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.regression.image_regressor import ImageRegressor
from face3dmm_ros.regression.regressor_fitter import required
from face3dmm_ros.values import FaceParameters, TrackedLandmarks

METHOD = "regressor+fit"


class GuidedFitter:
    """A `FaceFitter` that fits to landmarks under the eyes of a network."""

    method = METHOD

    def __init__(self, regressor: ImageRegressor, fitter: TrackFitter) -> None:
        """Guide a fitter, which this one must have to itself, by a regressor."""
        self._regressor = regressor
        self._fitter = fitter

    @property
    def model(self) -> MorphableModel:
        """Whose parameters it gives."""
        return self._fitter.model

    def fit(self, face: TrackedLandmarks, image: NDArray[np.uint8] | None = None) -> FaceParameters:
        """Fit one face, continuing its track.

        Raises:
            Face3DMMError: no image, or as `ImageRegressor.regress` and `TrackFitter.fit`.
        """
        seen = self._regressor.regress(required(image, self.method), face.landmarks)
        fitted = self._fitter.fit(face, start=seen.parameters)
        return replace(fitted, method=self.method)

    def retain(self, face_ids: Collection[int]) -> None:
        """Forget all tracks but these."""
        self._fitter.retain(face_ids)

    def reset(self) -> None:
        """Forget all tracks."""
        self._fitter.reset()

"""Fit method `regressor`: the network's parameters as they are, with one identity along a track."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.face_memory import FaceMemory
from face3dmm_ros.core.values import FaceParameters, TrackedLandmarks
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.regressor.image_regressor import METHOD, ImageRegressor

_IDENTITY_INTERVAL = 15
"""Frames after which the pooled identity is taken over, once it has settled: a new one costs a new neutral mesh."""


@dataclass(eq=False)
class _PooledIdentity:
    """The mean of α and γ over the frames of a track (Tran et al., CVPR 2017, pool the pictures of a person so).

    Attributes:
        total: (K + L,) sum of (α, γ); L is 0 where albedo is not regressed.
        frames: how many.
        shown: (K + L,) the mean as it was last taken over.
        due: the frame at which it is taken over next.
    """

    total: NDArray[np.float64]
    frames: int
    shown: NDArray[np.float64]
    due: int

    def add(self, coefficients: NDArray[np.float64]) -> None:
        self.total += coefficients
        self.frames += 1
        if self.frames >= self.due:
            self.shown = self.total / self.frames
            self.due = self.frames + min(self.frames, _IDENTITY_INTERVAL)


class RegressorFitter(FaceMemory[_PooledIdentity]):
    """A `FaceFitter` that takes a network at its word."""

    method = METHOD

    def __init__(self, regressor: ImageRegressor) -> None:
        """Run a regressor."""
        self._regressor = regressor
        super().__init__()

    @property
    def model(self) -> MorphableModel:
        """Whose parameters it gives."""
        return self._regressor.model

    def fit(self, face: TrackedLandmarks, image: NDArray[np.uint8] | None = None) -> FaceParameters:
        """The face that the network sees at some landmarks.

        Raises:
            Face3DMMError: no image, or as `ImageRegressor.regress`.
        """
        parameters = self._regressor.regress(required(image, self.method), face.landmarks).parameters
        coefficients = np.concatenate([parameters.alpha, parameters.gamma])
        identity = self._faces.get(face.face_id)
        if identity is None:
            identity = _PooledIdentity(np.zeros_like(coefficients), 0, coefficients, 1)
            self._faces[face.face_id] = identity
        identity.add(coefficients)
        alpha, gamma = np.split(identity.shown, [len(parameters.alpha)])
        return replace(parameters, alpha=alpha, gamma=gamma)


def required(image: NDArray[np.uint8] | None, method: str) -> NDArray[np.uint8]:
    """The image that a method looks at.

    Raises:
        Face3DMMError: there is none.
    """
    if image is None:
        raise Face3DMMError(f"the fit method {method} looks at pixels: give it the image that the landmarks lie in")
    return image

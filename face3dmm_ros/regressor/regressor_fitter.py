"""Fit method `regressor`: the network's parameters as they are, with one identity along a track."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.face_memory import FaceMemory
from face3dmm_ros.core.values import FaceParameters, TrackedLandmarks
from face3dmm_ros.fitting.identity_pool import IdentityPool
from face3dmm_ros.regressor.image_regressor import METHOD, ImageRegressor

_IDENTITY_INTERVAL = 15
"""Frames between two updates of the published identity, once it has settled; by hand: a new one costs a new neutral
mesh."""


@dataclass(eq=False)
class _Track:
    """The fits of a track so far, the identity (α, γ) as it was last taken over from them, and when it is due next."""

    pool: IdentityPool = field(default_factory=IdentityPool)
    shown: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    due: int = 1

    def identity(self, fit: FaceParameters) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The identity (α, γ) to show after the next frame's fit."""
        self.pool.add(fit)
        if self.shown is None or self.pool.fits >= self.due:
            self.shown = self.pool.mean()
            self.due = self.pool.fits + min(self.pool.fits, _IDENTITY_INTERVAL)
        return self.shown


class RegressorFitter(FaceMemory[_Track]):
    """A `FaceFitter` that returns a network's parameters, with the identity averaged along a track."""

    method = METHOD

    def __init__(self, regressor: ImageRegressor) -> None:
        """Run a regressor."""
        self.model = regressor.model
        self._regressor = regressor
        super().__init__()

    def fit(self, face: TrackedLandmarks, image: NDArray[np.uint8] | None = None) -> FaceParameters:
        """The face that the network sees at some landmarks.

        Raises:
            Face3DMMError: no image, or as `ImageRegressor.regress`.
        """
        parameters = self._regressor.regress(required(image, self.method), face.landmarks).parameters
        alpha, gamma = self._faces.setdefault(face.face_id, _Track()).identity(parameters)
        return replace(parameters, alpha=alpha, gamma=gamma)


def required(image: NDArray[np.uint8] | None, method: str) -> NDArray[np.uint8]:
    """The image, for a method that needs one.

    Raises:
        Face3DMMError: the image is None.
    """
    if image is None:
        raise Face3DMMError(f"the fit method {method} looks at pixels: give it the image that the landmarks lie in")
    return image

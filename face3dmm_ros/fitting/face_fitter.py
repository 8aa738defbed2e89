"""What every fit method offers, so that pipeline and nodes need not know which one is at work."""

from collections.abc import Collection
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.values import FaceParameters, TrackedLandmarks
from face3dmm_ros.morphable_model.model import MorphableModel


class FaceFitter(Protocol):
    """Fits tracked faces, each with a memory of its own.

    Attributes:
        model: the face model whose parameters it gives.
        method: the fit method's name.
    """

    model: MorphableModel
    method: str

    def fit(self, face: TrackedLandmarks, image: NDArray[np.uint8] | None = None) -> FaceParameters:
        """Fit one face, continuing its track.

        Args:
            face: its landmarks.
            image: (H, W, 3) uint8 BGR, which they lie in; needed by methods that look at pixels.

        Raises:
            Face3DMMError: landmarks or image that no face can be made of.
        """
        ...

    def retain(self, face_ids: Collection[int]) -> None:
        """Forget all tracks but these."""
        ...

    def reset(self) -> None:
        """Forget all tracks."""
        ...

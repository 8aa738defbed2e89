"""Parameters to vertices for tracked faces: each track's neutral face is kept while its identity stays."""

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.face_memory import FaceMemory
from face3dmm_ros.core.values import FaceParameters
from face3dmm_ros.morphable_model.model import MorphableModel


class FaceShaper(FaceMemory[tuple[NDArray[np.float64], NDArray[np.float32]]]):
    """Vertices of tracked faces.

    The identity basis is the larger part of the work and changes rarely along a track, so S̄ + Σ αᵢSᵢ is kept per face.
    """

    def __init__(self, model: MorphableModel) -> None:
        """Shape faces of this model."""
        self.model = model
        super().__init__()

    def vertices(self, face_id: int, parameters: FaceParameters) -> NDArray[np.float32]:
        """Vertices of a face in model space, (N, 3) float32, mm.

        Raises:
            Face3DMMError: the parameters belong to another model.
        """
        if parameters.model_digest != self.model.digest:
            raise Face3DMMError(
                f"the parameters are of model {parameters.model!r} with digest {parameters.model_digest[:12]}…, but "
                f"{self.model.name!r} with digest {self.model.digest[:12]}… is loaded: use the same model everywhere"
            )
        kept = self._faces.get(face_id)
        if kept is None or not np.array_equal(kept[0], parameters.alpha):
            kept = (np.array(parameters.alpha), self.model.identity(parameters.alpha))
            self._faces[face_id] = kept
        return self.model.express(kept[1], parameters.beta)

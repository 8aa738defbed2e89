"""What each vertex of a synthetic scene carries to the shaders."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class VertexArrays:
    """Vertices of several materials in one set of arrays; see `scene_shaders.ATTRIBUTES`.

    Attributes:
        position, normal, place: (n, 3) float32.
        srgb: (n, 3) uint8.
        traits, masks: (n, 4) uint8, read as [0, 1].
    """

    position: NDArray[np.float32]
    normal: NDArray[np.float32]
    place: NDArray[np.float32]
    srgb: NDArray[np.uint8]
    traits: NDArray[np.uint8]
    masks: NDArray[np.uint8]

    def arrays(self) -> tuple[NDArray, ...]:
        """The arrays in the order of `scene_shaders.ATTRIBUTES`."""
        return self.position, self.normal, self.place, self.srgb, self.traits, self.masks

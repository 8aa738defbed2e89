"""What each vertex of a part of a face, laid onto something else, carries to the shaders."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class CutoutVertices:
    """Parts of a face on the melon; see `melon_shaders.CUTOUT`.

    Attributes:
        position: (V, 3) model space, mm.
        picture: (V, 2) px in the picture loaded, (0, 0) the centre of its top-left pixel.
        place: (V, 2) x below 0 the picture shows, above 1 only its relief, y at 1 nothing of it.
        tone: (V, 3) BGR, sRGB in [0, 1], of the skin around.
        visibility: (V,) in [0, 1].
    """

    position: NDArray[np.floating]
    picture: NDArray[np.floating]
    place: NDArray[np.floating]
    tone: NDArray[np.floating]
    visibility: NDArray[np.floating]

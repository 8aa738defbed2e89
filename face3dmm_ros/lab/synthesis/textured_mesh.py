"""Meshes with a picture on them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class TexturedMesh:
    """A mesh and its texture.

    Attributes:
        points: (n, 3) float32, model space, mm.
        uv: (n, 2) float32, in [0, 1] from the texture's top left corner.
        cover: (n,) float32 in [0, 1], how much it hides of what is behind.
        grain: (n, 3) float32, where the strands of hair over it are read, u, v, and how strong they are.
        triangles: (m, 3) int32.
        texture: (h, w, 3) uint8 BGR.
    """

    points: NDArray[np.float32]
    uv: NDArray[np.float32]
    cover: NDArray[np.float32]
    grain: NDArray[np.float32]
    triangles: NDArray[np.int32]
    texture: NDArray[np.uint8]

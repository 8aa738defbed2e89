"""A textured figure as it is drawn: vertices, of which some move, and surfaces of one material each."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.files.gltf import Material

TURNS = 3
"""How many parts of a figure turn, each about its own pivot: the head and two eyes."""


@dataclass(frozen=True)
class Surface:
    """Triangles of one material: `count` indices of the figure's triangles from the index number `first` on."""

    first: int
    count: int
    material: Material


@dataclass(frozen=True, eq=False)
class Figure:
    """Axes are OpenGL's: x right, y up, z toward the viewer; the unit is the drawer's own.

    Attributes:
        points: (N, 6) float32 at rest: positions, and normals that point outward.
        uv: (N, 2) float32 places in the texture, (0, 0) its top left corner.
        colors: (N, 4) uint8 linear RGBA.
        shares: (N, TURNS) float32 in [0, 1], how much a vertex follows each turning part; the rest of it stays.
        triangles: (M, 3) uint32, counter-clockwise seen from outside.
        surfaces: in the order in which they are drawn.
        textures: (H, W, 4) uint8 sRGB RGBA with straight alpha each.
        moving: how many vertices change their points; they come first.
    """

    points: NDArray[np.float32]
    uv: NDArray[np.float32]
    colors: NDArray[np.uint8]
    shares: NDArray[np.float32]
    triangles: NDArray[np.uint32]
    surfaces: tuple[Surface, ...]
    textures: tuple[NDArray[np.uint8], ...]
    moving: int

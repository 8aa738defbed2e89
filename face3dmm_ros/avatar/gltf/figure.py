"""A textured figure as it is drawn: vertices, of which some move, and the surfaces that they span."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TURNS = 3
"""How many parts of a figure turn by themselves."""


@dataclass(frozen=True)
class Surface:
    """Triangles that look alike.

    Attributes:
        first, count: which indices of the figure's triangles it takes up.
        color: linear RGBA, by which the texture and the vertices' colours are multiplied.
        texture: index into the figure's textures, -1 if none.
        alpha_mode: ``OPAQUE``, ``MASK`` or ``BLEND``.
        alpha_cutoff: alphas below it are not drawn in mode ``MASK``.
        double_sided: whether it shows from behind.
        shading: ``lit``, ``toon`` or ``unlit``.
        shade: linear RGB, the share of the colour that a toon's shadow keeps.
    """

    first: int
    count: int
    color: tuple[float, float, float, float]
    texture: int
    alpha_mode: str
    alpha_cutoff: float
    double_sided: bool
    shading: str
    shade: tuple[float, float, float]


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
        moving: only the first `moving` vertices change their points.
    """

    points: NDArray[np.float32]
    uv: NDArray[np.float32]
    colors: NDArray[np.uint8]
    shares: NDArray[np.float32]
    triangles: NDArray[np.uint32]
    surfaces: tuple[Surface, ...]
    textures: tuple[NDArray[np.uint8], ...]
    moving: int

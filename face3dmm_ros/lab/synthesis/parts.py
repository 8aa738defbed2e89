"""Meshes of the things around a face, built from grids of points."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from face3dmm_ros.rendering.grids import grid_normals, grid_triangles


class VertexArrays(NamedTuple):
    """What each of n vertices carries to the shaders, whose inputs these are by location.

    Attributes:
        position, normal: (n, 3) float32, model space, mm.
        place: (n, 3) float32; of the face's vertices their positions on the mean, mm; of other things texture
            coordinates (u, v) and a layer.
        srgb: (n, 3) uint8.
        traits, masks: (n, 4) uint8, read as [0, 1]; their meaning depends on the material, see its fragment shader.
        uv: (n, 2) float32, where a picture lies on them: u right, v down.
    """

    position: NDArray[np.float32]
    normal: NDArray[np.float32]
    place: NDArray[np.float32]
    srgb: NDArray[np.uint8]
    traits: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    uv: NDArray[np.float32]


class Head(NamedTuple):
    """N vertices of a model's face; model space, mm.

    Attributes:
        vertices, normals: (N, 3) float32.
        rgb: (N, 3) uint8 sRGB.
        openness: (N,) share of the light from everywhere that reaches them.
    """

    vertices: NDArray[np.float32]
    normals: NDArray[np.float32]
    rgb: NDArray[np.uint8]
    openness: NDArray[np.floating]


class Part(NamedTuple):
    """A mesh of one material; model space, mm.

    Attributes:
        material: one of `scene_shaders.MATERIALS`.
        arrays: its vertices.
        triangles: (m, 3) int32.
    """

    material: str
    arrays: VertexArrays
    triangles: NDArray[np.int32]


class Card(NamedTuple):
    """A mesh that shows a picture with holes; model space, mm.

    Attributes:
        fine: hairs one by one, which hide nothing of what is behind them; else it hides what is behind where its alpha
            is more than half.
        arrays: its vertices.
        triangles: (m, 3) int32, seen from both sides.
        picture: (H, W, 4) uint8 sRGB: red, green, blue, alpha; a quarter stands for the vertices' colour itself.
        shadow: whether it throws one.
        lift: mm by which it is nearer to the viewer than it looks, so that what it lies on does not swallow it.
    """

    fine: bool
    arrays: VertexArrays
    triangles: NDArray[np.int32]
    picture: NDArray[np.uint8]
    shadow: bool = True
    lift: float = 0.0


def grid_part(
    material: str,
    points: NDArray[np.floating],
    color: ArrayLike,
    *,
    place: NDArray[np.floating] | None = None,
    traits: ArrayLike = (1, 0, 0, 0),
    masks: ArrayLike = (0, 0, 1, 0),
    normals: NDArray[np.floating] | None = None,
) -> Part:
    """A surface from (R, C, 3) points whose rows and columns run so that ∂column × ∂row points outward.

    Args:
        material: as in `Part`.
        points: mm.
        color: sRGB in [0, 1], anything that broadcasts to (R, C, 3).
        place: (R, C, 3) texture coordinates and layer; column and row number if None.
        traits, masks: in [0, 1], anything that broadcasts to (R, C, 4).
        normals: (R, C, 3); from the points if None.
    """
    rows, columns = points.shape[:2]
    n = rows * columns
    if place is None:
        column, row = np.meshgrid(np.arange(columns), np.arange(rows))
        place = np.stack([column, row, np.zeros_like(row)], axis=-1)
    if normals is None:
        normals = grid_normals(points)
    srgb, traits, masks = (
        np.broadcast_to(as_bytes(values), (rows, columns, count)).reshape(n, count)
        for values, count in ((color, 3), (traits, 4), (masks, 4))
    )
    position, normal, places = (np.asarray(values, np.float32).reshape(n, 3) for values in (points, normals, place))
    arrays = VertexArrays(position, normal, places, srgb, traits, masks, np.zeros((n, 2), np.float32))
    return Part(material, arrays, grid_triangles(rows, columns))


def as_bytes(values: ArrayLike) -> NDArray[np.uint8]:
    """Values from 0 to 1 as uint8 from 0 to 255, rounded; others are clipped."""
    return np.round(255 * np.clip(np.asarray(values, np.float32), 0.0, 1.0)).astype(np.uint8)


_NOTHING = VertexArrays(
    *(np.zeros((0, 3), np.float32),) * 3,
    np.zeros((0, 3), np.uint8),
    *(np.zeros((0, 4), np.uint8),) * 2,
    np.zeros((0, 2), np.float32),
)


def joined(arrays: Sequence[VertexArrays]) -> VertexArrays:
    """The vertices of some arrays, one after the other."""
    return VertexArrays._make(map(np.concatenate, zip(*arrays, strict=True)))


def join(parts: Sequence[Part]) -> tuple[VertexArrays, dict[str, NDArray[np.int32]]]:
    """Parts in one set of arrays, and their triangles by material, glass last."""
    parts = sorted(parts, key=lambda part: part.material == "glass")
    blocks: dict[str, list[NDArray[np.int32]]] = {}
    start = 0
    for part in parts:
        blocks.setdefault(part.material, []).append(part.triangles + start)
        start += len(part.arrays.position)
    arrays = joined([_NOTHING, *(part.arrays for part in parts)])
    return arrays, {material: np.concatenate(triangles) for material, triangles in blocks.items()}

"""A head as its file has it, and the one convention that all models are brought to.

Millimetres; x toward the person's left, y up, z out of the face, as all formats that are read have their axes; the
origin midway between the eyeballs; triangles counter-clockwise from outside; colours sRGB in [0, 1].
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.landmark_schemes import IBUG68
from face3dmm_ros.morphable_model.model import Contour, MorphableModel, SurfacePoints, check_counts

EYE_CENTER_DEPTH = 12.0
"""mm from the lids, which iBUG's eye points follow, back to the eyeball's centre: the radius of an adult's eye."""
EYE_LANDMARKS = slice(36, 48)
"""Of iBUG's 68."""
_ROWS_AT_ONCE = 1024
"""Of a basis, by hand: MATLAB has it column after column, and so many rows of some 200 stay in the cache while they are
turned round."""
GREY = 0.6
"""sRGB of a head whose file has no colours; by hand: neither light nor dark under the overlay's light."""
_SMALLEST, _LARGEST = 50.0, 3_000.0
"""mm of a head's longest side, by hand: half a mask, and a tall avatar with its body. A file in mm where its format has
µm, cm or m is beyond these."""


@dataclass(frozen=True, eq=False)
class Basis:
    """Components of one kind.

    Attributes:
        columns: (3N, C), in the file's unit per unit of the coefficient; row 3i + k is coordinate k of vertex i.
        sigma: (C,) standard deviation of the coefficients.
    """

    columns: NDArray[np.floating]
    sigma: NDArray[np.floating]

    @staticmethod
    def none(vertices: int) -> "Basis":
        """No component."""
        return Basis(np.zeros((3 * vertices, 0), np.float32), np.zeros(0, np.float32))

    @staticmethod
    def of_unit_sigma(columns: NDArray[np.floating]) -> "Basis":
        """Components that are already times the standard deviations."""
        return Basis(columns, np.ones(columns.shape[1], np.float32))


@dataclass(frozen=True, eq=False)
class SourceHead:
    """A head in its file's unit.

    Attributes:
        name: of the model.
        unit: mm per unit of the file.
        mean: (N, 3).
        triangles: (M, 3) zero-based, of either sense.
        shape: identity.
        expression: by coefficients that may be of any size, or within `expression_bounds`.
        expression_names: E of them.
        expression_bounds: (2, E), or None for unbounded ones.
        expression_correlation: (E, E), or None.
        albedo_mean: (N, 3) sRGB in the file's unit, or None where the file has no colours.
        albedo: in the file's unit of colours per unit of γ.
        colour_unit: sRGB of [0, 1] per unit of the file.
        landmarks: what schemes the file brings.
        contours: as `MorphableModel` has them.
        eyes: (2, 3) centres of the eyeballs, or None: then 12 mm behind the lids, where iBUG's points are known.
        regions: masks (N,) in [0, 1].
    """

    name: str
    unit: float
    mean: NDArray[np.floating]
    triangles: NDArray[np.integer]
    shape: Basis
    expression: Basis
    expression_names: Sequence[str]
    expression_bounds: NDArray[np.floating] | None = None
    expression_correlation: NDArray[np.floating] | None = None
    albedo_mean: NDArray[np.floating] | None = None
    albedo: Basis | None = None
    colour_unit: float = 1.0
    landmarks: Mapping[str, SurfacePoints] = field(default_factory=dict)
    contours: Mapping[str, Contour] = field(default_factory=dict)
    eyes: NDArray[np.floating] | None = None
    regions: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


def numbered(count: int) -> list[str]:
    """Names of expressions that have none."""
    return [f"exp_{index:02d}" for index in range(count)]


def in_our_convention(head: SourceHead) -> MorphableModel:
    """The model of a head.

    A head that tells of no eyes keeps its origin, unless that is farther off than the head is long: then it is in the
    middle of the box around the head.

    Raises:
        Face3DMMError: the parts do not fit together, or are no head's (`MorphableModel`), by its size either.
    """
    count = len(head.mean)
    check_counts(head.name, count, len(head.triangles), max(len(b.sigma) for b in (head.shape, head.expression)))
    if head.triangles.ndim != 2 or head.triangles.shape[1:] != (3,) or not _within(head.triangles, count):
        raise Face3DMMError(
            f"model {head.name}: triangles must be three vertices each, from 0 to {count - 1}, counted from 0; found "
            f"shape {head.triangles.shape}{_range(head.triangles)}"
        )
    # Numbers beyond float32 become infinite, which the model refuses.
    with np.errstate(over="ignore", invalid="ignore"):
        mean = head.unit * head.mean.astype(np.float64)
        check_size(head.name, mean, head.unit)
        albedo = head.albedo or Basis.none(count)
        bounds = head.expression_bounds
        if bounds is None:
            bounds = np.repeat([[-np.inf], [np.inf]], len(head.expression.sigma), axis=1)
        colours = np.full((count, 3), GREY) if head.albedo_mean is None else head.colour_unit * head.albedo_mean
        return MorphableModel(
            name=head.name,
            mean=(mean - _origin(head, mean)).astype(np.float32),
            triangles=facing_outward(mean, head.triangles),
            shape_basis=_scaled(head.shape, head.unit),
            shape_sigma=head.shape.sigma.astype(np.float32),
            expression_basis=_scaled(head.expression, head.unit),
            expression_sigma=head.expression.sigma.astype(np.float32),
            expression_names=tuple(head.expression_names),
            expression_bounds=bounds.astype(np.float32),
            expression_correlation=_float32(head.expression_correlation),
            albedo_mean=colours.astype(np.float32),
            albedo_basis=_scaled(albedo, head.colour_unit),
            albedo_sigma=albedo.sigma.astype(np.float32),
            landmarks=head.landmarks,
            contours=head.contours,
            regions=head.regions,
        )


def check_size(name: str, mean: NDArray[np.float64], unit: float) -> None:
    """Check that a mean, (N, 3) mm, has the size of a head; `unit` is mm per unit of its file.

    Raises:
        Face3DMMError: it has not: its file is in another unit than its format.
    """
    size = np.ptp(mean, axis=0).max()
    # What is not finite, the model refuses.
    if np.isfinite(size) and not _SMALLEST <= size <= _LARGEST:
        raise Face3DMMError(
            f"model {name}: its longest side is {size:.3g} mm, where a head's is {_SMALLEST:g} to {_LARGEST:g} mm: "
            f"write it in its format's unit, which is {unit:g} mm"
        )


def facing_outward(vertices: NDArray[np.float64], triangles: NDArray[np.integer]) -> NDArray[np.int32]:
    """Triangles counter-clockwise seen from outside: a face's surface looks forward and away from the head's inside."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    area = np.cross(b - a, c - a)
    inside = vertices.mean(axis=0) - [0.0, 0.0, np.ptp(vertices[:, 2])]
    outward = np.einsum("ij,ij->", area, (a + b + c) / 3 - inside)
    return (triangles if outward >= 0 else triangles[:, ::-1]).astype(np.int32)


def _origin(head: SourceHead, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """mm, before the head is moved."""
    if head.eyes is not None:
        return head.unit * head.eyes.astype(np.float64).mean(axis=0)
    points = head.landmarks.get(IBUG68)
    if points is None or not _within(points.vertices, len(mean)):
        middle = (mean.min(axis=0) + mean.max(axis=0)) / 2
        return middle if np.linalg.norm(middle) > np.ptp(mean, axis=0).max() else np.zeros(3)
    return points.interpolate(mean)[EYE_LANDMARKS].mean(axis=0) - [0.0, 0.0, EYE_CENTER_DEPTH]


def _range(indices: NDArray[np.integer]) -> str:
    """For an error, where there are any."""
    return f" of {indices.min()} to {indices.max()}" if indices.size else ""


def _within(indices: NDArray[np.integer], count: int) -> bool:
    return bool(indices.min(initial=0) >= 0 and indices.max(initial=0) < count)


def _scaled(basis: Basis, unit: float) -> NDArray[np.float32]:
    """Components times a unit, row after row: what is so already is not copied."""
    columns = basis.columns
    if unit == 1.0 and columns.dtype == np.float32 and columns.flags.c_contiguous:
        return columns.astype(np.float32, copy=False)
    scaled = np.empty(columns.shape, np.float32)
    for begin in range(0, len(columns), _ROWS_AT_ONCE):
        rows = slice(begin, begin + _ROWS_AT_ONCE)
        np.multiply(columns[rows], np.float32(unit), out=scaled[rows], dtype=np.float32, casting="unsafe")
    return scaled


def _float32(array: NDArray[np.floating] | None) -> NDArray[np.float32] | None:
    return None if array is None else array.astype(np.float32)

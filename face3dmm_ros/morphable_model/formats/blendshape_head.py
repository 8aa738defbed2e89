"""A head of a neutral mesh and blendshapes: its eyes, its unit and where it looks, told from what blinks move.

No identity: such a head is one person, whose expressions alone are fitted.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.morphable_model.formats.arkit_prior import arkit_prior
from face3dmm_ros.morphable_model.formats.source_head import EYE_CENTER_DEPTH, Basis, SourceHead

_UNITS = {"m": 1000.0, "dm": 100.0, "cm": 10.0, "mm": 1.0}
"""mm per unit. Neighbours differ tenfold, so that a head's size tells one from the others."""
_EYE_DISTANCE = 63.0
"""mm between adults' pupils (Dodgson, Variation and extrema of human interpupillary distance, 2004)."""
_SMALLEST_HEAD = 110.0
"""mm of the longest side of the box around a head, by hand: a mask without a forehead. No bust has ten times that."""
_MOVED = 0.5
"""Of a blink's largest motion, from which on a vertex is the lid's; chosen by hand."""
_CLEAR = 0.5
"""Of the length of the lids' motions, what they have in common where it tells which way is down; chosen by hand: lids
that close from above and below have nothing."""
_UPRIGHT = ((0, 1.0), (1, 1.0), (2, 1.0))
"""As `_axes`: those of our convention."""


class _Lids(NamedTuple):
    """What blinks tell: (2, 3) middles of the left and the right eye's opening, and (3,) the mean of the lids' motions
    over their mean length."""

    eyes: NDArray[np.float64]
    motion: NDArray[np.float64]


def blendshape_head(
    name: str,
    mean: NDArray[np.floating],
    triangles: NDArray[np.integer],
    columns: NDArray[np.floating],
    names: Sequence[str],
    albedo: NDArray[np.floating] | None,
    unit: float | None = None,
) -> SourceHead:
    """The head of N vertices and E blendshapes, which looks along +z with y up, or, where blinks tell so, is turned to.

    Args:
        name: of the model.
        mean: (N, 3).
        triangles: (M, 3).
        columns: (3N, E), what a blendshape of weight 1 adds.
        names: E, ARKit's where it has them.
        albedo: (N, 3) sRGB in [0, 1], if there is any.
        unit: mm per unit of the file; None to tell it from the distance of the eyes, or from the size of the mesh.

    Raises:
        Face3DMMError: the mesh has the size of no head in m, dm, cm or mm.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # of numbers without an end, which the model refuses
        lids = _lids(mean, columns, names)
        eyes = None if lids is None else lids.eyes
        if lids is not None and (axes := _axes(lids)) != _UPRIGHT:
            order, signs = [axis for axis, _ in axes], np.array([sign for _, sign in axes], np.float32)
            eyes, mean = lids.eyes[:, order] * signs, mean[:, order] * signs
            turned = columns.reshape(len(mean), 3, -1)[:, order] * signs[:, None]
            columns = turned.reshape(columns.shape)
        unit = unit or _unit(name, mean, eyes)
        if eyes is not None:
            eyes = eyes - [0.0, 0.0, EYE_CENTER_DEPTH / unit]
    prior = arkit_prior(names)
    return SourceHead(
        name=name,
        unit=unit,
        mean=mean,
        triangles=triangles,
        shape=Basis.none(len(mean)),
        expression=Basis(columns, prior.sigma),
        expression_names=names,
        expression_bounds=prior.bounds,
        expression_correlation=prior.correlation,
        albedo_mean=albedo,
        eyes=eyes,
    )


def _lids(mean: NDArray[np.floating], columns: NDArray[np.floating], names: Sequence[str]) -> _Lids | None:
    """What blinks tell, if both eyes have one: over its opening a lid moves half way in half a blink."""
    middles, motions = [], []
    for side in ("Left", "Right"):
        if f"eyeBlink{side}" not in names:
            return None
        moved = columns[:, names.index(f"eyeBlink{side}")].reshape(-1, 3).astype(np.float64)
        length = np.linalg.norm(moved, axis=1)
        lid = length > _MOVED * length.max()
        if not lid.any():
            return None
        middles.append((mean[lid] + moved[lid] / 2).mean(axis=0))
        motions.append(moved[lid].mean(axis=0) / length[lid].mean())
    return _Lids(np.array(middles), np.mean(motions, axis=0))


def _axes(lids: _Lids) -> tuple[tuple[int, float], ...]:
    """Which axis of the file, and which way along it, leads to the person's left, up and out of the face.

    Up is y unless the lids say clearly against what they move.
    """
    across = lids.eyes[0] - lids.eyes[1]
    x, y = int(np.abs(across).argmax()), int(np.abs(lids.motion).argmax())
    left = np.zeros(3)
    left[x] = np.copysign(1.0, across[x])
    up = np.array([0.0, 1.0, 0.0])
    if y != x and abs(lids.motion[y]) > _CLEAR:
        up = np.zeros(3)
        up[y] = -np.copysign(1.0, lids.motion[y])
    if left @ up:
        return _UPRIGHT
    rows = (left, up, np.cross(left, up))
    return tuple((int(np.abs(row).argmax()), float(row.sum())) for row in rows)


def _unit(name: str, mean: NDArray[np.floating], eyes: NDArray[np.float64] | None) -> float:
    """mm per unit of a head's mesh."""
    if eyes is None:
        size, smallest = float(np.ptp(mean, axis=0).max()), _SMALLEST_HEAD
        what = "its longest side"
    else:
        size, smallest = float(np.linalg.norm(eyes[0] - eyes[1])), _EYE_DISTANCE / np.sqrt(10.0)
        what = "the distance of its eyes"
    for unit in _UNITS.values():
        if smallest <= size * unit < 10.0 * smallest:
            return unit
    raise Face3DMMError(
        f"model {name}: {what} is {size:g}, which is a head's in none of {', '.join(_UNITS)}: export it in one of them"
    )

"""A head of a neutral mesh and blendshapes: its eyes, its unit and where it looks, told from what blinks move.

No identity: such a head is one person, whose expressions alone are fitted.
"""

from collections.abc import Sequence

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
_TURN = np.array([-1.0, 1.0, -1.0])
"""About y, by half a turn."""


def blendshape_head(
    name: str,
    mean: NDArray[np.floating],
    triangles: NDArray[np.integer],
    columns: NDArray[np.floating],
    names: Sequence[str],
    albedo: NDArray[np.floating] | None,
    unit: float | None = None,
) -> SourceHead:
    """The head of N vertices and E blendshapes, which looks along +z, or, where blinks tell so, was turned to.

    Args:
        name: of the model.
        mean: (N, 3), y up.
        triangles: (M, 3).
        columns: (3N, E), what a blendshape of weight 1 adds.
        names: E, ARKit's where it has them.
        albedo: (N, 3) sRGB in [0, 1], if there is any.
        unit: mm per unit of the file; None to tell it from the distance of the eyes, or from the size of the mesh.

    Raises:
        Face3DMMError: the mesh has the size of no head in m, dm, cm or mm.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # of numbers without an end, which the model refuses
        eyes = _lids(mean, columns, names)
        if eyes is not None and eyes[0, 0] < eyes[1, 0]:
            eyes, mean = eyes * _TURN, mean * _TURN
            columns = columns * np.tile(_TURN.astype(np.float32), len(mean))[:, None]
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


def _lids(
    mean: NDArray[np.floating], columns: NDArray[np.floating], names: Sequence[str]
) -> NDArray[np.float64] | None:
    """(2, 3) middles of the left and the right eye's opening, over which a lid moves half way in half a blink."""
    middles = []
    for side in ("Left", "Right"):
        if f"eyeBlink{side}" not in names:
            return None
        moved = columns[:, names.index(f"eyeBlink{side}")].reshape(-1, 3).astype(np.float64)
        length = np.linalg.norm(moved, axis=1)
        lid = length > _MOVED * length.max()
        if not lid.any():
            return None
        middles.append((mean[lid] + moved[lid] / 2).mean(axis=0))
    return np.array(middles)


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

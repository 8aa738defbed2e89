"""The Basel Face Models of 2017 and 2019 as their owners give them out: `model2017-1_bfm_nomouth.h5` and the others.

Gerig et al., Morphable Face Models - An Open Framework, FG 2018. HDF5 of statismo: three models, shape, expression and
color, each with model/mean (3N,), model/pcaBasis (3N, C) of unit columns, and model/pcaVariance (C,), the squares of
the standard deviations; shape/representer/cells (3, M) from zero. In mm; colours in [0, 1], taken as sRGB. S = mean +
mean of the expressions + bases·coefficients. Checked against eos's `share/scripts/convert-bfm2017-to-eos.py`. The cuts
(`fullHead`, `bfm`, `face12`, with and without a mouth's inside) differ in their counts alone.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.files.hdf5 import read_hdf5, read_hdf5_text
from face3dmm_ros.morphable_model.formats.bfm_points import eyes_behind, known_eyes
from face3dmm_ros.morphable_model.formats.source_head import Basis, SourceHead, in_our_convention, numbered
from face3dmm_ros.morphable_model.model import MOST_TRIANGLES, MOST_VERTICES, MorphableModel, check_counts

_MILLIMETRES_PER_UNIT = 1.0
_MOST_COMPONENTS = 1_000
_CELLS = "shape/representer/cells"
_ARRAYS = {
    **{f"{kind}/model/mean": 3 * MOST_VERTICES for kind in ("shape", "expression", "color")},
    **{f"{kind}/model/pcaBasis": 3 * MOST_VERTICES * _MOST_COMPONENTS for kind in ("shape", "expression", "color")},
    **{f"{kind}/model/pcaVariance": _MOST_COMPONENTS for kind in ("shape", "expression", "color")},
    _CELLS: 3 * MOST_TRIANGLES,
}
_LANDMARKS = "metadata/landmarks/json"
_EYE_CORNERS = (
    ("left.eye.corner_inner", "left.eye.corner_outer"),
    ("right.eye.corner_inner", "right.eye.corner_outer"),
)


def load(path: Path) -> MorphableModel:
    """Read a model.

    Its origin is between the eyes where the file names their corners or where its vertices are known; else it stays.

    Raises:
        Face3DMMError: the file cannot be read, lacks a part, or has parts that are not finite, too large, or do not fit
            together.
    """
    found = read_hdf5(path, _ARRAYS)
    mean = _points(path, found, "shape/model/mean")
    count = len(mean)
    cells = found[_CELLS]
    if cells.ndim != 2 or cells.shape[0] != 3 or cells.dtype.kind not in "iu":
        raise Face3DMMError(
            f"{path}: {_CELLS} must be whole numbers of shape (3, M), found {cells.dtype} {cells.shape}"
        )
    most = max(found[f"{kind}/model/pcaVariance"].size for kind in ("shape", "expression", "color"))
    check_counts(str(path), count, cells.shape[1], most)
    shape, expression, albedo = (_basis(path, found, kind, count) for kind in ("shape", "expression", "color"))
    eyes = _named_eyes(path)
    moved = _points(path, found, "expression/model/mean", count)
    return in_our_convention(
        SourceHead(
            name=path.stem,
            unit=_MILLIMETRES_PER_UNIT,
            mean=mean + moved,
            triangles=cells.T,
            shape=shape,
            expression=expression,
            expression_names=numbered(len(expression.sigma)),
            albedo_mean=_points(path, found, "color/model/mean", count),
            albedo=albedo,
            eyes=known_eyes(mean + moved, _MILLIMETRES_PER_UNIT) if eyes is None else eyes,
        )
    )


def _points(path: Path, found: dict[str, NDArray], name: str, count: int | None = None) -> NDArray[np.float64]:
    """x₁ y₁ z₁ x₂ … as (N, 3), of so many points if it is said."""
    array = found[name]
    expected = 3 * max(array.size // 3 if count is None else count, 1)
    if array.size != expected or max(array.shape) != expected:
        raise Face3DMMError(f"{path}: {name} must be {expected} numbers in a row, found shape {array.shape}")
    return array.reshape(-1, 3).astype(np.float64)


def _basis(path: Path, found: dict[str, NDArray], kind: str, count: int) -> Basis:
    columns, variance = found.pop(f"{kind}/model/pcaBasis"), found[f"{kind}/model/pcaVariance"].ravel()
    if columns.shape != (3 * count, len(variance)):
        raise Face3DMMError(
            f"{path}: {kind}/model/pcaBasis must have shape ({3 * count}, K) and pcaVariance K numbers, found "
            f"{columns.shape} and {len(variance)}"
        )
    if not (variance > 0).all():
        raise Face3DMMError(f"{path}: {kind}/model/pcaVariance must hold positive numbers")
    return Basis(columns, np.sqrt(variance.astype(np.float64)))


def _named_eyes(path: Path) -> NDArray[np.float64] | None:
    """Centres of the eyeballs (2, 3), left and right, by the landmarks that the file names; None where it does not."""
    text = read_hdf5_text(path, _LANDMARKS)
    if text is None:
        return None
    try:
        places: dict[Any, Any] = {mark["id"]: mark["coordinates"] for mark in json.loads(text)}
        corners = [[places[name] for name in names] for names in _EYE_CORNERS if set(names) <= places.keys()]
        found = np.array(corners, np.float64)
    # Strangers' JSON can be anything, nested without end too.
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Face3DMMError(f"{path}: {_LANDMARKS} must be landmarks with id and coordinates: {error}") from error
    if len(found) != len(_EYE_CORNERS):
        return None
    if found.shape != (2, 2, 3) or not np.isfinite(found).all():
        raise Face3DMMError(f"{path}: {_LANDMARKS} must have three finite coordinates for each corner of an eye")
    return eyes_behind(found, _MILLIMETRES_PER_UNIT)

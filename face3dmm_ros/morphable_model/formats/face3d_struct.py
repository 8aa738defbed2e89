"""The Basel Face Model in the .mat layout of 3DDFA and 2DASL.

One struct `model` with shapeMU, shapePC, shapeEV, expMU, expPC, expEV, texMU, texPC, texEV, tri and kpt_ind: µm,
colours in [0, 255], one-based indices. The file itself is licensed to its user and does not ship with this package.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.files.matlab_struct import read_struct
from face3dmm_ros.morphable_model.formats.matlab_parts import basis, finite, indices
from face3dmm_ros.morphable_model.formats.source_head import (
    EYE_CENTER_DEPTH,
    EYE_LANDMARKS,
    check_size,
    facing_outward,
    numbered,
)
from face3dmm_ros.morphable_model.model import (
    MOST_TRIANGLES,
    MOST_VERTICES,
    MorphableModel,
    SurfacePoints,
    check_counts,
)

_MILLIMETRES_PER_UNIT = 1e-3  # The layout is in µm.
_MOST_BASIS_NUMBERS = 3 * MOST_VERTICES * 1_000
_FIELDS = {
    "shapeMU": 3 * MOST_VERTICES,
    "shapePC": _MOST_BASIS_NUMBERS,
    "shapeEV": 1_000,
    "expMU": 3 * MOST_VERTICES,
    "expPC": _MOST_BASIS_NUMBERS,
    "expEV": 1_000,
    "texMU": 3 * MOST_VERTICES,
    "texPC": _MOST_BASIS_NUMBERS,
    "texEV": 1_000,
    "tri": 3 * MOST_TRIANGLES,
    "kpt_ind": 1_000,
}
"""The most numbers of each."""
_LANDMARK_COUNT = 68


def load(path: Path) -> MorphableModel:
    """Read a model of the BFM layout, N vertices from 3N rows.

    The mean is shapeMU + expMU, moved so that the origin is midway between the eyes (the mean of the 12 eye landmarks,
    12 mm further back). shapeEV, expEV and texEV are standard deviations, as the code that came with the layout uses
    them. Coefficients of the expressions, named ``exp_00`` and on, are unbounded.

    Raises:
        Face3DMMError: not a readable .mat file, a field missing, or fields that are not numbers, not finite, too large,
            or do not fit together.
    """
    try:
        fields = read_struct(path, "model", _FIELDS)
        # Numbers beyond float32 become infinite, which the model refuses.
        with np.errstate(over="ignore", invalid="ignore"):
            return _model(path, fields)
    except MemoryError as error:
        raise Face3DMMError(f"{path}: the memory does not suffice for this model") from error


def _model(path: Path, fields: dict[str, NDArray]) -> MorphableModel:
    """The model of some fields, which are taken out of the dictionary as they are used, since they are large."""
    shape, expression = finite(path, fields, "shapeMU"), finite(path, fields, "expMU")
    count = len(shape) // 3
    if count == 0 or not shape.shape == expression.shape == (3 * count, 1):
        raise Face3DMMError(
            f"{path}: shapeMU and expMU must be columns of 3N numbers, found {shape.shape} and {expression.shape}"
        )
    components = max(fields[f"{kind}EV"].size for kind in ("shape", "exp", "tex"))
    check_counts(str(path), count, fields["tri"].shape[1], components)
    vertices = (shape.astype(np.float64) + expression).reshape(-1, 3) * _MILLIMETRES_PER_UNIT
    check_size(path.stem, vertices, _MILLIMETRES_PER_UNIT)
    landmarks = indices(path, fields, "kpt_ind", count).ravel()
    if len(landmarks) != _LANDMARK_COUNT:
        raise Face3DMMError(f"{path}: kpt_ind must name {_LANDMARK_COUNT} vertices, found {len(landmarks)}")
    vertices = vertices - vertices[landmarks[EYE_LANDMARKS]].mean(axis=0) + [0.0, 0.0, EYE_CENTER_DEPTH]
    triangles = indices(path, fields, "tri", count)
    if triangles.shape[0] != 3:
        raise Face3DMMError(f"{path}: tri must have shape (3, M), found {triangles.shape}")
    # Just so, for the model's digest depends on how its numbers are rounded.
    shape_part = basis(path, fields, "shapePC", "shapeEV", count)
    expression_part = basis(path, fields, "expPC", "expEV", count)
    albedo_part = basis(path, fields, "texPC", "texEV", count)
    albedo = finite(path, fields, "texMU")
    if albedo.size != 3 * count:
        raise Face3DMMError(f"{path}: texMU must be a column of {3 * count} numbers, found {albedo.shape}")
    expressions = len(expression_part.sigma)
    return MorphableModel(
        name=path.stem,
        mean=vertices.astype(np.float32),
        triangles=facing_outward(vertices, triangles.T),
        shape_basis=shape_part.columns * np.float32(_MILLIMETRES_PER_UNIT),
        shape_sigma=shape_part.sigma,
        expression_basis=expression_part.columns * np.float32(_MILLIMETRES_PER_UNIT),
        expression_sigma=expression_part.sigma,
        expression_names=tuple(numbered(expressions)),
        expression_bounds=np.repeat(np.array([[-np.inf], [np.inf]], np.float32), expressions, axis=1),
        albedo_mean=(albedo.reshape(-1, 3).astype(np.float64) / 255.0).astype(np.float32),
        albedo_basis=albedo_part.columns / np.float32(255.0),
        albedo_sigma=albedo_part.sigma,
        landmarks={"ibug68": SurfacePoints.at_vertices(landmarks)},
    )

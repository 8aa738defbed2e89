"""The Basel Face Model of 2009 as its owners give it out: `01_MorphableModel.mat`.

Paysan, Knothe, Amberg, Romdhani and Vetter, A 3D Face Model for Pose and Illumination Invariant Face Recognition, AVSS
2009: S = shapeMU + shapePC·α and T = texMU + texPC·γ, in µm and in colours of [0, 255], with shapeEV and texEV as
standard deviations; triangles tl from one. Checked against eos's `share/scripts/convert-bfm2009-to-eos.py`.

It has no expressions. Those that others made for it are taken where they lie beside the file:

- `Exp_Pca.bin` with `std_exp.txt` and `BFM_exp_idx.mat` (Guo et al., CNN-based Real-time Dense Face Reconstruction,
  TPAMI 2019): an int32 count, then in float32 a mean and as many components over V vertices, in µm; trimIndex says
  which of the model's vertices these are. The layout is that of `util/load_mats.py` of Deep3DFaceRecon_pytorch, which
  leaves the mean out; here it is part of the mean face, as 3DDFA has it.
- `Model_Expression.mat` or `Model_Exp.mat` (3DDFA; Zhu et al., CVPR 2016): w_exp, mu_exp and sigma_exp, over all
  vertices, or over those of trimIndex in `Model_Shape.mat` or `BFM_exp_idx.mat`.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.regular_file import read_regular
from face3dmm_ros.files.matlab_struct import read_matrices
from face3dmm_ros.morphable_model.formats.bfm_points import known_eyes
from face3dmm_ros.morphable_model.formats.matlab_parts import (
    MOST_BASIS_NUMBERS,
    MOST_COMPONENTS,
    MOST_COORDINATES,
    basis,
    indices,
    points,
    triangles,
)
from face3dmm_ros.morphable_model.formats.source_head import Basis, SourceHead, in_our_convention, numbered
from face3dmm_ros.morphable_model.model import MOST_TRIANGLES, MOST_VERTICES, MorphableModel, check_counts

_MILLIMETRES_PER_UNIT = 1e-3
_MATRICES = {
    "shapeMU": MOST_COORDINATES,
    "shapePC": MOST_BASIS_NUMBERS,
    "shapeEV": MOST_COMPONENTS,
    "texMU": MOST_COORDINATES,
    "texPC": MOST_BASIS_NUMBERS,
    "texEV": MOST_COMPONENTS,
    "tl": 3 * MOST_TRIANGLES,
}
_EXPRESSION_MATRICES = {
    "w_exp": MOST_BASIS_NUMBERS,
    "mu_exp": MOST_COORDINATES,
    "sigma_exp": MOST_COMPONENTS,
}
_MOST_BIN_BYTES = 400_000_000
"""By hand: `Exp_Pca.bin` has 79 components, 51 MB."""
_MOST_TEXT_BYTES = 100_000
"""By hand: `std_exp.txt` has 79 numbers."""


class _Expression(NamedTuple):
    """Expressions: their mean (V, 3), µm, and components, over V vertices."""

    mean: NDArray[np.float64]
    basis: Basis


def load(path: Path) -> MorphableModel:
    """Read a model, with the expressions that lie beside it; without any, it has none.

    Raises:
        Face3DMMError: the file, or one of expressions beside it, cannot be read, lacks a part, or has parts that are
            not finite, too large, or do not fit together.
    """
    fields = read_matrices(path, _MATRICES)
    mean = points(path, fields, "shapeMU")
    count = len(mean)
    check_counts(str(path), count, len(fields["tl"]), max(fields["shapeEV"].size, fields["texEV"].size))
    expression = _over_all(path, _expression_beside(path, count), mean)
    mean = mean + expression.mean
    return in_our_convention(
        SourceHead(
            name=path.stem,
            unit=_MILLIMETRES_PER_UNIT,
            mean=mean,
            triangles=triangles(path, fields, "tl", count),
            shape=basis(path, fields, "shapePC", "shapeEV", count),
            expression=expression.basis,
            expression_names=numbered(len(expression.basis.sigma)),
            albedo_mean=points(path, fields, "texMU"),
            albedo=basis(path, fields, "texPC", "texEV", count),
            colour_unit=1.0 / 255.0,
            eyes=known_eyes(mean, _MILLIMETRES_PER_UNIT),
        )
    )


def _expression_beside(path: Path, count: int) -> tuple[_Expression, NDArray[np.int64] | None]:
    """The expressions beside a model of so many vertices, and which of these they are of, or None for all."""
    folder = path.parent
    binary = folder / "Exp_Pca.bin"
    if binary.exists():
        vertices = _trim_index(folder, binary, count)
        return _read_binary(binary, len(vertices)), vertices
    for name in ("Model_Expression.mat", "Model_Exp.mat"):
        if (folder / name).exists():
            found = _read_3ddfa(folder / name)
            return found, None if len(found.mean) == count else _trim_index(folder, folder / name, count)
    return _Expression(np.zeros((count, 3)), Basis.none(count)), None


def _trim_index(folder: Path, needed_by: Path, count: int) -> NDArray[np.int64]:
    for name in ("BFM_exp_idx.mat", "Model_Shape.mat"):
        path = folder / name
        if path.exists():
            found = indices(path, read_matrices(path, {"trimIndex": MOST_VERTICES}), "trimIndex", count).ravel()
            if len(np.unique(found)) != len(found):
                raise Face3DMMError(f"{path}: trimIndex names a vertex twice")
            return found
    raise Face3DMMError(
        f"{needed_by} has expressions of some of the model's vertices: put BFM_exp_idx.mat (or 3DDFA's "
        "Model_Shape.mat) beside it, which tells of which"
    )


def _read_binary(path: Path, vertices: int) -> _Expression:
    content = read_regular(path, _MOST_BIN_BYTES)
    components = int(np.frombuffer(content, "<i4", 1)[0]) if len(content) >= 4 else 0
    expected = 4 + 4 * 3 * vertices * (1 + components)
    if not 0 < components <= MOST_COMPONENTS or len(content) != expected:
        raise Face3DMMError(
            f"{path} has {len(content)} bytes and {components} components; of {vertices} vertices these would be "
            f"{expected} bytes"
        )
    numbers = np.frombuffer(content, "<f4", offset=4).reshape(1 + components, 3 * vertices)
    sigma = _read_text(path.parent / "std_exp.txt", components)
    if not np.isfinite(numbers).all():
        raise Face3DMMError(f"{path} holds values that are not finite (NaN or infinity)")
    return _Expression(numbers[0].reshape(-1, 3).astype(np.float64), Basis(numbers[1:].T, sigma))


def _read_text(path: Path, count: int) -> NDArray[np.float32]:
    """Numbers, of which there must be so many."""
    try:
        numbers = np.array([float(word) for word in read_regular(path, _MOST_TEXT_BYTES).split()])
    except ValueError as error:
        raise Face3DMMError(f"{path} must hold {count} standard deviations: {error}") from error
    if len(numbers) != count:
        raise Face3DMMError(f"{path} must hold {count} standard deviations, found {len(numbers)}")
    with np.errstate(over="ignore"):
        return numbers.astype(np.float32)


def _read_3ddfa(path: Path) -> _Expression:
    fields = read_matrices(path, _EXPRESSION_MATRICES)
    mean = points(path, fields, "mu_exp")
    return _Expression(mean, basis(path, fields, "w_exp", "sigma_exp", len(mean)))


def _over_all(
    path: Path, found: tuple[_Expression, NDArray[np.int64] | None], mean: NDArray[np.float64]
) -> _Expression:
    """Expressions over all vertices: one that they are not of moves as the nearest on the mean face that they are."""
    expression, vertices = found
    if vertices is None:
        return expression
    if len(vertices) != len(expression.mean):
        raise Face3DMMError(
            f"{path}: the expressions beside it are of {len(expression.mean)} vertices, but trimIndex names "
            f"{len(vertices)}"
        )
    nearest = np.empty(len(mean), np.int64)
    others = np.setdiff1d(np.arange(len(mean)), vertices)
    nearest[vertices] = np.arange(len(vertices))
    nearest[others] = cKDTree(mean[vertices]).query(mean[others])[1]
    columns, sigma = expression.basis.columns, expression.basis.sigma
    moved = columns.reshape(len(vertices), 3, len(sigma))[nearest].reshape(-1, len(sigma))
    return _Expression(expression.mean[nearest], Basis(moved, sigma))

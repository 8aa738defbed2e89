"""What the .mat layouts of the Basel Face Model have in common: checked parts out of the matrices that were read."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.morphable_model.formats.source_head import Basis
from face3dmm_ros.morphable_model.model import MOST_VERTICES

MOST_COORDINATES = 3 * MOST_VERTICES
MOST_COMPONENTS = 1_000
MOST_BASIS_NUMBERS = MOST_COORDINATES * MOST_COMPONENTS


def finite(path: Path, fields: dict[str, NDArray], name: str) -> NDArray:
    """A matrix, taken out of the dictionary since it may be large.

    Raises:
        Face3DMMError: it has values that are not finite.
    """
    array = fields.pop(name)
    # The sum is finite unless a value is not, and needs no array of truths; where it overflows, each value is asked.
    with np.errstate(over="ignore", invalid="ignore"):
        total = array.sum(dtype=np.float32 if array.dtype.itemsize <= 4 else None)
    if not np.isfinite(total) and not np.isfinite(array).all():
        raise Face3DMMError(f"{path}: {name} holds values that are not finite (NaN or infinity)")
    return array


def row(path: Path, fields: dict[str, NDArray], name: str, size: int) -> NDArray:
    """A row or column of so many finite numbers, as (size,).

    Raises:
        Face3DMMError: it has another shape, or values that are not finite.
    """
    array = finite(path, fields, name)
    if array.shape not in ((1, size), (size, 1)):
        raise Face3DMMError(f"{path}: {name} must be a row or column of {size} numbers, found {array.shape}")
    return array.ravel()


def points(path: Path, fields: dict[str, NDArray], name: str) -> NDArray[np.float64]:
    """The points of a row or column x₁ y₁ z₁ x₂ …, (N, 3).

    Raises:
        Face3DMMError: it has another shape, or values that are not finite.
    """
    shape = fields[name].shape
    count = max(shape) // 3
    if not count or sorted(shape) != [1, 3 * count]:
        raise Face3DMMError(f"{path}: {name} must be a row or column of 3N numbers, found {shape}")
    return row(path, fields, name, 3 * count).reshape(-1, 3).astype(np.float64)


def indices(path: Path, fields: dict[str, NDArray], name: str, count: int) -> NDArray[np.int64]:
    """One-based vertex numbers as zero-based indices.

    Raises:
        Face3DMMError: there are none, or they are not whole numbers from 1 to `count`.
    """
    array = finite(path, fields, name)
    if not array.size or (array != np.round(array)).any() or array.min() < 1 or array.max() > count:
        raise Face3DMMError(f"{path}: {name} must hold vertex numbers from 1 to {count}")
    return array.astype(np.int64) - 1


def triangles(path: Path, fields: dict[str, NDArray], name: str, count: int) -> NDArray[np.int64]:
    """Triangles (M, 3) of one-based vertex numbers, as zero-based ones.

    Raises:
        Face3DMMError: as `indices`, or the matrix has another shape.
    """
    if fields[name].shape[1] != 3:
        raise Face3DMMError(f"{path}: {name} must have shape (M, 3), found {fields[name].shape}")
    return indices(path, fields, name, count)


def columns(path: Path, fields: dict[str, NDArray], name: str, count: int) -> NDArray[np.float32]:
    """Components (3N, C).

    Raises:
        Face3DMMError: they are of another number of vertices, or not finite.
    """
    array = finite(path, fields, name)
    if array.shape[0] != 3 * count:
        raise Face3DMMError(f"{path}: {name} must have shape ({3 * count}, K), found {array.shape}")
    return array.astype(np.float32, copy=False)


def basis(path: Path, fields: dict[str, NDArray], name: str, sigma_name: str, count: int) -> Basis:
    """Components (3N, C) with their standard deviations.

    Raises:
        Face3DMMError: they do not fit together or to the number of vertices, or are not finite.
    """
    sigma = finite(path, fields, sigma_name).ravel()
    found = fields[name].shape
    if found != (3 * count, len(sigma)):
        raise Face3DMMError(
            f"{path}: {name} must have shape ({3 * count}, K) and {sigma_name} K numbers, "
            f"found {found} and {len(sigma)}"
        )
    return Basis(columns(path, fields, name, count), sigma.astype(np.float32))

"""Calibration tables of the landmark networks, as .npz files."""

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.files.array_archive import ArrayArchive

_MOST_BYTES = 1 << 26
"""Of a file and of its arrays, by hand: fifty times the largest of ours."""


def read_table(
    path: Path, shapes: Mapping[str, tuple], what: str, infinite: Collection[str] = ()
) -> dict[str, NDArray]:
    """The arrays of those names, numbers of floating point as float32.

    Args:
        path: of the .npz.
        shapes: by name; a letter stands for a length that is the same wherever it occurs.
        what: the file should be, for errors.
        infinite: names of the arrays that may have infinite values.

    Raises:
        Face3DMMError: the file is missing, lacks an array, or has one of another shape, an empty one, or one with NaN
            or infinite values, also of float32.
    """
    with ArrayArchive(path, what, _MOST_BYTES) as archive:
        arrays = {name: archive.read(name) for name in shapes}
    lengths: dict[object, int] = {}
    for name, shape in shapes.items():
        array = arrays[name]
        for length, found in zip(shape, array.shape, strict=False):
            lengths.setdefault(length, found if isinstance(length, str) else length)
        expected = tuple(lengths.get(length, length) for length in shape)
        if array.shape != expected or array.size == 0 or array.dtype.kind not in "fiu":
            raise Face3DMMError(
                f"{path} is not {what}: {name} has shape {array.shape} of {array.dtype}, expected numbers of shape "
                f"{expected}, not empty"
            )
        if array.dtype.kind == "f":
            with np.errstate(over="ignore"):
                arrays[name] = array.astype(np.float32)
            wrong = np.isnan(arrays[name]) if name in infinite else ~np.isfinite(arrays[name])
            if wrong.any():
                raise Face3DMMError(f"{path} is not {what}: {name} has NaN or infinite values")
    return arrays

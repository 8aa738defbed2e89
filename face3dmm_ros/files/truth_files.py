"""Files with the truth of a picture, which may come from strangers; MATLAB's are those of version 7 or older."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import scipy.io
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError

_MAX_BYTES = 1 << 26
_MAX_NUMBERS = 1_000_000


def check_truth_file(path: Path) -> None:
    """Refuse to read what cannot be the truth of a picture.

    Raises:
        Face3DMMError: no such file, or one too large.
    """
    if not path.is_file():
        raise Face3DMMError(f"the truth {path} is missing")
    if path.stat().st_size > _MAX_BYTES:
        raise Face3DMMError(f"{path} has {path.stat().st_size} bytes: no truth of one face is that large")


def matlab_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The names and shapes of what a file holds, its contents unread.

    Raises:
        Face3DMMError: no such file, one too large for the truth of a picture, or not such a file.
    """
    check_truth_file(path)
    try:
        return {name: shape for name, shape, _ in scipy.io.whosmat(str(path))}
    # A damaged file can make the parser fail in any way; it builds arrays only and runs nothing.
    except Exception as error:
        raise Face3DMMError(f"{path} is not a readable MATLAB file (version 7 or older): {error}") from error


def read_matrices(path: Path, shapes: Mapping[str, tuple[int | None, ...]]) -> dict[str, NDArray[np.float64]]:
    """Finite matrices of the shapes that they must have; None stands for any length.

    Raises:
        Face3DMMError: as `matlab_shapes`; or a matrix is missing, of another shape, or not of finite real numbers.
    """
    # Shapes are looked at before the contents, which a few compressed bytes can claim to be huge.
    there = matlab_shapes(path)
    for name, expected in shapes.items():
        if name not in there:
            raise Face3DMMError(f"{path} lacks {name}")
        found = there[name]
        if (
            len(found) != len(expected)
            or any(e not in (None, f) for e, f in zip(expected, found, strict=True))
            or np.prod(found, dtype=np.float64) > _MAX_NUMBERS
        ):
            wanted = " × ".join("n" if length is None else str(length) for length in expected)
            raise Face3DMMError(f"{path}: {name} has shape {found}, expected {wanted}")
    matrices = {}
    for name, array in _load(path, list(shapes)).items():
        if array.dtype.kind not in "iuf":
            raise Face3DMMError(f"{path}: {name} must be a matrix of real numbers, found {array.dtype}")
        if not np.isfinite(array).all():
            raise Face3DMMError(f"{path}: {name} holds values that are not finite (NaN or infinity)")
        matrices[name] = array.astype(np.float64)
    return matrices


def read_text(path: Path, name: str) -> str:
    """A short string; empty where the file has no such one.

    Raises:
        Face3DMMError: as `matlab_shapes`.
    """
    shape = matlab_shapes(path).get(name)
    if shape is None or np.prod(shape, dtype=np.float64) > _MAX_NUMBERS:
        return ""
    value = _load(path, [name])[name].ravel()
    return str(value[0]) if value.size and value.dtype.kind == "U" else ""


def _load(path: Path, names: list[str]) -> dict[str, NDArray]:
    try:
        contents = scipy.io.loadmat(str(path), variable_names=names)
        return {name: np.asarray(contents[name]) for name in names}
    except Exception as error:  # as above
        raise Face3DMMError(f"{path} is damaged: {error!r}") from error

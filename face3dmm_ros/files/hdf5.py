"""Arrays of an HDF5 file, which may come from a stranger: judged by their headers before they are read.

HDF5 lets a file name others (external and virtual storage, links), and filters that are loaded as programs; a deflated
part may unpack to a thousand times what it claims, and parts that were never written are made up when they are read.
All of that is refused: an array's numbers stand in the file itself, as they are.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.regular_file import require_regular

if TYPE_CHECKING:
    import h5py

_MOST_NAMES = 10_000
"""Of groups and arrays that are looked at, by hand: a model has some 60."""

_MOST_BYTES = 2_000_000_000
"""Of a file, by hand: the full head of the Basel Face Model of 2019 has some 500 MB."""
_MOST_TEXT_BYTES = 1_000_000
"""Of a text, by hand: the landmarks of the Basel Face Models have some kB."""


class _Refused(Exception):  # noqa: N818
    """What is wrong in a file."""


def read_hdf5(path: Path, arrays: Mapping[str, int]) -> dict[str, NDArray]:
    """Arrays of real numbers; what else is in the file is not read.

    Args:
        path: of the file.
        arrays: their paths in the file, as ``shape/model/mean``, with the most numbers that each may have.

    Raises:
        Face3DMMError: the file cannot be read, is damaged or too large; or an array is missing, is a link, is not of
            real numbers, has more of them, or does not stand in the file as it is.
    """
    import h5py

    require_regular(path, _MOST_BYTES)
    left = path.stat().st_size
    found: dict[str, NDArray] = {}
    try:
        with h5py.File(path, "r") as archive:
            for name, most in arrays.items():
                dataset = _own_dataset(archive, name)
                # Parts may be claimed more than once, but together they are no more than the file.
                left -= _judged(dataset, name, most, left)
                found[name] = dataset[()]
    except _Refused as error:
        raise Face3DMMError(f"{path}: {error}") from error
    # A damaged file can fail in any way; only numbers are read, from this file.
    except Exception as error:
        raise Face3DMMError(f"{path} is not a readable HDF5 file: {error or type(error).__name__}") from error
    return found


def read_hdf5_text(path: Path, name: str) -> str | None:
    """A text that is an array of its own with one element, of fixed or variable length; None where there is none.

    Raises:
        Face3DMMError: the file cannot be read, is damaged or too large; or the text is too long or stands elsewhere.
    """
    import h5py

    require_regular(path, _MOST_BYTES)
    try:
        with h5py.File(path, "r") as archive:
            if _link(archive, name) is None:
                return None
            dataset = _own_dataset(archive, name)
            text = h5py.check_string_dtype(dataset.dtype)
            if text is None or dataset.size != 1 or _text_length(path, dataset, text.length) > _MOST_TEXT_BYTES:
                raise _Refused(f"{name} must be one text of at most {_MOST_TEXT_BYTES} bytes")
            value = np.asarray(dataset[()]).ravel()[0]
    except _Refused as error:
        raise Face3DMMError(f"{path}: {error}") from error
    except Exception as error:
        raise Face3DMMError(f"{path} is not a readable HDF5 file: {error or type(error).__name__}") from error
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _text_length(path: Path, dataset: "h5py.Dataset", length: int | None) -> int:
    """Bytes of the text that an array holds, also where its length is not fixed, but stands before the text's place.

    HDF5 makes room for what is claimed before it looks for the text (HDF5 File Format Specification 3.0, VIII.C:
    a variable-length element is its length in four bytes, and where in the global heap it is).
    """
    if length is not None:
        return length
    if (offset := dataset.id.get_offset()) is None:
        raise ValueError("a text has no place in the file")
    with path.open("rb") as file:
        file.seek(offset)
        return int.from_bytes(file.read(4), "little")


def _link(archive: "h5py.File", name: str) -> "h5py.Group | None":
    """The group that an array of this path is in; None where there is no such array, or no such group.

    Raises:
        _Refused: a part of the path is a link to somewhere else.
    """
    import h5py

    group: Any = archive
    *groups, last = name.split("/")
    for part in groups:
        kind = group.get(part, getlink=True)
        if kind is not None and not isinstance(kind, h5py.HardLink):
            raise _Refused(f"{name} is a link, which is not followed")
        if kind is None or not isinstance(group := group[part], h5py.Group):
            return None
    kind = group.get(last, getlink=True)
    if kind is not None and not isinstance(kind, h5py.HardLink):
        raise _Refused(f"{name} is a link, which is not followed")
    return None if kind is None else group


def _own_dataset(archive: "h5py.File", name: str) -> "h5py.Dataset":
    """An array whose numbers stand in the file as they are."""
    import h5py

    group = _link(archive, name)
    dataset = None if group is None else group[name.split("/")[-1]]
    if not isinstance(dataset, h5py.Dataset):
        raise _Refused(f"it lacks the array {name}")
    # Before its shape is asked for: that of a virtual one is looked up in other files.
    made = dataset.id.get_create_plist()
    if made.get_layout() == h5py.h5d.VIRTUAL or made.get_external_count():
        raise _Refused(f"the numbers of {name} stand in another file, which is not read")
    if made.get_nfilters():
        raise _Refused(f"{name} is compressed; write it plain: h5repack -f NONE FILE NEW_FILE")
    return dataset


def _judged(dataset: "h5py.Dataset", name: str, most: int, most_bytes: int) -> int:
    """The bytes of an array that may be read."""
    shape, dtype = dataset.shape, dataset.dtype
    if shape is None or dtype.kind not in "fiu" or dtype.itemsize > 8 or dtype.subdtype is not None:
        raise _Refused(f"{name} must be an array of real numbers, found {dtype}")
    if math.prod(shape) > most:
        raise _Refused(f"{name} has shape {shape}; up to {most} numbers are read")
    size = max(math.prod(shape), math.prod(dataset.chunks or ())) * dtype.itemsize
    if size > min(dataset.id.get_storage_size(), most_bytes):
        raise _Refused(f"{name} claims {dtype} of shape {shape}, more than the file holds")
    return size


def hdf5_names(path: Path) -> frozenset[str]:
    """The paths of a file's arrays, as ``shape/model/mean``; links to other files are not followed.

    Raises:
        Face3DMMError: the file is damaged, has far too many, or is MATLAB's of version 7.3.
    """
    # Here, since it takes a tenth of a second that only these files are worth.
    import h5py

    names: list[str] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            names.append(name)
        if len(names) > _MOST_NAMES:
            raise ValueError(f"it has more than {_MOST_NAMES} arrays")

    with path.open("rb") as file:
        if file.read(6) == b"MATLAB":
            raise Face3DMMError(f"{path} is a MATLAB file of version 7.3: save it with MATLAB's option '-v7'")
    try:
        with h5py.File(path, "r") as archive:
            archive.visititems(visit)  # hard links alone
    # A damaged file can fail in any way; only names are looked at.
    except Exception as error:
        raise Face3DMMError(f"{path} is not a readable HDF5 file: {error or type(error).__name__}") from error
    return frozenset(names)

"""Arrays of an HDF5 file, which may come from a stranger: judged by their headers before they are read."""

from pathlib import Path
from typing import Any

from face3dmm_ros.core.errors import Face3DMMError

_MOST_NAMES = 10_000
"""Of groups and arrays that are looked at, by hand: a model has some 60."""


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

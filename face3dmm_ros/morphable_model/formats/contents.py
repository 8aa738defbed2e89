"""What a file or folder is, told from its first bytes and its table of contents, before anything large is read."""

from pathlib import Path
from typing import Any, NamedTuple

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.regular_file import require_regular
from face3dmm_ros.files.array_archive import ArrayArchive
from face3dmm_ros.files.hdf5 import hdf5_names
from face3dmm_ros.files.matlab_struct import variable_names
from face3dmm_ros.files.safe_pickle import read_pickle

MOST_MODEL_BYTES = 2_000_000_000
"""Of a model's file, by hand: the full head of the Basel Face Model of 2019 has some 500 MB."""
_MOST_FOLDER_FILES = 10_000
_SHOWN = 12
"""Names in an error."""

NPZ, NPY, MATLAB, HDF5, PICKLE, GLTF, FOLDER = (
    "archive of arrays (.npz)", "array (.npy)", "MATLAB file", "HDF5 file", "Python pickle", "glTF file", "folder",
)  # fmt: skip
_UNKNOWN = "file of no kind that models come in"


class Contents(NamedTuple):
    """The kind of a file, and the names of what it holds: arrays, variables, or a pickled dictionary's entries, or a
    folder's files. glTF files tell none before they are read. A pickle is read whole for that: `pickled` is what it
    holds."""

    kind: str
    names: frozenset[str]
    pickled: Any = None

    def __str__(self) -> str:
        """As an error tells it."""
        shown = ", ".join(sorted(self.names)[:_SHOWN])
        more = f" and {len(self.names) - _SHOWN} more" if len(self.names) > _SHOWN else ""
        return f"{'an' if self.kind[0] in 'aH' else 'a'} {self.kind}" + (f" with {shown}{more}" if shown else "")


def contents(path: Path) -> Contents:
    """What there is at a path.

    Raises:
        Face3DMMError: nothing, or what cannot be read, is too large, or is damaged.
    """
    if path.is_dir():
        return Contents(FOLDER, _folder_names(path))
    require_regular(path, MOST_MODEL_BYTES)
    with path.open("rb") as file:
        head = file.read(1024)
    if head.startswith(b"PK"):
        with ArrayArchive(path, "a readable model file (.npz)", MOST_MODEL_BYTES) as archive:
            return Contents(NPZ, frozenset(archive.keys))
    if b"\x89HDF\r\n\x1a\n" in (head[:8], head[512:520]):
        return Contents(HDF5, hdf5_names(path))
    if head.startswith(b"MATLAB"):
        return Contents(MATLAB, frozenset(variable_names(path)))
    if head.startswith(b"\x93NUMPY"):
        return Contents(NPY, frozenset())
    # A pickle of protocol 2 or later; of an earlier one, as protocol 0 of Python 2 begins: a dictionary.
    if (head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05" and len(head) > 2) or head.startswith((b"(dp", b"}q")):
        found = read_pickle(path)
        entries = found if isinstance(found, dict) else {}
        return Contents(PICKLE, frozenset(key for key in entries if isinstance(key, str)), found)
    if head.startswith(b"glTF") or head.lstrip()[:1] == b"{":
        return Contents(GLTF, frozenset())
    return Contents(_UNKNOWN, frozenset())


def _folder_names(folder: Path) -> frozenset[str]:
    try:
        names = frozenset(entry.name for _, entry in zip(range(_MOST_FOLDER_FILES), folder.iterdir(), strict=False))
    except OSError as error:
        raise Face3DMMError(f"{folder} cannot be read: {error.strerror or error}") from error
    return names

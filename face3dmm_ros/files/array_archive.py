"""NumPy's archives of arrays (.npz), which may come from strangers.

A small archive can claim any size and any number of arrays: no array is unpacked before what its header says was
looked at, and those that nobody asks for are not read at all.
"""

import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.regular_file import require_regular

MOST_BYTES = 400_000_000
"""That all arrays of a file may have, by hand: twice a model of the size of the Basel Face Model of 2009."""
_MOST_ARRAYS = 2_000
"""In a file, by hand: our largest has 40."""
_MOST_DIRECTORY_BYTES = 500 * _MOST_ARRAYS
_END_BYTES, _LOCATOR_BYTES = 22, 20  # of a ZIP's last record, and of the one before it in ZIP64
_Result = TypeVar("_Result")


class Form(NamedTuple):
    """What an array's header says of it."""

    dtype: np.dtype
    shape: tuple[int, ...]


class ArrayArchive:
    """An .npz file that is open for reading."""

    def __init__(self, path: Path, what: str, most_bytes: int = MOST_BYTES) -> None:
        """Open a file and read what arrays it has.

        Args:
            path: of the .npz.
            what: the file should be, for errors.
            most_bytes: of the file, and of all its arrays together.

        Raises:
            Face3DMMError: the file cannot be read, is no archive as NumPy writes them, or has more or larger arrays.
        """
        require_regular(path, most_bytes)
        self._path, self._what, self._most_bytes = path, what, most_bytes
        self._zip = self._trying(self._open)
        self.keys = tuple(name.removesuffix(".npy") for name in self._zip.namelist() if name.endswith(".npy"))

    def __enter__(self) -> "ArrayArchive":
        """The archive itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self._zip.close()

    def form(self, key: str) -> Form | None:
        """What an array is, unread; None if there is no such array.

        Raises:
            Face3DMMError: its header is damaged, claims another size than the array has, or objects.
        """
        return self._trying(lambda: self._form(key)) if key in self.keys else None

    def read(self, key: str) -> NDArray:
        """An array.

        Raises:
            Face3DMMError: as `form`; or there is no such array, or it is damaged.
        """
        return self._trying(lambda: self._read(key))

    def _trying(self, action: Callable[[], _Result]) -> _Result:
        try:
            return action()
        # A damaged file can make the parsers fail in any way; they build arrays only and run nothing.
        except Exception as error:
            raise Face3DMMError(f"{self._path} is not {self._what}: {error or type(error).__name__}") from error

    def _open(self) -> zipfile.ZipFile:
        with self._path.open("rb") as file:
            _check_directory(file)
        archive = zipfile.ZipFile(self._path)
        try:
            entries = archive.infolist()
            size = sum(entry.file_size for entry in entries)
            if len(entries) > _MOST_ARRAYS:
                raise ValueError(f"it has {len(entries)} arrays, more than the {_MOST_ARRAYS} that are accepted")
            if size > self._most_bytes:
                raise ValueError(f"it would unpack to {size} bytes, more than the {self._most_bytes} that are accepted")
        except ValueError:
            archive.close()
            raise
        return archive

    def _form(self, key: str) -> Form:
        with self._member(key) as member:
            version = np.lib.format.read_magic(member)
            readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            if version not in readers:
                raise ValueError(f"{key} has version {version} of NumPy's format")
            shape, _, dtype = readers[version](member)
            if dtype.hasobject:
                raise ValueError(f"{key} holds objects, not numbers")
            held = self._zip.getinfo(f"{key}.npy").file_size - member.tell()
            # Where one length is 0, the others may be of any size.
            if any(not 0 <= length <= self._most_bytes for length in shape):
                raise ValueError(f"{key} has an impossible shape")
            if math.prod(shape) * dtype.itemsize != held:
                raise ValueError(f"{key} claims {dtype} of shape {shape}, but holds {held} bytes")
        return Form(dtype, shape)

    def _read(self, key: str) -> NDArray:
        self._form(key)
        with self._member(key) as member:
            return np.asarray(np.lib.format.read_array(member, allow_pickle=False))

    def _member(self, key: str) -> IO[bytes]:
        entry = self._zip.getinfo(f"{key}.npy")
        # NumPy uses these alone; Python unpacks the others without a limit.
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{key} is compressed by another method than NumPy's")
        return self._zip.open(entry)


def _check_directory(file: IO[bytes]) -> None:
    """Check that a ZIP's table of contents, which is read as a whole, is small, from the record at the file's end."""
    size = file.seek(0, 2)
    file.seek(max(size - _END_BYTES - _LOCATOR_BYTES, 0))
    locator, end = (tail := file.read())[:-_END_BYTES], tail[-_END_BYTES:]
    # NumPy writes no comment, which would follow the record.
    if len(end) < _END_BYTES or end[:4] != b"PK\5\6" or end[-2:] != b"\0\0":
        raise ValueError("it is not an archive of arrays, or cut short")
    directory = int.from_bytes(end[12:16], "little")
    if locator[:4] == b"PK\6\7" or directory > _MOST_DIRECTORY_BYTES:
        raise ValueError(f"it has far more arrays than the {_MOST_ARRAYS} that are accepted")

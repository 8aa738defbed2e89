"""Matrices from a MATLAB file of version 5 to 7, which may come from a stranger: those of a struct, or variables.

SciPy's reader is not used, because it unpacks whatever a file claims and tells no sizes of what is inside a struct:
here a compressed variable is unpacked piece by piece, and each matrix only once its size was checked. MathWorks,
MAT-File Format (R2023b), "Level 5 MAT-File Format".
"""

import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.regular_file import require_regular

_MOST_BYTES = 700_000_000
"""Of a file, and of what it unpacks to, by hand: the Basel Face Model of 2009 with 100 expressions has 640 MB in double
precision."""
_MOST_VARIABLES = 1_000
"""That are looked at, by hand: a model's file has up to some 20."""
_PIECE = 1 << 16  # bytes that are unpacked at once
_HEADER_BYTES = 128
_LONGEST_TEXT = 1 << 16  # bytes of a name, of all fields' names or of a matrix's dimensions; by hand

# Types of data elements and classes of arrays (tables 1-1 and 1-3).
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_MATRIX, _COMPRESSED = 14, 15
_STRUCT, _NUMBERS = 2, range(6, 16)
_COMPLEX = 0x0800  # flag
_Result = TypeVar("_Result")


class _Damaged(Exception):  # noqa: N818
    """What is wrong in a file."""


class _Header(NamedTuple):
    """How an array begins: its class, flags, dimensions and name."""

    kind: int
    is_complex: bool
    shape: tuple[int, ...]
    name: str


def read_struct(path: Path, name: str, fields: Mapping[str, int]) -> dict[str, NDArray]:
    """The matrices of a struct; what else is in the file is not read.

    Args:
        path: of the .mat file.
        name: of the struct.
        fields: names of its matrices of real numbers, with the most numbers that each may have.

    Raises:
        Face3DMMError: the file cannot be read, is damaged, of version 7.3, or too large; or it lacks the struct or one
            of the fields, or one is no matrix of real numbers or has more of them.
    """
    return _reading(path, lambda file: _found(file, name, fields))


def read_matrices(path: Path, matrices: Mapping[str, int]) -> dict[str, NDArray]:
    """Matrices that are variables of their own; what else is in the file is not read.

    Args:
        path: of the .mat file.
        matrices: names of variables that are matrices of real numbers, with the most numbers that each may have.

    Raises:
        Face3DMMError: the file cannot be read, is damaged, of version 7.3, or too large; or it lacks one of the
            variables, or one is no matrix of real numbers or has more of them, or all together are too large.
    """
    return _reading(path, lambda file: _own_variables(file, matrices))


def variable_names(path: Path) -> list[str]:
    """The names of a file's variables, of which only the headers are read.

    Raises:
        Face3DMMError: the file cannot be read, is damaged, of version 7.3, or too large.
    """
    return _reading(path, lambda file: [header.name for header, _ in _variables(file)])


def _reading(path: Path, read: Callable[[IO[bytes]], _Result]) -> _Result:
    """What is read from a file.

    Raises:
        Face3DMMError: it fails.
    """
    require_regular(path, _MOST_BYTES)
    try:
        with path.open("rb") as file:
            return read(file)
    except _Damaged as error:
        raise Face3DMMError(f"{path}: {error}") from error
    # A damaged file can fail in any way; only arrays are built, and nothing is run.
    except Exception as error:
        raise Face3DMMError(
            f"{path} is not a readable MATLAB file (version 7 or older): {error or type(error).__name__}"
        ) from error


def _found(file: IO[bytes], name: str, fields: Mapping[str, int]) -> dict[str, NDArray]:
    for header, stream in _variables(file):
        if header.name == name and header.kind == _STRUCT and math.prod(header.shape) == 1:
            return _matrices(stream, fields)
    raise _Damaged(f"it holds no struct called {name}")


def _own_variables(file: IO[bytes], matrices: Mapping[str, int]) -> dict[str, NDArray]:
    found: dict[str, NDArray] = {}
    left = _MOST_BYTES
    for header, stream in _variables(file):
        if header.name in matrices and header.name not in found:
            stream.most_bytes = left
            found[header.name] = _numbers(stream, header, header.name, matrices[header.name])
            left -= found[header.name].nbytes
        if len(found) == len(matrices):
            return found
    missing = ", ".join(name for name in matrices if name not in found)
    raise _Damaged(f"it lacks {missing}; expected {', '.join(matrices)}")


def _variables(file: IO[bytes]) -> Iterator[tuple[_Header, "_Stream"]]:
    """How each variable begins, and the rest of its elements, which may be read before the next one is asked for."""
    head = file.read(_HEADER_BYTES)
    order = {b"IM": "<", b"MI": ">"}.get(head[126:])
    if order is None or int(np.frombuffer(head, order + "u2", 1, 124)[0]) != 0x0100:
        raise ValueError("it has no header of version 5 to 7; MATLAB's save has the option '-v7'")
    for _ in range(_MOST_VARIABLES):
        tag = file.read(8)
        if not tag:
            return
        kind, size = _words(tag, order)
        begin = file.tell()
        stream = _Stream(_inflated(file, size) if kind == _COMPRESSED else _plain(file, size), order)
        if kind == _COMPRESSED:
            kind, _ = stream.words()
        if kind == _MATRIX:
            yield _header(stream), stream
        file.seek(begin + size)


def _matrices(stream: "_Stream", fields: Mapping[str, int]) -> dict[str, NDArray]:
    length = int.from_bytes(stream.element(), stream.byte_order)
    text = stream.element()
    names = [text[at : at + length].split(b"\0")[0].decode("latin1") for at in range(0, len(text), max(length, 1))]
    missing = [name for name in fields if name not in names]
    if missing:
        raise _Damaged(f"its struct lacks {', '.join(missing)}; expected {', '.join(fields)}")
    found: dict[str, NDArray] = {}
    for name in names:
        kind, size = stream.words()
        end = stream.position + size
        if name in fields and kind == _MATRIX:
            found[name] = _matrix(stream, name, fields[name])
        stream.skip(end - stream.position)
        if len(found) == len(fields):
            break
    return found


def _matrix(stream: "_Stream", name: str, most: int) -> NDArray:
    return _numbers(stream, _header(stream), name, most)


def _numbers(stream: "_Stream", header: _Header, name: str, most: int) -> NDArray:
    """The rest of a matrix after its header."""
    if header.kind not in _NUMBERS or header.is_complex or len(header.shape) != 2:
        raise _Damaged(f"{name} must be a matrix of real numbers")
    count = math.prod(header.shape)
    if min(header.shape) < 0 or count > most:
        raise _Damaged(f"{name} has shape {header.shape}; up to {most} numbers are read")
    kind, size = stream.tag()
    dtype = np.dtype(stream.order + _TYPES[kind])
    if size != count * dtype.itemsize:
        raise _Damaged(f"{name} has shape {header.shape}, but {size} bytes of {dtype}: the file is damaged")
    values = np.frombuffer(stream.data(size), dtype).reshape(header.shape, order="F")
    return values.astype(dtype.newbyteorder("="), copy=False)


def _header(stream: "_Stream") -> _Header:
    """How an array begins, after its tag."""
    flags = int(np.frombuffer(stream.element(), stream.order + "u4", 1)[0])
    shape = tuple(int(length) for length in np.frombuffer(stream.element(), stream.order + "i4"))
    return _Header(flags & 0xFF, bool(flags & _COMPLEX), shape, stream.element().decode("latin1"))


class _Stream:
    """The data elements of a file, read in their order from its pieces."""

    def __init__(self, pieces: Iterator[bytes], order: str) -> None:
        self.order, self.position, self.most_bytes = order, 0, _MOST_BYTES
        self._pieces, self._rest = pieces, memoryview(b"")
        self._short = False  # form of the last tag

    @property
    def byte_order(self) -> Literal["little", "big"]:
        """As `int.from_bytes` calls it."""
        return "little" if self.order == "<" else "big"

    def words(self) -> tuple[int, int]:
        """Type and size of an element in the long form."""
        return _words(self._take(8), self.order)

    def tag(self) -> tuple[int, int]:
        """Type and size of an element in either form; its data follow, those of the short form within the tag."""
        word = int.from_bytes(self._take(4), self.byte_order)
        self._short = bool(word >> 16)
        if self._short:
            return word & 0xFFFF, word >> 16
        return word, int.from_bytes(self._take(4), self.byte_order)

    def data(self, size: int) -> bytearray:
        """The data of an element whose tag was read; they are padded to 8 bytes, those of the short form to 4."""
        data = self._take(size)
        self.skip(-size % 4 if self._short else -size % 8)
        return data

    def element(self) -> bytearray:
        """The data of a short element."""
        _, size = self.tag()
        if size > _LONGEST_TEXT:
            raise ValueError(f"a name or size takes {size} bytes")
        return self.data(size)

    def skip(self, size: int) -> None:
        """Leave out bytes.

        Raises:
            ValueError: there are fewer, or the position lies behind already.
        """
        if size < 0:
            raise ValueError("its elements overlap")
        for _ in self._parts(size):
            pass

    def _take(self, size: int) -> bytearray:
        taken = bytearray()
        for part in self._parts(size):
            taken += part
        return taken

    def _parts(self, size: int) -> Iterator[memoryview]:
        self.position += size
        if self.position > self.most_bytes:
            raise ValueError(f"it would unpack to more than {_MOST_BYTES} bytes")
        while size > 0:
            while not self._rest:
                piece = next(self._pieces, None)
                if piece is None:
                    raise ValueError("it is cut short")
                self._rest = memoryview(piece)
            part, self._rest = self._rest[:size], self._rest[size:]
            size -= len(part)
            yield part


def _plain(file: IO[bytes], size: int) -> Iterator[bytes]:
    while size > 0 and (piece := file.read(min(size, _PIECE))):
        size -= len(piece)
        yield piece


def _inflated(file: IO[bytes], size: int) -> Iterator[bytes]:
    inflater = zlib.decompressobj()
    for piece in _plain(file, size):
        yield inflater.decompress(piece, _PIECE)
        while inflater.unconsumed_tail:
            yield inflater.decompress(inflater.unconsumed_tail, _PIECE)
    # No more than a piece: all that was put in is consumed.
    yield inflater.flush()


def _words(data: bytes | bytearray, order: str) -> tuple[int, int]:
    kind, size = np.frombuffer(data, order + "u4", 2)
    return int(kind), int(size)

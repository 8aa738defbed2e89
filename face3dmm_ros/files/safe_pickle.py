"""Python pickles as data: what files of face models hold, arrays above all, and nothing of theirs runs.

A pickle is a program for a small stack machine, which may call any function of any module. Here it may not: a name in
it becomes a `_Global`, which nothing can call, and each opcode that would call, make or change an object knows a few
names and builds plain data for them by code of this module. What is built is bounded by the file's own size and by a
number of steps.

The opcodes are those of Python's `pickle` and `pickletools`; how arrays, sparse matrices and chumpy's arrays are
written is NumPy's ``__reduce__``, SciPy's and chumpy's attributes, in files of Python 2 and 3.
"""

import io
import math
import pickle
import pickletools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.regular_file import read_regular

# All by hand: far above any file of a face model, and a second's work.
MOST_BYTES = 400_000_000
"""Of a file: as an archive of arrays."""
_MOST_STEPS = 1_000_000
"""Opcodes, and elements that are copied: FLAME has some hundreds."""
_MOST_NODES = 1_000_000
"""Of what is built, what is shared counted each time: nine lines that each name the one before ten times are a billion
nodes to whoever walks through them."""
_MOST_DEPTH = 20
_MOST_DENSE = 5_000_000
"""Numbers of all sparse matrices of a file, written out: FLAME's joints have 25,115."""
_MOST_DIMENSIONS, _LONGEST_SIDE = 8, 2**31
_LARGEST_KEY, _LARGEST_NUMBER = 2**31, 2**63
_SHOWN = 80
"""Characters of a name in an error."""

_DTYPE = re.compile(r"[<>=|]?(b1|\?|[iu][1248]|f[248])")
_CHUMPY, _SPARSE, _TORCH = "chumpy", "sparse", "torch"


@dataclass(frozen=True)
class _Global:
    """A name in a pickle: what is done where it would be called."""

    does: str


class _Object:
    """What a pickle builds of a known kind; only `state` is ever set, and by a dictionary that nothing interprets."""

    __slots__ = ("kind", "state")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.state: dict = {}


class _Dtype:
    """A type of numbers; None for Python objects."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: np.dtype | None) -> None:
        self.dtype = dtype


class _Array:
    """An array that gets its numbers later, or, one of objects, a list of them."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: Any = None


def _globals() -> dict[tuple[str, str], _Global]:
    """Each module and name that may occur."""
    known = {("numpy", "ndarray"): _Global("type"), ("numpy", "dtype"): _Global("dtype")}
    for core in ("numpy.core", "numpy._core"):
        known[f"{core}.multiarray", "_reconstruct"] = _Global("array")
        known[f"{core}.multiarray", "scalar"] = _Global("scalar")
        known[f"{core}.numeric", "_frombuffer"] = _Global("frombuffer")
    for form in ("csc", "csr"):
        for module in (form, f"_{form}"):
            for name in (f"{form}_matrix", f"{form}_array"):
                known[f"scipy.sparse.{module}", name] = _Global(f"{_SPARSE} {form}")
    for module in ("builtins", "__builtin__"):
        known |= {(module, name): _Global(name) for name in ("object", "list", "tuple", "dict", "set", "frozenset")}
        known |= {(module, name): _Global("number") for name in ("int", "long", "float", "bool")}
        known |= {(module, name): _Global("bytes") for name in ("bytes", "bytearray", "str")}
    known |= {(module, "_reconstructor"): _Global("reconstructor") for module in ("copyreg", "copy_reg")}
    known["collections", "OrderedDict"] = _Global("dict")
    known["_codecs", "encode"] = _Global("encode")
    # DECA's embedding of FLAME's landmarks has PyTorch's tensors beside the arrays; they are passed over.
    known["torch._utils", "_rebuild_tensor_v2"] = known["torch.storage", "_load_from_bytes"] = _Global(_TORCH)
    return known


_GLOBALS = _globals()


def read_pickle(path: Path, most_bytes: int = MOST_BYTES) -> Any:
    """What a pickle of any protocol holds.

    Args:
        path: of the file.
        most_bytes: that it may have.

    Returns:
        As `unpickled`.

    Raises:
        Face3DMMError: it cannot be read or is too large, or as `unpickled`.
    """
    return unpickled(read_regular(path, most_bytes), str(path))


def unpickled(content: bytes, name: str) -> Any:
    """What the bytes of a pickle hold.

    Args:
        content: the pickle.
        name: what errors call it.

    Returns:
        Dictionaries, lists, tuples, sets, texts (those of Python 2 as Latin-1), bytes, numbers, and arrays that cannot
        be written to. Sparse matrices come as dense arrays, chumpy's arrays as NumPy's, and arrays of objects as lists
        of them, or the one object. None stands for what chumpy would compute and for PyTorch's tensors.

    Raises:
        Face3DMMError: it is damaged, asks for anything else, or would become too large.
    """
    try:
        reader = _Reader(content)
        return reader.plain(reader.load())
    except Face3DMMError as error:
        raise Face3DMMError(f"{name}: {error}") from error
    # A damaged pickle can fail in any way.
    except Exception as error:
        raise Face3DMMError(f"{name} is not a readable pickle: {str(error)[:200] or type(error).__name__}") from error


def _refuse(what: str) -> NoReturn:
    raise Face3DMMError(f"the pickle {what}; only arrays and plain data are read, so that nothing in it can run")


_PythonsReader: Any = pickle._Unpickler


class _Reader(_PythonsReader):
    """Python's own reader, the one that is written in Python, with each opcode that calls or sets anything replaced.

    Its stack and memo hold plain data and this module's inert holders alone.
    """

    dispatch: dict[int, Callable[["_Reader"], None]]

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="latin1")
        # Each text of a file is encoded once, into no more bytes than it has there.
        self._bytes_left, self._steps_left = len(content), _MOST_STEPS
        self._nodes_left, self._dense_left = _MOST_NODES, _MOST_DENSE

    def step(self, count: int = 1) -> None:
        """Account for work."""
        self._steps_left -= count
        if self._steps_left < 0:
            _refuse(f"has more than {_MOST_STEPS} steps")

    def find_class(self, module: str, name: str) -> Any:
        """The inert stand-in of a name."""
        if module == "chumpy" or module.startswith("chumpy."):
            return _Global(_CHUMPY)
        known = _GLOBALS.get((module, name))
        if known is None:
            _refuse(f"names {module[:_SHOWN]}.{name[:_SHOWN]}")
        return known

    # Opcodes, whose methods Python's reader calls by number.

    def reduce(self) -> None:
        """REDUCE: what calling a known name with some arguments makes."""
        arguments = self.stack.pop()
        self.stack[-1] = self._called(self.stack[-1], arguments)

    def new_object(self) -> None:
        """NEWOBJ: an object of a known class."""
        self.stack.pop()
        self.stack[-1] = self._object(self.stack[-1])

    def build(self) -> None:
        """BUILD: an object's state."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, _Array) and isinstance(state, tuple) and len(state) in (4, 5):
            target.value = self._array(*state[-4:])
        elif isinstance(target, _Dtype) and isinstance(state, tuple) and len(state) >= 4:
            _set_byte_order(target, state)
        elif isinstance(target, _Object) and isinstance(state, dict):
            target.state = state
        else:
            _refuse("sets the state of what has none")

    def set_item(self) -> None:
        """SETITEM."""
        value, key = self.stack.pop(), self.stack.pop()
        self._update(self.stack[-1], [key, value])

    def set_items(self) -> None:
        """SETITEMS."""
        items = self.pop_mark()
        self._update(self.stack[-1], items)

    def make_dict(self) -> None:
        """DICT."""
        made: dict = {}
        self._update(made, self.pop_mark())
        self.stack.append(made)

    def append_one(self) -> None:
        """APPEND."""
        value = self.stack.pop()
        self._extend(self.stack[-1], [value])

    def append_all(self) -> None:
        """APPENDS."""
        items = self.pop_mark()
        self._extend(self.stack[-1], items)

    def add_items(self) -> None:
        """ADDITEMS."""
        items = self.pop_mark()
        if not isinstance(self.stack[-1], set):
            _refuse("adds to what is no set")
        self.stack[-1].update(_flat(items))

    def make_frozen_set(self) -> None:
        """FROZENSET."""
        items = self.pop_mark()
        self.stack.append(frozenset(_flat(items)))

    def byte_array(self) -> None:
        """BYTEARRAY8: as bytes, for room is made for what there is, and not for what is claimed."""
        self.stack.append(self.read(int.from_bytes(self.read(8), "little") & (2**62 - 1)))

    # What the opcodes do.

    def _called(self, function: Any, arguments: Any) -> Any:
        if not isinstance(function, _Global) or not isinstance(arguments, tuple):
            _refuse("calls what is no function")
        match function.does, arguments:
            case "array", _:
                return _Array()
            case "frombuffer", (data, dtype, shape, order):
                made = _Array()
                made.value = self._array(shape, dtype, order == "F", data)
                return made
            case "scalar", (_Dtype() as dtype, data):
                return self._array((), dtype, False, data)[()]
            case "dtype", (str() as text, *_):
                return _dtype(text)
            case "reconstructor", (kind, *_):
                return self._object(kind)
            case "encode", (str() as text, "latin1" | "latin-1" | "iso-8859-1"):
                return self._encoded(text)
            case "bytes", ():
                return b""
            case "number", (bool() | int() | float() as number,):
                return number
            case (("list" | "tuple" | "set" | "frozenset" | "dict"), _) if len(arguments) <= 1:
                return self._collected(function.does, *arguments)
            case does, _ if does == _TORCH:
                return _Object(_TORCH)
        return _refuse(f"calls for {function.does} with other arguments than such files have")

    def _object(self, kind: Any) -> _Object:
        if not isinstance(kind, _Global) or not kind.does.startswith((_CHUMPY, _SPARSE)):
            _refuse("makes an object of an unexpected kind")
        return _Object(kind.does)

    def _collected(self, kind: str, items: Any = ()) -> Any:
        if not isinstance(items, list | tuple):
            _refuse(f"makes a {kind} of what is no list")
        self.step(len(items))
        if kind == "dict":
            if not all(isinstance(item, list | tuple) and len(item) == 2 for item in items):
                _refuse("makes a dict of what are no pairs")
            made: dict = {}
            self._update(made, [each for item in items for each in item])
            return made
        if kind in ("set", "frozenset"):
            return set(_flat(items))
        return list(items) if kind == "list" else tuple(items)

    def _array(self, shape: Any, dtype: Any, fortran: Any, data: Any) -> Any:
        """Numbers over a pickle's bytes, of which no copy is made; or the list of an array of objects."""
        if not isinstance(dtype, _Dtype) or not isinstance(shape, tuple) or len(shape) > _MOST_DIMENSIONS:
            _refuse("has an array of no known type or shape")
        if not all(type(side) is int and 0 <= side < _LONGEST_SIDE for side in shape):
            _refuse("has an array of an impossible shape")
        if dtype.dtype is None:
            if not isinstance(data, list) or len(data) != math.prod(shape):
                _refuse("has an array of objects with others than its shape has")
            return data if shape else data[0]
        if isinstance(data, str):
            data = self._encoded(data)
        if not isinstance(data, bytes):
            _refuse("has an array without bytes")
        if len(data) != math.prod(shape) * dtype.dtype.itemsize:
            _refuse(f"has an array of shape {shape} and type {dtype.dtype}, but {len(data)} bytes of it")
        flat = np.frombuffer(data, dtype.dtype) if data else np.zeros(0, dtype.dtype)
        return flat.reshape(shape, order="F" if fortran else "C")

    def _encoded(self, text: str) -> bytes:
        self._bytes_left -= len(text)
        if self._bytes_left < 0:
            _refuse("has more bytes than its file")
        return text.encode("latin-1")

    def _update(self, target: Any, items: list) -> None:
        if not isinstance(target, dict) or len(items) % 2:
            _refuse("sets items of what is no dictionary")
        target.update(zip(_flat(items[::2]), items[1::2], strict=True))

    def _extend(self, target: Any, items: list) -> None:
        if not isinstance(target, list):
            _refuse("appends to what is no list")
        target.extend(items)

    def plain(self, value: Any, depth: int = 0) -> Any:
        """A copy of what was built, in which nothing is shared, with arrays in place of what holds them."""
        self._nodes_left -= 1
        if self._nodes_left < 0:
            _refuse(f"holds more than {_MOST_NODES} values")
        if depth > _MOST_DEPTH:
            _refuse(f"is nested deeper than {_MOST_DEPTH} levels, or within itself")
        match value:
            case dict():
                return {key: self.plain(each, depth + 1) for key, each in value.items()}
            case _Global() | _Dtype():
                return _refuse("keeps a class where a value is expected")
            case list():
                return [self.plain(each, depth + 1) for each in value]
            case tuple():
                return tuple(self.plain(each, depth + 1) for each in value)
            case _Array():
                return value.value if isinstance(value.value, np.ndarray) else self.plain(value.value, depth + 1)
            case _Object() if value.kind == _CHUMPY:
                return self.plain(value.state.get("x"), depth + 1)
            case _Object() if value.kind == _TORCH:
                return None
            case _Object():
                return self._dense(value, depth)
            case int() if abs(value) >= _LARGEST_NUMBER:
                return _refuse("has a whole number of more than 64 bits")
        return value

    def _dense(self, sparse: _Object, depth: int) -> NDArray:
        """The matrix whose compressed rows or columns an object of SciPy's holds."""
        state = sparse.state
        shape = self.plain(state.get("_shape", state.get("shape")), depth + 1)
        data, minor, starts = (self.plain(state.get(key), depth + 1) for key in ("data", "indices", "indptr"))
        if not isinstance(shape, tuple) or len(shape) != 2:
            _refuse("has a sparse matrix without a shape")
        # SciPy's own come as NumPy's numbers at times.
        if not all(isinstance(side, int | np.integer) and 0 <= side <= self._dense_left for side in shape):
            _refuse(f"has a sparse matrix of an impossible shape; up to {_MOST_DENSE} numbers are written out")
        rows, columns = (int(side) for side in shape)
        self._dense_left -= rows * columns
        if self._dense_left < 0:
            _refuse(f"has sparse matrices of more than {_MOST_DENSE} numbers")
        if not all(isinstance(each, np.ndarray) and each.ndim == 1 for each in (data, minor, starts)):
            _refuse("has a sparse matrix without its three arrays")
        by_columns = sparse.kind.endswith("csc")
        lines, most = (columns, rows) if by_columns else (rows, columns)
        if minor.dtype.kind not in "iu" or starts.dtype.kind not in "iu" or len(starts) != lines + 1:
            _refuse("has a sparse matrix whose indices do not fit its shape")
        counts = np.diff(starts.astype(np.int64))
        whole = starts[0] == 0 and starts[-1] == len(data) == len(minor) and (counts >= 0).all()
        if not whole or minor.min(initial=0) < 0 or (len(minor) and minor.max() >= most):
            _refuse("has a sparse matrix whose indices do not fit its shape")
        major = np.repeat(np.arange(lines), counts)
        dense = np.zeros((rows, columns))
        np.add.at(dense, (minor, major) if by_columns else (major, minor), data)
        return dense


def _flat(keys: Iterable[Any]) -> list:
    """Keys of a dictionary or set: of tuples that share their parts, a hash alone could take for ever."""
    listed = list(keys)
    for key in listed:
        small = isinstance(key, float) or (isinstance(key, int) and abs(key) <= _LARGEST_KEY)
        if not (key is None or isinstance(key, str | bytes) or small):
            _refuse("has a key that is neither a text nor a small number")
    return listed


def _dtype(text: str) -> _Dtype:
    if re.fullmatch(r"\|?O[48]?", text):
        return _Dtype(None)
    if not _DTYPE.fullmatch(text):
        _refuse(f"has an array of type {text[:_SHOWN]!r}, not of plain numbers")
    return _Dtype(np.dtype(text))


def _set_byte_order(target: _Dtype, state: tuple) -> None:
    """By a dtype's state: version, byte order, and what else only structures and objects have."""
    order, structure = state[1], state[2:5]
    if target.dtype is None:
        return
    if order not in ("<", ">", "|", "=") or any(part is not None for part in structure):
        _refuse("has an array of structures, not of plain numbers")
    target.dtype = target.dtype.newbyteorder(order)


_OWN = {
    "REDUCE": _Reader.reduce,
    "NEWOBJ": _Reader.new_object,
    "BUILD": _Reader.build,
    "SETITEM": _Reader.set_item,
    "SETITEMS": _Reader.set_items,
    "DICT": _Reader.make_dict,
    "APPEND": _Reader.append_one,
    "APPENDS": _Reader.append_all,
    "ADDITEMS": _Reader.add_items,
    "FROZENSET": _Reader.make_frozen_set,
    "BYTEARRAY8": _Reader.byte_array,
}
_PYTHONS = (
    "MARK STOP POP POP_MARK DUP PROTO FRAME NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT "
    "BINFLOAT STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 UNICODE SHORT_BINUNICODE BINUNICODE "
    "BINUNICODE8 EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST LIST EMPTY_DICT EMPTY_SET GLOBAL STACK_GLOBAL "
    "GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE"
)
"""Opcodes that put plain data and names on the stack, as Python does them."""


def _handler(name: str, code: int) -> Callable[[_Reader], None]:
    handler: Any = _OWN.get(name) or (_PythonsReader.dispatch[code] if name in _PYTHONS.split() else None)

    def handle(reader: _Reader) -> None:
        if handler is None:
            _refuse(f"has the opcode {name}")
        reader.step()
        handler(reader)

    return handle


_Reader.dispatch = {ord(opcode.code): _handler(opcode.name, ord(opcode.code)) for opcode in pickletools.opcodes}

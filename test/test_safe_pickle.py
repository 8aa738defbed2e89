"""Pickles are read as data: what files of models hold comes out, and everything else is refused before it happens."""

import os
import pickle
import struct
import sys
import types
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse

from face3dmm_ros.core.errors import Face3DMMError, one_line
from face3dmm_ros.files import safe_pickle
from face3dmm_ros.files.safe_pickle import read_pickle, unpickled

RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
FLOATS = b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb"


def refused(content: bytes, match: str = ".") -> str:
    with pytest.raises(Face3DMMError, match=match) as caught:
        unpickled(content, "stranger.pkl")
    assert str(caught.value).startswith("stranger.pkl")
    assert len(str(caught.value)) < 600
    return one_line(caught.value)


def array(shape: bytes, data: bytes, dtype: bytes = FLOATS) -> bytes:
    """An array in protocol 0, as Python 2 wrote it; `shape` and `data` as opcodes."""
    return RECONSTRUCT + b"(I1\n" + shape + dtype + b"I00\n" + data + b"tb"


@pytest.mark.parametrize("protocol", range(6))
def test_plain_data_and_arrays_come_out_of_every_protocol(protocol: int) -> None:
    numbers = np.arange(12.0).reshape(3, 4)
    held = {
        "array": numbers,
        "fortran": np.asfortranarray(numbers),
        "big endian": numbers.astype(">f4"),
        "empty": np.zeros((0, 3)),
        "scalar": np.float32(2.5),
        "plain": [1, -(2**40), 2.5, "é", b"\x80", None, True, (1, 2), {3}, frozenset([4])],
    }
    found = unpickled(pickle.dumps(held, protocol), "a.pkl")
    assert found["plain"] == held["plain"]
    for key in ("array", "fortran", "big endian", "empty", "scalar"):
        np.testing.assert_array_equal(found[key], held[key])


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("kind", [scipy.sparse.csc_matrix, scipy.sparse.csr_matrix, scipy.sparse.csc_array])
def test_a_sparse_matrix_comes_out_dense(protocol: int, kind: type) -> None:
    dense = np.array([[0.0, 2.0, 0.0], [3.0, 0.0, 4.0]])
    np.testing.assert_array_equal(unpickled(pickle.dumps(kind(dense), protocol), "a.pkl"), dense)


@pytest.mark.parametrize("protocol", range(6))
def test_an_array_of_one_object_is_the_object(protocol: int) -> None:
    boxed = np.array({"index": np.arange(3)}, dtype=object)
    np.testing.assert_array_equal(unpickled(pickle.dumps(boxed, protocol), "a.pkl")["index"], [0, 1, 2])


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_an_array_of_chumpy_comes_out_as_its_numbers(protocol: int, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("chumpy.ch")
    made = type("Ch", (), {"__module__": "chumpy.ch"})
    monkeypatch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
    monkeypatch.setitem(sys.modules, "chumpy.ch", module)
    module.Ch = made  # type: ignore[attr-defined]
    value = made()
    value.__dict__.update(x=np.arange(6.0).reshape(2, 3), _dirty_vars=set(), _itr=None)
    content = pickle.dumps({"shapedirs": value, "bs_type": "lrotmin"}, protocol)
    found = unpickled(content, "a.pkl")
    np.testing.assert_array_equal(found["shapedirs"], value.__dict__["x"])
    assert found["bs_type"] == "lrotmin"


def test_the_strings_of_python_2_are_an_arrays_bytes() -> None:
    text = b"S" + repr(struct.pack("<2d", -1.5, 2.0))[1:].encode() + b"\n"
    np.testing.assert_array_equal(unpickled(array(b"(I2\nt", text) + b".", "a.pkl"), [-1.5, 2.0])


def test_what_chumpy_or_torch_would_compute_is_none() -> None:
    assert unpickled(b"\x80\x02cchumpy.reordering\nSelect\n)\x81}X\x01\x00\x00\x00aK\x01sb.", "a.pkl") is None
    assert unpickled(b"ctorch.storage\n_load_from_bytes\n(S'PK'\ntR.", "a.pkl") is None


def test_arrays_cannot_be_written_to() -> None:
    assert not unpickled(pickle.dumps(np.arange(3)), "a.pkl").flags.writeable


class Trap:
    """Would write a file, were it called."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_no_function_of_another_module_runs(tmp_path: Path, protocol: int) -> None:
    mark = tmp_path / "ran"
    refused(pickle.dumps({"a": Trap(open, str(mark), "w")}, protocol), "names (io|_io|builtins|__builtin__).open")
    assert not mark.exists()


@pytest.mark.parametrize(
    "name",
    ["os system", "posix system", "builtins eval", "builtins getattr", "numpy load", "numpy.core.multiarray fromfile",
     "numpy.testing._private.utils runstring", "scipy.sparse load_npz", "_codecs lookup", "copyreg add_extension",
     "collections namedtuple", "chumpyx Ch", "face3dmm_ros.core.errors Face3DMMError", "functools partial"],
)  # fmt: skip
def test_a_name_that_is_not_known_is_refused_and_told(name: str) -> None:
    refused(f"c{name.replace(' ', chr(10))}\n.".encode(), name.replace(" ", "."))


@pytest.mark.parametrize(
    ("module", "name"), [("os", "system"), ("numpy", "ndarray.tofile"), ("numpy", "core.multiarray"),
                         ("chumpy", "os.system"), ("builtins", "dict.update"), ("builtins", "object.__init__")],
)  # fmt: skip
def test_a_dotted_name_of_protocol_4_reaches_nothing(module: str, name: str) -> None:
    parts = b"".join(b"\x8c" + bytes([len(part)]) + part.encode() for part in (module, name))
    # A call of it, with an argument.
    refused(b"\x80\x04" + parts + b"\x93\x8c\x04true\x85R.")


@pytest.mark.parametrize(
    ("opcodes", "name"),
    [
        (b"(S'x'\nios\nsystem\n.", "INST"),
        (b"(cnumpy\nndarray\nI3\no.", "OBJ"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"\x80\x02\x83\x01\x00.", "EXT2"),
        (b"\x80\x02\x84\x01\x00\x00\x00.", "EXT4"),
        (b"Pperson\n.", "PERSID"),
        (b"I1\nQ.", "BINPERSID"),
        (b"\x80\x04cnumpy\nndarray\n)}\x92.", "NEWOBJ_EX"),
        (b"\x80\x05\x97.", "NEXT_BUFFER"),
    ],
)
def test_opcodes_that_no_array_needs_are_refused(opcodes: bytes, name: str) -> None:
    refused(opcodes, name)


@pytest.mark.parametrize(
    "opcodes",
    [
        b"cnumpy\nndarray\n(I9\ntR.",  # a class called
        b"cnumpy\nndarray\n)\x81.",  # and made an object of
        b"cbuiltins\nobject\n)\x81.",
        b"cnumpy\nndarray\n}S'__reduce__'\nI1\nsb.",  # the state of a class
        b"cchumpy.ch\nCh\n}S'x'\nI1\nsb.",
        b"S'text'\n}b.",
        b"(lp0\n}S'append'\nI1\nsb.",
        RECONSTRUCT + b"}S'value'\nI1\nsb.",  # the state of an array that is none
        FLOATS + b"}S'dtype'\nI1\nsb.",
        RECONSTRUCT + b"I0\nI1\ns.",  # an item of an array
        RECONSTRUCT + b"I0\na.",
        RECONSTRUCT + b"(I0\n\x90.",
        b"ccopy_reg\n_reconstructor\n(cbuiltins\nobject\ncbuiltins\nobject\nNtR.",
        b"c_codecs\nencode\n(S'x'\nS'idna'\ntR.",
        b"cbuiltins\nbytes\n(I2000000000\ntR.",
        b"cbuiltins\nlist\n(cbuiltins\nlist\ntR.",
        b"cbuiltins\nint\n(S'9999'\ntR.",
        b"cnumpy\nndarray\n.",
        b"(ccollections\nOrderedDict\nt.",
    ],
)
def test_only_what_arrays_need_is_called_made_or_set(opcodes: bytes) -> None:
    refused(opcodes)


def test_a_state_sets_no_attribute() -> None:
    state = b"}(S'state'\nI5\nS'kind'\nS'torch'\nS'__class__'\nNS'x'\nI7\nu"
    assert unpickled(b"\x80\x02cchumpy.ch\nCh\n)\x81" + state + b"b.", "a.pkl") == 7


@pytest.mark.parametrize(
    "text", ["O8", "V8", "U2000000000", "S8", "M8[ns]", "c16", "f16", "f8,f8", "({},)f8", "2f8", "i3", "x" * 10_000]
)
def test_a_type_that_is_no_plain_number_is_refused(text: str) -> None:
    refused(array(b"(I1\nt", b"S'12345678'\n", b"cnumpy\ndtype\n(S'" + text.encode() + b"'\nI0\nI1\ntR") + b".")


def test_a_structured_type_is_refused() -> None:
    structured = np.zeros(2, [("a", "f8"), ("b", "i4")])
    refused(pickle.dumps(structured), "type 'V12'")


@pytest.mark.parametrize(
    "shape",
    [b"(I1000000000\nI1000000000\nt", b"(I-1\nt", b"(I2\nt", b"(I0\nI99999999999\nt", b"(F1.0\nt", b"(I01\nt", b"N",
     b"(" + 20 * b"I1\n" + b"t", b"(L123456789012345678901234567890L\nt"],
)  # fmt: skip
def test_a_shape_that_its_bytes_do_not_fill_is_refused(shape: bytes) -> None:
    refused(array(shape, b"S'12345678'\n") + b".")


def test_a_shape_at_the_making_makes_no_room() -> None:
    making = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I1000000000\nI1000000\ntS'b'\ntR"
    assert unpickled(making + b".", "a.pkl") is None


@pytest.mark.parametrize("opcode", [b"\x8e", b"\x96", b"\x8d"])
def test_a_length_that_is_claimed_makes_no_room(opcode: bytes) -> None:
    refused(b"\x80\x05" + opcode + struct.pack("<Q", 2**40) + b"few bytes.")


def test_a_text_that_is_encoded_again_and_again_is_refused() -> None:
    encode = b"c_codecs\nencode\n(g0\nS'latin1'\ntR0"
    refused(b"S'" + 10_000 * b"x" + b"'\np0\n0" + 20 * encode + b"N.", "more bytes than its file")


def test_a_list_that_is_copied_again_and_again_is_refused() -> None:
    copy = b"cbuiltins\nlist\n(g0\ntR0"
    refused(b"(" + 10_000 * b"N" + b"lp0\n0" + 200 * copy + b"N.", "steps")


def test_many_steps_are_refused() -> None:
    refused(b"\x80\x02" + 1_000_001 * b"N0" + b"N.", "steps")


@pytest.mark.parametrize("opcode", [b"t", b"l"])
def test_lines_that_name_the_one_before_many_times_are_refused(opcode: bytes) -> None:
    lines = b"".join(b"(" + 10 * (b"g%d\n" % k) + opcode + b"p%d\n" % (k + 1) for k in range(12))
    refused(b"(I1\nI2\ntp0\n" + lines + b".", "values")


def test_a_key_that_shares_its_parts_is_refused_without_a_hash() -> None:
    refused(b"}Np0\n" + 60 * b"2\x86" + b"I1\ns.", "key")
    refused(b"\x80\x04\x8f(N" + 60 * b"2\x86" + b"\x90.", "key")
    refused(b"\x80\x04(N" + 60 * b"2\x86" + b"\x91.", "key")
    refused(b"(N" + 60 * b"2\x86" + b"Nd.", "key")


def test_deep_nesting_and_rings_are_refused() -> None:
    refused(b"N" + 100_000 * b"\x85" + b".", "nested")
    refused(b"(lp0\ng0\na.", "nested")
    refused(b"}p0\nS'a'\ng0\ns.", "nested")
    refused(b"\x80\x02cchumpy\nCh\n)\x81q\x00}X\x01\x00\x00\x00xh\x00sb.", "nested")
    refused(b"\x80\x02cscipy.sparse.csc\ncsc_matrix\n)\x81q\x00}X\x05\x00\x00\x00shapeh\x00sb.", "nested")


def test_an_enormous_number_is_refused() -> None:
    refused(b"\x80\x02\x8b" + struct.pack("<i", 100_000) + 100_000 * b"\x7f" + b".", "64 bits")
    refused(b"\x80\x02\x8b" + struct.pack("<i", -1) + b".")
    refused(b"L" + 100_000 * b"9" + b"L\n.")


def sparse(shape: tuple, data: Any, indices: Any, starts: Any) -> bytes:
    made = scipy.sparse.csc_matrix((3, 2))
    made.__dict__.update(_shape=shape, data=data, indices=indices, indptr=starts)
    return pickle.dumps(made, 2)


@pytest.mark.parametrize(
    "parts",
    [
        ((3, 2), np.ones(2), np.array([0, 3]), np.array([0, 1, 2])),
        ((3, 2), np.ones(2), np.array([0, -1]), np.array([0, 1, 2])),
        ((3, 2), np.ones(2), np.array([0, 1]), np.array([0, 3, 2])),
        ((3, 2), np.ones(2), np.array([0, 1]), np.array([0, 2])),
        ((3, 2), np.ones(2), np.array([0.0, 1.0]), np.array([0, 1, 2])),
        ((3, 2), np.ones(1), np.array([0, 1]), np.array([0, 1, 2])),
        ((3, 2), None, np.array([0, 1]), np.array([0, 1, 2])),
        ((10**6, 10**6), np.ones(1), np.array([0]), np.array([0, 1])),
        ((-3, 2), np.ones(2), np.array([0, 1]), np.array([0, 1, 2])),
        ((3,), np.ones(2), np.array([0, 1]), np.array([0, 1, 2])),
        ("ab", np.ones(2), np.array([0, 1]), np.array([0, 1, 2])),
    ],
)
def test_a_sparse_matrix_that_does_not_fit_together_is_refused(parts: tuple) -> None:
    refused(sparse(*parts), "sparse")


def test_a_sparse_matrix_may_have_a_shape_of_numpys_numbers() -> None:
    content = sparse((np.int64(3), np.int64(2)), np.ones(2), np.array([0, 2]), np.array([0, 1, 2]))
    np.testing.assert_array_equal(unpickled(content, "a.pkl"), [[1, 0], [0, 0], [0, 1]])


def test_sparse_matrices_that_would_fill_the_memory_are_refused() -> None:
    one = scipy.sparse.csc_matrix((2000, 2000))
    refused(pickle.dumps([one] * 3), "sparse")


@pytest.mark.parametrize("kept", [0, 1, 10, 100, 400])
def test_a_pickle_that_is_cut_short_is_refused(kept: int) -> None:
    refused(pickle.dumps({"a": np.arange(100)})[:kept])


def test_noise_leads_to_no_other_error() -> None:
    rng, whole = np.random.default_rng(0), bytearray(pickle.dumps({"a": np.arange(20.0), "b": [1, "c"]}, 2))
    for _ in range(500):
        content = whole.copy()
        content[rng.integers(len(whole))] = rng.integers(256)
        with suppress(Face3DMMError):
            unpickled(bytes(content), "stranger.pkl")


def test_a_file_is_not_read_beyond_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "large.pkl"
    path.write_bytes(pickle.dumps(bytes(1000)))
    assert read_pickle(path) == bytes(1000)
    with pytest.raises(Face3DMMError, match="bytes"):
        read_pickle(path, 100)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pkl")
    with pytest.raises(Face3DMMError, match="a pipe"):
        read_pickle(tmp_path / "pipe.pkl")


def test_only_names_of_data_are_known() -> None:
    """Each that is added needs a thought of what it does, in `_Reader._called`."""
    assert {module.split(".")[0] for module, _ in safe_pickle._GLOBALS} == {
        "numpy", "scipy", "builtins", "__builtin__", "copyreg", "copy_reg", "collections", "_codecs", "torch",
    }  # fmt: skip

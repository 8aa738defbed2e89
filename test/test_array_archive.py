"""Archives of arrays: what is in them comes back; hostile ones get a clear error before anything is unpacked."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.files.array_archive import ArrayArchive
from face3dmm_ros.landmarks.table_file import read_table


def npy(header: str, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + data


def claiming(shape: str, dtype: str = "'<f4'") -> str:
    return f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}\n"


def written(folder: Path, content: bytes, compression: int = zipfile.ZIP_DEFLATED, count: int = 1) -> Path:
    path = folder / "arrays.npz"
    with zipfile.ZipFile(path, "w", compression) as archive:
        for index in range(count):
            archive.writestr(f"{'x' * (index == 0) or index}.npy", content)
    return path


def test_arrays_come_back_with_their_forms(tmp_path: Path) -> None:
    arrays = {
        "a": np.arange(6, dtype=np.int16).reshape(2, 3),
        "b/c": np.array("name"),
        "d": np.asfortranarray(np.eye(3)),
    }
    np.savez_compressed(tmp_path / "some.npz", **arrays)
    with ArrayArchive(tmp_path / "some.npz", "some arrays") as archive:
        assert archive.keys == tuple(arrays)
        for key, array in arrays.items():
            assert archive.form(key) == (array.dtype, array.shape)
            np.testing.assert_array_equal(archive.read(key), array)
        assert archive.form("e") is None


@pytest.mark.parametrize(
    "header",
    [
        claiming("(1099511627776, 3)"),
        claiming("(4294967296, 4294967296)"),
        claiming("(-1, 3)"),
        claiming("(3,)", "'|O'"),
        claiming("(" + "9" * 4000 + ",)"),
        claiming("(0, " + "9" * 400 + ")"),
        claiming("(1,)", "'<U536870911'"),
        claiming("(1,)", "('<f4', (100000, 100000))"),
        claiming("(3,)") + "[(" * 10,
        "(" * 5000 + ")" * 5000,
        " " * 60_000,
    ],
)
def test_a_header_that_lies_or_breaks_the_parser_is_refused(tmp_path: Path, header: str) -> None:
    with ArrayArchive(written(tmp_path, npy(header)), "fine") as archive:
        with pytest.raises(Face3DMMError, match="is not fine"):
            archive.form("x")
        with pytest.raises(Face3DMMError, match="is not fine"):
            archive.read("x")


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_numpy_does_not_write_is_not_unpacked(tmp_path: Path, compression: int) -> None:
    path = written(tmp_path, npy(claiming("(1000000,)", "'|u1'"), bytes(1_000_000)), compression)
    with ArrayArchive(path, "fine") as archive, pytest.raises(Face3DMMError, match="another method"):
        archive.read("x")


@pytest.mark.parametrize(("count", "reason"), [(3_000, "it has 3000 arrays"), (70_000, "far more arrays")])
def test_an_archive_of_far_too_many_arrays_is_refused(tmp_path: Path, count: int, reason: str) -> None:
    path = written(tmp_path, b"", zipfile.ZIP_STORED, count)
    with pytest.raises(Face3DMMError, match=reason):
        ArrayArchive(path, "fine")


def test_an_archive_that_would_unpack_to_more_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, npy(claiming("(1000000,)", "'|u1'"), bytes(1_000_000)))
    with pytest.raises(Face3DMMError, match="unpack to 1000"):
        ArrayArchive(path, "fine", 10_000)


def test_an_array_that_is_not_asked_for_may_be_anything(tmp_path: Path) -> None:
    path = written(tmp_path, b"no array", count=2)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("good.npy", npy(claiming("(1,)"), bytes(4)))
    with ArrayArchive(path, "fine") as archive:
        assert archive.read("good").tolist() == [0.0]


def test_a_table_with_a_header_that_breaks_the_parser_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, npy(claiming("(3,)") + "[(" * 10))
    with pytest.raises(Face3DMMError, match="is not a table"):
        read_table(path, {"x": (3,)}, "a table")

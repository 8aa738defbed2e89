"""What may be read: regular files of an expected size, and nothing that would keep a reader waiting."""

import os
import socket
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.regular_file import read_regular, require_regular


def require_and_forget(path: Path, most_bytes: int) -> bytes:
    require_regular(path, most_bytes)
    return b""


READERS = pytest.mark.parametrize("read", [read_regular, require_and_forget])


def test_a_file_of_the_expected_size_is_read_whole(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    assert read_regular(tmp_path / "file", 5) == b"12345"
    require_regular(tmp_path / "file", 5)


def test_no_room_is_made_for_more_than_a_file_holds(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    tracemalloc.start()
    try:
        read_regular(tmp_path / "file", 1 << 29)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc")
def test_a_file_whose_size_the_system_does_not_tell_is_read_whole_or_refused():
    path = Path("/proc/self/smaps")
    assert path.stat().st_size == 0
    assert len(read_regular(path, 1 << 29)) > 1 << 16
    with pytest.raises(Face3DMMError, match="has more than 70000 bytes; up to 70000 are read"):
        read_regular(path, 70_000)


@READERS
def test_a_larger_file_is_refused(tmp_path, read):
    (tmp_path / "file").write_bytes(b"12345")
    with pytest.raises(Face3DMMError, match="has 5 bytes; up to 4 are read"):
        read(tmp_path / "file", 4)


def make_socket(path: Path) -> None:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.close()


@READERS
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (os.mkfifo, "a pipe"),
        (os.mkdir, "a folder"),
        (make_socket, "a socket|cannot be read"),
        (lambda path: path.symlink_to("/dev/zero"), "a device"),
    ],
)
def test_what_is_no_file_is_refused_at_once(tmp_path, read, make: Callable[[Path], None], kind):
    make(tmp_path / "file")
    with pytest.raises(Face3DMMError, match=kind):
        read(tmp_path / "file", 1000)


@READERS
def test_a_missing_file_is_refused(tmp_path, read):
    with pytest.raises(Face3DMMError, match="cannot be read: No such file"):
        read(tmp_path / "file", 1000)

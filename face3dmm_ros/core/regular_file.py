"""Files from strangers: never a pipe or a device, which would keep a reader waiting, nor more than expected."""

import os
import stat
from pathlib import Path

from face3dmm_ros.core.errors import Face3DMMError

_PART = 1 << 16
"""Bytes that are asked for at once beyond a file's size; chosen by hand."""
_KINDS = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))


def require_regular(path: Path, most_bytes: int) -> None:
    """Check that a file may be opened by a library that takes its name.

    Raises:
        Face3DMMError: it is not there, cannot be looked at, is no regular file, or has more bytes.
    """
    try:
        _check(path, path.stat(), most_bytes)
    except OSError as error:
        raise _unreadable(path, error) from error


def read_regular(path: Path, most_bytes: int) -> bytes:
    """All bytes of a file.

    Raises:
        Face3DMMError: it cannot be read, is no regular file, or has more bytes.
    """
    try:
        # Without waiting for who writes to a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            found = os.fstat(descriptor)
            _check(path, found, most_bytes)
            with open(descriptor, "rb", closefd=False) as file:
                # Not `most_bytes` at once, for which room would be made; nor the file's size alone, which some file
                # systems do not tell, and which may grow.
                parts = [file.read(found.st_size)]
                left = most_bytes - len(parts[0])
                while left >= 0 and (part := file.read(_PART)):
                    parts.append(part)
                    left -= len(part)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _unreadable(path, error) from error
    content = b"".join(parts)
    if len(content) > most_bytes:
        raise Face3DMMError(f"{path} has more than {most_bytes} bytes; up to {most_bytes} are read")
    return content


def _check(path: Path, found: os.stat_result, most_bytes: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(found.st_mode)), "a device")
        raise Face3DMMError(f"{path} is {kind}: expected a file")
    if found.st_size > most_bytes:
        raise Face3DMMError(f"{path} has {found.st_size} bytes; up to {most_bytes} are read")


def _unreadable(path: Path, error: OSError) -> Face3DMMError:
    return Face3DMMError(f"{path} cannot be read: {error.strerror or error}")

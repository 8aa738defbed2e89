"""Atomic writing of files: a file is there whole or not at all, however the writing ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from face3dmm_ros.core.errors import Face3DMMError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to, which takes `path`'s place once the block has ended well.

    Raises:
        Face3DMMError: the folder cannot be written to.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield unfinished
            # Else a power cut could leave the new name on content that never reached the disk.
            with unfinished.open("rb") as written:
                os.fsync(written.fileno())
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise Face3DMMError(f"cannot write {path}: {error}") from error

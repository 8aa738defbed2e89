"""Writing files: each is there whole or not at all, however the writing ends, and who cannot write gets one error."""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to, which takes `path`'s place once the block has ended well; folders above it are made.

    Raises:
        Face3DMMError: the folder cannot be written to, or `path` is a folder.
    """
    make_folder(path.parent)
    if not path.name:
        raise Face3DMMError(f"{path} cannot be written: it is a folder, expected a file")
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            yield unfinished
            # Else a power cut could leave the new name on content that never reached the disk.
            with unfinished.open("rb") as written:
                os.fsync(written.fileno())
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise Face3DMMError(f"{path} cannot be written: {error.strerror or error}") from error


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file; folders above it are made, and a text is written as UTF-8.

    Raises:
        Face3DMMError: it cannot be written.
    """
    with whole_file(path) as unfinished:
        # Python's stand-ins for bytes of a file's name that are no UTF-8 become escapes, which JSON reads as the same.
        unfinished.write_bytes(content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content)


def write_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Write an image, (H, W, 3) BGR uint8, in the format of the path's suffix.

    Raises:
        Face3DMMError: it cannot be written, or not in that format.
    """
    try:
        encoded = cv2.imencode(path.suffix, image)[1]
    except cv2.error as error:
        raise Face3DMMError(f"{path}: OpenCV cannot write an image of shape {image.shape} so") from error
    write_whole(path, encoded.tobytes())


def make_folder(path: Path) -> None:
    """Make a folder, and those above it; it may be there already.

    Raises:
        Face3DMMError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise Face3DMMError(f"{path} is there already and is no folder: choose another one to write to") from error
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        reason = getattr(error, "strerror", None) or error
        raise Face3DMMError(f"the folder {_shortened(path)} cannot be made: {reason}") from error


def check_writable(folder: Path, names: Collection[str] = ()) -> None:
    """Check, before work that takes long, that files of these names can be written into a folder; leaves nothing there.

    It is tried, since neither modes nor owners tell of a disk that is full or mounted read-only.

    Raises:
        Face3DMMError: the folder cannot be made or written to, or another folder has one of the names.
    """
    made = [each for each in (folder, *folder.parents) if not os.path.lexists(each)]
    try:
        make_folder(folder)
        try:
            with TemporaryFile(dir=folder) as file:
                file.write(b"\0")
        except OSError as error:
            raise Face3DMMError(f"the folder {folder} cannot be written to: {error.strerror or error}") from error
        if taken := [name for name in names if (folder / name).is_dir()]:
            raise Face3DMMError(
                f"{folder / taken[0]} is a folder, where a file is to be written: remove it, or choose another folder"
            )
    finally:
        for each in made:
            with suppress(OSError, ValueError):
                each.rmdir()


def check_image_writable(path: Path) -> None:
    """Check, before work that takes long, that an image can be written, in the format that the path's suffix tells.

    Raises:
        Face3DMMError: no format has the suffix, or as `check_writable`.
    """
    if not cv2.haveImageWriter(path.name):
        raise Face3DMMError(f"{path} would be an image in a format that is not known: let it end in .png or .jpg")
    check_writable(path.parent, (path.name,))


def _shortened(path: Path) -> str:
    """A path for a message, in which one too long for the system is not wanted whole."""
    text = str(path)
    return text if len(text) <= 200 else f"{text[:100]}…{text[-50:]}"

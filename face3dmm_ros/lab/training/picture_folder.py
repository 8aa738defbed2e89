"""Folders of pictures, whose faces are looked up once and kept beside them as chunks that a training reads quickly."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.lab.training.face_chunks import FaceChunks, FaceRecord, make_missing, write_chunk
from face3dmm_ros.morphable_model import MorphableModel

CACHE = ".face3dmm_faces"
"""The folder, in that of the pictures, where their faces are kept unless another is named."""
CHUNK = 250
"""Pictures in a chunk; chosen by hand: what a kill costs at most, and few files."""


def kept_faces(
    pictures: Sequence[Path],
    cache: Path,
    recipe: str,
    model: MorphableModel,
    faces: Callable[[Path], Sequence[FaceRecord]],
) -> FaceChunks:
    """The faces of some pictures, looked up where they are not kept yet. A run that was stopped goes on where it was.

    Args:
        pictures: in a fixed order.
        cache: folder to keep them in.
        recipe: says how they are looked up; what another recipe, model or picture gave is not mistaken for it.
        model: that coefficients belong to.
        faces: those in a picture.

    Raises:
        Face3DMMError: the folder cannot be written to, none of the pictures has a face, or as `faces`.
    """
    parts = [pictures[k : k + CHUNK] for k in range(0, len(pictures), CHUNK)]
    named = {_name(part, f"{recipe} {model.digest}"): part for part in parts}

    def make(missing: Sequence[Path]) -> None:
        from tqdm import tqdm

        def records(part: Sequence[Path]) -> Iterator[FaceRecord]:
            for picture in part:
                for face in faces(picture):
                    try:
                        yield face.surroundings()
                    except Face3DMMError as error:  # it lies outside of the picture
                        raise Face3DMMError(f"{picture}: {error}") from error
                progress.update()

        total = sum(len(named[path.stem]) for path in missing)
        with tqdm(total=total, unit="pictures", desc="looking up faces") as progress:
            for path in missing:
                write_chunk(path, records(named[path.stem]), model)

    return FaceChunks(make_missing(cache, list(named), make), model)


def _name(pictures: Sequence[Path], recipe: str) -> str:
    """A name that changes with the pictures' content, as far as their size and time tell."""
    sha = hashlib.sha256(recipe.encode())
    for path in pictures:
        for file in (path, path.with_suffix(".mat")):
            if file.is_file():
                sha.update(f"{file}\n{file.stat().st_size} {file.stat().st_mtime_ns}\n".encode())
    return f"faces_{sha.hexdigest()[:16]}"

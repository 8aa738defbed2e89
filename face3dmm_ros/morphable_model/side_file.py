"""What was found out about a model beside what its file says: landmarks, outlines and regions, in a file of their own.

It lies beside the model's, as ``<model file>.correspondence.npz``, or, where that folder cannot be written, among the
user's settings under the model's digest. A side file that is there but is of another model, or damaged, is an error and
not passed over: with landmarks in wrong places every fit would be wrong, and without a word about it.
"""

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.user_path import configuration_folder
from face3dmm_ros.files.array_archive import ArrayArchive
from face3dmm_ros.files.whole_file import write_whole
from face3dmm_ros.morphable_model.formats.model_arrays import ModelArrays, named_arrays
from face3dmm_ros.morphable_model.model import Contour, MorphableModel, SurfacePoints

SUFFIX = ".correspondence.npz"
"""After the model's whole file name."""
_VERSION = 1
_MOST_BYTES = 50_000_000
"""Of a side file's arrays, by hand: eleven regions of the largest model have a ninth of it."""


@dataclass(frozen=True, eq=False)
class Correspondence:
    """What is added to a model; each as `MorphableModel` has it."""

    landmarks: Mapping[str, SurfacePoints]
    contours: Mapping[str, Contour]
    regions: Mapping[str, NDArray[np.float32]]

    def added_to(self, model: MorphableModel, *, own_first: bool = True) -> MorphableModel:
        """The model with this; of what both have, the model's own stays unless asked otherwise.

        Raises:
            Face3DMMError: it does not fit the model.
        """

        def merged(own: Mapping, found: Mapping) -> dict:
            return {**found, **own} if own_first else {**own, **found}

        return replace(
            model,
            landmarks=merged(model.landmarks, self.landmarks),
            contours=merged(model.contours, self.contours),
            regions=merged(model.regions, self.regions),
        )


def save_side_file(model: MorphableModel, found: Correspondence, path: Path) -> None:
    """Write what was found of a model.

    Raises:
        Face3DMMError: the file cannot be written.
    """
    arrays: dict[str, Any] = {"correspondence_version": np.int32(_VERSION), "model_digest": np.str_(model.digest)}
    arrays |= named_arrays(found.landmarks, found.contours, found.regions)
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    write_whole(path, content.getvalue())


def load_side_file(model: MorphableModel, path: Path) -> Correspondence:
    """Read what was found of a model.

    Raises:
        Face3DMMError: the file cannot be read, is damaged, too large, of another version, or of another model.
    """
    with ArrayArchive(path, "a readable correspondence (.npz)", _MOST_BYTES) as archive:
        arrays = ModelArrays(path, archive, "a correspondence")
        version = arrays.version("correspondence_version")
        digest = "" if version != _VERSION else str(arrays.part("model_digest", "U", 0))
        if digest != model.digest:
            of = f"version {version}" if version != _VERSION else f"a model with digest {digest[:12]}…"
            raise Face3DMMError(
                f"{path} is of {of}, expected version {_VERSION} of model {model.name} with digest "
                f"{model.digest[:12]}…: remove it, or let `face3dmm model correspond` find it again"
            )
        return Correspondence(arrays.landmarks(), arrays.contours(), arrays.regions(model.vertex_count))


def side_file_to_write(model: MorphableModel, path: Path) -> Path:
    """Where a side file of the model at a path goes.

    Raises:
        Face3DMMError: it could only go among the user's settings, and the user's home is unknown.
    """
    beside = _beside(path)
    return beside if os.access(beside.parent, os.W_OK) else _of_user(model)


def with_side_file(model: MorphableModel, path: Path, *, own_first: bool = True) -> MorphableModel:
    """The model at a path with what its side file says, if there is one; the digest stays.

    Raises:
        Face3DMMError: there is one, and it is of another model, or damaged.
    """
    found = _beside(path)
    if not found.exists():
        try:
            # The digest of a large model takes a while, and most users have no such folder.
            user = _user_folder()
            found = _of_user(model) if user.is_dir() else found
        except Face3DMMError:
            return model
    if not found.exists():
        return model
    try:
        return load_side_file(model, found).added_to(model, own_first=own_first)
    except Face3DMMError as error:
        raise error if str(found) in str(error) else Face3DMMError(f"{found} does not fit: {error}") from error


def _beside(path: Path) -> Path:
    model = path.resolve()  # a folder may be called ".", and a link may have any name
    return model.with_name(f"{model.name}{SUFFIX}")


def _user_folder() -> Path:
    return configuration_folder() / "correspondences"


def _of_user(model: MorphableModel) -> Path:
    return _user_folder() / f"{model.digest}.npz"

"""This package's file format of models: a compressed .npz whose bases are int16 with one step per component.

A file from a stranger can only fail to load, never run code: arrays are read with `allow_pickle=False`.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.files.array_archive import ArrayArchive
from face3dmm_ros.morphable_model.formats.model_arrays import MOST_ITEM_BYTES, ModelArrays, named_arrays
from face3dmm_ros.morphable_model.model import MorphableModel, check_counts

SHIPPED = "resource/default_model.npz"
"""The model that ships, for `package_file`."""
FORMAT_VERSION = 1
_BASES = ("shape_basis", "expression_basis", "albedo_basis")
_PLAIN = {
    "mean": ("f", 2),
    "triangles": ("i", 2),
    "shape_sigma": ("f", 1),
    "expression_sigma": ("f", 1),
    "expression_bounds": ("f", 2),
    "albedo_mean": ("f", 2),
    "albedo_sigma": ("f", 1),
}
"""Arrays that are stored as they are: kind and number of dimensions."""


def save_npz(model: MorphableModel, path: Path, *, compressed: bool = True, licence: str = "") -> None:
    """Write a model; the bases are rounded to int16, so a saved model's digest is that of its loaded copy.

    Args:
        model: to write.
        path: the file, taken as it is.
        compressed: a smaller file, which loads more slowly.
        licence: who may use the model for what, for `licence_of`; up to 200 characters.
    """
    arrays: dict[str, Any] = {
        "format_version": np.int32(FORMAT_VERSION),
        "name": np.str_(model.name),
        "expression_names": np.array(model.expression_names, dtype=np.str_),
    }
    for key in _PLAIN:
        arrays[key] = getattr(model, key)
    if licence:
        arrays["licence"] = np.str_(licence)
    if model.expression_correlation is not None:
        arrays["expression_correlation"] = model.expression_correlation
    for key in _BASES:
        basis = getattr(model, key)
        step = np.maximum(np.abs(basis).max(axis=0, initial=0.0) / 32767.0, 1e-12).astype(np.float32)
        arrays[f"{key}_int16"] = np.round(basis / step).astype(np.int16)
        arrays[f"{key}_step"] = step
    arrays |= named_arrays(model.landmarks, model.contours, model.regions)
    save = np.savez_compressed if compressed else np.savez
    with path.open("wb") as file:  # NumPy would add a suffix to a name that has none.
        save(file, **arrays)


def licence_of(path: Path) -> str:
    """What a file says of who may use its model; empty if nothing.

    Raises:
        Face3DMMError: the file cannot be read.
    """
    with ArrayArchive(path, "a readable model file (.npz)") as archive:
        form = archive.form("licence")
        told = (
            form is not None and form.shape == () and form.dtype.kind == "U" and form.dtype.itemsize <= MOST_ITEM_BYTES
        )
        return _shown(str(archive.read("licence"))) if told else ""


def load(path: Path) -> MorphableModel:
    """Read a model written by `save_npz`.

    Raises:
        Face3DMMError: the file cannot be read, is no model, is damaged, too large, or has another format version.
    """
    with ArrayArchive(path, "a readable model file (.npz)") as archive:
        return _read_model(path, archive)


def _shown(text: str) -> str:
    """A text as it may be shown on a terminal, whose cursor and colours a stranger's must not move."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def _read_model(path: Path, archive: ArrayArchive) -> MorphableModel:
    arrays = ModelArrays(path, archive, "the model")
    version = arrays.version("format_version")
    if version != FORMAT_VERSION:
        found = "no model format version" if version is None else f"model format version {version}"
        raise Face3DMMError(
            f"{path} has {found}, this package reads {FORMAT_VERSION}: "
            "build it again with face3dmm_ros/lab/default_model/build.py, or install a matching version of face3dmm_ros"
        )

    def basis(key: str) -> NDArray:
        steps, step = arrays.checked(f"{key}_int16", "i", 2), arrays.part(f"{key}_step", "f", 1)
        if steps.dtype.itemsize != 2 or steps.shape[1] != len(step):
            raise Face3DMMError(f"{path}: {key} is {steps.dtype} of shape {steps.shape}, with {len(step)} steps")
        numbers = archive.read(f"{key}_int16").astype(np.float32)
        numbers *= step
        return numbers

    # Before anything large is unpacked.
    components = max(arrays.checked(f"{kind}_sigma", "f", 1).shape[0] for kind in ("shape", "expression", "albedo"))
    vertices = arrays.checked("mean", "f", 2).shape[0]
    check_counts(str(path), vertices, arrays.checked("triangles", "i", 2).shape[0], components)
    with np.errstate(over="ignore", invalid="ignore"):  # of numbers beyond float32, which the model refuses
        return MorphableModel(
            name=_shown(str(arrays.part("name", "U", 0))),
            expression_names=tuple(str(name) for name in arrays.part("expression_names", "U", 1)),
            **{key: arrays.part(key, *form) for key, form in _PLAIN.items()},
            **{key: basis(key) for key in _BASES},
            landmarks=arrays.landmarks(),
            contours=arrays.contours(),
            regions=arrays.regions(vertices),
            # None in models whose expressions are independent.
            expression_correlation=(
                arrays.part("expression_correlation", "f", 2) if "expression_correlation" in archive.keys else None
            ),
        )

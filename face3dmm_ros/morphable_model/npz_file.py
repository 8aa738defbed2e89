"""The model's own file format: a compressed .npz whose bases are int16 with one step per component.

A file from a stranger can only fail to load, never run code: arrays are read with `allow_pickle=False`.
"""

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.errors import Face3DMMError
from face3dmm_ros.morphable_model.model import Contour, MorphableModel, SurfacePoints

FORMAT_VERSION = 1
_BASES = ("shape_basis", "expression_basis", "albedo_basis")
_PLAIN = (
    "mean",
    "triangles",
    "shape_sigma",
    "expression_sigma",
    "expression_bounds",
    "albedo_mean",
    "albedo_sigma",
)


def save_npz(model: MorphableModel, path: Path) -> None:
    """Write a model; the bases are rounded to int16, so a saved model's digest is that of its loaded copy."""
    arrays: dict[str, NDArray] = {
        "format_version": np.int32(FORMAT_VERSION),
        "name": np.str_(model.name),
        "expression_names": np.array(model.expression_names, dtype=np.str_),
    }
    for key in _PLAIN:
        arrays[key] = getattr(model, key)
    for key in _BASES:
        basis = getattr(model, key)
        step = np.maximum(np.abs(basis).max(axis=0, initial=0.0) / 32767.0, 1e-12).astype(np.float32)
        arrays[f"{key}_int16"] = np.round(basis / step).astype(np.int16)
        arrays[f"{key}_step"] = step
    for scheme, points in model.landmarks.items():
        arrays[f"landmarks/{scheme}/vertices"] = points.vertices
        arrays[f"landmarks/{scheme}/weights"] = points.weights
    for scheme, contour in model.contours.items():
        arrays[f"contours/{scheme}/landmarks"] = contour.landmarks
        arrays[f"contours/{scheme}/candidates"] = contour.candidates
    for region, mask in model.regions.items():
        arrays[f"regions/{region}"] = np.round(255 * mask).astype(np.uint8)
    np.savez_compressed(path, allow_pickle=False, **arrays)


def load_npz(path: Path) -> MorphableModel:
    """Read a model written by `save_npz`.

    Raises:
        Face3DMMError: not such a file, damaged, or of another format version.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise Face3DMMError(f"{path} is not a readable model file (.npz): {error}") from error
    version = int(arrays.get("format_version", -1))
    if version != FORMAT_VERSION:
        raise Face3DMMError(
            f"{path} has model format version {version}, this package reads {FORMAT_VERSION}: "
            "build it again with tools/build_default_model.py, or install a matching version of face3dmm_ros"
        )
    try:
        bases = {key: arrays[f"{key}_int16"].astype(np.float32) * arrays[f"{key}_step"] for key in _BASES}
        return MorphableModel(
            name=str(arrays["name"]),
            expression_names=tuple(str(name) for name in arrays["expression_names"]),
            landmarks={
                scheme: SurfacePoints(parts["vertices"], parts["weights"])
                for scheme, parts in _groups(arrays, "landmarks").items()
            },
            contours={
                scheme: Contour(parts["landmarks"], parts["candidates"])
                for scheme, parts in _groups(arrays, "contours").items()
            },
            regions={
                key.removeprefix("regions/"): mask.astype(np.float32) / 255.0
                for key, mask in arrays.items()
                if key.startswith("regions/")
            },
            **{key: arrays[key] for key in _PLAIN},
            **bases,
        )
    except (KeyError, AttributeError, IndexError, TypeError) as error:
        raise Face3DMMError(f"{path} lacks a part of the model, or it has the wrong form: {error}") from error


def _groups(arrays: dict[str, NDArray], prefix: str) -> dict[str, dict[str, NDArray]]:
    """Arrays named prefix/group/part as {group: {part: array}}."""
    groups: dict[str, dict[str, NDArray]] = {}
    for key, array in arrays.items():
        if key.startswith(f"{prefix}/"):
            _, group, part = key.split("/")
            groups.setdefault(group, {})[part] = array
    return groups

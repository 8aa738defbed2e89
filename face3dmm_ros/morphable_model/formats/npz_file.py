"""This package's file format of models: a compressed .npz whose bases are int16 with one step per component.

A file from a stranger can only fail to load, never run code: arrays are read with `allow_pickle=False`.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.files.array_archive import ArrayArchive, Form
from face3dmm_ros.morphable_model.model import MOST_TRIANGLES, Contour, MorphableModel, SurfacePoints, check_counts

FORMAT_VERSION = 1
_MOST_NAMES = 100
"""Of landmark schemes, contours or regions, by hand: our model has 11 at most."""
_MOST_NUMBERS = 3 * MOST_TRIANGLES
"""Of a part that is no basis: the largest are the triangles."""
_MOST_POINT_NUMBERS = 100_000
"""Of a landmark scheme's or a contour's part, by hand: the largest of ours has 1,434."""
_MOST_ITEM_BYTES = 800
"""Of one element, by hand: names of 200 characters."""
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


def save_npz(model: MorphableModel, file: Path | BinaryIO, *, compressed: bool = True) -> None:
    """Write a model; the bases are rounded to int16, so a saved model's digest is that of its loaded copy."""
    arrays: dict[str, Any] = {
        "format_version": np.int32(FORMAT_VERSION),
        "name": np.str_(model.name),
        "expression_names": np.array(model.expression_names, dtype=np.str_),
    }
    for key in _PLAIN:
        arrays[key] = getattr(model, key)
    if model.expression_correlation is not None:
        arrays["expression_correlation"] = model.expression_correlation
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
    (np.savez_compressed if compressed else np.savez)(file, **arrays)


def load(path: Path) -> MorphableModel:
    """Read a model written by `save_npz`.

    Raises:
        Face3DMMError: the file cannot be read, is no model, is damaged, too large, or has another format version.
    """
    with ArrayArchive(path, "a readable model file (.npz)") as archive:
        return _read_model(path, archive)


def _read_model(path: Path, archive: ArrayArchive) -> MorphableModel:
    form = archive.form("format_version")
    plain = form is not None and form.shape == () and form.dtype.kind in "iu"
    version = archive.read("format_version") if plain else None
    if version != FORMAT_VERSION:
        found = "no model format version" if version is None else f"model format version {version}"
        raise Face3DMMError(
            f"{path} has {found}, this package reads {FORMAT_VERSION}: "
            "build it again with face3dmm_ros/lab/default_model/build.py, or install a matching version of face3dmm_ros"
        )

    def checked(key: str, kind: str, dimensions: int) -> Form:
        """What an array of this kind (``f``, ``i`` or ``U``) and number of dimensions is, before it is read."""
        form = archive.form(key)
        if form is None:
            raise Face3DMMError(f"{path} lacks a part of the model: {key}")
        wrong = form.dtype.kind not in {"i": "iu"}.get(kind, kind) or len(form.shape) != dimensions
        if wrong or form.dtype.itemsize > _MOST_ITEM_BYTES:
            raise Face3DMMError(f"{path}: {key} has the wrong form: {form.dtype} of shape {form.shape}")
        return form

    def part(key: str, kind: str, dimensions: int, most: int = _MOST_NUMBERS) -> NDArray:
        """An array of at most so many numbers or names; numbers as float32 or int32."""
        shape = checked(key, kind, dimensions).shape
        if math.prod(shape) > most:
            raise Face3DMMError(f"{path}: {key} has shape {shape}; up to {most} numbers are read")
        array = archive.read(key)
        return array if kind == "U" else array.astype(np.float32 if kind == "f" else np.int32, copy=False)

    def basis(key: str) -> NDArray:
        steps, step = checked(f"{key}_int16", "i", 2), part(f"{key}_step", "f", 1)
        if steps.dtype.itemsize != 2 or steps.shape[1] != len(step):
            raise Face3DMMError(f"{path}: {key} is {steps.dtype} of shape {steps.shape}, with {len(step)} steps")
        numbers = archive.read(f"{key}_int16").astype(np.float32)
        numbers *= step
        return numbers

    # Before anything large is unpacked.
    components = max(checked(f"{kind}_sigma", "f", 1).shape[0] for kind in ("shape", "expression", "albedo"))
    vertices = checked("mean", "f", 2).shape[0]
    check_counts(str(path), vertices, checked("triangles", "i", 2).shape[0], components)
    names = {group: _names(path, archive.keys, group) for group in ("landmarks", "contours", "regions")}
    with np.errstate(over="ignore", invalid="ignore"):  # of numbers beyond float32, which the model refuses
        return MorphableModel(
            name=str(part("name", "U", 0)),
            expression_names=tuple(str(name) for name in part("expression_names", "U", 1)),
            **{key: part(key, *form) for key, form in _PLAIN.items()},
            **{key: basis(key) for key in _BASES},
            landmarks={name: _surface_points(path, name, part, key) for name, key in names["landmarks"].items()},
            contours={name: _contour(path, name, part, key) for name, key in names["contours"].items()},
            regions={
                name: part(key, "i", 1, vertices).astype(np.float32) / np.float32(255.0)
                for name, key in names["regions"].items()
            },
            # None in models whose expressions are independent.
            expression_correlation=(
                part("expression_correlation", "f", 2) if "expression_correlation" in archive.keys else None
            ),
        )


def _names(path: Path, keys: Sequence[str], group: str) -> dict[str, str]:
    """Names in a group of keys group/name or group/name/part, each with its group/name."""
    names = sorted({key.split("/")[1] for key in keys if key.startswith(f"{group}/")})
    if len(names) > _MOST_NAMES:
        raise Face3DMMError(f"{path} has {len(names)} {group}; a model may have {_MOST_NAMES}")
    return {name: f"{group}/{name}" for name in names}


def _surface_points(path: Path, name: str, part: Callable[..., NDArray], key: str) -> SurfacePoints:
    vertices = part(f"{key}/vertices", "i", 2, _MOST_POINT_NUMBERS)
    weights = part(f"{key}/weights", "f", 2, _MOST_POINT_NUMBERS)
    if vertices.shape != weights.shape or vertices.shape[1] != 3:
        raise Face3DMMError(f"{path}: landmarks {name} need (P, 3) vertices and as many weights")
    return SurfacePoints(vertices, weights)


def _contour(path: Path, name: str, part: Callable[..., NDArray], key: str) -> Contour:
    landmarks = part(f"{key}/landmarks", "i", 1, _MOST_POINT_NUMBERS)
    candidates = part(f"{key}/candidates", "i", 2, _MOST_POINT_NUMBERS)
    if len(landmarks) != len(candidates):
        raise Face3DMMError(f"{path}: contour {name} has {len(landmarks)} landmarks and {len(candidates)} paths")
    return Contour(landmarks, candidates)

"""This package's file format of models: a compressed .npz whose bases are int16 with one step per component.

A file from a stranger can only fail to load, never run code: arrays are read with `allow_pickle=False`.
"""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.regular_file import require_regular
from face3dmm_ros.morphable_model.model import Contour, MorphableModel, SurfacePoints

FORMAT_VERSION = 1
_MOST_BYTES = 2 << 30
"""Bytes that a file may unpack to, for a small archive may claim any size. By hand: far above any face model's."""
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


def save_npz(model: MorphableModel, path: Path) -> None:
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
    np.savez_compressed(path, **arrays)


def load_npz(path: Path) -> MorphableModel:
    """Read a model written by `save_npz`.

    Raises:
        Face3DMMError: the file cannot be read, is no model, is damaged, or has another format version.
    """
    arrays = _read_arrays(path)
    version = arrays.get("format_version")
    if version is None or version.shape != () or version.dtype.kind not in "iu" or version != FORMAT_VERSION:
        found = "no model format version" if version is None else f"model format version {version}"
        raise Face3DMMError(
            f"{path} has {found}, this package reads {FORMAT_VERSION}: "
            "build it again with face3dmm_ros/lab/default_model/build.py, or install a matching version of face3dmm_ros"
        )

    def part(key: str, kind: str, dimensions: int) -> NDArray:
        """An array of this kind (``f``, ``i`` or ``U``) and number of dimensions; numbers as float32 or int32."""
        array = arrays.get(key)
        if array is None:
            raise Face3DMMError(f"{path} lacks a part of the model: {key}")
        if array.dtype.kind not in {"i": "iu"}.get(kind, kind) or array.ndim != dimensions:
            raise Face3DMMError(f"{path}: {key} has the wrong form: {array.dtype} of shape {array.shape}")
        return array if kind == "U" else array.astype(np.float32 if kind == "f" else np.int32, copy=False)

    def basis(key: str) -> NDArray:
        steps, step = part(f"{key}_int16", "i", 2), part(f"{key}_step", "f", 1)
        if steps.shape[1] != len(step):
            raise Face3DMMError(f"{path}: {key} has {steps.shape[1]} components, but steps for {len(step)}")
        return steps.astype(np.float32) * step

    return MorphableModel(
        name=str(part("name", "U", 0)),
        expression_names=tuple(str(name) for name in part("expression_names", "U", 1)),
        **{key: part(key, *form) for key, form in _PLAIN.items()},
        **{key: basis(key) for key in _BASES},
        landmarks={
            name: _surface_points(path, name, part(f"{key}/vertices", "i", 2), part(f"{key}/weights", "f", 2))
            for name, key in _names(arrays, "landmarks").items()
        },
        contours={
            name: _contour(path, name, part(f"{key}/landmarks", "i", 1), part(f"{key}/candidates", "i", 2))
            for name, key in _names(arrays, "contours").items()
        },
        regions={
            name: part(key, "i", 1).astype(np.float32) / np.float32(255.0)
            for name, key in _names(arrays, "regions").items()
        },
        # None in models whose expressions are independent.
        expression_correlation=part("expression_correlation", "f", 2) if "expression_correlation" in arrays else None,
    )


def _read_arrays(path: Path) -> dict[str, NDArray]:
    require_regular(path, _MOST_BYTES)
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("it is not an archive of arrays, or cut short")
        with np.load(path, allow_pickle=False) as archive:
            size = sum(entry.file_size for entry in archive.zip.infolist())
            if size > _MOST_BYTES:
                raise ValueError(f"it would unpack to {size} bytes, more than the {_MOST_BYTES} that are accepted")
            return {key: archive[key] for key in archive.files}
    except (
        OSError, ValueError, EOFError, KeyError, SyntaxError, AttributeError, TypeError, RuntimeError, MemoryError,
        zipfile.BadZipFile, zlib.error,
    ) as error:  # fmt: skip
        raise Face3DMMError(f"{path} is not a readable model file (.npz): {error}") from error


def _names(arrays: dict[str, NDArray], group: str) -> dict[str, str]:
    """Names in a group of keys group/name or group/name/part, each with its group/name."""
    names = (key.split("/")[1] for key in arrays if key.startswith(f"{group}/"))
    return {name: f"{group}/{name}" for name in sorted(set(names))}


def _surface_points(path: Path, name: str, vertices: NDArray[np.int32], weights: NDArray[np.float32]) -> SurfacePoints:
    if vertices.shape != weights.shape or vertices.shape[1] != 3 or not np.isfinite(weights).all():
        raise Face3DMMError(f"{path}: landmarks {name} need (P, 3) vertices and as many finite weights")
    return SurfacePoints(vertices, weights)


def _contour(path: Path, name: str, landmarks: NDArray[np.int32], candidates: NDArray[np.int32]) -> Contour:
    if len(landmarks) != len(candidates) or landmarks.min(initial=0) < 0:
        raise Face3DMMError(f"{path}: contour {name} has {len(landmarks)} landmarks and {len(candidates)} paths")
    return Contour(landmarks, candidates)

"""Parts of models as arrays of an .npz: checked first, and landmarks, outlines and regions among them."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.files.array_archive import ArrayArchive, Form
from face3dmm_ros.morphable_model.model import MOST_TRIANGLES, Contour, SurfacePoints

_MOST_NAMES = 100
"""Of landmark schemes, contours or regions, by hand: our model has 11 at most."""
_MOST_NUMBERS = 3 * MOST_TRIANGLES
"""Of a part that is no basis: the largest are the triangles."""
_MOST_POINT_NUMBERS = 100_000
"""Of a landmark scheme's or a contour's part, by hand: the largest of ours has 1,434."""
MOST_ITEM_BYTES = 800
"""Of one element, by hand: names of 200 characters."""


def named_arrays(
    landmarks: Mapping[str, SurfacePoints],
    contours: Mapping[str, Contour],
    regions: Mapping[str, NDArray[np.float32]],
) -> dict[str, NDArray]:
    """What `ModelArrays` reads, by key; regions are rounded to bytes."""
    arrays: dict[str, NDArray] = {}
    for scheme, points in landmarks.items():
        arrays[f"landmarks/{scheme}/vertices"] = points.vertices
        arrays[f"landmarks/{scheme}/weights"] = points.weights
    for scheme, contour in contours.items():
        arrays[f"contours/{scheme}/landmarks"] = contour.landmarks
        arrays[f"contours/{scheme}/candidates"] = contour.candidates
    for region, mask in regions.items():
        arrays[f"regions/{region}"] = np.round(255 * mask).astype(np.uint8)
    return arrays


class ModelArrays:
    """An open archive that holds parts of a model; every method raises Face3DMMError where they are not as they say."""

    def __init__(self, path: Path, archive: ArrayArchive, what: str) -> None:
        """`what` the file is, for errors: "the model"."""
        self._path, self._archive, self._what = path, archive, what

    def checked(self, key: str, kind: str, dimensions: int) -> Form:
        """What an array of this kind (``f``, ``i`` or ``U``) and number of dimensions is, before it is read."""
        form = self._archive.form(key)
        if form is None:
            raise Face3DMMError(f"{self._path} lacks a part of {self._what}: {key}")
        wrong = form.dtype.kind not in {"i": "iu"}.get(kind, kind) or len(form.shape) != dimensions
        if wrong or form.dtype.itemsize > MOST_ITEM_BYTES:
            raise Face3DMMError(f"{self._path}: {key} has the wrong form: {form.dtype} of shape {form.shape}")
        return form

    def part(self, key: str, kind: str, dimensions: int, most: int = _MOST_NUMBERS) -> NDArray:
        """An array of at most so many numbers or names; numbers as float32 or int32."""
        shape = self.checked(key, kind, dimensions).shape
        if math.prod(shape) > most:
            raise Face3DMMError(f"{self._path}: {key} has shape {shape}; up to {most} numbers are read")
        array = self._archive.read(key)
        return array if kind == "U" else array.astype(np.float32 if kind == "f" else np.int32, copy=False)

    def version(self, key: str) -> object:
        """A file's version, or None where there is no plain number."""
        form = self._archive.form(key)
        plain = form is not None and form.shape == () and form.dtype.kind in "iu"
        return self._archive.read(key) if plain else None

    def landmarks(self) -> dict[str, SurfacePoints]:
        """The landmark schemes."""
        found = {}
        for name, key in self._names("landmarks").items():
            vertices = self.part(f"{key}/vertices", "i", 2, _MOST_POINT_NUMBERS)
            weights = self.part(f"{key}/weights", "f", 2, _MOST_POINT_NUMBERS)
            if vertices.shape != weights.shape or vertices.shape[1] != 3:
                raise Face3DMMError(f"{self._path}: landmarks {name} need (P, 3) vertices and as many weights")
            found[name] = SurfacePoints(vertices, weights)
        return found

    def contours(self) -> dict[str, Contour]:
        """The outlines, by scheme."""
        found = {}
        for name, key in self._names("contours").items():
            landmarks = self.part(f"{key}/landmarks", "i", 1, _MOST_POINT_NUMBERS)
            candidates = self.part(f"{key}/candidates", "i", 2, _MOST_POINT_NUMBERS)
            if len(landmarks) != len(candidates):
                raise Face3DMMError(
                    f"{self._path}: contour {name} has {len(landmarks)} landmarks and {len(candidates)} paths"
                )
            found[name] = Contour(landmarks, candidates)
        return found

    def regions(self, vertices: int) -> dict[str, NDArray[np.float32]]:
        """The masks, of at most so many vertices."""
        return {
            name: self.part(key, "i", 1, vertices).astype(np.float32) / np.float32(255.0)
            for name, key in self._names("regions").items()
        }

    def _names(self, group: str) -> dict[str, str]:
        """Names in a group of keys group/name or group/name/part, each with its group/name."""
        names = sorted({key.split("/")[1] for key in self._archive.keys if key.startswith(f"{group}/")})
        if len(names) > _MOST_NAMES:
            raise Face3DMMError(f"{self._path} has {len(names)} {group}; a model may have {_MOST_NAMES}")
        return {name: f"{group}/{name}" for name in names}

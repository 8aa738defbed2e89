"""Faces with their truth on disk, in chunks: made once, at any pace, and read quickly by many processes.

A chunk is a pair of files: NAME.jpegs holds encoded pictures one after the other, NAME.npz how long each is and what is
true of it. The second appears last and whole, so that a run killed at any moment leaves nothing half-written behind.
"""

import fcntl
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol
from zipfile import BadZipFile

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.files.picture_decoding import decode_picture
from face3dmm_ros.files.whole_file import whole_file
from face3dmm_ros.landmarks.region import Region
from face3dmm_ros.morphable_model import MorphableModel, SurfacePoints
from face3dmm_ros.regressor.crops import IBUG68_MIRROR, CropView, face_region

VERSION = 2
_JPEG_QUALITY = 93
_SURROUNDINGS = 1.7  # side of what is kept around a face, in sides of its crop
_SMALLEST, _LARGEST = 32, 224  # px
_SHAPES: dict[str, tuple[int | None, ...]] = {
    "lengths": (),
    "scale": (),
    "rotation": (3, 3),
    "translation": (2,),
    "alpha": (None,),
    "beta": (None,),
    "gamma": (None,),
    "albedo_known": (),
    "landmarks": (68, 2),
    "labelled": (),
}
"""The arrays of a chunk, and what of their shapes comes after the faces; None for any."""
_TYPES = {"lengths": np.int64, "albedo_known": np.bool_, "labelled": np.bool_}
"""Those that are not float32."""


@dataclass(frozen=True, eq=False)
class FaceRecord:
    """A picture of a face and its truth in pixels of the picture.

    Attributes:
        picture: (H, W, 3) uint8 BGR.
        camera: s, R, t.
        alpha: (K,) identity coefficients of the model.
        beta: (E,) expression coefficients of the model.
        gamma: (L,) albedo coefficients of the model; empty where they are not known.
        landmarks: (68, 2) iBUG's points, px.
        labelled: False where the landmarks alone are known; camera, α, β and γ then mean nothing.
    """

    picture: NDArray[np.uint8]
    camera: WeakPerspective
    alpha: NDArray[np.floating]
    beta: NDArray[np.floating]
    gamma: NDArray[np.floating]
    landmarks: NDArray[np.floating]
    labelled: bool = True

    def points(self, model: MorphableModel, surface: SurfacePoints) -> NDArray[np.float64]:
        """Where points of the model's surface lie in the picture, (P, 2) px, in weak perspective."""
        return self.camera.project(surface.interpolate(model.vertices(self.alpha, self.beta)))

    def surroundings(self) -> "FaceRecord":
        """The same face in an upright part of the picture that holds any crop of it, made small where it was large."""
        region = face_region(self.landmarks)
        around = Region(region.x, region.y, _SURROUNDINGS * region.size)
        view = CropView(around, int(np.clip(around.size, _SMALLEST, _LARGEST)))
        return replace(
            self,
            picture=view.pixels(self.picture),
            camera=view.camera(self.camera),
            landmarks=view.points(self.landmarks, IBUG68_MIRROR),
        )


class FaceSource(Protocol):
    """Faces by their number."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def record(self, index: int) -> FaceRecord:
        """One of them."""
        ...


class FaceChunks:
    """The faces of some chunks, one after the other: a `FaceSource` whose pictures stay on disk until asked for."""

    def __init__(self, paths: Sequence[Path], model_digest: str) -> None:
        """Read the truths.

        Args:
            paths: of the chunks, NAME.npz.
            model_digest: of the model whose coefficients they must hold.

        Raises:
            Face3DMMError: a chunk that is missing, damaged, of another version or of another model.
        """
        chunks = [_read_truths(path, model_digest) for path in paths]
        if not sum(len(chunk["lengths"]) for chunk in chunks):
            where = paths[0].parent if paths else "no folder"
            raise Face3DMMError(f"the {len(paths)} chunks in {where} hold no face: the pictures they are of show none")
        self._truths = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in _SHAPES}
        self._blobs = [path.with_suffix(".jpegs") for path in paths]
        self._blob = np.repeat(np.arange(len(paths)), [len(chunk["lengths"]) for chunk in chunks])
        ends = [np.cumsum(chunk["lengths"]) for chunk in chunks]
        self._start = np.concatenate(ends) - self._truths["lengths"]
        for path, end in zip(self._blobs, ends, strict=True):
            size = path.stat().st_size if path.is_file() else 0
            if len(end) and size != end[-1]:
                raise Face3DMMError(f"{path} has {size} bytes, expected {end[-1]}: remove {path.stem}.npz to remake it")

    def __len__(self) -> int:
        """How many faces there are."""
        return len(self._start)

    @property
    def albedo_known(self) -> NDArray[np.bool_]:
        """(faces,) whether a face's γ is known."""
        return self._truths["albedo_known"]

    def record(self, index: int) -> FaceRecord:
        """A face.

        Raises:
            Face3DMMError: its picture has become unreadable.
        """
        path = self._blobs[self._blob[index]]
        with path.open("rb") as file:
            file.seek(int(self._start[index]))
            encoded = file.read(int(self._truths["lengths"][index]))
        try:
            picture = decode_picture(encoded, str(path))
        except Face3DMMError as error:
            raise Face3DMMError(f"{path} is damaged: remove {path.stem}.npz to remake it") from error
        truth = {name: values[index] for name, values in self._truths.items()}
        return FaceRecord(
            picture=picture,
            camera=WeakPerspective(
                float(truth["scale"]), truth["rotation"].astype(np.float64), truth["translation"].astype(np.float64)
            ),
            alpha=truth["alpha"],
            beta=truth["beta"],
            gamma=truth["gamma"] if truth["albedo_known"] else truth["gamma"][:0],
            landmarks=truth["landmarks"],
            labelled=bool(truth["labelled"]),
        )


def write_chunk(
    path: Path, records: Iterable[FaceRecord], coefficients: tuple[int, int, int], model_digest: str
) -> None:
    """Write a chunk, NAME.npz and NAME.jpegs.

    Args:
        path: NAME.npz.
        records: in their order; may be none.
        coefficients: K, E and L, of α, β and γ.
        model_digest: of the model that these belong to.

    Raises:
        Face3DMMError: it cannot be written.
    """
    counts = dict(zip(("alpha", "beta", "gamma"), coefficients, strict=True))
    truths: dict[str, list] = {name: [] for name in _SHAPES}
    with whole_file(path.with_suffix(".jpegs")) as unfinished, unfinished.open("wb") as file:
        for record in records:
            encoded = cv2.imencode(".jpg", record.picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
            file.write(encoded.tobytes())
            truths["lengths"].append(len(encoded))
            for name in ("scale", "rotation", "translation"):
                truths[name].append(getattr(record.camera, name))
            for name in ("alpha", "beta", "landmarks", "labelled"):
                truths[name].append(getattr(record, name))
            known = len(record.gamma) > 0
            truths["albedo_known"].append(known)
            truths["gamma"].append(record.gamma if known else np.zeros(counts["gamma"]))
    n = len(truths["lengths"])
    arrays: dict[str, Any] = {"version": VERSION, "model_digest": model_digest}
    for (name, values), rest in zip(truths.items(), _SHAPES.values(), strict=True):
        shape = (n, counts[name]) if name in counts else (n, *rest)
        arrays[name] = np.array(values, _TYPES.get(name, np.float32)).reshape(shape)
    with whole_file(path) as unfinished, unfinished.open("wb") as file:
        np.savez(file, **arrays)


def make_missing(folder: Path, names: Sequence[str], make: Callable[[Sequence[Path]], None]) -> list[Path]:
    """The chunks of those names in a folder, after those that are not there yet were made.

    Several processes may ask for the same at once, as all do in a training on several devices: one makes them, the
    others wait.

    Args:
        folder: made if missing.
        names: of the chunks.
        make: makes the chunks at the paths that it is given.

    Raises:
        Face3DMMError: the folder cannot be written to.
    """
    paths = [folder / f"{name}.npz" for name in names]
    if all(path.is_file() for path in paths):
        return paths
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".making").open("w") as lock:
            # The lock goes with the process that holds it, however that ends.
            fcntl.flock(lock, fcntl.LOCK_EX)
            for leftover in (*folder.glob(".*.jpegs.*"), *folder.glob(".*.npz.*")):
                leftover.unlink(missing_ok=True)
            missing = [path for path in paths if not path.is_file()]
            if missing:
                make(missing)
    except OSError as error:
        raise Face3DMMError(f"{folder} cannot be written to: {error}") from error
    return paths


def _read_truths(path: Path, model_digest: str) -> dict[str, NDArray]:
    """The arrays of a chunk.

    Raises:
        Face3DMMError: as `FaceChunks`.
    """
    remedy = "remove it, and it is made anew"
    try:
        with np.load(path, allow_pickle=False) as file:
            version, digest = int(file["version"]), str(file["model_digest"])
            if version != VERSION:
                raise Face3DMMError(f"{path} is a chunk of version {version}, expected {VERSION}: {remedy}")
            if digest != model_digest:
                raise Face3DMMError(
                    f"{path} was made with another model ({digest[:12]}…, expected {model_digest[:12]}…): choose "
                    "another folder for this model"
                )
            arrays = {name: file[name] for name in _SHAPES}
    except Face3DMMError:
        raise
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise Face3DMMError(f"{path} is missing or no chunk of faces ({error}): {remedy}") from error
    n = len(arrays["scale"]) if arrays["scale"].ndim == 1 else -1
    for name, rest in _SHAPES.items():
        shape = arrays[name].shape
        if len(shape) != 1 + len(rest) or any(
            expected not in (None, found) for expected, found in zip((n, *rest), shape, strict=True)
        ):
            raise Face3DMMError(f"{path}: {name} has shape {shape}, expected {(n, *rest)}: {remedy}")
        if arrays[name].dtype.kind == "f" and not np.isfinite(arrays[name]).all():
            raise Face3DMMError(f"{path}: {name} holds values that are not finite: {remedy}")
    return arrays

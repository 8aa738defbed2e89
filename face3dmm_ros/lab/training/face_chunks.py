"""Faces with their truth on disk, in chunks: made once, at any pace, and read quickly by many processes.

A chunk is a pair of files: NAME.jpegs holds encoded pictures one after the other, NAME.npz how long each is and what is
true of it. The second appears last and whole, so that a run killed at any moment leaves nothing half-written behind.
"""

import fcntl
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

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

VERSION = 3
# Chosen by hand: what a network learns from against the size of the files.
_JPEG_QUALITY = 93
_SURROUNDINGS = 1.7  # side of what is kept around a face, in sides of its crop
_SMALLEST, _LARGEST = 32, 224  # px


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
        labelled: False if only the landmarks are known; camera, α, β and γ are then to be ignored.
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

    def record(self, index: int) -> FaceRecord:
        """One of them."""


class FaceChunks:
    """The faces of some chunks, one after the other: a `FaceSource` whose pictures stay on disk until asked for."""

    def __init__(self, paths: Sequence[Path], model: MorphableModel) -> None:
        """Read the truths.

        Args:
            paths: of the chunks, NAME.npz.
            model: whose coefficients they must hold.

        Raises:
            Face3DMMError: a chunk that is missing, damaged, of another version or of another model.
        """
        chunks = [_read_truths(path, model) for path in paths]
        if not sum(map(len, chunks)):
            where = paths[0].parent if paths else "no folder"
            raise Face3DMMError(f"the {len(paths)} chunks in {where} hold no face: the pictures they are of show none")
        self._truths = np.concatenate(chunks)
        self._blobs = [path.with_suffix(".jpegs") for path in paths]
        self._blob = np.repeat(np.arange(len(paths)), [len(chunk) for chunk in chunks])
        ends = [np.cumsum(chunk["length"]) for chunk in chunks]
        self._start = np.concatenate(ends) - self._truths["length"]
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
            Face3DMMError: the face's picture can no longer be read.
        """
        path, truth = self._blobs[self._blob[index]], self._truths[index]
        with path.open("rb") as file:
            file.seek(int(self._start[index]))
            encoded = file.read(int(truth["length"]))
        try:
            picture = decode_picture(encoded, str(path))
        except Face3DMMError as error:
            raise Face3DMMError(f"{path} is damaged: remove {path.stem}.npz to remake it") from error
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


def write_chunk(path: Path, records: Iterable[FaceRecord], model: MorphableModel) -> None:
    """Write a chunk, NAME.npz and NAME.jpegs.

    Args:
        path: NAME.npz.
        records: in their order; may be none.
        model: of all their coefficients.

    Raises:
        Face3DMMError: the chunk cannot be written.
    """
    truths = []
    unknown = np.zeros(len(model.albedo_sigma))
    with whole_file(path.with_suffix(".jpegs")) as unfinished, unfinished.open("wb") as file:
        for record in records:
            encoded = cv2.imencode(".jpg", record.picture, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
            file.write(encoded.tobytes())
            camera, known = record.camera, len(record.gamma) > 0
            coefficients = record.alpha, record.beta, record.gamma if known else unknown, known
            pose = camera.scale, camera.rotation, camera.translation
            truths.append((len(encoded), *pose, *coefficients, record.landmarks, record.labelled))
    with whole_file(path) as unfinished, unfinished.open("wb") as file:
        np.savez(file, version=VERSION, model_digest=model.digest, truths=np.array(truths, _truth_of(model)))


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


def _truth_of(model: MorphableModel) -> np.dtype:
    """What is kept of a face beside its picture, whose length in bytes comes first."""
    return np.dtype(
        [
            ("length", np.int64),
            ("scale", np.float32),
            ("rotation", np.float32, (3, 3)),
            ("translation", np.float32, (2,)),
            ("alpha", np.float32, (model.shape_count,)),
            ("beta", np.float32, (model.expression_count,)),
            ("gamma", np.float32, (len(model.albedo_sigma),)),
            ("albedo_known", np.bool_),
            ("landmarks", np.float32, (68, 2)),
            ("labelled", np.bool_),
        ]
    )


def _read_truths(path: Path, model: MorphableModel) -> NDArray[np.void]:
    """The truths of a chunk, a row of `_truth_of` each.

    Raises:
        Face3DMMError: the chunk is missing, damaged, of another version or of another model.
    """
    remedy = "remove it, and it is made anew"
    try:
        with np.load(path, allow_pickle=False) as file:
            version, digest = int(file["version"]), str(file["model_digest"])
            truths: NDArray[np.void] = file["truths"]
    # A damaged file can make the parsers fail in any way; they build arrays only and run nothing.
    except Exception as error:
        raise Face3DMMError(f"{path} is missing or no chunk of faces ({error}): {remedy}") from error
    if version != VERSION:
        raise Face3DMMError(f"{path} is a chunk of version {version}, expected {VERSION}: {remedy}")
    if digest != model.digest:
        raise Face3DMMError(
            f"{path} was made with another model ({digest[:12]}…, expected {model.digest[:12]}…): choose another "
            "folder for this model"
        )
    if truths.dtype != _truth_of(model) or truths.ndim != 1:
        raise Face3DMMError(f"{path}: its truths are of another kind than this version's: {remedy}")
    for name in truths.dtype.names or ():
        if not np.isfinite(truths[name]).all():
            raise Face3DMMError(f"{path}: {name} holds values that are not finite: {remedy}")
    return truths

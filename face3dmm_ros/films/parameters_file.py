"""A film's parameters as one archive of arrays, from which everything else can be made again."""

from io import BytesIO
from pathlib import Path

import numpy as np

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.values import FaceParameters
from face3dmm_ros.files.array_archive import ArrayArchive
from face3dmm_ros.files.whole_file import write_whole
from face3dmm_ros.films.tracks import FaceTrack, TrackedFilm
from face3dmm_ros.morphable_model.model import MorphableModel

VERSION = 1
_MOST_BYTES = 4_000_000_000
"""Of a file, chosen by hand: a day of one face at 30 images a second."""
_EACH = ("scale", "rotation", "translation", "beta", "beta_deviation", "gaze", "residual_px", "confidence")


def write_parameters(path: Path, film: TrackedFilm, model: MorphableModel) -> None:
    """Write all of a tracked film; docs/file_formats.md lists the arrays.

    Raises:
        Face3DMMError: it cannot be written.
    """
    faces = [face for track in film.tracks for face in track.parameters]
    content = BytesIO()
    np.savez_compressed(
        content,
        version=np.array(VERSION),
        name=np.array(film.name),
        times=film.times,
        image_size=np.array(film.image_size),
        model=np.array(model.name),
        model_digest=np.array(model.digest),
        expression_names=np.array(model.expression_names),
        face_ids=np.array([track.face_id for track in film.tracks], np.int64),
        alpha=np.array([track.parameters[0].alpha for track in film.tracks]),
        gamma=np.array([track.parameters[0].gamma for track in film.tracks]),
        frame=np.concatenate([np.zeros(0, np.int32), *(track.frames for track in film.tracks)]),
        face_id=np.array([track.face_id for track in film.tracks for _ in track.frames], np.int64),
        scale=np.array([face.camera.scale for face in faces]),
        rotation=np.array([face.camera.rotation for face in faces]),
        translation=np.array([face.camera.translation for face in faces]),
        beta=np.array([face.beta for face in faces], np.float32),
        beta_deviation=np.array([face.beta_deviation for face in faces], np.float32),
        gaze=np.array([face.gaze for face in faces], np.float32),
        residual_px=np.array([face.residual_px for face in faces]),
        confidence=np.array([face.confidence for face in faces]),
    )
    write_whole(path, content.getvalue())


def read_parameters(path: Path) -> TrackedFilm:
    """Read what `write_parameters` wrote.

    Raises:
        Face3DMMError: it cannot be read, or is no such file.
    """
    with ArrayArchive(path, "a film's parameters", _MOST_BYTES) as archive:
        arrays = {key: archive.read(key) for key in archive.keys}
    try:
        if int(arrays["version"]) != VERSION:
            raise Face3DMMError(f"{path} has version {arrays['version']} of its format; version {VERSION} is read")
        size = arrays["image_size"]
        image_size = (int(size[0]), int(size[1]))
        tracks = []
        for place, face_id in enumerate(arrays["face_ids"].tolist()):
            rows = np.flatnonzero(arrays["face_id"] == face_id)
            faces = [
                FaceParameters(
                    camera=WeakPerspective(float(scale), rotation, translation),
                    alpha=arrays["alpha"][place],
                    beta=beta.astype(np.float64),
                    model=str(arrays["model"]),
                    model_digest=str(arrays["model_digest"]),
                    method="joint",
                    residual_px=float(residual),
                    confidence=float(confidence),
                    image_size=image_size,
                    gamma=arrays["gamma"][place],
                    gaze=gaze.astype(np.float64),
                    beta_deviation=deviation.astype(np.float64),
                )
                for scale, rotation, translation, beta, deviation, gaze, residual, confidence in zip(
                    *(arrays[name][rows] for name in _EACH), strict=True
                )
            ]
            tracks.append(FaceTrack(int(face_id), arrays["frame"][rows].astype(np.int32), faces))
        return TrackedFilm(str(arrays["name"]), arrays["times"].astype(np.float64), image_size, tracks)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise Face3DMMError(f"{path} does not hold a film's parameters: {error}") from error

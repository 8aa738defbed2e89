"""A page about a tracked film: curves, how sure they are, and where to look again."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.avatar.weights.retargeting import BlendshapeWeights
from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.core.rotations import pose_angles
from face3dmm_ros.evaluation.report import Report, new_plots
from face3dmm_ros.films.tracks import FaceTrack, TrackedFilm

DOUBTFUL = 0.5
"""Confidence below which a face is to be looked at again; as a tracker takes a face for lost."""
MOST_PICTURES = 8
"""Of images to look at again; chosen by hand."""
_SHORTEST_GAP_S = 0.1
_THUMBNAIL = 240
_SHOWN = {
    "eyes and brows": ("eyeBlinkLeft", "eyeBlinkRight", "browInnerUp", "browDownLeft", "browDownRight"),
    "mouth": ("jawOpen", "mouthSmileLeft", "mouthSmileRight", "mouthPucker", "mouthFunnel"),
}
"""Of the 52 weights those that most people look for; all are in weights.csv."""


def doubtful_frames(film: TrackedFilm) -> list[int]:
    """The images to look at again: the least sure of each stretch in which a face is doubtful, the worst first."""
    worst: list[tuple[float, int]] = []
    for track in film.tracks:
        rows = zip(track.frames.tolist(), track.confidence.tolist(), strict=True)
        for doubtful, stretch in groupby(rows, key=lambda row: row[1] < DOUBTFUL):
            if doubtful:
                worst.append(min((confidence, frame) for frame, confidence in stretch))
    return [frame for _, frame in sorted(worst)[:MOST_PICTURES]]


def gaps(film: TrackedFilm, track: FaceTrack) -> list[tuple[float, float]]:
    """The times (from, to), s, between a face's first and last image in which it was not found."""
    missing = np.flatnonzero(np.diff(track.frames) > 1)
    spans = [(film.times[track.frames[k] + 1], film.times[track.frames[k + 1]]) for k in missing]
    return [(float(begin), float(end)) for begin, end in spans if end - begin >= _SHORTEST_GAP_S]


def write_report(
    path: Path,
    film: TrackedFilm,
    retargeting: BlendshapeWeights,
    pictures: dict[int, NDArray[np.uint8]],
    notices: Sequence[str] = (),
) -> None:
    """Write the page.

    Args:
        path: of the HTML file.
        film: tracked.
        retargeting: from its model.
        pictures: images of `doubtful_frames`, BGR, by their indices.
        notices: what the user should know.

    Raises:
        Face3DMMError: the file cannot be written, or the faces are of another model.
    """
    length = float(film.times[-1]) + 1.0 / film.rate if len(film.times) else 0.0
    report = Report(
        f"Faces in {film.name}",
        f"{len(film.times)} images in {length:.1f} s, {film.image_size[0]}×{film.image_size[1]} px",
    )
    for notice in notices:
        report.text(notice)
    if not film.tracks:
        report.text("No face was found.")
    headers = ["face", "from, s", "to, s", "images", "found, %", "confidence, median", "gaps"]
    rows: list[list[str | float]] = []
    for track in film.tracks:
        first, last = int(track.frames[0]), int(track.frames[-1])
        span = film.times[[first, last]].tolist()
        share = 100.0 * len(track.frames) / (last - first + 1)
        median = float(np.median(track.confidence))
        rows.append([track.face_id, *span, len(track.frames), share, median, len(gaps(film, track))])
    if rows:
        report.table(headers, rows)
    for track in film.tracks:
        _add_track(report, film, track, retargeting)
    if pictures:
        report.heading("Where to look again")
        report.text(f"The least sure image of each stretch with a confidence below {DOUBTFUL}.")
        for frame, image in sorted(pictures.items()):
            scale = _THUMBNAIL / max(image.shape[:2])
            small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            report.picture(np.asarray(small, np.uint8), f"image {frame}, {film.times[frame]:.2f} s")
    report.write(path)


def _add_track(report: Report, film: TrackedFilm, track: FaceTrack, retargeting: BlendshapeWeights) -> None:
    report.heading(f"Face {track.face_id}")
    times = film.times[track.frames]
    # Lines are not drawn over gaps.
    breaks = np.flatnonzero(np.diff(track.frames) > 1) + 1
    weights = np.array([retargeting.of(face) for face in track.parameters])
    angles = np.degrees([pose_angles(face.camera.rotation) for face in track.parameters])
    curves = {
        "head, degrees": dict(zip(("pitch", "yaw", "roll"), angles.T, strict=True)),
        **{what: {name: weights[:, ARKIT_NAMES.index(name)] for name in names} for what, names in _SHOWN.items()},
        "confidence": {"confidence": track.confidence},
    }
    figure, stacked = new_plots(len(curves), 9.0, 2.2)
    for axes, (what, lines) in zip(stacked, curves.items(), strict=True):
        for name, values in lines.items():
            axes.plot(np.insert(times, breaks, np.nan), np.insert(values, breaks, np.nan), label=name, linewidth=1.0)
        axes.set_ylabel(what)
        axes.margins(x=0.0)
        if what != "head, degrees":
            axes.set_ylim(0.0, 1.0)
        if len(lines) > 1:
            axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=len(lines), fontsize="small", frameon=False)
    stacked[-1].set_xlabel("s")
    report.plot(figure)
    if found := gaps(film, track):
        report.table(["not found from, s", "to, s"], [[begin, end] for begin, end in found])

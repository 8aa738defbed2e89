"""Tracks as tables for other programs: every number by name, and what Epic's Live Link Face app records."""

import csv
import math
from io import StringIO
from pathlib import Path

import numpy as np

from face3dmm_ros.avatar.network.head_rotation import head_angles
from face3dmm_ros.avatar.network.live_link_face import LIVE_LINK_NAMES
from face3dmm_ros.avatar.weights.retargeting import BlendshapeWeights
from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.core.rotations import pose_angles
from face3dmm_ros.files.whole_file import write_whole
from face3dmm_ros.films.tracks import FaceTrack, TrackedFilm

_PLACES = [ARKIT_NAMES.index(name) for name in LIVE_LINK_NAMES]
_ANGLES = tuple(f"{part}{angle}" for part in ("Head", "LeftEye", "RightEye") for angle in ("Yaw", "Pitch", "Roll"))
_DAY_S = 86400


def write_weights(path: Path, film: TrackedFilm, retargeting: BlendshapeWeights) -> None:
    """Write a row for every face in every image: when, where it looks, how sure it is, and ARKit's 52 weights.

    Angles are degrees as `pose_angles` has them; gaze is a unit vector in the camera's axes.

    Raises:
        Face3DMMError: the file cannot be written, or the faces are of another model.
    """
    rows = []
    for track in film.tracks:
        for frame, face in zip(track.frames.tolist(), track.parameters, strict=True):
            pitch, yaw, roll = np.degrees(pose_angles(face.camera.rotation))
            gaze = face.gaze[2] if len(face.gaze) else np.full(3, np.nan)
            numbers = (face.confidence, yaw, pitch, roll, *gaze, *retargeting.of(face))
            rows.append([frame, f"{film.times[frame]:.6f}", track.face_id, *map(_short, numbers)])
    rows.sort(key=lambda row: (row[0], row[2]))
    head = ["frame", "time_s", "face_id", "confidence", "yaw_deg", "pitch_deg", "roll_deg"]
    _write(path, [*head, "gaze_x", "gaze_y", "gaze_z", *ARKIT_NAMES], rows)


def write_live_link(path: Path, film: TrackedFilm, track: FaceTrack, retargeting: BlendshapeWeights) -> None:
    """Write a face as the table that the Live Link Face app records, which Unreal and others import.

    Its columns: Timecode (HH:MM:SS:FF.mmm, images of the film's rate and thousandths of one), BlendShapeCount (61),
    ARKit's 52 in the app's order and spelling, then yaw, pitch and roll of head and eyes, radians with the signs of
    `head_angles`. Where the eyes look is in their weights, as in what the app sends; images without the face have no
    row.

    Raises:
        Face3DMMError: the file cannot be written, or the face is of another model.
    """
    names = [name[0].upper() + name[1:] for name in LIVE_LINK_NAMES]
    rows = []
    for frame, face in zip(track.frames.tolist(), track.parameters, strict=True):
        values = (*retargeting.of(face)[_PLACES], *head_angles(face.camera.rotation), *(0.0,) * 6)
        rows.append([timecode(float(film.times[frame]), film.rate), len(values), *map(_short, values)])
    _write(path, ["Timecode", "BlendShapeCount", *names, *_ANGLES], rows)


def timecode(time: float, rate: float) -> str:
    """A time, s, as HH:MM:SS:FF.mmm at a number of images per second; 24 h are 0 again."""
    seconds, part = divmod(round(time * 1e6), 1_000_000)
    # Not beyond the last image of a second, where rates such as 29.97 would have a part of one more.
    last = 1000 * math.ceil(rate) - 1
    frame, thousandths = divmod(min(round(part * 1e-3 * rate), last), 1000)
    hours, rest = divmod(seconds % _DAY_S, 3600)
    return f"{hours:02}:{rest // 60:02}:{rest % 60:02}:{frame:02}.{thousandths:03}"


def _short(number: float) -> str:
    return f"{number:.5f}"


def _write(path: Path, head: list[str], rows: list[list]) -> None:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    write_whole(path, text.getvalue())

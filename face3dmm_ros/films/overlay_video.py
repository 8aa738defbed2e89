"""The film again, with its faces drawn over it, and its sound where FFmpeg's program is installed."""

import shutil
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.values import FaceParameters
from face3dmm_ros.files.frame_source import FrameSource, resized
from face3dmm_ros.files.image_layout import jpeg
from face3dmm_ros.files.motion_jpeg import MotionJpegWriter
from face3dmm_ros.files.whole_file import whole_file
from face3dmm_ros.films.landmark_store import LocatedFrame
from face3dmm_ros.films.locating import frames_of
from face3dmm_ros.films.tracks import TrackedFilm
from face3dmm_ros.morphable_model.model import MorphableModel
from face3dmm_ros.morphable_model.shaper import FaceShaper
from face3dmm_ros.rendering.face_renderer import FaceRenderer, PosedFace
from face3dmm_ros.smoothing import CoverSmoother

_JPEG_QUALITY = 85
"""Chosen by hand: no blocks to be seen at 640×480, in 40 kB an image."""
_FFMPEG_S = 3600.0
"""s that FFmpeg may take; chosen by hand."""


def write_overlay(
    path: Path,
    film: TrackedFilm,
    located: Iterable[LocatedFrame],
    source: FrameSource,
    model: MorphableModel,
    view: str,
    extent: str,
    drawn: Callable[[int], None] = lambda index: None,
) -> None:
    """Draw a film's faces over it, as Motion JPEG without sound; images are shown at the film's own times.

    Args:
        path: ends in ``.mp4``.
        film: with the tracks.
        located: its landmarks, in its order, which tell what lies over the faces.
        source: the film from its beginning.
        model: of the tracks' parameters.
        view, extent: one of the renderer's each.
        drawn: hears of each image that was drawn, by its index.

    Raises:
        Face3DMMError: nothing can be drawn here, or the file cannot be written.
    """
    faces: defaultdict[int, list[tuple[int, FaceParameters]]] = defaultdict(list)
    for track in film.tracks:
        for frame, parameters in zip(track.frames.tolist(), track.parameters, strict=True):
            faces[frame].append((track.face_id, parameters))
    rgb = {track.face_id: model.rgb(track.parameters[0].gamma) for track in film.tracks}
    shaper, cover, covers = FaceShaper(model), CoverSmoother(), _Covers(located)
    with ExitStack() as stack:
        unfinished = stack.enter_context(whole_file(path))
        renderer = stack.enter_context(FaceRenderer.of(model))
        video = stack.enter_context(MotionJpegWriter(unfinished, film.image_size))
        for index, time in frames_of(source):
            if index >= len(film.times):
                break
            try:
                image = source.retrieve()
            except Face3DMMError:
                continue  # The image before it is shown on.
            posed, told = [], covers.of(index)
            for face_id, parameters in faces[index]:
                vertices = shaper.vertices(face_id, parameters)
                covered = cover.smooth(face_id, told.get(face_id), time)
                posed.append(PosedFace(vertices, model.normals(vertices), rgb[face_id], parameters.camera, covered))
            picture = resized(renderer.overlay(image, posed, view=view, extent=extent), *film.image_size)
            video.write(jpeg(picture, _JPEG_QUALITY).tobytes(), round(time * 1e9))
            drawn(index)


class _Covers:
    """What landmarks tell of covers, image by image, read once from the first to the last."""

    def __init__(self, located: Iterable[LocatedFrame]) -> None:
        """Begin at the first."""
        self._left = iter(located)
        self._frame = next(self._left, None)

    def of(self, index: int) -> dict[int, NDArray[np.uint8] | None]:
        """`Landmarks.covered` of the faces in the image of an index, no lower than the last one's, by face_id."""
        while self._frame is not None and self._frame.index < index:
            self._frame = next(self._left, None)
        if self._frame is None or self._frame.index > index:
            return {}
        return {face.face_id: face.landmarks.covered for face in self._frame.faces}


def with_sound(video: Path, film: Path) -> str:
    """Encode a video anew as H.264, which browsers play too, with a film's sound; why that was not done, if so."""
    program = shutil.which("ffmpeg")
    if program is None:
        return "without sound, as Motion JPEG: FFmpeg's program is not installed (apt install ffmpeg)"
    encoded = video.with_name(f".{video.stem}.h264.mp4")
    # Sound is kept where the film has some. Each picture keeps its own time, in the ticks of `motion_jpeg`. A quick
    # preset: the next slower one takes two thirds of its time more, for two thirds of its size.
    files = ["-protocol_whitelist", "file", "-i", str(video), "-protocol_whitelist", "file", "-i", str(film)]
    streams = ["-map", "0:v:0", "-map", "1:a:0?", "-c:v", "libx264", "-preset", "superfast"]
    times = ["-enc_time_base", "1:90000", "-video_track_timescale", "90000", "-movflags", "+faststart"]
    even = ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    try:
        for every_picture in ("-fps_mode", "-vsync"):  # its name from FFmpeg 5.1 on, and before
            options = [*files, *streams, *times, *even, every_picture, "passthrough"]
            done = subprocess.run(
                [program, "-nostdin", "-v", "error", "-y", *options, str(encoded)],
                capture_output=True,
                text=True,
                timeout=_FFMPEG_S,
                check=False,
            )
            if not done.returncode:
                encoded.replace(video)
                return ""
        said = done.stderr.strip().splitlines()
        return f"without sound, as Motion JPEG: ffmpeg: {said[-1] if said else done.returncode}"
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"without sound, as Motion JPEG: ffmpeg: {error}"
    finally:
        encoded.unlink(missing_ok=True)

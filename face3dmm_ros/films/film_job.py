"""One film from its images to its files: the work item of `face3dmm track`."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import face3dmm_ros
from face3dmm_ros.avatar.weights.retargeting import BlendshapeWeights
from face3dmm_ros.bags.frames import BagFrames, is_bag
from face3dmm_ros.core.closing import Closing
from face3dmm_ros.core.errors import Face3DMMError, one_line
from face3dmm_ros.core.regular_file import read_regular
from face3dmm_ros.core.user_path import user_path
from face3dmm_ros.files.frame_source import SAMPLE, FrameSource, open_source
from face3dmm_ros.files.image_layout import jpeg
from face3dmm_ros.files.motion_jpeg import MotionJpegWriter
from face3dmm_ros.files.whole_file import check_writable, make_folder, write_whole
from face3dmm_ros.films.animation import write_animation
from face3dmm_ros.films.avatar_animation import AnimatedAvatar
from face3dmm_ros.films.curves import write_live_link, write_weights
from face3dmm_ros.films.film_fitter import PASSES, fit_film
from face3dmm_ros.films.landmark_store import LandmarkStore, LocatedFrame
from face3dmm_ros.films.locating import frames_of, locate
from face3dmm_ros.films.overlay_video import with_sound, write_overlay
from face3dmm_ros.films.parameters_file import write_parameters
from face3dmm_ros.films.report import doubtful_frames, write_report
from face3dmm_ros.films.tracks import TrackedFilm
from face3dmm_ros.landmarks import create_backend
from face3dmm_ros.landmarks.tracker import LIVE_LOOKS, LandmarkTracker
from face3dmm_ros.morphable_model import MorphableModel, load_model
from face3dmm_ros.rendering.face_extent import FACE

WORK, FILM, OVERLAY, REPORT, SUMMARY = ".work", "film.mp4", "overlay.mp4", "report.html", "summary.json"
PARAMETERS, WEIGHTS = "params.npz", "weights.csv"
LIVE_LINK, ANIMATION, AVATAR = "arkit{}.csv", "animation{}.glb", "avatar{}.glb"
"""Files of each face; that of the first has no number."""
_MOST_SUMMARY_BYTES = 1 << 20
"""Chosen by hand: far more than a summary has."""
_FILM_QUALITY = 90
"""Of the JPEGs that a camera's images are kept as; chosen by hand."""
_LANDMARKS_DEPEND_ON = ("source", "backend", "max_faces", "duration")
_FILES_DEPEND_ON = ("smoothing", "view", "extent", "fov", "avatar")
_SHORTEST_TRACK = 5
"""Images of a face, of which fewer are no person's; chosen by hand."""

Progress = Callable[[str, int, int], None]
"""Hears what is being done, how far it is, and of how much (0: unknown)."""


@dataclass(frozen=True)
class FilmJob:
    """What to do with a film.

    Attributes:
        source: as `open_film` has it.
        out: folder to write to.
        model, backend: as everywhere.
        smoothing: one of `film_fitter.SMOOTHINGS`.
        max_faces: to track at most.
        fov: the camera's horizontal field of view, degrees.
        view: of the overlay; empty for no video.
        extent: of the overlay: the face or the whole head.
        duration: s after which a film ends; 0: at its own end.
        avatar: path of a .glb or .vrm to animate besides; empty for none.
    """

    source: str
    out: Path
    model: str = "default"
    backend: str = "dense"
    smoothing: str = "offline"
    max_faces: int = 1
    fov: float = 60.0
    view: str = "shaded"
    extent: str = FACE
    duration: float = 0.0
    avatar: str = ""


def check_job(job: FilmJob) -> None:
    """Check, before work begins, that a job's folder can be written, and its avatar be animated.

    Raises:
        Face3DMMError: it cannot.
    """
    if job.avatar:
        AnimatedAvatar(user_path(job.avatar))
    check_writable(
        job.out, (FILM, OVERLAY, REPORT, SUMMARY, PARAMETERS, WEIGHTS, LIVE_LINK.format(""), ANIMATION.format(""))
    )


def track_film(job: FilmJob, progress: Progress, stopped: Callable[[], bool] = lambda: False) -> dict[str, Any]:
    """Do it: landmarks, fit, files.

    What an earlier call left is used, if film, model and options are the same: its files where it came to its end, else
    its landmarks.

    Args:
        job: what to do.
        progress: hears how far it is.
        stopped: whether a camera's film is to end now.

    Returns:
        `frames`, `faces` (images of each, by face_id), `seconds` that the film lasts, and `notices` for the user.

    Raises:
        Face3DMMError: the film cannot be read, a file not written, an option names something that does not exist, or
            the model has no landmarks.
    """
    model = load_model(job.model)
    model.require_landmarks()
    avatar = AnimatedAvatar(user_path(job.avatar)) if job.avatar else None
    source = open_film(job.source)
    notices = [notice for notice in (source.notice, avatar.notice if avatar else "") if notice]
    try:
        made_with = _made_with(job, source, model)
        if (finished := _finished(job, made_with)) is not None:
            return finished
        make_folder(job.out)
        (job.out / SUMMARY).unlink(missing_ok=True)
        store = LandmarkStore(job.out / WORK, _depends_on(job, source))
        film_path = _film_path(job, source)
        if not store.complete:
            damage = _located(job, source, store, progress, stopped)
            notices += [f"{count} images could not be read: {why}" for why, count in damage.items()]
    finally:
        source.close()
    times: list[float] = []
    sizes: list[tuple[int, int]] = []
    total, done = PASSES * store.kept, 0

    def passed(frame: LocatedFrame) -> None:
        nonlocal done
        if done < store.kept:  # the first time, which goes forward
            times.append(frame.time)
            sizes.append(frame.image_size)
        done += 1
        progress("fit", done, total)

    tracks = [track for track in fit_film(store, model, job.smoothing, passed) if len(track.frames) >= _SHORTEST_TRACK]
    film = TrackedFilm(Path(job.source).name or job.source, np.array(times), max(sizes, default=(0, 0)), tracks)
    retargeting = BlendshapeWeights(model)
    write_parameters(job.out / PARAMETERS, film, model)
    write_weights(job.out / WEIGHTS, film, retargeting)
    for place, track in enumerate(film.tracks):
        number = f"_{place}" if place else ""
        write_live_link(job.out / LIVE_LINK.format(number), film, track, retargeting)
        write_animation(job.out / ANIMATION.format(number), film, track, model, job.fov)
        if avatar is not None:
            avatar.write(job.out / AVATAR.format(number), film, track, retargeting)
    if job.view:
        notices += _drawn(job, film, store, model, film_path, progress)
    write_report(job.out / REPORT, film, retargeting, _pictures(film, film_path), notices)
    outcome = {
        "frames": len(film.times),
        "faces": {track.face_id: len(track.frames) for track in film.tracks},
        "seconds": float(film.times[-1]) if len(film.times) else 0.0,
        "notices": notices,
    }
    files = sorted(path.name for path in job.out.iterdir() if path.is_file())
    write_whole(job.out / SUMMARY, json.dumps(outcome | {"files": files, "made_with": made_with}, indent=1) + "\n")
    store.remove()
    return outcome


def _made_with(job: FilmJob, source: FrameSource, model: MorphableModel) -> dict[str, Any] | None:
    """What the files depend on; None where that cannot be told: of a camera, or from afar."""
    if source.live or (job.source != SAMPLE and _named_file(job.source) is None):
        return None
    options = {name: getattr(job, name) for name in _FILES_DEPEND_ON} | {"model": model.digest}
    if job.avatar:
        options["avatar"] = _stamp(user_path(job.avatar))
    made_with: dict[str, Any] = json.loads(json.dumps(_depends_on(job, source) | options))
    return made_with


def _finished(job: FilmJob, made_with: dict[str, Any] | None) -> dict[str, Any] | None:
    """What came of the same job earlier, if its files are there."""
    if made_with is None:
        return None
    try:
        kept = json.loads(read_regular(job.out / SUMMARY, _MOST_SUMMARY_BYTES))
        if kept["made_with"] != made_with or not all((job.out / name).is_file() for name in kept["files"]):
            return None
        faces = {int(face_id): int(count) for face_id, count in kept["faces"].items()}
        return {
            "frames": int(kept["frames"]),
            "faces": faces,
            "seconds": float(kept["seconds"]),
            "notices": [str(notice) for notice in kept["notices"]],
        }
    except (ValueError, KeyError, TypeError, AttributeError):  # there is none, or it is another program's
        return None


class FilmCopy(Closing):
    """A camera's images as a film, to be read again; use it as a context manager.

    Attributes:
        path: of the file.
    """

    def __init__(self, folder: Path) -> None:
        """The copy will be in a job's folder, as `FILM`; the file begins with the first image."""
        self.path = folder / FILM
        self._video: MotionJpegWriter | None = None

    def write(self, image: NDArray[np.uint8], at: float) -> None:
        """Keep an image and its time, s.

        Raises:
            OSError: the file cannot be written.
        """
        self._video = self._video or MotionJpegWriter(self.path, (image.shape[1], image.shape[0]))
        self._video.write(jpeg(image, _FILM_QUALITY).tobytes(), round(at * 1e9))

    def close(self) -> None:
        """Finish the file."""
        if self._video is not None:
            self._video.close()


def open_film(source: str) -> FrameSource:
    """What `open_source` opens, or a rosbag2.

    Raises:
        Face3DMMError: there is no such source, or it cannot be read.
    """
    path = user_path(source)
    return BagFrames(path) if source and is_bag(path) else open_source(source)


def _depends_on(job: FilmJob, source: FrameSource) -> dict[str, Any]:
    """What the landmarks depend on; a camera's are never the same again."""
    of = {"version": face3dmm_ros.__version__} | {name: getattr(job, name) for name in _LANDMARKS_DEPEND_ON}
    if source.live:
        return of | {"begun": time.time()}
    path = _named_file(job.source)
    return of if path is None else of | {"source": _stamp(path)}


def _named_file(source: str) -> Path | None:
    """The file or folder that a source names, None for a word or an address."""
    path = user_path(source)
    return path if source != SAMPLE and path.exists() else None


def _stamp(path: Path) -> dict[str, Any]:
    """By what a film or avatar is known again: where it is, how many bytes it has and when it was last changed, ns."""
    files = sorted(path.glob("*")) if path.is_dir() else [path]
    stats = [file.stat() for file in files if file.is_file()]
    changed = max((each.st_mtime_ns for each in stats), default=0)
    return {"path": str(path.absolute()), "bytes": sum(each.st_size for each in stats), "changed": changed}


def _film_path(job: FilmJob, source: FrameSource) -> str:
    """Where the film can be read again: where it is, or the copy that is made of a camera's images."""
    return str(job.out / FILM) if source.live else job.source


def _located(
    job: FilmJob,
    source: FrameSource,
    store: LandmarkStore,
    progress: Progress,
    stopped: Callable[[], bool],
) -> dict[str, int]:
    """Fill the store; how many images could not be read, by reason."""
    tracker = LandmarkTracker(create_backend(job.backend), max_faces=job.max_faces, looks_per_image=LIVE_LOOKS)
    total = source.count
    copy = FilmCopy(job.out)

    def seen(frame: LocatedFrame, image: NDArray[np.uint8]) -> None:
        if source.live and image.size:
            copy.write(image, frame.time)
        progress("landmarks", frame.index + 1, total)

    def until(at: float) -> bool:
        return (source.live and stopped()) or (job.duration > 0.0 and at >= job.duration)

    with copy:
        return dict(locate(source, tracker, store, seen=seen, until=until).counts)


def _drawn(
    job: FilmJob, film: TrackedFilm, store: LandmarkStore, model: Any, film_path: str, progress: Progress
) -> list[str]:
    """Draw the overlay; notices."""
    total = len(film.times)
    source = open_film(film_path)
    try:
        write_overlay(
            job.out / OVERLAY,
            film,
            store.frames(),
            source,
            model,
            job.view,
            job.extent,
            lambda index: progress("overlay", index + 1, total),
        )
    except Face3DMMError as error:
        return [f"no {OVERLAY}: {one_line(error)}"]
    finally:
        source.close()
    without = with_sound(job.out / OVERLAY, Path(film_path)) if Path(film_path).is_file() else ""
    return [f"{OVERLAY} is {without}"] if without else []


def _pictures(film: TrackedFilm, film_path: str) -> dict[int, NDArray[np.uint8]]:
    """The images to look at again."""
    wanted = set(doubtful_frames(film))
    pictures: dict[int, NDArray[np.uint8]] = {}
    if not wanted:
        return pictures
    source = open_film(film_path)
    try:
        for index, _ in frames_of(source):
            if index in wanted:
                pictures[index] = source.retrieve()
            if index >= max(wanted):
                break
    finally:
        source.close()
    return pictures

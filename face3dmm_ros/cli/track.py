"""`face3dmm track SOURCE…`: films to curves, animations and videos, without ROS."""

import argparse
import json
import multiprocessing
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from face3dmm_ros.avatar.styles import GLTF
from face3dmm_ros.cli.options import (
    add_backend_and_model,
    add_fov_option,
    add_json_option,
    add_max_faces_option,
    add_pool_options,
    everywhere,
    folder_names,
    for_people,
    pool_of,
    positive_seconds,
    tell_failures,
)
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.progress_bar import progress_bar
from face3dmm_ros.core.work_items import DaskPool, Pool, outcomes
from face3dmm_ros.core.worker_process import begin_worker
from face3dmm_ros.files.captures import is_url, without_password
from face3dmm_ros.files.frame_source import AUTO, SAMPLE, may_come_back
from face3dmm_ros.files.whole_file import make_folder
from face3dmm_ros.films.film_fitter import OFFLINE, SMOOTHINGS
from face3dmm_ros.films.film_job import OVERLAY, REPORT, FilmCopy, FilmJob, check_job, open_film, track_film
from face3dmm_ros.rendering.face_extent import EXTENTS
from face3dmm_ros.rendering.face_renderer import VIEWS

DESCRIPTION = (
    "Track the faces in films: every image once and in order, with what comes before and after it, and without ROS. "
    "Writes, for each film, weights.csv (ARKit's 52 weights by name, head and gaze), arkit.csv (as Live Link Face "
    "records it, for Unreal), params.npz (all parameters), animation.glb (the person's head, moving; for Blender and "
    "three.js), overlay.mp4 and report.html (curves, gaps, and where to look again)."
)
EPILOG = """
A SOURCE is a video, a rosbag2, a folder of pictures, a camera (camera, or its index: until Ctrl-C or --duration), a
URL, or sample. Several are tracked at a time, one a core, into folders of their names below --out. What was stopped
goes on with the same command. Further faces (--max-faces) get files of their own: arkit_1.csv, animation_1.glb …

examples:
  face3dmm track talk.mp4 --out talk                 curves and an animation of one face
  face3dmm track *.mp4 --out films --max-faces 3     several films, up to three people in each
  face3dmm track camera --duration 20 --out me       twenty seconds of the camera
  face3dmm track talk.mp4 --avatar gltf:me.vrm       an avatar of one's own, animated, too
  face3dmm track sample --out sample --no-overlay    without the video
  face3dmm track camera --show                       the camera, live, on a page in the browser
  face3dmm track *.mp4 --dask tcp://10.0.0.5:8786    by the workers of a Dask cluster, on a folder that all see
"""
OUT = Path("out")
"""The folder where none is named."""
_SHARES = {"landmarks": (0.0, 0.5), "fit": (0.5, 0.7), "overlay": (0.7, 1.0)}
"""Where the steps begin and end in all the work on a film; about what they take."""
_LEAST_TOLD = 0.005
"""Of the work on a film, between two reports of a worker."""


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Describe the verb."""
    add = verb.add_argument
    add("sources", nargs="+", metavar="SOURCE", help="videos, folders of pictures, cameras, URLs, or sample")
    add("--out", type=Path, metavar="DIR", help=f"folder to write to, made if missing (default: {OUT}; with --show: "
        "nothing is written)")  # fmt: skip
    add("--show", action="store_true", help="track one source live, at its own pace, and show it on a page in the "
        "browser, until Ctrl-C or --duration; with --out, files are written after that")  # fmt: skip
    add("--smoothing", choices=SMOOTHINGS, default=SMOOTHINGS[0], metavar="NAME", help=f"over time: {OFFLINE}, by what "
        f"comes after too, without lag; or as live, {', '.join(SMOOTHINGS[1:])}")  # fmt: skip
    add_backend_and_model(verb)
    add_max_faces_option(verb)
    add_fov_option(verb)
    add("--avatar", metavar="STYLE", help=f"also animate an avatar, avatar.glb: {GLTF}PATH, a .glb or .vrm file; "
        "without it none")  # fmt: skip
    add("--duration", type=positive_seconds, metavar="SECONDS", help="how long; without it to a film's own end")
    add("--view", choices=VIEWS, default=VIEWS[0], help="what the overlay shows")
    add("--extent", choices=EXTENTS, default=EXTENTS[0], help="how much of the head the overlay covers")
    add("--overlay", action=argparse.BooleanOptionalAction, default=True, help=f"write {OVERLAY}")
    add_pool_options(verb, "films")
    add_json_option(verb, "what came of each film")


def run(arguments: argparse.Namespace) -> int:
    """Track all films; returns 0, or 2 if some of several could not be tracked.

    Raises:
        Face3DMMError: an option is out of range, or the only film cannot be tracked.
    """
    if not 0.0 < arguments.fov < 180.0:
        raise Face3DMMError(f"the field of view must lie between 0 and 180 degrees, not {arguments.fov}")
    if arguments.max_faces < 1:
        raise Face3DMMError(f"--max-faces is at least 1, not {arguments.max_faces}")
    if arguments.show and len(arguments.sources) > 1:
        raise Face3DMMError(f"--show shows one source, found {len(arguments.sources)}: name one")
    pool = pool_of(arguments)
    if isinstance(pool, DaskPool):
        _check_for_others(arguments)
    jobs = _jobs(arguments)
    if not arguments.show or arguments.out is not None:
        for job in jobs:
            check_job(job)
    if arguments.show:
        film = _show(jobs[0], write=arguments.out is not None, as_json=arguments.json)
        if film is None:
            return 0
        jobs = [film]
    if len(jobs) == 1 and not isinstance(pool, DaskPool):
        stop = _Stop()
        try:
            with _bar(1) as bar:
                outcome = track_film(jobs[0], _shown(bar), stop)
        finally:
            stop.close()
        _tell(jobs[0], outcome, arguments.json)
        return 0
    return _several(jobs, pool, arguments.json)


def _check_for_others(arguments: argparse.Namespace) -> None:
    """Check that a cluster's workers can do what is asked for.

    Raises:
        Face3DMMError: it wants this machine's camera or browser.
    """
    if arguments.show:
        raise Face3DMMError("--show is of this machine, and --dask of others: leave one of them out")
    cameras = (each for each in arguments.sources if each == AUTO or (may_come_back(each) and not is_url(each)))
    if (camera := next(cameras, None)) is not None:
        raise Face3DMMError(f"{camera} is this machine's, and --dask's workers see files alone: leave out --dask")


def _jobs(arguments: argparse.Namespace) -> list[FilmJob]:
    """A job for each source, in a folder of its own where there are several."""
    names = folder_names([Path(source).stem or "film" for source in arguments.sources])
    several, out = len(names) > 1, arguments.out or OUT
    return [
        FilmJob(
            source=source,
            out=out / name if several else out,
            model=arguments.model,
            backend=arguments.backend,
            smoothing=arguments.smoothing,
            max_faces=arguments.max_faces,
            fov=arguments.fov,
            view=arguments.view if arguments.overlay else "",
            extent=arguments.extent,
            duration=arguments.duration or 0.0,
            avatar=_avatar_file(arguments.avatar),
        )
        for source, name in zip(arguments.sources, names, strict=True)
    ]


def _avatar_file(style: str | None) -> str:
    """The file of the avatar to animate; empty without one.

    Raises:
        Face3DMMError: the avatar has no file that could be animated.
    """
    if style is None:
        return ""
    if not style.startswith(GLTF) or style == GLTF:
        raise Face3DMMError(f"--avatar of a film is {GLTF}PATH, a .glb or .vrm file, not {style!r}")
    return style.removeprefix(GLTF)


def _show(job: FilmJob, *, write: bool, as_json: bool) -> FilmJob | None:
    """Track a source live and show it, until Ctrl-C or its end; returns what to write then, None for nothing.

    Raises:
        Face3DMMError: the source cannot be read, or nothing came of it that could be written.
    """
    from face3dmm_ros.viewer.live_page import LivePage
    from face3dmm_ros.viewer.shown_tracking import OFFERS, Controls, ShownFilm, show_tracking

    controls = Controls(job.view or VIEWS[0])
    stop = _Stop()
    with LivePage(OFFERS, controls.do, source=without_password(job.source)) as page, ExitStack() as opened:
        opened.callback(stop.close)
        # At once: what follows takes seconds.
        with for_people(as_json):
            print(f"the page is at {page.address}", flush=True)
        source = open_film(job.source)
        opened.callback(source.close)
        page.tell(source=source.description)
        copy = opened.enter_context(FilmCopy(job.out)) if write and source.live else None
        if copy is not None:
            make_folder(job.out)
        shown = ShownFilm(job.model, job.backend, job.max_faces, job.fov, controls.view, job.duration, not write)
        count = show_tracking(source, shown, page, controls, stop, copy.write if copy is not None else lambda *_: None)
    print(f"{job.source}: {count} images shown", file=sys.stderr)
    if write and not count:
        raise Face3DMMError(f"{job.source} was stopped before its first image: there is nothing to write")
    return replace(job, source=str(copy.path), duration=0.0) if copy is not None else job if write else None


@contextmanager
def _bar(films: int) -> Iterator[Any]:
    """A progress bar over films, which moves by parts of them."""
    form = "{l_bar}{bar}| {n:.2f}/{total_fmt} films [{elapsed}<{remaining}{postfix}]"
    with progress_bar(total=films, bar_format=form) as bar:
        yield bar


def _shown(bar: Any) -> Callable[[str, int, int], None]:
    def show(what: str, done: int, total: int) -> None:
        bar.set_postfix_str(f"{what} {done}/{total or '?'}", refresh=False)
        bar.update(_share(what, done, total) - bar.n)

    return show


def _share(what: str, done: int, total: int) -> float:
    """The share of the work on a film that is done."""
    begin, end = _SHARES[what]
    return begin + (end - begin) * min(done / total, 1.0) if total else begin


class _Stop:
    """Ends a camera's film at the first Ctrl-C; all else is interrupted, as always."""

    def __init__(self) -> None:
        self._is_asked_for = self._asked = False
        self._usual = signal.signal(signal.SIGINT, self._hear)

    def __call__(self) -> bool:
        """Whether the film is to end; only a film without an end of its own asks."""
        self._is_asked_for = True
        return self._asked

    def close(self) -> None:
        """Let Ctrl-C do what it did before."""
        signal.signal(signal.SIGINT, self._usual)

    def _hear(self, *_: object) -> None:
        if self._asked or not self._is_asked_for:
            raise KeyboardInterrupt
        self._asked = True


def _several(jobs: Sequence[FilmJob], pool: Pool, as_json: bool) -> int:
    """Track films by a pool's workers; 2 if some failed."""
    failures: list[tuple[object, Exception]] = []
    with _bar(len(jobs)) as bar, _reported(bar, jobs, pool) as pool:
        items = enumerate(map(_everywhere, jobs) if isinstance(pool, DaskPool) else jobs)
        with closing(outcomes(_work, items, pool)) as found:
            for (place, _), outcome in found:
                if isinstance(outcome, Exception):
                    failures.append((jobs[place].source, outcome))
                else:
                    _tell(jobs[place], outcome, as_json)
                if isinstance(pool, DaskPool):
                    bar.update(1)
    return tell_failures("track", failures)


@contextmanager
def _reported(bar: Any, jobs: Sequence[FilmJob], pool: Pool) -> Iterator[Pool]:
    """The pool, whose processes, if it has some, tell the bar how far they are."""
    if isinstance(pool, DaskPool):
        yield pool
        return
    reports = multiprocessing.get_context("spawn").SimpleQueue()
    follower = threading.Thread(target=_follow, args=(reports, bar, len(jobs)), daemon=True)
    follower.start()
    try:
        yield replace(pool, begin=_begin, arguments=(reports,))
    finally:
        reports.put(None)
        follower.join()


def _everywhere(job: FilmJob) -> FilmJob:
    """The job for a worker that has a folder of its own."""
    source = job.source if job.source == SAMPLE else everywhere(job.source)
    model, avatar = everywhere(job.model), everywhere(job.avatar)
    return replace(job, source=source, out=job.out.absolute(), model=model, avatar=avatar)


_reports: Any = None
"""A local worker's way to tell how far it is."""


def _begin(reports: Any) -> None:
    global _reports
    begin_worker()
    _reports = reports


def _work(item: tuple[int, FilmJob]) -> dict[str, Any]:
    """Track a film in a worker, which, if it is local, tells how far it is now and then."""
    place, job = item
    told = 0.0

    def progress(what: str, done: int, total: int) -> None:
        nonlocal told
        share = _share(what, done, total)
        if _reports is not None and (share - told >= _LEAST_TOLD or share == 1.0):
            told = share
            _reports.put((place, share))

    return track_film(job, progress)


def _follow(reports: Any, bar: Any, count: int) -> None:
    """Show how far all films are, until None comes."""
    shares = [0.0] * count
    while (report := reports.get()) is not None:
        place, share = report
        shares[place] = share
        bar.update(sum(shares) - bar.n)


def _tell(job: FilmJob, outcome: dict[str, Any], as_json: bool) -> None:
    """Say what came of a film."""
    if as_json:
        print(json.dumps({"source": job.source, "out": str(job.out), **outcome}))
    for notice in outcome["notices"]:
        print(f"face3dmm track: {job.source}: {notice}", file=sys.stderr)
    faces = ", ".join(f"face {face_id} in {count}" for face_id, count in outcome["faces"].items()) or "no face"
    with for_people(as_json):
        print(f"{job.source}: {outcome['frames']} images, {faces}; {job.out / REPORT}")

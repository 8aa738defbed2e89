"""Landmarks and fit of a tracked frame beside other trackers of faces, on the same frames and the same core."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path

from benchmarks import mediapipe_peer, openseeface_peer, tddfa_peer
from benchmarks.clip import clip_frames
from benchmarks.peer_code import one_core
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.fitting import TrackFitter
from face3dmm_ros.landmarks import LandmarkTracker, create_backend
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.pipeline import FacePipeline

OURS = "landmarks and fit"


@contextmanager
def tracked_frames(
    image_size: tuple[int, int], *, landmarker: Path | None, openseeface: Path | None, tddfa: Path | None
) -> Iterator[dict[str, Callable[[], object]]]:
    """Calls that process the next frame of the sample clip, at image_size px, by the names of the table's rows.

    A peer without its file or folder, or that cannot run, is left out, with a line that says why and how to get it.

    Raises:
        RuntimeError: MediaPipe cannot run the file.
        Face3DMMError: the clip is not installed.
    """
    with one_core(), ExitStack() as stack:
        frames = clip_frames(image_size)
        images = cycle(frames)
        pipeline = FacePipeline(LandmarkTracker(create_backend()), TrackFitter(load_model("default")))
        first = LandmarkTracker(create_backend()).track(frames[0])[0].landmarks.points
        rows: dict[str, Callable[[], object]] = {OURS: lambda: pipeline.process(next(images))}

        def add(
            name: str, given: Path | None, how: str, make: Callable[[Path], dict[str, Callable[[], object]]]
        ) -> None:
            try:
                if given is None:
                    raise Face3DMMError(how)
                made = make(given)
                # Once through the clip, so that one that loses the face there does not end the run midway.
                for call in made.values():
                    for _ in frames:
                        call()
                rows.update(made)
            except Face3DMMError as error:
                print(f"\n{name} is left out: {error}")

        add(
            "MediaPipe's Face Landmarker",
            landmarker,
            mediapipe_peer.HOW,
            lambda file: stack.enter_context(mediapipe_peer.mediapipe(file, frames)),
        )
        add(
            "OpenSeeFace",
            openseeface,
            openseeface_peer.HOW,
            lambda folder: openseeface_peer.openseeface(folder, frames),
        )
        add("3DDFA_V2", tddfa, tddfa_peer.HOW, lambda folder: tddfa_peer.tddfa(folder, frames, first))
        yield rows

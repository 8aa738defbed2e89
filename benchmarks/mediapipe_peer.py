"""MediaPipe's Face Landmarker, with blendshapes, on the same frames and the same core as tracker and fitter."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, cycle
from pathlib import Path

import cv2

from benchmarks.clip import clip_frames
from face3dmm_ros.fitting import TrackFitter
from face3dmm_ros.landmarks import LandmarkTracker, create_backend
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.pipeline import FacePipeline

PEER = "MediaPipe Face Landmarker, with blendshapes"
_FRAME_MS = 33
"""From frame to frame, as MediaPipe is told: 30 frames/s."""


@contextmanager
def tracked_frames(landmarker: Path, image_size: tuple[int, int]) -> Iterator[dict[str, Callable[[], object]]]:
    """Calls that process the next frame of the sample clip, at image_size px, by the names of the table's rows.

    Raises:
        ImportError: mediapipe is not installed.
        RuntimeError: MediaPipe cannot run the file.
        Face3DMMError: the clip is not installed.
    """
    with _one_core():
        from mediapipe import Image, ImageFormat
        from mediapipe.tasks.python import BaseOptions, vision

        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(landmarker)),
            running_mode=vision.RunningMode.VIDEO,
            output_face_blendshapes=True,
            num_faces=1,
        )
        frames = clip_frames(image_size)
        rgb = [Image(ImageFormat.SRGB, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)) for frame in frames]
        ours, theirs, times = cycle(frames), cycle(rgb), count(step=_FRAME_MS)
        pipeline = FacePipeline(LandmarkTracker(create_backend()), TrackFitter(load_model("default")))
        with vision.FaceLandmarker.create_from_options(options) as peer:
            yield {
                "landmarks and fit": lambda: pipeline.process(next(ours)),
                PEER: lambda: peer.detect_for_video(next(theirs), next(times)),
            }


@contextmanager
def _one_core() -> Iterator[None]:
    """Keep this thread, and those started meanwhile, on one core: MediaPipe has threads of its own."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)

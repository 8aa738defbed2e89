"""Every image of a bag through the pipeline, once and in order, however long it takes."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.bags.reader import BagReader, RecordedImage
from face3dmm_ros.bags.writer import BagWriter
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.image_clock import ImageClock
from face3dmm_ros.core.values import Landmarks, TrackedFace, TrackedLandmarks
from face3dmm_ros.fitting.albedo import PersonColors
from face3dmm_ros.fitting.face_fitter import FaceFitter
from face3dmm_ros.landmarks.backend import LandmarkBackend
from face3dmm_ros.landmarks.tracker import LandmarkTracker
from face3dmm_ros.pipeline import FacePipeline
from face3dmm_ros.smoothing import FaceSmoother

IMAGE_RECORDINGS = ("jpeg", "raw", "none")
"""How the images go into the output bag."""

STAGES = ("decode", "landmarks", "fit")
Progress = Callable[[Iterable[RecordedImage]], Iterable[RecordedImage]]


@dataclass(frozen=True, eq=False)
class ReplayedImage:
    """The results of the pipeline for an image.

    Attributes:
        stamp_ns: the image's stamp, ns.
        faces: its faces; the landmarks as they were found, not smoothed.
        stage_ms: how long each of `STAGES` took, ms.
        time_ns: the image's time, ns: its stamp, or what `ImageClock` takes instead.
    """

    stamp_ns: int
    faces: list[TrackedFace]
    stage_ms: dict[str, float]
    time_ns: int


@dataclass(eq=False)
class Replay:
    """The results for a bag's images.

    Attributes:
        images: those that could be read, in order.
        skipped: why others could not be read, and how often.
        seconds: how long all took.
        stamp_problem: why the images' stamps do not tell their time; empty if they do.
    """

    images: list[ReplayedImage] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    stamp_problem: str = ""


class ObservedTracker(LandmarkTracker):
    """A tracker that keeps its results and its duration of the last image.

    Attributes:
        found: the landmarks of each face_id.
        took_ms: how long it took, ms.
    """

    def __init__(self, backend: LandmarkBackend, **settings: Any) -> None:
        """A tracker with a `LandmarkTracker`'s settings."""
        super().__init__(backend, **settings)
        self.found: dict[int, Landmarks] = {}
        self.took_ms = 0.0

    def track(self, image: NDArray[np.uint8]) -> list[TrackedLandmarks]:
        """As `LandmarkTracker.track`."""
        start = time.perf_counter()
        faces = super().track(image)
        self.took_ms = _milliseconds_since(start)
        self.found = {face.face_id: face.landmarks for face in faces}
        return faces


def replay(
    reader: BagReader,
    image_topic: str,
    tracker: ObservedTracker,
    fitter: FaceFitter,
    smoother: FaceSmoother | None = None,
    writer: BagWriter | None = None,
    *,
    record_images: str = "none",
    progress: Progress = iter,
) -> Replay:
    """Run the pipeline over the images of a topic, and write its results into a bag.

    An image that cannot be decoded is counted and skipped. `progress` wraps the images, such as in a progress bar.

    Raises:
        Face3DMMError: no image can be read, or the bag is damaged.
    """
    pipeline = FacePipeline(tracker, fitter, smoother, PersonColors(fitter.model))
    done = Replay()
    clock = ImageClock()
    begin = time.perf_counter()
    for recorded in progress(reader.images(image_topic)):
        start = time.perf_counter()
        try:
            image = recorded.pixels()
            decode_ms = _milliseconds_since(start)
            time_ns = clock.time_of(recorded.stamp_ns, recorded.time_ns)
            start = time.perf_counter()
            faces = pipeline.process(image, 1e-9 * time_ns)
        except Face3DMMError as error:
            done.skipped[str(error)] += 1
            continue
        fit_ms = _milliseconds_since(start) - tracker.took_ms
        faces = [replace(face, landmarks=tracker.found[face.face_id]) for face in faces]
        times = dict(zip(STAGES, (decode_ms, tracker.took_ms, fit_ms), strict=True))
        done.images.append(ReplayedImage(recorded.stamp_ns, faces, times, time_ns))
        if writer is not None:
            _write(writer, recorded, image, faces, fitter, record_images)
    done.seconds = time.perf_counter() - begin
    done.stamp_problem = clock.problem
    if not done.images:
        reason = next(iter(done.skipped), "there is none")
        raise Face3DMMError(f"none of the images on {image_topic} of {reader.path} can be used: {reason}")
    return done


def _write(
    writer: BagWriter,
    recorded: RecordedImage,
    image: NDArray[np.uint8],
    faces: list[TrackedFace],
    fitter: FaceFitter,
    record_images: str,
) -> None:
    """Write an image's results with its own header, as the nodes publish them."""
    image_size = image.shape[1], image.shape[0]
    header: dict[str, Any] = {"frame_id": recorded.frame_id, "time_ns": recorded.time_ns}
    if record_images != "none":
        writer.write_image(image, recorded.stamp_ns, compressed=record_images == "jpeg", **header)
    writer.write_landmarks(faces, recorded.stamp_ns, image_size=image_size, **header)
    model = fitter.model.name, fitter.model.digest
    writer.write_parameters(
        faces,
        recorded.stamp_ns,
        image_size=image_size,
        model=model,
        method=fitter.method,
        expression_names=fitter.model.expression_names,
        **header,
    )


def _milliseconds_since(start: float) -> float:
    return 1e3 * (time.perf_counter() - start)

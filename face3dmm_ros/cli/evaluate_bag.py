"""`face3dmm evaluate bag BAG`: replays a recording and says how well it is tracked."""

import argparse
import json
from pathlib import Path

from tqdm import tqdm

from face3dmm_ros.bags.reader import BagReader
from face3dmm_ros.bags.replay import ObservedTracker, replay
from face3dmm_ros.bags.writer import BagWriter, remove_bag
from face3dmm_ros.cli.options import add_fit_options, add_tracking_options, regressor_file
from face3dmm_ros.core import topics
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.evaluation.bag.evaluation import BagEvaluation, evaluate
from face3dmm_ros.evaluation.bag.report import bag_report
from face3dmm_ros.fit_methods import create_fitter
from face3dmm_ros.fitting.smoothing import FaceSmoother
from face3dmm_ros.landmarks import create_backend
from face3dmm_ros.landmarks.tracker import LIVE_LOOKS
from face3dmm_ros.morphable_model import load_model

PURPOSE = "replay a rosbag2 and measure how well its faces are tracked"
DESCRIPTION = (
    "Replay a rosbag2 (SQLite or MCAP; raw or compressed images): every image once and in order, however slow "
    "the machine is, and without ROS. Writes report.html, report.json and bag/ with /face/landmarks and "
    "/face/params. Where the bag has /truth/params, errors against that truth are reported too."
)


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Describe the kind of evaluation."""
    add = verb.add_argument
    add("bag", type=Path, help="a rosbag2 folder, or a .mcap or .db3 file")
    add("--out", type=Path, default=Path("out"), metavar="DIR", help="folder to write to, made if missing")
    add("--image-topic", metavar="TOPIC", help="the camera's topic; without it /camera/image_raw or the only one")
    add("--truth-topic", default="/" + topics.TRUTH, metavar="TOPIC", help="the true parameters, used where they are")
    add_fit_options(verb)
    add_tracking_options(verb)
    add("--record-images", choices=("none", "jpeg", "raw"), default="none", help="how images go into the output bag")
    add("--storage", choices=("mcap", "sqlite3"), default="mcap", help="of the output bag")


def run(arguments: argparse.Namespace) -> int:
    """Replay, measure and write; returns 0.

    Raises:
        Face3DMMError: the bag cannot be read or has no images, or options that cannot be.
    """
    with BagReader(arguments.bag) as reader:
        topic = reader.image_topic(arguments.image_topic)
        truth = reader.parameters(arguments.truth_topic) if arguments.truth_topic in reader.topics else None
        model = load_model(arguments.model)
        tracker = ObservedTracker(
            create_backend(arguments.backend), max_faces=arguments.max_faces, looks_per_image=LIVE_LOOKS
        )
        fitter = create_fitter(model, arguments.fit_method, regressor_file(arguments))
        if (arguments.out / "bag").resolve() == arguments.bag.resolve():
            raise Face3DMMError(f"the output would take the place of {arguments.bag}: choose another --out")
        remove_bag(arguments.out / "bag")
        with BagWriter(arguments.out / "bag", arguments.storage) as writer:
            done = replay(
                reader,
                topic,
                tracker,
                fitter,
                FaceSmoother(model, arguments.smoothing),
                writer,
                record_images=arguments.record_images,
                progress=lambda images: tqdm(images, total=reader.count(topic), unit="image", disable=None),
            )
    evaluation = evaluate(done, model, truth)
    settings = {
        "bag": str(arguments.bag),
        "image_topic": topic,
        "truth_topic": None if truth is None else arguments.truth_topic,
        "backend": arguments.backend,
        "fit_method": arguments.fit_method,
        "regressor": arguments.regressor,
        "smoothing": arguments.smoothing,
        "model": model.name,
        "model_digest": model.digest,
        "max_faces": arguments.max_faces,
    }
    record = settings | evaluation.record | {"notes": evaluation.notes}
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    (arguments.out / "report.json").write_text(text + "\n", encoding="utf-8")
    how = f"{arguments.backend}, {arguments.fit_method}, smoothing {arguments.smoothing}, model {model.name}"
    report = bag_report(evaluation, f"Replay of {arguments.bag.name}", f"{how}; images of {topic}")
    report.write(arguments.out / "report.html")
    print("\n".join(_lines(evaluation)))
    print(f"written: {arguments.out / 'report.html'}, {arguments.out / 'report.json'}, {arguments.out / 'bag'}")
    return 0


def _lines(evaluation: BagEvaluation) -> list[str]:
    """The main figures for a terminal."""
    record = evaluation.record
    detection, jitter, truth = record["detection"], record["jitter"], record["truth"]
    residual, drift = record["residual_px"]["median"], record["identity_drift_mm"]["first_to_last"]
    lines = [
        f"{record['images']} images, {record['skipped']} skipped, {detection['images_with_face']} with a face, "
        f"{record['images_per_s']:.1f} images/s",
        f"residual {_number(residual)} px, identity drift {_number(drift)} mm",
    ]
    if jitter["fitted_px"] is not None:
        rest = f"{jitter['rest_images']} images at rest"
        lines.append(f"jitter {_number(jitter['fitted_px'])} px, {_number(jitter['rotation_deg'])}° in {rest}")
    if truth is not None and truth["faces"]:
        errors = f"against the truth: R {_number(truth['rotation_deg']['mean'])}°, t "
        errors += f"{_number(truth['translation_px']['mean'])} px"
        if truth["same_model"]:
            errors += f", vertices {_number(truth['vertices_mm']['mean'])} mm after similarity"
        lines.append(f"{errors}, lag {_number(truth['lag_images']['rotation'])} images")
    return [*lines, *evaluation.notes]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"

"""`face3dmm evaluate bag BAG`: replays a recording and says how well it is tracked."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from face3dmm_ros.bags.reader import BagReader, RecordedImage
from face3dmm_ros.bags.replay import IMAGE_RECORDINGS, ObservedTracker, replay
from face3dmm_ros.bags.writer import BagWriter, remove_bag
from face3dmm_ros.cli.options import (
    add_fit_options,
    add_json_option,
    add_megapixels_option,
    add_tracking_options,
    for_people,
    regressor_file,
)
from face3dmm_ros.core import topics
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.evaluation.bag.evaluation import evaluate
from face3dmm_ros.evaluation.bag.report import bag_report, console_lines
from face3dmm_ros.evaluation.report import json_line, write_json
from face3dmm_ros.files.whole_file import check_writable
from face3dmm_ros.fit_methods import create_fitter
from face3dmm_ros.landmarks import create_backend
from face3dmm_ros.landmarks.tracker import LIVE_LOOKS
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.smoothing import FaceSmoother

PURPOSE = "replay a rosbag2 and measure how well its faces are tracked"
DESCRIPTION = (
    "Replay a rosbag2 (SQLite or MCAP; raw or compressed images): every image once and in order, however slow "
    "the machine is, and without ROS. Writes report.html, report.json and bag/ with /face/landmarks and "
    "/face/params. Where the bag has /truth/params, errors against that truth are reported too."
)
EPILOG = """
examples:
  face3dmm evaluate bag run/bag --out accuracy
  face3dmm evaluate bag run/bag --out unsmoothed --smoothing none --record-images jpeg
"""


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Describe the kind of evaluation."""
    add = verb.add_argument
    add("bag", type=Path, help="a rosbag2 folder, or a .mcap or .db3 file")
    add("--out", type=Path, default=Path("out"), metavar="DIR", help="folder to write to, made if missing")
    add("--image-topic", metavar="TOPIC", help="the camera's topic; without it /camera/image_raw or the only one")
    add("--truth-topic", default="/" + topics.TRUTH, metavar="TOPIC", help="the true parameters, used where they are")
    add_fit_options(verb)
    add_tracking_options(verb)
    add_megapixels_option(verb)
    add("--record-images", choices=IMAGE_RECORDINGS, default="none", help="how images go into the bag")
    add_json_option(verb, "the figures, as report.json has them,")
    add("--storage", choices=("mcap", "sqlite3"), default="mcap", help="of the output bag")


def run(arguments: argparse.Namespace) -> int:
    """Replay, measure and write; returns 0.

    Raises:
        Face3DMMError: the bag cannot be read or has no images, or an option names something that does not exist.
    """
    out_bag = arguments.out / "bag"
    page, figures = arguments.out / "report.html", arguments.out / "report.json"
    with BagReader(arguments.bag) as reader:
        if reader.notice:
            print(reader.notice, file=sys.stderr)
        topic = reader.image_topic(arguments.image_topic)
        truth = reader.parameters(arguments.truth_topic) if arguments.truth_topic in reader.topics else None
        model = load_model(arguments.model)
        backend = create_backend(arguments.backend)
        tracker = ObservedTracker(backend, max_faces=arguments.max_faces, looks_per_image=LIVE_LOOKS)
        fitter = create_fitter(model, arguments.fit_method, regressor_file(arguments))
        smoother = FaceSmoother(model, arguments.smoothing)
        if out_bag.resolve() == arguments.bag.resolve():
            raise Face3DMMError(f"the output would take the place of {arguments.bag}: choose another --out")
        check_writable(arguments.out, (page.name, figures.name))
        remove_bag(out_bag)

        def progress(images: Iterable[RecordedImage]) -> Iterable[RecordedImage]:
            return tqdm(images, total=reader.count(topic), unit="image", disable=None)

        with BagWriter(out_bag, arguments.storage) as writer:
            done = replay(
                reader, topic, tracker, fitter, smoother, writer,
                record_images=arguments.record_images, progress=progress,
            )  # fmt: skip
    evaluation = evaluate(done, model, truth)
    settings = {
        "bag": str(arguments.bag),
        "image_topic": topic,
        "truth_topic": None if truth is None else arguments.truth_topic,
        "model": model.name,
        "model_digest": model.digest,
        **{name: getattr(arguments, name) for name in ("backend", "fit_method", "regressor", "smoothing", "max_faces")},
    }
    record = settings | evaluation.record | {"notes": evaluation.notes}
    write_json(record, figures)
    how = f"{arguments.backend}, {arguments.fit_method}, smoothing {arguments.smoothing}, model {model.name}"
    report = bag_report(evaluation, f"Replay of {arguments.bag.name}", f"{how}; images of {topic}")
    report.write(page)
    with for_people(arguments.json):
        print("\n".join(console_lines(evaluation)))
        print(f"written: {page}, {figures}, {out_bag}")
    if arguments.json:
        print(json_line({"out": str(arguments.out), **record}))
    return 0

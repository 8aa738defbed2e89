"""Every image of a bag goes through the pipeline once and in order; the command writes what came of it."""

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from rosbags.rosbag2 import StoragePlugin, Writer

from face3dmm_ros.bags.messages import IMAGE_TYPE, IMAGES, LANDMARKS, PARAMETERS, TRUTH, message_types
from face3dmm_ros.bags.reader import BagReader
from face3dmm_ros.bags.replay import ObservedTracker, replay
from face3dmm_ros.bags.writer import BagWriter
from face3dmm_ros.cli import evaluate_bag
from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import FRONTAL, rotation_from_vector
from face3dmm_ros.core.values import FaceParameters
from face3dmm_ros.fitting import TrackFitter
from face3dmm_ros.landmarks.backend import Detection, LandmarkBackend, LocatedFace
from face3dmm_ros.landmarks.region import Region
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.rendering.face_renderer import FaceRenderer, PosedFace

SIZE = (320, 240)
FRAMES = 24
START_NS, PERIOD_NS = 1_700_000_000_000_000_007, 33_333_333


@pytest.fixture(scope="module")
def true_bag(default_model: MorphableModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rendered head that rests for 12 images, then turns; a little noise, and the truth beside."""
    model, rng = default_model, np.random.default_rng(0)
    alpha = rng.normal(0, 0.5, model.shape_count) * model.shape_sigma
    beta = np.zeros(model.expression_count)
    vertices = model.vertices(alpha, beta)
    background = np.full((SIZE[1], SIZE[0], 3), (120, 110, 100), np.uint8)
    path = tmp_path_factory.mktemp("bags") / "true"
    with FaceRenderer(model.triangles) as renderer, BagWriter(path) as bag:
        for k in range(FRAMES):
            R = FRONTAL @ rotation_from_vector([0.0, 0.02 * max(0, k - 11), 0.0])
            camera = WeakPerspective(1.0, R, np.array([160.0, 120.0]))
            face = PosedFace(vertices, model.normals(vertices), model.rgb(), camera)
            image = renderer.overlay(background, [face], opacity=1.0) + rng.normal(0, 2, background.shape)
            stamp = START_NS + k * PERIOD_NS
            bag.write_camera_info(None, SIZE, stamp)
            bag.write_image(np.clip(image, 0, 255).astype(np.uint8), stamp)
            truth = FaceParameters(camera, alpha, beta, model.name, model.digest, "truth", 0.0, 1.0, SIZE)
            bag.write_parameters([truth], stamp, TRUTH)
    return path


def command(bag: Path, out: Path, *options: str) -> int:
    parser = argparse.ArgumentParser()
    evaluate_bag.add_arguments(parser)
    return evaluate_bag.run(parser.parse_args([str(bag), "--out", str(out), *options]))


def report_of(out: Path) -> dict:
    return json.loads((out / "report.json").read_text())


def messages_of(out: Path) -> dict[str, list[tuple[int, bytes]]]:
    with BagReader(out / "bag") as bag:
        return {topic: list(bag.messages(topic)) for topic in bag.topics}


class SlowBackend(LandmarkBackend):
    """Takes its time, finds no face, and remembers the brightness of the images that it was shown."""

    parallel = False

    def __init__(self) -> None:
        self.seen: list[int] = []

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        time.sleep(0.02)
        self.seen.append(int(image.mean()))
        return []

    def locate(self, image: NDArray[np.uint8], region: Region, before: LocatedFace | None = None) -> LocatedFace:
        raise AssertionError("there is no face to locate")


def test_every_image_is_processed_once_and_in_order_however_slow(default_model: MorphableModel, tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as bag:
        for k in range(20):
            bag.write_image(np.full((24, 32, 3), 10 * k, np.uint8), k)
    backend = SlowBackend()
    with BagReader(tmp_path / "bag") as bag:
        done = replay(bag, IMAGES, ObservedTracker(backend, looks_per_image=0), TrackFitter(default_model))
    assert backend.seen == [10 * k for k in range(20)]
    assert [image.stamp_ns for image in done.images] == list(range(20))
    assert min(image.stage_ms["landmarks"] for image in done.images) >= 20.0
    assert max(image.stage_ms["fit"] for image in done.images) < 20.0


@pytest.mark.slow
def test_a_bag_without_stamps_is_timed_by_when_it_was_recorded(true_bag: Path, tmp_path: Path) -> None:
    with BagReader(true_bag) as bag, BagWriter(tmp_path / "unstamped") as copy:
        for recorded in bag.images(IMAGES):
            copy.write_image(recorded.pixels(), 0, time_ns=recorded.time_ns)
        for time_ns, faces in bag.parameters(TRUTH).items():
            copy.write_parameters(list(faces.values()), 0, TRUTH, time_ns=time_ns)
    command(true_bag, tmp_path / "with")
    command(tmp_path / "unstamped", tmp_path / "without")
    found = {}
    for name in ("with", "without"):
        with BagReader(tmp_path / name / "bag") as bag:
            faces = [face for _, _, message in bag.read([PARAMETERS]) for face in message.faces]
            found[name] = np.array([[*face.rotation, *face.translation, *face.beta] for face in faces])
    assert len(found["with"]) == FRAMES
    np.testing.assert_array_equal(found["without"], found["with"])
    report = report_of(tmp_path / "without")
    assert report["truth"] is None
    assert report["notes"][:2] == [
        "an image's stamp is zero: when images were recorded is taken for their time.",
        f"{FRAMES} images share a stamp with others: their truth is left out, for stamps tell whose it is.",
    ]


@pytest.mark.slow
def test_a_rendered_sequence_is_tracked_close_to_its_truth(true_bag: Path, tmp_path: Path) -> None:
    assert command(true_bag, tmp_path) == 0
    record = report_of(tmp_path)
    assert record["images"] == FRAMES
    assert record["detection"]["true_faces_found"] == 1.0
    assert record["truth"]["same_model"] is True
    assert record["truth"]["rotation_deg"]["mean"] < 4.0
    assert record["truth"]["vertices_mm"]["mean"] < 4.0
    assert record["jitter"]["rest_told_by"] == "truth"
    assert 0.0 < record["jitter"]["fitted_px"] < 1.0
    assert record["residual_px"]["median"] > 0.0
    assert set(record["latency_ms"]) == {"decode", "landmarks", "fit", "total"}
    assert (tmp_path / "report.html").read_text().count("<img") == 5


def test_the_report_is_printed_for_scripts(true_bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(true_bag, tmp_path, "--json") == 0
    told = capsys.readouterr()
    (line,) = told.out.splitlines()
    assert json.loads(line) == {"out": str(tmp_path), **report_of(tmp_path)}
    assert f"{FRAMES} images" in told.err


@pytest.mark.slow
def test_results_carry_the_stamps_of_their_images_and_are_the_same_every_time(true_bag: Path, tmp_path: Path) -> None:
    for out in ("a", "b"):
        command(true_bag, tmp_path / out)
    first, second = messages_of(tmp_path / "a"), messages_of(tmp_path / "b")
    assert set(first) == {LANDMARKS, PARAMETERS}
    assert first == second
    with BagReader(tmp_path / "a" / "bag") as bag:
        assert list(bag.parameters(PARAMETERS)) == [START_NS + k * PERIOD_NS for k in range(FRAMES)]


@pytest.mark.slow
def test_the_storage_and_the_compression_do_not_matter(true_bag: Path, tmp_path: Path) -> None:
    """A bag of JPEGs gives what their decoded pictures give."""
    with (
        BagReader(true_bag) as bag,
        BagWriter(tmp_path / "jpeg", "sqlite3") as jpeg,
        BagWriter(tmp_path / "raw") as raw,
    ):
        for recorded in bag.images(IMAGES):
            jpeg.write_image(recorded.pixels(), recorded.stamp_ns, compressed=True)
            encoded = cv2.imencode(".jpg", recorded.pixels(), [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
            raw.write_image(cv2.imdecode(encoded, cv2.IMREAD_COLOR), recorded.stamp_ns)
    for name in ("jpeg", "raw"):
        command(tmp_path / name, tmp_path / f"out_{name}")
    assert messages_of(tmp_path / "out_jpeg") == messages_of(tmp_path / "out_raw")


@pytest.mark.slow
@pytest.mark.parametrize(("images", "topic"), [("jpeg", f"{IMAGES}/compressed"), ("raw", IMAGES)])
def test_images_go_into_the_output_where_that_is_wanted(
    true_bag: Path, tmp_path: Path, images: str, topic: str
) -> None:
    command(true_bag, tmp_path, "--record-images", images, "--storage", "sqlite3")
    assert (tmp_path / "bag" / "bag.db3").is_file()
    with BagReader(tmp_path / "bag") as bag:
        assert bag.count(topic) == FRAMES


def test_a_broken_image_is_counted_and_skipped(true_bag: Path, tmp_path: Path) -> None:
    types = message_types()
    with BagReader(true_bag) as bag, Writer(tmp_path / "bag", version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection(IMAGES, IMAGE_TYPE, typestore=types)
        for index, (time_ns, data) in enumerate(bag.messages(IMAGES)):
            message = types.deserialize_cdr(data, IMAGE_TYPE)
            if index == 2:
                message.encoding = "32FC1"
            if index == 3:
                message.data = message.data[:100]
            writer.write(connection, time_ns, types.serialize_cdr(message, IMAGE_TYPE))
    command(tmp_path / "bag", tmp_path / "out")
    record = report_of(tmp_path / "out")
    assert (record["images"], record["skipped"]) == (FRAMES - 2, 2)
    assert any("32FC1" in reason for reason in record["skipped_reasons"])
    assert record["truth"] is None


def test_a_bag_of_unknown_images_is_refused(tmp_path: Path) -> None:
    types = message_types()
    with BagWriter(tmp_path / "known") as bag:
        bag.write_image(np.zeros((4, 4, 3), np.uint8), 1)
    with BagReader(tmp_path / "known") as bag, Writer(tmp_path / "bag", version=8) as writer:
        connection = writer.add_connection(IMAGES, IMAGE_TYPE, typestore=types)
        for time_ns, data in bag.messages(IMAGES):
            message = types.deserialize_cdr(data, IMAGE_TYPE)
            message.encoding = "64FC4"
            writer.write(connection, time_ns, types.serialize_cdr(message, IMAGE_TYPE))
    with pytest.raises(Face3DMMError, match=r"none of the images .* can be used: image encoding '64FC4'"):
        command(tmp_path / "bag", tmp_path / "out")


def test_the_output_does_not_take_the_place_of_the_bag(true_bag: Path, tmp_path: Path) -> None:
    with BagReader(true_bag) as bag, BagWriter(tmp_path / "bag") as copy:
        for recorded in bag.images(IMAGES):
            copy.write_image(recorded.pixels(), recorded.stamp_ns)
    with pytest.raises(Face3DMMError, match="choose another --out"):
        command(tmp_path / "bag", tmp_path)
    with BagReader(tmp_path / "bag") as bag:
        assert bag.count(IMAGES) == FRAMES

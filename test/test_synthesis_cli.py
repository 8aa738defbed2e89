"""`face3dmm synth` as its users type it."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
from rosbags.rosbag2 import Reader

from face3dmm_ros.bags.messages import message_types
from face3dmm_ros.cli.main import main
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.lab.synthesis import dataset
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.rendering.offscreen import open_context


@pytest.fixture(scope="module", autouse=True)
def _opengl() -> None:
    try:
        open_context().close()
    except Face3DMMError as error:
        pytest.skip(f"no OpenGL here: {error}")


def messages(bag: Path, topic: str) -> list:
    types = message_types()
    with Reader(bag) as reader:
        chosen = [connection for connection in reader.connections if connection.topic == topic]
        return [types.deserialize_cdr(data, connection.msgtype) for connection, _, data in reader.messages(chosen)]


def synth(out: Path, *options: str) -> int:
    return main(["synth", "--out", str(out), "--size", "96x80", "--duration", "0.2", *options])


@pytest.mark.slow
def test_a_bag_holds_images_cameras_and_truth_of_the_same_stamps(
    tmp_path: Path, default_model: MorphableModel, capsys: pytest.CaptureFixture[str]
) -> None:
    assert synth(tmp_path, "--motion", "talk", "--seed", "2") == 0
    assert "6 images" in capsys.readouterr().out
    bag = tmp_path / "bag"
    images, cameras, truths = (
        messages(bag, topic) for topic in ("/camera/image_raw", "/camera/camera_info", "/truth/params")
    )
    stamps = [[(m.header.stamp.sec, m.header.stamp.nanosec) for m in group] for group in (images, cameras, truths)]
    assert stamps[0] == stamps[1] == stamps[2]
    assert len(stamps[0]) == 6
    assert (images[0].width, images[0].height, images[0].encoding) == (96, 80, "bgr8")
    assert not cameras[0].k.any()
    assert truths[0].model_digest == default_model.digest
    (face,) = truths[0].faces
    assert len(face.alpha) == 100
    R = np.array(face.rotation).reshape(3, 3)
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(face.gaze, default_model.gaze(R, face.beta).ravel(), atol=1e-12)


@pytest.mark.slow
def test_the_same_seed_makes_the_same_bag(tmp_path: Path) -> None:
    for name in ("first", "second"):
        synth(tmp_path / name, "--seed", "5")
    first, second = (messages(tmp_path / name / "bag", "/camera/image_raw") for name in ("first", "second"))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.data, b.data)


@pytest.mark.slow
def test_a_perspective_bag_is_calibrated(tmp_path: Path) -> None:
    synth(tmp_path, "--projection", "perspective", "--fov", "60")
    (camera, *_) = messages(tmp_path / "bag", "/camera/camera_info")
    assert camera.k[0] == pytest.approx(96 / (2 * np.tan(np.radians(30))))


@pytest.mark.slow
def test_a_dataset_is_written(tmp_path: Path) -> None:
    assert synth(tmp_path, "--format", "dataset", "--count", "2") == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        "face000000.jpg", "face000000.mat", "face000001.jpg", "face000001.mat", "synthesis.json",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("who", ["processes", "a cluster"])
def test_a_dataset_is_the_same_whoever_writes_it(who: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "_IN_PART", 1)
    monkeypatch.chdir(tmp_path)
    words = ["--format", "dataset", "--count", "3"]
    assert synth(Path("alone"), *words, "--jobs", "1") == 0
    if who == "processes":
        assert synth(Path("together"), *words, "--jobs", "2") == 0
    else:
        distributed = pytest.importorskip("distributed", reason="needs Dask: pip install -r requirements-cluster.txt")
        with distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as cluster:
            assert synth(Path("together"), *words, "--dask", cluster.scheduler_address) == 0
    for path in Path("alone").glob("*.jpg"):
        other = Path("together", path.name)
        assert other.read_bytes() == path.read_bytes()
        truth, its = (scipy.io.loadmat(str(name.with_suffix(".mat"))) for name in (path, other))
        np.testing.assert_array_equal(truth["alpha"], its["alpha"])


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--duration", "0"], "duration"),
        (["--fps", "0"], "images per second"),
        (["--noise", "-1"], "noise"),
        (["--seed", "-1"], "seed"),
        (["--dask", "tcp://127.0.0.1:8786"], "for data sets"),
        (["--jobs", "2"], "for data sets"),
        (["--format", "dataset", "--photographs", "here", "--jobs", "2"], "for data sets"),
        (["--format", "dataset", "--jobs", "0"], "--jobs is at least 1"),
        (["--size", "4x4"], "16 to 8192"),
        (["--backgrounds", "nowhere"], "not a folder"),
        (["--assets", "nowhere"], "not a folder"),
        (["--format", "dataset", "--count", "0"], "count"),
        (["--format", "dataset", "--max-yaw", "400"], "yaw"),
    ],
)
def test_impossible_requests_end_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], complaint: str
) -> None:
    assert synth(tmp_path / "out", *options) == 2
    error = capsys.readouterr().err.strip()
    assert complaint in error
    assert "\n" not in error

"""The dense landmark network's training: it learns, goes on along its curve, and leaves what the detector runs."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

pytest.importorskip("torch", reason="needs torch: make torch")
import torch

from face3dmm_ros.cli.main import main
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.lab.training import losses, training
from face3dmm_ros.lab.training.batches import FaceStream, Share, sample_batches
from face3dmm_ros.lab.training.config import TrainingConfig, read_config
from face3dmm_ros.lab.training.curves import read_curve
from face3dmm_ros.lab.training.point_objective import PointAnswer, PointObjective
from face3dmm_ros.lab.training.training import train
from face3dmm_ros.landmarks.dense_network import SIDE, DenseNetwork
from face3dmm_ros.landmarks.network import Network
from face3dmm_ros.landmarks.region import Region
from face3dmm_ros.morphable_model import MorphableModel

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _few_are_measured() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_MEASURED", 8)
        yield


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TrainingConfig:
    """The shipped recipe, on few faces and for few steps."""
    faces = tmp_path_factory.mktemp("faces")
    small = (
        f"datasets.0.path={faces}", "datasets.0.options.chunks=2", "datasets.0.options.chunk_size=6",
        "datasets.0.options.processes=1", "datasets.0.options.backgrounds=drawn", "batch=4", "steps=12", "workers=0",
        "validation_count=2", "validation_every=6", "checkpoint_every=3", "log_every=2", "average=0.5",
        "optimizer.cosine.warm_up=2",
    )  # fmt: skip
    return read_config(Path("dense"), small)


@pytest.fixture(scope="module")
def trained(config: TrainingConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    train(config, folder, progress=False)
    return folder


def test_the_recipe_is_that_of_the_network_that_ships() -> None:
    config = read_config(Path("dense"))
    optimizer = config.optimizer
    assert (config.batch, config.average, optimizer.kind, optimizer.rate) == (64, 0.998, "adamw", 1e-3)
    assert (optimizer.momentum, optimizer.second_momentum, optimizer.decay) == (0.9, 0.98, 0.01)
    assert (optimizer.rate_shares, optimizer.largest_gradient) == ({"tuned": 0.3}, 2.0)
    assert optimizer.cosine is not None
    assert optimizer.cosine.warm_up == 200
    assert config.losses.weights() == {"point_distance": 10, "point_depth": 3, "point_likelihood": 0.02}


def test_the_loss_is_distance_depth_and_likelihood(config: TrainingConfig) -> None:
    found = torch.zeros(1, 468, 4)
    found[..., 3] = 5.0  # log σ beyond its bounds
    true = torch.zeros(1, 468, 3)
    true[0, :, :] = torch.tensor([0.3, 0.4, -0.2])
    values = PointObjective(config).losses(lambda x: x, PointAnswer(found, true))
    assert float(values["point_distance"]) == pytest.approx(0.5, rel=1e-4)
    assert float(values["point_depth"]) == pytest.approx(0.2)
    assert float(values["point_likelihood"]) == pytest.approx(2 * 1.0 + 0.25 * np.exp(-2) / 2)


def test_targets_are_the_points_in_the_picture(config: TrainingConfig, default_model: MorphableModel) -> None:
    stream = FaceStream(config)
    batch = next(sample_batches(config, stream, 2, Share(), held_back=True))
    objective = PointObjective(config)
    true = objective.ask(lambda inputs: inputs, batch).true
    source = stream.datasets[0].source  # type: ignore[attr-defined]
    record = source.record(len(source) - 2)
    surface = default_model.scheme("mediapipe478").at(slice(468))
    points = record.points(default_model, surface)
    depth = -record.camera.depth(surface.interpolate(default_model.vertices(record.alpha, record.beta)))
    # In sides of the crop, whose own region is where the network would look.
    region = stream.datasets[0]._region(record)  # type: ignore[attr-defined]
    on_crop = (region.to_crop(points, SIDE) - (SIDE - 1) / 2) / SIDE
    np.testing.assert_allclose(true[0, :, :2], on_crop, atol=1e-3)
    np.testing.assert_allclose(true[0, :, 2], depth / region.size, atol=1e-3)


def test_a_new_network_begins_at_the_mean_face(config: TrainingConfig, trained: Path) -> None:
    first = read_curve(trained / "validation.csv")[0]
    assert first["nme_percent"] < 40.0  # one that begins anywhere is further off than the face is large


def test_a_short_training_learns(trained: Path) -> None:
    rows = read_curve(trained / "losses.csv")
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert {"point_distance", "point_depth", "point_likelihood"} <= rows[0].keys()


def test_a_stopped_training_goes_on_along_the_same_curve(
    config: TrainingConfig, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from face3dmm_ros.lab.training.learner import Learner

    learn = Learner.learn

    def until_the_fifth(self: Learner, step: int, batch: object) -> dict:
        if step == 5:
            raise KeyboardInterrupt
        return learn(self, step, batch)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "learn", until_the_fifth)
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path, progress=False)
    train(config, tmp_path, progress=False)
    for kind in ("losses", "validation"):
        expected, found = (read_curve(folder / f"{kind}.csv") for folder in (trained, tmp_path))
        assert len(expected) == len(found)
        for one, other in zip(expected, found, strict=True):
            assert other == pytest.approx(one, rel=1e-4)


def test_what_is_written_is_what_the_detector_runs(config: TrainingConfig, trained: Path) -> None:
    network = DenseNetwork(trained / "dense.tflite")
    seen = network.locate_in_crop(np.full((SIDE, SIDE, 3), 90, np.uint8), Region(80.0, 80.0, 160.0))
    assert seen.points.shape == (468, 2)


def test_the_written_network_gives_what_torch_gives(config: TrainingConfig, tmp_path: Path) -> None:
    objective = PointObjective(config)
    objective.save(tmp_path / "dense.tflite", objective.network)
    crop = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    rgb = torch.from_numpy(crop[..., ::-1].copy()).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        expected = objective.network(rgb).numpy().ravel()
    found = Network(tmp_path / "dense.tflite", (0.0, 1.0)).run(crop)[0]
    np.testing.assert_allclose(found, expected, atol=5e-3)


@pytest.mark.filterwarnings("ignore:overflow")
def test_a_network_that_16_bits_do_not_hold_is_not_written(config: TrainingConfig, tmp_path: Path) -> None:
    objective = PointObjective(config)
    with torch.no_grad():
        objective.network.head.bias += 1e5
    with pytest.raises(Face3DMMError, match="would differ from torch's"):
        objective.save(tmp_path / "dense.tflite", objective.network)
    assert not list(tmp_path.iterdir())


def test_the_mean_distance_is_told_in_percent_of_the_faces_size() -> None:
    target = torch.tensor([[[0.0, 0.0], [4.0, 9.0]]])
    assert float(losses.nme_percent(target + torch.tensor([0.0, 0.6]), target)) == pytest.approx(10.0)


def test_a_turn_is_told_whatever_moves_and_grows_besides() -> None:
    target = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 50, 3)) * [1.0, 1.3, 0.7])
    turns = Rotation.from_rotvec(np.radians([[0.0, 2.0, 0.0], [1.0, 0.0, -1.0], [0.0, 0.0, 0.0]])).as_matrix()
    turned = 1.05 * target @ torch.from_numpy(turns).mT + torch.tensor([0.1, -0.2, 0.3])
    degrees = losses.points_rotation_degrees(turned, target)
    np.testing.assert_allclose(degrees, [2.0, np.sqrt(2.0), 0.0], rtol=0.06, atol=0.01)


def test_a_training_may_start_with_the_network_that_ships(config: TrainingConfig) -> None:
    shipped = package_file("resource/landmark_models/dense.tflite")
    network = PointObjective(config.model_copy(update={"start": "default"})).network.eval()
    picture = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    with torch.no_grad():
        found = network(torch.from_numpy(picture[..., ::-1].copy()).permute(2, 0, 1)[None].float() / 255)
    expected = Network(shipped, (0.0, 1.0)).run(picture)[0]
    np.testing.assert_allclose(found.numpy().ravel(), expected, atol=1e-4)


def test_a_part_with_no_share_of_the_rate_stays_and_costs_no_gradient(config: TrainingConfig, tmp_path: Path) -> None:
    shares = {"tuned.0": 0.0, "added.0": 0.0}
    optimizer = config.optimizer.model_copy(update={"rate_shares": shares})
    kept = config.model_copy(update={"start": "default", "optimizer": optimizer, "steps": 3})
    train(kept, tmp_path, progress=False)
    picture = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    shipped = Network(package_file("resource/landmark_models/dense.tflite"), (0.0, 1.0)).run(picture)
    (points, features), (old_points, old_features) = (
        Network(tmp_path / "dense.tflite", (0.0, 1.0)).run(picture),
        shipped,
    )
    np.testing.assert_array_equal(features, old_features)
    assert not np.allclose(points, old_points)


def test_weights_of_another_network_are_no_start(config: TrainingConfig) -> None:
    other = package_file("resource/landmark_models/face_landmark.tflite")
    with pytest.raises(Face3DMMError, match="is not a dense network"):
        PointObjective(config.model_copy(update={"start": str(other)}))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            "losses.vertex_distance={weight: 1}",
            "losses.vertex_distance is not for the network 'dense'",
        ),
        ("network=light", "losses.point_distance is not for the network 'light', which learns parameters"),
        ("layout.shape_count=10", "layout: found .*which the network 'dense' does not have"),
        ("landmark_map=true", "landmark_map: found True, which the network 'dense' does not have"),
        ("datasets.0.kind=unlabelled_folder", "datasets.0: found an unlabelled one"),
        ("datasets.0.options.scenes.field_of_view=60", "points are learnt in weak perspective"),
    ],
)
def test_what_does_not_go_with_points_is_refused(change: str, complaint: str) -> None:
    with pytest.raises(Face3DMMError, match=complaint):
        read_config(Path("dense"), (change,))


def test_part_that_the_network_lacks_is_one_clear_line(
    config: TrainingConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = config.datasets[0].path
    options = config.datasets[0].options
    arguments = [f"--set=datasets.0.options.{name}={options[name]}" for name in ("chunks", "chunk_size", "backgrounds")]
    arguments += [f"--set=datasets.0.path={folder}", "--set=validation_count=2", "--set=workers=0"]
    assert main(["train", "dense", "--out", str(tmp_path), *arguments, "--set=optimizer.rate_shares={trunk: 0.1}"]) == 2
    assert "found 'trunk', and the network consists of seen, tuned, added" in capsys.readouterr().err

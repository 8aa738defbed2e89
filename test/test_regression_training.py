"""Training: configuration, steps, kills, checkpoints, curves, processes. On drawn faces with a tiny network."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch")
import torch
from small_training import SHAPES, DrawnFaces, small_config, use_small_parts

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.lab.training import batches
from face3dmm_ros.lab.training.batches import FaceStream, Share, sample_batches, training_batches
from face3dmm_ros.lab.training.checkpoints import load_checkpoint, save_checkpoint
from face3dmm_ros.lab.training.config import (
    AsymmetricConfig,
    CosineConfig,
    DatasetConfig,
    LayoutConfig,
    LossConfig,
    LossesConfig,
    OptimizerConfig,
    PlateauConfig,
    SelfCriticConfig,
    TrainingConfig,
    read_config,
)
from face3dmm_ros.lab.training.curves import read_curve
from face3dmm_ros.lab.training.learner import Learner
from face3dmm_ros.lab.training.parameter_objective import WEIGHTS, ParameterObjective, layout_of
from face3dmm_ros.lab.training.processes import Processes
from face3dmm_ros.lab.training.samples import FaceSample
from face3dmm_ros.lab.training.training import CHECKPOINT, learning_threads, train
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.regressor.export import load_archive, regressed_outputs
from face3dmm_ros.regressor.landmark_map import landmark_maps
from face3dmm_ros.regressor.weights_file import load_regressor, read_description

SMALL = """
network: light
datasets:
  - {kind: synthetic}
losses:
  vertex_distance: {weight: 1}
steps: 10
"""


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    use_small_parts(monkeypatch)


def everything() -> TrainingConfig:
    """2DASL's two branches with all that a checkpoint must carry."""
    losses = LossesConfig(
        weighted_coefficient=LossConfig(weight=1.0),
        landmark_2d=LossConfig(weight=0.01),
        landmark_3d=LossConfig(weight=0.01),
        landmark_likelihood=LossConfig(weight=0.01),
        cycle=LossConfig(weight=0.01),
        self_critic=SelfCriticConfig(weight=0.1, rate=1e-3),
    )
    return small_config(
        datasets=(DatasetConfig(kind="labelled_folder", path="24"), DatasetConfig(kind="unlabelled_folder", path="8")),
        losses=losses,
        layout=LayoutConfig(rotation="matrix", shape_count=4, expression_count=3, landmark_count=68),
        optimizer=OptimizerConfig(kind="sgd", rate=1e-3, decay=5e-4, plateau=PlateauConfig(factor=0.5, patience=0)),
        landmark_map=True,
        steps=18,
        mixed_precision=True,
    )


def who(**changes: object) -> TrainingConfig:
    """Who somebody is and not where the face is: α and γ alone, as Tran et al. have it, with a critic."""
    values: dict = {
        "layout": LayoutConfig(rotation="none", shape_count=SHAPES, expression_count=0, texture_count=2),
        "losses": LossesConfig(
            asymmetric_euclidean=AsymmetricConfig(), self_critic=SelfCriticConfig(weight=0.01, rate=1e-4)
        ),
        "datasets": (
            DatasetConfig(kind="labelled_folder", path="24", weight=3.0),
            DatasetConfig(kind="unlabelled_folder", path="8", weight=1.0),
        ),
    }
    return small_config(**(values | changes))


def columns(path: Path) -> dict[str, list[float]]:
    rows = read_curve(path)
    return {name: [row[name] for row in rows] for name in rows[0]}


def child_environment() -> dict[str, str]:
    """One thread, and this source tree."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}


def new_learner(config: TrainingConfig) -> Learner:
    return Learner(config, ParameterObjective(config), Processes(0, 1, torch.device("cpu")))


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


# Configuration


@pytest.mark.parametrize("name", ["light", "2dasl", "tran", "dense"])
def test_shipped_configurations_are_found_by_their_names(name: str) -> None:
    assert read_config(Path(name)).steps > 1000


def test_recipe_of_tran_et_al_is_the_papers() -> None:
    config = read_config(Path("tran"))
    optimizer = config.optimizer
    assert config.network == "resnet101"
    assert (config.batch, optimizer.kind, optimizer.momentum, optimizer.decay) == (144, "sgd", 0.9, 5e-4)
    assert optimizer.plateau is not None
    assert config.losses.asymmetric_euclidean == AsymmetricConfig(weight=1.0, over=1.0, under=3.0)


def test_recipe_of_tran_et_al_regresses_shape_and_albedo_alone(default_model: MorphableModel) -> None:
    layout = layout_of(read_config(Path("tran")))
    assert (layout.has_pose, layout.shape_count, layout.expression_count) == (False, 99, 0)
    assert layout.texture_count == len(default_model.albedo_sigma)
    assert layout_of(read_config(Path("tran"), ("layout.texture_count=99",))).size == 198


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("stepps: 3", "unknown key 'stepps'; did you mean 'steps'?"),
        ("optimizer: {raet: 1}", "optimizer: unknown key 'raet'; did you mean 'rate'?"),
        ("optimizer: {rate: fast}", "optimizer.rate: found 'fast', expected a number"),
        ("optimizer: {rate: -1}", "optimizer.rate: found -1, expected greater than or equal to 0"),
        ("optimizer: {rate: .nan}", "optimizer.rate: found nan, expected a number"),
        ("optimizer: {plateau: {}, cosine: {}}", "optimizer: found both 'plateau' and 'cosine'"),
        ("batch: 2.5", "batch: found 2.5, expected a whole number"),
        ("batch: true", "batch: found True, expected a whole number"),
        ("layout: {landmark_count: 5}", "landmark_count: found 5, expected 0 (none) or 68"),
        ("layout: 3", "layout: found 3, expected keys and values"),
        ("layout: {texture_count: -1}", "layout.texture_count: found -1, expected greater than or equal to 0"),
        ("layout: {rotation: none}", "losses.vertex_distance looks at where a face's points lie"),
        ("layout: {rotation: none, landmark_count: 68}", "landmark_count: found 68, expected 0 with 'rotation: none'"),
        ("losses: {}", "losses: found [], expected at least one"),
        ("losses: {cycle: {weight: 1}}", "landmark_map: true"),
        ("datasets: []", "datasets: found none"),
        ("datasets: [{kind: unlabelled_folder}]", "at least one with labels"),
        ("datasets: [{kind: films}]", "datasets.0.kind: found 'films', expected 'synthetic', 'labelled_folder' or"),
        ("datasets: [{kind: synthetic, options: {model: x}}]", "datasets.0: options: found 'model', which is set once"),
        (
            "datasets: [{kind: synthetic, options: {texture_count: 8}}]",
            "found 'texture_count', which is set in 'layout'",
        ),
        ("datasets: [{path: here}]", "the key 'datasets.0.kind' is missing"),
        ("steps: 10\nsteps: 20", "the key 'steps' stands twice"),
        ("steps: [", "not a readable YAML file"),
        ("!!python/object/apply:os.system [exit]", "not a readable YAML file"),
    ],
)
def test_mistake_in_a_configuration_is_named_with_file_and_key(tmp_path: Path, change: str, complaint: str) -> None:
    kept = [line for line in SMALL.strip().split("\n") if not line.startswith(" ")]
    text = SMALL
    key = change.partition(":")[0]
    if any(line.startswith(f"{key}:") for line in kept) and "\n" not in change:
        start = text.index(f"\n{key}:")
        rest = text[start + 1 :].split("\n")
        after = next((k for k, line in enumerate(rest[1:], 1) if line and not line.startswith(" ")), len(rest))
        text = text[:start] + "\n" + "\n".join(rest[after:])
    path = write(tmp_path / "mine.yaml", f"{text}\n{change}\n")
    with pytest.raises(Face3DMMError) as caught:
        read_config(path)
    assert str(path) in str(caught.value)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "weighted_coefficient",
        "vertex_distance",
        "landmark_2d",
        "landmark_3d",
        "landmark_likelihood",
        "cycle",
    ],
)
def test_losses_that_look_at_points_need_a_pose(name: str) -> None:
    losses = LossesConfig.model_validate({"asymmetric_euclidean": {}, name: {}})
    with pytest.raises(ValueError, match=f"losses.{name} .*'rotation: none'.* asymmetric_euclidean, shape_distance"):
        who(losses=losses, landmark_map=True)


def test_rate_may_be_written_as_people_write_it(tmp_path: Path) -> None:
    """YAML 1.1 takes 5e-4 for a text."""
    path = write(tmp_path / "mine.yaml", SMALL + "optimizer: {rate: 5e-4}")
    assert read_config(path).optimizer.rate == 5e-4


def test_values_can_be_replaced_one_by_one(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.yaml", SMALL)
    config = read_config(path, ("steps=20", "datasets.0.path=faces", "optimizer.cosine.warm_up=5"))
    assert (config.steps, config.datasets[0].path, config.optimizer.cosine) == (20, "faces", CosineConfig(warm_up=5))
    for wrong in ("steps", "datasets.7.path=x", "steps.x=3"):
        with pytest.raises(Face3DMMError):
            read_config(path, (wrong,))


def test_missing_configuration_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(Face3DMMError, match=r"nowhere\.yaml"):
        read_config(tmp_path / "nowhere.yaml")


def test_unknown_network_is_refused_before_any_data_is_looked_at(tmp_path: Path) -> None:
    config = small_config(network="resnet18", datasets=(DatasetConfig(kind="labelled_folder", path="nowhere"),))
    with pytest.raises(Face3DMMError, match=r"resnet50.*there is no 'resnet18'"):
        train(config, tmp_path, progress=False)


# Batches


@pytest.mark.parametrize(
    ("cores", "workers", "threads", "expected"), [(2, 2, 2, 1), (2, 0, 2, 2), (4, 1, 4, 3), (16, 2, 8, 8)]
)
def test_torch_leaves_their_cores_to_the_workers_that_make_samples(
    monkeypatch: pytest.MonkeyPatch, cores: int, workers: int, threads: int, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(cores))
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert learning_threads(small_config(workers=workers)) == expected


def test_batches_depend_on_the_number_of_the_step_alone() -> None:
    config = small_config(steps=6)
    all_at_once = list(training_batches(config, FaceStream(config), 0, Share()))
    from_the_fourth = list(training_batches(config, FaceStream(config), 3, Share()))
    assert len(all_at_once) == 6
    for one, other in zip(all_at_once[3:], from_the_fourth, strict=True):
        torch.testing.assert_close(one.crops, other.crops, rtol=0, atol=0)
    assert not torch.equal(all_at_once[0].crops, all_at_once[1].crops)


def test_processes_share_out_the_batches_of_one() -> None:
    config = small_config(steps=2)
    stream = FaceStream(config)
    whole = list(training_batches(config, stream, 0, Share()))
    parts = [list(training_batches(config, stream, 0, Share(k, 2))) for k in range(2)]
    for step, batch in enumerate(whole):
        for k in range(2):
            torch.testing.assert_close(batch.crops[k::2], parts[k][step].crops, rtol=0, atol=0)


def test_every_batch_holds_each_data_set_by_its_weight() -> None:
    config = small_config(
        datasets=(
            DatasetConfig(kind="labelled_folder", path="24", weight=3.0),
            DatasetConfig(kind="unlabelled_folder", path="8", weight=1.0),
        ),
        batch=8,
    )
    batch = next(training_batches(config, FaceStream(config), 0, Share()))
    assert int(batch.labelled.sum()) == 6
    with pytest.raises(Face3DMMError, match="no room"):
        next(training_batches(config, FaceStream(config), 0, Share(0, 8)))


def test_faces_held_back_are_never_learnt_from(monkeypatch: pytest.MonkeyPatch, default_model: MorphableModel) -> None:
    asked: list[tuple[int, bool]] = []

    class Watched(DrawnFaces):
        def sample(self, index: int, rng: np.random.Generator, augment: bool) -> FaceSample:
            asked.append((index, augment))
            return super().sample(index, rng, augment)

    monkeypatch.setattr(batches, "open_dataset", lambda options: Watched(default_model, 9))
    config = small_config(steps=20)
    list(training_batches(config, FaceStream(config), 0, Share()))
    assert {index for index, _ in asked} == set(range(5))
    assert all(augment for _, augment in asked)
    asked.clear()
    list(sample_batches(config, FaceStream(config), 4, Share(), held_back=True))
    assert asked == [(index, False) for index in range(5, 9)]


def test_broken_picture_ends_the_training_with_its_own_message(tmp_path: Path) -> None:
    config = small_config(datasets=(DatasetConfig(kind="labelled_folder", path="12", options={"broken": 3}),))
    with pytest.raises(Face3DMMError, match=r"^picture 3 is broken$"):
        train(config, tmp_path, progress=False)


def test_worker_that_was_killed_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Bus error.")  # as torch says it, anywhere

    monkeypatch.setattr(Learner, "learn", killed)
    with pytest.raises(Face3DMMError, match="shared memory"):
        train(small_config(), tmp_path, progress=False)


def test_data_set_too_small_to_hold_faces_back_is_refused(tmp_path: Path) -> None:
    config = small_config(datasets=(DatasetConfig(kind="labelled_folder", path="4"),))
    with pytest.raises(Face3DMMError, match="4 faces, and 4 are held back"):
        train(config, tmp_path, progress=False)


def test_landmark_maps_are_off_while_learning_as_a_detectors_are() -> None:
    config = small_config(landmark_map=True, landmark_noise=2.0)
    objective = ParameterObjective(config)
    batch = next(training_batches(config, FaceStream(config), 0, Share()))
    exact, off = (objective.ask(objective.network, batch, learning).inputs[:, 3] for learning in (False, True))
    torch.testing.assert_close(exact, landmark_maps(batch.parameters.landmarks))
    assert (exact != off).any()
    assert abs(float((exact > 0).sum() - (off > 0).sum())) < 30  # as many marks, elsewhere


# Training


@pytest.mark.slow
def test_training_learns_and_leaves_weights_curves_and_events(tmp_path: Path) -> None:
    config = small_config(steps=200, validation_every=100, checkpoint_every=100, log_every=20)
    weights = train(config, tmp_path, progress=False)
    losses, validation = columns(tmp_path / "losses.csv"), columns(tmp_path / "validation.csv")
    assert losses["step"] == list(range(20, 201, 20))
    assert losses["loss"][-1] < 0.5 * losses["loss"][0]
    # The first look comes before the first step, so that mistakes show at once.
    assert validation["step"] == [0, 100, 200]
    assert validation["nme_percent"][-1] < validation["nme_percent"][0]
    assert weights == tmp_path / WEIGHTS
    assert read_description(weights).model == "default"
    faces = load_regressor(weights)(torch.zeros((2, 120, 120, 3), dtype=torch.uint8))
    assert faces[1].shape == (2, 3, 3)
    pytest.importorskip("tensorboard", reason="needs TensorBoard")
    assert list((tmp_path / "tensorboard").glob("events.*"))


@pytest.mark.slow
def test_training_can_start_with_another_ones_weights_and_units(tmp_path: Path) -> None:
    weights = train(small_config(steps=200, average=0.0), tmp_path / "first", progress=False)
    train(small_config(steps=1, start=str(weights), seed=1), tmp_path / "second", progress=False)
    first, second = (columns(tmp_path / name / "validation.csv") for name in ("first", "second"))
    # What is written is rounded to 16 bits, and the faces held back are the same.
    assert second["loss"][0] == pytest.approx(first["loss"][-1], rel=0.05)


def test_start_with_weights_of_another_layout_is_refused(tmp_path: Path) -> None:
    weights = train(small_config(steps=1), tmp_path / "first", progress=False)
    other = small_config(
        steps=1, start=str(weights), layout=LayoutConfig(rotation="matrix", shape_count=4, expression_count=3)
    )
    with pytest.raises(
        Face3DMMError, match=r"start: .*weights\.safetensors holds tiny of 3 channels with .*6d.*matrix"
    ):
        train(other, tmp_path / "second", progress=False)


@pytest.mark.slow
def test_training_without_a_pose_learns_shape_and_albedo(tmp_path: Path) -> None:
    config = who(
        datasets=(DatasetConfig(kind="labelled_folder", path="100"),),
        losses=LossesConfig(asymmetric_euclidean=AsymmetricConfig(over=1.0, under=1.0)),
        batch=16,
        steps=150,
        validation_every=150,
        checkpoint_every=150,
        validation_count=16,
    )
    train(config, tmp_path, progress=False)
    losses, validation = columns(tmp_path / "losses.csv"), columns(tmp_path / "validation.csv")
    assert losses["loss"][-1] < 0.7 * losses["loss"][0]
    assert set(validation) == {"step", "loss", "shape", "texture"}
    assert validation["texture"][-1] < 0.6 * validation["texture"][0]


@pytest.mark.slow
def test_training_without_a_pose_goes_on_along_the_same_curve(tmp_path: Path) -> None:
    train(who(steps=30), tmp_path / "unbroken", progress=False)
    for steps in (15, 30):
        train(who(steps=steps), tmp_path / "stopped", progress=False)
    expected, found = (columns(tmp_path / name / "losses.csv") for name in ("unbroken", "stopped"))
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, err_msg=name)


def test_what_was_trained_without_a_pose_is_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    weights = train(who(steps=3), tmp_path, progress=False)
    archive = load_archive(weights)
    assert regressed_outputs(archive.description.layout) == ("alpha", "gamma")
    crops = torch.zeros((2, 120, 120, 3), dtype=torch.uint8)
    for expected, found in zip(load_regressor(weights)(crops), archive.module(crops), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("config", "shown"), [(small_config, True), (who, False)])
def test_progress_shows_errors_of_the_pose_where_there_is_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], config: Callable[..., TrainingConfig], shown: bool
) -> None:
    train(config(steps=3), tmp_path)
    said = capsys.readouterr().err
    assert "loss=" in said
    assert ("R=" in said, "NME=" in said) == (shown, shown)


def test_everything_is_tried_before_the_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_step(*_: object) -> None:
        raise RuntimeError("the first step")

    monkeypatch.setattr(Learner, "learn", no_step)
    with pytest.raises(RuntimeError, match="the first step"):
        train(small_config(), tmp_path, progress=False)
    assert {CHECKPOINT, WEIGHTS, "validation.csv"} <= {file.name for file in tmp_path.iterdir()}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training of `everything` that was not stopped."""
    folder = tmp_path_factory.mktemp("unbroken")
    with pytest.MonkeyPatch.context() as patch:
        use_small_parts(patch)
        train(everything(), folder, progress=False)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [1, 10, 16])
def test_stopped_training_goes_on_along_the_same_curve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unbroken: Path, stop_after: int
) -> None:
    """Wherever it stops, with two branches, critic, averages, a plateau and 16-bit arithmetic."""
    config = everything()
    learn = Learner.learn
    taken = 0

    def learn_until_stopped(self: Learner, *arguments: object) -> dict:
        nonlocal taken
        taken += 1
        if taken > stop_after:
            raise KeyboardInterrupt
        return learn(self, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "learn", learn_until_stopped)
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path, progress=False)
    train(config, tmp_path, progress=False)
    for kind in ("losses", "validation"):
        expected, found = (columns(folder / f"{kind}.csv") for folder in (unbroken, tmp_path))
        assert expected.keys() == found.keys()
        for name in expected:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, err_msg=f"{kind}: {name}")


@pytest.mark.slow
def test_killed_process_goes_on_along_the_same_curve(tmp_path: Path) -> None:
    """SIGKILL gives no time to tidy up."""
    program = [sys.executable, str(Path(__file__).with_name("small_training.py"))]
    environment = child_environment()
    killed = subprocess.Popen([*program, str(tmp_path / "killed"), "100000"], env=environment)
    curve = tmp_path / "killed" / "losses.csv"
    deadline = time.monotonic() + 60
    while not (curve.is_file() and len(curve.read_text().splitlines()) > 12):
        assert killed.poll() is None, "the training ended early"
        assert time.monotonic() < deadline, "the training wrote no losses"
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    config = small_config(steps=3 * (len(curve.read_text().splitlines()) + 10))
    train(config, tmp_path / "killed", progress=False)
    train(config, tmp_path / "unbroken", progress=False)
    expected, found = (columns(tmp_path / name / "losses.csv") for name in ("unbroken", "killed"))
    assert expected["step"] == found["step"]
    # Threads add in no fixed order; another order of batches would differ by far more.
    np.testing.assert_allclose(found["loss"], expected["loss"], rtol=2e-3)


def test_finished_training_has_nothing_left_to_do(tmp_path: Path) -> None:
    config = small_config(steps=6)
    train(config, tmp_path, progress=False)
    before = (tmp_path / "losses.csv").read_text()
    train(config, tmp_path, progress=False)
    assert (tmp_path / "losses.csv").read_text() == before


@pytest.mark.slow
def test_fresh_training_forgets_the_last(tmp_path: Path) -> None:
    train(small_config(steps=6), tmp_path, progress=False)
    train(small_config(steps=6, seed=1), tmp_path, resume=False, progress=False)
    assert columns(tmp_path / "losses.csv")["step"] == [3, 6]


def test_two_trainings_do_not_share_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def another(*_: object) -> None:
        train(small_config(), tmp_path, progress=False)

    monkeypatch.setattr(Learner, "learn", another)
    with pytest.raises(Face3DMMError, match="another training is at work"):
        train(small_config(), tmp_path, progress=False)


def test_loss_that_is_no_longer_finite_ends_the_training(tmp_path: Path) -> None:
    config = small_config(
        optimizer=OptimizerConfig(kind="sgd", rate=100.0, momentum=0.0, largest_gradient=None), steps=100
    )
    with pytest.raises(Face3DMMError, match=r"the loss is .*lower optimizer\.rate"):
        train(config, tmp_path, progress=False)
    state = load_checkpoint(tmp_path / CHECKPOINT, config)["learner"]
    assert all(torch.isfinite(value).all() for value in state["objective"].values())


def test_rate_falls_when_the_validation_loss_no_longer_does() -> None:
    config = small_config(
        optimizer=OptimizerConfig(kind="sgd", rate=1e-2, plateau=PlateauConfig(factor=0.5, patience=1))
    )
    learner = new_learner(config)
    rates = []
    for loss in (3.0, 2.0, 2.1, 2.2, 1.9, 2.0, 2.0):
        learner.judged(loss)
        rates.append(learner.rate)
    np.testing.assert_allclose(rates, [1e-2, 1e-2, 1e-2, 5e-3, 5e-3, 5e-3, 2.5e-3])


def test_rate_warms_up_and_follows_a_cosine(tmp_path: Path) -> None:
    optimizer = OptimizerConfig(rate=1e-3, cosine=CosineConfig(warm_up=5))
    train(small_config(optimizer=optimizer, steps=20, log_every=1), tmp_path, progress=False)
    rates = np.array(columns(tmp_path / "losses.csv")["rate"])
    assert rates[0] < rates[1] < rates[2] < rates[3]
    assert (np.diff(rates[5:]) < 0).all()
    np.testing.assert_allclose(rates[10], 0.5e-3, rtol=1e-6)
    assert rates[-1] < 0.02e-3


def test_parts_of_the_network_learn_at_a_share_of_the_rate() -> None:
    optimizer = OptimizerConfig(kind="sgd", rate=0.01, momentum=0.0, decay=0.0, rate_shares={"0": 0.0, "6": 0.5})
    config = small_config(optimizer=optimizer)
    learner = new_learner(config)
    network = learner.objective.network
    before = {name: value.clone() for name, value in network.named_parameters()}
    learner.learn(0, next(training_batches(config, FaceStream(config), 0, Share())))
    moved = {name: value - before[name] for name, value in network.named_parameters()}
    assert learner.rate == 0.01
    assert not moved["0.weight"].any()
    gradients = {name: value.grad for name, value in network.named_parameters() if value.grad is not None}
    torch.testing.assert_close(moved["1.bias"], -0.01 * gradients["1.bias"], rtol=1e-3, atol=1e-7)
    torch.testing.assert_close(moved["6.bias"], -0.005 * gradients["6.bias"], rtol=1e-3, atol=1e-7)
    wrong = small_config(optimizer=OptimizerConfig(rate_shares={"trunk": 0.1}))
    with pytest.raises(Face3DMMError, match="found 'trunk'"):
        new_learner(wrong)


@pytest.mark.slow
def test_two_processes_learn_as_one(tmp_path: Path) -> None:
    """With torchrun's variables, by gloo on the CPU."""
    folder = tmp_path / "together"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = [sys.executable, str(Path(__file__).with_name("small_training.py")), str(folder), "30"]
    environment = child_environment() | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    ranks = [
        subprocess.Popen(program, env=environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in range(2)
    ]
    assert [rank.wait(timeout=90) for rank in ranks] == [0, 0]
    losses = columns(folder / "losses.csv")
    assert losses["step"] == list(range(3, 31, 3))
    assert np.mean(losses["loss"][-3:]) < np.mean(losses["loss"][:3])
    alone = tmp_path / "alone"
    train(small_config(steps=1), alone, progress=False)
    # What the untrained network makes of the faces held back, which the two share out.
    expected, found = (read_curve(path / "validation.csv")[0] for path in (alone, folder))
    assert found == pytest.approx(expected, rel=1e-4)


# Checkpoints


def test_checkpoint_of_another_configuration_is_refused(tmp_path: Path) -> None:
    train(small_config(steps=6), tmp_path, progress=False)
    with pytest.raises(Face3DMMError, match="is of a training with batch 4, and the configuration now says 6"):
        train(small_config(steps=6, batch=6), tmp_path, progress=False)
    train(small_config(steps=9), tmp_path, progress=False)  # more steps are no other training


class Intruder:
    """Runs when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.path,))


def test_nothing_in_a_checkpoint_is_run(tmp_path: Path) -> None:
    path, trace = tmp_path / CHECKPOINT, tmp_path / "trace"
    torch.save({"format_version": 1, "config": {}, "state": Intruder(trace)}, path)
    with pytest.raises(Face3DMMError, match="not a readable checkpoint"):
        load_checkpoint(path, small_config())
    assert not trace.exists()


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "list", "version", "parts", "learner"])
def test_damaged_checkpoint_is_one_clear_error(tmp_path: Path, damage: str) -> None:
    path, config = tmp_path / CHECKPOINT, small_config()
    save_checkpoint(path, config, {"step": 3, "learner": {}, "window": {}, "in_window": 0})
    if damage in ("empty", "cut"):
        path.write_bytes(path.read_bytes()[: 0 if damage == "empty" else 200])
    elif damage == "text":
        path.write_text("no checkpoint")
    elif damage == "list":
        torch.save([1, 2], path)
    elif damage == "parts":
        save_checkpoint(path, config, {"step": 3})
    elif damage == "version":
        torch.save({"format_version": 99, "config": {}, "state": {}}, path)
    with pytest.raises(Face3DMMError, match=r"checkpoint\.pt.*--fresh"):
        train(config, tmp_path, progress=False)


# Processes that make samples


def test_worker_ends_with_the_process_it_works_for(tmp_path: Path) -> None:
    program = tmp_path / "parent.py"
    program.write_text(
        "import multiprocessing, time\n"
        "from face3dmm_ros.core.worker_process import begin_worker\n"
        "def work():\n"
        "    begin_worker()\n"
        "    print('working', flush=True)\n"
        "    time.sleep(1000)\n"
        "if __name__ == '__main__':\n"
        "    multiprocessing.get_context('spawn').Process(target=work).start()\n"
        "    time.sleep(1000)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, str(program)], env=child_environment(), stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "working\n"
    parent.kill()
    # Comes to its end when nobody is left to write.
    assert parent.communicate(timeout=30)[0] == ""

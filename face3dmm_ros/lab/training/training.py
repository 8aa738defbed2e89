"""The training loop: steps, validation, checkpoints and curves, until the configuration's last step.

A run that was killed at any moment goes on from its last checkpoint along the same curve: all that is random depends on
the seed and the number of the step (`batches`, `learner`), and the rest is in the checkpoint.
"""

import fcntl
import math
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.progress_bar import progress_bar
from face3dmm_ros.lab.training.batches import (
    FaceStream,
    Share,
    check,
    sample_batches,
    training_batches,
    worker_deaths_explained,
)
from face3dmm_ros.lab.training.checkpoints import load_checkpoint, save_checkpoint
from face3dmm_ros.lab.training.config import TrainingConfig
from face3dmm_ros.lab.training.curves import KINDS, TENSORBOARD, Curves
from face3dmm_ros.lab.training.learner import Learner
from face3dmm_ros.lab.training.objective import Objective
from face3dmm_ros.lab.training.parameter_objective import ParameterObjective
from face3dmm_ros.lab.training.point_objective import PointObjective
from face3dmm_ros.lab.training.processes import Processes, processes
from face3dmm_ros.photometric.torch_threads import torch_threads

CHECKPOINT = "checkpoint.pt"
_MEASURED = 1024
"""Faces of each labelled data set that a new network's units are measured on; chosen by hand: seconds at the start."""


def open_objective(config: TrainingConfig, device: torch.device | str = "cpu") -> Objective:
    """What a configuration's network learns.

    Raises:
        Face3DMMError: network, model or start weights cannot be used, see `ParameterObjective` and `PointObjective`.
    """
    return PointObjective(config, device) if config.learns_points else ParameterObjective(config, device)


def train(config: TrainingConfig, folder: Path, resume: bool = True, progress: bool = True) -> Path:
    """Train a network, alone or as one of `torchrun`'s processes; returns the path of what is to be used.

    Writes into the folder: `CHECKPOINT`; the network for use, anew at each validation: ``weights.safetensors`` of a
    regressor, or ``dense.tflite``; ``losses.csv`` and ``validation.csv``; and TensorBoard's events where that is
    installed. Faces are validated and everything is written once before the first step.

    Args:
        config: what to train.
        folder: made if missing.
        resume: go on from the folder's checkpoint, if there is one; else start over.
        progress: show a bar on stderr.

    Raises:
        Face3DMMError: data, model, checkpoint or folder cannot be used, or the loss is no longer finite.
    """
    with processes() as here, _alone(folder, here), worker_deaths_explained(), torch_threads(learning_threads(config)):
        objective = open_objective(config, here.device)
        stream = FaceStream(config)
        for line in check(config, stream):
            _say(here, progress, line)
        share = Share(here.rank, here.count)
        state = _last_state(config, folder, resume, objective.file, here)
        if state is None:
            _measure(objective, config, stream, here)
        learner = Learner(config, objective, here)
        first_step, window = 0, _Window({}, 0)
        if state is not None:
            learner.restore(state["learner"], folder / CHECKPOINT)
            first_step, window = int(state["step"]), _Window(state["window"], int(state["in_window"]))
            _say(here, progress, f"going on after step {first_step} of {config.steps}")
        held_back = list(sample_batches(config, stream, config.validation_count, share, held_back=True))
        with closing(_Record(config, folder, learner, here, first_step if state else -1)) as record:
            if state is None:
                record.validate(0, held_back)
                record.checkpoint(0, window)
            batches = training_batches(config, stream, first_step, share)
            shown = progress and here.first
            with progress_bar(
                total=config.steps, initial=first_step, unit="step", desc="training", disable=not shown
            ) as bar:
                for step in range(first_step + 1, config.steps + 1):
                    asked = time.monotonic()
                    batch = next(batches)
                    window.waited += time.monotonic() - asked
                    window.add(learner.learn(step - 1, batch))
                    last = step == config.steps
                    if step % config.log_every == 0 or last:
                        record.losses(step, window)
                        window = _Window({}, 0)
                    if step % config.validation_every == 0 or last:
                        learner.judged(record.validate(step, held_back))
                    if step % config.checkpoint_every == 0 or last:
                        record.checkpoint(step, window)
                    bar.update()
                    bar.set_postfix(record.latest, refresh=False)
            record.network()
        here.wait()
    return folder / objective.file


def learning_threads(config: TrainingConfig) -> int:
    """What torch may have: as many threads as it has itself, but none on the cores of the workers that make samples."""
    left = len(os.sched_getaffinity(0)) - config.workers
    return max(1, min(torch.get_num_threads(), left))


class _Window:
    """The losses of the steps since they were last written down."""

    def __init__(self, totals: Mapping[str, float], count: int) -> None:
        self.totals = {name: torch.tensor(total, dtype=torch.float64) for name, total in totals.items()}
        self.count = self._at_first = count
        self.waited, self._began = 0.0, time.monotonic()

    def add(self, losses: Mapping[str, Tensor]) -> None:
        for name, loss in losses.items():
            # Summed where it was computed: a look at each would keep a GPU waiting.
            self.totals[name] = loss.double() + self.totals.get(name, torch.zeros(())).to(loss.device)
        self.count += 1

    def speed(self) -> dict[str, float]:
        """Steps in a second, and the share of the time in which samples were waited for."""
        lasted = max(time.monotonic() - self._began, 1e-9)
        return {"steps_per_second": (self.count - self._at_first) / lasted, "waiting_share": self.waited / lasted}


class _Record:
    """Writes curves, networks and checkpoints, in the first process only."""

    def __init__(self, config: TrainingConfig, folder: Path, learner: Learner, here: Processes, last_step: int) -> None:
        self._config, self._folder, self._learner, self._here = config, folder, learner, here
        self._curves = Curves(folder, last_step) if here.first else None
        self.latest: dict[str, str] = {}

    def losses(self, step: int, window: _Window) -> None:
        names = list(window.totals)
        sums = torch.stack([window.totals[name].cpu() for name in names])
        values = dict(zip(names, self._here.mean(sums, window.count).tolist(), strict=True))
        _require_finite(step, values["loss"])
        self.latest["loss"] = f"{values['loss']:.4g}"
        if self._curves is not None:
            self._curves.add("losses", step, values | {"rate": self._learner.rate})
            self._curves.show("speed", step, window.speed())

    def validate(self, step: int, held_back: list) -> float:
        """Validate on the faces held back; returns their loss."""
        values = self._learner.validate(held_back)
        _require_finite(step, values["loss"])
        shown = {"R": ("rotation_degrees", "°"), "NME": ("nme_percent", "%")}
        self.latest |= {name: f"{values[key]:.2f}{unit}" for name, (key, unit) in shown.items() if key in values}
        if self._curves is not None:
            self._curves.add("validation", step, values)
        self.network()
        return values["loss"]

    def network(self) -> None:
        if self._here.first:
            objective = self._learner.objective
            objective.save(self._folder / objective.file, self._learner.best)

    def checkpoint(self, step: int, window: _Window) -> None:
        totals = {name: float(total) for name, total in window.totals.items()}
        _require_finite(step, totals.get("loss", 0.0))
        if self._here.first:
            state = {"step": step, "learner": self._learner.state(), "window": totals, "in_window": window.count}
            save_checkpoint(self._folder / CHECKPOINT, self._config, state)

    def close(self) -> None:
        if self._curves is not None:
            self._curves.close()


@contextmanager
def _alone(folder: Path, here: Processes) -> Iterator[None]:
    """Keep other trainings out of the folder, which they would overwrite.

    Raises:
        Face3DMMError: another training runs there, or the folder cannot be written to.
    """
    if not here.first:
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".training").open("w")
    except OSError as error:
        raise Face3DMMError(f"{folder} cannot be written to: {error}") from error
    with lock:
        try:
            # The lock goes with the process, however that ends.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Face3DMMError(f"another training is at work in {folder}: wait for it, or choose another") from error
        yield


def _last_state(
    config: TrainingConfig, folder: Path, resume: bool, written: str, here: Processes
) -> dict[str, Any] | None:
    """The last checkpoint's state; None without one, after an earlier training's files are removed from the folder."""
    path = folder / CHECKPOINT
    # One process looks for all: it may soon write the file.
    if bool(here.of_first(torch.tensor(float(resume and path.is_file())))):
        state = load_checkpoint(path, config)
        if not state.keys() >= {"step", "learner", "window", "in_window"}:
            raise Face3DMMError(f"{path} is damaged: it holds {', '.join(state) or 'nothing'}; start afresh (--fresh)")
        here.wait()
        return state
    if here.first:
        for name in (CHECKPOINT, written, *(f"{kind}.csv" for kind in KINDS)):
            (folder / name).unlink(missing_ok=True)
        shutil.rmtree(folder / TENSORBOARD, ignore_errors=True)
    return None


def _measure(objective: Objective, config: TrainingConfig, stream: FaceStream, here: Processes) -> None:
    """Initialise a new network's units from faces to be learnt from, the same in all processes."""
    if here.first:
        objective.measure(sample_batches(config, stream, _MEASURED, Share(), held_back=False))
    for values in objective.state_dict().values():
        values.copy_(here.of_first(values))


def _require_finite(step: int, loss: float) -> None:
    if not math.isfinite(loss):
        raise Face3DMMError(
            f"at step {step} the loss is {loss}: lower optimizer.rate, or the weight of the loss that grew last in "
            "losses.csv; the last checkpoint is from before"
        )


def _say(here: Processes, progress: bool, line: str) -> None:
    if progress and here.first:
        print(line, file=sys.stderr)

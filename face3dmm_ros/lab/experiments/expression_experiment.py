"""Why did the report's networks show no expression? An answer by experiment, on synthetic faces.

Trains the light network again and again, each time with one thing as the report had it, and measures on faces held
back how much of the expression comes back: how much of the vertices' motion is explained (1: all, 0: no more than the
average expression does), and how the opening of the mouth goes with the true one. Every network learns by the squared
error of its coefficients alone, as the report's did. Finished networks are not trained again: the same command goes on.
Needs torch (`make torch`); the faces are those of `face3dmm train light`.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from face3dmm_ros.core.worker_process import begin_worker
from face3dmm_ros.files.whole_file import whole_file
from face3dmm_ros.lab.training.config import (
    AsymmetricConfig,
    CosineConfig,
    DatasetConfig,
    LayoutConfig,
    LossesConfig,
    OptimizerConfig,
    TrainingConfig,
)
from face3dmm_ros.lab.training.cropped_faces import CroppedFaces
from face3dmm_ros.lab.training.face_chunks import FaceRecord, FaceSource
from face3dmm_ros.lab.training.learner import Learner, layout_of, new_network
from face3dmm_ros.lab.training.processes import processes
from face3dmm_ros.lab.training.samples import FaceSample, SampleBatch, collate
from face3dmm_ros.lab.training.synthetic_faces import open_synthetic_faces
from face3dmm_ros.morphable_model import MorphableModel, load_model
from face3dmm_ros.regressor.face_regressor import FaceRegressor, parameter_batch
from face3dmm_ros.regressor.parameter_layout import Whitening

HELD_BACK = 500
SHAPES = 40
INNER_LIPS = 62, 66
"""iBUG's points in the middle of the upper and the lower lip's inner edge."""
_SEED_MEAN, _SEED_DEVIATION = 127.5 * 255, 128.0 * 255
"""The report's networks were run on pixels (x / 255 − 127.5) / 128."""
_MEASURED = 8
"""Batches from which the units of the numbers are measured."""


@dataclass(frozen=True)
class Variant:
    """A training.

    Attributes:
        components: principal components of the expressions that are regressed; None for the blendshapes themselves.
        faces: how many there are to learn from.
        whitened: whether every number counts in units of its deviation; else α in those of an orthonormal basis in
            micrometres, as the Basel Face Model has it, and the rest as it is.
        normalised_otherwise: the network is shown pixels in another range than it learnt from, as the report's were.
    """

    components: int | None = None
    faces: int = 19_500
    whitened: bool = True
    normalised_otherwise: bool = False


VARIANTS = {
    "all done right": Variant(),
    "29 components": Variant(components=29),
    "10 components": Variant(components=10),
    "2,000 faces": Variant(faces=2_000),
    "targets not whitened": Variant(whitened=False),
    "normalised otherwise in use": Variant(normalised_otherwise=True),
    "all three as in the report": Variant(components=10, whitened=False, normalised_otherwise=True),
}


class PrincipalExpressions:
    """The expressions of some faces in principal components, over the vertices, of how they vary."""

    def __init__(self, model: MorphableModel, beta: NDArray[np.floating], count: int) -> None:
        """From expressions β, (F, E), to `count` components."""
        self._mean = beta.mean(axis=0).astype(np.float64)
        basis = model.expression_basis.astype(np.float64)
        spread = np.linalg.cholesky(np.cov(beta.T) + 1e-6 * np.eye(beta.shape[1]))
        values, vectors = np.linalg.eigh(spread.T @ (basis.T @ basis) @ spread)
        self._turn = vectors[:, np.argsort(values)[::-1][:count]]
        self._to_unit = self._turn.T @ np.linalg.inv(spread)
        shown = basis @ spread @ self._turn
        self.model = replace(
            model,
            mean=(model.mean + (basis @ self._mean).reshape(-1, 3)).astype(np.float32),
            expression_basis=shown.astype(np.float32),
            expression_sigma=np.ones(count, np.float32),
            expression_names=tuple(f"component {k}" for k in range(count)),
            expression_bounds=np.tile(np.array([[-np.inf], [np.inf]], np.float32), count),
        )

    def coefficients(self, beta: NDArray[np.floating]) -> NDArray[np.float64]:
        """Components of an expression β, (E,) → (count,)."""
        return self._to_unit @ (beta - self._mean)


@dataclass(frozen=True)
class InComponents:
    """A `FaceSource` whose expressions are told in components."""

    faces: FaceSource
    expressions: PrincipalExpressions

    def __len__(self) -> int:
        return len(self.faces)

    def record(self, index: int) -> FaceRecord:
        """A face."""
        record = self.faces.record(index)
        return replace(record, beta=self.expressions.coefficients(record.beta))


class Drawn(Dataset[FaceSample]):
    """Augmented faces, drawn at random from those to learn from."""

    def __init__(self, faces: CroppedFaces, learnt: int, count: int) -> None:
        """`count` draws from the first `learnt` faces."""
        self._faces, self._learnt, self._count = faces, learnt, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> FaceSample:
        rng = np.random.default_rng([1, index])
        return self._faces.sample(int(rng.integers(self._learnt)), rng, augment=True)


def main() -> int:
    """Train what is not trained yet, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--faces", type=Path, default=Path("runs/synthetic_faces"), help="rendered if missing")
    parser.add_argument("--out", type=Path, default=Path("runs/expression_experiment"))
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--only", nargs="*", default=list(VARIANTS), metavar="NAME", help="some of the trainings")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    faces = open_synthetic_faces(arguments.faces, shape_count=SHAPES, chunks=80, processes=2, backgrounds="drawn")
    print(f"{'':30} vertices explained   mouth's opening: correlation, slope")
    trained: dict[Variant, TrainedVariant] = {}
    for name in arguments.only:
        path = arguments.out / f"{name.replace(' ', '_')}_{arguments.steps}x{arguments.batch}.json"
        if not path.is_file():
            learnt_by = replace(VARIANTS[name], normalised_otherwise=False)
            if learnt_by not in trained:
                trained[learnt_by] = train_variant(learnt_by, faces.source, arguments.steps, arguments.batch, name)
            figures = judged(trained[learnt_by], faces.source, VARIANTS[name].normalised_otherwise)
            with whole_file(path) as unfinished:
                unfinished.write_text(json.dumps(figures, indent=1) + "\n")
        figures = json.loads(path.read_text())
        explained, correlation, slope = (figures[key] for key in ("explained", "correlation", "slope"))
        print(f"{name:30} {explained:18.3f} {correlation:32.3f}, {slope:.3f}", flush=True)
    return 0


@dataclass(frozen=True, eq=False)
class TrainedVariant:
    """A regressor, the model whose coefficients it gives, and the faces in these."""

    regressor: FaceRegressor
    model: MorphableModel
    faces: CroppedFaces


def train_variant(variant: Variant, source: FaceSource, steps: int, batch: int, name: str) -> TrainedVariant:
    """Train one."""
    faces, model = source, load_model("default")
    if variant.components is not None:
        learnt = np.stack([source.record(index).beta for index in range(0, variant.faces, 4)])
        expressions = PrincipalExpressions(model, learnt, variant.components)
        faces, model = InComponents(source, expressions), expressions.model
    cropped = CroppedFaces(faces, model, SHAPES, model.expression_count, 0)
    config = TrainingConfig(
        network="light",
        datasets=(DatasetConfig(kind="synthetic"),),
        losses=LossesConfig(asymmetric_euclidean=AsymmetricConfig(over=1.0, under=1.0)),
        layout=LayoutConfig(rotation="6d", shape_count=SHAPES, expression_count=model.expression_count),
        optimizer=OptimizerConfig(
            kind="adamw", rate=1e-3, rate_shares={"tuned": 0.3}, decay=0.01, cosine=CosineConfig(warm_up=100)
        ),
        steps=steps,
        batch=batch,
        average=0.99,
    )
    stream = batches(cropped, variant.faces, steps, batch)
    layout = layout_of(config)
    first = [next(stream) for _ in range(_MEASURED)]
    raw = torch.cat([layout.encode(one.parameters) for one in first])
    whitening = Whitening.measured(layout, raw) if variant.whitened else _basel_units(model, layout.size)
    with processes() as here:
        learner = Learner(config, model, new_network(config), whitening, here)
        for step, one in enumerate(tqdm(stream, total=steps - _MEASURED, desc=name, leave=False, disable=None)):
            learner.learn(step, one)
        return TrainedVariant(learner.best, model, cropped)


def batches(faces: CroppedFaces, learnt: int, steps: int, batch: int) -> Iterator[SampleBatch]:
    """What a training sees."""
    loader = DataLoader(
        Drawn(faces, learnt, steps * batch),
        batch_size=batch,
        collate_fn=collate,
        num_workers=1,
        multiprocessing_context="spawn",
        worker_init_fn=begin_worker,
    )
    return iter(loader)


def _basel_units(model: MorphableModel, size: int) -> Whitening:
    """Every number as it is, and α as a model has it whose basis is orthonormal and in micrometres."""
    deviation = torch.ones(size)
    norm = np.linalg.norm(model.shape_basis[:, :SHAPES], axis=0)
    deviation[9 : 9 + SHAPES] = torch.from_numpy((1e-3 / norm).astype(np.float32))
    return Whitening(torch.zeros(size), deviation)


@torch.no_grad()
def judged(trained: TrainedVariant, source: FaceSource, normalised_otherwise: bool) -> dict[str, float]:
    """How much of the expression comes back on the last faces."""
    plain, model, faces, regressor = load_model("default"), trained.model, trained.faces, trained.regressor
    if normalised_otherwise:
        regressor = deepcopy(regressor)
        regressor.mean.fill_(_SEED_MEAN)
        regressor.deviation.fill_(_SEED_DEVIATION)
    indices = range(len(faces) - HELD_BACK, len(faces))
    crops = torch.stack([torch.from_numpy(faces.sample(k, np.random.default_rng(k), False).crop) for k in indices])
    beta = torch.cat([parameter_batch(regressor(part)).beta for part in crops.split(50)]).double().numpy()
    beta = np.clip(beta, *model.expression_bounds)
    true = np.stack([source.record(k).beta for k in indices]).astype(np.float64)
    chosen = np.linspace(0, plain.vertex_count - 1, 1024).round().astype(int)
    lips = plain.scheme("ibug68").at(np.array(INNER_LIPS))

    def moved(which: MorphableModel, weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Vertices (F, V, 3) of the expressions on the mean face, mm, and how far the lips are apart."""
        vertices = which.mean + (weights @ which.expression_basis.T.astype(np.float64)).reshape(len(weights), -1, 3)
        upper, lower = (np.stack([lips.interpolate(face)[row] for face in vertices]) for row in (0, 1))
        return vertices[:, chosen], np.linalg.norm(upper - lower, axis=1)

    there, open_there = moved(plain, true)
    here, open_here = moved(model, beta)
    explained = 1.0 - ((here - there) ** 2).sum() / ((there - there.mean(axis=0)) ** 2).sum()
    spread = open_here.std()
    correlation = float(np.corrcoef(open_there, open_here)[0, 1]) if spread > 1e-6 else 0.0
    return {
        "explained": float(explained),
        "correlation": correlation,
        "slope": float(correlation * spread / open_there.std()),
    }


if __name__ == "__main__":
    sys.exit(main())

"""A training small enough for tests: drawn faces, a tiny network. Run as a program, it trains into a folder."""

import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import rotation_from_pose_angles
from face3dmm_ros.lab.training import batches
from face3dmm_ros.lab.training.config import (
    AsymmetricConfig,
    DatasetConfig,
    LayoutConfig,
    LossesConfig,
    OptimizerConfig,
    TrainingConfig,
    VertexDistanceConfig,
)
from face3dmm_ros.lab.training.samples import FaceDataset, FaceSample
from face3dmm_ros.lab.training.training import train
from face3dmm_ros.morphable_model import MorphableModel, load_model
from face3dmm_ros.regressor import networks

SHAPES, EXPRESSIONS = 4, 3


class DrawnFaces:
    """Faces of which only the landmarks are drawn, as dots; two albedo coefficients are how blue and how red these are.

    The faces are always of `SHAPES` and `EXPRESSIONS` coefficients, and samples tell as many as are asked for.
    """

    shape_count = SHAPES

    def __init__(
        self,
        model: MorphableModel,
        count: int,
        labelled: bool = True,
        broken: int | None = None,
        expression_count: int = EXPRESSIONS,
        texture_count: int = 0,
    ) -> None:
        self._model, self._points = model, model.scheme("ibug68")
        self._count, self._labelled, self._broken = count, labelled, broken
        self.expression_count, self.texture_count = expression_count, texture_count

    def __len__(self) -> int:
        return self._count

    def sample(self, index: int, rng: np.random.Generator, augment: bool) -> FaceSample:
        if index == self._broken:
            raise Face3DMMError(f"picture {index} is broken")
        own = np.random.default_rng(index)
        alpha = own.standard_normal(SHAPES) * self._model.shape_sigma[:SHAPES]
        beta = own.uniform(0, 1, EXPRESSIONS)
        rotation = rotation_from_pose_angles(*own.uniform(-0.5, 0.5, 3))
        camera = WeakPerspective(own.uniform(0.5, 0.6), rotation, own.uniform(50, 70, 2))
        gamma = own.standard_normal(self.texture_count)
        color = np.full(3, 255.0)
        color[: 2 * self.texture_count : 2] = 150 + 50 * gamma.clip(-2, 2)
        points = camera.project(self._points.interpolate(self._model.vertices(alpha, beta)))
        crop = np.full((120, 120, 3), rng.integers(0, 60) if augment else 30, np.uint8)
        rows, columns = np.clip(points[:, ::-1].round().astype(int), 1, 118).T
        for down in (-1, 0, 1):
            crop[rows + down, columns] = color
        if not self._labelled:
            zeros = np.zeros(SHAPES), np.zeros(self.expression_count), np.zeros(self.texture_count)
            return FaceSample(crop, 1.0, np.eye(3), np.zeros(2), *zeros, points, labelled=False)
        coefficients = alpha, beta[: self.expression_count], gamma
        return FaceSample(crop, camera.scale, rotation, camera.translation, *coefficients, points)


def tiny_network(inputs: int, outputs: int) -> nn.Module:
    """Three layers, with what a network may bring: normalisation over the batch, and something random."""
    return nn.Sequential(
        nn.Conv2d(inputs, 8, 5, 4), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(6), nn.Flatten(),
        nn.Dropout(0.1), nn.Linear(8 * 36, outputs),
    )  # fmt: skip


@cache
def _model() -> MorphableModel:
    return load_model("default")


def open_drawn_faces(options: dict) -> FaceDataset:
    """In place of `datasets.open_dataset`: ``path`` is how many faces there are."""
    labelled = options["kind"] != "unlabelled_folder"
    counts = options["form"].expression_count, options["form"].texture_count
    return DrawnFaces(_model(), int(options["path"]), labelled, options.get("broken"), *counts)


def small_config(**changes: object) -> TrainingConfig:
    """A training of a second or two."""
    values: dict = {
        "network": "tiny",
        "datasets": (DatasetConfig(kind="labelled_folder", path="24"),),
        "losses": LossesConfig(
            asymmetric_euclidean=AsymmetricConfig(), vertex_distance=VertexDistanceConfig(weight=0.01)
        ),
        "layout": LayoutConfig(rotation="6d", shape_count=SHAPES, expression_count=EXPRESSIONS),
        "optimizer": OptimizerConfig(kind="adamw", rate=3e-3),
        "steps": 30,
        "batch": 4,
        "validation_every": 10,
        "validation_count": 4,
        "checkpoint_every": 7,
        "log_every": 3,
        "average": 0.9,
        "workers": 0,
    }
    return TrainingConfig(**(values | changes))


def use_small_parts(patch: pytest.MonkeyPatch) -> None:
    """Let trainings find the drawn faces and the tiny network."""
    patch.setitem(networks.NETWORKS, "tiny", tiny_network)
    patch.setattr(batches, "open_dataset", open_drawn_faces)


if __name__ == "__main__":
    use_small_parts(pytest.MonkeyPatch())
    train(small_config(steps=int(sys.argv[2])), Path(sys.argv[1]), progress=False)

"""What a training is made of, as its YAML file says it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.lab.training.checked_yaml import checked, number, number_of_each, read_yaml, with_override

_NEED_OTHERS = ("self_critic", "landmark_3d")
"""Losses that say only whether an answer looks right or agrees with itself."""
_NEED_NO_POSE = ("asymmetric_euclidean", "shape_distance", "self_critic")
"""Losses that look at a face's numbers only, not at where its points lie."""
_POINT_LOSSES = ("point_distance", "point_depth", "point_likelihood")
"""Those of the dense network, which has no others."""
_SET_ELSEWHERE = {
    "kind": "beside them",
    "path": "beside them",
    "model": "once for all, as 'model'",
    "form": "in 'layout'",
    "shape_count": "in 'layout'",
    "expression_count": "in 'layout'",
    "texture_count": "in 'layout'",
}
"""Arguments of data sets that their options may not give, and where they are given."""


@dataclass(frozen=True)
class LayoutConfig:
    """What the network puts out: `parameter_layout.ParameterLayout`."""

    rotation: Literal["6d", "matrix", "none"] = "6d"
    shape_count: int = number(40, low=0, high=1000)
    expression_count: int = number(10, low=0, high=1000)
    landmark_count: int = 0
    texture_count: int = number(0, low=0, high=1000)

    def __post_init__(self) -> None:
        """Check the count of landmarks.

        Raises:
            Face3DMMError: neither none nor iBUG's, or some without a pose.
        """
        if self.landmark_count not in (0, 68):
            raise Face3DMMError(f"landmark_count: found {self.landmark_count}, expected 0 (none) or 68 (iBUG's)")
        if self.landmark_count and self.rotation == "none":
            raise Face3DMMError("landmark_count: found 68, expected 0 with 'rotation: none', which has no pose either")


@dataclass(frozen=True)
class DatasetConfig:
    """A set of faces: `datasets.open_dataset`.

    Attributes:
        kind: which data set.
        path: its folder, where it has one.
        weight: its share of every batch, relative to the others' weights.
        options: further arguments of the kind's own.
    """

    kind: Literal["synthetic", "labelled_folder", "unlabelled_folder"]
    path: str | None = None
    weight: float = number(1.0, low=0.0, high=1e6)
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the options do not contradict the rest.

        Raises:
            Face3DMMError: they do.
        """
        for name, place in _SET_ELSEWHERE.items():
            if name in self.options:
                raise Face3DMMError(f"options: found {name!r}, which is set {place}")


@dataclass(frozen=True)
class LossConfig:
    """A loss and how much it counts."""

    weight: float = number(1.0, low=0.0, high=1e6)


@dataclass(frozen=True)
class AsymmetricConfig:
    """The asymmetric Euclidean loss, with the factors of what is over- and underestimated (λ₁ and λ₂ of the paper)."""

    weight: float = number(1.0, low=0.0, high=1e6)
    over: float = number(1.0, low=0.0, high=1e3)
    under: float = number(3.0, low=0.0, high=1e3)


@dataclass(frozen=True)
class VertexDistanceConfig:
    """VDC, with the power of each vertex's distance: 2 as in the paper, 1 to be robust."""

    weight: float = number(1.0, low=0.0, high=1e6)
    power: float = number(2.0, low=1.0, high=2.0)


@dataclass(frozen=True)
class SelfCriticConfig:
    """The self-critic, with the learning rate of the critic itself."""

    weight: float = number(1.0, low=0.0, high=1e6)
    rate: float = number(1e-4, low=0.0, high=10.0)


@dataclass(frozen=True)
class LossesConfig:
    """The losses that add up; see `losses` for what each is. At least one must be there."""

    asymmetric_euclidean: AsymmetricConfig | None = None
    weighted_coefficient: LossConfig | None = None
    vertex_distance: VertexDistanceConfig | None = None
    shape_distance: LossConfig | None = None
    rotation_distance: LossConfig | None = None
    landmark_2d: LossConfig | None = None
    landmark_3d: LossConfig | None = None
    landmark_likelihood: LossConfig | None = None
    cycle: LossConfig | None = None
    self_critic: SelfCriticConfig | None = None
    point_distance: LossConfig | None = None
    point_depth: LossConfig | None = None
    point_likelihood: LossConfig | None = None

    def weights(self) -> dict[str, float]:
        """The losses in use, each with its weight."""
        losses = {part.name: getattr(self, part.name) for part in fields(self)}
        return {name: loss.weight for name, loss in losses.items() if loss is not None}


@dataclass(frozen=True)
class PlateauConfig:
    """The rate is multiplied by `factor` when the validation loss has not fallen for `patience` validations."""

    factor: float = number(0.1, low=1e-3, high=0.999)
    patience: int = number(5, low=0, high=10_000)


@dataclass(frozen=True)
class CosineConfig:
    """The rate rises over `warm_up` steps and falls to nothing at the last step, along a cosine."""

    warm_up: int = number(0, low=0, high=10_000_000)


@dataclass(frozen=True)
class OptimizerConfig:
    """How the weights follow the gradient.

    Attributes:
        kind: stochastic gradient descent, or AdamW (Loshchilov & Hutter, ICLR 2019).
        rate: learning rate.
        momentum: of SGD; of AdamW its β₁.
        second_momentum: of AdamW its β₂.
        decay: weight decay.
        rate_shares: parts of the network, by how their weights' names begin, that learn at a share of the rate: what
            they know already shall not be forgotten.
        largest_gradient: longer gradients (in norm, of all weights together) are shortened to it.
        plateau, cosine: how the rate changes; constant without either.
    """

    kind: Literal["sgd", "adamw"] = "adamw"
    rate: float = number(1e-3, low=0.0, high=100.0)
    momentum: float = number(0.9, low=0.0, high=0.9999)
    second_momentum: float = number(0.999, low=0.0, high=0.999999)
    decay: float = number(0.0, low=0.0, high=10.0)
    rate_shares: Mapping[str, float] = number_of_each(low=0.0, high=100.0)
    largest_gradient: float | None = number(10.0, low=1e-6, high=1e9)
    plateau: PlateauConfig | None = None
    cosine: CosineConfig | None = None

    def __post_init__(self) -> None:
        """Check that one thing changes the rate.

        Raises:
            Face3DMMError: two do.
        """
        if self.plateau is not None and self.cosine is not None:
            raise Face3DMMError("found both 'plateau' and 'cosine', expected one of them: each would change the rate")


@dataclass(frozen=True)
class TrainingConfig:
    """A training.

    Attributes:
        network: ``dense``, which learns points, or one of `networks.build_network`, which learn parameters.
        landmark_map: whether the network sees the landmarks as a fourth channel.
        landmark_noise: px of the crop by which these are off while it learns (standard deviation), as a detector's are.
        layout: what it puts out.
        datasets: what it learns from.
        losses: what it learns by.
        optimizer: how.
        steps: how many batches to learn from.
        batch: samples in a batch, over all processes together.
        seed: of everything random.
        model: ``default``, a model's .npz, or a BFM's .mat.
        start: weights to begin with, of the same network and layout: ``default`` for those that ship, or a file's path.
            None for a new network.
        validation_every: steps between looks at faces held back.
        validation_count: how many faces each labelled data set holds back, its last.
        checkpoint_every: steps between checkpoints: what a kill costs at most.
        log_every: steps over which what is logged is averaged.
        average: how much of the average of the weights each step keeps (such as 0.999); the average is validated and
            written in the end, since it generalises better than the last weights. 0 goes without.
        mixed_precision: compute in bfloat16 where that is safe, which GPUs from 2020 on do several times faster.
        workers: processes that make samples; 0 makes them in the training's own.
    """

    network: str
    datasets: tuple[DatasetConfig, ...]
    losses: LossesConfig
    steps: int = number(low=1, high=1_000_000_000)
    batch: int = number(64, low=2, high=65_536)
    landmark_map: bool = False
    landmark_noise: float = number(1.5, low=0.0, high=30.0)
    layout: LayoutConfig = field(default_factory=LayoutConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    seed: int = number(0, low=0, high=2**31)
    model: str = "default"
    start: str | None = None
    validation_every: int = number(1000, low=1, high=1_000_000_000)
    validation_count: int = number(256, low=1, high=1_000_000)
    checkpoint_every: int = number(500, low=1, high=1_000_000_000)
    log_every: int = number(50, low=1, high=1_000_000_000)
    average: float = number(0.0, low=0.0, high=0.999999)
    mixed_precision: bool = False
    workers: int = number(2, low=0, high=256)

    def __post_init__(self) -> None:
        """Check what must go together.

        Raises:
            Face3DMMError: it does not.
        """
        used = self.losses.weights()
        for name in used:
            if (name in _POINT_LOSSES) != self.learns_points:
                learnt = "points" if self.learns_points else "parameters"
                raise Face3DMMError(f"losses.{name} is not for the network {self.network!r}, which learns {learnt}")
        if self.learns_points:
            self._check_points()
        if not any(weight for name, weight in used.items() if name not in _NEED_OTHERS):
            known = ", ".join(part.name for part in fields(LossesConfig) if part.name not in _NEED_OTHERS)
            raise Face3DMMError(f"losses: found {list(used)}, expected at least one with a weight of {known}")
        if not any(dataset.weight for dataset in self.datasets):
            raise Face3DMMError("datasets: found none with a weight, expected at least one")
        if all(dataset.kind == "unlabelled_folder" for dataset in self.datasets):
            raise Face3DMMError("datasets: found unlabelled ones only, expected at least one with labels")
        projecting = [name for name in used if name not in _NEED_NO_POSE]
        if projecting and self.layout.rotation == "none":
            raise Face3DMMError(
                f"losses.{projecting[0]} looks at where a face's points lie, which 'rotation: none' in layout leaves "
                f"out; expected {', '.join(_NEED_NO_POSE)} only"
            )
        if "landmark_likelihood" in used and not self.layout.landmark_count:
            raise Face3DMMError("losses.landmark_likelihood needs 'landmark_count: 68' in layout")
        for name in ("cycle", "landmark_3d"):
            if name in used and not self.landmark_map:
                raise Face3DMMError(f"losses.{name} needs 'landmark_map: true': it feeds the network its own landmarks")

    @property
    def learns_points(self) -> bool:
        """Whether the network is the dense one."""
        return self.network == "dense"

    def _check_points(self) -> None:
        for name, nothing in (("layout", LayoutConfig()), ("landmark_map", False), ("start", None)):
            if getattr(self, name) != nothing:
                raise Face3DMMError(f"{name}: found {getattr(self, name)!r}, which the network 'dense' does not have")
        for k, dataset in enumerate(self.datasets):
            if dataset.kind == "unlabelled_folder":
                raise Face3DMMError(f"datasets.{k}: found an unlabelled one, whose points nobody knows")
            scenes = dataset.options.get("scenes")
            if isinstance(scenes, Mapping) and scenes.get("field_of_view") is not None:
                raise Face3DMMError(
                    f"datasets.{k}.options.scenes: found a field_of_view; points are learnt in weak perspective"
                )


def read_config(path: Path, overrides: tuple[str, ...] = ()) -> TrainingConfig:
    """A training from its file.

    Args:
        path: a YAML file; or the name of one that ships with the package (``light``), where no such file is there.
        overrides: values to replace, such as ``optimizer.rate=0.01``.

    Raises:
        Face3DMMError: no such file, or something in it is wrong; the message names the file and the key.
    """
    if not path.exists() and path.name == str(path) and not path.suffix:
        path = package_file(f"config/train/{path}.yaml")
    document = read_yaml(path)
    for assignment in overrides:
        document = with_override(document, assignment)
    return checked(document, TrainingConfig, str(path))

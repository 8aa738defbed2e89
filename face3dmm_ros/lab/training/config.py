"""The configuration of a training, as its YAML file gives it.

The factors of the losses are those of the papers that `losses` names, and rate, momenta and schedules of the optimizer
are torch's defaults or customary; everything else, and the bounds, which only catch slips, is chosen by hand.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.core.validation import complaint
from face3dmm_ros.lab.training.checked_yaml import Part, read_yaml, with_override

_NEED_OTHERS = ("self_critic", "landmark_3d")
"""Losses without ground truth, which cannot stand alone: of plausibility and of self-consistency."""
_NEED_NO_POSE = ("asymmetric_euclidean", "shape_distance", "self_critic")
"""Losses on a face's coefficients alone, which need no projected points."""
_POINT_LOSSES = ("point_distance", "point_depth", "point_likelihood", "point_rotation")
"""Losses of the dense network, which has no others."""
_SET_ELSEWHERE = {
    "kind": "beside them",
    "path": "beside them",
    "model": "once for all, as 'model'",
    **dict.fromkeys(("form", "shape_count", "expression_count", "texture_count"), "in 'layout'"),
}
"""Arguments of data sets that their options may not give, and where they are given."""


class LayoutConfig(Part):
    """The network's outputs: `parameter_layout.ParameterLayout`."""

    rotation: Literal["6d", "matrix", "none"] = "6d"
    shape_count: int = Field(40, ge=0, le=1000)
    expression_count: int = Field(10, ge=0, le=1000)
    landmark_count: int = 0
    texture_count: int = Field(0, ge=0, le=1000)

    @model_validator(mode="after")
    def _has_known_landmarks(self) -> "LayoutConfig":
        if self.landmark_count not in (0, 68):
            raise Face3DMMError(f"landmark_count: found {self.landmark_count}, expected 0 (none) or 68 (iBUG's)")
        if self.landmark_count and self.rotation == "none":
            raise Face3DMMError("landmark_count: found 68, expected 0 with 'rotation: none', which has no pose either")
        return self


class DatasetConfig(Part):
    """A set of faces: `datasets.open_dataset`.

    Attributes:
        kind: which data set.
        path: its folder, where it has one.
        weight: its share of every batch, relative to the others' weights.
        options: further arguments of the kind's own.
    """

    kind: Literal["synthetic", "labelled_folder", "unlabelled_folder"]
    path: str | None = None
    weight: float = Field(1.0, ge=0.0, le=1e6)
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _sets_nothing_twice(self) -> "DatasetConfig":
        for name, place in _SET_ELSEWHERE.items():
            if name in self.options:
                raise Face3DMMError(f"options: found {name!r}, which is set {place}")
        return self


class LossConfig(Part):
    """A loss and how much it counts."""

    weight: float = Field(1.0, ge=0.0, le=1e6)


class AsymmetricConfig(LossConfig):
    """The asymmetric Euclidean loss, with the factors of what is over- and underestimated (λ₁ and λ₂ of the paper)."""

    over: float = Field(1.0, ge=0.0, le=1e3)
    under: float = Field(3.0, ge=0.0, le=1e3)


class VertexDistanceConfig(LossConfig):
    """The vertex distance cost, with the power of each distance: 2 as in the paper, 1 to be robust to outliers."""

    power: float = Field(2.0, ge=1.0, le=2.0)


class SelfCriticConfig(LossConfig):
    """The self-critic, with the learning rate of the critic itself."""

    rate: float = Field(1e-4, ge=0.0, le=10.0)


class LossesConfig(Part):
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
    point_rotation: LossConfig | None = None

    def weights(self) -> dict[str, float]:
        """The losses in use, each with its weight."""
        return {name: loss.weight for name, loss in self if loss is not None}


class PlateauConfig(Part):
    """The rate is multiplied by `factor` when the validation loss has not fallen for `patience` validations."""

    factor: float = Field(0.1, ge=1e-3, le=0.999)
    patience: int = Field(5, ge=0, le=10_000)


class CosineConfig(Part):
    """The rate rises over `warm_up` steps and falls to nothing at the last step, along a cosine."""

    warm_up: int = Field(0, ge=0, le=10_000_000)


class OptimizerConfig(Part):
    """The optimizer and its learning rate.

    Attributes:
        kind: stochastic gradient descent, or AdamW (Loshchilov & Hutter, ICLR 2019).
        rate: learning rate.
        momentum: of SGD; of AdamW its β₁.
        second_momentum: of AdamW its β₂.
        decay: weight decay.
        rate_shares: parts of the network, by the prefix of their weights' names, that learn at a share of the rate, so
            that pretrained weights change less; of 0, not at all.
        largest_gradient: gradients are clipped to this norm, of all weights together; None leaves them.
        plateau, cosine: how the rate changes; constant without either.
    """

    kind: Literal["sgd", "adamw"] = "adamw"
    rate: float = Field(1e-3, ge=0.0, le=100.0)
    momentum: float = Field(0.9, ge=0.0, le=0.9999)
    second_momentum: float = Field(0.999, ge=0.0, le=0.999999)
    decay: float = Field(0.0, ge=0.0, le=10.0)
    rate_shares: dict[str, Annotated[float, Field(ge=0.0, le=100.0)]] = Field(default_factory=dict)
    largest_gradient: float | None = Field(10.0, ge=1e-6, le=1e9)
    plateau: PlateauConfig | None = None
    cosine: CosineConfig | None = None

    @model_validator(mode="after")
    def _has_one_schedule(self) -> "OptimizerConfig":
        if self.plateau is not None and self.cosine is not None:
            raise Face3DMMError("found both 'plateau' and 'cosine', expected one of them: each would change the rate")
        return self


class TrainingConfig(Part):
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
        model: ``default``, or a model of any format that is read.
        start: weights to begin with, of the same network and layout: ``default`` for those that ship, or a file's path
            (of a dense network its .tflite). None for a new network.
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
    datasets: Annotated[tuple[DatasetConfig, ...], Field(strict=False)]  # a list in YAML
    losses: LossesConfig
    steps: int = Field(ge=1, le=1_000_000_000)
    batch: int = Field(64, ge=2, le=65_536)
    landmark_map: bool = False
    landmark_noise: float = Field(1.5, ge=0.0, le=30.0)
    layout: LayoutConfig = LayoutConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    seed: int = Field(0, ge=0, le=2**31)
    model: str = "default"
    start: str | None = None
    validation_every: int = Field(1000, ge=1, le=1_000_000_000)
    validation_count: int = Field(256, ge=1, le=1_000_000)
    checkpoint_every: int = Field(500, ge=1, le=1_000_000_000)
    log_every: int = Field(50, ge=1, le=1_000_000_000)
    average: float = Field(0.0, ge=0.0, le=0.999999)
    mixed_precision: bool = False
    workers: int = Field(2, ge=0, le=256)

    @model_validator(mode="after")
    def _fits_together(self) -> "TrainingConfig":
        used = self.losses.weights()
        for name in used:
            if (name in _POINT_LOSSES) != self.learns_points:
                learnt = "points" if self.learns_points else "parameters"
                raise Face3DMMError(f"losses.{name} is not for the network {self.network!r}, which learns {learnt}")
        if self.learns_points:
            self._check_points()
        if not any(weight for name, weight in used.items() if name not in _NEED_OTHERS):
            known = ", ".join(name for name in LossesConfig.model_fields if name not in _NEED_OTHERS)
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
        return self

    @property
    def learns_points(self) -> bool:
        """Whether the network is the dense one."""
        return self.network == "dense"

    def _check_points(self) -> None:
        for name, nothing in (("layout", LayoutConfig()), ("landmark_map", False)):
            if getattr(self, name) != nothing:
                raise Face3DMMError(f"{name}: found {getattr(self, name)!r}, which the network 'dense' does not have")
        for k, dataset in enumerate(self.datasets):
            if dataset.kind == "unlabelled_folder":
                raise Face3DMMError(f"datasets.{k}: found an unlabelled one, whose points nobody knows")
            scenes = dataset.options.get("scenes")
            if isinstance(scenes, dict) and scenes.get("field_of_view") is not None:
                raise Face3DMMError(
                    f"datasets.{k}.options.scenes: found a field_of_view; points are learnt in weak perspective"
                )


def read_config(path: Path, overrides: tuple[str, ...] = ()) -> TrainingConfig:
    """A training from its file.

    Args:
        path: a YAML file; or the name of one that ships with the package (``light``), where no such file is there.
        overrides: values to replace, such as ``optimizer.rate=0.01``.

    Raises:
        Face3DMMError: there is neither such a file nor such a recipe, or a key or value is wrong; the message names
            the file and the key.
    """
    if not path.exists() and path.name == str(path) and not path.suffix:
        folder = package_file("config/train/light.yaml").parent
        shipped = sorted(recipe.stem for recipe in folder.glob("*.yaml"))
        if str(path) not in shipped:
            raise Face3DMMError(
                f"there is neither a file {str(path)!r} nor a shipped recipe of that name; the recipes are "
                f"{', '.join(shipped)}"
            )
        path = folder / f"{path}.yaml"
    document = read_yaml(path)
    for assignment in overrides:
        document = with_override(document, assignment)
    try:
        return TrainingConfig.model_validate(document)
    except ValidationError as error:
        raise Face3DMMError(f"{path}: {complaint(error)}") from error

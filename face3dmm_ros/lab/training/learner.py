"""What learns: the network, its critic, their optimizers and the average of the weights, and all their state."""

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.lab.training.config import OptimizerConfig, TrainingConfig
from face3dmm_ros.lab.training.objectives import Answer, Objectives
from face3dmm_ros.lab.training.processes import Processes
from face3dmm_ros.lab.training.samples import SampleBatch
from face3dmm_ros.lab.training.self_critic import SelfCritic, critic_objective, regressor_objective
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.regressor.face_regressor import FaceRegressor
from face3dmm_ros.regressor.networks import build_network
from face3dmm_ros.regressor.parameter_layout import ParameterLayout, Whitening

_CRITIC, _SELF_CRITIC = "critic", "self_critic"


class Learner:
    """A regressor and all that changes while it learns.

    Attributes:
        regressor: with the network's newest weights.
    """

    def __init__(
        self,
        config: TrainingConfig,
        model: MorphableModel,
        network: nn.Module,
        whitening: Whitening,
        here: Processes,
    ) -> None:
        """Of a new network (`new_network`), in the units of a whitening.

        Raises:
            Face3DMMError: the model lacks what the losses need, or the network a part that has a share of the rate.
        """
        self._config, self._here = config, here
        layout = layout_of(config)
        torch.manual_seed(config.seed)
        self.regressor = FaceRegressor(network, layout, whitening).to(here.device)
        self._average = deepcopy(self.regressor.network).requires_grad_(False) if config.average else None
        self._shared = here.shared(self.regressor.network)
        self._optimizer = _optimizer(config.optimizer, self.regressor.network)
        self._plateau: ReduceLROnPlateau | None = None
        if config.optimizer.plateau is not None:
            plateau = config.optimizer.plateau
            self._plateau = ReduceLROnPlateau(
                self._optimizer, factor=plateau.factor, patience=plateau.patience, eps=0.0
            )
        self._objectives = Objectives(config.losses, model, self.regressor, config.landmark_map)
        self._weights = config.losses.weights()
        self._critic: nn.Module | None = None
        if config.losses.self_critic is not None:
            self._critic = SelfCritic(channels(config), layout.parameter_slice.stop).to(here.device)
            self._shared_critic = here.shared(self._critic)
            self._critic_optimizer = torch.optim.Adam(self._critic.parameters(), lr=config.losses.self_critic.rate)
        # Where a device does not know bfloat16, whose range is float32's, small gradients must be kept from vanishing.
        self._type = torch.bfloat16
        if here.device.type == "cuda" and not torch.cuda.is_bf16_supported():
            self._type = torch.float16
        scaled = config.mixed_precision and self._type is torch.float16
        self._scaler = torch.amp.GradScaler(here.device.type, enabled=scaled)

    @property
    def rate(self) -> float:
        """The learning rate, of what learns at the full one."""
        groups = (group for group in self._optimizer.param_groups if group["share"])
        return max((float(group["lr"] / group["share"]) for group in groups), default=0.0)

    @property
    def best(self) -> FaceRegressor:
        """The regressor to use: with the average of the weights where one is kept. It shares its weights with this."""
        network = self.regressor.network if self._average is None else self._average
        return FaceRegressor(network, self.regressor.layout, self.regressor.whitening).to(self._here.device).eval()

    def learn(self, step: int, batch: SampleBatch) -> dict[str, Tensor]:
        """Take a step; returns the losses, unweighted, with their weighted sum as ``loss``, still on the device."""
        # What is random on the way, such as dropout, depends on the step's number too, not on how it was reached.
        seed = np.random.SeedSequence([self._config.seed, step, self._here.rank]).generate_state(1, np.uint64)
        torch.manual_seed(int(seed[0] >> np.uint64(1)))
        self._set_rate(step)
        self.regressor.train()
        batch = _moved(batch, self._here.device)
        answer = self._objectives.ask(self._asking(self._shared), batch, self._config.landmark_noise)
        values: dict[str, Tensor] = {}
        if self._critic is not None:
            values[_CRITIC] = self._teach_critic(answer)
        losses = self._objectives.losses(self._asking(self._shared), answer)
        if self._critic is not None:
            losses[_SELF_CRITIC] = regressor_objective(self._judged(answer))
        loss = self._weighted(losses)
        self._optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()
        self._scaler.unscale_(self._optimizer)
        if self._config.optimizer.largest_gradient is not None:
            nn.utils.clip_grad_norm_(self.regressor.network.parameters(), self._config.optimizer.largest_gradient)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._follow(step)
        return {name: value.detach() for name, value in {"loss": loss, **losses, **values}.items()}

    @torch.no_grad()
    def validate(self, batches: Sequence[SampleBatch]) -> dict[str, float]:
        """What `best` makes of faces held back, as means over all processes' faces.

        Returns:
            ``loss``, the weighted sum without the self-critic; where there is a pose ``rotation_degrees`` and
            ``nme_percent``, the distance of the projected landmarks over √(w·h) of the true ones' box;
            ``landmark_nme_percent``, the same of the network's own landmarks, where it has any; ``shape``,
            ``expression`` and ``texture``, the mean error of a whitened α, β and γ, where there are any.
        """
        regressor = self.best
        network = self._asking(regressor.network)
        totals: dict[str, Tensor] = {}
        count = 0
        for batch in batches:
            answer = self._objectives.ask(network, _moved(batch, self._here.device))
            loss = self._weighted(self._objectives.losses(network, answer))
            errors = {"loss": loss.repeat(len(batch.labelled)), **self._errors(answer)}
            for name, error in errors.items():
                totals[name] = totals.get(name, error.new_zeros(())) + error.sum()
            count += len(batch.labelled)
        names = ["loss", *self._error_names()]
        sums = torch.stack([totals[name].double() if name in totals else torch.zeros(()).double() for name in names])
        return dict(zip(names, self._here.mean(sums, count).tolist(), strict=True))

    def judged(self, validation_loss: float) -> None:
        """Lower the rate where the loss has stopped falling and the configuration wants that."""
        if self._plateau is not None:
            self._plateau.step(validation_loss)

    def state(self) -> dict[str, Any]:
        """All that the next steps depend on, for a checkpoint."""
        state: dict[str, Any] = {
            "network": self.regressor.network.state_dict(),
            "whitening_mean": self.regressor.whitening_mean.cpu(),
            "whitening_deviation": self.regressor.whitening_deviation.cpu(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
        }
        if self._average is not None:
            state["average"] = self._average.state_dict()
        if self._plateau is not None:
            state["plateau"] = self._plateau.state_dict()
        if self._critic is not None:
            state["critic"] = self._critic.state_dict()
            state["critic_optimizer"] = self._critic_optimizer.state_dict()
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`.

        Raises:
            Face3DMMError: it is of another kind of training, or damaged.
        """
        try:
            self.regressor.network.load_state_dict(state["network"])
            self._optimizer.load_state_dict(state["optimizer"])
            self._scaler.load_state_dict(state["scaler"])
            if self._average is not None:
                self._average.load_state_dict(state["average"])
            if self._plateau is not None:
                self._plateau.load_state_dict(state["plateau"])
            if self._critic is not None:
                self._critic.load_state_dict(state["critic"])
                self._critic_optimizer.load_state_dict(state["critic_optimizer"])
        except (KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
            said = str(error).partition("\n")[0]
            raise Face3DMMError(
                f"the checkpoint does not fit this training ({said}): train into another folder, or start afresh "
                "(--fresh)"
            ) from error

    def _asking(self, module: nn.Module) -> Callable[[Tensor], Tensor]:
        def ask(inputs: Tensor) -> Tensor:
            with self._precision():
                white: Tensor = module(inputs)
            return white.float()

        return ask

    def _precision(self) -> torch.autocast:
        return torch.autocast(self._here.device.type, dtype=self._type, enabled=self._config.mixed_precision)

    def _weighted(self, losses: dict[str, Tensor]) -> Tensor:
        return torch.stack([self._weights[name] * value for name, value in losses.items()]).sum()

    def _teach_critic(self, answer: Answer) -> Tensor:
        """A step of the critic's, which learns to tell labels from regressed parameters."""
        labelled = answer.batch.labelled
        unlabelled = _unlabelled(labelled)
        parameters = self.regressor.layout.parameter_slice
        with self._precision():
            logits = self._shared_critic(
                torch.cat([answer.inputs[labelled], answer.inputs[unlabelled]]),
                torch.cat([answer.target[labelled], answer.white[unlabelled].detach()])[:, parameters],
            ).float()
        known = int(labelled.sum())
        loss = critic_objective(logits[:known], logits[known:])
        self._critic_optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()
        self._scaler.step(self._critic_optimizer)
        return loss

    def _judged(self, answer: Answer) -> Tensor:
        """The critic's logits of what was regressed, through which only the regressor learns."""
        assert self._critic is not None
        unlabelled = _unlabelled(answer.batch.labelled)
        parameters = self.regressor.layout.parameter_slice
        self._critic.requires_grad_(False)
        with self._precision():
            logits: Tensor = self._critic(answer.inputs[unlabelled], answer.white[unlabelled][:, parameters])
        self._critic.requires_grad_(True)
        return logits.float()

    def _set_rate(self, step: int) -> None:
        cosine = self._config.optimizer.cosine
        if cosine is None:
            return
        share = step / self._config.steps
        rate = self._config.optimizer.rate * (0.5 + 0.5 * math.cos(math.pi * share))
        if step < cosine.warm_up:
            rate *= (step + 1) / cosine.warm_up
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group["share"]

    @torch.no_grad()
    def _follow(self, step: int) -> None:
        """Move the average of the weights; at first it keeps less, so that it forgets the random start."""
        if self._average is None:
            return
        keep = min(self._config.average, (1 + step) / (10 + step))
        newest = self.regressor.network.state_dict()
        for name, value in self._average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(newest[name], 1 - keep)
            else:
                value.copy_(newest[name])

    def _error_names(self) -> list[str]:
        layout = self.regressor.layout
        there = {
            "rotation_degrees": layout.has_pose,
            "nme_percent": layout.has_pose,
            "landmark_nme_percent": layout.landmark_count,
            "shape": layout.shape_count,
            "expression": layout.expression_count,
            "texture": layout.texture_count,
        }
        return [name for name, count in there.items() if count]

    def _errors(self, answer: Answer) -> dict[str, Tensor]:
        """Per face, (B,); see `validate`."""
        layout, faces, truth = self.regressor.layout, answer.faces, answer.batch.parameters
        assert truth.landmarks is not None
        cosine = ((faces.rotation * truth.rotation).sum((1, 2)) - 1) / 2
        width, height = (truth.landmarks.amax(1) - truth.landmarks.amin(1)).unbind(1)
        percent = 100 / (width * height).sqrt().clamp(min=1e-6)

        def distance(points: Tensor) -> Tensor:
            return torch.linalg.vector_norm(points - truth.landmarks, dim=2).mean(1) * percent

        off = (answer.white - answer.target).abs()
        errors = {
            "rotation_degrees": torch.rad2deg(torch.acos(cosine.clamp(-1, 1))),
            "nme_percent": distance(self._objectives.landmarks.projected(faces)),
            "shape": off[:, layout.shape_slice].mean(1),
            "expression": off[:, layout.expression_slice].mean(1),
            "texture": off[:, layout.texture_slice].mean(1),
        }
        if faces.landmarks is not None:
            errors["landmark_nme_percent"] = distance(faces.landmarks)
        return {name: errors[name] for name in self._error_names()}


def layout_of(config: TrainingConfig) -> ParameterLayout:
    """What the network of a training puts out."""
    layout = config.layout
    return ParameterLayout(
        layout.rotation, layout.shape_count, layout.expression_count, layout.landmark_count, layout.texture_count
    )


def channels(config: TrainingConfig) -> int:
    """Of the network's input."""
    return 4 if config.landmark_map else 3


def new_network(config: TrainingConfig) -> nn.Module:
    """The network of a training, with weights that depend on the configuration's seed alone.

    Raises:
        Face3DMMError: there is none of that name.
    """
    torch.manual_seed(config.seed)
    network = build_network(config.network, channels(config), layout_of(config).size)
    return network.to(memory_format=torch.channels_last)


def _optimizer(config: OptimizerConfig, network: nn.Module) -> torch.optim.Optimizer:
    """Raises Face3DMMError: a share of the rate is for a part that the network does not have."""
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    unknown = set(config.rate_shares)
    for name, value in network.named_parameters():
        part = max((part for part in config.rate_shares if name.startswith(part)), key=len, default=None)
        unknown.discard(part or "")
        # Decay is for what multiplies: biases and normalisations have one dimension, and are left alone.
        groups.setdefault((1.0 if part is None else config.rate_shares[part], value.ndim > 1), []).append(value)
    if unknown:
        parts = ", ".join(name for name, _ in network.named_children())
        raise Face3DMMError(f"optimizer.rate_shares: found {min(unknown)!r}, and the network consists of {parts}")
    described: list[dict[str, Any]] = [
        {
            "params": values,
            "lr": config.rate * share,
            "share": share,
            "weight_decay": config.decay if multiplies else 0.0,
        }
        for (share, multiplies), values in groups.items()
    ]
    if config.kind == "sgd":
        return torch.optim.SGD(described, lr=config.rate, momentum=config.momentum)
    return torch.optim.AdamW(described, lr=config.rate, betas=(config.momentum, 0.999))


def _unlabelled(labelled: Tensor) -> Tensor:
    """The faces that the critic sees regressed: the unlabelled ones, or all where there are none."""
    return ~labelled if bool((~labelled).any()) else torch.ones_like(labelled)


def _moved(batch: SampleBatch, device: torch.device) -> SampleBatch:
    if device.type == "cpu":
        return batch
    return SampleBatch(
        batch.crops.to(device, non_blocking=True), batch.parameters.to(device), batch.labelled.to(device)
    )

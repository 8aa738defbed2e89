"""One training step and one validation, and their state: network, critic, optimizers and the average of the weights."""

import math
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.lab.training.config import OptimizerConfig, TrainingConfig
from face3dmm_ros.lab.training.objective import Network, Objective
from face3dmm_ros.lab.training.processes import Processes
from face3dmm_ros.lab.training.samples import SampleBatch


class Learner:
    """A network with all state that changes in training.

    Attributes:
        objective: with the network's newest weights.
    """

    def __init__(self, config: TrainingConfig, objective: Objective, here: Processes) -> None:
        """Prepare an objective, which is on this process's device, for training.

        Raises:
            Face3DMMError: the network lacks a part that has a share of the rate.
        """
        self._config, self._here = config, here
        self.objective = objective
        network = objective.network
        self._average = deepcopy(network).requires_grad_(False) if config.average else None
        self._optimizer = _optimizer(config.optimizer, network)
        self._shared = here.shared(network)
        plateau, critic = config.optimizer.plateau, config.losses.self_critic
        self._plateau = ReduceLROnPlateau(self._optimizer, eps=0.0, **plateau.model_dump()) if plateau else None
        self._weights = config.losses.weights()
        self._critic_optimizer: torch.optim.Optimizer | None = None
        if objective.critic is not None and critic is not None:
            self._shared_critic = here.shared(objective.critic)
            self._critic_optimizer = torch.optim.Adam(objective.critic.parameters(), lr=critic.rate)

    @property
    def rate(self) -> float:
        """The learning rate of the weights whose share is 1."""
        groups = (group for group in self._optimizer.param_groups if group["share"])
        return max((float(group["lr"] / group["share"]) for group in groups), default=0.0)

    @property
    def best(self) -> nn.Module:
        """The network to use: with the average of the weights where one is kept; for reading only."""
        return (self.objective.network if self._average is None else self._average).eval()

    def learn(self, step: int, batch: SampleBatch) -> dict[str, Tensor]:
        """Take a step; returns the losses, unweighted, with their weighted sum as ``loss``, still on the device."""
        # Dropout and the like depend on the step's number too, so that a resumed training repeats them.
        seed = np.random.SeedSequence([self._config.seed, step, self._here.rank]).generate_state(1, np.uint64)
        torch.manual_seed(int(seed[0] >> np.uint64(1)))
        self._set_rate(step)
        objective, values, critic = self.objective, {}, None
        objective.network.train()
        answer = objective.ask(self._asking(self._shared), _moved(batch, self._here.device), learning=True)
        if objective.critic is not None and self._critic_optimizer is not None:
            values["critic"] = objective.critic_loss(self._asking(self._shared_critic), answer)
            self._critic_optimizer.zero_grad(set_to_none=True)
            values["critic"].backward()
            self._critic_optimizer.step()
            critic = self._asking(objective.critic)
        losses = objective.losses(self._asking(self._shared), answer, critic)
        loss = self._weighted(losses)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self._config.optimizer.largest_gradient is not None:
            nn.utils.clip_grad_norm_(objective.network.parameters(), self._config.optimizer.largest_gradient)
        self._optimizer.step()
        self._follow(step)
        return {name: value.detach() for name, value in {"loss": loss, **losses, **values}.items()}

    @torch.no_grad()
    def validate(self, batches: Sequence[SampleBatch]) -> dict[str, float]:
        """Loss and errors of `best` on faces held back, as means over all processes' faces.

        Returns:
            ``loss``, the weighted sum without the critic's, and the objective's errors.
        """
        network = self._asking(self.best)
        names = ["loss", *self.objective.error_names]
        sums, count = torch.zeros(len(names), dtype=torch.float64), 0
        for batch in batches:
            answer = self.objective.ask(network, _moved(batch, self._here.device))
            loss = self._weighted(self.objective.losses(network, answer))
            errors = {"loss": loss.repeat(len(batch.labelled)), **self.objective.errors(answer)}
            sums += torch.stack([errors[name].sum().double().cpu() for name in names])
            count += len(batch.labelled)
        return dict(zip(names, self._here.mean(sums, count).tolist(), strict=True))

    def judged(self, validation_loss: float) -> None:
        """Lower the learning rate if the validation loss has stopped falling and there is a plateau schedule."""
        if self._plateau is not None:
            self._plateau.step(validation_loss)

    def state(self) -> dict[str, Any]:
        """The state that the next steps depend on, for a checkpoint."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def restore(self, state: dict[str, Any], path: Path) -> None:
        """Restore a `state` that was read from a file.

        Raises:
            Face3DMMError: the state is damaged, or of a training with other parts.
        """
        try:
            for name, part in self._parts().items():
                part.load_state_dict(state[name])
        except (KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
            said = str(error).partition("\n")[0]
            raise Face3DMMError(
                f"{path} does not fit this training ({said}): train into another folder, or start afresh (--fresh)"
            ) from error

    def _parts(self) -> dict[str, Any]:
        parts: dict[str, Any] = {
            "objective": self.objective,
            "optimizer": self._optimizer,
            "average": self._average,
            "plateau": self._plateau,
            "critic_optimizer": self._critic_optimizer,
        }
        return {name: part for name, part in parts.items() if part is not None}

    def _asking(self, module: nn.Module) -> Network:
        def ask(*inputs: Tensor) -> Tensor:
            # bfloat16 has float32's range, so that small gradients do not vanish.
            with torch.autocast(self._here.device.type, torch.bfloat16, enabled=self._config.mixed_precision):
                answer: Tensor = module(*inputs)
            return answer.float()

        return ask

    def _weighted(self, losses: dict[str, Tensor]) -> Tensor:
        return torch.stack([self._weights[name] * value for name, value in losses.items()]).sum()

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
        """Move the average of the weights; at first it keeps less, so that it forgets the random start.

        That ramp is the one of TensorFlow's `ExponentialMovingAverage`.
        """
        if self._average is None:
            return
        keep = min(self._config.average, (1 + step) / (10 + step))
        newest = self.objective.network.state_dict()
        for name, value in self._average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(newest[name], 1 - keep)
            else:
                value.copy_(newest[name])


def _optimizer(config: OptimizerConfig, network: nn.Module) -> torch.optim.Optimizer:
    """The optimizer; parts whose share of the rate is 0 are frozen, so that no time is spent on their gradients.

    Raises:
        Face3DMMError: a share of the rate is for a part that the network does not have.
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    unknown = set(config.rate_shares)
    for name, value in network.named_parameters():
        part = max((part for part in config.rate_shares if name.startswith(part)), key=len, default=None)
        unknown.discard(part or "")
        if part is not None and not config.rate_shares[part]:
            value.requires_grad_(False)
        # Decay is for what multiplies: biases and normalisations have one dimension, and are left alone.
        groups.setdefault((1.0 if part is None else config.rate_shares[part], value.ndim > 1), []).append(value)
    if unknown:
        parts = ", ".join(name for name, _ in network.named_children())
        raise Face3DMMError(f"optimizer.rate_shares: found {min(unknown)!r}, and the network consists of {parts}")
    described: list[dict[str, Any]] = [
        {"params": values, "lr": config.rate * share, "share": share, "weight_decay": config.decay * multiplies}
        for (share, multiplies), values in groups.items()
    ]
    if config.kind == "sgd":
        return torch.optim.SGD(described, lr=config.rate, momentum=config.momentum)
    return torch.optim.AdamW(described, lr=config.rate, betas=(config.momentum, config.second_momentum))


def _moved(batch: SampleBatch, device: torch.device) -> SampleBatch:
    return SampleBatch(
        batch.crops.to(device, non_blocking=True), batch.parameters.to(device), batch.labelled.to(device)
    )

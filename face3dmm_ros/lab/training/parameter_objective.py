"""Learning a face's parameters from pixels: the losses that a configuration names, and how a regressor is judged."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.lab.training import losses
from face3dmm_ros.lab.training.config import TrainingConfig
from face3dmm_ros.lab.training.objective import Network
from face3dmm_ros.lab.training.samples import SampleBatch
from face3dmm_ros.lab.training.self_critic import SelfCritic, critic_objective, regressor_objective
from face3dmm_ros.morphable_model import MorphableModel, load_model
from face3dmm_ros.morphable_model.model import SurfacePoints
from face3dmm_ros.regressor.face_regressor import FaceRegressor
from face3dmm_ros.regressor.landmark_map import landmark_maps
from face3dmm_ros.regressor.networks import build_network
from face3dmm_ros.regressor.parameter_layout import ParameterBatch, ParameterLayout, Whitening
from face3dmm_ros.regressor.weights_file import (
    RegressorDescription,
    load_regressor,
    read_description,
    regressor_path,
    save_weights,
)

WEIGHTS = "weights.safetensors"
_VERTEX_COUNT = 512
"""Vertices that stand for the whole face in the vertex distance cost; chosen by hand: more make each step slower."""


@dataclass(frozen=True, eq=False)
class Answer:
    """A network's output for a batch, with its input and the ground truth.

    Attributes:
        inputs: (B, 3 or 4, 120, 120), normalised.
        white: (B, size), the whitened output.
        faces: the output decoded to parameters.
        target: (B, size) whitened truth; meaningless where `batch.labelled` is False.
        batch: the samples.
    """

    inputs: Tensor
    white: Tensor
    faces: ParameterBatch
    target: Tensor
    batch: SampleBatch


class ParameterObjective(nn.Module):
    """An `Objective` for a `FaceRegressor`.

    Attributes:
        regressor: with the network's newest weights.
        critic: 2DASL's self-critic, where the configuration wants it.
        landmarks: iBUG's 68 points of the model.
    """

    file = WEIGHTS

    def __init__(self, config: TrainingConfig, device: torch.device | str = "cpu") -> None:
        """With a new network, or the weights that the configuration names.

        Raises:
            Face3DMMError: there is no such network or model, the model has no iBUG landmarks, or the weights to start
                with cannot be read or are another network's.
        """
        super().__init__()
        self._config = config
        self._model = load_model(config.model)
        self.regressor = _beginning(config, self._model)
        numbers = self.regressor.layout.parameter_slice.stop
        torch.manual_seed(config.seed)
        self.critic = SelfCritic(channels(config), numbers) if config.losses.self_critic else None
        self.to(device)
        self.landmarks = losses.face_bases(self._model, self._model.scheme("ibug68")).to(device)
        surface = SurfacePoints.at_vertices(_spread_vertices(self._model))
        self._surface = losses.face_bases(self._model, surface).to(device)

    @property
    def network(self) -> nn.Module:
        """The network that is trained."""
        return self.regressor.network

    @property
    def error_names(self) -> list[str]:
        """The names of the `errors`, for the parts that the layout has."""
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

    def measure(self, batches: Iterable[SampleBatch]) -> None:
        """Measure the whitening on faces to learn from, unless the start weights have brought theirs."""
        if self._config.start is None:
            regressor = self.regressor
            raw = torch.cat([regressor.layout.encode(batch.parameters) for batch in batches])
            whitening = Whitening.measured(regressor.layout, raw)
            regressor.whitening_mean.copy_(whitening.mean)
            regressor.whitening_deviation.copy_(whitening.deviation)

    def ask(self, network: Network, batch: SampleBatch, learning: bool = False) -> Answer:
        """Run a network on a batch.

        Crops that need a landmark map get that of their landmarks; while learning, these are given `landmark_noise`.
        """
        landmarks = batch.parameters.landmarks
        if landmarks is not None and self._config.landmark_map and learning and self._config.landmark_noise:
            landmarks = landmarks + self._config.landmark_noise * torch.randn_like(landmarks)
        return self._asked(network, batch, landmarks)

    def losses(self, network: Network, answer: Answer, critic: Network | None = None) -> dict[str, Tensor]:
        """Each loss that the configuration names, unweighted; the self-critic's where the critic is given.

        The network is asked once more where its own landmarks are to be put to it: by 2DASL's consistency in 3D and
        its cycle.
        """
        layout, whitening = self.regressor.layout, self.regressor.whitening
        truth, labelled = answer.batch.parameters, answer.batch.labelled
        faces, numbers = answer.faces, layout.parameter_slice
        white, target = answer.white[labelled], answer.target[labelled]
        found, true = faces.at(labelled), truth.at(labelled)
        projected = self.landmarks.projected(faces)
        again = cache(lambda: self._asked(network, answer.batch, projected.detach()).faces)
        computed: dict[str, Callable] = {
            "asymmetric_euclidean": lambda loss: losses.asymmetric_euclidean(
                white[:, numbers], target[:, numbers], loss.over, loss.under
            ),
            "weighted_coefficient": lambda _: losses.weighted_coefficient(
                white, target, layout, whitening, self.landmarks
            ),
            "vertex_distance": lambda loss: losses.vertex_distance(found, true, self._surface, loss.power),
            "shape_distance": lambda _: losses.shape_distance(found, true, self._surface),
            "rotation_distance": lambda _: losses.rotation_distance(found.rotation, true.rotation),
            "landmark_2d": lambda _: losses.landmark_distance(projected, truth.landmarks),
            "landmark_likelihood": lambda _: losses.landmark_likelihood(
                faces.landmarks, whitening.unwhiten(answer.white)[:, layout.log_deviation_slice], truth.landmarks
            ),
            "landmark_3d": lambda _: losses.landmark_distance(
                self.landmarks.vertices(faces.alpha, faces.beta),
                self.landmarks.vertices(again().alpha, again().beta),
            ),
            "cycle": lambda _: losses.landmark_distance(self.landmarks.projected(again()), truth.landmarks),
        }
        if critic is not None:
            computed["self_critic"] = lambda _: regressor_objective(self._judged(critic, answer))
        named = {name: getattr(self._config.losses, name) for name in computed}
        return {name: computed[name](loss) for name, loss in named.items() if loss is not None}

    def critic_loss(self, critic: Network, answer: Answer) -> Tensor:
        """The critic's loss: it learns to tell labels from regressed parameters."""
        labelled, unlabelled = answer.batch.labelled, _unlabelled(answer.batch.labelled)
        numbers = torch.cat([answer.target[labelled], answer.white[unlabelled].detach()])
        logits = critic(
            torch.cat([answer.inputs[labelled], answer.inputs[unlabelled]]),
            numbers[:, self.regressor.layout.parameter_slice],
        )
        known = int(labelled.sum())
        return critic_objective(logits[:known], logits[known:])

    def errors(self, answer: Answer) -> dict[str, Tensor]:
        """The errors per face, (B,), of the parts that the layout has.

        ``rotation_degrees``; ``nme_percent``, the distance of the projected landmarks over √(w·h) of the true ones'
        box; ``landmark_nme_percent``, the same of the network's own landmarks; ``shape``, ``expression`` and
        ``texture``, the mean error of a whitened α, β and γ.
        """
        layout, faces, truth = self.regressor.layout, answer.faces, answer.batch.parameters
        assert truth.landmarks is not None
        cosine = ((faces.rotation * truth.rotation).sum((1, 2)) - 1) / 2
        off = (answer.white - answer.target).abs()
        errors = {
            "rotation_degrees": torch.rad2deg(torch.acos(cosine.clamp(-1, 1))),
            "nme_percent": losses.nme_percent(self.landmarks.projected(faces), truth.landmarks),
            "shape": off[:, layout.shape_slice].mean(1),
            "expression": off[:, layout.expression_slice].mean(1),
            "texture": off[:, layout.texture_slice].mean(1),
        }
        if faces.landmarks is not None:
            errors["landmark_nme_percent"] = losses.nme_percent(faces.landmarks, truth.landmarks)
        return {name: errors[name] for name in self.error_names}

    def save(self, path: Path, network: nn.Module) -> None:
        """Write a regressor of this network: its newest weights, or their average.

        Raises:
            Face3DMMError: the file cannot be written.
        """
        config, model, regressor = self._config, self._model, self.regressor
        description = RegressorDescription(config.network, channels(config), regressor.layout, model.name, model.digest)
        save_weights(path, FaceRegressor(network, regressor.layout, regressor.whitening), description)

    def _asked(self, network: Network, batch: SampleBatch, landmarks: Tensor | None) -> Answer:
        regressor = self.regressor
        maps = landmark_maps(landmarks) if self._config.landmark_map and landmarks is not None else None
        inputs = regressor.normalise(batch.crops, maps).contiguous(memory_format=torch.channels_last)
        white = network(inputs)
        return Answer(
            inputs=inputs,
            white=white,
            faces=regressor.layout.decode(regressor.whitening.unwhiten(white)),
            target=regressor.whitening.whiten(regressor.layout.encode(batch.parameters)),
            batch=batch,
        )

    def _judged(self, critic: Network, answer: Answer) -> Tensor:
        """The critic's logits of regressed parameters; their gradients reach the regressor alone."""
        assert self.critic is not None
        unlabelled = _unlabelled(answer.batch.labelled)
        self.critic.requires_grad_(False)
        logits = critic(answer.inputs[unlabelled], answer.white[unlabelled][:, self.regressor.layout.parameter_slice])
        self.critic.requires_grad_(True)
        return logits


def layout_of(config: TrainingConfig) -> ParameterLayout:
    """The layout of a training's network."""
    layout = config.layout
    return ParameterLayout(
        layout.rotation, layout.shape_count, layout.expression_count, layout.landmark_count, layout.texture_count
    )


def channels(config: TrainingConfig) -> int:
    """Number of channels of the network's input."""
    return 4 if config.landmark_map else 3


def _beginning(config: TrainingConfig, model: MorphableModel) -> FaceRegressor:
    """The regressor before the first step: a new one depends on the configuration's seed alone.

    Raises:
        Face3DMMError: there is no network of that name, or the weights to start with cannot be read, or are another
            network's.
    """
    layout = layout_of(config)
    if config.start is None:
        torch.manual_seed(config.seed)
        network = build_network(config.network, channels(config), layout.size)
        unmeasured = Whitening(torch.zeros(layout.size), torch.ones(layout.size))
        return FaceRegressor(network.to(memory_format=torch.channels_last), layout, unmeasured)
    path = regressor_path(config.start)
    described = read_description(path)
    wanted = (config.network, channels(config), layout)
    found = (described.network, described.inputs, described.layout)
    if found != wanted:
        raise Face3DMMError(
            f"start: {path} holds {found[0]} of {found[1]} channels with {found[2]}, expected {wanted[0]} of "
            f"{wanted[1]} with {wanted[2]}"
        )
    regressor = load_regressor(path, model.digest)
    return FaceRegressor(regressor.network.to(memory_format=torch.channels_last), layout, regressor.whitening)


def _unlabelled(labelled: Tensor) -> Tensor:
    """The faces that the critic sees regressed: the unlabelled ones, or all where there are none."""
    return ~labelled if bool((~labelled).any()) else torch.ones_like(labelled)


def _spread_vertices(model: MorphableModel) -> NDArray[np.intp]:
    """Vertices spread over the face, or over all of a model that does not say what of it is face."""
    face = np.flatnonzero(model.regions.get("face", np.ones(model.vertex_count)) > 0.5)
    return face[np.linspace(0, len(face) - 1, min(_VERTEX_COUNT, len(face))).round().astype(np.intp)]

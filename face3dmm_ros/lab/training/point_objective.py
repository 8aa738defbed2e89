"""Learning points from pixels: the dense landmark network, which puts out 468 places, depths and standard deviations.

The Gaussian negative log-likelihood of Wood et al., 3D Face Reconstruction with Dense Landmarks, ECCV 2022, teaches it
its uncertainty; distance and depth, not squared, hold it to the points from the first step on.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.files.whole_file import whole_file
from face3dmm_ros.lab.training import losses
from face3dmm_ros.lab.training.config import TrainingConfig
from face3dmm_ros.lab.training.dense_network import DenseNet
from face3dmm_ros.lab.training.objective import Network
from face3dmm_ros.lab.training.samples import SampleBatch
from face3dmm_ros.landmarks.dense_network import SIDE, DenseNetwork
from face3dmm_ros.landmarks.network import Network as TfliteNetwork
from face3dmm_ros.landmarks.schemes import MEDIAPIPE478, SKIN_COUNT
from face3dmm_ros.morphable_model import load_model

_SHIPPED = "resource/landmark_models/dense.tflite"
_UNSURE = -2.5
"""log σ, in sides of the crop, that the network begins with; chosen by hand: σ is 8 % of a side."""
_LOG_DEVIATION = (-6.0, 1.0)
"""Bounds of log σ in the loss, σ from 0.4 px up; chosen by hand: without them few points would dominate it."""
_TOLERANCE = 5e-3
"""Greatest difference of the file's outputs (sides of the crop, log σ) from torch's; chosen by hand: the file's weights
are float16."""


@dataclass(frozen=True, eq=False)
class PointAnswer:
    """A network's output for B crops, (B, 468, 4), and the ground truth, (B, 468, 3).

    x, y from the crop's middle and depth toward the viewer, in sides of the crop; then log σ.
    """

    found: Tensor
    true: Tensor


class PointObjective(nn.Module):
    """An `Objective` for a `DenseNet`, whose truths are where a sample's parameters put Face Mesh's points."""

    file = "dense.tflite"
    critic = None
    error_names = ("nme_percent",)

    def __init__(self, config: TrainingConfig, device: torch.device | str = "cpu") -> None:
        """With a new network.

        Raises:
            Face3DMMError: a model that cannot be read or lacks Face Mesh's points, weights to start with that are none
                of this network, or as `DenseNet`.
        """
        super().__init__()
        self._names = config.losses.weights()
        self._started = config.start is not None
        torch.manual_seed(config.seed)
        network = DenseNet()
        if config.start is not None:
            network.load(package_file(_SHIPPED) if config.start == "default" else Path(config.start))
        self.network = network.to(device, memory_format=torch.channels_last)
        model = load_model(config.model)
        self._points = losses.face_bases(model, model.scheme(MEDIAPIPE478).at(slice(SKIN_COUNT))).to(device)

    @torch.no_grad()
    def measure(self, batches: Iterable[SampleBatch]) -> None:
        """Initialise the head of a new network: it puts out the mean of faces to learn from, with a large σ."""
        if self._started:
            return
        bias = self.network.head.bias.view(-1, 4)
        bias[:, :3] = torch.cat([self._true(batch) for batch in batches]).mean(dim=0)
        bias[:, 3] = _UNSURE
        self.network.head.weight *= 0.2

    def ask(self, network: Network, batch: SampleBatch, learning: bool = False) -> PointAnswer:
        """Run a network on a batch."""
        return PointAnswer(network(_inputs(batch.crops)), self._true(batch))

    def losses(self, network: Network, answer: PointAnswer, critic: Network | None = None) -> dict[str, Tensor]:
        """Those that the configuration names, unweighted, as means over the points."""
        found, true = answer.found, answer.true
        squared = (found[..., :2] - true[..., :2]).square().sum(dim=2)
        log_deviation = found[..., 3].clamp(*_LOG_DEVIATION)
        values = {
            "point_distance": (squared + 1e-6).sqrt().mean(),
            "point_depth": (found[..., 2] - true[..., 2]).abs().mean(),
            "point_likelihood": losses.landmark_likelihood(found[..., :2], log_deviation, true[..., :2]) / SKIN_COUNT,
        }
        if "point_rotation" in self._names:
            values["point_rotation"] = losses.points_rotation_degrees(found[..., :3], true).mean()
        return {name: values[name] for name in self._names}

    def errors(self, answer: PointAnswer) -> dict[str, Tensor]:
        """``nme_percent`` per face, (B,): the mean distance over √(w·h) of the points' box."""
        return {"nme_percent": losses.nme_percent(answer.found[..., :2], answer.true[..., :2])}

    def save(self, path: Path, network: nn.Module) -> None:
        """Write the .tflite file that the detector runs, and check that LiteRT gives what torch gives.

        Raises:
            Face3DMMError: the outputs differ, or the file cannot be written.
        """
        assert isinstance(network, DenseNet)
        example = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        with torch.no_grad():
            crop = torch.from_numpy(example)[None].to(network.head.weight.device)
            expected = network(_inputs(crop)).cpu().numpy().ravel()
        with whole_file(path) as unfinished:
            network.save(unfinished)
            difference = float(np.abs(TfliteNetwork(unfinished, (0.0, 1.0)).run(example)[0] - expected).max())
            if not difference <= _TOLERANCE:
                raise Face3DMMError(f"{path}: LiteRT's outputs would differ from torch's by {difference:.2g}")
            DenseNetwork(unfinished)

    def _true(self, batch: SampleBatch) -> Tensor:
        points = self._points.in_camera(batch.parameters)
        middle = (SIDE - 1) / 2
        return (points - points.new_tensor([middle, middle, 0.0])) / points.new_tensor([SIDE, SIDE, -SIDE])


def _inputs(crops: Tensor) -> Tensor:
    """(B, SIDE, SIDE, 3) uint8 BGR as the network takes them."""
    return (crops.flip(3).permute(0, 3, 1, 2).float() / 255).contiguous(memory_format=torch.channels_last)

"""The dense network in torch: Face Mesh's trunk, which knows photographs, made deeper and under a head of its own."""

from pathlib import Path

import torch
from torch import Tensor, nn

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.lab.training.tflite import TfliteWriter
from face3dmm_ros.landmarks.dense_network import SIDE
from face3dmm_ros.landmarks.network import tflite_weights
from face3dmm_ros.landmarks.schemes import SKIN_COUNT
from face3dmm_ros.regressor.face_mesh_trunk import (
    CHANNELS,
    STRIDE_8,
    STRIDE_16,
    AddedResidual,
    FaceMeshBlock,
    FaceMeshStem,
    Weights,
    face_mesh_trunk,
    take_weights,
)

# Chosen by hand: accuracy against the time of an image on one core.
_EXPANSION = 4  # of the channels inside an added residual
_ADDED = 3  # residuals at each of the last two strides
_SQUEEZED, _EMBEDDED = 64, 320  # channels before and numbers after the first fully connected layer


class DenseNet(nn.Module):
    """(B, 3, SIDE, SIDE) RGB from 0 to 1, to (B, 468, 4): x, y and depth in sides of the crop, and log σ.

    Attributes:
        seen: the trunk up to a stride of 8, which keeps Google's weights: what it sees has been learnt from people.
        tuned: the rest of it, up to a stride of 16 and of 32.
        added: what follows each of these.
    """

    def __init__(self) -> None:
        """With Face Mesh's weights in the trunk; see `face_mesh_trunk` for the errors."""
        super().__init__()
        trunk = face_mesh_trunk()
        late = trunk[STRIDE_8:STRIDE_16], trunk[STRIDE_16:]
        self.seen = nn.Sequential(*trunk[:STRIDE_8]).requires_grad_(False)
        self.tuned = nn.ModuleList([nn.Sequential(*layers) for layers in late])
        added = [[AddedResidual(CHANNELS, _EXPANSION) for _ in range(_ADDED)] for _ in late]
        self.added = nn.ModuleList([nn.Sequential(*layers) for layers in added])
        self.squeeze = nn.Sequential(nn.Conv2d(CHANNELS, _SQUEEZED, 1), nn.PReLU(_SQUEEZED))
        self.embed = nn.Sequential(nn.Linear(_SQUEEZED * (SIDE // 32) ** 2, _EMBEDDED), nn.PReLU(_EMBEDDED))
        self.head = nn.Linear(_EMBEDDED, SKIN_COUNT * 4)

    def forward(self, x: Tensor) -> Tensor:
        """The outputs as the class describes them."""
        x = self.seen(x)
        for tuned, added in zip(self.tuned, self.added, strict=True):
            x = added(tuned(x))
        outputs: Tensor = self.head(self.embed(self.squeeze(x).flatten(1)))
        return outputs.view(-1, SKIN_COUNT, 4)

    @torch.no_grad()
    def load(self, path: Path) -> None:
        """Take the weights of a file that `save` wrote.

        Raises:
            Face3DMMError: the file cannot be read, or is another network's.
        """
        given = iter(tflite_weights(path))
        try:
            for group in (self.seen, self.tuned[0], self.added[0], self.tuned[1], self.added[1], self.squeeze):
                # As `save` writes them: what a layer is made of stands in the order of its construction.
                for layer in group.modules():
                    if isinstance(layer, nn.Conv2d | nn.PReLU):
                        take_weights(given, layer)
            _take_linear(given, self.embed[0], _SQUEEZED)
            take_weights(given, self.embed[1])
            _take_linear(given, self.head, _EMBEDDED)
        except (StopIteration, ValueError, RuntimeError) as error:
            raise Face3DMMError(f"{path} is not a dense network of this package: its layers are others") from error

    def save(self, path: Path) -> None:
        """Write a .tflite file that takes (1, SIDE, SIDE, 3) and gives (1, 1872) and (1, *FEATURES)."""
        file = TfliteWriter((1, SIDE, SIDE, 3))
        features = x = 0
        for group in (self.seen, self.tuned[0], self.added[0], self.tuned[1], self.added[1]):
            for layer in group:
                x = _written(file, x, layer)
            features = x if group is self.added[0] else features
        x = file.prelu(file.convolution(x, self.squeeze[0]), self.squeeze[1])
        x = file.prelu(file.flattened_linear(x, self.embed[0]), self.embed[1])
        file.save([file.flattened_linear(x, self.head), features], path)


def _take_linear(given: Weights, layer: nn.Linear, channels: int) -> None:
    """Fill a fully connected layer, whose inputs a .tflite file has channels last and torch channels first."""
    values = torch.from_numpy(next(given).copy())
    layer.weight.copy_(values.view(len(values), -1, channels).transpose(1, 2).flatten(1))
    layer.bias.copy_(torch.from_numpy(next(given).copy()))


def _written(file: TfliteWriter, x: int, layer: nn.Module) -> int:
    """Write a layer on tensor x; returns its output."""
    if isinstance(layer, FaceMeshStem):
        return file.prelu(file.convolution(x, layer.convolution), layer.activation)
    if isinstance(layer, AddedResidual):
        y = file.prelu(file.convolution(x, layer.expand), layer.first)
        y = file.prelu(file.convolution(y, layer.depthwise), layer.second)
        return file.add(x, file.convolution(y, layer.project))
    assert isinstance(layer, FaceMeshBlock)
    kept = file.halved(x) if layer.stride == 2 else x
    if layer.grown:
        kept = file.more_channels(kept, layer.grown)
    return file.prelu(
        file.add(kept, file.convolution(file.convolution(x, layer.depthwise), layer.pointwise)), layer.activation
    )

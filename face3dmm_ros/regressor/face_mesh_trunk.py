"""Face Mesh's convolutional trunk in torch, with Google's weights: layers that know photographs of people.

Kartynnik et al., Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs, 2019. The weights (Apache-2.0)
are read from the .tflite file that the landmark detector runs.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.landmarks.network import tflite_weights

CHANNELS = 128
"""Of the trunk's output."""
STRIDE_4, STRIDE_8, STRIDE_16 = 6, 9, 12
"""How many layers of the trunk there are up to these strides; all of them reach 32."""
_BLOCKS = (
    (16, 16, 1), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 64, 1),
    (64, 128, 2), (128, 128, 1), (128, 128, 1), (128, 128, 2), (128, 128, 1), (128, 128, 1),
)  # fmt: skip
"""Channels in, channels out and stride of each block after the first convolution."""

Weights = Iterator[NDArray[np.float32]]


def face_mesh_trunk(path: Path | None = None, inputs: int = 3) -> list[nn.Module]:
    """The layers from (B, inputs, H, W), RGB in 0 … 1 first, to (B, 128, H / 32, W / 32), H and W multiples of 32.

    Args:
        path: Face Mesh's .tflite file; the one that ships without it.
        inputs: channels, 3 or more; those after RGB have no weight to begin with.

    Raises:
        Face3DMMError: the file cannot be read, is another network, or LiteRT is not installed.
    """
    path = path or package_file("resource/landmark_models/face_landmark.tflite")
    given = iter(tflite_weights(path))
    try:
        return [FaceMeshStem(given, inputs), *(FaceMeshBlock(given, *sizes) for sizes in _BLOCKS)]
    except (StopIteration, ValueError) as error:
        raise Face3DMMError(f"{path} is not Face Mesh: its layers are others ({error})") from error


class FaceMeshStem(nn.Module):
    """The first convolution."""

    def __init__(self, given: Weights, inputs: int) -> None:
        """With the next weights."""
        super().__init__()
        rgb = nn.Conv2d(3, 16, 3, 2)
        take_weights(given, rgb)
        self.convolution = nn.Conv2d(inputs, 16, 3, 2)
        self.convolution.weight.data = functional.pad(rgb.weight.data, (0, 0, 0, 0, 0, inputs - 3))
        self.convolution.bias = rgb.bias
        self.activation = nn.PReLU(16)
        take_weights(given, self.activation)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, 16, H / 2, W / 2)."""
        y: Tensor = self.activation(self.convolution(_padded(x)))
        return y


class FaceMeshBlock(nn.Module):
    """A depthwise and a pointwise convolution beside what they add to.

    Attributes:
        stride: 1 or 2.
        grown: channels that the output has more.
    """

    def __init__(self, given: Weights, inputs: int, outputs: int, stride: int) -> None:
        """With the next weights."""
        super().__init__()
        self.stride, self.grown = stride, outputs - inputs
        self.depthwise = nn.Conv2d(inputs, inputs, 3, stride, 0 if stride == 2 else 1, groups=inputs)
        self.pointwise = nn.Conv2d(inputs, outputs, 1)
        self.activation = nn.PReLU(outputs)
        for layer in (self.depthwise, self.pointwise, self.activation):
            take_weights(given, layer)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        kept = x
        if self.stride == 2:
            kept, x = functional.max_pool2d(x, 2), _padded(x)
        if self.grown:
            kept = functional.pad(kept, [0, 0, 0, 0, 0, self.grown])
        y: Tensor = self.activation(kept + self.pointwise(self.depthwise(x)))
        return y


class AddedResidual(nn.Module):
    """An inverted residual (Sandler et al., MobileNetV2, CVPR 2018) that begins as the identity.

    A network that it is put into still sees what it saw.
    """

    def __init__(self, channels: int, expansion: int) -> None:
        """With `expansion` times as many channels inside."""
        super().__init__()
        hidden = channels * expansion
        self.expand = nn.Conv2d(channels, hidden, 1)
        self.first = nn.PReLU(hidden)
        self.depthwise = nn.Conv2d(hidden, hidden, 3, 1, 1, groups=hidden)
        self.second = nn.PReLU(hidden)
        self.project = nn.Conv2d(hidden, channels, 1)
        nn.init.zeros_(self.project.weight)
        assert self.project.bias is not None
        nn.init.zeros_(self.project.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to the same."""
        y: Tensor = self.project(self.second(self.depthwise(self.first(self.expand(x)))))
        return x + y


def _padded(x: Tensor) -> Tensor:
    """TensorFlow's "same" for a 3 × 3 kernel at stride 2 on an even side: one more row and column at the far ends."""
    return functional.pad(x, [0, 1, 0, 1])


def take_weights(given: Weights, layer: nn.Module) -> None:
    """Fill a layer, a convolution or a PReLU, with the next weights of a .tflite file.

    Raises:
        StopIteration, ValueError, RuntimeError: there are no more, or they are of another shape.
    """
    values = next(given)
    if isinstance(layer, nn.PReLU):
        layer.weight.data = torch.from_numpy(values.reshape(layer.weight.shape).copy())
        return
    assert isinstance(layer, nn.Conv2d)
    assert layer.bias is not None
    # From (out, height, width, in), or (1, height, width, channels) for a depthwise one.
    values = values.transpose((3, 0, 1, 2) if layer.groups > 1 else (0, 3, 1, 2))
    layer.weight.data = torch.from_numpy(values.reshape(layer.weight.shape).copy())
    layer.bias.data = torch.from_numpy(next(given).reshape(layer.bias.shape).copy())

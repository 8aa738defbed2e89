"""The networks: a normalised crop, and where it is wanted a landmark map, to one vector."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.regressor.crops import SIDE
from face3dmm_ros.regressor.face_mesh_trunk import (
    CHANNELS,
    STRIDE_4,
    STRIDE_8,
    STRIDE_16,
    AddedResidual,
    face_mesh_trunk,
)


def build_network(name: str, inputs: int, outputs: int) -> nn.Module:
    """A network from (B, inputs, 120, 120) normalised floats to (B, outputs).

    Args:
        name: ``resnet50``, ``resnet101`` or ``light``.
        inputs: channels, 3 for RGB or 4 with a landmark map.
        outputs: length of the vector.

    Raises:
        Face3DMMError: an unknown name, or no channels or outputs.
    """
    if name not in NETWORKS:
        raise Face3DMMError(f"the networks are {', '.join(NETWORKS)}; there is no {name!r}")
    if inputs < 1 or outputs < 1:
        raise Face3DMMError(f"a network needs inputs and outputs, not {inputs} and {outputs}")
    return NETWORKS[name](inputs, outputs)


class ResNet(nn.Module):
    """The residual network of bottlenecks (He et al., Deep Residual Learning for Image Recognition, CVPR 2016).

    The stride is in a bottleneck's 3 × 3 convolution, and the last normalisation of each begins at zero, so that
    training starts from a shallow network (Goyal et al., Accurate, Large Minibatch SGD, 2017).
    """

    def __init__(self, depths: tuple[int, int, int, int], inputs: int, outputs: int) -> None:
        """With so many bottlenecks in each of the four stages."""
        super().__init__()
        self.stem = nn.Sequential(*_convolution(inputs, 64, 7, 2, nn.ReLU(inplace=True)), nn.MaxPool2d(3, 2, 1))
        blocks: list[nn.Module] = []
        channels = 64
        for stage, depth in enumerate(depths):
            width = 64 << stage
            for index in range(depth):
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(_Bottleneck(channels, width, stride))
                channels = 4 * width
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(channels, outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs)."""
        return self.head(self.pool(self.blocks(self.stem(x))).flatten(1))


class _Bottleneck(nn.Module):
    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.residual = nn.Sequential(
            *_convolution(inputs, width, 1, 1, nn.ReLU(inplace=True)),
            *_convolution(width, width, 3, stride, nn.ReLU(inplace=True)),
            *_convolution(width, outputs, 1, 1),
        )
        nn.init.zeros_(self.residual[-1].weight)
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else nn.Sequential(*_convolution(inputs, outputs, 1, stride))
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, 4 width, H / stride, W / stride)."""
        return self.activation(self.residual(x) + self.shortcut(x))


class LightNetwork(nn.Module):
    """Face Mesh's trunk, which knows photographs, made deeper and under a head of its own: for live use on one thread.

    What it begins with carries over to photographs of people even where all that it is trained on is rendered. Where a
    feature lies tells where the face is. So the maps of a stride of 16, which is fine, and of 32, which sees most of
    the face at once, are not averaged but squeezed and flattened; and of all together `SpatialSoftmax` makes points.

    Attributes:
        seen: the trunk up to a stride of 4, which keeps its weights (its first layer learns a fourth channel's).
        tuned_8, tuned_16, tuned_32: the rest of it, up to these strides.
        added_16, added_32: what follows each of these.
        squeeze_16, squeeze_32: what of each goes on to the head.
        attend_8, attend_16, attend_32: what each says of where the points are.
    """

    # Sizes chosen by hand; larger ones cost time on one thread.
    _ADDED, _EXPANSION = 2, 3
    _SQUEEZED_16, _SQUEEZED_32, _POINTS, _EMBEDDED = 16, 64, 96, 384

    def __init__(self, inputs: int, outputs: int) -> None:
        """From so many channels, RGB the first three, to so many numbers; see `face_mesh_trunk` for the errors."""
        super().__init__()
        trunk = face_mesh_trunk(inputs=inputs)
        self.seen = nn.Sequential(*trunk[:STRIDE_4]).requires_grad_(False)
        trunk[0].requires_grad_(inputs > 3)
        self.tuned_8 = nn.Sequential(*trunk[STRIDE_4:STRIDE_8])
        self.tuned_16 = nn.Sequential(*trunk[STRIDE_8:STRIDE_16])
        self.added_16 = nn.Sequential(*(AddedResidual(CHANNELS, self._EXPANSION) for _ in range(self._ADDED)))
        self.tuned_32 = nn.Sequential(*trunk[STRIDE_16:])
        self.added_32 = nn.Sequential(*(AddedResidual(CHANNELS, self._EXPANSION) for _ in range(self._ADDED)))
        self.squeeze_16 = nn.Sequential(nn.Conv2d(CHANNELS, self._SQUEEZED_16, 1), nn.PReLU(self._SQUEEZED_16))
        self.squeeze_32 = nn.Sequential(nn.Conv2d(CHANNELS, self._SQUEEZED_32, 1), nn.PReLU(self._SQUEEZED_32))
        self.attend_8 = nn.Conv2d(CHANNELS // 2, self._POINTS, 1)
        self.attend_16 = nn.Conv2d(CHANNELS, self._POINTS, 1)
        self.attend_32 = nn.Conv2d(CHANNELS, self._POINTS, 1)
        cells = -(-SIDE // 32)
        self._border = [(32 * cells - SIDE) // 2] * 4
        self.points = SpatialSoftmax(4 * cells)
        flat = self._SQUEEZED_16 * (2 * cells) ** 2 + self._SQUEEZED_32 * cells**2 + 2 * self._POINTS
        self.embed = nn.Sequential(nn.Linear(flat, self._EMBEDDED), nn.PReLU(self._EMBEDDED))
        self.head = nn.Linear(self._EMBEDDED + 2 * self._POINTS, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, 120, 120), RGB from −1 to 1, to (B, outputs)."""
        # Face Mesh wants 0 … 1.
        x = functional.pad(0.5 * x + 0.5, self._border, mode="replicate")
        finest = self.tuned_8(self.seen(x))
        fine = self.added_16(self.tuned_16(finest))
        coarse = self.added_32(self.tuned_32(fine))
        attention = self.attend_16(fine) + _doubled(self.attend_32(coarse))
        points = self.points(self.attend_8(finest) + _doubled(attention))
        flat = torch.cat([self.squeeze_16(fine).flatten(1), self.squeeze_32(coarse).flatten(1), points], dim=1)
        return self.head(torch.cat([self.embed(flat), points], dim=1))


class SpatialSoftmax(nn.Module):
    """Where each map is high, on average, as a share of the map: points that a network chooses for itself.

    Levine et al., End-to-End Training of Deep Visuomotor Policies, JMLR 2016.
    """

    def __init__(self, side: int) -> None:
        """Of maps of side × side."""
        super().__init__()
        place = torch.linspace(-1, 1, side)
        self.register_buffer(
            "grid", torch.stack(torch.meshgrid(place, place, indexing="xy"), 2).view(-1, 2), persistent=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, K, side, side) to (B, 2 K), x before y, from −1 to 1."""
        y: Tensor = functional.softmax(x.flatten(2), dim=2) @ self.grid
        return y.flatten(1)


def _doubled(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, C, 2 H, 2 W)."""
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def _convolution(
    inputs: int, outputs: int, side: int, stride: int, activation: nn.Module | None = None
) -> list[nn.Module]:
    """A convolution that keeps H and W but for its stride, its batch normalisation and what follows them."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, side, stride, side // 2, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return layers if activation is None else [*layers, activation]


NETWORKS: dict[str, Callable[[int, int], nn.Module]] = {
    "resnet50": lambda inputs, outputs: ResNet((3, 4, 6, 3), inputs, outputs),
    "resnet101": lambda inputs, outputs: ResNet((3, 4, 23, 3), inputs, outputs),
    "light": LightNetwork,
}
"""By name."""

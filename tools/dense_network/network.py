"""The dense network in torch: inverted residuals (Sandler et al., MobileNetV2, CVPR 2018) over a 96 px crop."""

from torch import Tensor, nn

from face3dmm_ros.landmarks.dense_network import POINT_COUNT, SIDE


def _convolution(
    inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1, active: bool = True
) -> nn.Module:
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if active else nn.Sequential(*layers)


class _InvertedResidual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self._residual = stride == 1 and inputs == outputs
        self.block = nn.Sequential(
            _convolution(inputs, hidden, 1, 1),
            _convolution(hidden, hidden, 3, stride, groups=hidden),
            _convolution(hidden, outputs, 1, 1, active=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        y: Tensor = self.block(x)
        return x + y if self._residual else y


class DenseNet(nn.Module):
    """(B, 3, 96, 96) BGR from −1 to 1, to (B, 468, 4): x, y and depth in sides of the crop, and log σ."""

    def __init__(self) -> None:
        """Random weights."""
        super().__init__()
        self.features = nn.Sequential(
            _convolution(3, 16, 3, 2),
            _InvertedResidual(16, 24, 2, 2),
            _InvertedResidual(24, 24, 1, 2),
            _InvertedResidual(24, 40, 2, 2),
            _InvertedResidual(40, 40, 1, 3),
            _InvertedResidual(40, 40, 1, 3),
            _InvertedResidual(40, 72, 2, 3),
            _InvertedResidual(72, 72, 1, 3),
            _InvertedResidual(72, 72, 1, 3),
            _InvertedResidual(72, 104, 1, 3),
            _InvertedResidual(104, 104, 1, 3),
            _convolution(104, 256, 1, 1),
        )
        # Each cell of what is left speaks for its part of the face: weighed, not averaged (MobileFaceNets, 2018).
        self.gather = nn.Sequential(
            nn.Conv2d(256, 256, SIDE // 16, groups=256, bias=False),
            nn.BatchNorm2d(256),
        )
        self.head = nn.Linear(256, POINT_COUNT * 4)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        features: Tensor = self.gather(self.features(x)).flatten(1)
        outputs: Tensor = self.head(features)
        return outputs.view(-1, POINT_COUNT, 4)

"""A network of the size of 3DDFA_V2's fast one, to set ours beside: MobileNet ×0.5 on 120 px, 62 numbers out.

Howard et al., MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications, 2017; Guo et al.,
Towards Fast, Accurate and Stable 3D Dense Face Alignment, ECCV 2020. Its weights are random: they cost no time.
"""

import torch
from torch import nn

_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
"""Channels at full width and stride of each block, after Table 1 of Howard et al."""
_WIDTH, _OUTPUTS = 0.5, 62
"""As in 3DDFA_V2's fast network."""


def mobilenet(side: int) -> torch.jit.ScriptModule:
    """From (1, 3, side, side) to (1, 62), as TorchScript, its batch normalisations folded as exports have them."""
    channels = int(32 * _WIDTH)
    layers: list[nn.Module] = [nn.Conv2d(3, channels, 3, 2, 1), nn.ReLU(inplace=True)]
    for full, stride in _BLOCKS:
        outputs = int(full * _WIDTH)
        layers += [nn.Conv2d(channels, channels, 3, stride, 1, groups=channels), nn.ReLU(inplace=True)]
        layers += [nn.Conv2d(channels, outputs, 1), nn.ReLU(inplace=True)]
        channels = outputs
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, _OUTPUTS))
    network = network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    return torch.jit.freeze(torch.jit.trace(network, torch.zeros(1, 3, side, side), check_trace=False))

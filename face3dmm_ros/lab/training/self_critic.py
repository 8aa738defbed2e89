"""2DASL's self-critic: a network that tells labels from regressed parameters, so that unlabelled faces teach too.

Tu et al., 3D Face Reconstruction from A Single Image Assisted by 2D Face Images in the Wild, 2019 (arXiv 1903.09359).
The paper ends its critic with a softmax, which over one output is constant: here D is the sigmoid of the one logit.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

_ENCODER_CHANNELS = (16, 32, 64, 128, 256, 512)
"""Of the six convolutions; six poolings leave one pixel of a crop of 120."""
_CRITIC_WIDTHS = (512, 1024, 1024)


class SelfCritic(nn.Module):
    """How much a face's parameters look like a label for its crop.

    An encoder of six convolutions, each with ReLU and max pooling, turns the crop into z; four fully connected layers
    of 512, 1024, 1024 and 1 judge the pair [z, α].
    """

    def __init__(self, inputs: int, parameters: int) -> None:
        """For crops of so many channels and vectors of so many numbers."""
        super().__init__()
        encoder: list[nn.Module] = []
        for before, after in zip((inputs, *_ENCODER_CHANNELS), _ENCODER_CHANNELS, strict=False):
            encoder += [nn.Conv2d(before, after, 3, 1, 1), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        critic: list[nn.Module] = []
        before = _ENCODER_CHANNELS[-1] + parameters
        for width in _CRITIC_WIDTHS:
            critic += [nn.Linear(before, width), nn.ReLU(inplace=True)]
            before = width
        self.encoder = nn.Sequential(*encoder)
        self.critic = nn.Sequential(*critic, nn.Linear(before, 1))

    def forward(self, crop: Tensor, parameters: Tensor) -> Tensor:
        """Logits of D([z, α]), (B,).

        Args:
            crop: (B, inputs, 120, 120) normalised.
            parameters: (B, parameters) whitened.
        """
        return self.critic(torch.cat([self.encoder(crop).flatten(1), parameters], dim=1))[:, 0]


def critic_objective(label_logits: Tensor, regressed_logits: Tensor) -> Tensor:
    """What the critic minimises: −E log D([z*, α*]) − E log(1 − D([z̄, R(I)])), binary cross-entropy on the logits.

    L_sc of 2DASL with its sign turned. Detach R(I), so that the regressor does not learn from it.

    Args:
        label_logits: (B,) of labelled faces with their labels.
        regressed_logits: (C,) of unlabelled faces with what the regressor makes of them.
    """
    return functional.softplus(-label_logits).mean() + functional.softplus(regressed_logits).mean()


def regressor_objective(regressed_logits: Tensor) -> Tensor:
    """What the regressor minimises: −E log D([z̄, R(I)]), to be taken for a label.

    The opposite of the critic's aim in the form that does not flatten out while the critic is right (Goodfellow et al.,
    Generative Adversarial Nets, 2014, section 3); log(1 − D) has the same fixed point.

    Args:
        regressed_logits: (C,) of unlabelled faces with what the regressor makes of them.
    """
    return functional.softplus(-regressed_logits).mean()

"""What a network is to learn, as the one training loop knows it."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from face3dmm_ros.lab.training.samples import SampleBatch

Network = Callable[..., Tensor]
"""From normalised crops to numbers, float32; or from these and parameters to a critic's logits."""


class Objective(Protocol):
    """A network, what it is asked, by which losses it learns, how it is judged, and what is written of it.

    It is a module of torch, whose state is all that the network's use depends on.

    Attributes:
        file: name of what `save` writes.
    """

    file: str

    @property
    def network(self) -> nn.Module:
        """What learns."""

    @property
    def critic(self) -> nn.Module | None:
        """What learns against it, if anything does."""

    @property
    def error_names(self) -> Sequence[str]:
        """What `errors` tells."""

    def measure(self, batches: Iterable[SampleBatch]) -> None:
        """Set what a new network begins with, from faces to learn from."""

    def ask(self, network: Network, batch: SampleBatch, learning: bool = False) -> Any:
        """What a network says of a batch, and what is true."""

    def losses(self, network: Network, answer: Any, critic: Network | None = None) -> dict[str, Tensor]:
        """The losses of an answer by their names, unweighted; with the critic what it makes of it, too."""

    def critic_loss(self, critic: Network, answer: Any) -> Tensor:
        """What the critic minimises."""

    def errors(self, answer: Any) -> dict[str, Tensor]:
        """The errors of an answer by their names, (B,)."""

    def save(self, path: Path, network: nn.Module) -> None:
        """Write a network, the newest or the average, for use."""

    def state_dict(self) -> dict[str, Tensor]:
        """Everything, by its name."""

    def load_state_dict(self, state: dict[str, Tensor]) -> object:
        """Take up such a state."""

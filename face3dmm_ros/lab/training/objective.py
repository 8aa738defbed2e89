"""The interface between the training loop and what a network learns."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from face3dmm_ros.lab.training.samples import SampleBatch

Network = Callable[..., Tensor]
"""From normalised crops to numbers, float32; or from these and parameters to a critic's logits."""


class Objective(Protocol):
    """A network with its inputs, losses, validation errors and file format.

    It is a torch module whose state is all that using the network depends on.

    Attributes:
        file: name of what `save` writes.
    """

    file: str

    @property
    def network(self) -> nn.Module:
        """The network that is trained."""

    @property
    def critic(self) -> nn.Module | None:
        """The adversarial critic, if there is one."""

    @property
    def error_names(self) -> Sequence[str]:
        """The names of the `errors`."""

    def measure(self, batches: Iterable[SampleBatch]) -> None:
        """Initialise a new network from faces to learn from."""

    def ask(self, network: Network, batch: SampleBatch, learning: bool = False) -> Any:
        """A network's output for a batch, together with the ground truth."""

    def losses(self, network: Network, answer: Any, critic: Network | None = None) -> dict[str, Tensor]:
        """The losses of an answer by their names, unweighted; with a critic its loss too."""

    def critic_loss(self, critic: Network, answer: Any) -> Tensor:
        """What the critic minimises."""

    def errors(self, answer: Any) -> dict[str, Tensor]:
        """The errors of an answer by their names, (B,)."""

    def save(self, path: Path, network: nn.Module) -> None:
        """Write a network, the newest or the average, for use."""

    def state_dict(self) -> dict[str, Tensor]:
        """All parameters and buffers by their names."""

    def load_state_dict(self, state: dict[str, Tensor]) -> object:
        """Restore such a state."""

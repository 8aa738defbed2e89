"""The processes of one training: this one alone, or those that `torchrun` started, on as many GPUs or on the CPU."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from face3dmm_ros.core.errors import Face3DMMError


@dataclass(frozen=True)
class Processes:
    """This process among those of a training.

    Attributes:
        rank: its number; process 0 writes files and prints.
        count: how many there are.
        device: what it computes on.
    """

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def shared(self, module: nn.Module) -> nn.Module:
        """The module, with gradients averaged over the processes."""
        if self.count == 1:
            return module
        if self.device.type == "cuda":
            module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
        with warnings.catch_warnings():
            # The option has a new name from torch 2.13 on.
            warnings.simplefilter("ignore", FutureWarning)
            # Buffers written between two forward passes of one step would spoil the backward pass of the first.
            return DistributedDataParallel(module, broadcast_buffers=False)

    def mean(self, total: Tensor, count: float) -> Tensor:
        """Sum of `total` over the processes, divided by that of `count`."""
        sums = torch.cat([total.detach().double().cpu(), torch.tensor([count], dtype=torch.float64)])
        if self.count > 1:
            sums = sums.to(self.device)
            torch.distributed.all_reduce(sums)
        return (sums[:-1] / sums[-1].clamp(min=1e-12)).cpu()

    def of_first(self, values: Tensor) -> Tensor:
        """Broadcast the first process's values to all."""
        if self.count == 1:
            return values
        there = values.to(self.device)
        torch.distributed.broadcast(there, 0)
        return there.to(values.device)

    def wait(self) -> None:
        """Wait until all processes have called this."""
        if self.count > 1:
            torch.distributed.barrier()


@contextmanager
def processes() -> Iterator[Processes]:
    """This process among those that `torchrun` started, or alone.

    Raises:
        Face3DMMError: there are fewer GPUs than processes, or torchrun's processes do not find each other.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    rank, local = int(os.environ.get("RANK", "0")), int(os.environ.get("LOCAL_RANK", "0"))
    on_gpu = torch.cuda.is_available()
    if on_gpu and local >= torch.cuda.device_count():
        raise Face3DMMError(
            f"process {local} of this machine finds {torch.cuda.device_count()} GPUs: start as many processes "
            "(torchrun --nproc-per-node) as there are GPUs"
        )
    device = torch.device("cuda", local) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(device)
    if count == 1:
        yield Processes(0, 1, device)
        return
    try:
        torch.distributed.init_process_group("nccl" if on_gpu else "gloo", rank=rank, world_size=count)
    except (RuntimeError, ValueError) as error:
        raise Face3DMMError(f"the {count} processes of this training do not find each other: {error}") from error
    try:
        yield Processes(rank, count, device)
    finally:
        torch.distributed.destroy_process_group()

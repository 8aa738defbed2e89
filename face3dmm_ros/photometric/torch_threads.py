"""How many threads torch has: one where it fits or looks at single faces, what is told where it learns."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Keep torch to so many threads: those that wait for a core cost more time than they save."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def one_torch_thread() -> AbstractContextManager[None]:
    """Keep torch to one thread: its operations on a face are short, and threads that wait for a core cost seconds."""
    return torch_threads(1)

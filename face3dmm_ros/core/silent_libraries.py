"""Libraries that write to stderr's descriptor themselves, and have no switch that stops them."""

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

_ALONE = threading.Lock()


@contextmanager
def silent_libraries() -> Iterator[None]:
    """Keep all that is written to stderr off it; other threads' lines, too, so only for where these have none."""
    with _ALONE:
        try:
            kept = os.dup(2)
        except OSError:  # it is closed
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)


def silent_in_main_thread() -> AbstractContextManager[None]:
    """The same in the main thread; nothing in others, beside which a process may have lines of its own to write."""
    return silent_libraries() if threading.current_thread() is threading.main_thread() else nullcontext()

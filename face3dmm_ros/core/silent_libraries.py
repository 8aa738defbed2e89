"""Libraries that write to stderr's descriptor themselves, and have no switch that stops them."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

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

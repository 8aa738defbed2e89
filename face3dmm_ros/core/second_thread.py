"""A second thread that takes half of a piece of work where a core is free for it."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

_Result = TypeVar("_Result")


class SecondThread:
    """Begins work beside its caller's, for one caller at a time.

    Who finds it taken, or has one core alone, does all by itself and comes to the same results.
    """

    def __init__(self, name: str) -> None:
        """Keep the thread's name; it starts with the first work."""
        self._name = name
        self._taken = threading.Lock()
        self._thread: ThreadPoolExecutor | None = None

    @contextmanager
    def beside(self, work: Callable[[], _Result]) -> Iterator[Callable[[], _Result]]:
        """What gives `work`'s result, and raises what it raised.

        It is begun at once in the second thread, or done when the result is first asked for where there is none. On
        leaving it is over, so that nothing is read any more of what the caller may change then.
        """
        if len(os.sched_getaffinity(0)) < 2 or not self._taken.acquire(blocking=False):
            yield cache(work)
            return
        try:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, self._name)
            begun = self._thread.submit(work)
            try:
                yield begun.result
            finally:
                wait([begun])
        finally:
            self._taken.release()

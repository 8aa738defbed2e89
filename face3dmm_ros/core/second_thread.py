"""A second thread that takes part of a piece of work where a core is free for it."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

_Result = TypeVar("_Result")


class SecondThread:
    """Does work beside its callers, one piece at a time.

    Who finds it at work, or has one core alone, does all by itself and comes to the same results.
    """

    def __init__(self, name: str) -> None:
        """Keep the thread's name; it starts with the first work."""
        self._name = name
        self._at_work = threading.Lock()
        self._thread: ThreadPoolExecutor | None = None

    def begin(self, work: Callable[[], _Result]) -> Callable[[], _Result]:
        """What gives `work`'s result, and raises what it raised.

        It is begun at once in the second thread, or done when the result is first asked for where that is not free.
        """
        begun = self._begun(work)
        return cache(work) if begun is None else begun.result

    @contextmanager
    def beside(self, work: Callable[[], _Result]) -> Iterator[Callable[[], _Result]]:
        """The same for work that reads what the caller may change afterwards: on leaving it is over."""
        begun = self._begun(work)
        try:
            yield cache(work) if begun is None else begun.result
        finally:
            wait([] if begun is None else [begun])

    def _begun(self, work: Callable[[], _Result]) -> Future[_Result] | None:
        if len(os.sched_getaffinity(0)) < 2 or not self._at_work.acquire(blocking=False):
            return None

        def work_and_be_free() -> _Result:
            try:
                return work()
            finally:
                self._at_work.release()

        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, self._name)
        return self._thread.submit(work_and_be_free)

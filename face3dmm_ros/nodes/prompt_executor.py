"""An executor for nodes that are composed: what another thread asks for runs at once, without a turn of rclpy's own."""

from collections import deque
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Semaphore, Thread, get_ident

from rclpy.executors import ExternalShutdownException, ShutdownException, SingleThreadedExecutor
from rclpy.task import Task


class PromptExecutor(SingleThreadedExecutor):
    """Runs all callbacks in the thread that spins, and at once what other threads give it.

    rclpy builds what it waits for anew for each callback, in Python: half a millisecond and more, in which the node
    beside cannot run either. So here a thread of its own waits for the middleware, and messages that are handed over
    within the process do not pass through it.
    """

    def __init__(self) -> None:
        """For nodes of the default context."""
        super().__init__()
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._next: deque[Callable[[], None]] = deque()
        self._thread: int | None = None
        self._callback_is_done = Semaphore(0)
        self._failure: Exception | None = None

    def call(self, work: Callable[[], None]) -> None:
        """Let the thread that spins do something: next if it asks itself, else once it has done what waits already."""
        if self.is_here:
            self._next.append(work)
        else:
            self._calls.put(work)

    @property
    def is_here(self) -> bool:
        """Whether the calling thread is the one that spins."""
        return get_ident() == self._thread

    def spin(self) -> None:
        """Run callbacks until the executor or ROS is shut down; what one of them raises ends it."""
        waiting = Thread(target=self._wait_for_middleware, name="middleware", daemon=True)
        waiting.start()
        self._thread = get_ident()
        try:
            while (work := self._calls.get()) is not None:
                work()
                while self._next:
                    self._next.popleft()()
            if self._failure is not None:
                raise self._failure
        finally:
            self.shutdown()
            # It may wait for a callback that will not run any more.
            self._callback_is_done.release()
            waiting.join()

    def _wait_for_middleware(self) -> None:
        """Give the thread that spins what is ready, one callback at a time."""
        try:
            while True:
                callback, *_ = self.wait_for_ready_callbacks()
                self._calls.put(partial(self._run, callback))
                self._callback_is_done.acquire()
        except (ShutdownException, ExternalShutdownException):
            pass
        except Exception as error:
            self._failure = error
        self._calls.put(None)

    def _run(self, callback: Task) -> None:
        """Run one of rclpy's callbacks; raises what it raises."""
        try:
            callback()
            callback.result()
        finally:
            self._callback_is_done.release()

"""An executor for nodes that are composed: what another thread asks for runs at once, without a turn of rclpy's own."""

from collections import deque
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Semaphore, Thread, get_ident
from typing import Any

from rclpy.executors import ExternalShutdownException, ShutdownException
from rclpy.task import Task

from face3dmm_ros.nodes.steady_executor import SteadyExecutor


class PromptExecutor(SteadyExecutor):
    """Runs all callbacks in the thread that spins, and at once what other threads give it.

    rclpy builds what it waits for anew for each callback, in Python: half a millisecond and more, in which the node
    beside cannot run either. So here a thread of its own waits for the middleware, and messages that are handed over
    within the process do not pass through it.

    What the middleware has ready, one callback at a time, goes ahead of what was handed over: a request must not wait
    behind images. While that thread waits anew, what was handed over has its turn, so that neither holds up the other.
    """

    def __init__(self) -> None:
        """For nodes of the default context."""
        super().__init__()
        # As many as there is work in the two that follow, which wakes the thread that spins.
        self._signals: SimpleQueue[None] = SimpleQueue()
        self._ready: deque[Callable[[], None] | None] = deque()  # the middleware's; None ends the spinning
        self._calls: deque[Callable[[], None]] = deque()
        self._next: deque[Callable[[], None]] = deque()
        self._thread: int | None = None
        self._callback_is_done = Semaphore(0)
        self._failure: Exception | None = None

    def call(self, work: Callable[[], None]) -> None:
        """Let the thread that spins do something: next if it asks itself, else once it has done what waits already.

        What `work` raises ends the spinning.
        """
        if self.is_here:
            self._next.append(work)
        else:
            self._calls.append(work)
            self._signals.put(None)

    @property
    def is_here(self) -> bool:
        """Whether the calling thread is the one that spins."""
        return get_ident() == self._thread

    def spin(self) -> None:
        """Run callbacks until the executor or ROS is shut down."""
        waiting = Thread(target=self._wait_for_middleware, name="middleware", daemon=True)
        waiting.start()
        self._thread = get_ident()
        try:
            while (work := self._await_work()) is not None:
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

    def _await_work(self) -> Callable[[], None] | None:
        """What to do next; None at the end."""
        self._signals.get()
        return self._ready.popleft() if self._ready else self._calls.popleft()

    def _put_ready(self, work: Callable[[], None] | None) -> None:
        self._ready.append(work)
        self._signals.put(None)

    def _wait_for_middleware(self) -> None:
        """Give the thread that spins what is ready, one callback at a time."""
        try:
            while True:
                callback, _, node = self.wait_for_ready_callbacks()
                self._put_ready(partial(self._run_ready, callback, node))
                self._callback_is_done.acquire()
        except (ShutdownException, ExternalShutdownException):
            pass
        except Exception as error:
            # What ROS says where it ends between two of its calls is no failure either.
            self._failure = error if self._context.ok() else None
        self._put_ready(None)

    def _run_ready(self, callback: Task, node: Any) -> None:
        """Run one of rclpy's callbacks, as `run` does, and let the middleware's thread go on."""
        try:
            self.run(callback, node)
        finally:
            self._callback_is_done.release()

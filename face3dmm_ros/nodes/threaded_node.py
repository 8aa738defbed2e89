"""The base of nodes that work in a thread of their own."""

import threading
import traceback
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

from std_msgs.msg import Header

from face3dmm_ros.nodes.lifecycle_node import FaceNode

_RESTART_PERIOD = 1.0
"""s after which work that an error ended begins anew; chosen by hand, so that one that comes again does not spin."""


class ThreadedNode(FaceNode):
    """A lifecycle node that works in a thread while it is active, so that waiting there blocks no callbacks.

    Work that ends by an error is begun anew after a second; until an image is answered, /diagnostics tells the error.
    """

    def __init__(self, **options: Any) -> None:
        """Declare the parameters; see `FaceNode`."""
        self._stop = threading.Event()
        self._thread = threading.Thread()
        self._fault = ""
        super().__init__(**options)

    @abstractmethod
    def work(self) -> None:
        """Work until `self._stop` is set, or to the end; called anew by each activation."""

    def activate(self) -> None:
        """Start the thread."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name=self.get_name(), daemon=True)
        self._thread.start()

    def deactivate(self) -> None:
        """Stop the thread."""
        self._stop.set()
        self._thread.join()

    def answered(self, header: Header, faces: int) -> None:
        """Count an image, as `FaceNode` does; an error that ended the work before is past then."""
        super().answered(header, faces)
        if self._fault:
            if self.activity.problem == self._fault:
                self.activity.problem = ""
            self._fault = ""

    def complaints(self) -> Iterator[str]:
        """Beside those of every node, that the thread has ended."""
        yield from super().complaints()
        if not self._thread.is_alive():
            yield "it has nothing left to do: its work has ended"

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with self.size_limit():
                    self.work()
                return
            except Exception as error:
                # Ctrl-C ends ROS under this thread.
                if not self.context.ok():
                    return
                self._fault = self.activity.problem = f"its work was broken off by {type(error).__name__}: {error}"
                self.get_logger().error(f"begins anew, for its work was broken off: {traceback.format_exc()}")
                self._stop.wait(_RESTART_PERIOD)

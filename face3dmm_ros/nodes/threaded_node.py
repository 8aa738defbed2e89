"""The base of nodes that work in a thread of their own."""

import threading
from abc import abstractmethod
from typing import Any

from face3dmm_ros.nodes.lifecycle_node import FaceNode


class ThreadedNode(FaceNode):
    """A lifecycle node that works in a thread while it is active, so that waiting there blocks no callbacks."""

    def __init__(self, **options: Any) -> None:
        """Declare the parameters; see `FaceNode`."""
        self._stop = threading.Event()
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

    def _run(self) -> None:
        try:
            self.work()
        except Exception:
            # Ctrl-C ends ROS under this thread.
            if self.context.ok():
                raise

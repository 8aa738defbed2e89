"""How a worker process of a pool begins."""

import multiprocessing
import os
import signal
import threading

from face3dmm_ros.core.library_threads import limit_threads


def begin_worker(*_: object) -> None:
    """Keep to one thread, leave Ctrl-C to the parent process, and end when the parent ends, however it does."""
    limit_threads()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        # Not sys.exit: threads that wait on a queue of the dead parent would keep this process alive.
        os._exit(1)

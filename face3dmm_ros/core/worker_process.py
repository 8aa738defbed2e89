"""How a worker process of a pool begins."""

import multiprocessing
import os
import signal
import threading

import cv2

from face3dmm_ros.core.blas_threads import limit_algebra


def begin_worker(*_: object) -> None:
    """Keep to one thread, leave Ctrl-C to the parent process, and end when the parent ends, however it does."""
    cv2.setNumThreads(1)
    limit_algebra()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        # Not sys.exit: threads that wait on a queue of the dead parent would keep this process alive.
        os._exit(1)

"""How a process that works for another begins."""

import multiprocessing
import os
import signal
import threading

import cv2

from face3dmm_ros.core.blas_threads import limit_algebra


def begin_worker(*_: object) -> None:
    """Keep to one core, leave Ctrl-C to the process that this one works for, and end with it, however it ends."""
    cv2.setNumThreads(1)
    limit_algebra()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        # Nobody is left to tidy up for, and whoever waits in a queue of the dead process would wait for ever.
        os._exit(1)

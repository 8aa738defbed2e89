"""Rerun's window, which no other program can reach."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from face3dmm_ros.core.closing import Closing
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.viewer.rerun_program import RerunProgram

# Without --connect Rerun opens a port for whoever wants to read and write: where it is to connect nobody can listen
# but root, and so it shows what it is given alone.
_NOWHERE = "rerun+http://127.0.0.1:1/proxy"
# Reading what it is given takes one of Rerun's threads for good; by default there is but one on a small machine, and
# nothing is drawn.
_LEAST_THREADS = 2


def require_display() -> None:
    """Check that there is a display.

    Raises:
        Face3DMMError: there is none.
    """
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise Face3DMMError("there is no display to open a window on: leave out --native and open the web page")


class Window(Closing):
    """Rerun's window, in a process that listens on no port; a context manager."""

    def __init__(self, recording: Path | None = None) -> None:
        """Open the window with the recording in a file, or with what `show` will be given.

        Raises:
            Face3DMMError: Rerun is not installed, or there is no display.
        """
        require_display()
        threads = max(_LEAST_THREADS, (os.cpu_count() or 1) - 1)
        options = ["--connect", _NOWHERE, "--threads", str(threads), "--hide-welcome-screen"]
        source = "-" if recording is None else str(recording.absolute())
        self._program = RerunProgram([source, *options], fed=recording is None)

    @property
    def running(self) -> bool:
        """Whether it has not been closed."""
        return self._program.running

    def show(self, chunks: Iterator[bytes]) -> None:
        """Show a recording, the bytes of an .rrd file, until it or the window ends; waits while the window is busy."""
        pipe = self._program.stdin
        assert pipe is not None
        with contextlib.suppress(BrokenPipeError):
            for chunk in chunks:
                pipe.write(chunk)
                pipe.flush()
        with contextlib.suppress(BrokenPipeError):
            pipe.close()

    def wait(self) -> None:
        """Wait until the window is closed."""
        self._program.wait()

    def close(self) -> None:
        """Close the window; may be called again."""
        self._program.close()

"""Where the frames of a live view go: to a web page, a window or a file."""

import contextlib
from abc import abstractmethod
from collections.abc import Generator
from functools import partial
from pathlib import Path
from threading import Thread

from face3dmm_ros.avatar.weights.retargeting import BlendshapeWeights
from face3dmm_ros.core.closing import Closing
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.viewer.face_log import FaceLog
from face3dmm_ros.viewer.frame_buffer import FrameBuffer
from face3dmm_ros.viewer.page_files import read_page_files
from face3dmm_ros.viewer.page_server import PageServer
from face3dmm_ros.viewer.rerun_program import recording_stream
from face3dmm_ros.viewer.viewed_frame import ViewedFrame
from face3dmm_ros.viewer.window import Window

_WAITING = 64_000_000
"""Bytes of frames that wait while the window is busy; chosen by hand."""


class LiveView(Closing):
    """Takes frames as they come."""

    @abstractmethod
    def add(self, frame: ViewedFrame, *, due: bool) -> None:
        """Take the next frame.

        Args:
            frame: the next.
            due: whether its pictures, landmarks, meshes and bars are shown too, or its curves only.
        """

    @property
    def running(self) -> bool:
        """Whether anybody can still look."""
        return True


class FileView(LiveView):
    """Writes the frames to an .rrd file."""

    def __init__(self, path: Path, weights: BlendshapeWeights) -> None:
        """Begin the file.

        Raises:
            Face3DMMError: its folder is not there.
        """
        if not path.parent.is_dir():
            raise Face3DMMError(f"{path.parent} is no folder to write {path.name} to")
        self._stream = recording_stream()
        self._stream.save(path)
        self._log = FaceLog(self._stream, weights, live=True)
        self._count = 0

    def add(self, frame: ViewedFrame, *, due: bool) -> None:
        """Write a frame; one whose parameters are of another model goes without its weights."""
        self._count += 1
        with contextlib.suppress(Face3DMMError):
            self._log.log(frame, self._count - 1, due=due)

    def close(self) -> None:
        """End the file."""
        self._stream.disconnect()


class PageView(LiveView):
    """Serves the frames as a web page, to any number of readers.

    Attributes:
        address: of the page.
    """

    def __init__(self, weights: BlendshapeWeights, memory: int, *, port: int) -> None:
        """Serve on a port of this machine, and keep frames of `memory` bytes for who looks later.

        Raises:
            Face3DMMError: the port is taken, or Rerun does not give its page.
        """
        self._frames = FrameBuffer(memory)
        self._server = PageServer(port, read_page_files(), partial(live_recording, self._frames, weights))
        self.address = self._server.address

    def add(self, frame: ViewedFrame, *, due: bool) -> None:
        """Keep a frame for all readers."""
        self._frames.add(frame, due=due)

    def close(self) -> None:
        """End the page."""
        self._frames.close()
        self._server.close()


class WindowView(LiveView):
    """Shows the frames in a window."""

    def __init__(self, weights: BlendshapeWeights) -> None:
        """Open the window.

        Raises:
            Face3DMMError: there is no display, or Rerun is not installed.
        """
        self._window = Window()
        self._frames = FrameBuffer(_WAITING)
        chunks = live_recording(self._frames, weights)
        Thread(target=self._window.show, args=(chunks,), name="window", daemon=True).start()

    def add(self, frame: ViewedFrame, *, due: bool) -> None:
        """Show a frame."""
        self._frames.add(frame, due=due)

    @property
    def running(self) -> bool:
        """Whether the window is still open."""
        return self._window.running

    def close(self) -> None:
        """Close the window."""
        self._frames.close()
        self._window.close()


def live_recording(frames: FrameBuffer, weights: BlendshapeWeights) -> Generator[bytes, None, None]:
    """The bytes of an .rrd file of what is kept and what comes, for one reader; some are empty if nothing comes.

    Each reader gets a recording of its own, from its header on: so whoever comes late lacks nothing that was logged
    once, such as a mesh's triangles.
    """
    stream = recording_stream()
    try:
        pipe = stream.binary_stream()
        log = FaceLog(stream, weights, live=True)
        yield pipe.read() or b""
        for batch in frames.batches():
            for kept in batch:
                # That the parameters are of another model, whoever took them in has said.
                with contextlib.suppress(Face3DMMError):
                    log.log(kept.frame, kept.number, due=kept.due)
            yield (pipe.read() or b"") if batch else b""
    finally:
        stream.disconnect()

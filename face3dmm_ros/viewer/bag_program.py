"""A recorded bag written to an .rrd file, or shown in Rerun."""

import signal
import sys
import webbrowser
from collections.abc import Generator
from functools import partial
from pathlib import Path

from tqdm import tqdm

from face3dmm_ros.avatar.weights.retargeting import BlendshapeWeights
from face3dmm_ros.bags.reader import BagReader
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.viewer.bag_view import BagView
from face3dmm_ros.viewer.face_log import FaceLog
from face3dmm_ros.viewer.page_files import read_page_files
from face3dmm_ros.viewer.page_server import PageServer
from face3dmm_ros.viewer.rerun_program import recording_stream
from face3dmm_ros.viewer.viewed_frame import Pace
from face3dmm_ros.viewer.window import Window

_BLOCK = 1 << 20
"""Bytes that are read of a file at a time."""


def write_recording(path: Path, out: Path, *, model: str, rate: float, quality: int) -> None:
    """Write all that is in a bag to an .rrd file, and print on stderr what could not be shown.

    Args:
        path: of the bag.
        out: the file to write.
        model: ``default`` or a file.
        rate: pictures a second at most; 0: all.
        quality: JPEG quality of raw images.

    Raises:
        Face3DMMError: the bag or the model cannot be read.
    """
    stream = recording_stream()
    face_model = load_model(model)
    with BagReader(path) as reader:
        if reader.notice:
            print(reader.notice, file=sys.stderr)
        view = BagView(reader, face_model, quality=quality)
        stream.save(out)
        due = Pace(rate).due
        log = FaceLog(stream, BlendshapeWeights(face_model), live=False)
        try:
            with tqdm(total=view.message_count, unit=" messages", leave=False, disable=None) as bar:
                for number, frame in enumerate(view.frames(due, bar.update)):
                    try:
                        log.log(frame, number, due=due(frame.stamp_ns))
                    except Face3DMMError as error:
                        view.skipped[str(error)] += 1
        finally:
            stream.flush()
            stream.disconnect()
    if view.stamp_problem:
        print(f"{view.stamp_problem}: when images were recorded is taken for their time", file=sys.stderr)
    for reason, count in view.skipped.items():
        print(f"not shown, {count} times: {reason}", file=sys.stderr)


def show_page(recording: Path, *, port: int, open_browser: bool) -> None:
    """Serve a recording, an .rrd file, as a web page until Ctrl-C.

    Raises:
        Face3DMMError: the port is taken, or Rerun is not installed.
    """
    with PageServer(port, read_page_files(), partial(_blocks, recording)) as server:
        print(f"open {server.address}\nCtrl-C ends it", flush=True)
        if open_browser:
            webbrowser.open(server.address)
        while True:
            signal.pause()


def show_window(recording: Path) -> None:
    """Show a recording, an .rrd file, in a window until that is closed.

    Raises:
        Face3DMMError: there is no display, or Rerun is not installed.
    """
    with Window(recording) as window:
        window.wait()


def _blocks(path: Path) -> Generator[bytes, None, None]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block

"""A recorded bag shown in Rerun, or written to an .rrd file."""

import sys
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from face3dmm_ros.avatar.weights.retargeting import BlendshapeWeights
from face3dmm_ros.bags.reader import BagReader
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.viewer.bag_view import BagView
from face3dmm_ros.viewer.face_log import FaceLog
from face3dmm_ros.viewer.rerun_program import RerunProgram, recording_stream


def log_bag(path: Path, open_stream: Callable[[Any], None], *, model: str, rate: float, quality: int) -> None:
    """Log all that is in a bag, and print on stderr what could not be shown.

    Args:
        path: of the bag.
        open_stream: connects the stream to a viewer or a file.
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
        open_stream(stream)
        log = FaceLog(stream, BlendshapeWeights(face_model), rate=rate, live=False)
        try:
            with tqdm(total=view.message_count, unit=" messages", leave=False, disable=None) as bar:
                for frame in view.frames(log.due, bar.update):
                    try:
                        log.log(frame)
                    except Face3DMMError as error:
                        view.skipped[str(error)] += 1
        finally:
            stream.flush()
            stream.disconnect()
    if view.stamp_problem:
        print(f"{view.stamp_problem}: when images were recorded is taken for their time", file=sys.stderr)
    for reason, count in view.skipped.items():
        print(f"not shown, {count} times: {reason}", file=sys.stderr)


def show_bag(log: Callable[[Callable[[Any], None]], None], program: RerunProgram, *, open_browser: bool) -> None:
    """Show a bag until Ctrl-C, or until the window is closed; `log` is `log_bag` of that bag.

    Raises:
        Face3DMMError: as `log_bag`.
    """
    try:
        log(lambda stream: stream.connect_grpc(program.address))
        if program.page:
            print(f"open {program.page}\nCtrl-C ends it", flush=True)
            if open_browser:
                webbrowser.open(program.page)
        program.wait()
    except KeyboardInterrupt:
        print(file=sys.stderr)

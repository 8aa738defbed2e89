"""`face3dmm view`: tracked faces in Rerun's viewer, live or from a bag."""

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from face3dmm_ros.cli.live import require_ros
from face3dmm_ros.cli.options import add_megapixels_option, add_model_option
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.files.whole_file import check_writable
from face3dmm_ros.live import middleware
from face3dmm_ros.live.ros_arguments import parameter_arguments
from face3dmm_ros.viewer.frame_buffer import byte_count
from face3dmm_ros.viewer.page_server import WEB_PORT, require_free
from face3dmm_ros.viewer.rerun_program import require_rerun
from face3dmm_ros.viewer.window import require_display

# Pictures a second; 0: all. Chosen by hand: live, the viewer takes time from the tracker.
_BAG_RATE, _LIVE_RATE = 0.0, 15.0

DESCRIPTION = (
    "Show what is tracked: the live topics, or a recorded bag. Serves a page on this machine, until Ctrl-C, "
    "and prints its address. Needs Rerun: `make viewer`."
)
EPILOG = """
examples:
  face3dmm view                         the live topics, as a web page
  face3dmm view run/bag --open          a recording, in the browser
  face3dmm view run/bag --save run.rrd  as a file for Rerun
"""


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Describe the verb."""
    add = verb.add_argument
    add("bag", type=Path, nargs="?", help="a rosbag2 folder, or a .mcap or .db3 file; without it the live topics")
    where = verb.add_mutually_exclusive_group()
    where.add_argument("--web", action="store_true", help="serve a web page, which is the default")
    where.add_argument("--native", action="store_true", help="open a window in place of the web page")
    where.add_argument("--save", type=Path, metavar="FILE", help="write a .rrd file for Rerun in place of showing; "
        "without it none is written")  # fmt: skip
    add("--open", action="store_true", help="open the page in the browser")
    add("--web-port", type=_port, default=WEB_PORT, help="of the web page")
    add("--memory-limit", default="1GB", help="of the live data that are kept, such as 512MB; then the oldest go")
    add("--image-rate", type=float, metavar="HZ", help="images a second at most, 0: all; without it of a bag "
        f"{_BAG_RATE:g}, live {_LIVE_RATE:g}")  # fmt: skip
    add("--image-quality", type=int, default=80, help="JPEG quality of raw images, 1 to 100")
    add_model_option(verb)
    add_megapixels_option(verb)


def run(arguments: argparse.Namespace) -> int:
    """Show live topics or a bag; returns the exit code.

    Raises:
        Face3DMMError: Rerun or ROS is not installed, the bag cannot be read, or a port is taken.
    """
    require_rerun()
    byte_count(arguments.memory_limit)
    if not 1 <= arguments.image_quality <= 100:
        raise Face3DMMError(f"--image-quality goes from 1 to 100, not {arguments.image_quality}")
    if arguments.save is not None and not arguments.save.parent.is_dir():
        raise Face3DMMError(f"{arguments.save.parent} is no folder to write {arguments.save.name} to")
    if arguments.save is not None:
        check_writable(arguments.save.parent, (arguments.save.name,))
    return _view_topics(arguments) if arguments.bag is None else _view_bag(arguments)


def _view_topics(arguments: argparse.Namespace) -> int:
    """Run the node in this process."""
    require_ros()
    middleware.apply_settings(loopback=True)
    from face3dmm_ros.nodes.viewer_node import main

    parameters = {
        "model": arguments.model,
        "show": "window" if arguments.native else "page",
        "save": "" if arguments.save is None else str(arguments.save.absolute()),
        "web_port": arguments.web_port,
        "open_browser": arguments.open,
        "memory_limit": arguments.memory_limit,
        "image_rate": _LIVE_RATE if arguments.image_rate is None else arguments.image_rate,
        "image_quality": arguments.image_quality,
        "max_megapixels": arguments.max_megapixels,
    }
    return main(["--ros-args", *parameter_arguments(parameters)])


def _view_bag(arguments: argparse.Namespace) -> int:
    from face3dmm_ros.viewer.bag_program import show_page, show_window, write_recording

    # SIGTERM ends this as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    rate = _BAG_RATE if arguments.image_rate is None else arguments.image_rate
    options = {"model": arguments.model, "rate": rate, "quality": arguments.image_quality}
    if arguments.save is not None:
        write_recording(arguments.bag, arguments.save, **options)
        print(f"written: {arguments.save}")
        return 0
    # Before the bag is read, which may take long.
    require_display() if arguments.native else require_free(arguments.web_port)
    try:
        with tempfile.TemporaryDirectory(prefix="face3dmm_viewer_") as folder:
            recording = Path(folder) / "bag.rrd"
            write_recording(arguments.bag, recording, **options)
            if arguments.native:
                show_window(recording)
            else:
                show_page(recording, port=arguments.web_port, open_browser=arguments.open)
    except KeyboardInterrupt:
        print(file=sys.stderr)
    return 0


def _port(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"a port lies between 1 and 65535, not {value}")
    return value

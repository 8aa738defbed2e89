"""`face3dmm live`: the ROS nodes on a camera or clip, with a recording and a summary."""

import argparse
import importlib.util
import json
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from face3dmm_ros.avatar.network.sender import DEFAULT_PORTS, DESTINATION, split_destination
from face3dmm_ros.avatar.network.vmc import BLEND_NAMES
from face3dmm_ros.avatar.styles import HEAD, IN_IMAGE, PLACEMENTS, STYLES, WATERMELON, check_style
from face3dmm_ros.avatar.weights.profile import profile_path, read_profile
from face3dmm_ros.cli.calibration import KEY, Calibration, Keys
from face3dmm_ros.cli.exit_codes import INCOMPLETE
from face3dmm_ros.cli.options import (
    add_colors_option,
    add_fit_options,
    add_megapixels_option,
    add_tracking_options,
    positive_seconds,
)
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.progress_bar import progress_bar
from face3dmm_ros.core.silent_libraries import silent_libraries
from face3dmm_ros.files.captures import CameraRequest
from face3dmm_ros.files.frame_source import AUTO, may_come_back, open_source
from face3dmm_ros.files.whole_file import write_whole
from face3dmm_ros.landmarks.tracker import PREFERENCES
from face3dmm_ros.live import middleware
from face3dmm_ros.rendering.face_extent import EXTENTS
from face3dmm_ros.rendering.landmark_view import OVERLAYS
from face3dmm_ros.viewer.rerun_program import require_rerun

if TYPE_CHECKING:
    from face3dmm_ros.live.session import LiveOptions, LiveSession

_LOOK_S = 0.5
"""Between looks at how the run is doing."""

_REMEMBERED = 100
"""Problems that are told once; chosen by hand: anybody may make up others for days."""

_WHERE_NODES_RUN = {
    "separate": "each in a process of its own",
    "composed": "in one process (--no-composed: each in its own)",
    "single": "in this process",
}

DESCRIPTION = "Run the ROS nodes on a camera or clip, until the duration is over or Ctrl-C."
EPILOG = """
examples:
  face3dmm live                                             a camera, else the sample clip, until Ctrl-C
  face3dmm live --source sample --duration 10 --out run     ten seconds, recorded, with a summary
  face3dmm live --source camera --avatar watermelon         with an avatar on /avatar/image
  face3dmm live --send vmc:127.0.0.1                        to an avatar program
"""


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Describe the verb."""
    add = verb.add_argument
    add("--source", default="auto", help="auto (a camera if there is one at the start, else the sample clip), camera "
        "(the first that opens; waits for one), sample, a camera's index or device, a URL, or a path")  # fmt: skip
    add("--camera-format", default="", metavar="FOURCC", help="how the camera is to send its pixels, such as MJPG; "
        "without it as it does")  # fmt: skip
    add("--duration", type=positive_seconds, metavar="SECONDS", help="how long; without it until Ctrl-C")
    add("--out", type=Path, metavar="DIR", help="folder for overlay.mp4, avatar.mp4, bag/ and "
        "summary.json; without it nothing is written")  # fmt: skip
    add("--width", type=int, default=0, help="scale images to this width, px; 0: as they are")
    add("--height", type=int, default=0, help="scale images to this height, px; 0: as they are")
    add("--rotate", type=int, choices=(0, 90, 180, 270), default=0, help="turn images clockwise by so many degrees")
    add("--fps", type=float, default=-1.0, help="images per second; -1: the source's own rate; 0: as fast as it goes")
    add_fit_options(verb)
    add_tracking_options(verb)
    add_colors_option(verb)
    add_megapixels_option(verb)
    add("--prefer", choices=PREFERENCES, default=PREFERENCES[0], help="which faces, where there are more")
    add("--view", choices=OVERLAYS, default=OVERLAYS[0], help="what the overlay shows")
    add("--extent", choices=EXTENTS, default=EXTENTS[0], help="how much of the head the overlay covers")
    add("--avatar", metavar="STYLE", help=f"also show an avatar on /avatar/image: {STYLES}; without it none, "
        "but for --send")  # fmt: skip
    add("--avatar-placement", choices=PLACEMENTS, default=IN_IMAGE, help="in the person's place, or by itself")
    add("--avatar-height", type=_number(0, 2160, int), default=0, metavar="PX", help="of the picture of an avatar by "
        "itself; 0: the camera image's")  # fmt: skip
    add("--gain", type=_number(0.0, 10.0), help="factor of the avatar's weights; without it the node's own")
    add("--dead-zone", type=_number(0.0, 0.9), help="the avatar's weights up to this are shown as 0; without it the "
        "node's own")  # fmt: skip
    add("--calibrate", action="store_true", help="begin with the avatar's neutral face: look into the camera with a "
        "relaxed face; at a terminal the key c does so at any time")  # fmt: skip
    add("--profile", default="", metavar="NAME", help="keep the nearest face's rest and range under this name, from "
        "run to run; without it forget them")  # fmt: skip
    add("--send", action="append", default=[], metavar=DESTINATION, help="also send to an avatar program; KIND: "
        f"{', '.join(DEFAULT_PORTS)}; without :PORT to the protocol's own; may be given several "
        "times; without it nothing is sent")  # fmt: skip
    add("--vmc-names", choices=tuple(BLEND_NAMES), default="pascal", help="names of the blendshapes with vmc: JawOpen, "
        "jawOpen, or VRM's presets")  # fmt: skip
    add("--page", action=argparse.BooleanOptionalAction, default=True, help="serve a page for this machine's browser: "
        "picture, head in 3D, weights; its address is printed, and it costs nothing while nobody looks")  # fmt: skip
    add("--viewer", action="store_true", help="also serve Rerun's viewer as a web page (after `make viewer`)")
    add("--record-images", choices=("jpeg", "raw", "none"), default="jpeg", help="how images go into the bag")
    add("--record-topics", choices=("needed", "all"), default="needed", help="which topics go into the bag: those that "
        "the others cannot make again, or meshes, point clouds, markers and drawn pictures too")  # fmt: skip
    add("--composed", action=argparse.BooleanOptionalAction, default=True, help="all nodes in one process, beside this "
        "one's, which is faster; or each in its own, which can be stopped and started by itself")  # fmt: skip
    add("--allow-network", action="store_true", help="let other machines see the topics, and send to them; otherwise "
        "nothing leaves this one")  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Run the nodes; returns the exit code: 0, or 3 where the recording lacks messages.

    Raises:
        Face3DMMError: ROS is not installed, the source cannot be read, `--out` cannot be written, an option needs an
            avatar, the profile cannot be read, or a node could not start.
    """
    interrupted = threading.Event()
    # First: what is imported swallows some exceptions, that of Ctrl-C too.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: interrupted.set())
    _check_avatar_options(arguments)
    require_ros()
    middleware.apply_settings(loopback=not arguments.allow_network)
    middleware.free_stale_segments()
    # Only now: these import rclpy, which looks at the environment once.
    from face3dmm_ros.live.session import LiveSession

    CameraRequest(pixel_format=arguments.camera_format)
    if arguments.source != AUTO and not may_come_back(arguments.source):
        # OpenCV's reader of AVI files tells of a damaged one besides.
        with silent_libraries():
            open_source(arguments.source).close()
    if arguments.viewer:
        require_rerun()
    if arguments.avatar is not None:
        check_style(arguments.avatar)
    for destination in arguments.send:
        split_destination(destination)
    options = _options(arguments)
    with LiveSession(options, _UnwrittenBar()) as session:
        if not session.reserve(interrupted):
            return 0
        print(f"starting the nodes, {_WHERE_NODES_RUN[options.placement]} …", file=sys.stderr)
        if not session.start(interrupted):
            return 0
        print(f"images from {session.source}", file=sys.stderr)
        _watch(session, arguments.duration, interrupted, calibrate=arguments.calibrate)
        summary = session.stop()
    summary |= session.recording_summary()
    _report(summary, arguments.out)
    return INCOMPLETE if summary["messages_not_recorded"] else 0


def require_ros() -> None:
    """Check that ROS and this package's messages are installed, without importing them.

    Raises:
        Face3DMMError: one of them is not installed.
    """
    for module in ("rclpy", "face3dmm_ros.msg"):
        if importlib.util.find_spec(module) is None:
            raise Face3DMMError(
                f"{module} is not there: source your ROS 2 and this package's workspace (. install/setup.bash after "
                "colcon build), or run `make live` in the package's folder, which installs and builds what is missing; "
                "without ROS, `face3dmm track camera --show` tracks live on a page in the browser"
            )


def _options(arguments: argparse.Namespace) -> "LiveOptions":
    """What to run: in fewer processes if shared memory is too short for images between more."""
    from face3dmm_ros.live.composition import AVATAR, FITTER, LANDMARKS, RENDERER, SOURCE
    from face3dmm_ros.live.session import LiveOptions

    placement = "composed" if arguments.composed else "separate"
    avatar = _avatar(arguments)
    extra = () if avatar is None else (AVATAR,)
    processes = {
        "separate": 5 + len(extra) + arguments.viewer,
        "composed": 2 + arguments.viewer,
        "single": 1 + arguments.viewer,
    }
    while placement != "single" and (shortage := middleware.shared_memory_shortage(processes[placement])):
        placement = "composed" if placement == "separate" else "single"
        print(f"{shortage}; running in {processes[placement]} instead", file=sys.stderr)
    has_page = arguments.page
    # In this process it gets images without shared memory.
    if has_page and placement != "single" and (lack := middleware.shared_memory_shortage(processes[placement] + 1)):
        has_page = False
        print(f"{lack}; going on without the page", file=sys.stderr)

    def given(*names: str) -> dict[str, Any]:
        """Options that have the names of the nodes' parameters."""
        return {name: getattr(arguments, name) for name in names}

    fitting = "model", "fit_method", "regressor", "regressor_sha256", "estimate_colors", "smoothing"
    shown = {"style": avatar or WATERMELON, "placement": arguments.avatar_placement, "height": arguments.avatar_height}
    tuning = {name: value for name, value in given("gain", "dead_zone").items() if value is not None}
    send = {"send": arguments.send or [""]}
    limit = given("max_megapixels")
    return LiveOptions(
        parameters={
            SOURCE: given("source", "camera_format", "width", "height", "rotate", "fps") | limit,
            LANDMARKS: given("backend", "max_faces", "prefer") | limit,
            FITTER: given(*fitting) | limit,
            RENDERER: given("model", "view", "extent") | limit,
            AVATAR: given("model", "vmc_names", "profile", "allow_network") | send | shown | tuning | limit,
        },
        extra_nodes=extra,
        placement=placement,
        out=arguments.out,
        record_images=arguments.record_images,
        record_topics=arguments.record_topics,
        viewer=given("model") | limit if arguments.viewer else None,
        page=given("model") if has_page else None,
    )


def _check_avatar_options(arguments: argparse.Namespace) -> None:
    """Check what is for an avatar, before the nodes start.

    Raises:
        Face3DMMError: there is none, or the profile is none.
    """
    needy = {"--gain": arguments.gain is not None, "--dead-zone": arguments.dead_zone is not None}
    needy |= {"--avatar-height": bool(arguments.avatar_height)}
    needy |= {"--calibrate": arguments.calibrate, "--profile": bool(arguments.profile)}
    if (given := [name for name, is_given in needy.items() if is_given]) and _avatar(arguments) is None:
        raise Face3DMMError(f"{given[0]} is for an avatar: add --avatar STYLE or --send")
    if arguments.profile and (path := profile_path(arguments.profile)).exists():
        read_profile(path)


def _avatar(arguments: argparse.Namespace) -> str | None:
    """The avatar's style; None where there is none."""
    return arguments.avatar or (HEAD if arguments.send else None)


def _watch(session: "LiveSession", duration: float | None, interrupted: threading.Event, *, calibrate: bool) -> None:
    """Print the progress until the duration is over or a signal comes; calibrate at the start, or at the key."""
    end = None if duration is None else time.monotonic() + duration
    shown: deque[str] = deque(maxlen=_REMEMBERED)
    with Keys() if session.has_avatar else nullcontext() as keys, progress_bar(unit="image") as bar:
        calibration = Calibration(session, lambda said: bar.write(said, file=sys.stderr))
        if keys is not None and keys.available:
            bar.write(f"press {KEY} to calibrate the avatar's neutral face", file=sys.stderr)
        if calibrate:
            calibration.ask()
        while not interrupted.is_set():
            remaining = _LOOK_S if end is None else min(_LOOK_S, end - time.monotonic())
            if remaining <= 0 or interrupted.wait(remaining):
                break
            for said in session.check():
                bar.write(said, file=sys.stderr)
            progress = session.progress()
            for problem in progress.problems:
                if problem not in shown:
                    bar.write(problem, file=sys.stderr)
                    shown.append(problem)
            if keys is not None and KEY in keys.pressed().lower():
                calibration.ask()
            calibration.look(progress.faces, time.monotonic())
            bar.set_postfix(latency_ms=progress.latency_ms, faces=progress.faces, refresh=False)
            bar.update(progress.overlays - bar.n)


class _UnwrittenBar:
    """A bar for what a recording has yet to write; none where that takes no time."""

    def __init__(self) -> None:
        """Without a bar, until something is left to write."""
        self._bar: Any = None

    def __call__(self, unwritten: int) -> None:
        """Show that so many bytes are left."""
        if self._bar is None and unwritten:
            self._bar = progress_bar(total=unwritten, unit="B", unit_scale=True, desc="finishing the recording")
        if self._bar is not None:
            self._bar.update(self._bar.total - unwritten - self._bar.n)
            if not unwritten:
                self._bar.close()


def _report(summary: dict[str, Any], out: Path | None) -> None:
    latency = summary["latency_ms"]
    counts = f"{summary['frames_in']} images, {summary['frames_overlay']} overlays"
    faces = f"{summary['frames_with_face']} with a face"
    times = f"latency p50 {latency['p50']} p90 {latency['p90']} p99 {latency['p99']} ms"
    print(f"{counts}, {faces}, {summary['fps']:.1f} images/s, {times}")
    if out is not None:
        from face3dmm_ros.live.session import SUMMARY, VIDEOS

        write_whole(out / SUMMARY, json.dumps(summary, indent=2) + "\n")
        written = [out / name for name in (*VIDEOS.values(), "bag", SUMMARY)]
        print(f"written: {', '.join(str(path) for path in written if path.exists())}")
    if summary["messages_not_recorded"]:
        counts = ", ".join(f"{count} of {topic}" for topic, count in summary["messages_not_recorded_by_topic"].items())
        reason = summary.get("recording_failure", "processor or disk did not keep up")
        print(f"the recording is incomplete, {counts} are missing: {reason}", file=sys.stderr)


def _number(low: float, high: float, kind: type[int | float] = float) -> Callable[[str], float]:
    """A type of arguments: a number within bounds."""

    def number(text: str) -> float:
        value = kind(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} does not lie between {low:g} and {high:g}")
        return value

    return number

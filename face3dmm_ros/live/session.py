"""A live run from start to summary: the nodes, in one process or several, and a monitor."""

import errno
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import rclpy
from lifecycle_msgs.msg import Transition
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from face3dmm_ros.avatar.styles import IN_IMAGE
from face3dmm_ros.core import topics
from face3dmm_ros.core.closing import Closing
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.kept_memory import keep_freed_memory
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.fit_methods import REGRESSOR_METHODS
from face3dmm_ros.live.composition import AVATAR, FITTER, LANDMARKS, NODES, PAGE, RENDERER, SOURCE, VIEWER, node_class
from face3dmm_ros.live.monitor_node import MonitorNode
from face3dmm_ros.live.node_processes import NodeProcesses
from face3dmm_ros.live.recording import Recording, RecordingFolder, needed_topics
from face3dmm_ros.live.ros_arguments import parameter_arguments
from face3dmm_ros.nodes.diagnostics import CALIBRATION, number
from face3dmm_ros.nodes.hand_over import hand_over_between_nodes
from face3dmm_ros.nodes.steady_executor import SteadyExecutor
from face3dmm_ros.rendering.landmark_view import LANDMARKS as LANDMARK_VIEW
from face3dmm_ros.rendering.offscreen import PROBE_TIMEOUT_SECONDS

PLACEMENTS = ("separate", "composed", "single")
"""Each node in a process of its own; all nodes in one process; or all in this process, beside the monitor, where the
shared memory is too small for images."""

VIDEOS = {"/" + topics.OVERLAY: "overlay.mp4", "/" + topics.AVATAR_IMAGE: "avatar.mp4"}
"""Topics that a recording also makes videos of, and the videos' names."""
SUMMARY = "summary.json"
"""File name of a run's summary, beside its recording."""

_START_TIMEOUT = 60.0 + 2 * PROBE_TIMEOUT_SECONDS
"""s; nodes that draw first try out OpenGL. The 60 s are chosen by hand."""
_DISCOVERY_TIME = 1.0
"""s in which other nodes are mostly discovered; on a busy machine it can take Fast DDS 3 s."""
_DRAIN_TIMEOUT = 2.0
"""s to wait for the last pictures and statuses; chosen by hand, four periods of the statuses."""
_STOP_TIMEOUT = 5.0
"""s after which a process that does not end is killed; chosen by hand."""
_LOGGING = ("--log-level", "warn")
_PUBLISHED = {"/" + topics.IMAGE: SOURCE, "/" + topics.LANDMARKS: LANDMARKS, "/" + topics.PARAMETERS: FITTER}
"""Topics with one message for each image that their node answers."""


@dataclass(frozen=True)
class LiveOptions:
    """What to run.

    Attributes:
        parameters: by node, the parameters that differ from config/live.yaml.
        extra_nodes: those of `live.composition.EXTRA_NODES` that run too.
        placement: one of `PLACEMENTS`.
        out: folder of the recording; None for no recording.
        record_images: one of `live.recording.IMAGE_RECORDINGS`.
        record_topics: one of `live.recording.TOPIC_RECORDINGS`.
        viewer: parameters of the viewer node, which is then started too; None for no viewer.
        page: the same of the page node, which tells its address before all else.
    """

    parameters: dict[str, dict[str, Any]]
    extra_nodes: tuple[str, ...] = ()
    placement: str = "separate"
    out: Path | None = None
    record_images: str = "jpeg"
    record_topics: str = "needed"
    viewer: dict[str, Any] | None = None
    page: dict[str, Any] | None = None


@dataclass(frozen=True)
class Progress:
    """The state of a run.

    Attributes:
        overlays: overlays so far.
        latency_ms: median of the last overlays; None before the first.
        faces: faces in the last image.
        problems: errors that nodes report, each with the node's name, and that the recording loses messages.
    """

    overlays: int
    latency_ms: float | None
    faces: int
    problems: tuple[str, ...]


class LiveSession(Closing):
    """The nodes and their monitor, from `reserve` and `start` to `stop`; use it as a context manager."""

    def __init__(
        self, options: LiveOptions, report_unwritten: Callable[[int], object] = lambda unwritten: None
    ) -> None:
        """A run that has yet to start.

        Args:
            options: what to run.
            report_unwritten: told from time to time, while `close` waits for the recording, how many bytes are to come.

        Raises:
            Face3DMMError: another run takes place in this ROS domain on this machine.
        """
        self._options = options
        self._report_unwritten = report_unwritten
        self._nodes = NODES + options.extra_nodes
        self._processes = NodeProcesses()
        self._nodes_here: list[Node] = []
        self._folder: RecordingFolder | None = None
        self._recording: Recording | None = None
        self._failure: BaseException | None = None
        keep_freed_memory()
        try:
            # Ctrl-C ends a run, but must not end the context before the run's last messages are in.
            rclpy.init(args=["--ros-args", *_LOGGING], signal_handler_options=SignalHandlerOptions.NO)
        except RuntimeError as error:
            raise Face3DMMError(f"ROS does not start, as with a ROS_DOMAIN_ID that is no number: {error}") from error
        try:
            self._claim = _claim_domain(_domain())
        except Face3DMMError:
            rclpy.try_shutdown()
            raise
        if options.placement == "single":
            hand_over_between_nodes(rclpy.get_default_context())
        self._executor = SteadyExecutor()
        self._monitor = MonitorNode(self._nodes, source=SOURCE)
        self._executor.add_node(self._monitor)
        self._spinning = threading.Thread(target=self._spin, name="executor", daemon=True)

    def reserve(self, interrupted: threading.Event) -> bool:
        """Make sure of the nodes' names and of the recording's folder; False if interrupted before that.

        Raises:
            Face3DMMError: another node has a name, or nothing can be recorded there.
        """
        # Before there is anything of this run that the nodes of another could hear.
        if interrupted.wait(_DISCOVERY_TIME):
            return False
        self._require_no_namesakes(started=False)
        if self._options.out is not None:
            self._folder = RecordingFolder(self._options.out, (*VIDEOS.values(), SUMMARY))
        return True

    def start(self, interrupted: threading.Event) -> bool:
        """Start all nodes, and the images once all subscribers are there; False if interrupted before that.

        Call `reserve` first.

        Raises:
            Face3DMMError: a node could not start, or another node has its name.
        """
        given = self._options.parameters
        parameters = {name: given.get(name, {}) | {"autostart": name != SOURCE} for name in self._nodes}
        if self._options.placement == "single":
            # Nodes of one thread take turns in this order: an image under way goes on before the next one begins.
            if self._options.page is not None:
                parameters[PAGE] = self._options.page
            # The page's first, so that its address is told before all else.
            for name in ((PAGE,) if PAGE in parameters else ()) + self._nodes[::-1]:
                node = node_class(name)(cli_args=_ros_arguments({name: parameters[name]}), use_global_arguments=False)
                self._nodes_here.append(node)
                self._executor.add_node(node)
        elif self._options.placement == "composed":
            self._start_process("composition", "live.composition", self._nodes, parameters)
        else:
            for name in self._nodes:
                self._start_process(name, "nodes", [name], {name: parameters[name]})
        self._spinning.start()
        if not self._wait(self._monitor.source_is_ready, interrupted):
            return False
        self._monitor.change_state(Transition.TRANSITION_CONFIGURE, self._processes.require_all)
        if not self._wait(self._all_advertised, interrupted):
            return False
        topics = self._monitor.topics() or []
        if self._options.out is not None and self._folder is not None:
            # Only now that all nodes have started: a run that could not leaves an earlier one's files alone.
            self._folder.clear()
            self._recording = Recording(
                self._options.out,
                topics if self._options.record_topics == "all" else needed_topics(topics),
                images=self._options.record_images,
                videos=VIDEOS,
            )
        self._monitor.watch(topics, self._recording)
        if not self._wait(self._all_connected, interrupted):
            return False
        self._monitor.change_state(Transition.TRANSITION_ACTIVATE, self._processes.require_all)
        # Only now: what they import would keep the other nodes from starting.
        if self._options.page is not None and self._options.placement != "single":
            self._start_process(PAGE, "nodes", [PAGE], {PAGE: self._options.page})
        if self._options.viewer is not None:
            self._start_process(VIEWER, "nodes", [VIEWER], {VIEWER: self._options.viewer})
        self._started_at = time.monotonic()
        return True

    @property
    def source(self) -> str:
        """Where the images come from, as the source reports it."""
        return self._monitor.statuses.get(SOURCE, {}).get("source", "nowhere yet")

    @property
    def has_avatar(self) -> bool:
        """Whether there is an avatar, whose neutral face can be calibrated."""
        return AVATAR in self._nodes

    def calibrate(self) -> str:
        """Have the avatar node calibrate neutral faces; returns what it answers."""
        answer = self._monitor.calibrate(AVATAR) if self.has_avatar else None
        return "no avatar answers, nothing is calibrated" if answer is None else str(answer.message)

    @property
    def calibrated(self) -> str:
        """What came of the last calibration, as the avatar node reports it; empty before one."""
        return self._monitor.statuses.get(AVATAR, {}).get(CALIBRATION, "")

    def check(self) -> list[str]:
        """Check that all nodes and the recording still run; returns what to say of processes that were started again.

        Raises:
            Face3DMMError: the nodes of this process stopped, a process was started again too often, or the recording
                failed.
        """
        self._require_no_failure()
        return self._processes.revive()

    def progress(self) -> Progress:
        """The state of the run."""
        problems = [f"{name}: {problem}" for name, problem in self._monitor.problems.items()]
        if self._recording is not None and self._recording.problem:
            problems.append(self._recording.problem)
        return Progress(
            overlays=self._monitor.latencies.count,
            latency_ms=self._monitor.latencies.recent_median,
            faces=self._monitor.faces,
            problems=tuple(problems),
        )

    def stop(self) -> dict[str, Any]:
        """Stop the images, wait for the last pictures, and return the summary, but for that of the recording.

        Raises:
            Face3DMMError: the source does not answer.
        """
        self._monitor.change_state(Transition.TRANSITION_DEACTIVATE)
        deadline = time.monotonic() + _DRAIN_TIMEOUT
        while time.monotonic() < deadline and self._is_behind():
            time.sleep(0.02)
        # The summary needs a status of each node from after its last image.
        seen = self._monitor.status_count.copy()
        while time.monotonic() < deadline and any(self._monitor.status_count[n] <= seen[n] for n in self._nodes):
            time.sleep(0.02)
        return self._summary()

    def close(self) -> None:
        """End all nodes and finish the files.

        Raises:
            Face3DMMError: the recording could not be finished.
        """
        self._processes.close()
        self._executor.shutdown()
        if self._spinning.is_alive():
            self._spinning.join(_STOP_TIMEOUT)
        for node in (*self._nodes_here, self._monitor):
            node.destroy_node()
        rclpy.try_shutdown()
        self._claim.close()
        try:
            if self._recording is not None:
                self._recording.close(self._report_unwritten)
        finally:
            if self._folder is not None:
                self._folder.close()

    def recording_summary(self) -> dict[str, Any]:
        """What a run that is closed adds to its summary: messages that are not in the recording, and why."""
        recording = self._recording
        if recording is None:
            return {"messages_not_recorded": 0}
        lost = recording.lost.copy()
        for topic, node in _PUBLISHED.items():
            if topic in recording.wanted:
                # What the middleware did not hold until the recorder fetched it.
                lost[topic] += max(0, self._answered(node) - recording.received[topic] + recording.refused[topic])
        more: dict[str, Any] = {"recording_failure": recording.failure} if recording.failure else {}
        if recording.refused:
            more |= {"messages_refused_by_topic": dict(sorted(recording.refused.items()))}
        by_topic = {topic: count for topic, count in sorted(lost.items()) if count}
        return {"messages_not_recorded": lost.total(), "messages_not_recorded_by_topic": by_topic, **more}

    def _require_no_namesakes(self, *, started: bool) -> None:
        """Check that no other nodes have the same names, since they would take part in lifecycle transitions."""
        if namesakes := self._monitor.namesakes(started=started):
            raise _taken(" and ".join(namesakes), _domain())

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            pass
        except Exception as error:
            self._failure = error

    def _require_no_failure(self) -> None:
        if self._failure is not None:
            raise Face3DMMError(f"the nodes stopped: {self._failure}") from self._failure
        if self._recording is not None and self._recording.failure:
            raise Face3DMMError(self._recording.failure)

    def _wait(self, condition: Callable[[], bool], interrupted: threading.Event) -> bool:
        deadline = time.monotonic() + _START_TIMEOUT
        while not condition():
            self._require_no_failure()
            self._processes.require_all()
            self._require_no_namesakes(started=True)
            if time.monotonic() > deadline:
                raise Face3DMMError(f"the nodes were not ready after {_START_TIMEOUT:.0f} s: {self._monitor.statuses}")
            if interrupted.wait(0.05):
                return False
        return not interrupted.is_set()

    def _start_process(
        self, name: str, module: str, words: Sequence[str], parameters: dict[str, dict[str, Any]]
    ) -> None:
        """Start a module of this package. If it has to be started again, its nodes start by themselves."""
        command = [sys.executable, "-m", f"face3dmm_ros.{module}", *words]
        again = {node: values | {"autostart": True} for node, values in parameters.items()}
        self._processes.start(name, command + _ros_arguments(parameters), command + _ros_arguments(again))

    def _all_advertised(self) -> bool:
        """Whether every node has been configured, as far as the monitor can see."""
        return self._monitor.topics() is not None and all(
            any(key.startswith("subscribers/") for key in self._monitor.statuses.get(name, {})) for name in self._nodes
        )

    def _all_connected(self) -> bool:
        """Whether the subscribers of every node are there, so that not even the first image is lost."""
        subscribers = self._monitor.statuses.subscribers
        recorded = self._recording is not None
        images_recorded = recorded and self._options.record_images != "none"
        fitter_looks = self._options.parameters.get(FITTER, {}).get("fit_method") in REGRESSOR_METHODS
        landmarks = subscribers(LANDMARKS, topics.LANDMARKS)
        avatar = self._options.parameters.get(AVATAR, {}) if AVATAR in self._nodes else None
        avatar_looks = avatar is not None and (avatar.get("placement", IN_IMAGE) == IN_IMAGE)
        # The renderer listens to landmarks and, unless it draws these alone, to parameters.
        draws_faces = self._options.parameters.get(RENDERER, {}).get("view") != LANDMARK_VIEW
        results = landmarks + subscribers(FITTER, topics.PARAMETERS)
        return (
            subscribers(SOURCE, topics.IMAGE) >= 2 + fitter_looks + avatar_looks + images_recorded
            and subscribers(SOURCE, topics.CAMERA_INFO) >= 1 + recorded
            and landmarks >= 2 + recorded
            and results >= 3 + draws_faces + (avatar is not None) + recorded
            and subscribers(RENDERER, topics.OVERLAY) >= 1
        )

    def _is_behind(self) -> bool:
        """Whether pictures of the last images have yet to come."""
        images = self._answered(SOURCE)
        return self._monitor.latencies.count < images or (AVATAR in self._nodes and self._answered(AVATAR) < images)

    def _answered(self, node: str) -> int:
        return self._monitor.statuses.count(node, "answered")

    def _summary(self) -> dict[str, Any]:
        monitor = self._monitor
        hops = {name: self._answered(name) for name in NODES} | {"overlay": monitor.latencies.count}
        counts = list(hops.values())
        lost = {name: before - after for name, before, after in zip(list(hops)[1:], counts, counts[1:], strict=False)}
        stages = {
            key.removeprefix("stage_ms/"): ms
            for name in self._nodes
            for key, value in monitor.statuses.get(name, {}).items()
            if key.startswith("stage_ms/") and (ms := number(value)) is not None
        }
        return {
            "source": self.source,
            "frames_in": hops[SOURCE],
            "frames_overlay": monitor.latencies.count,
            "frames_with_face": monitor.images_with_face,
            "fps": round(monitor.latencies.rate, 3),
            "latency_ms": monitor.latencies.percentiles(),
            "stage_ms": stages,
            "frames_at_each_hop": hops,
            **({"frames_avatar": self._answered(AVATAR)} if AVATAR in self._nodes else {}),
            "frames_lost_before_each_hop": lost,
            "messages_skipped": {name: monitor.statuses.count(name, "skipped") for name in self._nodes},
            "processes": 1 + len(self._processes),
            "problems": dict(monitor.problems),
        }


def _claim_domain(domain: int) -> socket.socket:
    """Hold a ROS domain on this machine for one run, until the socket is closed or the process ends.

    Nodes find each other too late to tell of a run that has just begun. The socket's name lies in no folder (Linux).

    Raises:
        Face3DMMError: another run holds it.
    """
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0face3dmm_ros live in ROS domain {domain}")
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            claim.close()
            raise _taken("face3dmm live", domain) from error
    return claim


def _domain() -> int:
    """This ROS domain, as ROS understands ROS_DOMAIN_ID: 79 is 0x4f, and 079 is 7."""
    return int(rclpy.get_default_context().get_domain_id())


def _taken(by: str, domain: int) -> Face3DMMError:
    return Face3DMMError(f"there is another {by} in ROS domain {domain}: stop it, or set another ROS_DOMAIN_ID")


def _ros_arguments(parameters: dict[str, dict[str, Any]]) -> list[str]:
    """ROS arguments of some nodes: config/live.yaml and, by node, the parameters that differ from it."""
    file = str(package_file("config/live.yaml"))
    given = (parameter_arguments(values, node) for node, values in parameters.items())
    return ["--ros-args", "--params-file", file, *_LOGGING, *chain.from_iterable(given)]

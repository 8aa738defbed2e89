"""The base of all nodes: a lifecycle (managed) node that starts by itself, checks parameters and reports its status."""

import gc
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import wraps
from itertools import chain
from time import monotonic
from typing import Any, ClassVar

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rclpy.service import Service
from rclpy.subscription import Subscription
from rclpy.timer import Timer
from std_msgs.msg import Header
from std_srvs.srv import SetBool

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.image_clock import ImageClock, stamp_ns
from face3dmm_ros.core.image_limits import megapixels_allowed
from face3dmm_ros.core.library_threads import limit_threads_unless_chosen
from face3dmm_ros.core.message_fields import MOST_FACES
from face3dmm_ros.nodes.diagnostics import STAMPS, Activity
from face3dmm_ros.nodes.endpoints import Input, Output, with_users_qos
from face3dmm_ros.nodes.guard import ENDS, EndOfNodeError, refusal, summary
from face3dmm_ros.nodes.hand_over import hand_over_between_nodes, hand_over_of
from face3dmm_ros.nodes.node_help import asks_for_help, node_help
from face3dmm_ros.nodes.parameters import COMMON_PARAMETERS, NodeParameter, declare_parameters
from face3dmm_ros.nodes.prompt_executor import PromptExecutor
from face3dmm_ros.nodes.qos import PublisherEventCallbacks, image_qos, result_qos
from face3dmm_ros.nodes.steady_executor import SteadyExecutor

_STATUS_PERIOD = 0.5
"""s between two statuses on /diagnostics; chosen by hand: `face3dmm live` waits for one before it ends."""
_SKIP_LOG_PERIOD = 5.0
"""s between two log lines about skipped messages; chosen by hand, so that many bad messages do not flood the log."""
_SWITCH_INTERVAL = 2e-4
"""s after which a thread lets another of Python's threads go on."""
_DISCOVERY = 3.0
"""s in which other nodes are discovered, also on a busy machine: whose absence is told only after that."""


_FACE_BYTES = 1 << 16
"""Of a message, for each of `MOST_FACES`; by hand: six times the landmarks of a face, which are the largest."""


class FaceNode(LifecycleNode):
    """A lifecycle node; a subclass sets `NAME` and `PARAMETERS` and overrides `configure`, `activate` and the like.

    It configures and activates itself as soon as it spins, unless the parameter `autostart` is false. A `Face3DMMError`
    raised by `configure` or `activate` makes the transition fail. A request for a transition that the node's state does
    not allow is refused, and the node goes on. Beside the lifecycle, the service `~/enabled` switches it off and on:
    while it is off, it is subscribed to nothing.

    What a callback raises, be it for a message, a request, a parameter or a timer, is logged, counted and reported, and
    the node goes on; but for what `ENDS` names, which ends it.

    Attributes:
        activity: what it counts and times, for its status.
        failure: why the last transition failed; empty if none did.
        resources: closes what `configure` opened, by the callbacks that it adds, before the next `configure`.
    """

    NAME: ClassVar[str]
    PARAMETERS: ClassVar[tuple[NodeParameter, ...]] = ()

    def __init__(self, **options: Any) -> None:
        """Declare the parameters. `options` are those of `rclpy.node.Node`, such as `cli_args` and `namespace`.

        Raises:
            Face3DMMError: the value given to a parameter, or to the QoS of /diagnostics, is not allowed.
        """
        super().__init__(self.NAME, **options)
        # rclpy's own answer to a transition that the state does not allow is an exception that ends the process.
        self._transit = self._service_change_state.callback
        self._service_change_state.callback = self._on_change_state
        for service in self.services:
            # Those of the lifecycle, which rclpy does not make by `create_service`.
            if not hasattr(service.callback, "__wrapped__"):
                service.callback = self._answering(service.srv_name, service.callback)
        self.activity = Activity()
        self._image_clock = ImageClock()
        self._answered_stamp = 0
        self._warned_about: set[str] = set()
        self.failure = ""
        self.resources = ExitStack()
        self._outputs: list[Output] = []
        self._inputs: list[Input] = []
        self._enabled = True
        self._active = False
        self._configured = False
        self._specifications = {p.name: p for p in (*COMMON_PARAMETERS, *self.PARAMETERS)}
        events = PublisherEventCallbacks(use_default_callbacks=False)
        self._diagnostics = with_users_qos(
            self.create_publisher, DiagnosticArray, "/diagnostics", result_qos(), event_callbacks=events
        )
        self.add_on_set_parameters_callback(self._on_set_parameters)
        declare_parameters(self, self._specifications.values())
        self.create_service(SetBool, "~/enabled", self._on_enabled)
        self.create_timer(_STATUS_PERIOD, self.report_status)
        if self.value("autostart"):
            self._start_timer = self.create_timer(0.0, self._start)

    # What subclasses do.

    def configure(self) -> None:
        """Load what is needed and create inputs and outputs.

        Raises:
            Face3DMMError: the node cannot be configured; the message says why.
        """

    def activate(self) -> None:
        """Begin to work; the outputs publish from here on."""

    def deactivate(self) -> None:
        """Pause until activated again."""

    def release(self) -> None:
        """Undo `configure`, also one that failed halfway; inputs, outputs and resources go by themselves."""

    def apply_parameters(self, values: dict[str, Any]) -> None:
        """Put changed parameters into effect; `values` holds all parameters, with the changes.

        Raises:
            Face3DMMError: the values do not go together; the parameters then stay as they were.
        """

    # What subclasses use.

    def value(self, name: str) -> Any:
        """A parameter's value."""
        found = self.get_parameter(name).value
        return self._specifications[name].typed(found) if name in self._specifications else found

    def values(self) -> dict[str, Any]:
        """The values of all parameters, by name."""
        return {name: self.value(name) for name in self._specifications}

    def create_timer(self, period: float, callback: Callable[[], None], **options: Any) -> Timer:
        """A timer by the machine's steady clock: simulated time may stand still, or not have come yet."""
        guarded = self._guarded(f"the timer of {callback.__name__}", callback)
        return super().create_timer(period, guarded, **{"clock": Clock(clock_type=ClockType.STEADY_TIME)} | options)

    def create_subscription(
        self, msg_type: type, topic: str, callback: Callable[..., None], *more: Any, **options: Any
    ) -> Subscription:
        """A subscription as rclpy has it; `create_input` is for what the node works on."""
        return super().create_subscription(msg_type, topic, self._guarded(topic, callback), *more, **options)

    def create_service(
        self, srv_type: type, srv_name: str, callback: Callable[[Any, Any], Any], **options: Any
    ) -> Service:
        """A service; a request on which the callback fails is refused, with the reason where its answer has one."""
        answer = self._answering(srv_name, callback)
        return super().create_service(
            srv_type, srv_name, _one_by_one(answer) if srv_type is SetParameters else answer, **options
        )

    def create_output(self, message_type: type, topic: str, qos: QoSProfile, *, paced: bool = False) -> Output:
        """Advertise a topic, which exists while the node is configured, or until `remove_output`.

        With `paced`, publishing waits until composed nodes have taken the message, so that a node ahead of them begins
        with the newest image once they are ready, and works out nothing that they would skip.
        """
        output = Output(self, self.activity, message_type, topic, qos, paced=paced)
        if self._active:
            output.enable()
        self._outputs.append(output)
        return output

    def create_input(
        self,
        message_type: type,
        topic: str,
        callback: Callable[[Any], None],
        qos: QoSProfile,
        *,
        raw: bool = False,
        stream: bool = False,
        only_arrival: bool = False,
        kept: int = 0,
        first: bool = False,
    ) -> Input:
        """Subscribe to a topic; messages are handled while the node is active and enabled.

        A message for which the callback raises an error is counted, reported on /diagnostics and skipped; what is no
        `Face3DMMError` is logged with where it was. So are the faces of a message beyond `MOST_FACES` skipped.
        With `raw` the callback gets messages serialized, as bytes. With `stream` there is a message for each image:
        a node that falls behind skips to the newest, and warns where none come. With `only_arrival` the callback
        gets nothing, whenever a message has come. At least `kept` messages wait that composed nodes hand over, beyond
        the QoS's depth: they cost no copies. Who is `first` is handed a message before other nodes, and so before what
        these make of it.
        """

        def handle(message: Any) -> None:
            # Nodes beside this one may be handed the same message: they publish no more faces than may be.
            if (count := len(getattr(message, "faces", ()))) > MOST_FACES:
                message.faces = message.faces[:MOST_FACES]
                beyond = f"{count - MOST_FACES} of {count} faces: {MOST_FACES} of a message are taken"
                self.report_skipped(f"{self.resolve_topic_name(topic)}: {beyond}")
            try:
                with self.size_limit():
                    callback(message)
            except ENDS:
                raise
            except Face3DMMError as error:
                self.report_skipped(f"{self.resolve_topic_name(topic)}: {error}")
            except Exception as error:
                self.report_failure(self.resolve_topic_name(topic), error)

        def report_mismatch(_: Any) -> None:
            name = self.resolve_topic_name(topic)
            self.report_problem(f"{name} is offered with a QoS under which no message gets here (best effort?)")

        found = Input(
            self,
            self.activity,
            message_type,
            topic,
            handle,
            qos,
            raw=raw,
            stream=stream,
            only_arrival=only_arrival,
            kept=kept,
            first=first,
            most_bytes=MOST_FACES * _FACE_BYTES if hasattr(message_type, "faces") else 0,
            is_wanted=lambda: self._active,
            on_mismatch=report_mismatch,
            on_refused=lambda why: self.report_skipped(f"{self.resolve_topic_name(topic)}: {why}"),
        )
        self._inputs.append(found)
        if not self._enabled:
            found.close()
        return found

    def remove_output(self, output: Output) -> None:
        """Withdraw an output's topic, and forget what was counted of it."""
        self._outputs.remove(output)
        self.activity.published.pop(output.topic, None)
        output.destroy()

    def remove_input(self, found: Input) -> None:
        """Unsubscribe from an input's topic."""
        self._inputs.remove(found)
        found.destroy()

    def size_limit(self) -> AbstractContextManager[None]:
        """Within it images may be as large as the parameter `max_megapixels` says."""
        return megapixels_allowed(self.value("max_megapixels"))

    def report_problem(self, problem: str) -> None:
        """Log an error, and report it on /diagnostics until `activity.problem` is cleared."""
        self.activity.problem = problem
        self.get_logger().error(problem)

    def report_skipped(self, reason: str) -> None:
        """Count a message that could not be used, and log why, at most every few seconds."""
        self.activity.skip(reason)
        self.get_logger().warning(f"skipped a message: {reason}", throttle_duration_sec=_SKIP_LOG_PERIOD)

    def report_failure(self, where: str, error: Exception) -> None:
        """Log what a callback raised, count it with the messages that were skipped, and report it on /diagnostics.

        Raises:
            Exception: the error, once ROS has ended: a signal ends it under whatever runs at that moment.
        """
        if not self.context.ok():
            raise error
        self.activity.skip(f"{where}: {summary(error)}")
        trace = "".join(traceback.format_exception(error))
        self.get_logger().error(
            f"{where}: failed, and the node goes on: {trace}", throttle_duration_sec=_SKIP_LOG_PERIOD
        )

    def time_of(self, header: Header) -> float:
        """The time of an image, s; call it once for each image. `ImageClock` says how invalid stamps are replaced."""
        time_ns = self._image_clock.time_of(stamp_ns(header), self.get_clock().now().nanoseconds)
        if self._image_clock.recovered:
            self.activity.details.pop(STAMPS, None)
        else:
            self.warn_about_stamps(self._image_clock.problem)
        return 1e-9 * time_ns

    def warn_about_stamps(self, problem: str, remedy: str = "when images come is taken for their time") -> None:
        """Log, once, and report what is wrong with the images' stamps and what is done about it, if anything is."""
        if problem:
            self.activity.details[STAMPS] = f"{problem}: {remedy}"
            self.warn_once(self.activity.details[STAMPS], about=STAMPS)

    def warn_once(self, message: str, about: str) -> None:
        """Log a warning about something unless one about it has been logged since the node was configured."""
        # rclpy's own `once` looks for its caller at each call, which takes as long as a good part of a fit.
        if about not in self._warned_about:
            self._warned_about.add(about)
            self.get_logger().warning(message)

    def answered(self, header: Header, faces: int) -> None:
        """Count an image whose results have been published, and its latency since its stamp, if that is its own."""
        stamp, before = stamp_ns(header), self._answered_stamp
        self._answered_stamp = stamp
        if stamp not in (0, before):
            self.activity.latency_ms.append(1e-6 * (self.get_clock().now().nanoseconds - stamp))
        self.activity.answered += 1
        self.activity.faces = faces

    def image_qos(self) -> QoSProfile:
        """The QoS with which images are taken, as the parameter `reliable_images` says."""
        return image_qos(reliable=self.value("reliable_images"))

    def result_qos(self) -> QoSProfile:
        """The QoS of results."""
        return result_qos()

    def report_status(self) -> None:
        """Publish the node's status on /diagnostics."""
        subscribers = {output.topic: output.listeners for output in self._outputs}
        name, state = self.get_fully_qualified_name().removeprefix("/"), self._state_machine.current_state[1]
        status = self.activity.status(
            name,
            subscribers,
            resting="" if self._active else state if self._enabled else f"{state}, switched off",
            warnings=list(self.complaints()) if self._active else (),
        )
        self._diagnostics.publish(
            DiagnosticArray(header=Header(stamp=self.get_clock().now().to_msg()), status=[status])
        )

    def complaints(self) -> Iterator[str]:
        """What /diagnostics warns of while the node is active; empty where there is nothing to say."""
        yield self._clock_complaint()
        for found in self._inputs:
            yield found.complaint()

    def _clock_complaint(self) -> str:
        """That the simulated time that the node is to live by comes from nowhere; empty if that is not so."""
        waits = self.get_parameter("use_sim_time").value and monotonic() > self._working_since + _DISCOVERY
        if not waits or self.count_publishers("/clock"):
            return ""
        return "use_sim_time is set, and nobody publishes on /clock"

    # Transitions.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Called by rclpy."""
        self.activity = Activity()
        self._image_clock = ImageClock()
        self._warned_about.clear()
        result = self._attempt("configure", self.configure)
        self._configured = result == TransitionCallbackReturn.SUCCESS
        if not self._configured:
            self._release_all()
        return super().on_configure(state) if self._configured else result

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Called by rclpy."""
        super().on_activate(state)
        result = self._attempt("activate", self._work_on) if self._enabled else TransitionCallbackReturn.SUCCESS
        if result != TransitionCallbackReturn.SUCCESS:
            super().on_deactivate(state)
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Called by rclpy."""
        result = self._attempt("deactivate", self._pause)
        self.report_status()
        base = super().on_deactivate(state)
        return base if result == TransitionCallbackReturn.SUCCESS else result

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Called by rclpy."""
        self._release_all()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Called by rclpy."""
        self._release_all()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Called by rclpy: back to unconfigured, from where it can be configured again."""
        self._attempt("release everything", self._release_all)
        return super().on_error(state)

    def destroy_node(self) -> None:
        """Stop and give back everything."""
        self._release_all()
        super().destroy_node()

    def _on_change_state(self, request: ChangeState.Request, response: ChangeState.Response) -> ChangeState.Response:
        """Go through a transition that another process asks for, if the state allows it."""
        wanted = request.transition
        allowed = {number: label for number, label, *_ in self._state_machine.available_transitions}
        if (wanted.label in allowed.values()) if wanted.label else (wanted.id in allowed):
            return self._transit(request, response)
        names = {number: label for number, label, *_ in self._state_machine.transition_graph}
        what = wanted.label or names.get(wanted.id, f"go through transition {wanted.id}, which is none")
        state, possible = self._state_machine.current_state[1], " or ".join(allowed.values()) or "nothing"
        self.get_logger().error(f"refused to {what}: the node is {state} and can {possible}")
        response.success = False
        return response

    def _start(self) -> None:
        """Configure and activate, unless another process was first; in the executor's thread, as when one asks."""
        self._start_timer.cancel()
        for state, transition in (("unconfigured", self.trigger_configure), ("inactive", self.trigger_activate)):
            if self._state_machine.current_state[1] != state:
                continue
            if transition() != TransitionCallbackReturn.SUCCESS:
                if not self.context.ok():
                    return
                raise EndOfNodeError(f"{self.get_name()}: {self.failure}")
        # What is loaded now stays. A full garbage collection that goes through it all takes 20 ms.
        gc.collect()
        gc.freeze()

    def _guarded(self, where: str, callback: Callable[..., None]) -> Callable[..., None]:
        """A callback whose errors are reported."""

        @wraps(callback)
        def guarded(*given: Any) -> None:
            try:
                callback(*given)
            except ENDS:
                raise
            except Exception as error:
                self.report_failure(where, error)

        return guarded

    def _answering(self, service: str, callback: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """A service's callback which also answers where it fails, so that nobody waits in vain."""

        @wraps(callback)
        def answer(request: Any, response: Any) -> Any:
            try:
                return callback(request, response)
            except ENDS:
                raise
            except Exception as error:
                self.report_failure(f"a request to {service}", error)
                return refusal(request, response, summary(error))

        return answer

    def _attempt(self, what: str, action: Callable[[], None]) -> TransitionCallbackReturn:
        """rclpy takes an exception in a transition for an error and says nothing about it; so say it."""
        try:
            with self.size_limit():
                action()
        except Face3DMMError as error:
            self.failure = str(error)
            # A signal ends ROS under whatever runs at that moment.
            if self.context.ok():
                self.get_logger().error(f"cannot {what}: {error}")
            return TransitionCallbackReturn.FAILURE
        except Exception as error:
            self.failure = f"{type(error).__name__}: {error}"
            if self.context.ok():
                self.get_logger().error(f"cannot {what}: {traceback.format_exc()}")
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS

    def _work_on(self) -> None:
        """Begin to work, or go on."""
        self._working_since = monotonic()
        for found in self._inputs:
            found.wait_anew()
        self._active = True
        try:
            self.activate()
        except BaseException:
            self._active = False
            raise
        heard = ", ".join(found.topic_name for found in self._inputs) or "nothing"
        told = ", ".join(self.resolve_topic_name(output.topic) for output in self._outputs) or "nothing"
        self.get_logger().info(f"listens to {heard}; publishes {told}")

    def _pause(self) -> None:
        if self._active:
            self._active = False
            self.deactivate()

    def _on_enabled(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """Switch the node on or off; its lifecycle state stays."""
        response.success = True
        if not request.data:
            self._pause()
        elif not self._enabled and self._state_machine.current_state[1] == "active":
            response.success = self._attempt("switch on", self._work_on) == TransitionCallbackReturn.SUCCESS
        self._enabled = request.data and response.success
        for found in self._inputs:
            found.open() if self._enabled else found.close()
        response.message = self.failure if not response.success else "on" if self._enabled else "off"
        return response

    def _release_all(self) -> None:
        with ExitStack() as rest:  # the last first, and each also where one before it fails
            rest.callback(self._forget_topics)
            rest.callback(self.resources.close)
            rest.callback(self.release)
            rest.callback(self._pause)

    def _forget_topics(self) -> None:
        self._configured = False
        for found in self._inputs:
            found.destroy()
        for output in self._outputs:
            output.destroy()
        self._inputs.clear()
        self._outputs.clear()

    def _on_set_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        """Check and apply changed parameters; refused with the reason if they are not allowed."""
        ours = [parameter for parameter in parameters if parameter.name in self._specifications]
        try:
            for parameter in ours:
                self._specifications[parameter.name].check(parameter.value)
                if self._configured and self._specifications[parameter.name].fixed:
                    raise Face3DMMError(f"{parameter.name} is fixed while the node is configured: clean it up first")
            if ours and self._configured:
                changed = {p.name: self._specifications[p.name].typed(p.value) for p in ours}
                self.apply_parameters(self.values() | changed)
        except Face3DMMError as error:
            return SetParametersResult(successful=False, reason=str(error))
        except Exception as error:
            names = ", ".join(parameter.name for parameter in ours)
            self.report_failure(f"a change of {names}", error)
            return SetParametersResult(successful=False, reason=summary(error))
        return SetParametersResult(successful=True)


def _one_by_one(answer: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Set parameters each for itself, so that one on which that fails leaves the others alone."""

    @wraps(answer)
    def answer_each(request: SetParameters.Request, response: SetParameters.Response) -> SetParameters.Response:
        for parameter in request.parameters:
            response.results += answer(SetParameters.Request(parameters=[parameter]), SetParameters.Response()).results
        return response

    return answer_each


def run_node(create: Callable[[], Node], args: Sequence[str] | None = None) -> int:
    """Run a node by itself; what the `main` of every node calls. As `run_composed`."""
    return run_composed([[create]], args)


def run_composed(threads: Sequence[Sequence[Callable[[], Node]]], args: Sequence[str] | None = None) -> int:
    """Run nodes until Ctrl-C or SIGTERM, or tell what they do.

    Args:
        threads: for each thread the nodes that take turns in it, in the order in which an image passes them. What one
            hands to another of its own thread is done at once, with what it used still in the processor's cache;
            threads overlap where libraries let go of Python's lock, and cost time where they do not.
        args: ROS's; the command line's if None.

    Returns the exit code: 1 if a node could not start.
    """
    if asks_for_help(sys.argv[1:] if args is None else args):
        print(node_help(chain.from_iterable(threads)))
        return 0
    failures: list[Exception] = []
    # rclpy's own handler ends the spinning, and until that is there the system ends the process. Python's would throw
    # KeyboardInterrupt into whatever runs at that moment, once for the terminal's Ctrl-C, once more for the launcher's.
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    rclpy.init(args=args)
    if sum(map(len, threads)) > 1:
        hand_over_between_nodes(rclpy.get_default_context())
    sys.setswitchinterval(_SWITCH_INTERVAL)
    running = [threading.Thread(target=_run_thread, args=(creators, failures)) for creators in threads]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    signal.signal(signal.SIGINT, before)
    for error in failures:
        if not isinstance(error, Face3DMMError):
            raise error
        print(error, file=sys.stderr)
    return 1 if failures else 0


def _run_thread(creators: Sequence[Callable[[], Node]], failures: list[Exception]) -> None:
    """Run nodes in this thread, in which all that they open lives, and end ROS with them."""
    limit_threads_unless_chosen(openmp=True)
    nodes: list[Node] = []
    try:
        executor = PromptExecutor() if hand_over_of(rclpy.get_default_context()) else SteadyExecutor()
        for create in creators:
            nodes.append(create())
            executor.add_node(nodes[-1])
        executor.spin()
    except ExternalShutdownException:
        pass
    except Exception as error:
        # A signal, and the end of another node, end ROS under whatever runs at that moment.
        if rclpy.ok():
            failures.append(error)
    rclpy.try_shutdown()
    for node in nodes:
        node.destroy_node()

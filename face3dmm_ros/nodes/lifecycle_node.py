"""The base of all nodes: a lifecycle (managed) node that starts by itself, checks parameters and reports its status."""

import gc
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, ClassVar

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import SetParametersResult
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from std_msgs.msg import Header

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.image_clock import ImageClock, stamp_ns
from face3dmm_ros.nodes.diagnostics import Activity
from face3dmm_ros.nodes.node_help import asks_for_help, node_help
from face3dmm_ros.nodes.parameters import COMMON_PARAMETERS, NodeParameter, declare_parameters
from face3dmm_ros.nodes.qos import PublisherEventCallbacks, SubscriptionEventCallbacks, image_qos, result_qos

_STATUS_PERIOD = 0.5
"""s between two statuses on /diagnostics; chosen by hand: `face3dmm live` waits for one before it ends."""
_SKIP_LOG_PERIOD = 5.0
"""s between two log lines about skipped messages; chosen by hand, so that many bad messages do not flood the log."""


class Output:
    """A topic that a node publishes while it is active."""

    def __init__(self, node: "FaceNode", message_type: type, topic: str, qos: QoSProfile) -> None:
        """Advertise the topic."""
        # rclpy's events cost each turn of an executor; the subscriber's own tells of QoS that do not match.
        events = PublisherEventCallbacks(use_default_callbacks=False)
        self._publisher = node.create_lifecycle_publisher(message_type, topic, qos, event_callbacks=events)
        self._activity = node.activity
        self.topic = topic

    @property
    def subscribers(self) -> int:
        """How many listen."""
        return self._publisher.get_subscription_count()

    def publish(self, message: object) -> None:
        """Publish and count a message; nothing happens while the node is inactive."""
        if self._publisher.is_activated:
            self._publisher.publish(message)
            self._activity.published[self.topic] += 1

    def destroy(self, node: "FaceNode") -> None:
        """Withdraw the topic."""
        node.destroy_lifecycle_publisher(self._publisher)


class FaceNode(LifecycleNode):
    """A lifecycle node; a subclass sets `NAME` and `PARAMETERS` and overrides `configure`, `activate` and the like.

    It configures and activates itself as soon as it spins, unless the parameter `autostart` is false. A `Face3DMMError`
    raised by `configure` or `activate` makes the transition fail. A request for a transition that the node's state does
    not allow is refused, and the node goes on.

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
            Face3DMMError: the value given to a parameter is not allowed.
        """
        super().__init__(self.NAME, **options)
        # rclpy's own answer to a transition that the state does not allow is an exception that ends the process.
        self._transit = self._service_change_state.callback
        self._service_change_state.callback = self._on_change_state
        self.activity = Activity()
        self._image_clock = ImageClock()
        self.failure = ""
        self.resources = ExitStack()
        self._outputs: list[Output] = []
        self._inputs: list[Any] = []
        self._active = False
        self._configured = False
        self._specifications = {p.name: p for p in (*COMMON_PARAMETERS, *self.PARAMETERS)}
        events = PublisherEventCallbacks(use_default_callbacks=False)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10, event_callbacks=events)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        declare_parameters(self, self._specifications.values())
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
        return self.get_parameter(name).value

    def values(self) -> dict[str, Any]:
        """The values of all parameters, by name."""
        return {name: self.value(name) for name in self._specifications}

    def create_output(self, message_type: type, topic: str, qos: QoSProfile) -> Output:
        """Advertise a topic, which exists while the node is configured."""
        output = Output(self, message_type, topic, qos)
        self._outputs.append(output)
        return output

    def create_input(
        self, message_type: type, topic: str, callback: Callable[[Any], None], qos: QoSProfile, *, raw: bool = False
    ) -> Any:
        """Subscribe to a topic; messages are handled while the node is active. Returns the subscription.

        A message for which the callback raises `Face3DMMError` is counted, reported on /diagnostics and skipped.
        With `raw` the callback gets messages serialized, as bytes.
        """

        def take(message: Any) -> None:
            if not self._active:
                return
            self.activity.received[topic] += 1
            try:
                callback(message)
            except Face3DMMError as error:
                self.report_skipped(f"{topic}: {error}")

        def count_lost(event: Any) -> None:
            self.activity.lost[topic] = event.total_count

        def report_mismatch(_: Any) -> None:
            self.report_problem(f"{topic} is offered with a QoS under which no message gets here (best effort?)")

        events = SubscriptionEventCallbacks(
            message_lost=count_lost, incompatible_qos=report_mismatch, use_default_callbacks=False
        )
        subscription = self.create_subscription(message_type, topic, take, qos, raw=raw, event_callbacks=events)
        self._inputs.append(subscription)
        return subscription

    def remove_input(self, subscription: Any) -> None:
        """Unsubscribe from an input's topic."""
        self._inputs.remove(subscription)
        self.destroy_subscription(subscription)

    def report_problem(self, problem: str) -> None:
        """Log an error, and report it on /diagnostics until `activity.problem` is cleared."""
        self.activity.problem = problem
        self.get_logger().error(problem)

    def report_skipped(self, reason: str) -> None:
        """Count a message that could not be used, and log why, at most every few seconds."""
        self.activity.skip(reason)
        self.get_logger().warning(f"skipped a message: {reason}", throttle_duration_sec=_SKIP_LOG_PERIOD)

    def time_of(self, header: Header) -> float:
        """The time of an image, s; call it once for each image. `ImageClock` says how invalid stamps are replaced."""
        time_ns = self._image_clock.time_of(stamp_ns(header), self.get_clock().now().nanoseconds)
        self.warn_about_stamps(self._image_clock.problem)
        return 1e-9 * time_ns

    def warn_about_stamps(self, problem: str, remedy: str = "when images come is taken for their time") -> None:
        """Log, once, what is wrong with the images' stamps and what is done about it; nothing for an empty problem."""
        if problem:
            self.get_logger().warning(f"{problem}: {remedy}", once=True)

    def answered(self, header: Header, faces: int) -> None:
        """Count an image whose results have been published, and its latency since its stamp, if that is not zero."""
        if stamp := stamp_ns(header):
            self.activity.latency_ms.append(1e-6 * (self.get_clock().now().nanoseconds - stamp))
        self.activity.answered += 1
        self.activity.faces = faces

    def image_qos(self) -> QoSProfile:
        """The QoS of images, as the parameters `image_queue_depth` and `reliable_images` say."""
        return image_qos(self.value("image_queue_depth"), reliable=self.value("reliable_images"))

    def result_qos(self) -> QoSProfile:
        """The QoS of results, as the parameter `result_queue_depth` says."""
        return result_qos(self.value("result_queue_depth"))

    def report_status(self) -> None:
        """Publish the node's status on /diagnostics."""
        subscribers = {output.topic: output.subscribers for output in self._outputs}
        status = self.activity.status(self.get_fully_qualified_name().removeprefix("/"), subscribers)
        self._diagnostics.publish(
            DiagnosticArray(header=Header(stamp=self.get_clock().now().to_msg()), status=[status])
        )

    # Transitions.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Called by rclpy."""
        self.activity = Activity()
        self._image_clock = ImageClock()
        result = self._attempt("configure", self.configure)
        self._configured = result == TransitionCallbackReturn.SUCCESS
        if not self._configured:
            self._release_all()
        return super().on_configure(state) if self._configured else result

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Called by rclpy."""
        super().on_activate(state)
        self._active = True
        result = self._attempt("activate", self.activate)
        if result != TransitionCallbackReturn.SUCCESS:
            self._active = False
            super().on_deactivate(state)
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Called by rclpy."""
        self._pause()
        self.report_status()
        return super().on_deactivate(state)

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
        self._release_all()
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
                raise Face3DMMError(f"{self.get_name()}: {self.failure}")
        # What is loaded now stays. A full garbage collection that goes through it all takes 20 ms.
        gc.collect()
        gc.freeze()

    def _attempt(self, what: str, action: Callable[[], None]) -> TransitionCallbackReturn:
        """rclpy takes an exception in a transition for an error and says nothing about it; so say it."""
        try:
            action()
        except Face3DMMError as error:
            self.failure = str(error)
            self.get_logger().error(f"cannot {what}: {error}")
            return TransitionCallbackReturn.FAILURE
        except Exception as error:
            self.failure = f"{type(error).__name__}: {error}"
            # A signal ends ROS under whatever runs at that moment.
            if self.context.ok():
                self.get_logger().error(f"cannot {what}: {traceback.format_exc()}")
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS

    def _pause(self) -> None:
        if self._active:
            self._active = False
            self.deactivate()

    def _release_all(self) -> None:
        self._pause()
        self.release()
        self.resources.close()
        self._configured = False
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        for output in self._outputs:
            output.destroy(self)
        self._inputs.clear()
        self._outputs.clear()

    def _on_set_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        """Check and apply changed parameters; refused with the reason if they are not allowed."""
        ours = [parameter for parameter in parameters if parameter.name in self._specifications]
        try:
            for parameter in ours:
                self._specifications[parameter.name].check(parameter.value)
            if ours and self._configured:
                self.apply_parameters(self.values() | {parameter.name: parameter.value for parameter in ours})
        except Face3DMMError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)


def run_nodes(node_classes: Sequence[Callable[[], Node]], args: Sequence[str] | None = None) -> int:
    """Run nodes in one thread until Ctrl-C or SIGTERM, or tell what they do; what the `main` of every node calls.

    Returns the exit code: 1 if a node could not start.
    """
    if asks_for_help(sys.argv[1:] if args is None else args):
        print(node_help(node_classes))
        return 0
    exit_code = 0
    nodes: list[Node] = []
    # rclpy's own handler ends the spinning. Python's would throw KeyboardInterrupt into whatever runs at that moment,
    # once for the terminal's Ctrl-C and once more for the launcher's.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        rclpy.init(args=args)
        executor = SingleThreadedExecutor()
        for node_class in node_classes:
            nodes.append(node_class())
            executor.add_node(nodes[-1])
        executor.spin()
    except ExternalShutdownException:
        pass
    except Face3DMMError as error:
        print(error, file=sys.stderr)
        exit_code = 1
    except Exception:
        # A signal ends ROS under whatever runs at that moment.
        if rclpy.ok():
            raise
    for node in nodes:
        node.destroy_node()
    rclpy.try_shutdown()
    return exit_code

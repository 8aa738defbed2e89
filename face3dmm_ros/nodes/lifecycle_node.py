"""What all nodes share: a lifecycle that runs by itself, checked parameters, counted topics, status on /diagnostics."""

import gc
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import Header

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Humble has them elsewhere.
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.image_clock import ImageClock, stamp_ns
from face3dmm_ros.nodes.diagnostics import Activity

ParameterValue = bool | int | float | str | list[float]
_STATUS_PERIOD = 0.5
_COMPLAINT_PERIOD = 5.0


@dataclass(frozen=True)
class NodeParameter:
    """A parameter of a node.

    Attributes:
        default: its value unless given; also says its type.
        description: what it does, as `ros2 param describe` shows it.
        low: lowest value of a number.
        high: highest value of a number.
        step: a whole number may be `low`, or so much more, or twice so much, and so on.
        choices: the allowed words of a string; empty for any.
        read_only: a change needs a restart.
    """

    name: str
    default: ParameterValue
    description: str
    low: float | None = None
    high: float | None = None
    step: int = 1
    choices: tuple[str, ...] = ()
    read_only: bool = False

    def descriptor(self) -> ParameterDescriptor:
        """The same as a message."""
        descriptor = ParameterDescriptor(
            name=self.name, description=self.description, read_only=self.read_only, type=self._type().value
        )
        if self.choices:
            descriptor.additional_constraints = f"one of: {', '.join(self.choices)}"
        if self.low is not None and self.high is not None:
            if isinstance(self.default, int):
                descriptor.integer_range = [
                    IntegerRange(from_value=int(self.low), to_value=int(self.high), step=self.step)
                ]
            elif isinstance(self.default, float):
                descriptor.floating_point_range = [
                    FloatingPointRange(from_value=self.low, to_value=self.high, step=0.0)
                ]
        return descriptor

    def _type(self) -> Parameter.Type:
        return Parameter.Type.from_parameter_value(self.default)

    def check(self, value: ParameterValue) -> None:
        """Check what a descriptor cannot say.

        Raises:
            Face3DMMError: the word is not one of the choices.
        """
        if self.choices and value not in self.choices:
            raise Face3DMMError(f"{self.name} must be one of {', '.join(self.choices)}, not {value!r}")


AUTOSTART = NodeParameter("autostart", True, "Configure and activate without being told to.", read_only=True)
IMAGE_DEPTH = NodeParameter(
    "image_queue_depth", 5, "Images that wait at most; older ones are dropped.", low=1, high=5, read_only=True
)
RELIABLE_IMAGES = NodeParameter(
    "reliable_images",
    False,
    "Send and take images reliably instead of dropping late ones, as a replay needs it; both ends must say so.",
    read_only=True,
)
RESULT_DEPTH = NodeParameter(
    "result_queue_depth", 10, "Results that wait at most, per topic.", low=1, high=1000, read_only=True
)
_COMMON = (AUTOSTART, IMAGE_DEPTH, RELIABLE_IMAGES, RESULT_DEPTH)


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
    """Base of the nodes: a subclass lists its `PARAMETERS` and overrides `configure`, `activate` and the like.

    It configures and activates itself as soon as it spins, unless the parameter `autostart` is false; `Face3DMMError`
    from `configure` or `activate` is the reason that it could not. Told to go through a transition that its state does
    not allow, it refuses and goes on.
    """

    PARAMETERS: ClassVar[tuple[NodeParameter, ...]] = ()

    def __init__(self, name: str, **options: Any) -> None:
        """Declare the parameters. `options` are those of `rclpy.node.Node`, such as `cli_args` and `namespace`.

        Raises:
            Face3DMMError: a parameter's given value is not allowed.
        """
        super().__init__(name, **options)
        # rclpy's own answer to a transition that the state does not allow is an exception that ends the process.
        self._transit = self._service_change_state.callback
        self._service_change_state.callback = self._on_change_state
        self.activity = Activity()
        self._image_clock = ImageClock()
        self.failure = ""
        self._outputs: list[Output] = []
        self._inputs: list[Any] = []
        self._active = False
        self._configured = False
        self._specifications = {p.name: p for p in (*_COMMON, *self.PARAMETERS)}
        events = PublisherEventCallbacks(use_default_callbacks=False)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10, event_callbacks=events)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        try:
            for specification in self._specifications.values():
                self.declare_parameter(specification.name, specification.default, specification.descriptor())
        except InvalidParameterTypeException as error:
            raise Face3DMMError(f"{name}: {error} (a number with a fraction is written 30.0, not 30)") from error
        except InvalidParameterValueException as error:
            raise Face3DMMError(f"{name}: {error}") from error
        self._status_timer = self.create_timer(_STATUS_PERIOD, self.report_status)
        if self.value("autostart"):
            self._start_timer = self.create_timer(0.0, self._start)

    # What subclasses do.

    def configure(self) -> None:
        """Load what is needed and create inputs and outputs.

        Raises:
            Face3DMMError: why it cannot be.
        """

    def activate(self) -> None:
        """Begin; the outputs work from here on."""

    def deactivate(self) -> None:
        """Pause."""

    def release(self) -> None:
        """Undo `configure`, however much of it was done; inputs and outputs go by themselves."""

    def apply_parameters(self, values: dict[str, Any]) -> None:
        """Let changed parameters work; `values` holds all parameters as they will be.

        Raises:
            Face3DMMError: why they cannot be so; they then stay as they were.
        """

    # What subclasses use.

    def value(self, name: str) -> Any:
        """A parameter's value."""
        return self.get_parameter(name).value

    def create_output(self, message_type: type, topic: str, qos: QoSProfile) -> Output:
        """A topic to publish while configured."""
        output = Output(self, message_type, topic, qos)
        self._outputs.append(output)
        return output

    def create_input(
        self, message_type: type, topic: str, callback: Callable[[Any], None], qos: QoSProfile, *, raw: bool = False
    ) -> Any:
        """A topic to take messages from while active.

        A message for which the callback raises `Face3DMMError` is counted, reported on /diagnostics and skipped.
        """

        def take(message: Any) -> None:
            if not self._active:
                return
            self.activity.received[topic] += 1
            try:
                callback(message)
            except Face3DMMError as error:
                self.complain(f"{topic}: {error}")

        def count_lost(event: Any) -> None:
            self.activity.lost[topic] = event.total_count

        def tell_of_mismatch(_: Any) -> None:
            self.activity.problem = f"{topic} is offered with a QoS under which no message gets here (best effort?)"
            self.get_logger().error(self.activity.problem)

        events = SubscriptionEventCallbacks(
            message_lost=count_lost, incompatible_qos=tell_of_mismatch, use_default_callbacks=False
        )
        subscription = self.create_subscription(message_type, topic, take, qos, raw=raw, event_callbacks=events)
        self._inputs.append(subscription)
        return subscription

    def remove_input(self, subscription: Any) -> None:
        """Take no more messages from an input."""
        self._inputs.remove(subscription)
        self.destroy_subscription(subscription)

    def complain(self, reason: str) -> None:
        """Count a message that was skipped, and log why, now and then."""
        self.activity.skip(reason)
        self.get_logger().warning(f"skipped a message: {reason}", throttle_duration_sec=_COMPLAINT_PERIOD)

    def time_of(self, header: Header) -> float:
        """The time of the next image, s, also where its stamp is none: see `ImageClock`. To be asked once an image."""
        time_ns = self._image_clock.time_of(stamp_ns(header), self.get_clock().now().nanoseconds)
        self.tell_of_stamps(self._image_clock.problem)
        return 1e-9 * time_ns

    def tell_of_stamps(self, problem: str, remedy: str = "when images come is taken for their time") -> None:
        """Log, once, what is wrong with images' stamps, if anything, and what is done about it."""
        if problem:
            self.get_logger().warning(f"{problem}: {remedy}", once=True)

    def answered(self, header: Header, faces: int) -> None:
        """Note that an image has been answered; how long after its stamp, if it has one."""
        if stamp := stamp_ns(header):
            self.activity.latency_ms.append(1e-6 * (self.get_clock().now().nanoseconds - stamp))
        self.activity.answered += 1
        self.activity.faces = faces

    def image_qos(self) -> QoSProfile:
        """Sensor data, the last few: best effort, or reliable as the parameter `reliable_images` says."""
        return image_qos(self.value("image_queue_depth"), reliable=self.value("reliable_images"))

    def result_qos(self) -> QoSProfile:
        """Reliable, the last few."""
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
        self._pause()
        self._release_all()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Called by rclpy: back to unconfigured, from where it can be configured again."""
        self._pause()
        self._release_all()
        return super().on_error(state)

    def destroy_node(self) -> None:
        """Stop and give back everything."""
        self._pause()
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
        self.release()
        self._configured = False
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        for output in self._outputs:
            output.destroy(self)
        self._inputs.clear()
        self._outputs.clear()

    def _on_set_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        """Refuse what cannot be, with the reason."""
        ours = [parameter for parameter in parameters if parameter.name in self._specifications]
        try:
            for parameter in ours:
                self._specifications[parameter.name].check(parameter.value)
            if ours and self._configured:
                values = {name: self.value(name) for name in self._specifications}
                self.apply_parameters(values | {parameter.name: parameter.value for parameter in ours})
        except Face3DMMError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)


def image_qos(depth: int, *, reliable: bool = False) -> QoSProfile:
    """Sensor data, the last `depth`: best effort unless `reliable`."""
    reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
    return QoSProfile(depth=depth, history=HistoryPolicy.KEEP_LAST, reliability=reliability)


def result_qos(depth: int) -> QoSProfile:
    """Reliable, the last `depth`."""
    return QoSProfile(depth=depth, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.RELIABLE)


def latched_qos() -> QoSProfile:
    """Reliable, and the last message is also given to those that come later."""
    return QoSProfile(
        depth=1,
        history=HistoryPolicy.KEEP_LAST,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )


def run_node(node_class: Callable[[], Node], args: Sequence[str] | None = None) -> int:
    """Run a node until Ctrl-C or SIGTERM; the `main` of every node. Returns the exit code: 1 if it could not start."""
    return run_nodes([node_class], args)


def run_nodes(node_classes: Sequence[Callable[[], Node]], args: Sequence[str] | None = None) -> int:
    """Run nodes in one thread until Ctrl-C or SIGTERM. Returns the exit code: 1 if one could not start."""
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

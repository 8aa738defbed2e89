"""What all nodes share: they start by themselves or when told, check their parameters and say how they are."""

import os
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("face3dmm_ros.msg", reason="needs the package's own messages: colcon build")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from ros_harness import harness
from std_msgs.msg import Header

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.live.replay_node import ReplayNode
from face3dmm_ros.nodes.avatar_node import AvatarNode
from face3dmm_ros.nodes.fitter_node import FitterNode
from face3dmm_ros.nodes.landmark_node import LandmarkNode
from face3dmm_ros.nodes.lifecycle_node import FaceNode
from face3dmm_ros.nodes.parameters import NodeParameter
from face3dmm_ros.nodes.qos import result_qos
from face3dmm_ros.nodes.renderer_node import RendererNode
from face3dmm_ros.nodes.video_source_node import VideoSourceNode
from face3dmm_ros.nodes.viewer_node import ViewerNode


class EchoNode(FaceNode):
    """Gives back the headers that it gets."""

    NAME = "echo_node"
    PARAMETERS = (
        NodeParameter("gain", 0.5, "A number.", low=0.0, high=1.0),
        NodeParameter("mode", "fast", "A word.", choices=("fast", "slow")),
        NodeParameter("size", 3, "Fixed.", low=1, high=9, read_only=True),
        NodeParameter("even", 2, "Only even numbers will do."),
        NodeParameter("broken", False, "Fail to configure."),
    )

    def configure(self):
        if self.value("broken"):
            raise Face3DMMError("it is broken, mend it")
        self.output = self.create_output(Header, "echo", result_qos(10))
        self.create_input(Header, "call", self.on_call, result_qos(10))

    def apply_parameters(self, values):
        if values["even"] % 2:
            raise Face3DMMError(f"even must be even, not {values['even']}")

    def on_call(self, message):
        if message.frame_id == "nonsense":
            raise Face3DMMError("this is nonsense")
        self.output.publish(message)
        self.answered(message, 0)


def state(node):
    return node._state_machine.current_state[1]


def connect(spun):
    """A publisher of calls, once both ends know each other, and a listener to echoes."""
    spun.listen(Header, "echo")
    publisher = spun.node.create_publisher(Header, "call", result_qos(10))
    spun.spin_until(lambda: publisher.get_subscription_count() == 1, "the node to listen")
    spun.spin_until(lambda: spun.node.count_publishers("echo") == 1, "the node to offer")
    spun.spin_for(0.1)
    return publisher


def test_a_node_configures_and_activates_itself(spun):
    node = spun.start(EchoNode)
    spun.spin_until(lambda: state(node) == "active")


def test_with_autostart_off_a_node_waits_to_be_told(spun):
    node = spun.start(EchoNode, autostart=False)
    spun.spin_for(0.3)
    assert state(node) == "unconfigured"
    client = spun.node.create_client(ChangeState, "/echo_node/change_state")
    spun.spin_until(client.service_is_ready)
    for transition, expected in (
        (Transition.TRANSITION_CONFIGURE, "inactive"),
        (Transition.TRANSITION_ACTIVATE, "active"),
        (Transition.TRANSITION_DEACTIVATE, "inactive"),
        (Transition.TRANSITION_CLEANUP, "unconfigured"),
        (Transition.TRANSITION_CONFIGURE, "inactive"),
    ):
        future = client.call_async(ChangeState.Request(transition=Transition(id=transition)))
        spun.spin_until(future.done)
        assert future.result().success
        assert state(node) == expected


@pytest.mark.parametrize(
    "node_class", [AvatarNode, FitterNode, LandmarkNode, RendererNode, ReplayNode, VideoSourceNode, ViewerNode]
)
def test_a_transition_that_the_state_does_not_allow_is_refused_and_the_node_goes_on(spun, node_class, capfd):
    node = spun.start(node_class, autostart=False)
    client = spun.node.create_client(ChangeState, f"/{node.get_name()}/change_state")
    spun.spin_until(client.service_is_ready)
    for wanted, name in (
        (Transition(id=Transition.TRANSITION_ACTIVATE), "activate"),
        (Transition(label="deactivate"), "deactivate"),
        (Transition(id=77), "go through transition 77, which is none"),
    ):
        future = client.call_async(ChangeState.Request(transition=wanted))
        spun.spin_until(future.done)
        assert not future.result().success
        assert state(node) == "unconfigured"
        assert f"refused to {name}: the node is unconfigured and can configure or shutdown" in capfd.readouterr().err


def test_a_node_that_starts_by_itself_and_is_told_to_as_well_refuses_and_stays_active(spun):
    node = spun.start(EchoNode)
    spun.spin_until(lambda: state(node) == "active")
    client = spun.node.create_client(ChangeState, "/echo_node/change_state")
    spun.spin_until(client.service_is_ready)
    for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
        future = client.call_async(ChangeState.Request(transition=Transition(id=transition)))
        spun.spin_until(future.done)
        assert not future.result().success
    assert state(node) == "active"


@pytest.mark.parametrize("done", ["configure", "configure and activate", "shutdown"])
def test_a_node_that_was_told_to_before_it_could_start_by_itself_goes_on_from_there(spun, done):
    node = spun.start(EchoNode)
    for transition in done.split(" and "):
        getattr(node, f"trigger_{transition}")()
    spun.spin_for(0.3)
    assert state(node) == ("finalized" if done == "shutdown" else "active")


def test_an_inactive_node_takes_and_gives_nothing(spun):
    node = spun.start(EchoNode)
    publisher = connect(spun)
    assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    publisher.publish(Header(frame_id="one"))
    spun.spin_for(0.3)
    assert not spun.received["echo"]
    node.trigger_activate()
    publisher.publish(Header(frame_id="two"))
    spun.spin_until(lambda: spun.received["echo"])
    assert [message.frame_id for message in spun.received["echo"]] == ["two"]


def test_a_node_that_cannot_configure_says_why_and_can_be_told_again(spun):
    node = spun.start(EchoNode, autostart=False, broken=True)
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert state(node) == "unconfigured"
    assert node.failure == "it is broken, mend it"
    node.set_parameters([Parameter("broken", value=False)])
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS


def test_a_node_that_cannot_start_by_itself_raises_the_reason(spun):
    spun.start(EchoNode, broken=True)
    with pytest.raises(Face3DMMError, match="echo_node: it is broken, mend it"):
        spun.spin_for(2.0)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("gain", 1.5, "gain out of range"),
        ("mode", "sideways", "mode must be one of fast, slow, not 'sideways'"),
        ("size", 4, "size is fixed while the node is configured: clean it up first"),
        ("even", 3, "even must be even, not 3"),
        ("gain", "much", "type"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused_with_the_reason(spun, name, value, reason):
    node = spun.start(EchoNode)
    spun.spin_until(lambda: state(node) == "active")
    before = node.value(name)
    result = node.set_parameters([Parameter(name, value=value)])[0]
    assert not result.successful
    assert reason in result.reason
    assert node.value(name) == before


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [({"gain": 1.5}, "gain"), ({"mode": "sideways"}, "one of fast, slow"), ({"gain": 1}, "gain.*30.0, not 30")],
)
def test_a_parameter_that_cannot_be_keeps_a_node_from_starting(spun, parameters, reason):
    with pytest.raises(Face3DMMError, match=reason):
        spun.start(EchoNode, **parameters)


@pytest.mark.parametrize("node_class", [VideoSourceNode, LandmarkNode, FitterNode, RendererNode])
def test_every_parameter_is_described_and_every_number_has_a_range(spun, node_class):
    node = spun.start(node_class, autostart=False)
    for name in node._specifications:
        descriptor = node.describe_parameter(name)
        assert descriptor.description, name
        if descriptor.type == Parameter.Type.DOUBLE.value:
            assert descriptor.floating_point_range, name
        if descriptor.type == Parameter.Type.INTEGER.value:
            assert descriptor.integer_range, name


def test_a_message_that_cannot_be_used_is_counted_reported_and_skipped(spun):
    node = spun.start(EchoNode)
    publisher = connect(spun)
    spun.listen(DiagnosticArray, "/diagnostics")
    publisher.publish(Header(frame_id="nonsense"))
    publisher.publish(Header(frame_id="sense"))
    spun.spin_until(lambda: spun.received["echo"])
    assert [message.frame_id for message in spun.received["echo"]] == ["sense"]
    assert node.activity.skipped == 1
    spun.spin_until(
        lambda: any(message.status[0].level == DiagnosticStatus.WARN for message in spun.received["/diagnostics"])
    )
    status = next(m.status[0] for m in spun.received["/diagnostics"] if m.status[0].level == DiagnosticStatus.WARN)
    assert status.name == "echo_node: images"
    assert "/call: this is nonsense" in status.message


def test_the_status_counts_what_came_and_went(spun):
    spun.start(EchoNode)
    publisher = connect(spun)
    spun.listen(DiagnosticArray, "/diagnostics")
    for _ in range(3):
        publisher.publish(Header(stamp=spun.node.get_clock().now().to_msg()))

    def values():
        statuses = [message.status[0] for message in spun.received["/diagnostics"]]
        return {pair.key: pair.value for pair in statuses[-1].values} if statuses else {}

    spun.spin_until(lambda: values().get("answered") == "3")
    assert values()["received/call"] == "3"
    assert values()["published/echo"] == "3"
    assert values()["subscribers/echo"] == "1"
    assert 0.0 <= float(values()["latency_ms"]) < 5000.0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_node_ends_cleanly_when_told_to(number, ros_domain):
    command = [sys.executable, "-m", "face3dmm_ros.nodes", "fitter_node"]
    with (
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ)) as process,
        harness() as spun,
    ):
        spun.listen(DiagnosticArray, "/diagnostics")
        spun.spin_until(lambda: spun.received["/diagnostics"], "the node to start")
        time.sleep(0.3)
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in errors


def test_a_node_that_cannot_start_ends_with_the_reason_and_exit_code_1(ros_domain):
    command = [sys.executable, "-m", "face3dmm_ros.nodes", "video_source_node", "--ros-args", "-p"]
    command.append("source:=/no/such.mp4")
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert "there is no source '/no/such.mp4'" in result.stderr
    assert "Traceback" not in result.stderr

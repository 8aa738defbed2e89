"""What all nodes share: they start by themselves or when told, check their parameters and say how they are."""

import math
import os
import re
import signal
import socket
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("face3dmm_ros.msg", reason="needs the package's own messages: colcon build")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterValue
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from ros_harness import harness
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.live.replay_node import ReplayNode
from face3dmm_ros.nodes import endpoints, lifecycle_node
from face3dmm_ros.nodes.avatar_node import AvatarNode
from face3dmm_ros.nodes.diagnostics import Activity
from face3dmm_ros.nodes.fitter_node import FitterNode
from face3dmm_ros.nodes.hri_node import HriNode
from face3dmm_ros.nodes.landmark_node import LandmarkNode
from face3dmm_ros.nodes.lifecycle_node import FaceNode
from face3dmm_ros.nodes.page_node import PageNode
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
        NodeParameter("text", "", "Any text."),
        NodeParameter("texts", [""], "Any texts."),
        NodeParameter("size", 3, "Fixed.", low=1, high=9, fixed=True),
        NodeParameter("even", 2, "Only even numbers will do."),
        NodeParameter("broken", False, "Fail to configure."),
    )

    def configure(self):
        if self.value("broken"):
            raise Face3DMMError("it is broken, mend it")
        self.output = self.create_output(Header, "echo", result_qos(10))
        self.create_input(Header, "call", self.on_call, result_qos(10))
        self.create_input(Header, "camera", self.on_call, result_qos(10), stream=True)

    def apply_parameters(self, values):
        if values["even"] % 2:
            raise Face3DMMError(f"even must be even, not {values['even']}")
        1 / values["even"]

    def on_call(self, message):
        if message.frame_id == "poison":
            raise ZeroDivisionError("poisoned")
        if message.frame_id == "nonsense":
            raise Face3DMMError("this is nonsense")
        self.output.publish(message)
        self.answered(message, 0)


def state(node):
    return node._state_machine.current_state[1]


def latest_status(spun, node="echo_node"):
    """The next status that a node reports."""
    spun.received["/diagnostics"].clear()
    if not spun.node.count_subscribers("/diagnostics"):
        spun.listen(DiagnosticArray, "/diagnostics")

    def of_node():
        return [m.status[0] for m in spun.received["/diagnostics"] if m.status[0].name == f"{node}: images"]

    spun.spin_until(of_node, f"a status of {node}")
    return of_node()[-1]


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
    "node_class",
    [AvatarNode, FitterNode, HriNode, LandmarkNode, PageNode, RendererNode, ReplayNode, VideoSourceNode, ViewerNode],
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


def ask(spun, service_type, service, request):
    """What a service answers to a client of its own."""
    client = spun.node.create_client(service_type, service)
    spun.spin_until(client.service_is_ready, service)
    future = client.call_async(request)
    spun.spin_until(future.done, f"{service} to answer")
    return future.result()


@pytest.mark.parametrize(
    "wanted",
    [
        Transition(id=Transition.TRANSITION_CONFIGURE),
        Transition(id=Transition.TRANSITION_ACTIVATE),
        Transition(id=Transition.TRANSITION_CLEANUP),
        Transition(id=Transition.TRANSITION_UNCONFIGURED_SHUTDOWN),
        Transition(id=77),
        Transition(id=255),
        Transition(label="configure"),
        Transition(label="nonsense"),
    ],
    ids=lambda wanted: wanted.label or str(wanted.id),
)
def test_an_active_node_refuses_what_its_state_does_not_allow_and_goes_on_working(spun, wanted):
    spun.start(EchoNode)
    publisher = connect(spun)
    assert not ask(spun, ChangeState, "/echo_node/change_state", ChangeState.Request(transition=wanted)).success
    assert ask(spun, GetState, "/echo_node/get_state", GetState.Request()).current_state.label == "active"
    publisher.publish(Header(frame_id="still there"))
    spun.spin_until(lambda: spun.received["echo"])


def test_of_two_requests_at_once_the_first_is_granted_and_the_second_refused(spun):
    node = spun.start(EchoNode)
    spun.spin_until(lambda: state(node) == "active")
    client = spun.node.create_client(ChangeState, "/echo_node/change_state")
    spun.spin_until(client.service_is_ready)
    request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_DEACTIVATE))
    both = [client.call_async(request) for _ in range(2)]
    spun.spin_until(lambda: all(future.done() for future in both))
    assert sorted(future.result().success for future in both) == [False, True]
    assert state(node) == "inactive"


def test_a_node_that_is_switched_off_stays_active_and_listens_to_nothing_until_it_is_switched_on(spun):
    node = spun.start(EchoNode)
    publisher = connect(spun)
    for _ in range(2):
        answer = ask(spun, SetBool, "/echo_node/enabled", SetBool.Request(data=False))
        assert (answer.success, answer.message) == (True, "off")
    assert state(node) == "active"
    spun.spin_until(lambda: publisher.get_subscription_count() == 0, "the node to unsubscribe")
    status = latest_status(spun)
    assert (status.level, status.message) == (DiagnosticStatus.OK, "active, switched off")
    for _ in range(2):
        answer = ask(spun, SetBool, "/echo_node/enabled", SetBool.Request(data=True))
        assert (answer.success, answer.message) == (True, "on")
    spun.spin_until(lambda: publisher.get_subscription_count() == 1, "the node to subscribe")
    publisher.publish(Header(frame_id="on again"))
    spun.spin_until(lambda: spun.received["echo"])


def test_a_node_that_was_switched_off_before_it_was_activated_works_once_it_is_switched_on(spun):
    node = spun.start(EchoNode, autostart=False)
    ask(spun, SetBool, "/echo_node/enabled", SetBool.Request(data=False))
    node.trigger_configure()
    node.trigger_activate()
    assert state(node) == "active"
    assert spun.node.count_subscribers("/call") == 0
    assert ask(spun, SetBool, "/echo_node/enabled", SetBool.Request(data=True)).success
    publisher = connect(spun)
    publisher.publish(Header(frame_id="on"))
    spun.spin_until(lambda: spun.received["echo"])


def test_a_source_that_is_switched_off_sends_no_images(spun, tmp_path):
    picture = str(tmp_path / "picture.png")
    cv2.imwrite(picture, np.zeros((24, 32, 3), np.uint8))
    node = spun.start(VideoSourceNode, source=picture, fps=50.0)
    spun.spin_until(lambda: node.activity.answered > 2)
    ask(spun, SetBool, "/video_source_node/enabled", SetBool.Request(data=False))
    count = node.activity.answered
    spun.spin_for(0.3)
    assert node.activity.answered == count
    ask(spun, SetBool, "/video_source_node/enabled", SetBool.Request(data=True))
    spun.spin_until(lambda: node.activity.answered > count)


def test_what_is_fixed_while_a_node_is_configured_can_change_while_it_is_not(spun):
    node = spun.start(EchoNode, autostart=False)
    for trigger, allowed in ((None, True), (node.trigger_configure, False), (node.trigger_cleanup, True)):
        if trigger:
            trigger()
        value = node.value("size") % 9 + 1
        result = node.set_parameters([Parameter("size", value=value)])[0]
        assert result.successful == allowed
        assert (node.value("size") == value) == allowed
    assert not node.set_parameters([Parameter("autostart", value=True)])[0].successful


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


def test_a_node_says_at_its_start_what_it_listens_to_and_publishes(spun, capfd):
    node = spun.add(EchoNode(context=spun.context, namespace="robot", cli_args=["--ros-args", "-r", "call:=/ask"]))
    spun.spin_until(lambda: state(node) == "active")
    assert "[robot.echo_node]: listens to /ask, /robot/camera; publishes /robot/echo\n" in capfd.readouterr().err


def test_a_stream_from_which_nothing_comes_is_told_by_its_name_with_its_publishers(spun, monkeypatch):
    monkeypatch.setattr(endpoints, "_SILENCE", math.inf)  # however slowly this machine starts a node
    node = spun.add(EchoNode(context=spun.context, cli_args=["--ros-args", "-r", "camera:=/usb/image"]))
    spun.spin_until(lambda: state(node) == "active")
    assert latest_status(spun).level == DiagnosticStatus.OK
    monkeypatch.setattr(endpoints, "_SILENCE", 1.0)
    spun.spin_for(1.0)
    status = latest_status(spun)
    assert status.level == DiagnosticStatus.WARN
    assert re.fullmatch(r"no Header on /usb/image for \d+ s: it has no publisher", status.message), status.message
    camera = spun.node.create_publisher(Header, "/usb/image", result_qos(10))
    spun.spin_until(lambda: camera.get_subscription_count() == 1)
    spun.spin_until(lambda: latest_status(spun).message.endswith("it has 1 publisher"))
    monkeypatch.setattr(endpoints, "_SILENCE", 5.0)
    camera.publish(Header())
    spun.spin_until(lambda: spun.received["/diagnostics"] and latest_status(spun).level == DiagnosticStatus.OK)
    monkeypatch.setattr(endpoints, "_SILENCE", 1.0)
    node.trigger_deactivate()
    node.activity.waiting = "a camera"
    spun.spin_for(1.2)
    status = latest_status(spun)
    assert (status.level, status.message) == (DiagnosticStatus.OK, "inactive")


def test_answers_that_come_late_are_told(spun):
    node = spun.start(EchoNode)
    publisher = connect(spun)
    now = spun.node.get_clock().now().nanoseconds
    for age_s, late in ((0.0, False), (2.0, True), (86_400.0, False)):  # the last one was recorded
        sent = Header()
        sent.stamp.sec, sent.stamp.nanosec = divmod(now - int(1e9 * age_s), 10**9)
        node.report_status()
        publisher.publish(sent)
        answered = node.activity.answered
        spun.spin_until(lambda answered=answered: node.activity.answered > answered)
        assert ("it falls behind: answers are" in node.activity.status("echo_node", {}).message) == late


def test_stamps_of_whole_seconds_make_no_answer_late(spun):
    node = spun.start(EchoNode)
    spun.spin_until(lambda: state(node) == "active")
    now = spun.node.get_clock().now().to_msg()
    node.answered(Header(stamp=now), 0)
    time.sleep(0.3)
    for _ in range(9):
        node.answered(Header(stamp=now), 0)
    assert len(node.activity.latency_ms) == 1
    assert node.activity.status("echo_node", {}).level == DiagnosticStatus.OK


def test_stamps_that_are_no_time_are_told_in_the_log_once_and_in_the_status(spun, capfd):
    node = spun.start(EchoNode)
    spun.spin_until(lambda: state(node) == "active")
    for _ in range(3):
        node.time_of(Header())
    told = "an image's stamp is zero: when images come is taken for their time"
    status = latest_status(spun)
    assert (status.level, status.message) == (DiagnosticStatus.WARN, told)
    assert {pair.key: pair.value for pair in status.values}["stamps"] == told
    assert capfd.readouterr().err.count(told) == 1


def test_a_status_names_the_hardware(spun, tmp_path):
    picture = str(tmp_path / "picture.png")
    cv2.imwrite(picture, np.zeros((24, 32, 3), np.uint8))
    spun.start(EchoNode)
    spun.start(VideoSourceNode, source=picture).trigger_configure()
    assert latest_status(spun).hardware_id == socket.gethostname()
    assert "picture.png" in latest_status(spun, "video_source_node").hardware_id


def test_under_simulated_time_without_a_clock_a_node_starts_all_the_same_and_says_so(spun, monkeypatch):
    monkeypatch.setattr(lifecycle_node, "_DISCOVERY", 0.0)
    node = spun.start(EchoNode, use_sim_time=True)
    spun.spin_until(lambda: state(node) == "active")
    status = latest_status(spun)
    assert (status.level, status.message) == (
        DiagnosticStatus.WARN,
        "use_sim_time is set, and nobody publishes on /clock",
    )


def test_a_simulated_clock_may_begin_at_zero_and_jump_back(spun):
    node = spun.start(EchoNode, use_sim_time=True)
    publisher = connect(spun)
    clock = spun.node.create_publisher(Clock, "/clock", 10)
    spun.spin_until(lambda: clock.get_subscription_count() == 1)
    times = []
    for count, second in enumerate((0, 1, 2, 0, 1), 1):
        message = Header()
        message.stamp.sec = second
        clock.publish(Clock(clock=message.stamp))
        spun.spin_for(0.1)
        publisher.publish(message)
        spun.spin_until(lambda count=count: len(spun.received["echo"]) == count)
        assert spun.received["echo"][-1] == message
        times.append(node.time_of(message))
    assert times == sorted(set(times))
    status = latest_status(spun)
    assert (status.level, status.message) == (
        DiagnosticStatus.WARN,
        "an image's stamp is zero: when images come is taken for their time",
    )


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


@pytest.mark.parametrize(("given", "text"), [(0, "0"), (True, "true"), ("007", "007"), (1.5, "1.5")])
def test_a_text_is_one_also_where_yaml_makes_a_number_or_truth_value_of_it(spun, given, text):
    node = spun.start(EchoNode, text=given)
    assert node.value("text") == text
    assert node.set_parameters([Parameter("text", value=given)])[0].successful
    assert node.values()["text"] == text


def test_a_list_is_no_text(spun):
    node = spun.start(EchoNode)
    result = node.set_parameters([Parameter("text", value=[1, 2])])[0]
    assert not result.successful
    assert "text is a text, not" in result.reason


def test_a_text_that_is_longer_than_any_of_use_is_refused_unread(spun):
    node = spun.start(EchoNode)
    result = node.set_parameters([Parameter("text", value="x" * 10_001)])[0]
    assert not result.successful
    assert result.reason == "text has 10001 characters: no more than 10000 are taken"


class _Interrupted(dict):
    """Gets a new entry whenever anybody goes through it: as of another thread that has its turn then."""

    def items(self):
        for entry in super().items():
            self[f"another {len(self)}"] = next(iter(self.values()))
            yield entry

    def copy(self):
        return dict(super().items())


@pytest.mark.parametrize("what", ["received", "published", "lost", "stage_ms"])
def test_a_status_can_be_told_while_another_thread_counts(what):
    activity = Activity()
    setattr(activity, what, _Interrupted(camera=[1.0] if what == "stage_ms" else 1))
    keys = {pair.key for pair in activity.status("node", {}).values}
    assert f"{what}/camera" in keys


def given(name, type_number, **value):
    return ParameterMessage(name=name, value=ParameterValue(type=type_number, **value))


@pytest.mark.parametrize("unknown", [10, 77, 255])
def test_a_parameter_of_a_type_that_there_is_not_is_refused_and_the_node_goes_on(spun, unknown, capfd):
    node = spun.start(EchoNode)
    spun.spin_until(lambda: state(node) == "active")
    wanted = [given("gain", 3, double_value=0.25), given("gain", unknown), given("text", 4, string_value="new")]
    answer = ask(spun, SetParameters, "/echo_node/set_parameters", SetParameters.Request(parameters=wanted))
    assert [result.successful for result in answer.results] == [True, False, True]
    assert f"{unknown} is not a valid Parameter.Type" in answer.results[1].reason
    assert (node.value("gain"), node.value("text")) == (0.25, "new")
    wanted[0].value.double_value = 0.75
    request = SetParametersAtomically.Request(parameters=wanted)
    answer = ask(spun, SetParametersAtomically, "/echo_node/set_parameters_atomically", request)
    assert not answer.result.successful
    assert f"{unknown} is not a valid Parameter.Type" in answer.result.reason
    assert node.value("gain") == 0.25
    assert node.activity.skipped == 2
    assert "a request to " in node.activity.skip_reason
    assert "Traceback" in capfd.readouterr().err


def test_a_message_on_which_a_node_fails_is_told_with_where_and_the_node_goes_on(spun, capfd):
    node = spun.start(EchoNode)
    publisher = connect(spun)
    for name in ("poison", "nonsense", "hello"):
        publisher.publish(Header(frame_id=name))
    spun.spin_until(lambda: spun.received["echo"])
    assert [message.frame_id for message in spun.received["echo"]] == ["hello"]
    assert node.activity.skipped == 2
    said = capfd.readouterr().err
    assert "/call: failed, and the node goes on" in said
    assert "in on_call" in said


def test_a_failure_is_a_warning_on_diagnostics(spun):
    spun.start(EchoNode)
    publisher = connect(spun)
    publisher.publish(Header(frame_id="poison"))
    spun.listen(DiagnosticArray, "/diagnostics")
    expected = "1 messages lost, skipped or dropped: /call: ZeroDivisionError: poisoned"
    spun.spin_until(lambda: expected in [m.status[0].message for m in spun.received["/diagnostics"]])


def test_a_timer_and_a_service_that_fail_leave_the_node_alone(spun):
    node = spun.start(EchoNode)

    def fail(*_):
        raise KeyError("lost")

    node.create_timer(0.01, fail)
    node.create_service(Trigger, "~/fail", fail)
    spun.spin_until(lambda: node.activity.skipped > 1)
    assert node.activity.skip_reason == "the timer of fail: KeyError: 'lost'"
    answer = ask(spun, Trigger, "/echo_node/fail", Trigger.Request())
    assert (answer.success, answer.message) == (False, "KeyError: 'lost'")


def test_empty_ones_of_several_texts_are_left_out(spun):
    node = spun.start(EchoNode, texts=["one", "", "another"])
    assert node.value("texts") == ["one", "another"]


def test_a_text_among_several_that_is_too_long_is_refused(spun):
    node = spun.start(EchoNode)
    result = node.set_parameters([Parameter("texts", value=["one", "x" * 10_001])])[0]
    assert not result.successful
    assert "texts has a text of more than 10000 characters" in result.reason


def test_a_parameter_on_which_a_node_fails_is_refused_with_the_reason(spun):
    node = spun.start(EchoNode)
    spun.spin_until(lambda: state(node) == "active")
    result = node.set_parameters([Parameter("even", value=0)])[0]
    assert (result.successful, result.reason) == (False, "ZeroDivisionError: division by zero")
    assert node.value("even") == 2


def test_a_node_that_fails_to_pause_says_so_and_can_be_configured_again(spun, capfd, monkeypatch):
    def fail(_):
        raise RuntimeError("stuck")

    monkeypatch.setattr(EchoNode, "deactivate", fail)
    node = spun.start(EchoNode)
    spun.spin_until(lambda: state(node) == "active")
    node.trigger_deactivate()
    assert "cannot deactivate: " in capfd.readouterr().err
    assert state(node) == "unconfigured"
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS

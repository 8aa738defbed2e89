"""The monitor of a live run: whatever anybody sends, the run goes on and stays small."""

import json

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("face3dmm_ros.msg", reason="needs the package's own messages: colcon build")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from lifecycle_msgs.msg import Transition
from rclpy.serialization import serialize_message
from std_msgs.msg import Header

from face3dmm_ros.cli import live
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.live import monitor_node
from face3dmm_ros.live.monitor_node import MonitorNode
from face3dmm_ros.live.recorded_topics import RecordedTopics
from face3dmm_ros.live.recording import Topic
from face3dmm_ros.live.session import Progress
from face3dmm_ros.msg import Face3DMMParams, Face3DMMParamsArray
from face3dmm_ros.nodes.diagnostics import Statuses, number
from face3dmm_ros.nodes.guard import for_people
from face3dmm_ros.nodes.qos import image_output_qos, result_qos
from face3dmm_ros.nodes.steady_executor import SteadyExecutor

FITTER = "fitter_node"
OVERLAY, PARAMETERS = "/face/overlay", "/face/params"


def status(message="", level=DiagnosticStatus.OK, **values):
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    return DiagnosticStatus(name=f"{FITTER}: images", message=message, level=level, values=pairs)


@pytest.fixture
def monitor(spun):
    """A monitor that watches overlays and parameters, spun as a run does."""
    spun.executor.shutdown()
    spun.executor = SteadyExecutor(context=spun.context)
    spun.executor.add_node(spun.node)
    watching = spun.add(MonitorNode([FITTER], source="video_source_node", context=spun.context))
    overlays = Topic(OVERLAY, "sensor_msgs/msg/Image", image_output_qos())
    watching.watch([overlays, Topic(PARAMETERS, "face3dmm_ros/msg/Face3DMMParamsArray", result_qos(300))], None)
    return watching


@pytest.fixture
def publish(spun, monitor):
    """Publishes messages, or their bytes, on a topic that the monitor listens to."""

    def send(kind, topic, qos, *messages):
        publisher = spun.node.create_publisher(kind, topic, qos)
        spun.spin_until(publisher.get_subscription_count, "the monitor")
        for message in messages:
            publisher.publish(message)

    return send


HOSTILE = (b"", b"\0", b"\0\1\0\0", b"\0\1\0\0" + b"\xff" * 50, b"\xff" * 9)


def test_bytes_that_are_no_diagnostics_do_not_end_the_monitor(spun, monitor, publish):
    good = serialize_message(DiagnosticArray(status=[status(answered="7")]))
    publish(DiagnosticArray, "/diagnostics", result_qos(300), *HOSTILE, good)
    spun.spin_until(lambda: monitor.statuses.count(FITTER, "answered") == 7)
    assert "/diagnostics" in monitor.problems["live_monitor"]


def test_bytes_that_are_no_overlays_do_not_end_the_monitor(spun, monitor, publish):
    from sensor_msgs.msg import Image

    publish(Image, OVERLAY, image_output_qos(), *HOSTILE, serialize_message(Image()))
    spun.spin_until(lambda: monitor.latencies.count and OVERLAY in monitor.problems.get("live_monitor", ""))


def test_bytes_that_are_no_parameters_do_not_end_the_counting_of_faces(spun, monitor, publish):
    good = serialize_message(Face3DMMParamsArray(faces=[Face3DMMParams()] * 2))
    publish(Face3DMMParamsArray, PARAMETERS, result_qos(300), *HOSTILE, good)
    spun.spin_until(lambda: monitor.faces == 2)
    assert PARAMETERS in monitor.problems["live_monitor"]


def test_a_topic_whose_messages_cannot_be_taken_keeps_no_others_from_being_fetched(spun):
    topics = [Topic(name, "std_msgs/msg/Header", result_qos(300)) for name in ("/bad", "/good")]
    written, told = [], []

    def write(topic, time_ns, message):
        if topic == "/bad":
            raise ValueError("no such message")
        written.append(topic)

    with RecordedTopics([(topic, Header) for topic in topics], write, lambda *error: told.append(error[0]),
                        context=spun.context):  # fmt: skip
        publishers = [spun.node.create_publisher(Header, topic.name, topic.qos) for topic in topics]
        spun.spin_until(lambda: all(publisher.get_subscription_count() for publisher in publishers))
        for publisher in publishers:
            publisher.publish(Header())
        spun.spin_until(lambda: written and told)
    assert (written, told) == (["/good"], ["/bad"])


def test_diagnostics_of_more_bytes_than_nodes_send_are_not_looked_at(monitor):
    many = DiagnosticArray(status=[status(answered="1")] * 30_000)
    message = serialize_message(many)
    assert len(message) > monitor_node._MOST_BYTES
    monitor._guarded("/diagnostics", monitor._on_diagnostics)(message)
    assert not monitor.statuses
    assert f"it has {len(message)} bytes" in monitor.problems["live_monitor"]


def test_of_a_status_no_more_is_kept_than_a_node_reports(monitor):
    values = {f"key {k}": "9" * 50_000 if k == 0 else "1" for k in range(5000)}
    crowded = status("x" * 100_000, DiagnosticStatus.ERROR, **values)
    monitor._on_diagnostics(serialize_message(DiagnosticArray(status=[crowded])))
    kept = monitor.statuses[FITTER]
    assert len(kept) == monitor_node._MOST_KEYS
    assert max(map(len, kept.values())) == monitor_node._LONGEST_VALUE + 1
    assert len(monitor.problems[FITTER]) < 1000


def test_statuses_of_nodes_that_are_not_watched_leave_nothing(monitor):
    strangers = [DiagnosticStatus(name=f"node {k}: images", level=DiagnosticStatus.ERROR) for k in range(5000)]
    monitor._on_diagnostics(serialize_message(DiagnosticArray(status=strangers)))
    assert not monitor.statuses
    assert not monitor.problems


@pytest.mark.parametrize("value", ["", "many", "nan", "inf", "1e400", "9" * 5000, "-" + "9" * 4000])
def test_values_that_are_no_numbers_are_not_summed_up(value):
    assert number(value) is None or json.dumps(number(value), allow_nan=False)
    statuses = Statuses()
    for _ in range(2):
        statuses.take(DiagnosticArray(status=[status(answered="9" * 4300)]))
        statuses.take(DiagnosticArray(status=[status(answered=value)]))
    assert json.dumps(statuses.count(FITTER, "answered"))


def test_what_somebody_sent_does_not_move_the_cursor_of_a_terminal():
    assert for_people("\x1b[2Jgone\nBuy") == "\N{REPLACEMENT CHARACTER}[2Jgone\N{REPLACEMENT CHARACTER}Buy"
    assert for_people("é 😀 日本") == "é 😀 日本"


def test_problems_that_change_all_the_time_are_not_all_remembered(monkeypatch, capsys):
    class Session:
        told = 0
        has_avatar = False
        calibrated = ""

        def check(self):
            return []

        def progress(self):
            self.told += 1
            return Progress(0, None, 0, (f"problem {self.told % 3}",) if self.told < 9 else (f"other {self.told}",))

    class Interrupted:
        left = 20

        def is_set(self):
            return not self.left

        def wait(self, seconds):
            self.left -= 1

    monkeypatch.setattr(live, "_REMEMBERED", 5)
    live._watch(Session(), None, Interrupted(), calibrate=False)
    said = capsys.readouterr().err
    assert [said.count(f"problem {k}") for k in range(3)] == [1, 1, 1]
    assert said.count("other") == 12


def test_an_executor_whose_making_was_interrupted_goes_without_a_word(monkeypatch):
    complaints = []
    monkeypatch.setattr("sys.unraisablehook", complaints.append)
    half_made = SteadyExecutor.__new__(SteadyExecutor)
    del half_made
    assert complaints == []


def test_a_source_that_ended_is_not_waited_for(spun, monitor, monkeypatch):
    monkeypatch.setattr(monitor_node, "_ANSWER_TIMEOUT", 0.05)

    def ended():
        raise Face3DMMError("composition ended")

    with pytest.raises(Face3DMMError, match="composition ended"):
        monitor.change_state(Transition.TRANSITION_CONFIGURE, ended)

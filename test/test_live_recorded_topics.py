"""Topics whose messages are fetched without an executor: all of them come, with the time when they did."""

import time

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header

from face3dmm_ros.live import recorded_topics
from face3dmm_ros.live.recorded_topics import RecordedTopics
from face3dmm_ros.live.recording import Topic
from face3dmm_ros.nodes.qos import result_qos

TOPICS = [Topic(name, "std_msgs/msg/Header", result_qos(300)) for name in ("/one", "/other")]


@pytest.fixture
def recorded(spun):
    """A publisher of each of two topics, what is written of them, and the subscriptions."""
    written = []
    publishers = [spun.node.create_publisher(Header, topic.name, topic.qos) for topic in TOPICS]
    taken = RecordedTopics(
        [(topic, Header) for topic in TOPICS], lambda *message: written.append(message), context=spun.context
    )
    spun.spin_until(lambda: all(publisher.get_subscription_count() for publisher in publishers))
    return publishers, written, taken


def test_every_message_comes_in_its_order_without_anybody_spinning(recorded):
    publishers, written, taken = recorded
    for number in range(100):
        for publisher in publishers:
            publisher.publish(Header(frame_id=str(number)))
    deadline = time.monotonic() + 10.0
    while len(written) < 200 and time.monotonic() < deadline:
        time.sleep(0.05)
    taken.close()
    for name in ("/one", "/other"):
        came = [deserialize_message(message, Header).frame_id for topic, _, message in written if topic == name]
        assert came == [str(number) for number in range(100)]


def test_a_message_bears_the_time_when_it_came_and_not_when_it_was_fetched(spun, monkeypatch, recorded):
    publishers, written, taken = recorded
    taken.close()
    monkeypatch.setattr(recorded_topics, "_PERIOD", 60.0)
    late = RecordedTopics([(TOPICS[0], Header)], lambda *message: written.append(message), context=spun.context)
    while not publishers[0].get_subscription_count():
        time.sleep(0.01)
    before = time.time_ns()
    publishers[0].publish(Header())
    time.sleep(1.0)
    assert not written
    late.close()
    ((_, came, message),) = written
    assert before <= came <= before + 500_000_000
    assert message == serialize_message(Header())


def test_what_has_come_before_the_end_is_written(recorded):
    publishers, written, taken = recorded
    publishers[1].publish(Header(frame_id="last"))
    time.sleep(0.1)
    taken.close()
    assert len(written) == 1

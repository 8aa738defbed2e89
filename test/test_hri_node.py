"""What ROS4HRI's tools get to know of faces, by its real messages."""

import re

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("face3dmm_ros.msg", reason="needs the package's own messages: colcon build")

from located_faces import located
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Bool, Header

from face3dmm_ros.avatar.weights.facs import ACTION_UNITS, UNIT_COUNT
from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.rotations import FRONTAL, rotation_from_vector
from face3dmm_ros.core.values import Box, FaceParameters, Landmarks, TrackedLandmarks
from face3dmm_ros.msg import Face3DMMParamsArray, FaceLandmarksArray
from face3dmm_ros.nodes import hri_node
from face3dmm_ros.nodes.conversions import landmarks_to_message, parameters_to_message
from face3dmm_ros.nodes.hri_node import HriNode, longest_lost
from face3dmm_ros.nodes.images import PlainConversion
from face3dmm_ros.nodes.qos import result_qos

PLAIN = PlainConversion()
SIZE = (320, 240)
A, B = 5, 2**32 - 2
PLACES = {A: 90.0, B: 230.0}


@pytest.fixture
def hri():
    return pytest.importorskip(
        "hri_msgs.msg", reason="needs hri_msgs, which no PyPI wheel carries: apt-get install ros-$ROS_DISTRO-hri-msgs"
    )


class Faces:
    """A node, what it listens to, and what it says."""

    def __init__(self, spun, model, hri, **parameters):
        self.spun, self.model = spun, model
        spun.listen(hri.IdsList, "/humans/faces/tracked")
        spun.listen(hri.Gaze, "/humans/interactions/gazing")
        self.node = spun.start(HriNode, **parameters)
        publish = spun.node.create_publisher
        self.landmarks = publish(FaceLandmarksArray, "/face/landmarks", result_qos(10))
        self.parameters = publish(Face3DMMParamsArray, "/face/params", result_qos(10))
        self.images = publish(Image, "/camera/image_raw", result_qos(10))
        spun.spin_until(lambda: self.node._active, "the node to start", timeout=60.0)
        spun.spin_until(
            lambda: (
                all(output.subscribers for output in self.node._outputs)
                and self.landmarks.get_subscription_count()
                and self.parameters.get_subscription_count()
            ),
            "all to connect",
        )
        spun.spin_for(0.1)
        self.second = 100

    def listen(self, kinds, *face_ids):
        """Subscribe to topics of faces, which must be there."""
        for face_id in face_ids:
            for what, kind in kinds.items():
                topic = f"/humans/faces/f{face_id}/{what}"
                self.spun.spin_until(lambda topic=topic: self.spun.node.count_publishers(topic) == 1, topic)
                self.spun.listen(kind, topic)
        outputs = [self.node._faces[face_id].outputs[what] for face_id in face_ids for what in kinds]
        self.spun.spin_until(lambda: all(output.subscribers for output in outputs), "all to connect")

    def camera(self, face_id, turn):
        return WeakPerspective(
            0.6, rotation_from_vector([0.0, np.radians(turn), 0.0]) @ FRONTAL, np.array([PLACES[face_id], 120.0])
        )

    def points(self, face_id, turn=0.0):
        points = self.model.landmarks["ibug68"].interpolate(self.model.mean)
        return self.camera(face_id, turn).project(points).astype(np.float32)

    def fitted(self, face_id, turn, weights):
        beta = np.zeros(self.model.expression_count)
        for name, weight in weights.items():
            beta[self.model.expression_names.index(name)] = weight
        camera, model = self.camera(face_id, turn), self.model
        gaze = np.array(model.gaze(camera.rotation, beta))
        none = np.zeros(model.shape_count)
        return FaceParameters(camera, none, beta, model.name, model.digest, "joint", 1.0, 0.5, SIZE, gaze=gaze)

    def show(self, *face_ids, turn=0.0, image=None, seconds=1, digest="", **weights):
        """An image with some faces; returns its header once the node has said which it tracks."""
        self.second += seconds
        header = Header(frame_id="some_camera")
        header.stamp.sec, header.stamp.nanosec = self.second, 7
        if image is not None:
            self.images.publish(PLAIN.cv2_to_imgmsg(image, header))
        seen = [
            TrackedLandmarks(face_id, Landmarks("ibug68", self.points(face_id, turn), Box(0, 0, *SIZE), 0.75, SIZE))
            for face_id in face_ids
        ]
        self.landmarks.publish(landmarks_to_message(header, SIZE, seen))
        tracked = self.spun.received["/humans/faces/tracked"]
        self.spun.spin_until(lambda: tracked and tracked[-1].header == header, "the ids")
        found = [located(self.model, self.fitted(face_id, turn, weights), face_id) for face_id in face_ids]
        message = parameters_to_message(header, SIZE, self.model, "joint", found)
        message.model_digest = digest or message.model_digest
        self.parameters.publish(message)
        self.spun.spin_for(0.2)
        return header

    def last(self, face_id, what):
        return self.spun.received[f"/humans/faces/f{face_id}/{what}"][-1]


@pytest.fixture
def faces(spun, default_model, hri):
    return Faces(spun, default_model, hri)


def test_each_image_tells_which_faces_are_tracked_by_its_own_header(faces):
    headers = [faces.show(), faces.show(A), faces.show(A, B), faces.show(B), faces.show()]
    tracked = faces.spun.received["/humans/faces/tracked"]
    assert [message.header for message in tracked] == headers
    assert [list(message.ids) for message in tracked] == [[], [f"f{A}"], [f"f{A}", f"f{B}"], [f"f{B}"], []]


def test_each_face_has_its_region_and_its_70_landmarks(faces, hri):
    faces.show(A, B)
    faces.listen({"roi": hri.NormalizedRegionOfInterest2D, "landmarks": hri.FacialLandmarks}, A, B)
    header = faces.show(A, B)
    for face_id in (A, B):
        shares = (faces.points(face_id) + 0.5) / SIZE
        roi, found = faces.last(face_id, "roi"), faces.last(face_id, "landmarks")
        assert roi.header == found.header == header
        sides = [*shares.min(axis=0), *shares.max(axis=0), 0.75]
        np.testing.assert_allclose([roi.xmin, roi.ymin, roi.xmax, roi.ymax, roi.c], sides, atol=1e-5)
        assert (found.width, found.height) == SIZE
        np.testing.assert_allclose([(p.x, p.y) for p in found.landmarks[:68]], shares, atol=1e-5)
        assert [p.c for p in found.landmarks] == [0.75] * 68 + [0.0] * 2
        # By the message's own names, left and right are the person's.
        assert found.landmarks[hri.FacialLandmarks.LEFT_EYE_OUTSIDE].x > found.landmarks[hri.FacialLandmarks.NOSE].x
        assert found.landmarks[hri.FacialLandmarks.MENTON].y == max(p.y for p in found.landmarks)


def test_each_face_has_its_pictures_of_the_very_image(faces):
    faces.show(A, B)
    faces.listen({"cropped": Image, "aligned": Image}, A, B)
    faces.show(A, B)  # From here on images are wanted.
    faces.spun.spin_until(faces.images.get_subscription_count, "the node to take images")
    faces.spun.spin_for(0.1)
    for brightness in (60, 120):
        image = np.full((240, 320, 3), brightness, np.uint8)
        image[:, 160:] += 100
        header = faces.show(A, B, image=image)
        for face_id, expected in ((A, brightness), (B, brightness + 100)):
            for what in ("cropped", "aligned"):
                message = faces.last(face_id, what)
                picture = PLAIN.imgmsg_to_cv2(message)
                assert message.header == header
                assert picture.shape == (128, 128, 3)
                assert abs(int(picture[64, 64, 0]) - expected) <= 1


def test_images_are_taken_only_while_a_picture_of_a_face_is_wanted(faces):
    faces.show(A)
    assert faces.images.get_subscription_count() == 0
    subscription = faces.spun.node.create_subscription(Image, f"/humans/faces/f{A}/cropped", lambda _: None, 1)
    faces.spun.spin_until(lambda: faces.node._faces[A].wanted("cropped"))
    faces.show(A)
    faces.spun.spin_until(faces.images.get_subscription_count, "the node to take images")
    faces.spun.node.destroy_subscription(subscription)
    faces.spun.spin_until(lambda: not faces.node._faces[A].wanted("cropped"))
    faces.show(A)
    faces.spun.spin_until(lambda: not faces.images.get_subscription_count(), "the node to let images go")


def test_the_codes_of_action_units_are_those_of_the_message(hri):
    message = hri.FacialActionUnits
    assert {code: getattr(message, unit.name) for code, unit in ACTION_UNITS.items()} == {c: c for c in ACTION_UNITS}
    assert len(message().intensity) == UNIT_COUNT


def test_each_face_has_its_action_units(faces, hri):
    faces.show(A)
    faces.listen({"facs": hri.FacialActionUnits}, A)
    header = faces.show(A, jawOpen=0.5, mouthSmileLeft=0.25, mouthSmileRight=0.75)
    message = faces.last(A, "facs")
    assert message.header == header
    intensities = {code: float(message.intensity[code]) for code in np.flatnonzero(message.intensity)}
    assert intensities == {hri.FacialActionUnits.JAW_DROP: 0.5, hri.FacialActionUnits.LIP_CORNER_PULLER: 0.5}
    assert set(np.flatnonzero(message.confidence)) == set(ACTION_UNITS)
    assert message.confidence[hri.FacialActionUnits.JAW_DROP] == 0.5


def test_a_face_that_looks_at_the_camera_is_told_until_it_looks_away(faces):
    faces.show(A)
    faces.listen({"mutual_gaze": Bool}, A)
    turns = (30.0, 8.0, 13.0, 30.0)
    headers = [faces.show(A, turn=turn) for turn in turns]
    told = [message.data for message in faces.spun.received[f"/humans/faces/f{A}/mutual_gaze"]]
    assert told == [False, True, True, False]
    gazing = [message for message in faces.spun.received["/humans/interactions/gazing"] if message.header in headers]
    assert [message.header for message in gazing] == headers[1:3]
    assert {(message.sender, message.receiver) for message in gazing} == {(f"f{A}", "")}


def topics_of(spun, face_id):
    return {name for name, _ in spun.node.get_topic_names_and_types() if name.startswith(f"/humans/faces/f{face_id}/")}


def test_a_faces_topics_come_with_it_and_go_some_time_after_it_is_lost(spun, default_model, hri):
    faces = Faces(spun, default_model, hri, lost_seconds=3.0)
    assert not topics_of(spun, A)
    faces.show(A, B)
    spun.spin_until(lambda: len(topics_of(spun, A)) == len(topics_of(spun, B)) == 6)
    faces.show(B, seconds=3)
    spun.spin_for(0.2)
    assert topics_of(spun, A)
    faces.show(B)
    spun.spin_until(lambda: not topics_of(spun, A), "the lost face's topics to go")
    assert topics_of(spun, B)
    assert not [topic for topic in faces.node.activity.published if f"/f{A}/" in topic]


def test_nothing_is_computed_that_nobody_wants(faces, monkeypatch):
    def fail(*_):
        raise AssertionError("computed in vain")

    for name in ("face_region", "facial_landmarks", "cropped_face", "aligned_face", "action_units"):
        monkeypatch.setattr(hri_node, name, fail)
    faces.show(A)
    faces.show(A)


def test_parameters_of_another_model_are_reported_and_the_others_go_on(faces, hri):
    faces.show(A)
    faces.listen({"facs": hri.FacialActionUnits}, A)
    faces.show(A, digest="0" * 64)
    assert faces.node.activity.skipped == 1
    faces.show(A)
    assert len(faces.spun.received[f"/humans/faces/f{A}/facs"]) == 1


def test_of_too_many_faces_those_that_were_lost_longest_are_forgotten():
    seen = {1: 3.0, 2: 1.0, 3: 2.0, 4: 4.0}
    assert longest_lost(seen, {4, 5}, 5) == []
    assert longest_lost(seen, {4, 5}, 3) == [2, 3]
    assert longest_lost(seen, {2, 5}, 3) == [3, 1]
    assert longest_lost(seen, {5, 6, 7}, 2) == [2, 3, 1, 4]


def test_without_hri_msgs_the_node_refuses_with_what_to_do(spun, monkeypatch):
    monkeypatch.setattr(hri_node, "hri", None)
    node = spun.start(HriNode, autostart=False)
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert "ROS4HRI's messages were not found: apt-get install ros-$ROS_DISTRO-hri-msgs" in node.failure


def test_without_hri_msgs_the_program_ends_with_an_error(ros_domain, monkeypatch, capfd):
    monkeypatch.setattr(hri_node, "hri", None)
    assert hri_node.main([]) == 1
    assert "hri_node: ROS4HRI's messages were not found" in capfd.readouterr().err


def test_the_page_has_the_topics_of_the_node(faces, repository):
    faces.show(A)
    table = (repository / "docs" / "hri.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `(/.*?)` \| `(.*?)` \| reliable \|", table, re.MULTILINE))
    published = set()
    for output in faces.node._outputs:
        kind, qos = output._publisher.msg_type, output._publisher.qos_profile
        assert qos.reliability == ReliabilityPolicy.RELIABLE
        published.add((output.topic.replace(f"/f{A}/", "/<id>/"), f"{kind.__module__.split('.')[0]}/{kind.__name__}"))
    assert told == published

"""Faces' frames on /tf are those of the published parameters, at the images' stamps; and smoothing in such a frame."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("face3dmm_ros.msg", reason="needs the package's own messages: colcon build")
pytest.importorskip("tf2_msgs.msg", reason="needs tf2_msgs: tools/set_up.sh build, or ROS 2's own")

from geometry_msgs.msg import Quaternion, TransformStamped
from ros_harness import harness
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from face3dmm_ros.core.camera import Intrinsics, MetricPose, WeakPerspective, metric_pose, weak_perspective_of
from face3dmm_ros.core.face_frames import face_frame
from face3dmm_ros.core.rotations import FRONTAL, rotation_from_vector
from face3dmm_ros.core.values import Box, Landmarks, TrackedLandmarks
from face3dmm_ros.msg import Face3DMMParamsArray, FaceLandmarksArray
from face3dmm_ros.nodes import fixed_frame
from face3dmm_ros.nodes.conversions import landmarks_to_message
from face3dmm_ros.nodes.fitter_node import FitterNode
from face3dmm_ros.nodes.qos import result_qos

SIZE = (640, 480)
IDS = 5, 2**31 + 9
TURNS = (0.0, 0.0), (0.1, 0.3), (-0.2, -0.4), (0.0, 0.5)


def cameras(turn: tuple[float, float]) -> list[WeakPerspective]:
    """Those of two faces that are turned alike, side by side."""
    rotation = rotation_from_vector([*turn, 0.1]) @ FRONTAL
    return [WeakPerspective(1.1, rotation, np.array([x, 230.0])) for x in (200.0, 470.0)]


class Faces:
    """A fitter node, and the exact landmarks of two faces for it."""

    def __init__(self, spun, model, **parameters):
        self.spun, self.model = spun, model
        spun.listen(TFMessage, "/tf")
        spun.listen(Face3DMMParamsArray, "/face/params")
        self.node = spun.start(FitterNode, **parameters)
        self.publisher = spun.node.create_publisher(FaceLandmarksArray, "/face/landmarks", result_qos(10))
        spun.spin_until(
            lambda: self.publisher.get_subscription_count() and self.node._outputs and self.node._outputs[0].subscribers
        )
        spun.spin_for(0.2)

    def show(self, second: int, turn: tuple[float, float], *, frame_id: str = "camera") -> None:
        header = Header(frame_id=frame_id)
        header.stamp.sec = second
        self.show_from(header, cameras(turn))

    def show_from(self, header: Header, cameras: list[WeakPerspective]) -> None:
        points = self.model.landmarks["ibug68"].interpolate(self.model.mean)
        faces = []
        for face_id, camera in zip(IDS, cameras, strict=False):
            seen = camera.project(points).astype(np.float32)
            landmarks = Landmarks("ibug68", seen, Box(0, 0, 640, 480), 1.0, SIZE)
            faces.append(TrackedLandmarks(face_id, landmarks))
        count = len(self.spun.received["/face/params"])
        self.publisher.publish(landmarks_to_message(header, SIZE, faces))
        self.spun.spin_until(lambda: len(self.spun.received["/face/params"]) > count)
        self.spun.spin_for(0.1)


def matrix(rotation) -> np.ndarray:
    return Rotation.from_quat([rotation.x, rotation.y, rotation.z, rotation.w]).as_matrix()


def test_each_image_has_the_frames_of_its_faces_as_its_parameters_have_them(spun, default_model):
    faces = Faces(spun, default_model, frame_prefix="robot/")
    for second, turn in enumerate(TURNS, 100):
        faces.show(second, turn)
    assert len(spun.received["/tf"]) == len(TURNS)
    for message, parameters in zip(spun.received["/tf"], spun.received["/face/params"], strict=True):
        found = {transform.child_frame_id: transform for transform in message.transforms}
        assert list(found) == [f"robot/{name}_f{face_id}" for face_id in IDS for name in ("face", "gaze")]
        assert all(transform.header == parameters.header for transform in message.transforms)
        for face in parameters.faces:
            frame, gaze = (found[f"robot/{name}_f{face.face_id}"].transform for name in ("face", "gaze"))
            for transform in (frame, gaze):
                for axis in "xyz":
                    assert getattr(transform.translation, axis) == pytest.approx(
                        getattr(face.pose.position, axis), abs=1e-3
                    )
            turn = matrix(face.pose.orientation).T @ matrix(frame.rotation)
            assert np.linalg.norm(Rotation.from_matrix(turn).as_rotvec()) < 1e-3
            # Gaze and R of the parameters are both relative to the viewing ray.
            ahead = np.reshape(face.rotation, (3, 3))[:, 2]
            x, z = matrix(frame.rotation)[:, 0], matrix(gaze.rotation)[:, 2]
            assert np.arccos(np.clip(x @ z, -1, 1)) == pytest.approx(
                np.arccos(np.clip(ahead @ face.gaze[6:], -1, 1)), abs=1e-3
            )


def test_a_faces_frame_is_the_truths(spun, default_model):
    faces = Faces(spun, default_model, smoothing="none")
    sellion = default_model.landmarks["ibug68"].interpolate(default_model.mean)[27]
    intrinsics = Intrinsics.from_field_of_view(SIZE, 60.0)
    for second, turn in enumerate(TURNS, 100):
        faces.show(second, turn)
        for found, camera in zip(spun.received["/tf"][-1].transforms[::2], cameras(turn), strict=True):
            truth = face_frame(metric_pose(camera, intrinsics), sellion)
            rotation, place = found.transform.rotation, found.transform.translation
            off = Rotation.from_matrix(truth.rotation.T @ matrix(rotation)).magnitude()
            assert np.degrees(off) < 1.0
            np.testing.assert_allclose([place.x, place.y, place.z], truth.position, atol=0.03 * truth.position[2])


def test_images_that_name_no_frame_have_none_and_it_is_said_once(spun, default_model, capfd):
    faces = Faces(spun, default_model)
    for second, turn in enumerate(TURNS[:3], 100):
        faces.show(second, turn, frame_id="")
    assert not spun.received["/tf"]
    assert capfd.readouterr().err.count("no frames on /tf: the images' header names no frame") == 1


def test_frames_can_be_switched_off(spun, default_model):
    faces = Faces(spun, default_model, publish_tf=False)
    faces.show(100, TURNS[0])
    assert not spun.received["/tf"]


@pytest.mark.parametrize("missing", ["tf2_ros", "the transform"])
def test_where_the_cameras_place_is_not_known_faces_are_smoothed_in_their_images_frame_and_it_is_said_once(
    spun, default_model, monkeypatch, capfd, missing
):
    if missing == "tf2_ros":
        monkeypatch.setattr(fixed_frame, "tf2_ros", None)
    else:
        pytest.importorskip("tf2_ros", reason="needs tf2_ros, which no PyPI wheel carries")
    faces = Faces(spun, default_model, filtering_frame="odom")
    for second, turn in enumerate(TURNS[:3], 100):
        faces.show(second, turn)
    assert [len(message.faces) for message in spun.received["/face/params"]] == [2, 2, 2]
    said = capfd.readouterr().err
    assert said.count("faces are smoothed in their image's frame where 'odom' is not known") == 1
    assert ("tf2_ros is missing" in said) == (missing == "tf2_ros")
    assert faces.node.activity.details["smoothed_in_image_frame"] == "3"


def places_mm(spun, model, **parameters) -> np.ndarray:
    """Where a still head is in odom, (T, 3) mm, before a camera that stands, turns at 60 degrees a second and stops."""
    faces = Faces(spun, model, **parameters)
    broadcaster = spun.node.create_publisher(TFMessage, "/tf", result_qos(10))
    spun.spin_for(0.3)
    head = MetricPose(FRONTAL, np.array([0.0, 0.0, 0.8]))
    intrinsics, found = Intrinsics.from_field_of_view(SIZE, 60.0), []
    for index, angle in enumerate(np.radians([*np.zeros(20), *np.arange(0, 20, 2), *np.full(10, 20)])):
        header = Header(frame_id="camera")
        header.stamp.sec, header.stamp.nanosec = divmod(100 * 10**9 + index * 10**9 // 30, 10**9)
        odom = TransformStamped(header=Header(stamp=header.stamp, frame_id="odom"), child_frame_id="camera")
        turn = Rotation.from_rotvec([0.0, angle, 0.0])
        odom.transform.rotation = Quaternion(**dict(zip("xyzw", turn.as_quat().tolist(), strict=True)))
        broadcaster.publish(TFMessage(transforms=[odom]))
        spun.spin_for(0.03)
        back = turn.inv().as_matrix()
        faces.show_from(header, [weak_perspective_of(MetricPose(back @ FRONTAL, back @ head.position), intrinsics)])
        position = spun.received["/face/params"][-1].faces[0].pose.position
        found.append(1e3 * turn.as_matrix() @ [position.x, position.y, position.z])
    return np.array(found)


@pytest.mark.slow
def test_in_a_frame_that_stands_still_a_camera_that_turns_does_not_move_faces(default_model, ros_domain):
    pytest.importorskip("tf2_ros", reason="needs tf2_ros, which no PyPI wheel carries")
    off = []
    for frame in ("", "odom"):
        with harness() as spun:
            places = places_mm(spun, default_model, filtering_frame=frame, publish_tf=False)
        off.append(np.linalg.norm(places[20:] - places[19], axis=1).max())
    print(f"largest error {off[0]:.1f} mm, in odom {off[1]:.1f} mm")
    assert off[1] < 0.5 * off[0]

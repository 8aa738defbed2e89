"""Faces' frames on /tf are those of the published parameters, at the images' stamps."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("face3dmm_ros.msg", reason="needs the package's own messages: colcon build")
pytest.importorskip("tf2_msgs.msg", reason="needs tf2_msgs: tools/set_up.sh build, or ROS 2's own")

from scipy.spatial.transform import Rotation
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from face3dmm_ros.core.camera import Intrinsics, WeakPerspective, metric_pose
from face3dmm_ros.core.face_frames import face_frame
from face3dmm_ros.core.rotations import FRONTAL, rotation_from_vector
from face3dmm_ros.core.values import Box, Landmarks, TrackedLandmarks
from face3dmm_ros.msg import Face3DMMParamsArray, FaceLandmarksArray
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
        points = self.model.landmarks["ibug68"].interpolate(self.model.mean)
        faces = []
        for face_id, camera in zip(IDS, cameras(turn), strict=True):
            seen = camera.project(points).astype(np.float32)
            landmarks = Landmarks("ibug68", seen, Box(0, 0, 640, 480), 1.0, SIZE)
            faces.append(TrackedLandmarks(face_id, landmarks))
        header = Header(frame_id=frame_id)
        header.stamp.sec = second
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
        assert list(found) == [f"robot/{name}_{face_id}" for face_id in IDS for name in ("face", "gaze")]
        assert all(transform.header == parameters.header for transform in message.transforms)
        for face in parameters.faces:
            frame, gaze = (found[f"robot/{name}_{face.face_id}"].transform for name in ("face", "gaze"))
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

"""The viewer's node: what is published about an image is logged with it."""

import os
import re
import socket
import urllib.request

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("face3dmm_ros.msg", reason="needs the package's own messages: colcon build")
pytest.importorskip("rerun", reason="needs rerun-sdk: make viewer")

from listening import listening_ports
from located_faces import located
from rclpy.lifecycle import TransitionCallbackReturn
from rerun_files import logged
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.rotations import FRONTAL
from face3dmm_ros.core.values import Box, FaceParameters, Landmarks, TrackedLandmarks
from face3dmm_ros.msg import Face3DMMParamsArray, FaceLandmarksArray, FaceMesh, FaceMeshArray, FaceTopology
from face3dmm_ros.nodes.conversions import (
    landmarks_to_message,
    meshes_to_message,
    parameters_to_message,
    topology_message,
)
from face3dmm_ros.nodes.images import PlainConversion
from face3dmm_ros.nodes.qos import latched_qos, result_qos
from face3dmm_ros.nodes.viewer_node import ViewerNode

SIZE = (64, 48)
TOPICS = {
    "camera/image_raw": Image,
    "face/landmarks": FaceLandmarksArray,
    "face/params": Face3DMMParamsArray,
    "face/mesh": FaceMeshArray,
    "face/overlay": Image,
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Tracker:
    """Publishes what the other nodes do, about one face or none, to a viewer that saves."""

    def __init__(self, spun, model, path):
        self.spun, self.model = spun, model
        self.publishers = {
            topic: spun.node.create_publisher(kind, topic, result_qos(10)) for topic, kind in TOPICS.items()
        }
        topology = spun.node.create_publisher(FaceTopology, "face/topology", latched_qos())
        topology.publish(topology_message(model))
        self.viewer = spun.start(ViewerNode, save=str(path), image_rate=0.0)
        everybody = (*self.publishers.values(), topology)
        spun.spin_until(lambda: all(p.get_subscription_count() for p in everybody), "the viewer to listen")
        spun.spin_until(lambda: len(self.viewer._messages.assembler.expected) == 5, "the viewer to see the topics")
        spun.spin_until(lambda: self.viewer._messages._topology is not None, "the topology")

    def publish(self, stamp_ns, face_ids, topics=TOPICS):
        header = Header(frame_id="camera")
        header.stamp.sec, header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
        model, camera = self.model, WeakPerspective(0.2, FRONTAL, np.array([32.0, 24.0]))
        beta = np.zeros(model.expression_count)
        parameters = FaceParameters(
            camera, np.zeros(model.shape_count), beta, model.name, model.digest, "joint", 1.5, 0.9, SIZE
        )
        landmarks = Landmarks("ibug68", np.ones((68, 2), np.float32), Box(1, 1, 9, 9), 0.9, SIZE)
        faces = [located(model, parameters, face_id) for face_id in face_ids]
        meshes = {face.face_id: model.mesh(model.mean, face.placed.pose, model.rgb()) for face in faces}
        image = PlainConversion().cv2_to_imgmsg(np.zeros((48, 64, 3), np.uint8), header)
        messages = {
            "camera/image_raw": image,
            "face/landmarks": landmarks_to_message(header, SIZE, [TrackedLandmarks(i, landmarks) for i in face_ids]),
            "face/params": parameters_to_message(header, SIZE, model, "joint", faces),
            "face/mesh": meshes_to_message(header, model, meshes),
            "face/overlay": image,
        }
        for topic in topics:
            self.publishers[topic].publish(messages[topic])

    def seen(self, count):
        """Wait until the viewer has logged some frames, and end it."""
        self.spun.spin_until(lambda: self.viewer.activity.answered >= count, f"{count} frames")
        assert self.viewer.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
        assert self.viewer.trigger_cleanup() == TransitionCallbackReturn.SUCCESS


def frames_of(rows, key):
    return [stamp for stamp, _, _ in rows[key]]


def test_the_faces_that_are_published_are_logged_with_their_image(spun, default_model, tmp_path):
    tracker = Tracker(spun, default_model, tmp_path / "live.rrd")
    for count, stamp in enumerate((10_000_000_001, 10_100_000_001), 1):
        tracker.publish(stamp, [4, 6])
        spun.spin_until(lambda count=count: tracker.viewer.activity.answered == count, f"frame {count}")
    tracker.seen(2)
    rows = logged(tmp_path / "live.rrd")
    for key in (
        "/camera/image EncodedImage:blob",
        "/face/overlay EncodedImage:blob",
        *(f"/face/landmarks/{face_id} Points2D:positions" for face_id in (4, 6)),
        *(f"/face/mesh/{face_id} Mesh3D:vertex_positions" for face_id in (4, 6)),
        *(f"/face/pose/{face_id} Scalars:scalars" for face_id in (4, 6)),
        *(f"/face/weights/{face_id} Scalars:scalars" for face_id in (4, 6)),
        *(f"/latency/{part} Scalars:scalars" for part in ("image", "landmarks", "params", "mesh", "overlay")),
    ):
        assert frames_of(rows, key) == [10_000_000_001, 10_100_000_001], key


def test_an_image_without_a_face_takes_the_last_one_away(spun, default_model, tmp_path):
    tracker = Tracker(spun, default_model, tmp_path / "live.rrd")
    tracker.publish(10_000_000_001, [4])
    spun.spin_until(lambda: tracker.viewer.activity.answered == 1, "the first frame")
    tracker.publish(10_100_000_001, [])
    tracker.seen(2)
    rows = logged(tmp_path / "live.rrd")
    for path in ("landmarks", "mesh", "blendshapes"):
        assert frames_of(rows, f"/face/{path}/4 Clear:is_recursive") == [10_100_000_001], path


def test_frames_without_a_stamp_are_all_logged_at_the_time_at_which_they_come(spun, default_model, tmp_path, capfd):
    tracker = Tracker(spun, default_model, tmp_path / "live.rrd")
    for count in (1, 2, 3):
        tracker.publish(0, [4, 6])
        spun.spin_until(lambda count=count: tracker.viewer.activity.answered == count, f"frame {count}")
    tracker.seen(3)
    rows = logged(tmp_path / "live.rrd")
    stamps = frames_of(rows, "/camera/image EncodedImage:blob")
    assert len(stamps) == 3
    assert 1_700_000_000_000_000_000 < stamps[0] < stamps[1] < stamps[2]
    assert frames_of(rows, "/face/pose/6 Scalars:scalars") == stamps
    assert capfd.readouterr().err.count("an image's stamp is zero: when images come is taken for their time") == 1


def test_results_whose_image_got_lost_are_logged_all_the_same(spun, default_model, tmp_path):
    tracker = Tracker(spun, default_model, tmp_path / "live.rrd")
    tracker.publish(10_000_000_001, [4], topics=[topic for topic in TOPICS if topic != "camera/image_raw"])
    tracker.publish(10_100_000_001, [4])
    tracker.seen(2)
    rows = logged(tmp_path / "live.rrd")
    assert frames_of(rows, "/camera/image EncodedImage:blob") == [10_100_000_001]
    assert frames_of(rows, "/face/pose/4 Scalars:scalars") == [10_000_000_001, 10_100_000_001]


def test_a_message_that_cannot_be_is_skipped_and_reported(spun, default_model, tmp_path):
    tracker = Tracker(spun, default_model, tmp_path / "live.rrd")
    tracker.publishers["face/mesh"].publish(FaceMeshArray(model_digest="other", faces=[FaceMesh()]))
    spun.spin_until(lambda: tracker.viewer.activity.skipped, "the complaint")
    tracker.publish(10_000_000_001, [4])
    tracker.seen(1)
    assert "/face/mesh/4 Mesh3D:vertex_positions" in logged(tmp_path / "live.rrd")


def test_the_page_is_there_while_the_node_is_configured(spun, capfd):
    web_port = free_port()
    viewer = spun.start(ViewerNode, web_port=web_port)
    spun.spin_until(lambda: viewer._configured, "the viewer")
    (address,) = re.findall(r"the viewer is at (http://127\.0\.0\.1:\S+)", capfd.readouterr().out)
    with urllib.request.urlopen(address, timeout=10) as page:
        assert page.status == 200
    assert viewer.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    assert viewer.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(address, timeout=10)


def test_no_port_but_the_page_is_open_for_the_viewer(spun):
    before, web_port = listening_ports(os.getpid()), free_port()
    viewer = spun.start(ViewerNode, web_port=web_port)
    spun.spin_until(lambda: viewer._configured, "the viewer")
    assert listening_ports(os.getpid()) - before == {f"127.0.0.1:{web_port}"}


def test_a_file_is_written_without_a_port(spun, default_model, tmp_path):
    before = listening_ports(os.getpid())
    tracker = Tracker(spun, default_model, tmp_path / "live.rrd")
    tracker.publish(10_000_000_001, [4])
    spun.spin_until(lambda: tracker.viewer.activity.answered == 1, "the frame")
    assert listening_ports(os.getpid()) <= before
    tracker.seen(1)


def test_what_is_no_amount_of_memory_is_the_reason_not_to_start(spun):
    viewer = spun.start(ViewerNode, autostart=False, memory_limit="much")
    assert viewer.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert "'much' is no amount of memory" in viewer.failure


def test_a_port_that_is_taken_is_the_reason_not_to_start(spun):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        viewer = spun.start(ViewerNode, autostart=False, web_port=port)
        assert viewer.trigger_configure() == TransitionCallbackReturn.FAILURE
        assert f"port {port} cannot be used" in viewer.failure

"""The nodes replay a bag: every image once and in order, with the results that the library gives without ROS."""

import hashlib
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("face3dmm_ros.msg", reason="needs the package's own messages: colcon build")

from ros_harness import Harness, launch
from sensor_msgs.msg import Image

from face3dmm_ros.bags.messages import IMAGE_TYPE, IMAGES, LANDMARKS, PARAMETERS, message_types
from face3dmm_ros.bags.reader import BagReader
from face3dmm_ros.bags.replay import ObservedTracker, replay
from face3dmm_ros.bags.writer import BagWriter
from face3dmm_ros.core.camera import Intrinsics
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.fit_methods import FIT_METHODS, REGRESSOR_METHODS, RegressorFile, create_fitter
from face3dmm_ros.landmarks import create_backend
from face3dmm_ros.landmarks.tracker import LIVE_LOOKS
from face3dmm_ros.live import replay_node
from face3dmm_ros.live.replay_node import ReplayNode
from face3dmm_ros.nodes.fitter_node import FitterNode
from face3dmm_ros.nodes.landmark_node import LandmarkNode
from face3dmm_ros.nodes.qos import image_qos
from face3dmm_ros.nodes.renderer_node import RendererNode
from face3dmm_ros.smoothing import FaceSmoother

pytestmark = pytest.mark.slow

LAUNCH_FILE = Path(__file__).parent.parent / "launch" / "replay.launch.py"
FRAMES = 12
START_NS, PERIOD_NS = 1_700_000_000_000_000_007, 33_333_333


@pytest.fixture(scope="module")
def portrait_bag(astronaut, tmp_path_factory) -> Path:
    """A portrait that moves a little, with one image in the middle that has no face."""
    path = tmp_path_factory.mktemp("bags") / "portrait"
    with BagWriter(path) as bag:
        for k in range(FRAMES):
            stamp = START_NS + k * PERIOD_NS
            image = np.zeros_like(astronaut[:320, :320]) if k == 6 else astronaut[:320, 2 * k : 320 + 2 * k]
            bag.write_camera_info(Intrinsics(300.0, 159.5, 159.5), (320, 320), stamp, frame_id="head_camera")
            bag.write_image(image, stamp, frame_id="head_camera")
    return path


def fields(bag: BagReader, topic: str) -> list[tuple[int, bytes]]:
    """A topic's messages, without the bytes between fields, which ROS leaves as they happen to be.

    Also without the poses, which take a camera, and with face ids that count from the first one.
    """
    types, kind = message_types(), bag.topics[topic]
    messages = [(time_ns, types.deserialize_cdr(data, kind)) for time_ns, data in bag.messages(topic)]
    first = min(face.face_id for _, message in messages for face in message.faces)
    for _, message in messages:
        for face in message.faces:
            face.face_id -= first
            if topic == PARAMETERS:
                vars(face.pose.position).update(x=0.0, y=0.0, z=0.0)
                vars(face.pose.orientation).update(x=0.0, y=0.0, z=0.0, w=1.0)
    return [(time_ns, bytes(types.serialize_cdr(message, kind))) for time_ns, message in messages]


def without_ros(
    path: Path, out: Path, model, method: str, regressor: RegressorFile | None = None
) -> dict[str, list[tuple[int, bytes]]]:
    """What `face3dmm evaluate bag` gives for a bag."""
    tracker = ObservedTracker(create_backend(), looks_per_image=LIVE_LOOKS)
    with BagReader(path) as bag, BagWriter(out / "bag") as writer:
        replay(bag, bag.image_topic(), tracker, create_fitter(model, method, regressor), FaceSmoother(model), writer)
    with BagReader(out / "bag") as bag:
        return {topic: fields(bag, topic) for topic in (LANDMARKS, PARAMETERS)}


def start_nodes(spun: Harness, *more, fitter: dict | None = None, **replay_parameters) -> ReplayNode:
    spun.start(FitterNode, reliable_images=True, **(fitter or {}))
    for node_class in (LandmarkNode, *more):
        spun.start(node_class, reliable_images=True)
    return spun.start(ReplayNode, reliable_images=True, **replay_parameters)


@pytest.mark.parametrize("method", FIT_METHODS)
def test_the_nodes_give_what_the_library_gives(spun, portrait_bag, default_model, tmp_path, method) -> None:
    if method in REGRESSOR_METHODS:
        pytest.importorskip("torch", reason="needs torch")
    node = start_nodes(spun, bag=str(portrait_bag), out=str(tmp_path / "ros"), fitter={"fit_method": method})
    spun.spin_until(lambda: node.ended and node._recording is None, timeout=60.0)
    expected = without_ros(portrait_bag, tmp_path / "library", default_model, method)
    with BagReader(tmp_path / "ros" / "bag") as bag:
        assert {topic: fields(bag, topic) for topic in expected} == expected
        assert bag.count("/face/poses") == FRAMES
        assert bag.count("/face/topology") == 1
        assert list(bag.parameters(PARAMETERS)) == [START_NS + k * PERIOD_NS for k in range(FRAMES)]


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_regressor_of_the_users_gives_what_the_library_gives(
    spun, portrait_bag, default_model, tmp_path, suffix
) -> None:
    pytest.importorskip("torch", reason="needs torch")
    from face3dmm_ros.regressor.export import save_torchscript

    shipped, path = package_file("resource/regressor.safetensors"), tmp_path / f"mine{suffix}"
    if suffix == ".pt":
        save_torchscript(shipped, path)
    else:
        shutil.copy(shipped, path)
    regressor = RegressorFile(str(path), hashlib.sha256(path.read_bytes()).hexdigest())
    parameters = {"fit_method": "regressor", "regressor": regressor.path, "regressor_sha256": regressor.sha256}
    node = start_nodes(spun, bag=str(portrait_bag), out=str(tmp_path / "ros"), fitter=parameters)
    spun.spin_until(lambda: node.ended and node._recording is None, timeout=60.0)
    expected = without_ros(portrait_bag, tmp_path / "library", default_model, "regressor", regressor)
    with BagReader(tmp_path / "ros" / "bag") as bag:
        assert fields(bag, PARAMETERS) == expected[PARAMETERS]


def test_no_image_is_dropped_however_slow_the_nodes_are(spun, portrait_bag, monkeypatch) -> None:
    order = []

    def slowly(self, header, image, at_once=LandmarkNode._on_image):
        time.sleep(0.05)
        order.append(header.stamp.sec * 1_000_000_000 + header.stamp.nanosec)
        at_once(self, header, image)

    monkeypatch.setattr(LandmarkNode, "_on_image", slowly)
    node = start_nodes(spun, bag=str(portrait_bag))
    spun.spin_until(lambda: node.ended, timeout=60.0)
    assert order == [START_NS + k * PERIOD_NS for k in range(FRAMES)]


def test_overlays_are_waited_for_and_recorded_where_they_are_wanted(spun, portrait_bag, tmp_path) -> None:
    spun.listen(Image, "/face/overlay", image_qos(30, reliable=True))
    node = start_nodes(spun, RendererNode, bag=str(portrait_bag), out=str(tmp_path), overlay=True, record_images="jpeg")
    spun.spin_until(lambda: node.ended and node._recording is None, timeout=90.0)
    with BagReader(tmp_path / "bag") as bag:
        assert bag.count("/face/overlay/compressed") == FRAMES
        assert bag.count(f"{IMAGES}/compressed") == FRAMES
    assert (tmp_path / "overlay.mp4").stat().st_size > 0


def test_a_bag_without_stamps_is_replayed_to_its_end_and_how_it_is_timed_told(spun, portrait_bag, tmp_path, capfd):
    with BagReader(portrait_bag) as bag, BagWriter(tmp_path / "bag") as copy:
        for recorded in bag.images(IMAGES):
            copy.write_image(recorded.pixels(), 0, time_ns=recorded.time_ns)
    node = start_nodes(spun, RendererNode, bag=str(tmp_path / "bag"), overlay=True, timeout=20.0)
    spun.spin_until(lambda: node.ended, timeout=90.0)
    assert node.activity.answered == FRAMES
    said = (
        "[replay_node]: an image's stamp is zero: nodes take when images reach them for their time, so replay at rate 1"
    )
    assert capfd.readouterr().err.count(said) == 1


def test_images_keep_their_header_and_come_with_their_cameras_description(spun, portrait_bag) -> None:
    from sensor_msgs.msg import CameraInfo

    spun.listen(Image, IMAGES, image_qos(30, reliable=True))
    spun.listen(CameraInfo, "/camera/camera_info", image_qos(30, reliable=True))
    node = start_nodes(spun, bag=str(portrait_bag))
    spun.spin_until(lambda: node.ended, timeout=60.0)
    for topic in (IMAGES, "/camera/camera_info"):
        headers = [message.header for message in spun.received[topic]]
        assert len(headers) == FRAMES
        assert {header.frame_id for header in headers} == {"head_camera"}
        assert [header.stamp.nanosec for header in headers[:2]] == [7, 7 + PERIOD_NS]
    assert spun.received["/camera/camera_info"][0].k[0] == 300.0


def test_the_recorded_speed_is_not_exceeded_where_that_is_wanted(spun, portrait_bag) -> None:
    spun.listen(Image, IMAGES, image_qos(30, reliable=True))
    node = start_nodes(spun, bag=str(portrait_bag), rate=0.5)
    spun.spin_until(lambda: spun.received[IMAGES], timeout=60.0)
    start = time.monotonic()
    spun.spin_until(lambda: node.ended, timeout=60.0)
    assert time.monotonic() - start >= 0.9 * 2 * 1e-9 * PERIOD_NS * (FRAMES - 1)


def test_a_broken_image_is_counted_and_skipped(spun, portrait_bag, tmp_path) -> None:
    from rosbags.rosbag2 import Writer

    types = message_types()
    with BagReader(portrait_bag) as bag, Writer(tmp_path / "bag", version=8) as writer:
        connection = writer.add_connection(IMAGES, IMAGE_TYPE, typestore=types)
        for index, (time_ns, data) in enumerate(bag.messages(IMAGES)):
            message = types.deserialize_cdr(data, IMAGE_TYPE)
            message.encoding = "32FC1" if index == 2 else message.encoding
            writer.write(connection, time_ns, types.serialize_cdr(message, IMAGE_TYPE))
    node = start_nodes(spun, bag=str(tmp_path / "bag"))
    spun.spin_until(lambda: node.ended, timeout=60.0)
    assert (node.activity.answered, node.activity.skipped) == (FRAMES - 1, 1)


@pytest.mark.parametrize(("bag", "reason"), [("", "parameter `bag` is empty"), ("/no/such/bag", "is not there")])
def test_a_bag_that_cannot_be_read_is_refused_with_the_reason(spun, bag, reason) -> None:
    node = spun.start(ReplayNode, autostart=False, **({"bag": bag} if bag else {}))
    node.trigger_configure()
    assert reason in node.failure


def test_a_replay_that_nobody_answers_says_so(spun, portrait_bag) -> None:
    node = spun.start(ReplayNode, bag=str(portrait_bag), timeout=0.5)
    with pytest.raises(Face3DMMError, match="nodes that answer images are not there"):
        spun.spin_until(lambda: False, timeout=20.0)
    assert node.ended


def test_a_replay_tells_of_images_from_somebody_else(spun, portrait_bag) -> None:
    spun.node.create_publisher(Image, IMAGES, 1)
    spun.start(ReplayNode, bag=str(portrait_bag))
    with pytest.raises(Face3DMMError, match="somebody else publishes on /camera/image_raw"):
        spun.spin_until(lambda: False, timeout=20.0)


def test_the_process_ends_with_an_error_for_a_bad_bag(ros_domain, tmp_path, capfd) -> None:
    assert replay_node.main(["--ros-args", "-p", f"bag:={tmp_path}"]) == 1
    assert "no metadata.yaml" in capfd.readouterr().err


def test_the_launch_file_replays_a_bag_and_ends(portrait_bag, default_model, tmp_path) -> None:
    process = launch(LAUNCH_FILE, f"bag:={portrait_bag}", f"out:={tmp_path / 'ros'}")
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 0, said
    assert f"{FRAMES} images, 0 skipped" in said
    assert said.count("process has finished cleanly") == 3, said
    expected = without_ros(portrait_bag, tmp_path / "library", default_model, "joint")
    with BagReader(tmp_path / "ros" / "bag") as bag:
        assert {topic: fields(bag, topic) for topic in expected} == expected


def test_the_launch_file_ends_with_what_is_wrong_with_the_bag(tmp_path) -> None:
    process = launch(LAUNCH_FILE, f"bag:={tmp_path}")
    said = process.communicate(timeout=120)[0]
    assert "no metadata.yaml" in said
    assert "Traceback" not in said

"""How large images may be: 50 megapixels, or what a node's parameter or a command's option says."""

import threading

import cv2
import numpy as np
import pytest

from face3dmm_ros.cli import fit_pictures
from face3dmm_ros.cli.main import main
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.image_limits import MEGAPIXELS, check_size, megapixels_allowed
from face3dmm_ros.files.pictures import read_picture

SIZE = 10_000, 6_000
"""60 megapixels."""
REFUSED = "claims 10000×6000 pixels; up to 50 megapixels and 32766 a side are taken: make it smaller, or raise"


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """The file of an empty picture of 60 megapixels."""
    path = tmp_path_factory.mktemp("large") / "large.jpg"
    cv2.imwrite(str(path), np.zeros(SIZE[::-1], np.uint8))
    return path


def test_a_picture_of_60_megapixels_is_read_where_it_is_allowed_alone(large):
    with pytest.raises(Face3DMMError, match=REFUSED):
        read_picture(large)
    with megapixels_allowed(100.0):
        assert read_picture(large).shape == (*SIZE[::-1], 3)
    with pytest.raises(Face3DMMError, match=REFUSED):
        read_picture(large)


def test_what_is_allowed_in_one_thread_is_not_allowed_in_another():
    found = []

    def check():
        try:
            check_size(*SIZE, "it")
        except Face3DMMError as error:
            found.append(str(error))

    with megapixels_allowed(100.0):
        check()
        thread = threading.Thread(target=check)
        thread.start()
        thread.join()
    assert len(found) == 1


def test_less_can_be_allowed_too():
    with megapixels_allowed(1.0), pytest.raises(Face3DMMError, match="up to 1 megapixels"):
        check_size(1920, 1080, "it")


def test_fit_reads_a_picture_of_60_megapixels_where_it_is_told_to(large, monkeypatch, capsys):
    monkeypatch.setattr(fit_pictures.FacePipeline, "process", lambda pipeline, image: [])
    assert main(["fit", str(large)]) == 2
    assert REFUSED in capsys.readouterr().err
    assert main(["fit", str(large), "--max-megapixels", "100"]) == 2
    assert "there is no face in" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["0", "-1", "1001", "nan", "many"])
def test_a_limit_that_is_none_is_refused(given, capsys):
    with pytest.raises(SystemExit):
        main(["fit", "a.jpg", f"--max-megapixels={given}"])
    assert "--max-megapixels" in capsys.readouterr().err


@pytest.fixture
def node_of():
    """The classes of nodes by a name, with what makes them look at images."""
    pytest.importorskip("rclpy", reason="needs ROS 2")
    pytest.importorskip("face3dmm_ros.msg", reason="needs the package's own messages: colcon build")
    from face3dmm_ros.live.composition import node_class

    return node_class


@pytest.mark.parametrize("megapixels", [MEGAPIXELS, 100.0])
def test_a_source_publishes_a_picture_of_60_megapixels_where_it_is_told_to(spun, node_of, large, megapixels):
    from sensor_msgs.msg import Image

    from face3dmm_ros.nodes.qos import image_qos

    spun.listen(Image, "/camera/image_raw", image_qos(10, reliable=True))
    node = spun.start(node_of("video_source_node"), source=str(large), width=100, max_megapixels=megapixels)
    if megapixels == MEGAPIXELS:
        spun.spin_until(lambda: REFUSED in node.activity.skip_reason)
    spun.spin_until(lambda: node.activity.skipped or spun.received["/camera/image_raw"])
    assert bool(spun.received["/camera/image_raw"]) == (megapixels == 100.0)


@pytest.mark.parametrize("megapixels", [MEGAPIXELS, 100.0])
def test_a_node_takes_an_image_of_60_megapixels_where_it_is_told_to(spun, node_of, large, megapixels):
    from sensor_msgs.msg import CompressedImage

    from face3dmm_ros.nodes.images import create_image_input
    from face3dmm_ros.nodes.lifecycle_node import FaceNode
    from face3dmm_ros.nodes.parameters import IMAGE_TRANSPORT
    from face3dmm_ros.nodes.qos import result_qos

    class SizeNode(FaceNode):
        NAME = "size_node"
        PARAMETERS = (IMAGE_TRANSPORT,)
        sizes: tuple = ()

        def configure(self):
            create_image_input(self, self.take)

        def take(self, header, image):
            self.sizes += (image.shape[1::-1],)

    node = spun.start(SizeNode, image_transport="compressed", reliable_images=True, max_megapixels=megapixels)
    spun.spin_until(lambda: node._active)
    publisher = spun.node.create_publisher(CompressedImage, "/camera/image_raw/compressed", result_qos(1))
    spun.spin_until(publisher.get_subscription_count)
    publisher.publish(CompressedImage(format="jpeg", data=large.read_bytes()))
    spun.spin_until(lambda: node.sizes or node.activity.skipped)
    assert node.sizes == ((SIZE,) if megapixels == 100.0 else ())
    assert (REFUSED in node.activity.skip_reason) == (megapixels == MEGAPIXELS)


def test_every_node_has_the_limit_in_its_range(spun, node_of):
    for name in ("landmark_node", "fitter_node", "renderer_node", "avatar_node", "video_source_node", "viewer_node"):
        node = spun.start(node_of(name), autostart=False)
        assert node.value("max_megapixels") == MEGAPIXELS
        (bounds,) = node.describe_parameter("max_megapixels").floating_point_range
        assert (bounds.from_value, bounds.to_value) == (1.0, 1000.0)


def test_a_recording_takes_the_images_that_are_allowed_where_it_begins(node_of, large, tmp_path):
    from std_msgs.msg import Header

    from face3dmm_ros.live.recording import Recording, Topic
    from face3dmm_ros.nodes.images import serialized_image
    from face3dmm_ros.nodes.qos import image_output_qos

    topic = Topic("/camera/image_raw", "sensor_msgs/msg/Image", image_output_qos())
    image = serialized_image(np.zeros((*SIZE[::-1], 3), np.uint8), Header())
    refused = []
    for megapixels in (MEGAPIXELS, 100.0):
        with megapixels_allowed(megapixels):
            recording = Recording(tmp_path / f"{megapixels}", [topic], images="jpeg", videos={})
        recording.write(topic.name, 1, image)
        recording.close()
        refused.append(recording.refused.total())
    assert refused == [1, 0]

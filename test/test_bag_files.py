"""Bags are written and read without ROS; what ROS, or a killed recorder, wrote is read or refused with a reason."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer

from face3dmm_ros.bags.messages import (
    CAMERA_INFO,
    IMAGE_TYPE,
    IMAGES,
    LANDMARKS,
    LANDMARKS_TYPE,
    PARAMETERS,
    PARAMETERS_TYPE,
    STORAGES,
    TRUTH,
    message_types,
)
from face3dmm_ros.bags.reader import BagReader
from face3dmm_ros.bags.recovery import recover
from face3dmm_ros.bags.writer import BagWriter, remove_bag
from face3dmm_ros.core.camera import Intrinsics, WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.message_fields import landmarks_from_message
from face3dmm_ros.core.resource_files import PACKAGE
from face3dmm_ros.core.rotations import FRONTAL
from face3dmm_ros.core.values import Box, FaceParameters, Landmarks, TrackedFace, TrackedLandmarks

SIZE = (32, 24)
STAMPS = (1_700_000_000_000_000_000, 1_700_000_000_033_333_333)


def picture(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return np.repeat(np.repeat(coarse, 8, axis=0), 8, axis=1)


def face(face_id: int) -> TrackedFace:
    rng = np.random.default_rng(face_id)
    landmarks = Landmarks("ibug68", rng.uniform(0, 24, (68, 2)).astype(np.float32), Box(-3, 2.4, 90, 8), 0.75, SIZE)
    camera = WeakPerspective(0.25, FRONTAL, rng.uniform(0, 24, 2))
    parameters = FaceParameters(camera, rng.normal(size=7), rng.uniform(size=5), "m", "d1", "joint", 0.5, 0.75, SIZE)
    return TrackedFace(face_id, landmarks, parameters)


def write_bag(path: Path, storage: str = "mcap", *, compressed: bool = False) -> Path:
    with BagWriter(path, storage) as bag:
        for index, stamp in enumerate(STAMPS):
            bag.write_camera_info(Intrinsics(30.0, 15.5, 11.5), SIZE, stamp)
            bag.write_image(picture(index), stamp, compressed=compressed)
            bag.write_landmarks([face(4), face(9)][: 2 * index], stamp, image_size=SIZE)
            bag.write_parameters([face(4), face(9)][: 2 * index], stamp, image_size=SIZE, model=("m", "d1"))
    return path


def images_of(path: Path, topic: str | None = None) -> list[np.ndarray]:
    with BagReader(path) as bag:
        return [image.pixels() for image in bag.images(bag.image_topic(topic))]


@pytest.fixture(params=STORAGES)
def bag(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_bag(tmp_path / "bag", request.param)


def test_images_come_back_in_order_with_their_stamps(bag: Path) -> None:
    with BagReader(bag) as reader:
        images = list(reader.images(reader.image_topic()))
    assert [image.stamp_ns for image in images] == list(STAMPS)
    assert {image.frame_id for image in images} == {"camera_optical_frame"}
    for index, image in enumerate(images):
        np.testing.assert_array_equal(image.pixels(), picture(index))


def test_compressed_images_come_back_nearly_the_same(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", compressed=True)
    for index, image in enumerate(images_of(bag)):
        assert np.abs(image.astype(int) - picture(index)).mean() < 12.0


def test_images_of_a_12_bit_camera_come_back_as_bright_as_they_are_without_flicker(tmp_path: Path) -> None:
    kinds = message_types().types
    with BagWriter(tmp_path / "bag") as bag:
        bag.add_topic(IMAGES, IMAGE_TYPE, depth=5, reliable=False)
        for stamp, brightest in enumerate((4095, 819, 4095)):
            data = np.array([0, brightest], "<u2").view(np.uint8)
            layout = {"height": 1, "width": 2, "encoding": "mono16", "is_bigendian": 0, "step": 4, "data": data}
            header = kinds["std_msgs/msg/Header"](kinds["builtin_interfaces/msg/Time"](0, stamp), "camera")
            message = kinds[IMAGE_TYPE](header=header, **layout)
            bag.write_serialized(IMAGES, stamp, message_types().serialize_cdr(message, IMAGE_TYPE))
    assert [image[0, 1].tolist() for image in images_of(tmp_path / "bag")] == [[255] * 3, [51] * 3, [255] * 3]


def test_parameters_come_back_by_stamp_and_face_and_tell_no_face(bag: Path) -> None:
    with BagReader(bag) as reader:
        found = reader.parameters(PARAMETERS)
    assert found[STAMPS[0]] == {}
    assert list(found[STAMPS[1]]) == [4, 9]
    back, sent = found[STAMPS[1]][9], face(9).parameters
    np.testing.assert_array_equal(back.alpha, sent.alpha)
    np.testing.assert_array_equal(back.beta, sent.beta)
    np.testing.assert_array_equal(back.camera.translation, sent.camera.translation)
    assert (back.model_digest, back.method, back.image_size) == ("d1", "joint", SIZE)


def test_parameters_alone_are_numbered_by_their_place(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as bag:
        bag.write_parameters([face(4).parameters, face(9).parameters], 5, TRUTH)
    with BagReader(tmp_path / "bag") as bag:
        assert list(bag.parameters(TRUTH)[5]) == [0, 1]


def test_the_same_calls_write_the_same_messages(tmp_path: Path) -> None:
    first, second = (write_bag(tmp_path / name) for name in ("a", "b"))
    with BagReader(first) as a, BagReader(second) as b:
        for topic in a.topics:
            assert list(a.messages(topic)) == list(b.messages(topic))


def test_ros_reads_the_same_from_a_bag_and_writes_what_is_read(bag: Path, tmp_path: Path) -> None:
    pytest.importorskip("rclpy", reason="needs ROS 2")
    msg = pytest.importorskip("face3dmm_ros.msg", reason="needs the package's own messages: colcon build")
    from rclpy.serialization import deserialize_message, serialize_message
    from std_msgs.msg import Header

    from face3dmm_ros.nodes.conversions import landmarks_to_message, to_array

    header = Header(frame_id="camera_optical_frame")
    header.stamp.sec, header.stamp.nanosec = divmod(STAMPS[1], 1_000_000_000)
    landmarks = landmarks_to_message(header, SIZE, [face(4), face(9)])
    with BagReader(bag) as reader:
        written = {topic: list(reader.messages(topic))[-1][1] for topic in (LANDMARKS, PARAMETERS)}
    assert deserialize_message(written[LANDMARKS], msg.FaceLandmarksArray) == landmarks
    parameters = deserialize_message(written[PARAMETERS], msg.Face3DMMParamsArray)
    assert (parameters.header, parameters.model_digest, parameters.method) == (header, "d1", "joint")
    assert parameters.faces[1].beta == to_array(face(9).parameters.beta, np.float64)

    with Writer(tmp_path / "by_ros", version=8) as by_ros:
        connection = by_ros.add_connection(PARAMETERS, PARAMETERS_TYPE, typestore=message_types())
        by_ros.write(connection, 1, serialize_message(parameters))
    with BagReader(tmp_path / "by_ros") as reader:
        np.testing.assert_array_equal(reader.parameters(PARAMETERS)[STAMPS[1]][9].beta, face(9).parameters.beta)


def test_a_bags_only_file_is_enough(bag: Path) -> None:
    (file,) = (path for path in bag.iterdir() if path.suffix in (".mcap", ".db3"))
    assert len(images_of(file)) == 2


@pytest.mark.parametrize("version", [4, 5, 6, 9])
def test_metadata_of_older_and_newer_rosbag2_is_read(bag: Path, version: int) -> None:
    metadata = yaml.safe_load((bag / "metadata.yaml").read_text())
    information = metadata["rosbag2_bagfile_information"]
    information["version"] = version
    added = {"files": 5, "custom_data": 6, "ros_distro": 8}
    for key in (key for key, since in added.items() if version < since):
        del information[key]
    for topic in information["topics_with_message_count"]:
        qos = topic["topic_metadata"]["offered_qos_profiles"]
        if version < 7:
            del topic["topic_metadata"]["type_description_hash"]
        if version == 9:
            topic["topic_metadata"]["offered_qos_profiles"] = yaml.safe_load(qos)
    (bag / "metadata.yaml").write_text(yaml.safe_dump(metadata))
    assert len(images_of(bag)) == 2


def test_the_cameras_images_are_told_from_overlays_and_found_by_name(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as bag:
        bag.write_image(picture(0), 1, "/face/overlay", compressed=True)
        bag.write_image(picture(1), 1, "/usb/image", compressed=True)
    with BagReader(tmp_path / "bag") as bag:
        assert bag.image_topic() == "/usb/image/compressed"
        assert bag.image_topic("/face/overlay") == "/face/overlay/compressed"
        with pytest.raises(Face3DMMError, match="topics with images: /face/overlay/compressed, /usb"):
            bag.image_topic("/left/image")


def test_one_of_two_cameras_must_be_named(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as bag:
        for topic in ("/left/image", "/right/image"):
            bag.write_image(picture(0), 1, topic)
    with BagReader(tmp_path / "bag") as bag, pytest.raises(Face3DMMError, match="/left/image, /right/image"):
        bag.image_topic()


def test_camera_infos_are_found_beside_the_images(bag: Path) -> None:
    with BagReader(bag) as reader:
        assert list(reader.camera_infos(IMAGES)) == list(STAMPS)
        assert reader.camera_infos("/other/image") == {}
        (_, data), *_ = reader.messages(CAMERA_INFO)
    info = message_types().deserialize_cdr(data, "sensor_msgs/msg/CameraInfo")
    assert (info.k[0], info.k[2], info.k[5], info.width, info.height) == (30.0, 15.5, 11.5, *SIZE)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(lambda path: None, "is not there", id="nothing"),
        pytest.param(lambda path: path.mkdir(), "no metadata.yaml", id="an empty folder"),
        pytest.param(lambda path: path.write_text("no bag"), "no rosbag2", id="a text file"),
        pytest.param(lambda path: (write_bag(path) / "metadata.yaml").write_text("{"), "damaged", id="broken metadata"),
        pytest.param(lambda path: (write_bag(path) / "metadata.yaml").write_text("a: b"), "damaged", id="no metadata"),
        pytest.param(lambda path: (write_bag(path) / "bag.mcap").unlink(), "missing", id="a missing file"),
        pytest.param(lambda path: (write_bag(path) / "bag.mcap").write_bytes(b""), "empty", id="an empty file"),
    ],
)
def test_what_is_no_bag_is_refused(tmp_path: Path, make, reason: str) -> None:
    path = tmp_path / "bag"
    make(path)
    with pytest.raises(Face3DMMError, match=reason):
        BagReader(path)


def write_unfinished_bag(path: Path) -> Path:
    """A bag of ten images, one a chunk, that nobody finished; its messages are not in the order of their times."""
    writer = BagWriter(path)
    for index in range(10):
        writer.write_image(picture(index), index, time_ns=10 + (index ^ 1))
        writer.flush()
    return path


def stamps_of(path: Path) -> list[int]:
    with BagReader(path) as reader:
        return [image.stamp_ns for image in reader.images(IMAGES)]


def test_a_bag_that_was_not_finished_is_read_in_the_order_of_reception_and_says_so(tmp_path: Path) -> None:
    path = write_unfinished_bag(tmp_path / "bag")
    for name in (path, path / "bag.mcap"):
        assert stamps_of(name) == [index ^ 1 for index in range(10)]
    with BagReader(path) as reader:
        assert (reader.count(IMAGES), reader.topics) == (10, {IMAGES: IMAGE_TYPE})
        assert reader.notice == f"{path} was not finished: what its recorder had written is read"


def test_of_a_bag_that_was_not_finished_the_complete_chunks_are_read_wherever_it_was_cut(tmp_path: Path) -> None:
    file = write_unfinished_bag(tmp_path / "bag") / "bag.mcap"
    data = file.read_bytes()
    counts = []
    for length in range(len(data), len(data) - 2 * len(data) // 10, -1):
        file.write_bytes(data[:length])
        counts.append(len(stamps_of(tmp_path / "bag")))
    assert counts[0] == 10
    assert counts == sorted(counts, reverse=True)
    assert {10, 9, 8} <= set(counts)


def test_a_finished_bag_has_no_notice(bag: Path) -> None:
    with BagReader(bag) as reader:
        assert reader.notice == ""


def test_a_bag_that_was_killed_before_its_first_message_is_refused(tmp_path: Path) -> None:
    BagWriter(tmp_path / "bag")._bag.storage.bio.flush()
    with pytest.raises(Face3DMMError, match="before it had written anything"):
        BagReader(tmp_path / "bag")


def test_a_recovered_bag_is_as_if_it_had_been_finished(tmp_path: Path) -> None:
    path = write_unfinished_bag(tmp_path / "bag")
    before = stamps_of(path)
    assert recover(path) == 10
    assert sorted(file.name for file in path.iterdir()) == ["bag.mcap", "metadata.yaml"]
    assert list(tmp_path.iterdir()) == [path]
    assert stamps_of(path) == before
    with AnyReader([path]) as reader:
        assert reader.message_count == 10
    with pytest.raises(Face3DMMError, match="is finished already"):
        recover(path)


def test_topics_of_types_of_ones_own_are_recovered_too(tmp_path: Path) -> None:
    writer = BagWriter(tmp_path / "bag")
    connection = writer._bag.add_connection("/mine", "my_msgs/msg/Mine", msgdef="uint8 x\n", rihs01="RIHS01_")
    writer._bag.write(connection, 1, b"\0\1\0\0\7")
    writer.flush()
    recover(tmp_path / "bag")
    with BagReader(tmp_path / "bag") as reader:
        assert list(reader.messages("/mine")) == [(1, b"\0\1\0\0\7")]


def test_only_a_folder_with_one_mcap_file_is_recovered(tmp_path: Path) -> None:
    with pytest.raises(Face3DMMError, match=r"no folder with one \.mcap file"):
        recover(tmp_path)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("kept", [0.2, 0.6, 0.9])
def test_a_truncated_bag_is_refused(tmp_path: Path, storage: str, kept: float) -> None:
    path = write_bag(tmp_path / "bag", storage)
    (file,) = (path for path in path.iterdir() if path.suffix in (".mcap", ".db3"))
    file.write_bytes(file.read_bytes()[: int(kept * file.stat().st_size)])
    with pytest.raises(Face3DMMError, match="damaged"):
        images_of(path)


def test_a_bag_without_images_says_what_it_has(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as bag:
        bag.write_camera_info(None, SIZE, 1)
    with BagReader(tmp_path / "bag") as bag, pytest.raises(Face3DMMError, match="/camera/camera_info"):
        bag.image_topic()


def test_an_empty_bag_has_no_images(tmp_path: Path) -> None:
    BagWriter(tmp_path / "bag").close()
    with BagReader(tmp_path / "bag") as bag, pytest.raises(Face3DMMError, match="nothing at all"):
        bag.image_topic()


def test_a_message_that_is_cut_short_is_an_image_that_cannot_be_read(tmp_path: Path) -> None:
    with Writer(tmp_path / "bag", version=8, storage_plugin=StoragePlugin.MCAP) as bag:
        connection = bag.add_connection(IMAGES, IMAGE_TYPE, typestore=message_types())
        bag.write(connection, 7, b"\x00\x01\x00\x00\x01\x00\x00")
    with BagReader(tmp_path / "bag") as bag:
        (image,) = bag.images(IMAGES)
    assert image.time_ns == 7
    with pytest.raises(Face3DMMError, match="no sensor_msgs/msg/Image"):
        image.pixels()


def bag_of_definition(path: Path, storage: str, kind: str, definition: str, data: bytes) -> Path:
    """A bag of one message, with a definition of its type as its recorder knew it."""
    with Writer(path, version=9, storage_plugin=StoragePlugin[storage.upper()]) as bag:
        connection = bag.add_connection(LANDMARKS, kind, msgdef=definition, rihs01=f"RIHS01_{64 * '0'}")
        bag.write(connection, 7, data)
    return path


@pytest.mark.parametrize("storage", STORAGES)
def test_messages_of_another_definition_are_refused_with_the_fields_that_differ(tmp_path: Path, storage: str) -> None:
    definition, _ = message_types().generate_msgdef(LANDMARKS_TYPE, ros_version=2)
    earlier = definition.replace("uint8[] colors\n", "").replace("float32 confidence\n", "float64 confidence\n")
    path = bag_of_definition(tmp_path / "bag", storage, LANDMARKS_TYPE, earlier, bytes(400))
    with BagReader(path) as reader, pytest.raises(Face3DMMError, match="which differs in colors, confidence: record"):
        next(reader.read([LANDMARKS]))


@pytest.mark.parametrize("storage", STORAGES)
def test_landmarks_that_were_recorded_before_they_told_covers_are_read(tmp_path: Path, storage: str) -> None:
    earlier = message_types(earlier=True)
    definition, _ = earlier.generate_msgdef(LANDMARKS_TYPE, ros_version=2)
    assert "covered" not in definition
    with BagWriter(tmp_path / "now") as bag:
        bag.write_landmarks([face(4)], 5, image_size=SIZE)
    with BagReader(tmp_path / "now") as reader:
        ((_, _, message),) = reader.read([LANDMARKS])
    old = earlier.types[f"{PACKAGE}/msg/FaceLandmarks"]
    message.faces = [
        old(**{name: getattr(message.faces[0], name) for name, _ in earlier.fielddefs[old.__msgtype__][1]})
    ]
    data = bytes(earlier.serialize_cdr(message, LANDMARKS_TYPE))
    with BagReader(bag_of_definition(tmp_path / "bag", storage, LANDMARKS_TYPE, definition, data)) as reader:
        ((_, _, read),) = reader.read([LANDMARKS])
    landmarks = landmarks_from_message(read, read.faces[0]).landmarks
    np.testing.assert_array_equal(landmarks.points, face(4).landmarks.points)
    assert landmarks.covered is None


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("definition", ["string[4000000000] names\n", "what is this", "uint8 x\nimport os\n"])
def test_no_code_is_made_of_a_bags_own_definitions(tmp_path: Path, storage: str, definition: str, monkeypatch) -> None:
    path = bag_of_definition(tmp_path / "bag", storage, LANDMARKS_TYPE, definition, bytes(400))
    message_types()
    monkeypatch.setattr("rosbags.typesys.store.generate_python_code", None)
    with BagReader(path) as reader, pytest.raises(Face3DMMError, match="definition of"):
        next(reader.read([LANDMARKS]))


def test_topics_of_unknown_types_do_not_keep_a_bag_from_being_read(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as bag:
        bag.write_image(picture(0), 1)
        kind, data = "std_srvs/srv/SetBool_Event", b"\x00\x01\x00\x00"
        bag._bag.write(bag._bag.add_connection("/event", kind, msgdef="wstring x\n", rihs01="RIHS01_"), 1, data)
    assert len(images_of(tmp_path / "bag")) == 1
    with BagReader(tmp_path / "bag") as reader, pytest.raises(Face3DMMError, match=f"is no {kind}"):
        next(reader.read(["/event"]))


def test_colours_come_back_from_a_bag(tmp_path: Path) -> None:
    colors = np.random.default_rng(0).integers(0, 256, (68, 3), dtype=np.uint8)
    with BagWriter(tmp_path / "bag") as bag:
        bag.write_landmarks([TrackedLandmarks(4, replace(face(4).landmarks, colors=colors))], 5, image_size=SIZE)
    with BagReader(tmp_path / "bag") as reader:
        ((_, _, message),) = reader.read([LANDMARKS])
    np.testing.assert_array_equal(landmarks_from_message(message, message.faces[0]).landmarks.colors, colors)


@pytest.mark.parametrize("left_behind", ["01000000d67f000070bc18f9d57f0000", "d57f0000407a7501", "00"])
def test_what_ros_left_behind_a_message_is_no_part_of_it(bag: Path, tmp_path: Path, left_behind: str) -> None:
    with BagReader(bag) as reader, Writer(tmp_path / "ros", version=8) as ros:
        connection = ros.add_connection(PARAMETERS, reader.topics[PARAMETERS], typestore=message_types())
        for time_ns, data in reader.messages(PARAMETERS):
            ros.write(connection, time_ns, data + bytes.fromhex(left_behind))
    with BagReader(tmp_path / "ros") as reader:
        found = reader.parameters(PARAMETERS)[STAMPS[1]][9]
    np.testing.assert_array_equal(found.beta, face(9).parameters.beta)
    assert found.beta_deviation.shape == (0,)


def test_parameters_of_another_type_are_refused(bag: Path) -> None:
    with BagReader(bag) as reader, pytest.raises(Face3DMMError, match="expected face3dmm_ros/msg/Face3DMMParamsArray"):
        reader.parameters(LANDMARKS)


def test_an_existing_bag_is_not_written_over(bag: Path) -> None:
    with pytest.raises(Face3DMMError, match="exists"):
        BagWriter(bag)


def test_only_a_bag_is_removed_to_make_room(bag: Path, tmp_path: Path) -> None:
    remove_bag(bag)
    assert not bag.exists()
    remove_bag(bag)
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "mine.txt").touch()
    with pytest.raises(Face3DMMError, match="no recording"):
        remove_bag(tmp_path / "letters")
    assert (tmp_path / "letters" / "mine.txt").exists()

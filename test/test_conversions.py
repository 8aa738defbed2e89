"""Values become messages and come back the same; messages that cannot be are refused."""

from array import array
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("face3dmm_ros.msg", reason="needs the package's own messages: colcon build")

from geometry_msgs.msg import Pose, Quaternion
from located_faces import located
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from face3dmm_ros.core import message_fields
from face3dmm_ros.core.calibration import Calibration, SensorWindow
from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import FRONTAL, rotation_from_vector
from face3dmm_ros.core.values import Box, FaceParameters, Landmarks, Mesh, TrackedLandmarks
from face3dmm_ros.msg import FaceTopology
from face3dmm_ros.nodes import conversions

HEADER = Header(frame_id="camera_optical_frame")
HEADER.stamp.sec, HEADER.stamp.nanosec = 1234, 567
SIZE = (640, 480)


def sent(message):
    """The message as a subscriber gets it."""
    return deserialize_message(serialize_message(message), type(message))


@pytest.fixture
def landmarks() -> Landmarks:
    points = np.random.default_rng(0).uniform(0, 480, (68, 2)).astype(np.float32)
    depth = np.linspace(-5, 5, 68, dtype=np.float32)
    deviation = np.linspace(0.5, 4, 68, dtype=np.float32)
    expression, doubt = np.linspace(-0.2, 1.1, 51, dtype=np.float32), np.linspace(0.2, 2, 51, dtype=np.float32)
    colors = np.random.default_rng(3).integers(0, 256, (68, 3), dtype=np.uint8)
    box = Box(10, 20, 300, 200)
    covered = np.arange(68, dtype=np.uint8)
    return Landmarks("ibug68", points, box, 0.75, (640, 480), depth, deviation, expression, doubt, colors, covered)


@pytest.fixture
def parameters() -> FaceParameters:
    rng = np.random.default_rng(1)
    return FaceParameters(
        camera=WeakPerspective(1.7, FRONTAL @ rotation_from_vector([0.1, -0.4, 0.2]), np.array([320.5, 201.25])),
        alpha=rng.normal(size=80),
        beta=rng.uniform(size=51),
        beta_deviation=rng.uniform(0.05, 0.3, 51),
        gamma=rng.normal(size=4),
        gaze=FRONTAL @ rotation_from_vector([0.3, -0.2, 0.1]),
        model="default",
        model_digest="abc",
        method="joint",
        residual_px=1.5,
        confidence=0.5,
        image_size=(640, 480),
    )


@pytest.fixture
def mesh() -> Mesh:
    rng = np.random.default_rng(2)
    vertices = rng.normal(size=(5, 3)).astype(np.float32)
    rgb = rng.integers(0, 256, (5, 3), dtype=np.uint8)
    return Mesh(vertices, -vertices, np.array([[0, 1, 2], [2, 3, 4]], np.int32), rgb, "abc")


def landmarks_message(landmarks: Landmarks):
    """The message of an image with one face, and that face's."""
    message = conversions.landmarks_to_message(HEADER, SIZE, [TrackedLandmarks(7, landmarks)])
    return message, message.faces[0]


@pytest.fixture
def parameters_message(default_model):
    """Makes the message of an image with one face, and gives that face's too."""

    def make(parameters: FaceParameters):
        face = located(default_model, replace(parameters, alpha=np.zeros(default_model.shape_count)), 7)
        face = replace(face, parameters=parameters)
        message = conversions.parameters_to_message(HEADER, SIZE, default_model, "joint", [face])
        return message, message.faces[0]

    return make


def meshes_message(mesh: Mesh):
    """The message of an image with one face, and that face's."""
    message = conversions.meshes_to_message(HEADER, SimpleNamespace(digest="abc"), {7: mesh})
    return message, message.faces[0]


def topology(mesh: Mesh) -> FaceTopology:
    return FaceTopology(model_digest=mesh.model_digest, triangles=conversions.to_array(mesh.triangles, np.uint32))


def test_landmarks_come_back(landmarks):
    message = sent(landmarks_message(landmarks)[0])
    assert (message.header, message.image_width, message.image_height) == (HEADER, 640, 480)
    tracked = message_fields.landmarks_from_message(message, message.faces[0])
    back = tracked.landmarks
    assert tracked.face_id == 7
    np.testing.assert_array_equal(back.points, landmarks.points)
    np.testing.assert_array_equal(back.depth, landmarks.depth)
    np.testing.assert_array_equal(back.deviation, landmarks.deviation)
    np.testing.assert_array_equal(back.expression, landmarks.expression)
    np.testing.assert_array_equal(back.expression_deviation, landmarks.expression_deviation)
    np.testing.assert_array_equal(back.colors, landmarks.colors)
    np.testing.assert_array_equal(back.covered, landmarks.covered)
    assert (back.scheme, back.box, back.confidence, back.image_size) == ("ibug68", landmarks.box, 0.75, (640, 480))


def test_landmarks_without_depth_and_colours_come_back_without(landmarks):
    flat = Landmarks(landmarks.scheme, landmarks.points, landmarks.box, 1.0, (640, 480))
    message, face = landmarks_message(flat)
    assert len(face.depth) == len(face.colors) == len(face.covered) == 0
    back = message_fields.landmarks_from_message(message, face).landmarks
    assert back.depth is back.colors is back.covered is None


def test_a_box_is_cut_to_the_image(landmarks):
    outside = Landmarks("ibug68", landmarks.points, Box(-50.4, 400, 300, 200), 1.0, (640, 480))
    roi = landmarks_message(outside)[1].roi
    assert (roi.x_offset, roi.y_offset, roi.width, roi.height) == (0, 400, 250, 80)


def test_arrays_enter_messages_as_array_array(landmarks):
    _, face = landmarks_message(landmarks)
    assert isinstance(face.points, array)
    assert face.points.typecode == "f"
    assert list(face.points[:4]) == landmarks.points.ravel()[:4].tolist()


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("points", array("f", [1, 2, 3]), "multiple of 2"),
        ("points", array("f", [1, float("nan")] * 68), "not finite"),
        ("points", array("f"), "no points|depths"),
        ("points", array("f", [0, 3e38] * 68), "points reaches 3e.38 px, expected 64000 at most"),
        ("points", array("f", [-70_000, 0] * 68), "points reaches 7e.04 px, expected 64000 at most"),
        ("depth", array("f", [-1e38] * 68), "depth reaches 1e.38 px"),
        ("deviation", array("f", [1e38] * 68), "deviation reaches 1e.38 px"),
        ("depth", array("f", [1, 2]), "2 depths"),
        ("deviation", array("f", [1, 2]), "2 deviations"),
        ("expression", array("f", [1, 2]), "2 weights"),
        ("expression_deviation", array("f"), "0 deviations"),
        ("colors", array("B", [1, 2]), "multiple of 3"),
        ("colors", array("B", [1] * 9), "68 points but 3 colours, expected as many or none"),
        ("covered", array("B", [1] * 9), "68 points, of 9 of which it says how likely they are covered, expected all"),
        ("confidence", 1.5, "between 0 and 1"),
        ("confidence", float("nan"), "between 0 and 1"),
        ("image_width", 0, "size"),
        ("image_width", 60_000_000, "image of a face claims 60000000×480 pixels"),
    ],
)
def test_landmarks_that_cannot_be_are_refused(landmarks, field, value, complaint):
    message, face = landmarks_message(landmarks)
    setattr(message if field.startswith("image") else face, field, value)
    with pytest.raises(Face3DMMError, match=complaint):
        message_fields.landmarks_from_message(message, face)


def test_parameters_come_back(parameters, parameters_message, default_model):
    parameters = replace(parameters, model_digest=default_model.digest)
    message = sent(parameters_message(parameters)[0])
    assert (message.header, message.image_width, message.image_height) == (HEADER, 640, 480)
    assert tuple(message.expression_names) == default_model.expression_names
    (face,) = message.faces
    assert (face.face_id, face.scale_source, face.scale_factor) == (7, "average", 1.0)
    assert face.scale_deviation == np.float32(0.05)
    back = message_fields.parameters_from_message(message, face)
    np.testing.assert_array_equal(back.camera.rotation, parameters.camera.rotation)
    np.testing.assert_array_equal(back.camera.translation, parameters.camera.translation)
    assert back.camera.scale == parameters.camera.scale
    for name in ("alpha", "beta", "gamma", "gaze", "beta_deviation"):
        np.testing.assert_array_equal(getattr(back, name), getattr(parameters, name), err_msg=name)
    for name in ("model", "model_digest", "method", "residual_px", "confidence", "image_size"):
        assert getattr(back, name) == getattr(parameters, name), name


def test_parameters_without_gaze_and_deviations_come_back_without(parameters, parameters_message):
    bare = replace(parameters, gaze=np.zeros((0, 3)), beta_deviation=np.zeros(0))
    message = sent(parameters_message(bare)[0])
    (face,) = message.faces
    assert len(face.gaze) == len(face.beta_deviation) == 0
    back = message_fields.parameters_from_message(message, face)
    assert back.gaze.shape == (0, 3)
    assert back.beta_deviation.shape == (0,)


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("scale", 0.0, "positive scale"),
        ("scale", float("inf"), "positive scale"),
        ("rotation", np.zeros(9), "no rotation"),
        ("rotation", -np.eye(3).ravel(), "no rotation"),
        ("rotation", np.full(9, np.nan), "finite rotation"),
        ("translation", np.array([np.nan, 0.0]), "translation"),
        ("alpha", array("d", [float("nan")]), "alpha"),
        ("beta", array("d", [float("inf")]), "beta"),
        ("beta_deviation", array("d", [0.1] * 50), "must be 51 numbers from 0 up or empty, found 50"),
        ("beta_deviation", array("d", [-0.1] * 51), "must be 51 numbers from 0 up or empty, found 51 from -0.1"),
        ("beta_deviation", array("d", [float("nan")] * 51), "beta_deviation holds values that are not finite"),
        ("gaze", array("d", [0, 0, -1]), "three unit vectors or empty"),
        ("gaze", array("d", [0, 0, -1] * 4), "three unit vectors or empty"),
        ("gaze", array("d", [0, 0, -1, 0]), "multiple of 3"),
        ("gaze", array("d", [0, 0, -1, 0, 0, -1, 0, 0, -1.00001]), "three unit vectors or empty"),
        ("gaze", array("d", [0, 0, float("nan")] * 3), "gaze holds values that are not finite"),
        ("image_height", 0, "size"),
        ("image_height", 100_000, "image of a face claims 640×100000 pixels"),
    ],
)
def test_parameters_that_cannot_be_are_refused(parameters, parameters_message, field, value, complaint):
    message, face = parameters_message(parameters)
    setattr(message if field.startswith("image") else face, field, value)
    with pytest.raises(Face3DMMError, match=complaint):
        message_fields.parameters_from_message(message, face)


def test_a_mesh_comes_back_with_its_topology(mesh):
    message = sent(meshes_message(mesh)[0])
    back = message_fields.mesh_from_message(message, message.faces[0], sent(topology(mesh)))
    for name in ("vertices", "normals", "triangles", "rgb"):
        np.testing.assert_array_equal(getattr(back, name), getattr(mesh, name), err_msg=name)
    assert back.model_digest == "abc"


def test_a_mesh_does_not_take_another_models_triangles(mesh):
    message, face = meshes_message(mesh)
    with pytest.raises(Face3DMMError, match="cannot take the triangles of model other"):
        message_fields.mesh_from_message(message, face, FaceTopology(model_digest="other"))


@pytest.mark.parametrize("field", ["vertices", "normals", "rgb"])
def test_a_mesh_with_an_array_cut_short_is_refused(mesh, field):
    message, face = meshes_message(mesh)
    setattr(face, field, getattr(face, field)[:-3])
    with pytest.raises(Face3DMMError, match=r"vertices|vertex"):
        message_fields.mesh_from_message(message, face, topology(mesh))


def test_an_image_without_a_face_has_a_message_with_no_faces(default_model):
    landmarks = sent(conversions.landmarks_to_message(HEADER, SIZE, []))
    parameters = sent(conversions.parameters_to_message(HEADER, SIZE, default_model, "joint", []))
    meshes = sent(conversions.meshes_to_message(HEADER, default_model, {}))
    poses = sent(conversions.poses_to_message(HEADER, []))
    for message in (landmarks, parameters, meshes):
        assert (message.header, message.faces) == (HEADER, [])
    assert (poses.header, poses.poses) == (HEADER, [])
    assert (landmarks.image_width, parameters.image_height) == (640, 480)
    assert parameters.model_digest == meshes.model_digest == default_model.digest


def test_the_topology_says_what_all_meshes_share(default_model):
    message = sent(conversions.topology_message(default_model))
    assert message.model_digest == default_model.digest
    np.testing.assert_array_equal(np.array(message.triangles).reshape(-1, 3), default_model.triangles)
    assert tuple(message.expression_names) == default_model.expression_names


def test_poses_are_those_of_the_parameters_in_their_order_and_come_back(default_model, parameters):
    parameters = replace(parameters, alpha=np.zeros(default_model.shape_count))
    aside = replace(parameters, camera=replace(parameters.camera, translation=np.array([10.0, 20.0])))
    faces = [located(default_model, parameters, 7), located(default_model, aside, 8)]
    poses = sent(conversions.poses_to_message(HEADER, faces))
    message = sent(conversions.parameters_to_message(HEADER, SIZE, default_model, "joint", faces))
    assert poses.header == HEADER
    assert poses.poses == [face.pose for face in message.faces]
    for pose, face in zip(poses.poses, faces, strict=True):
        back = message_fields.pose_from_message(pose)
        np.testing.assert_allclose(back.rotation, face.frame.rotation, atol=1e-12)
        np.testing.assert_array_equal(back.position, face.frame.position)


def test_a_pose_that_is_no_rotation_is_refused():
    with pytest.raises(Face3DMMError, match="unit quaternion"):
        message_fields.pose_from_message(Pose(orientation=Quaternion(w=0.0)))


def test_a_cloud_holds_points_and_colours_as_rviz_reads_them(mesh):
    message = sent(conversions.cloud_message(HEADER, mesh.vertices, mesh.rgb))
    assert (message.width, message.height, message.point_step, message.row_step) == (5, 1, 16, 80)
    assert [(field.name, field.offset, field.datatype) for field in message.fields] == [
        ("x", 0, 7),
        ("y", 4, 7),
        ("z", 8, 7),
        ("rgb", 12, 7),
    ]
    points = np.frombuffer(message.data, np.dtype([("xyz", "<f4", 3), ("rgb", "<u4")]))
    np.testing.assert_array_equal(points["xyz"], mesh.vertices)
    r, g, b = mesh.rgb.astype(np.uint32).T
    np.testing.assert_array_equal(points["rgb"], r << 16 | g << 8 | b)


def test_an_empty_cloud_is_a_cloud():
    message = sent(conversions.cloud_message(HEADER, np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8)))
    assert (message.width, len(message.data)) == (0, 0)


def test_a_surface_lists_its_triangles_corners_and_vanishes_by_itself(mesh):
    corners = mesh.vertices[mesh.triangles.ravel()]
    (marker,) = sent(conversions.surfaces_message(HEADER, {7: corners})).markers
    assert (marker.type, marker.action, marker.id) == (Marker.TRIANGLE_LIST, Marker.ADD, 7)
    np.testing.assert_allclose([(p.x, p.y, p.z) for p in marker.points], corners)
    assert marker.color.a == 1.0
    assert marker.scale.x == 1.0
    assert 0 < marker.lifetime.nanosec < 10**9


def test_a_markers_id_is_a_large_face_id_as_a_signed_number():
    (marker,) = conversions.surfaces_message(HEADER, {2**31 + 5: np.zeros((3, 3), np.float32)}).markers
    assert marker.id == 5 - 2**31


def test_arrows_point_where_the_head_and_the_eyes_do(default_model, parameters):
    # Beside the optical axis the head is turned onto its viewing ray, and the gaze with it.
    face = located(default_model, replace(parameters, alpha=np.zeros(default_model.shape_count)), 7)
    pose = face.placed.pose
    on_ray = pose.rotation @ parameters.camera.rotation.T
    directions = {"face": pose.rotation[:, 2], "gaze": on_ray @ parameters.gaze[2]}
    markers = sent(conversions.arrows_message(HEADER, [face])).markers
    assert [marker.ns for marker in markers] == list(directions)
    for marker, direction in zip(markers, directions.values(), strict=True):
        assert (marker.type, marker.action, marker.id) == (Marker.ARROW, Marker.ADD, 7)
        tail, head = (np.array([p.x, p.y, p.z]) for p in marker.points)
        np.testing.assert_allclose((head - tail) / np.linalg.norm(head - tail), direction, atol=1e-9)
        np.testing.assert_allclose(tail, face.frame.position)


K = [500.0, 0.0, 319.0, 0.0, 510.0, 241.0, 0.0, 0.0, 1.0]


def test_a_calibration_comes_back():
    calibration = Calibration(
        (640, 480),
        np.reshape(K, (3, 3)),
        "plumb_bob",
        np.array([-0.2, 0.1, 0.0, 0.0, 0.0]),
        projection=np.eye(3, 4),
        window=SensorWindow(10, 20, 320, 240, 2, 1, do_rectify=True),
    )
    back = conversions.calibration_from_message(sent(conversions.calibration_to_message(HEADER, calibration)))
    assert back.image_size == calibration.image_size
    assert back.distortion_model == calibration.distortion_model
    assert back.window == calibration.window
    for attribute in ("matrix", "distortion", "rectification", "projection"):
        np.testing.assert_array_equal(getattr(back, attribute), getattr(calibration, attribute))


def test_a_camera_that_says_nothing_of_binning_and_region_shows_its_whole_sensor():
    message = CameraInfo(width=640, height=480, k=K)
    assert conversions.calibration_from_message(message).window == SensorWindow()


def test_a_camera_with_k_of_zero_is_uncalibrated():
    assert conversions.calibration_from_message(CameraInfo()) is None


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"k": [-500.0, *K[1:]]}, "focal lengths of 0.001 to"),
        ({"k": [float("nan"), *K[1:]]}, "finite 3×3 matrix"),
        ({"k": K, "width": 0}, "have 1 to 65536 px a side"),
        ({"k": K, "d": [float("inf")] * 5, "distortion_model": "plumb_bob"}, "finite"),
        ({"k": K, "d": [0.1] * 5, "distortion_model": "cobweb"}, "cobweb"),
    ],
)
def test_a_camera_that_cannot_be_is_refused(fields, complaint):
    with pytest.raises(Face3DMMError, match=complaint):
        conversions.calibration_from_message(CameraInfo(**{"width": 640, "height": 480, **fields}))

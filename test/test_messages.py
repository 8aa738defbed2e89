"""The messages are the design's: their fields, types and order, and what a subscriber gets of an array."""

import array
from pathlib import Path

import numpy as np
import pytest

IMAGE = ["std_msgs/Header header", "uint32 image_width", "uint32 image_height"]
FIELDS = {
    "FaceLandmarksArray": [*IMAGE, "string scheme", "FaceLandmarks[] faces"],
    "FaceLandmarks": [
        "uint32 face_id",
        "sensor_msgs/RegionOfInterest roi",
        "float32 confidence",
        "float32[] points",
        "float32[] depth",
        "float32[] deviation",
        "float32[] expression",
        "float32[] expression_deviation",
        "uint8[] colors",
        "uint8[] covered",
    ],
    "Face3DMMParamsArray": [
        *IMAGE,
        "string model",
        "string model_digest",
        "string method",
        "string[] expression_names",
        "Face3DMMParams[] faces",
    ],
    "Face3DMMParams": [
        "uint32 face_id",
        "float64 scale",
        "float64[9] rotation",
        "float64[2] translation",
        "float64[] alpha",
        "float64[] beta",
        "float64[] gamma",
        "geometry_msgs/Pose pose",
        "float64[] gaze",
        "float64[] beta_deviation",
        "float32 residual_px",
        "float32 confidence",
        "string scale_source",
        "float32 scale_factor",
        "float32 scale_deviation",
    ],
    "FaceMeshArray": ["std_msgs/Header header", "string model_digest", "FaceMesh[] faces"],
    "FaceMesh": ["uint32 face_id", "float32[] vertices", "float32[] normals", "uint8[] rgb"],
    "FaceTopology": ["string model_digest", "uint32[] triangles", "string[] expression_names"],
    "BlendshapesArray": ["std_msgs/Header header", "string[] names", "Blendshapes[] faces"],
    "Blendshapes": ["uint32 face_id", "float32[] weights"],
}


def test_there_is_a_definition_for_each_message_and_no_other(repository: Path) -> None:
    assert {path.stem for path in (repository / "msg").iterdir()} == set(FIELDS)


@pytest.mark.parametrize("name", FIELDS)
def test_fields_are_the_designs(repository: Path, name: str) -> None:
    lines = (line.partition("#")[0].split() for line in (repository / "msg" / f"{name}.msg").read_text().splitlines())
    assert [" ".join(line) for line in lines if line] == FIELDS[name]


@pytest.mark.parametrize("name", FIELDS)
def test_cmake_generates_each_message(repository: Path, name: str) -> None:
    assert f"msg/{name}.msg" in (repository / "CMakeLists.txt").read_text()


def test_an_array_survives_serialization_bit_for_bit() -> None:
    msg = pytest.importorskip("face3dmm_ros.msg", reason="needs the package built for ROS 2")
    serialization = pytest.importorskip("rclpy.serialization", reason="needs rclpy")
    vertices = np.linspace(-1.0, 1.0, 3 * 53490, dtype=np.float32)
    message = msg.FaceMesh(vertices=array.array("f", vertices.tobytes()))
    received = serialization.deserialize_message(serialization.serialize_message(message), msg.FaceMesh)
    np.testing.assert_array_equal(np.frombuffer(received.vertices, np.float32), vertices)

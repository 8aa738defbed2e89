"""What the blendshape network makes of people's faces, and what of files that are no such network."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from face3dmm_ros.core.arkit import WITHOUT_TONGUE
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.landmarks.blendshape_network import BlendshapeNetwork
from face3dmm_ros.landmarks.facemesh import FaceMeshBackend
from face3dmm_ros.landmarks.network import Network

pytest.importorskip("ai_edge_litert", reason="the network needs ai-edge-litert")

NETWORK = package_file("resource/landmark_models/face_blendshapes.tflite")


@pytest.fixture(scope="module")
def astronauts_points(astronaut: NDArray[np.uint8]) -> NDArray[np.float32]:
    face_mesh = FaceMeshBackend()
    return face_mesh.locate(astronaut, face_mesh.detect(astronaut)[0].region).landmarks.points


def said(points: NDArray[np.float32]) -> dict[str, float]:
    return dict(zip(WITHOUT_TONGUE, map(float, BlendshapeNetwork(NETWORK).weights(points)), strict=True))


def test_a_woman_who_smiles_with_open_eyes_is_said_to(astronauts_points: NDArray[np.float32]) -> None:
    weights = said(astronauts_points)
    assert min(weights["mouthSmileLeft"], weights["mouthSmileRight"]) > 0.5
    assert max(weights["eyeBlinkLeft"], weights["eyeBlinkRight"], weights["jawOpen"], weights["mouthPucker"]) < 0.2


def test_where_in_the_picture_the_face_lies_and_how_large_does_not_matter(
    astronauts_points: NDArray[np.float32],
) -> None:
    moved = said(2.0 * astronauts_points + np.float32([300.0, 40.0]))
    np.testing.assert_allclose(list(moved.values()), list(said(astronauts_points).values()), atol=0.02)


def test_a_network_of_pictures_is_no_network_of_blendshapes() -> None:
    with pytest.raises(Face3DMMError, match="not a network of blendshapes: it maps arrays of"):
        BlendshapeNetwork(NETWORK.with_name("face_landmarks_detector.tflite"))


def test_a_network_of_blendshapes_is_no_network_of_pictures() -> None:
    with pytest.raises(Face3DMMError, match="not a network of pictures"):
        Network(NETWORK, (0.0, 1.0))


@pytest.mark.parametrize("shape", [(512, 512, 3), (256, 255, 3), (256, 256, 4), (256, 256)])
def test_a_picture_of_another_size_is_refused_and_not_written_beyond_the_networks_input(shape: tuple[int, ...]) -> None:
    network = Network(NETWORK.with_name("face_landmarks_detector.tflite"), (0.0, 1.0))
    with pytest.raises(ValueError, match=r"takes pictures of \(256, 256, 3\)"):
        network.run(np.zeros(shape, np.uint8))


def test_a_missing_network_is_named(tmp_path: Path) -> None:
    with pytest.raises(Face3DMMError, match=r"face_blendshapes\.tflite"):
        BlendshapeNetwork(tmp_path / "face_blendshapes.tflite")

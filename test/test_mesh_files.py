from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.values import Mesh
from face3dmm_ros.files.meshes import SUFFIXES, write_mesh

# A tetrahedron before the camera: x right, y down, z forward.
MESH = Mesh(
    vertices=np.float32([[0.0, 0.1, 0.5], [0.1, 0.1, 0.5], [0.0, -0.1, 0.5], [0.0, 0.1, 0.6]]),
    normals=np.float32([[-0.6, 0.0, -0.8], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]]),
    triangles=np.int32([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]]),
    rgb=np.uint8([[255, 0, 0], [0, 255, 0], [0, 0, 255], [188, 128, 10]]),
    model_digest="0",
)
IN_VIEWER_FRAME = MESH.vertices * [1, -1, -1] - [0.05, 0.0, -0.55]


def load(path: Path) -> Any:
    trimesh = pytest.importorskip("trimesh")
    return trimesh.load(path, force="mesh", process=False)


@pytest.mark.parametrize("suffix", SUFFIXES)
class TestEveryFormat:
    def test_the_mesh_comes_back_with_y_up_and_its_middle_at_the_origin(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"face{suffix}"
        write_mesh(path, MESH)
        read = load(path)
        np.testing.assert_allclose(read.vertices, IN_VIEWER_FRAME, atol=1e-5)
        np.testing.assert_array_equal(read.faces, MESH.triangles)

    def test_the_triangles_still_face_outwards(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"face{suffix}"
        write_mesh(path, MESH)
        assert load(path).volume > 0

    def test_a_path_that_cannot_be_written_is_named(self, tmp_path: Path, suffix: str) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(Face3DMMError, match="file is there already and is no folder"):
            write_mesh(tmp_path / "file" / f"face{suffix}", MESH)

    def test_a_mesh_that_is_not_finite_is_refused(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"face{suffix}"
        for broken in (replace(MESH, vertices=MESH.vertices * np.nan), replace(MESH, vertices=MESH.vertices[:0])):
            with pytest.raises(Face3DMMError, match="not finite"):
                write_mesh(path, broken)
        assert not path.exists()


@pytest.mark.parametrize("suffix", [".obj", ".ply"])
def test_obj_and_ply_carry_srgb_colours(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"face{suffix}"
    write_mesh(path, MESH)
    np.testing.assert_array_equal(load(path).visual.vertex_colors[:, :3], MESH.rgb)


def test_obj_carries_normals(tmp_path: Path) -> None:
    write_mesh(tmp_path / "face.obj", MESH)
    lines = (tmp_path / "face.obj").read_text().splitlines()
    normals = [line.split()[1:] for line in lines if line.startswith("vn ")]
    np.testing.assert_allclose(np.array(normals, float), MESH.normals * [1, -1, -1], atol=1e-4)
    assert "f 1//1 2//2 3//3" in lines


def test_ply_carries_normals(tmp_path: Path) -> None:
    write_mesh(tmp_path / "face.ply", MESH)
    header, content = (tmp_path / "face.ply").read_bytes().split(b"end_header\n")
    assert b"property float nx\nproperty float ny\nproperty float nz\n" in header
    vertices = np.frombuffer(content, [("position", "<f4", 3), ("normal", "<f4", 3), ("rgb", "u1", 3)], 4)
    np.testing.assert_allclose(vertices["normal"], MESH.normals * [1, -1, -1], atol=1e-6)


def test_glb_carries_linear_colours_and_a_matt_material(tmp_path: Path) -> None:
    pygltflib = pytest.importorskip("pygltflib")
    path = tmp_path / "face.glb"
    write_mesh(path, MESH)
    file = pygltflib.GLTF2().load(str(path))
    attributes = file.meshes[0].primitives[0].attributes
    arrays = {}
    for name in ("POSITION", "NORMAL", "COLOR_0"):
        accessor = file.accessors[getattr(attributes, name)]
        view = file.bufferViews[accessor.bufferView]
        content = file.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
        arrays[name] = np.frombuffer(content, "<f4").reshape(accessor.count, 3)
    np.testing.assert_allclose(arrays["NORMAL"], MESH.normals * [1, -1, -1], atol=1e-6)
    np.testing.assert_allclose(arrays["COLOR_0"][:3], np.eye(3), atol=1e-6)
    np.testing.assert_allclose(arrays["COLOR_0"][3], [0.5029, 0.2159, 0.0030], atol=1e-4)
    assert file.accessors[attributes.POSITION].max == pytest.approx(arrays["POSITION"].max(axis=0).tolist())
    assert file.materials[0].pbrMetallicRoughness.metallicFactor == 0.0


def test_a_format_is_known_by_its_suffix_in_either_case(tmp_path: Path) -> None:
    write_mesh(tmp_path / "face.PLY", MESH)
    assert (tmp_path / "face.PLY").read_bytes().startswith(b"ply\n")


@pytest.mark.parametrize("name", ["face.stl", "face"])
def test_an_unknown_format_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Face3DMMError, match=r"\.obj, \.ply, \.glb"):
        write_mesh(tmp_path / name, MESH)

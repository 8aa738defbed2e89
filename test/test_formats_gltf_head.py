"""A head in a glTF file: what its morph targets become, and what is refused."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from head_files import COLUMNS, COUNT, assert_same_in_pictures, sheet
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.srgb import encoded
from face3dmm_ros.files.meshes import glb_file
from face3dmm_ros.morphable_model import load_model

pytest.importorskip("pygltflib")

NAMES = ("eyeBlink_L", "eyeBlink_R", "jawOpen", "hat")
OURS = ("eyeBlinkLeft", "eyeBlinkRight", "jawOpen")
LEFT, RIGHT = 6 * COLUMNS + 8, 6 * COLUMNS + 3
"""Vertices that blink."""


class Head:
    """A file in the making: its JSON, and its numbers."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.binary = b""
        self.content: dict[str, Any] = {
            "asset": {"version": "2.0"},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"mesh": 0}],
            "bufferViews": [],
            "accessors": [],
        }
        vertices, quads = sheet()
        self.vertices = (vertices / 1000).astype(np.float32)
        self.deltas = rng.normal(size=(len(NAMES), COUNT, 3), scale=2e-3).astype(np.float32)
        for k, lid in enumerate((LEFT, RIGHT)):
            self.deltas[k] = 0
            self.deltas[k, lid, 1] = -0.008
        self.colors = rng.uniform(size=(COUNT, 3)).astype(np.float32)
        corners = np.concatenate([quads[:, :3], quads[:, [0, 2, 3]]]).astype(np.uint32).reshape(-1, 1)
        primitive = {
            "attributes": {"POSITION": self.add(self.vertices, "VEC3"), "COLOR_0": self.add(self.colors, "VEC3")},
            "indices": self.add(corners, "SCALAR"),
            "targets": [{"POSITION": self.add(delta, "VEC3")} for delta in self.deltas],
        }
        self.content["meshes"] = [{"primitives": [primitive], "extras": {"targetNames": list(NAMES)}}]

    def add(self, numbers: NDArray, kind: str) -> int:
        """The index of an accessor of numbers."""
        view = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": numbers.nbytes}
        self.content["bufferViews"].append(view)
        accessor = {"bufferView": len(self.content["accessors"]), "count": len(numbers), "type": kind}
        self.content["accessors"].append(accessor | {"componentType": 5126 if numbers.dtype.kind == "f" else 5125})
        self.binary += numbers.tobytes()
        return len(self.content["accessors"]) - 1

    def write(self, path: Path) -> Path:
        self.content["buffers"] = [{"byteLength": len(self.binary)}]
        path.write_bytes(glb_file(self.content, self.binary))
        return path

    def raw(self, _: NDArray[np.float64], beta: NDArray[np.float64]) -> NDArray[np.float64]:
        """mm, in the mesh's space."""
        return 1000.0 * (self.vertices.astype(np.float64) + np.einsum("e,enk->nk", beta, self.deltas[: len(OURS)]))


@pytest.fixture
def head() -> Head:
    return Head(np.random.default_rng(0))


def test_points_are_where_the_files_own_sum_puts_them(tmp_path: Path, head: Head) -> None:
    model = load_model(str(head.write(tmp_path / "anything")))
    assert (model.expression_names, model.shape_count) == (OURS, 0)
    assert_same_in_pictures(model, head.raw, np.random.default_rng(1))


def test_nodes_place_the_mesh_and_turn_its_targets(tmp_path: Path, head: Head) -> None:
    head.content["nodes"] = [
        {"children": [1], "translation": [3, 4, 5], "scale": [1.5, 1.5, 1.5]},
        {"mesh": 0, "rotation": [0, 0, np.sin(0.1), np.cos(0.1)]},
    ]
    turn = np.array([[np.cos(0.2), -np.sin(0.2), 0], [np.sin(0.2), np.cos(0.2), 0], [0, 0, 1]])
    model = load_model(str(head.write(tmp_path / "head.glb")))
    assert_same_in_pictures(model, lambda a, b: 1.5 * head.raw(a, b) @ turn.T, np.random.default_rng(1))


def test_a_skins_joints_place_the_mesh(tmp_path: Path, head: Head) -> None:
    primitive = head.content["meshes"][0]["primitives"][0]
    primitive["attributes"]["JOINTS_0"] = head.add(np.zeros((COUNT, 4), np.uint32), "VEC4")
    primitive["attributes"]["WEIGHTS_0"] = head.add(np.tile(np.float32([1, 0, 0, 0]), (COUNT, 1)), "VEC4")
    head.content["accessors"][primitive["attributes"]["JOINTS_0"]]["componentType"] = 5123
    head.content["nodes"] = [{"mesh": 0, "skin": 0}, {"scale": [2, 2, 2]}]
    head.content["scenes"] = [{"nodes": [0, 1]}]
    head.content["skins"] = [{"joints": [1]}]
    model = load_model(str(head.write(tmp_path / "head.glb")))
    assert_same_in_pictures(model, lambda a, b: 2.0 * head.raw(a, b), np.random.default_rng(1))


def test_vrm_0_looks_back_and_is_turned(tmp_path: Path, head: Head) -> None:
    forward = load_model(str(head.write(tmp_path / "forward.glb")))
    head.content |= {"nodes": [{"mesh": 0, "rotation": [0, 1, 0, 0]}], "extensions": {"VRM": {}}}
    back = load_model(str(head.write(tmp_path / "back.vrm")))
    np.testing.assert_allclose(back.mean, forward.mean, atol=1e-3)
    np.testing.assert_allclose(back.expression_basis, forward.expression_basis, atol=1e-3)


def test_meshes_whose_targets_have_the_same_name_move_together(tmp_path: Path, head: Head) -> None:
    head.content["nodes"] = [{"children": [1], "mesh": 0}, {"mesh": 0, "translation": [0, 0, -0.01]}]
    model = load_model(str(head.write(tmp_path / "head.glb")))
    assert model.vertex_count == 2 * COUNT
    np.testing.assert_array_equal(model.expression_basis[: 3 * COUNT], model.expression_basis[3 * COUNT :])


def test_vertices_colours_are_linear_light(tmp_path: Path, head: Head) -> None:
    model = load_model(str(head.write(tmp_path / "head.glb")))
    np.testing.assert_allclose(model.albedo_mean, encoded(head.colors), atol=1e-5)


def targets_without_names(head: Head) -> None:
    head.content["meshes"][0].pop("extras")


def accessor_of(**changes: Any) -> Callable[[Head], None]:
    return lambda head: head.content["accessors"][0].update(changes)


def many_targets(head: Head) -> None:
    primitive = head.content["meshes"][0]["primitives"][0]
    primitive["targets"] = primitive["targets"][:1] * 100_000


def not_finite(head: Head) -> None:
    head.content["nodes"][0]["scale"] = [1e300, 1e300, 1e300]


def many_nodes(head: Head) -> None:
    head.content["nodes"] = [{"mesh": 0} for _ in range(4_900)]
    head.content["scenes"] = [{"nodes": list(range(4_900))}]


HOSTILE: dict[str, Callable[[Head], object]] = {
    "no names": targets_without_names,
    "an accessor of 10 GB": accessor_of(count=10**9),
    "an accessor that is not there": accessor_of(bufferView=99),
    "a hundred thousand targets": many_targets,
    "transforms without end": not_finite,
    "a mesh on thousands of nodes": many_nodes,
    "not a number": lambda head: setattr(head, "binary", b"\xff" * len(head.binary)),
    "names of other types": lambda head: head.content["meshes"][0].update(extras={"targetNames": [1, None, {}]}),
    "a node that is its own child": lambda head: head.content.update(nodes=[{"mesh": 0, "children": [0]}]),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_damaged_files_are_refused_in_one_line(tmp_path: Path, head: Head, change: Callable[[Head], object]) -> None:
    change(head)
    with pytest.raises(Face3DMMError) as refused:
        load_model(str(head.write(tmp_path / "head.glb")))
    assert "\n" not in str(refused.value)


def test_a_file_cut_short_is_refused(tmp_path: Path, head: Head) -> None:
    path = head.write(tmp_path / "head.glb")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(Face3DMMError):
        load_model(str(path))


@pytest.mark.parametrize("uri", ["numbers.bin", "../outside.bin", "/etc/hostname", "file:///etc/hostname"])
def test_numbers_in_a_pipe_or_outside_of_the_folder_are_not_read(tmp_path: Path, head: Head, uri: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    os.mkfifo(folder / "numbers.bin")
    (tmp_path / "outside.bin").write_bytes(head.binary)
    head.content["buffers"] = [{"byteLength": len(head.binary), "uri": uri}]
    (folder / "head.gltf").write_text(json.dumps(head.content))
    with pytest.raises(Face3DMMError, match="refers to"):
        load_model(str(folder / "head.gltf"))

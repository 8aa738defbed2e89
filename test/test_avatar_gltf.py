"""glTF and VRM avatars: what moves in a file, how it is shown, and files that cannot be used."""

import json
import sys
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from face3dmm_ros.avatar.avatar import AvatarFace
from face3dmm_ros.avatar.gltf import posing
from face3dmm_ros.avatar.gltf.avatar import GltfAvatar
from face3dmm_ros.avatar.gltf.closed_surfaces import on_closed_surfaces
from face3dmm_ros.avatar.gltf.morphs import match_morphs
from face3dmm_ros.avatar.gltf.posing import Bust, make_bust
from face3dmm_ros.avatar.gltf.skeleton import find_bones, gaze_limits, rest_pose
from face3dmm_ros.avatar.weights.vrm_presets import PRESETS
from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import FRONTAL, rotation_from_vector
from face3dmm_ros.core.shape_names import ARKIT
from face3dmm_ros.core.values import FaceParameters
from face3dmm_ros.files import gltf as file
from face3dmm_ros.files.gltf import load_gltf

pygltflib = pytest.importorskip("pygltflib")

SIZE = (160, 120)
ROWS, COLUMNS = 14, 24
PATCH = 4  # vertices that each morph target moves
RED, GREEN, BLUE = (1.0, 0.0, 0.0, 1.0), (0.0, 1.0, 0.0, 1.0), (0.0, 0.0, 1.0, 1.0)
SKINNED = ("JOINTS_0", "WEIGHTS_0")
UNLIT = {"KHR_materials_unlit": {}}


class Writer:
    """A glTF file in the making."""

    def __init__(self) -> None:
        self.file = pygltflib.GLTF2(scene=0, scenes=[pygltflib.Scene(nodes=[])], buffers=[pygltflib.Buffer()])
        self.blob = bytearray()

    def view(self, data: bytes) -> int:
        self.blob += bytes(-len(self.blob) % 4)
        self.file.bufferViews.append(pygltflib.BufferView(buffer=0, byteOffset=len(self.blob), byteLength=len(data)))
        self.blob += data
        return len(self.file.bufferViews) - 1

    def accessor(self, values: NDArray, **others: Any) -> int:
        values = np.ascontiguousarray(values)
        kinds = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
        components = {"int8": 5120, "uint8": 5121, "int16": 5122, "uint16": 5123, "uint32": 5125, "float32": 5126}
        self.file.accessors.append(
            pygltflib.Accessor(
                bufferView=self.view(values.tobytes()),
                componentType=components[values.dtype.name],
                count=len(values),
                type=kinds[values.size // max(len(values), 1)],
                **others,
            )
        )
        return len(self.file.accessors) - 1

    def material(self, color: Sequence[float] = (1.0, 1.0, 1.0, 1.0), texture: int | None = None, **others: Any) -> int:
        info = None if texture is None else pygltflib.TextureInfo(index=texture)
        surface = pygltflib.PbrMetallicRoughness(baseColorFactor=list(color), baseColorTexture=info)
        others.setdefault("extensions", UNLIT)
        self.file.materials.append(pygltflib.Material(pbrMetallicRoughness=surface, alphaCutoff=None, **others))
        return len(self.file.materials) - 1

    def texture(self, picture: NDArray[np.uint8] | str) -> int:
        if isinstance(picture, str):
            image = pygltflib.Image(uri=picture)
        else:
            png = cv2.imencode(".png", picture)[1].tobytes()
            image = pygltflib.Image(bufferView=self.view(png), mimeType="image/png")
        self.file.images.append(image)
        self.file.textures.append(pygltflib.Texture(source=len(self.file.images) - 1))
        return len(self.file.textures) - 1

    def mesh(
        self,
        positions: NDArray[np.float32],
        triangles: NDArray[np.integer],
        targets: Sequence[dict[str, int]] = (),
        names: Sequence[str] = (),
        material: int | None = None,
        **attributes: int,
    ) -> int:
        primitive = pygltflib.Primitive(
            attributes=pygltflib.Attributes(POSITION=self.accessor(positions), **attributes),
            indices=self.accessor(triangles.astype(np.uint32).reshape(-1)),
            material=material,
            targets=list(targets),
        )
        extras = {"targetNames": list(names)} if names else {}
        self.file.meshes.append(pygltflib.Mesh(primitives=[primitive], extras=extras))
        return len(self.file.meshes) - 1

    def node(self, root: bool = True, **properties: Any) -> int:
        self.file.nodes.append(pygltflib.Node(**properties))
        if root:
            self.file.scenes[0].nodes.append(len(self.file.nodes) - 1)
        return len(self.file.nodes) - 1

    def save(self, path: Path) -> Path:
        self.file.buffers[0].byteLength = len(self.blob)
        self.file.set_binary_blob(bytes(self.blob))
        path.write_bytes(b"".join(self.file.save_to_bytes()))
        return path


def sphere(radius: float = 0.1, height: float = 0.0) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Vertices and triangles of a ball above the origin, metres; the seam is behind."""
    u, v = np.meshgrid(np.linspace(-np.pi, np.pi, COLUMNS), np.linspace(0.02, np.pi - 0.02, ROWS))
    points = np.stack([np.sin(v) * np.sin(u), np.cos(v), np.sin(v) * np.cos(u)], axis=-1).reshape(-1, 3)
    first = (np.arange(ROWS - 1)[:, None] * COLUMNS + np.arange(COLUMNS - 1)).ravel()
    upper = np.stack([first, first + COLUMNS, first + 1], axis=1)
    lower = np.stack([first + 1, first + COLUMNS, first + COLUMNS + 1], axis=1)
    return (radius * points + [0, height, 0]).astype(np.float32), np.concatenate([upper, lower]).astype(np.int32)


def add_head(
    writer: Writer, names: Sequence[str], *, height: float = 0.0, target_names: bool = True, **attributes: int
) -> int:
    """A mesh whose morph target k moves vertices PATCH·k to PATCH·k + 3 forward; uv tells a vertex's index."""
    positions, triangles = sphere(height=height)
    N = len(positions)
    targets = []
    for k in range(len(names)):
        delta = np.zeros((N, 3), np.float32)
        delta[PATCH * k : PATCH * (k + 1), 2] = 0.02
        targets.append({"POSITION": writer.accessor(delta)})
    uv = np.stack([(np.arange(N) + 0.5) / N, np.zeros(N)], axis=1).astype(np.float32)
    # The person's left half is red, the right half blue.
    colors = np.where(positions[:, :1] > 0.0, np.float32([RED]), np.float32([BLUE]))
    return writer.mesh(
        positions,
        triangles,
        targets,
        names if target_names else (),
        writer.material(),
        TEXCOORD_0=writer.accessor(uv),
        COLOR_0=writer.accessor(colors.astype(np.float32)),
        **attributes,
    )


def write_head(path: Path, names: Sequence[str] = ARKIT_NAMES) -> Path:
    """A head that hangs in no bones."""
    writer = Writer()
    writer.node(name="ball", mesh=add_head(writer, names))
    return writer.save(path)


def bust_of(path: Path) -> Bust:
    file = load_gltf(path)
    return make_bust(file, match_morphs(file))


def face(
    rotation: Sequence[float] = (0.0, 0.0, 0.0), scale: float = 2.0, face_id: int = 1, **weights: float
) -> AvatarFace:
    """A face whose head turned by a rotation vector about x right, y up, z to the viewer."""
    camera = WeakPerspective(scale, FRONTAL @ rotation_from_vector(rotation), np.array([80.0, 60.0]))
    values = np.array([weights.get(name, 0.0) for name in ARKIT_NAMES], np.float32)
    parameters = FaceParameters(camera, np.zeros(1), np.zeros(51), "default", "digest", "joint", 0.0, 1.0, SIZE)
    return AvatarFace(face_id, parameters, values)


@contextmanager
def opened(path: Path) -> Iterator[GltfAvatar]:
    load_gltf(path)  # what is wrong with the file is not for OpenGL to excuse
    try:
        avatar = GltfAvatar(path)
    except Face3DMMError as error:
        if "OpenGL" in str(error):
            pytest.skip(f"no OpenGL here: {error}")
        raise
    yield avatar
    avatar.close()


def picture_of(avatar: GltfAvatar, *faces: AvatarFace) -> NDArray[np.uint8]:
    """(H, W, 4) BGRA, premultiplied."""
    picture = np.zeros((SIZE[1], SIZE[0], 4), np.uint8)
    for layer in avatar.draw(faces, SIZE, None):
        picture[layer.rectangle.rows_and_columns] = layer.pixels
    return picture


def count(picture: NDArray[np.uint8], channel: int) -> int:
    """Pixels that are mostly blue (0), green (1) or red (2)."""
    others = [other for other in range(3) if other != channel]
    return int(((picture[..., channel] > 128) & (picture[..., others].max(axis=-1) < 100)).sum())


class TestMorphTargets:
    def test_each_weight_moves_its_own_vertices_only_under_the_files_own_name(self, tmp_path: Path) -> None:
        names = [f"blendShape1.{name.replace('Left', '_L').replace('Right', '_R')}" for name in ARKIT_NAMES]
        path = write_head(tmp_path / "head.glb", names)
        matching = match_morphs(load_gltf(path))
        bust = bust_of(path)
        assert not matching.missing
        for k, (name, weights) in enumerate(zip(names, matching.mixing().T, strict=True)):
            (row,) = np.flatnonzero(weights)
            moved = bust.figure.uv[bust.morphs[row].vertices, 0] * len(bust.figure.uv) - 0.5
            assert matching.channels[row].name == name
            assert sorted(moved.round().astype(int)) == list(range(PATCH * k, PATCH * (k + 1)))
            assert (bust.morphs[row].points[:, 2] > 0.0).all()

    @pytest.mark.parametrize(
        ("name", "meant"),
        [
            ("jawOpen", "jawOpen"),
            ("JAWOPEN", "jawOpen"),
            ("Fcl_jawOpen", "jawOpen"),
            ("blendShape1.jaw_open", "jawOpen"),
            ("Head:mouthSmile_L", "mouthSmileLeft"),
            ("eyeBlink_R", "eyeBlinkRight"),
            ("jaw_left", "jawLeft"),
            ("browInnerUp_L", "browInnerUp"),
            ("Fcl_ALL_Joy", None),
            ("viseme_aa", None),
            ("", None),
        ],
    )
    def test_names_are_found_in_other_spellings(self, name: str, meant: str | None) -> None:
        match = ARKIT.meaning(name)
        assert (match and match.name) == meant

    def test_the_closest_of_two_spellings_in_a_mesh_is_taken(self, tmp_path: Path) -> None:
        matching = match_morphs(load_gltf(write_head(tmp_path / "head.glb", ["old.jawOpen", "jawOpen"])))
        assert [channel.name for channel in matching.channels] == ["jawOpen"]
        assert matching.unused == ("old.jawOpen",)

    def test_what_does_not_fit_is_reported_and_the_rest_moves(self, tmp_path: Path) -> None:
        names = ["jawOpen", "hatTilt", "eyeBlinkLeft"]
        with opened(write_head(tmp_path / "head.glb", names)) as avatar:
            assert set(avatar.missing) == set(ARKIT_NAMES) - {"jawOpen", "eyeBlinkLeft"}
            assert "mouthPucker" in avatar.report
            assert "hatTilt" in avatar.report
            still, moved = (picture_of(avatar, face(jawOpen=value, mouthPucker=1.0)) for value in (0.0, 1.0))
        assert (still != moved).any()

    def test_a_weight_changes_the_picture_where_its_vertices_are(self, tmp_path: Path) -> None:
        writer = Writer()
        positions, triangles = sphere()
        delta = np.zeros_like(positions)
        below = positions[:, 1] < -0.05
        delta[below, 1] = -0.03
        mesh = writer.mesh(positions, triangles, [{"POSITION": writer.accessor(delta)}], ["jawOpen"])
        writer.node(mesh=mesh)
        with opened(writer.save(tmp_path / "chin.glb")) as avatar:
            shut, open_ = (picture_of(avatar, face(jawOpen=value)) for value in (0.0, 1.0))
        changed = np.flatnonzero((shut != open_).any(axis=(1, 2)))
        assert len(changed)
        assert changed.min() > SIZE[1] / 2

    def test_integers_and_sparse_accessors_read_as_the_floats_they_stand_for(self, tmp_path: Path) -> None:
        writer = Writer()
        positions, triangles = sphere(radius=1.0)
        packed = np.round(positions * 32767).astype(np.int16)
        padded = np.zeros((len(packed), 4), np.int16)
        padded[:, :3] = packed
        mesh = writer.mesh(positions, triangles, [{"POSITION": 0}], ["jawOpen"])
        view = writer.view(padded.tobytes())
        writer.file.bufferViews[view].byteStride = 8
        quantized = pygltflib.Accessor(
            bufferView=view, componentType=5122, normalized=True, count=len(packed), type="VEC3"
        )
        rows, shifts = np.uint16([3, 9]), np.full((2, 3), 0.5, np.float32)
        sparse = pygltflib.Sparse(
            count=2,
            indices=pygltflib.AccessorSparseIndices(bufferView=writer.view(rows.tobytes()), componentType=5123),
            values=pygltflib.AccessorSparseValues(bufferView=writer.view(shifts.tobytes())),
        )
        moved = pygltflib.Accessor(componentType=5126, count=len(packed), type="VEC3", sparse=sparse)
        writer.file.accessors += [quantized, moved]
        primitive = writer.file.meshes[mesh].primitives[0]
        primitive.attributes.POSITION = len(writer.file.accessors) - 2
        primitive.targets = [{"POSITION": len(writer.file.accessors) - 1}]
        writer.node(mesh=mesh)
        read = load_gltf(writer.save(tmp_path / "packed.glb")).meshes[0].primitives[0]
        np.testing.assert_allclose(read.points[:, :3], positions, atol=1e-4)
        np.testing.assert_array_equal(read.morphs[0].vertices, rows)
        np.testing.assert_array_equal(read.morphs[0].points[:, :3], shifts)


def write_figure(path: Path, change: Callable[[Writer, int, int], None] | None = None, head: str = "Head") -> Path:
    """A green body and a head in one skin, whose joints are nodes 0 (Hips) and 1 (the head)."""
    writer = Writer()
    writer.node(name="Hips", children=[1])
    writer.node(root=False, name=head, translation=[0.0, 1.4, 0.0])
    binds = np.tile(np.eye(4, dtype=np.float32), (2, 1, 1))
    binds[1, 1, 3] = -1.4
    matrices = writer.accessor(binds.transpose(0, 2, 1).reshape(2, 16).copy())
    writer.file.skins.append(pygltflib.Skin(joints=[0, 1], inverseBindMatrices=matrices))

    def influences(joint: int) -> dict[str, int]:
        joints = np.zeros((ROWS * COLUMNS, 4), np.uint8)
        joints[:, 0] = joint
        weights = np.tile(np.float32([1, 0, 0, 0]), (len(joints), 1))
        return {"JOINTS_0": writer.accessor(joints), "WEIGHTS_0": writer.accessor(weights)}

    body, triangles = sphere(radius=0.2, height=1.15)
    body_mesh = writer.mesh(body, triangles, material=writer.material(GREEN), **influences(0))
    head_mesh = add_head(writer, ["jawOpen", "eyeBlinkLeft", "Fcl_Joy"], height=1.5, **influences(1))
    writer.node(mesh=body_mesh, skin=0)
    node = writer.node(mesh=head_mesh, skin=0)
    if change is not None:
        change(writer, node, head_mesh)
    return writer.save(path)


class TestHead:
    @pytest.mark.parametrize("name", ["Head", "mixamorig:Head", "mixamorigHead", "J_Bip_C_Head", "head_06"])
    def test_a_bone_named_head_turns_and_the_body_stays(self, tmp_path: Path, name: str) -> None:
        with opened(write_figure(tmp_path / "figure.glb", head=name)) as avatar:
            ahead, to_left, to_right = (picture_of(avatar, face((0.0, yaw, 0.0))) for yaw in (0.0, 0.7, -0.7))
        assert count(ahead, 2) == pytest.approx(count(ahead, 0), rel=0.1)
        # A person who turns to the left, which the viewer sees on the right, shows more of the right half.
        assert count(to_left, 0) > 1.5 * count(to_left, 2)
        assert count(to_right, 2) > 1.5 * count(to_right, 0)
        bottom = np.s_[SIZE[1] - 20 :]
        assert count(ahead[bottom], 1) > 500
        np.testing.assert_array_equal(ahead[bottom], to_left[bottom])

    def test_without_a_head_bone_the_whole_scene_turns(self, tmp_path: Path) -> None:
        with opened(write_head(tmp_path / "head.glb")) as avatar:
            turned = picture_of(avatar, face((0.0, 0.7, 0.0)))
        assert count(turned, 0) > 1.5 * count(turned, 2)

    def test_the_head_is_in_the_middle_of_the_picture_wherever_the_face_is(self, tmp_path: Path) -> None:
        with opened(write_figure(tmp_path / "figure.glb")) as avatar:
            picture = picture_of(avatar, face())
        ys, xs = np.nonzero((picture[..., 2] > 128) | (picture[..., 0] > 128))
        assert (xs.min() + xs.max()) / 2 == pytest.approx(SIZE[0] / 2, abs=1.5)
        assert 0.4 * SIZE[1] < np.ptp(ys) < 0.7 * SIZE[1]
        assert ys.min() > 0.03 * SIZE[1]
        assert picture[-1, SIZE[0] // 2, 3] == 255

    def test_a_wide_head_is_whole_in_the_picture(self, tmp_path: Path) -> None:
        def widen(writer: Writer, node: int, mesh: int) -> None:
            box = (sphere(height=1.5)[0] * [4.0, 1.0, 1.0]).astype(np.float32)
            writer.file.meshes[mesh].primitives[0].attributes.POSITION = writer.accessor(box)

        with opened(write_figure(tmp_path / "wide.glb", widen)) as avatar:
            seen = picture_of(avatar, face())[: SIZE[1] // 2, :, 3] > 0
        assert not seen[:, [0, -1]].any()
        assert np.ptp(np.nonzero(seen)[1]) > 0.5 * SIZE[0]

    def test_a_face_painted_on_a_head_does_not_make_the_picture_of_the_face_alone(self, tmp_path: Path) -> None:
        def paint(writer: Writer, node: int, mesh: int) -> None:
            # The morph targets stay with the mesh; its points become a small flat face before a ball of their own.
            head, triangles = sphere(radius=0.15, height=1.5)
            weights = {name: getattr(writer.file.meshes[mesh].primitives[0].attributes, name) for name in SKINNED}
            ball = writer.mesh(head, triangles, material=writer.material(GREEN), **weights)
            writer.node(mesh=ball, skin=0)
            flat = ((head - [0, 1.5, 0]) * [0.3, 0.3, 0.0] + [0, 1.5, 0.16]).astype(np.float32)
            writer.file.meshes[mesh].primitives[0].attributes.POSITION = writer.accessor(flat)

        with opened(write_figure(tmp_path / "painted.glb", paint)) as avatar:
            ball = picture_of(avatar, face())[..., 1] > 128
        assert not ball[0].any()
        assert not ball[: SIZE[1] // 2, [0, -1]].any()

    def test_only_the_nearest_face_is_drawn(self, tmp_path: Path) -> None:
        with opened(write_figure(tmp_path / "figure.glb")) as avatar:
            near, far = face((0.0, 0.7, 0.0), scale=3.0, jawOpen=0.5), face(scale=1.0, face_id=2, jawOpen=1.0)
            alone = picture_of(avatar, near)
            layers = avatar.draw([near, far], SIZE, None)
            assert len(layers) == 1
            np.testing.assert_array_equal(picture_of(avatar, far, near), alone)
            assert avatar.draw([], SIZE, None) == []

    @pytest.mark.parametrize(
        "names", [("LeftArm", "LeftForeArm"), ("J_Bip_L_UpperArm", "J_Bip_L_LowerArm"), ("upper_arm.L", "forearm.L")]
    )
    def test_arms_that_are_stretched_out_hang_down(self, tmp_path: Path, names: tuple[str, str]) -> None:
        def add_arm(writer: Writer, node: int, mesh: int) -> None:
            lower = writer.node(root=False, name=names[1], translation=[0.3, 0.0, 0.0])
            upper = writer.node(root=False, name=names[0], translation=[0.2, 1.3, 0.0], children=[lower])
            other = writer.node(root=False, name="J_Bip_R_UpperArm", translation=[-0.2, 1.3, 0.0])
            writer.file.nodes[0].children += [other, upper]
            writer.file.skins[0].joints += [other, upper, lower]
            writer.file.skins[0].inverseBindMatrices = None

        file = load_gltf(write_figure(tmp_path / "figure.glb", add_arm))
        bones = find_bones(file)
        assert file.nodes[bones["leftUpperArm"]].name == names[0]
        x, y, _ = rest_pose(file, bones)[bones["leftLowerArm"], :3, 3]
        assert 0.2 < x < 0.35
        assert y < 1.05

    def test_bones_turn_the_eyes_where_no_morph_target_does(self, tmp_path: Path) -> None:
        def add_eye(writer: Writer, node: int, mesh: int) -> None:
            eye, triangles = sphere(radius=0.03)
            colors = np.where(eye[:, :1] > 0.0, np.float32([GREEN]), np.float32([RED]))
            eye_mesh = writer.mesh(
                eye, triangles, material=writer.material(), COLOR_0=writer.accessor(colors.astype(np.float32))
            )
            child = writer.node(root=False, name="LeftEye", translation=[0.04, 0.12, 0.1], children=[])
            holder = writer.node(root=False, mesh=eye_mesh)
            writer.file.nodes[child].children = [holder]
            writer.file.nodes[1].children = [child]

        with opened(write_figure(tmp_path / "figure.glb", add_eye)) as avatar:
            above = np.s_[: SIZE[1] // 2]
            ahead = picture_of(avatar, face())[above]
            aside = picture_of(avatar, face(eyeLookOutLeft=1.0))[above]
            assert "eyeLookOutLeft" not in avatar.missing
            assert "eyeLookOutRight" in avatar.missing
        assert count(aside, 1) < 0.8 * count(ahead, 1)


def as_vrm_0(groups: Sequence[dict[str, Any]]) -> Callable[[Writer, int, int], None]:
    def change(writer: Writer, node: int, mesh: int) -> None:
        binds = [{**group, "binds": [{"mesh": mesh, **bind} for bind in group["binds"]]} for group in groups]
        writer.file.extensionsUsed = ["VRM"]
        writer.file.extensions["VRM"] = {
            "humanoid": {"humanBones": [{"bone": "head", "node": 1}, {"bone": "hips", "node": 0}]},
            "blendShapeMaster": {"blendShapeGroups": binds},
        }

    return change


def as_vrm_1(custom: dict[str, int], preset: dict[str, int]) -> Callable[[Writer, int, int], None]:
    def change(writer: Writer, node: int, mesh: int) -> None:
        def expressions(indices: dict[str, int]) -> dict[str, Any]:
            return {
                name: {"morphTargetBinds": [{"node": node, "index": index, "weight": 1.0}]}
                for name, index in indices.items()
            }

        writer.file.extensionsUsed = ["VRMC_vrm"]
        writer.file.extensions["VRMC_vrm"] = {
            "specVersion": "1.0",
            "humanoid": {"humanBones": {"head": {"node": 1}, "hips": {"node": 0}}},
            "expressions": {"custom": expressions(custom), "preset": expressions(preset)},
        }
        writer.file.meshes[mesh].extras = {"targetNames": ["one", "two", "three"]}

    return change


class TestVrm:
    def test_presets_of_vrm_0_show_what_they_can(self, tmp_path: Path) -> None:
        groups = [
            {"name": "Mouth A", "presetName": "a", "binds": [{"index": 0, "weight": 100}]},
            {"name": "Wink", "presetName": "blink_l", "binds": [{"index": 1, "weight": 50}]},
            {"name": "Blink", "presetName": "blink", "binds": [{"index": 1, "weight": 100}]},
        ]

        def change(writer: Writer, node: int, mesh: int) -> None:
            as_vrm_0(groups)(writer, node, mesh)
            writer.file.meshes[mesh].extras = {}

        matching = match_morphs(load_gltf(write_figure(tmp_path / "old.vrm", change)))
        drivers = {channel.name: channel.drivers for channel in matching.channels}
        assert drivers["Mouth A"] == PRESETS["aa"]
        assert drivers["Wink"] == PRESETS["blinkLeft"]
        (wink,) = (channel for channel in matching.channels if channel.name == "Wink")
        assert list(wink.targets.values()) == [0.5]

    def test_vrm_0_looks_along_minus_z_and_is_shown_from_the_front(self, tmp_path: Path) -> None:
        paths = [write_figure(tmp_path / "gltf.glb"), write_figure(tmp_path / "vrm.vrm", as_vrm_0([]))]
        busts = [bust_of(path) for path in paths]
        front = [bust.figure.uv[np.argmax(bust.figure.shares[:, 0] + bust.figure.points[:, 2]), 0] for bust in busts]
        assert front[0] != front[1]
        with opened(paths[1]) as avatar:
            picture = picture_of(avatar, face())
        # What the file has at +x is then seen at the viewer's left.
        _, reds = np.nonzero(picture[..., 2] > 128)
        assert reds.mean() < SIZE[0] / 2

    def test_vrm_1_expressions_with_arkits_names_come_before_presets(self, tmp_path: Path) -> None:
        change = as_vrm_1({"JawOpen": 0, "mouthSmileLeft": 1}, {"aa": 2, "happy": 2, "blink": 2})
        matching = match_morphs(load_gltf(write_figure(tmp_path / "new.vrm", change, head="Kopf")))
        drivers = {channel.name: channel.drivers for channel in matching.channels}
        assert drivers == {
            "JawOpen": {"jawOpen": 1.0},
            "mouthSmileLeft": {"mouthSmileLeft": 1.0},
            "blink": PRESETS["blink"],
        }

    def test_vrm_humanoid_names_the_head(self, tmp_path: Path) -> None:
        path = write_figure(tmp_path / "new.vrm", as_vrm_1({"jawOpen": 0}, {}), head="Kopf")
        bust = bust_of(path)
        assert set(np.unique(bust.figure.shares[:, 0])) == {0.0, 1.0}

    @pytest.mark.parametrize(
        ("extension", "degrees"),
        [
            ({"VRM": {"firstPerson": {"lookAtVerticalUp": {"yRange": 10}, "lookAtHorizontalOuter": {"yRange": 0}}}},
             [10, np.inf, np.inf, 0]),
            ({"VRM": {"firstPerson": {"lookAtTypeName": "BlendShape"}}}, [0, 0, 0, 0]),
            ({"VRMC_vrm": {"lookAt": {"type": "bone", "rangeMapHorizontalInner": {"outputScale": 8}}}},
             [np.inf, np.inf, 8, np.inf]),
            ({"VRMC_vrm": {"lookAt": {"type": "expression"}}}, [0, 0, 0, 0]),
            ({"VRMC_vrm": {}}, [np.inf] * 4),
            ({}, [np.inf] * 4),
        ],
    )  # fmt: skip
    def test_eyes_turn_no_farther_than_the_file_allows(
        self, tmp_path: Path, extension: dict[str, Any], degrees: list[float]
    ) -> None:
        file = replace(load_gltf(write_head(tmp_path / "head.glb")), extensions=extension)
        np.testing.assert_allclose(np.degrees(gaze_limits(file)), degrees)

    @pytest.mark.parametrize("look_at", [[1], {"rangeMapVerticalUp": 3}, {"rangeMapVerticalUp": {"outputScale": []}}])
    def test_a_damaged_look_at_is_refused(self, tmp_path: Path, look_at: Any) -> None:
        file = replace(load_gltf(write_head(tmp_path / "head.glb")), extensions={"VRMC_vrm": {"lookAt": look_at}})
        with pytest.raises(Face3DMMError, match="look-at is damaged"):
            gaze_limits(file)

    def test_eyes_that_may_not_turn_stay(self, tmp_path: Path) -> None:
        def change(writer: Writer, node: int, mesh: int) -> None:
            as_vrm_1({"jawOpen": 0}, {})(writer, node, mesh)
            bones = writer.file.extensions["VRMC_vrm"]["humanoid"]["humanBones"]
            bones["leftEye"] = {"node": writer.node(root=False, name="eye", translation=[0.04, 0.12, 0.1])}
            writer.file.nodes[1].children = [bones["leftEye"]["node"]]
            writer.file.extensions["VRMC_vrm"]["lookAt"] = look_at

        look_at: dict[str, Any] = {"type": "bone"}
        assert bust_of(write_figure(tmp_path / "turns.vrm", change)).eyes_turn == (True, False)
        look_at["type"] = "expression"
        assert bust_of(write_figure(tmp_path / "stays.vrm", change)).eyes_turn == (False, False)

    @pytest.mark.parametrize(
        ("expressions", "reason"),
        [
            ({"custom": {"jawOpen": {"morphTargetBinds": [{"node": "a", "index": 0}]}}}, "VRM expressions are damaged"),
            ({"custom": {"jawOpen": {"morphTargetBinds": [{"node": 99, "index": 0}]}}}, "lead nowhere: .* node 99 of"),
            (
                {"custom": {"jawOpen": {"morphTargetBinds": [{"node": 3, "index": 7}]}}},
                "lead nowhere: .*morph target 7",
            ),
            ({"custom": ["jawOpen"]}, "VRM expressions are damaged"),
        ],
    )
    def test_damaged_expressions_are_refused(self, tmp_path: Path, expressions: dict, reason: str) -> None:
        def change(writer: Writer, node: int, mesh: int) -> None:
            as_vrm_1({}, {})(writer, node, mesh)
            writer.file.extensions["VRMC_vrm"]["expressions"] = expressions

        path = write_figure(tmp_path / "bad.vrm", change)
        with pytest.raises(Face3DMMError, match=reason):
            match_morphs(load_gltf(path))


class TestLooks:
    def picture(self, tmp_path: Path, **material: Any) -> NDArray[np.uint8]:
        writer = Writer()
        texture = material.pop("picture", None)
        mesh_material = writer.material(texture=None if texture is None else writer.texture(texture), **material)
        positions, triangles = sphere()
        delta = np.zeros_like(positions)
        delta[:4] = 0.01
        uv = np.full((len(positions), 2), 0.5, np.float32)
        mesh = writer.mesh(
            positions,
            triangles,
            [{"POSITION": writer.accessor(delta)}],
            ["jawOpen"],
            mesh_material,
            TEXCOORD_0=writer.accessor(uv),
        )
        writer.node(mesh=mesh)
        with opened(writer.save(tmp_path / "ball.glb")) as avatar:
            return picture_of(avatar, face())

    def middle(self, tmp_path: Path, **material: Any) -> list[int]:
        return self.picture(tmp_path, **material)[SIZE[1] // 2, SIZE[0] // 2].tolist()

    def test_a_texture_without_light_keeps_its_colours(self, tmp_path: Path) -> None:
        brown = np.full((8, 8, 3), (40, 90, 160), np.uint8)
        assert self.middle(tmp_path, picture=brown) == pytest.approx([40, 90, 160, 255], abs=1)

    def test_the_colour_factor_tints_the_texture(self, tmp_path: Path) -> None:
        grey = np.full((8, 8, 3), 200, np.uint8)
        blue, green, red, _ = self.middle(tmp_path, picture=grey, color=(1.0, 0.25, 0.0, 1.0))
        assert [blue, green, red] == pytest.approx([0, 100, 200], abs=3)

    def test_a_texture_transform_moves_the_places_in_the_texture(self, tmp_path: Path) -> None:
        writer = Writer()
        material = writer.material(texture=writer.texture(np.zeros((4, 4, 3), np.uint8)))
        transform = {"offset": [0.1, 0.2], "scale": [2.0, 3.0], "rotation": np.pi / 2}
        surface = writer.file.materials[material].pbrMetallicRoughness
        surface.baseColorTexture.extensions = {"KHR_texture_transform": transform}
        positions, triangles = sphere()
        uv = np.tile(np.float32([1.0, 0.0]), (len(positions), 1))
        writer.node(mesh=writer.mesh(positions, triangles, material=material, TEXCOORD_0=writer.accessor(uv)))
        read = load_gltf(writer.save(tmp_path / "ball.glb")).meshes[0].primitives[0]
        np.testing.assert_allclose(read.uv, np.tile([0.1, 0.2 - 2.0], (len(uv), 1)), atol=1e-6)

    def test_what_a_mask_cuts_out_is_not_drawn(self, tmp_path: Path) -> None:
        faint = np.full((8, 8, 4), (255, 255, 255, 100), np.uint8)
        assert self.middle(tmp_path, picture=faint, alphaMode="MASK")[3] == 0
        assert self.middle(tmp_path, picture=faint)[3] == 255

    def test_a_blended_surface_lets_through(self, tmp_path: Path) -> None:
        assert self.middle(tmp_path, color=(1.0, 1.0, 1.0, 0.5), alphaMode="BLEND") == pytest.approx([128] * 4, abs=2)

    def test_light_comes_from_the_upper_left(self, tmp_path: Path) -> None:
        picture = self.picture(tmp_path, extensions={}, color=(0.3, 0.3, 0.3, 1.0)).astype(int)
        y, x = SIZE[1] // 2, SIZE[0] // 2
        assert picture[y - 25, x - 25, 1] > picture[y + 25, x + 25, 1] + 40

    def test_a_toon_has_its_shade_colour_in_the_shadow(self, tmp_path: Path) -> None:
        toon = {"VRMC_materials_mtoon": {"shadeColorFactor": [1.0, 0.0, 0.0]}}
        picture = self.picture(tmp_path, extensions=toon)
        assert count(picture, 2) > 50
        assert (picture[..., :3].min(axis=-1) > 250).sum() > 1000

    def test_a_texture_beside_a_gltf_file_is_found(self, tmp_path: Path) -> None:
        path = write_loose(tmp_path, "skin%20tone.png")
        cv2.imwrite(str(tmp_path / "skin tone.png"), np.full((4, 4, 3), 77, np.uint8))
        assert load_gltf(path).textures[0].tolist() == np.full((4, 4, 4), (77, 77, 77, 255)).tolist()


def write_loose(folder: Path, picture: str) -> Path:
    """A .gltf file with its numbers in a file beside it, and its texture at a URI."""
    writer = Writer()
    writer.node(mesh=add_head(writer, ARKIT_NAMES))
    writer.material(texture=writer.texture(picture))
    (folder / "numbers.bin").write_bytes(bytes(writer.blob))
    writer.file.buffers[0].byteLength = len(writer.blob)
    writer.file.buffers[0].uri = "numbers.bin"
    path = folder / "loose.gltf"
    path.write_text(writer.file.to_json())
    return path


def edited(path: Path, edit: Callable[[dict[str, Any]], None]) -> Path:
    """A GLB file whose JSON was changed."""
    data = path.read_bytes()
    length = int.from_bytes(data[12:16], "little")
    content = json.loads(data[20 : 20 + length])
    edit(content)
    text = json.dumps(content).encode()
    text += b" " * (-len(text) % 4)
    rest = data[20 + length :]
    size = (20 + len(text) + len(rest)).to_bytes(4, "little")
    path.write_bytes(data[:8] + size + len(text).to_bytes(4, "little") + b"JSON" + text + rest)
    return path


def assert_refused(path: Path, reason: str) -> None:
    """Check that a file is refused with its name and the reason."""
    with pytest.raises(Face3DMMError, match=reason) as caught:
        load_gltf(path)
    assert str(path) in str(caught.value)


def set_in(*keys: Any) -> Callable[[dict[str, Any]], None]:
    """Put the last of some keys where the others lead."""

    def edit(content: Any) -> None:
        for key in keys[:-2]:
            content = content[key]
        content[keys[-2]] = keys[-1]

    return edit


class TestClosedSurfaces:
    @pytest.mark.parametrize(
        ("change", "closed"),
        [
            (lambda triangles: triangles, True),
            (lambda triangles: triangles[1:], False),
            (lambda triangles: triangles[:, ::-1], False),
        ],
        ids=["whole", "with a hole", "inside out"],
    )
    def test_a_surface_without_a_hole_that_looks_outward_is_closed(
        self, change: Callable[[NDArray[np.int32]], NDArray[np.int32]], closed: bool
    ) -> None:
        corners = np.float32([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
        quads = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
        triangles = np.concatenate([quads[:, :3], quads[:, [0, 2, 3]]])
        # Vertices on a texture's seam are there twice; another surface lies elsewhere.
        seamed = np.concatenate([corners, corners, corners + 5.0])
        triangles[:2] += 8
        plane = np.array([[16, 17, 19]])
        result = on_closed_surfaces(seamed, np.concatenate([change(triangles), plane]))
        assert not result[-1]
        assert (result[:-1] == closed).all()


class TestBadFiles:
    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"", "an empty file"),
            (b"not a model at all", "expected a glTF 2.0"),
            (b"glTF" + bytes(4), "cut short"),
            (b"glTF\x02\x00\x00\x00\x14\x00\x00\x00\x00\x00\x00\x00BIN\x00", "expected JSON"),
            (b"glTF\x01\x00\x00\x00\x14\x00\x00\x00\x00\x00\x00\x00JSON", "version 2"),
            (b"{ no json", "not a well-formed glTF"),
            (b"[" * 100_000, "expected a glTF 2.0"),
            (b'{"nodes":' + b"[" * 100_000, "not a well-formed glTF"),
            (b'{"asset": {"version": "2.0"}, "nodes": 3}', "not a well-formed glTF"),
        ],
    )
    def test_what_is_no_gltf_file_is_refused(self, tmp_path: Path, data: bytes, reason: str) -> None:
        path = tmp_path / "bad.glb"
        path.write_bytes(data)
        with pytest.raises(Face3DMMError, match=reason) as caught:
            load_gltf(path)
        assert str(path) in str(caught.value)

    def test_a_file_cut_short_anywhere_is_refused(self, tmp_path: Path) -> None:
        path = write_head(tmp_path / "head.glb", ["jawOpen"])
        whole = path.read_bytes()
        for length in range(0, len(whole), 997):
            path.write_bytes(whole[:length])
            with pytest.raises(Face3DMMError):
                load_gltf(path)

    @pytest.mark.parametrize(
        ("edit", "reason"),
        [
            (set_in("accessors", 0, "count", 10**12), "up to"),
            (set_in("accessors", 0, "count", "many"), "not a well-formed glTF"),
            (set_in("accessors", 0, "bufferView", 99), "buffer view 99"),
            (set_in("accessors", 0, "bufferView", -1), "buffer view -1"),
            (set_in("accessors", 0, "byteOffset", 10**9), "is damaged"),
            (set_in("accessors", 0, "byteOffset", -4), "offset -4"),
            (set_in("accessors", 0, "componentType", 7), "component type 7"),
            (set_in("accessors", 0, "type", "VEC9"), "VEC9"),
            (set_in("bufferViews", 0, "byteLength", 10**9), "is damaged"),
            (set_in("bufferViews", 0, "byteStride", 10**6), "stride"),
            (set_in("meshes", 0, "primitives", 0, "indices", 500), "accessor 500"),
            (set_in("meshes", 0, "primitives", 0, "material", 8), "material 8"),
            (set_in("asset", "version", "1.0"), "expected glTF 2.0, found '1.0'"),
            (set_in("nodes", 0, "mesh", 4), "mesh 4"),
            (set_in("nodes", 0, "skin", 0), "skin 0"),
            (set_in("nodes", 0, "children", [0]), "root of the scene"),
            (set_in("nodes", 0, "translation", [float("nan"), 0, 0]), "not finite"),
            (set_in("nodes", 0, "rotation", "upside down"), "not a well-formed glTF"),
            (set_in("scenes", 0, "nodes", [7]), "node 7"),
            (set_in("extensionsRequired", ["KHR_draco_mesh_compression"]), "Draco.*gltf-transform"),
            (set_in("extensionsRequired", ["EXT_meshopt_compression"]), "meshopt.*gltf-transform"),
            (set_in("extensionsRequired", ["VENDOR_magic"]), "'VENDOR_magic'"),
            (set_in("buffers", 0, "uri", "http://example.com/a.bin"), "its own folder"),
        ],
    )
    def test_numbers_that_lead_nowhere_are_refused(
        self, tmp_path: Path, edit: Callable[[dict[str, Any]], None], reason: str
    ) -> None:
        assert_refused(edited(write_head(tmp_path / "head.glb", ["jawOpen"]), edit), reason)

    @pytest.mark.parametrize(
        ("edit", "reason"),
        [
            (set_in("extras", "x" * 17_000_000), "its JSON has 17"),
            (set_in("extras", [0] * 500_001), "some 500.* values"),
            (set_in("nodes", [{}] * 5_001), "5001 nodes"),
            (set_in("meshes", [{}] * 1_001), "1001 meshes"),
            (set_in("materials", [{}] * 1_001), "1001 materials"),
            (set_in("skins", [{}] * 1_001), "1001 skins"),
            (set_in("textures", [{}] * 1_001), "1001 textures"),
            (set_in("images", [{}] * 1_001), "1001 images"),
            (set_in("accessors", [{}] * 10_001), "10001 accessors"),
            (set_in("skins", [{"joints": [0] * 10_001}] * 10), "100010 joints"),
            (set_in("meshes", 0, "primitives", 0, "targets", [{}] * 5_001), "5001 morph targets"),
            (set_in("meshes", 0, "primitives", [{"attributes": {"POSITION": 0}}] * 1_001), "1001 primitives"),
        ],
    )
    def test_more_than_any_avatar_has_is_refused(
        self, tmp_path: Path, edit: Callable[[dict[str, Any]], None], reason: str
    ) -> None:
        assert_refused(edited(write_head(tmp_path / "head.glb", ["jawOpen"]), edit), reason)

    def test_skins_read_no_more_matrices_than_they_have_joints(self, tmp_path: Path) -> None:
        def edit(content: dict[str, Any]) -> None:
            content["accessors"].append({"componentType": 5126, "count": 12_000_000, "type": "MAT4"})
            last = len(content["accessors"]) - 1
            content["skins"] = [{"joints": [0], "inverseBindMatrices": last}] * 30

        path = edited(write_head(tmp_path / "head.glb", ["jawOpen"]), edit)
        load_gltf(path)  # what is imported and compiled counts not
        tracemalloc.start()
        try:
            assert len(load_gltf(path).skins) == 30
            # The file is read into a buffer of 512 MiB; all of the accessor would take 2.3 GB.
            assert tracemalloc.get_traced_memory()[1] < 600_000_000
        finally:
            tracemalloc.stop()

    def test_a_sparse_accessor_replaces_what_is_read(self, tmp_path: Path) -> None:
        def edit(content: dict[str, Any]) -> None:
            accessors = content["accessors"]
            # Of ten matrices the first and the last are replaced, by what the morph target's bytes say.
            sparse = {"count": 2, "indices": {"bufferView": indices, "componentType": 5121}}
            sparse["values"] = {"bufferView": accessors[0]["bufferView"]}
            accessors.append({"componentType": 5126, "count": 10, "type": "MAT4", "sparse": sparse})
            content["skins"] = [{"joints": [0, 0], "inverseBindMatrices": len(accessors) - 1}]

        writer = Writer()
        writer.node(mesh=add_head(writer, ["jawOpen"]))
        indices = writer.view(bytes([0, 9]))
        bind = load_gltf(edited(writer.save(tmp_path / "head.glb"), edit)).skins[0].inverse_bind
        np.testing.assert_allclose(bind[0].T.ravel(), [0.0, 0.0, 0.02] * 4 + [0.0] * 4, atol=1e-6)
        assert not bind[1].any()

    def test_the_files_of_an_avatar_are_bounded_together(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write_loose(tmp_path, "skin.png")
        cv2.imwrite(str(tmp_path / "skin.png"), np.zeros((4, 4, 3), np.uint8))
        content = json.loads(path.read_text())
        content["buffers"] *= 2
        content["bufferViews"][0]["buffer"] = 1
        path.write_text(json.dumps(content))
        load_gltf(path)
        size = path.stat().st_size + int(1.5 * (tmp_path / "numbers.bin").stat().st_size)
        monkeypatch.setattr(file, "_LARGEST_FILE", size)
        with pytest.raises(Face3DMMError, match=rf"numbers.bin has .*\(of {size} for all files of an avatar"):
            load_gltf(path)

    @pytest.mark.parametrize(
        "pictures", [[np.zeros((4, 4, 3), np.uint8)] * 2, [np.zeros((4, 4, 3), np.uint16)]], ids=["two", "16 bits"]
    )
    def test_pictures_are_bounded_together_before_any_is_unpacked(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: list[NDArray]
    ) -> None:
        writer = Writer()
        writer.node(mesh=add_head(writer, ["jawOpen"]))
        for picture in pictures:
            writer.material(texture=writer.texture(picture))
        unpacked: list[object] = []
        monkeypatch.setattr(file, "_MOST_PIXELS", 20)
        monkeypatch.setattr(file, "decode_picture", lambda *arguments: unpacked.append(arguments))
        with pytest.raises(Face3DMMError, match="make the textures smaller"):
            load_gltf(writer.save(tmp_path / "head.glb"))
        assert not unpacked

    @pytest.mark.parametrize("limit", ["_MOST_PARTS", "_MOST_TARGETS", "_MOST_MOVED"])
    def test_copies_of_a_mesh_count(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
        def edit(content: dict[str, Any]) -> None:
            content["nodes"] *= 3
            content["scenes"][0]["nodes"] = [0, 1, 2]

        path = edited(write_head(tmp_path / "head.glb", ["jawOpen"]), edit)
        bust_of(path)
        monkeypatch.setattr(posing, limit, 2)
        with pytest.raises(Face3DMMError, match="an avatar may have 2"):
            bust_of(path)

    def test_a_vrm_weight_beyond_all_numbers_is_refused(self, tmp_path: Path) -> None:
        path = write_figure(tmp_path / "figure.vrm", as_vrm_1({"jawOpen": 0}, {}))
        binds = ("extensions", "VRMC_vrm", "expressions", "custom", "jawOpen", "morphTargetBinds")
        path = edited(path, set_in(*binds, 0, "weight", 10**400))
        with pytest.raises(Face3DMMError, match="expressions are damaged"):
            bust_of(path)

    def test_a_triangle_without_its_vertex_is_refused(self, tmp_path: Path) -> None:
        writer = Writer()
        positions, triangles = sphere()
        triangles[5, 1] = len(positions)
        writer.node(mesh=writer.mesh(positions, triangles))
        with pytest.raises(Face3DMMError, match="a triangle refers to vertex"):
            load_gltf(writer.save(tmp_path / "bad.glb"))

    def test_positions_that_are_not_finite_are_refused(self, tmp_path: Path) -> None:
        writer = Writer()
        positions, triangles = sphere()
        positions[3, 1] = np.nan
        writer.node(mesh=writer.mesh(positions, triangles))
        with pytest.raises(Face3DMMError, match="not finite"):
            load_gltf(writer.save(tmp_path / "bad.glb"))

    def test_a_joint_that_the_skin_lacks_is_refused(self, tmp_path: Path) -> None:
        def change(writer: Writer, node: int, mesh: int) -> None:
            writer.file.skins[0].joints = [0]

        with pytest.raises(Face3DMMError, match="hangs on joint 1"):
            bust_of(write_figure(tmp_path / "bad.glb", change))

    def test_a_file_without_morph_targets_says_what_it_expects(self, tmp_path: Path) -> None:
        path = write_head(tmp_path / "statue.glb", [])
        with pytest.raises(Face3DMMError, match=r"found no morph targets.*jawOpen"):
            GltfAvatar(path)

    def test_morph_targets_of_other_names_are_listed(self, tmp_path: Path) -> None:
        path = write_head(tmp_path / "hat.glb", ["hatTilt"])
        with pytest.raises(Face3DMMError, match=r"hatTilt.*expected names such as jawOpen"):
            GltfAvatar(path)

    @pytest.mark.parametrize("uri", ["../secret.png", "/etc/hostname", "file:///etc/hostname", "a/../../secret.png"])
    def test_nothing_outside_the_files_folder_is_read(self, tmp_path: Path, uri: str) -> None:
        folder = tmp_path / "model"
        folder.mkdir()
        cv2.imwrite(str(tmp_path / "secret.png"), np.zeros((4, 4, 3), np.uint8))
        with pytest.raises(Face3DMMError, match="only files in its own folder"):
            load_gltf(write_loose(folder, uri))

    def test_a_link_out_of_the_folder_is_not_followed(self, tmp_path: Path) -> None:
        folder = tmp_path / "model"
        folder.mkdir()
        cv2.imwrite(str(tmp_path / "secret.png"), np.zeros((4, 4, 3), np.uint8))
        (folder / "skin.png").symlink_to(tmp_path / "secret.png")
        with pytest.raises(Face3DMMError, match="only files in its own folder"):
            load_gltf(write_loose(folder, "skin.png"))

    def test_a_picture_is_not_unpacked_before_its_size_is_known(self, tmp_path: Path) -> None:
        path = write_loose(tmp_path, "skin.png")
        cv2.imwrite(str(tmp_path / "skin.png"), np.zeros((1, 9000, 3), np.uint8))
        with pytest.raises(Face3DMMError, match="image 0 has 9000×1 px"):
            load_gltf(path)

    def test_a_picture_of_another_format_is_refused(self, tmp_path: Path) -> None:
        path = write_loose(tmp_path, "skin.bmp")
        cv2.imwrite(str(tmp_path / "skin.bmp"), np.zeros((4, 4, 3), np.uint8))
        with pytest.raises(Face3DMMError, match="no PNG, JPEG or WebP"):
            load_gltf(path)

    def test_without_the_library_the_error_says_how_to_install_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "pygltflib", None)
        with pytest.raises(Face3DMMError, match=r"face3dmm_ros\[avatar\]"):
            load_gltf(tmp_path / "any.glb")

    def test_a_picture_without_pixels_is_refused(self, tmp_path: Path) -> None:
        with (
            opened(write_head(tmp_path / "head.glb")) as avatar,
            pytest.raises(Face3DMMError, match="positive width"),
        ):
            avatar.draw([face()], (0, 120), None)

    def test_a_closed_avatar_says_so(self, tmp_path: Path) -> None:
        with opened(write_head(tmp_path / "head.glb")) as avatar:
            avatar.close()
            avatar.close()
            with pytest.raises(Face3DMMError, match="closed"):
                avatar.draw([face()], SIZE, None)

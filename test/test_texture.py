"""Textures: the model unwrapped, the picture painted on it, and a GLB that carries both."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from face3dmm_ros.core.camera import Intrinsics, WeakPerspective, metric_pose
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import rotation_from_pose_angles
from face3dmm_ros.core.values import Mesh
from face3dmm_ros.files.meshes import write_textured_mesh
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.rendering.rasterization import rasterize
from face3dmm_ros.rendering.texture import Unwrapping, paint_texture, unwrap

SIZE = 256
BACKGROUND = (255, 0, 255)


@pytest.fixture(scope="module")
def unwrapping(default_model: MorphableModel) -> Unwrapping:
    return unwrap(default_model)


def camera(yaw_degrees: float) -> WeakPerspective:
    return WeakPerspective(1.0, rotation_from_pose_angles(0.0, np.radians(yaw_degrees), 0.0), np.array([128.0, 108.0]))


def picture(model: MorphableModel, camera: WeakPerspective, brightness: float = 1.0) -> NDArray[np.uint8]:
    """The mean face without light over a colour that no face has, BGR."""
    fragments = rasterize(camera.project(model.mean), camera.depth(model.mean), model.triangles, (SIZE, SIZE))
    image = np.full((SIZE, SIZE, 3), BACKGROUND, np.uint8)
    mask = fragments.triangle >= 0
    colors = fragments.surface_points(model.triangles, mask).interpolate(model.albedo_mean)[:, ::-1]
    image[mask] = np.round(255.0 * brightness * colors)
    return image


def at_vertices(texture: NDArray[np.uint8], unwrapping: Unwrapping, vertices: NDArray) -> NDArray[np.uint8]:
    """A texture's colours, BGR, at some model vertices."""
    first = np.zeros(unwrapping.vertices.max() + 1, int)
    first[unwrapping.vertices] = np.arange(len(unwrapping.vertices))
    u, v = (unwrapping.uv[first[vertices]].T * texture.shape[0] - 0.5).round().astype(int) % texture.shape[0]
    return texture[v, u]


def test_rasterizing_finds_the_nearest_triangle_and_its_weights() -> None:
    points = np.array([[1.0, 1.0], [7.0, 1.0], [1.0, 7.0], [0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    depth = np.array([1.0, 1.0, 1.0, 5.0, 5.0, -4.0])
    fragments = rasterize(points, depth, np.array([[0, 1, 2], [3, 5, 4]]), (12, 10))
    assert fragments.triangle.shape == (10, 12)
    assert fragments.triangle[2, 2] == 0  # the second lies deeper here
    assert fragments.triangle[6, 1] == 1  # and comes forward here
    assert fragments.triangle[0, 3] == 1
    assert fragments.triangle[9, 11] == -1
    at = fragments.surface_points(np.array([[0, 1, 2], [3, 5, 4]]), fragments.triangle >= 0)
    rows, columns = np.nonzero(fragments.triangle >= 0)
    np.testing.assert_allclose(at.interpolate(points), np.column_stack([columns, rows]), atol=1e-5)


class TestUnwrapping:
    def test_it_keeps_the_models_triangles(self, default_model: MorphableModel, unwrapping: Unwrapping) -> None:
        np.testing.assert_array_equal(unwrapping.vertices[unwrapping.triangles], default_model.triangles)

    def test_only_seams_repeat_vertices(self, default_model: MorphableModel, unwrapping: Unwrapping) -> None:
        assert len(unwrapping.vertices) < 1.05 * default_model.vertex_count
        assert set(unwrapping.vertices) == set(default_model.triangles.ravel())

    def test_no_triangle_spans_the_texture(self, unwrapping: Unwrapping) -> None:
        corners = unwrapping.uv[unwrapping.triangles]
        assert np.ptp(corners, axis=1).max() < 0.25
        assert corners[..., 1].min() >= 0.0
        assert corners[..., 1].max() <= 1.0

    def test_left_and_right_mirror_each_other(self, default_model: MorphableModel, unwrapping: Unwrapping) -> None:
        left = np.argmin(np.linalg.norm(default_model.mean - [40.0, -40.0, 20.0], axis=1))
        right = np.argmin(np.linalg.norm(default_model.mean - default_model.mean[left] * [-1, 1, 1], axis=1))
        first, second = (unwrapping.uv[unwrapping.vertices == vertex][0] for vertex in (left, right))
        assert first[0] > 0.5
        np.testing.assert_allclose(first, [1.0 - second[0], second[1]], atol=2e-3)


class TestPainting:
    def test_what_the_picture_sees_keeps_its_colour(
        self, default_model: MorphableModel, unwrapping: Unwrapping
    ) -> None:
        image = picture(default_model, camera(0.0))
        texture = paint_texture(image, default_model, unwrapping, default_model.mean, camera(0.0), size=512)
        assert texture.shape == (512, 512, 3)
        places = [[0.0, 60.0, 40.0], [45.0, -40.0, 15.0], [0.0, -20.0, 50.0], [0.0, -100.0, 30.0]]
        vertices = np.array([np.argmin(np.linalg.norm(default_model.mean - place, axis=1)) for place in places])
        expected = 255.0 * default_model.albedo_mean[vertices][:, ::-1]
        np.testing.assert_allclose(at_vertices(texture, unwrapping, vertices), expected, atol=12.0)

    def test_the_hidden_side_is_taken_from_the_other_under_the_same_light(
        self, default_model: MorphableModel, unwrapping: Unwrapping
    ) -> None:
        turned = camera(60.0)
        image = picture(default_model, turned, brightness=0.6)
        # A mole on the cheek that the picture sees.
        side = np.sign(turned.rotation[2, 0]) * -1.0
        seen, hidden = (
            np.argmin(np.linalg.norm(default_model.mean - [sign * 50.0, -45.0, 5.0], axis=1)) for sign in (side, -side)
        )
        x, y = turned.project(default_model.mean)[seen].round().astype(int)
        image[y - 2 : y + 3, x - 2 : x + 3] = 0
        texture = paint_texture(image, default_model, unwrapping, default_model.mean, turned, size=512)
        seen_color, hidden_color = at_vertices(texture, unwrapping, np.array([seen, hidden])).astype(int)
        skin = 0.6 * 255.0 * default_model.albedo_mean[hidden][::-1]
        assert (seen_color < 0.5 * skin).all()
        assert (hidden_color < 0.8 * skin).all()
        near = np.argmin(np.linalg.norm(default_model.mean - [-side * 60.0, -10.0, -20.0], axis=1))
        expected = 0.6 * 255.0 * default_model.albedo_mean[near][::-1]
        np.testing.assert_allclose(at_vertices(texture, unwrapping, np.array([near]))[0], expected, rtol=0.25)

    def test_nothing_of_the_background_is_painted(self, default_model: MorphableModel, unwrapping: Unwrapping) -> None:
        image = picture(default_model, camera(30.0))
        texture = paint_texture(image, default_model, unwrapping, default_model.mean, camera(30.0), size=256)
        magenta = (texture[..., 1].astype(int) < 60) & (texture[..., 0] > 160) & (texture[..., 2] > 160)
        assert magenta.mean() < 0.001

    def test_a_face_outside_the_picture_gets_the_models_albedo(
        self, default_model: MorphableModel, unwrapping: Unwrapping
    ) -> None:
        away = WeakPerspective(1.0, camera(0.0).rotation, np.array([-900.0, 100.0]))
        image = np.zeros((50, 60, 3), np.uint8)
        texture = paint_texture(image, default_model, unwrapping, default_model.mean, away, size=256)
        cheek = np.array([np.argmin(np.linalg.norm(default_model.mean - [45.0, -40.0, 15.0], axis=1))])
        expected = 255.0 * default_model.albedo_mean[cheek][:, ::-1]
        np.testing.assert_allclose(at_vertices(texture, unwrapping, cheek), expected, atol=12.0)

    def test_impossible_pictures_and_sizes_are_refused(
        self, default_model: MorphableModel, unwrapping: Unwrapping
    ) -> None:
        image = np.zeros((50, 60, 3), np.uint8)
        with pytest.raises(Face3DMMError, match="BGR"):
            paint_texture(image[..., 0], default_model, unwrapping, default_model.mean, camera(0.0))
        for size in (1, 1_000_000):
            with pytest.raises(Face3DMMError, match="texels"):
                paint_texture(image, default_model, unwrapping, default_model.mean, camera(0.0), size=size)


class TestTexturedFile:
    @pytest.fixture
    def mesh(self, default_model: MorphableModel, unwrapping: Unwrapping) -> Mesh:
        pose = metric_pose(camera(20.0), Intrinsics.from_field_of_view((SIZE, SIZE), 60.0))
        return unwrapping.of(default_model.mesh(default_model.mean, pose, default_model.rgb()))

    def test_trimesh_reads_the_mesh_and_the_texture(self, tmp_path: Path, mesh: Mesh, unwrapping: Unwrapping) -> None:
        trimesh = pytest.importorskip("trimesh")
        texture = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
        write_textured_mesh(tmp_path / "face.glb", mesh, unwrapping.uv, texture)
        read = trimesh.load(tmp_path / "face.glb", force="mesh", process=False)
        np.testing.assert_array_equal(read.faces, mesh.triangles)
        # trimesh counts v upward.
        np.testing.assert_allclose(read.visual.uv, unwrapping.uv * [1, -1] + [0, 1], atol=1e-5)
        image = np.asarray(read.visual.material.baseColorTexture.convert("RGB"))
        np.testing.assert_array_equal(image[..., ::-1], texture)

    def test_the_file_is_valid_and_asks_for_no_further_light(
        self, tmp_path: Path, mesh: Mesh, unwrapping: Unwrapping
    ) -> None:
        pygltflib = pytest.importorskip("pygltflib")
        write_textured_mesh(tmp_path / "face.glb", mesh, unwrapping.uv, np.zeros((32, 32, 3), np.uint8))
        file = pygltflib.GLTF2().load(str(tmp_path / "face.glb"))
        assert file.extensionsUsed == ["KHR_materials_unlit"]
        assert file.materials[0].extensions == {"KHR_materials_unlit": {}}
        assert file.materials[0].pbrMetallicRoughness.baseColorTexture.index == 0
        view = file.bufferViews[file.images[0].bufferView]
        assert file.binary_blob()[view.byteOffset :][:8] == b"\x89PNG\r\n\x1a\n"
        assert view.byteOffset + view.byteLength <= file.buffers[0].byteLength == len(file.binary_blob())

    def test_what_cannot_be_written_is_refused(self, tmp_path: Path, mesh: Mesh, unwrapping: Unwrapping) -> None:
        texture = np.zeros((8, 8, 3), np.uint8)
        with pytest.raises(Face3DMMError, match=r"\.glb"):
            write_textured_mesh(tmp_path / "face.obj", mesh, unwrapping.uv, texture)
        with pytest.raises(Face3DMMError, match="texture places"):
            write_textured_mesh(tmp_path / "face.glb", mesh, unwrapping.uv[:3], texture)
        with pytest.raises(Face3DMMError, match="BGR texture"):
            write_textured_mesh(tmp_path / "face.glb", mesh, unwrapping.uv, texture[..., 0])
        with pytest.raises(Face3DMMError, match="nowhere"):
            write_textured_mesh(tmp_path / "nowhere" / "face.glb", mesh, unwrapping.uv, texture)

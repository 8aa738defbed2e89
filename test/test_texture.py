"""Textures: the model unwrapped, the picture painted on it, a person's own skin, and a GLB that carries both."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from face3dmm_ros.core.camera import Intrinsics, WeakPerspective, metric_pose
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.core.rotations import rotation_from_pose_angles
from face3dmm_ros.core.values import Mesh
from face3dmm_ros.files.meshes import write_textured_mesh
from face3dmm_ros.lab.synthesis.build_albedo_texture import build_albedo_texture
from face3dmm_ros.lab.synthesis.makehuman_assets import MakeHumanAssets
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.rendering.albedo_texture import AlbedoTexture
from face3dmm_ros.rendering.person_texture import paint_albedo
from face3dmm_ros.rendering.rasterization import rasterize
from face3dmm_ros.rendering.spherical_harmonics import SphericalHarmonicsLight
from face3dmm_ros.rendering.texture import Unwrapping, look_at_texels, paint_texture, unwrap

SIZE = 256
BACKGROUND = (255, 0, 255)


@pytest.fixture(scope="module")
def unwrapping(default_model: MorphableModel) -> Unwrapping:
    return unwrap(default_model)


def camera(yaw_degrees: float) -> WeakPerspective:
    return WeakPerspective(1.0, rotation_from_pose_angles(0.0, np.radians(yaw_degrees), 0.0), np.array([128.0, 108.0]))


def picture(
    model: MorphableModel, camera: WeakPerspective, brightness: float = 1.0, rgb: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """The mean face, without light unless it is in some vertex colours, over a colour that no face has, BGR."""
    fragments = rasterize(camera.project(model.mean), camera.depth(model.mean), model.triangles, (SIZE, SIZE))
    image = np.full((SIZE, SIZE, 3), BACKGROUND, np.uint8)
    mask = fragments.triangle >= 0
    shown = model.albedo_mean if rgb is None else rgb / 255.0
    colors = fragments.surface_points(model.triangles, mask).interpolate(shown)[:, ::-1]
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
        texture = paint_texture(
            look_at_texels(image, default_model, unwrapping, default_model.mean, camera(0.0), size=512)
        )
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
        texture = paint_texture(look_at_texels(image, default_model, unwrapping, default_model.mean, turned, size=512))
        seen_color, hidden_color = at_vertices(texture, unwrapping, np.array([seen, hidden])).astype(int)
        skin = 0.6 * 255.0 * default_model.albedo_mean[hidden][::-1]
        assert (seen_color < 0.5 * skin).all()
        assert (hidden_color < 0.8 * skin).all()
        near = np.argmin(np.linalg.norm(default_model.mean - [-side * 60.0, -10.0, -20.0], axis=1))
        expected = 0.6 * 255.0 * default_model.albedo_mean[near][::-1]
        np.testing.assert_allclose(at_vertices(texture, unwrapping, np.array([near]))[0], expected, rtol=0.25)

    def test_nothing_of_the_background_is_painted(self, default_model: MorphableModel, unwrapping: Unwrapping) -> None:
        image = picture(default_model, camera(30.0))
        texture = paint_texture(
            look_at_texels(image, default_model, unwrapping, default_model.mean, camera(30.0), size=256)
        )
        magenta = (texture[..., 1].astype(int) < 60) & (texture[..., 0] > 160) & (texture[..., 2] > 160)
        assert magenta.mean() < 0.001

    def test_a_face_outside_the_picture_gets_the_models_albedo(
        self, default_model: MorphableModel, unwrapping: Unwrapping
    ) -> None:
        away = WeakPerspective(1.0, camera(0.0).rotation, np.array([-900.0, 100.0]))
        image = np.zeros((50, 60, 3), np.uint8)
        texture = paint_texture(look_at_texels(image, default_model, unwrapping, default_model.mean, away, size=256))
        cheek = np.array([np.argmin(np.linalg.norm(default_model.mean - [45.0, -40.0, 15.0], axis=1))])
        expected = 255.0 * default_model.albedo_mean[cheek][:, ::-1]
        np.testing.assert_allclose(at_vertices(texture, unwrapping, cheek), expected, atol=12.0)

    def test_impossible_pictures_and_sizes_are_refused(
        self, default_model: MorphableModel, unwrapping: Unwrapping
    ) -> None:
        image = np.zeros((50, 60, 3), np.uint8)
        with pytest.raises(Face3DMMError, match="BGR"):
            look_at_texels(image[..., 0], default_model, unwrapping, default_model.mean, camera(0.0))
        for size in (1, 1_000_000):
            with pytest.raises(Face3DMMError, match="texels"):
                look_at_texels(image, default_model, unwrapping, default_model.mean, camera(0.0), size=size)


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

    def test_the_file_is_valid_and_viewers_light_it(self, tmp_path: Path, mesh: Mesh, unwrapping: Unwrapping) -> None:
        pygltflib = pytest.importorskip("pygltflib")
        write_textured_mesh(tmp_path / "face.glb", mesh, unwrapping.uv, np.zeros((32, 32, 3), np.uint8))
        file = pygltflib.GLTF2().load(str(tmp_path / "face.glb"))
        assert not file.extensionsUsed
        assert not file.materials[0].extensions
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
        (tmp_path / "file").touch()
        with pytest.raises(Face3DMMError, match="file"):
            write_textured_mesh(tmp_path / "file" / "face.glb", mesh, unwrapping.uv, texture)


@pytest.mark.parametrize(("x", "seen"), [(0.25, True), (-0.25, False), (SIZE - 1.25, True), (SIZE - 0.75, False)])
def test_a_texture_is_taken_from_between_the_centres_of_the_outermost_pixels(
    default_model: MorphableModel, unwrapping: Unwrapping, x: float, seen: bool
) -> None:
    """Of a face that is half a pixel large: where it is not seen, the picture does not matter."""
    far = WeakPerspective(0.001, rotation_from_pose_angles(0.0, 0.0, 0.0), np.array([x, 128.0]))
    dark, light = (
        paint_texture(
            look_at_texels(
                np.full((SIZE, SIZE, 3), grey, np.uint8), default_model, unwrapping, default_model.mean, far, size=64
            )
        )
        for grey in (60, 190)
    )
    assert (dark != light).any() == seen


@pytest.fixture(scope="module")
def albedo_texture(default_model: MorphableModel) -> AlbedoTexture:
    texture = AlbedoTexture.of(default_model)
    assert texture is not None
    return texture


class TestAlbedoTexture:
    def test_the_file_is_small(self) -> None:
        assert package_file("resource/albedo_texture.npz").stat().st_size < 1_000_000

    def test_detail_changes_no_tone(
        self, default_model: MorphableModel, unwrapping: Unwrapping, albedo_texture: AlbedoTexture
    ) -> None:
        """It is relative to the albedo: on the face's skin its mean factor is 1, with any one component."""
        away = WeakPerspective(1.0, camera(0.0).rotation, np.array([-900.0, 100.0]))
        looked = look_at_texels(
            np.zeros((9, 9, 3), np.uint8), default_model, unwrapping, default_model.mean, away, size=256
        )
        face = looked.spread(default_model.regions["face"][:, None])[..., 0] > 0.9
        for delta in np.vstack([np.zeros(len(albedo_texture.basis)), np.eye(len(albedo_texture.basis))]):
            factor = albedo_texture.factor(delta, 256)
            assert factor.shape == (256, 256, 3)
            np.testing.assert_allclose(factor[face].mean(axis=0), 1.0, atol=0.02)
            assert factor[face].std() > 0.02

    def test_coefficients_are_told_from_the_detail_that_they_make(self, albedo_texture: AlbedoTexture) -> None:
        delta = np.array([0.5, -0.8, 0.3, 0.6])
        weight = np.ones((320, 320), np.float32)
        np.testing.assert_allclose(albedo_texture.fit(albedo_texture.factor(delta, 320) - 1.0, weight), delta, atol=0.1)

    def test_what_is_seen_of_no_skin_tells_nothing(self, albedo_texture: AlbedoTexture) -> None:
        detail = np.ones((64, 64, 3), np.float32)
        np.testing.assert_array_equal(albedo_texture.fit(detail, np.zeros((64, 64), np.float32)), 0.0)

    def test_a_model_with_other_triangles_has_none(self, default_model: MorphableModel) -> None:
        assert AlbedoTexture.of(replace(default_model, triangles=default_model.triangles[::-1])) is None

    def test_it_is_read_as_it_was_written(self, albedo_texture: AlbedoTexture, tmp_path: Path) -> None:
        albedo_texture.save(tmp_path / "texture.npz")
        read = AlbedoTexture.load(tmp_path / "texture.npz")
        np.testing.assert_allclose(read.mean, albedo_texture.mean, atol=1e-6)
        np.testing.assert_allclose(read.basis, albedo_texture.basis, atol=1e-6)

    def test_tracking_does_not_load_it(self) -> None:
        code = "import sys, face3dmm_ros.pipeline, face3dmm_ros.rendering.face_renderer as r; print(*sys.modules)"
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert "face3dmm_ros.rendering.face_renderer" in run.stdout.split()
        assert "face3dmm_ros.rendering.albedo_texture" not in run.stdout.split()

    @pytest.mark.slow
    def test_skins_of_flat_colours_have_no_detail(self, default_model: MorphableModel, tmp_path: Path) -> None:
        (tmp_path / "skins").mkdir()
        for name, color in (("dark", (40, 60, 90)), ("light", (150, 180, 220)), ("pale", (190, 200, 230))):
            cv2.imwrite(str(tmp_path / "skins" / f"{name}_diffuse.png"), np.full((64, 64, 3), color, np.uint8))
        built = build_albedo_texture(MakeHumanAssets(tmp_path, default_model), default_model)
        forehead = built.mean[40:90, 130:190]
        assert np.abs(forehead).max() < 0.02


def painted(
    model: MorphableModel,
    unwrapping: Unwrapping,
    image: NDArray[np.uint8],
    at: WeakPerspective,
    gamma: NDArray[np.float64] | tuple[()] = (),
    light: SphericalHarmonicsLight | None = None,
    texture: AlbedoTexture | None = None,
) -> NDArray[np.float64]:
    """A person's texture of 512 texels a side, BGR, blurred so that neither grain nor pores count."""
    texels = look_at_texels(image, model, unwrapping, model.mean, at, gamma=gamma, size=512)
    return np.asarray(cv2.GaussianBlur(paint_albedo(texels, light=light, texture=texture), (0, 0), 4.0), np.float64)


def near(model: MorphableModel, *places: tuple[float, float, float]) -> NDArray[np.intp]:
    """The vertices nearest to places, mm."""
    return np.array([np.argmin(np.linalg.norm(model.mean - place, axis=1)) for place in places])


BEHIND_THE_EAR, NECK, CHEEK, FOREHEAD = (
    (72.0, -60.0, -110.0),
    (60.0, -95.0, -90.0),
    (45.0, -40.0, 15.0),
    (0.0, 50.0, 40.0),
)


class TestPersonTexture:
    def test_it_is_linear_in_gamma(
        self, default_model: MorphableModel, unwrapping: Unwrapping, albedo_texture: AlbedoTexture
    ) -> None:
        away = WeakPerspective(1.0, camera(0.0).rotation, np.array([-900.0, 100.0]))
        image = np.zeros((9, 9, 3), np.uint8)
        low, middle, high = (
            painted(default_model, unwrapping, image, away, gamma=np.array([tone]), texture=albedo_texture)
            for tone in (-1.0, 0.0, 1.0)
        )
        assert np.abs(high - low).max() > 40.0
        unclipped = high < 250.0
        np.testing.assert_allclose(((low + high) / 2.0)[unclipped], middle[unclipped], atol=1.5)

    def test_skin_that_is_hidden_has_the_persons_tone(
        self, default_model: MorphableModel, unwrapping: Unwrapping, albedo_texture: AlbedoTexture
    ) -> None:
        """Darker and redder than the model's albedo says."""
        rgb = np.round(default_model.rgb() * [0.7, 0.55, 0.5]).astype(np.uint8)
        image = picture(default_model, camera(0.0), rgb=rgb)
        texture = painted(default_model, unwrapping, image, camera(0.0), texture=albedo_texture)
        hidden = near(default_model, BEHIND_THE_EAR, NECK)
        np.testing.assert_allclose(at_vertices(texture, unwrapping, hidden), rgb[hidden, ::-1], rtol=0.15)

    @pytest.mark.parametrize("told", [True, False])
    def test_the_light_of_the_picture_is_taken_out(
        self, default_model: MorphableModel, unwrapping: Unwrapping, told: bool
    ) -> None:
        coefficients = SphericalHarmonicsLight.even(0.7).coefficients
        coefficients[3] = 1.4  # from the picture's right
        light = SphericalHarmonicsLight(coefficients)
        normals = default_model.normals(default_model.mean) @ camera(0.0).rotation.T
        rgb = light.shade(default_model.albedo_mean, normals)
        cheeks = near(default_model, CHEEK, (-CHEEK[0], *CHEEK[1:]))
        before = rgb[cheeks].mean(axis=1)
        assert abs(np.log(before[0] / before[1])) > 0.3
        image = picture(default_model, camera(0.0), rgb=rgb)
        texture = painted(default_model, unwrapping, image, camera(0.0), light=light if told else None)
        after = at_vertices(texture, unwrapping, cheeks).mean(axis=1)
        assert abs(np.log(after[0] / after[1])) < 0.05

    @pytest.mark.parametrize("yaw", [0.0, 50.0])
    def test_no_seam_shows_where_what_is_seen_ends(
        self, default_model: MorphableModel, unwrapping: Unwrapping, albedo_texture: AlbedoTexture, yaw: float
    ) -> None:
        """Of a skin whose tone the model does not know: across the border no step of more than 4 of 255 in the mean."""
        at = camera(yaw)
        image = picture(default_model, at, rgb=np.round(default_model.rgb() * [0.6, 0.6, 0.75]).astype(np.uint8))
        texture = painted(default_model, unwrapping, image, at, texture=albedo_texture)
        looked = look_at_texels(image, default_model, unwrapping, default_model.mean, at, size=512)
        skin = looked.spread((default_model.regions["skin"] * (1.0 - default_model.regions["scalp"]))[:, None])[..., 0]
        inside = looked.seen > 0.0
        across = 6  # texels
        border = inside[:, :-across] & ~inside[:, across:]
        border &= (cv2.erode(skin, np.ones((9, 9))) > 0.9)[:, :-across]
        assert border.sum() > 200
        steps = np.abs(texture[:, across:] - texture[:, :-across])[border]
        assert steps.mean() < 4.0

    def test_nothing_of_the_background_is_painted(
        self, default_model: MorphableModel, unwrapping: Unwrapping, albedo_texture: AlbedoTexture
    ) -> None:
        """Not even where the fitted face is wider than the one in the picture."""
        at = camera(0.0)
        wide = replace(at, scale=1.12 * at.scale)
        texture = painted(default_model, unwrapping, picture(default_model, at), wide, texture=albedo_texture)
        looked = look_at_texels(
            picture(default_model, at), default_model, unwrapping, default_model.mean, wide, size=512
        )
        skin = looked.spread(np.maximum(*(default_model.regions[name] for name in ("ears", "neck")))[:, None])[..., 0]
        magenta = (texture[..., 1] < 0.6 * texture[..., 0])[skin > 0.5]
        assert magenta.mean() < 0.01

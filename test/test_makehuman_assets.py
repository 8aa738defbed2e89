"""MakeHuman's assets on the default model: read, hung on it, and rendered. The assets here are made up."""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import FRONTAL
from face3dmm_ros.lab.synthesis.environment import behind, light_of
from face3dmm_ros.lab.synthesis.makehuman_assets import MakeHumanAssets, bind, read_mhclo
from face3dmm_ros.lab.synthesis.panorama import Panorama, read_panorama
from face3dmm_ros.lab.synthesis.random_scene import SceneOptions, random_scene
from face3dmm_ros.lab.synthesis.scene import Eyes, Light, Place, Scene, Skin, SkinPicture, Worn
from face3dmm_ros.lab.synthesis.scene_renderer import RenderedScene, SceneRenderer
from face3dmm_ros.lab.training.synthetic_faces import open_synthetic_faces
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.morphable_model.makehuman_layout import MakeHumanLayout

SIDE = 200
SMALL = SceneOptions(image_size=(96, 96), clean=True)
FLAT = Light(ambient=(0.8, 0.8, 0.8), ambient_slope=((0, 0, 0),) * 3, key=(0, 0, 0), fill=(0, 0, 0))
SQUARE = "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nf 1/1 2/2 3/3 4/4\n"


@pytest.fixture(scope="module")
def layout(default_model: MorphableModel) -> MakeHumanLayout:
    return MakeHumanLayout.of(default_model)


def base_vertex(layout: MakeHumanLayout, model: MorphableModel, landmark: int) -> int:
    """The base mesh's vertex at an iBUG landmark."""
    return int(layout.base_vertex[model.landmarks["ibug68"].vertices[landmark, 0]])


def write_asset(folder: Path, kind: str, rows: str, *, alpha: int = 255, mesh: str = SQUARE, vertices: int = 4) -> Path:
    """Files of a square that hangs on the base mesh as the rows say."""
    place = folder / kind / "square"
    place.mkdir(parents=True, exist_ok=True)
    (place / "square.obj").write_text("v 0 0 0\n" * vertices + mesh)
    (place / "square.mhmat").write_text("# made up\ndiffuseTexture square.png\n")
    (place / "square.mhclo").write_text(f"basemesh hm08\nobj_file square.obj\nmaterial square.mhmat\nverts 0\n{rows}\n")
    cv2.imwrite(str(place / "square.png"), np.full((16, 16, 4), (90, 120, 150, alpha), np.uint8))
    return place / "square.mhclo"


def before_the_mouth(layout: MakeHumanLayout, model: MorphableModel, half: float = 0.35) -> str:
    """Rows of a square, some decimetres wide, that hangs half a decimetre before the upper lip."""
    lip = base_vertex(layout, model, 51)
    corners = ((-half, -half), (half, -half), (half, half), (-half, half))
    return "\n".join(f"{lip} {lip} {lip} 1 0 0 {x} {y} 0.5" for x, y in corners)


def portrait(model: MorphableModel, **fields: object) -> Scene:
    camera = WeakPerspective(0.9, FRONTAL, np.array([SIDE / 2, 0.45 * SIDE]))
    zeros = (np.zeros(n) for n in (model.shape_count, model.expression_count, len(model.albedo_sigma)))
    plain = Scene((SIDE, SIDE), camera, *zeros, hair=None, light=FLAT, skin=Skin(blotches=0, pores=0, brow_density=0))
    return replace(plain, **fields)  # type: ignore[arg-type]


class TestHanging:
    def test_what_hangs_on_single_vertices_follows_identity_and_expression_exactly(
        self, default_model: MorphableModel, layout: MakeHumanLayout, tmp_path: Path
    ) -> None:
        rng = np.random.default_rng(0)
        chosen = rng.choice(np.flatnonzero(layout.base_vertex >= 0), 5)
        fitting, _ = read_mhclo(write_asset(tmp_path, "hair", "\n".join(map(str, layout.base_vertex[chosen]))))
        alpha = rng.normal(size=default_model.shape_count) * default_model.shape_sigma
        face = default_model.vertices(alpha, rng.random(default_model.expression_count))
        np.testing.assert_allclose(bind(fitting, layout, default_model).vertices(face), face[chosen], atol=1e-4)

    def test_weights_mix_three_vertices_and_offsets_grow_with_the_head(
        self, default_model: MorphableModel, layout: MakeHumanLayout, tmp_path: Path
    ) -> None:
        a, b, c, first, second = (int(layout.base_vertex[k]) for k in (10, 20, 30, 40, 2000))
        path = write_asset(tmp_path, "hair", f"{a} {b} {c} 0.5 0.25 0.25 0.5 0 0")
        length = abs(float(layout.base[first, 0] - layout.base[second, 0]))
        path.write_text(f"x_scale {first} {second} {length}\n" + path.read_text())
        binding = bind(read_mhclo(path)[0], layout, default_model)
        for face in (default_model.mean, 1.2 * default_model.mean):
            expected = face[[10, 20, 30]].T @ [0.5, 0.25, 0.25]
            expected[0] += 0.5 * abs(face[40, 0] - face[2000, 0]) / length
            np.testing.assert_allclose(binding.vertices(face)[0], expected, rtol=1e-4, atol=1e-3)

    def test_what_hangs_on_vertices_that_the_model_lacks_keeps_its_way_from_the_nearest(
        self, default_model: MorphableModel, layout: MakeHumanLayout, tmp_path: Path
    ) -> None:
        on_model = np.flatnonzero(layout.base_vertex >= 0)
        away, nearest = cKDTree(layout.base[layout.base_vertex[on_model]]).query(layout.base)
        lacking = int(np.flatnonzero((away > 0.2) & (away < 0.4) & (layout.base[:, 1] > 7.0))[0])
        fitting, _ = read_mhclo(write_asset(tmp_path, "hair", str(lacking)))
        binding = bind(fitting, layout, default_model)
        at_rest = binding.vertices(default_model.mean)[0]
        beside = on_model[nearest[lacking]]
        way = 102.0 * (layout.base[lacking] - layout.base[layout.base_vertex[beside]])  # mm; the mean is 2 % larger
        np.testing.assert_allclose(at_rest, default_model.mean[beside] + way, atol=6.0)
        moved = np.array([3.0, -2.0, 5.0], np.float32)
        np.testing.assert_allclose(binding.vertices(default_model.mean + moved)[0], at_rest + moved, atol=1e-3)

    def test_beards_in_json_hang_likewise(
        self, default_model: MorphableModel, layout: MakeHumanLayout, tmp_path: Path
    ) -> None:
        (tmp_path / "beard").mkdir()
        vertices = [base_vertex(layout, default_model, k) for k in (6, 8, 10, 57)]
        mesh = {
            "metadata": {
                "ref_vIdxs": [[v, v, v] for v in vertices], "weights": [[1, 0, 0]] * 4, "offsets": [[0, 0, 0]] * 4,
            },
            "uvs": [[0, 0, 1, 0, 1, 1, 0, 1]],
            "faces": [11, 0, 1, 2, 3, 0, 0, 1, 2, 3],
        }  # fmt: skip
        (tmp_path / "beard" / "Full_beard.json").write_text(json.dumps(mesh))
        cv2.imwrite(str(tmp_path / "beard" / "Full_beard_black_diff.png"), np.zeros((8, 8, 4), np.uint8))
        beard = MakeHumanAssets(tmp_path, default_model).asset("beard", "Full_beard")
        expected = default_model.mean[default_model.landmarks["ibug68"].vertices[[6, 8, 10, 57], 0]]
        np.testing.assert_allclose(beard.binding.vertices(default_model.mean), expected, atol=1e-4)
        assert len(beard.triangles) == 2


class TestRendering:
    def test_a_skins_picture_shows_where_the_layout_says(
        self, renderer: SceneRenderer, default_model: MorphableModel, layout: MakeHumanLayout, tmp_path: Path
    ) -> None:
        nose = int(default_model.landmarks["ibug68"].vertices[30, 0])
        triangle, corner = np.argwhere(default_model.triangles == nose)[0]
        u, v = layout.uv[triangle, corner]
        picture = np.full((256, 256, 3), (120, 150, 190), np.uint8)
        cv2.circle(picture, (round(u * 256 - 0.5), round((1 - v) * 256 - 0.5)), 3, (0, 0, 255), -1)
        (tmp_path / "skins").mkdir()
        cv2.imwrite(str(tmp_path / "skins" / "young_female_diffuse.png"), picture)
        assets = MakeHumanAssets(tmp_path, default_model)
        scene = portrait(default_model, skin_picture=SkinPicture(assets.skin("young_female_diffuse")))
        rendered = renderer.render(scene)
        blue, green, red = np.moveaxis(rendered.image.astype(int), -1, 0)
        rows, columns = np.nonzero((red > 2 * green) & (red > 2 * blue) & (red > 80))
        x, y = rendered.landmarks()[30, :2]
        assert len(rows) > 10
        assert np.hypot(columns.mean() - x, rows.mean() - y) < 3.0

    def test_a_picture_without_alpha_shows_the_models_colours(
        self, renderer: SceneRenderer, default_model: MorphableModel
    ) -> None:
        nothing = SkinPicture(np.zeros((64, 64, 4), np.uint8))
        with_it, without = (
            renderer.render(portrait(default_model, skin_picture=picture)).image for picture in (nothing, None)
        )
        np.testing.assert_array_equal(with_it, without)

    def test_the_neck_goes_on_in_the_pictures_colour(
        self, renderer: SceneRenderer, default_model: MorphableModel
    ) -> None:
        pixels = np.full((64, 64, 4), (60, 200, 60, 255), np.uint8)
        pixels[:32] = (200, 60, 60, 255)  # the upper half of the head
        # The cut edge in front lies in the picture's middle.
        throat = default_model.mean[np.abs(default_model.mean[:, 0]) < 3.0]
        cut = throat[(throat[:, 2] > -60.0)][:, 1].min()
        camera = WeakPerspective(2.0, FRONTAL, np.array([SIDE / 2, SIDE / 2 + 2.0 * cut]))
        image = renderer.render(portrait(default_model, camera=camera, skin_picture=SkinPicture(pixels))).image
        for row in (SIDE // 2 - 12, SIDE // 2 + 12, SIDE // 2 + 36):
            neck = image[row, SIDE // 2 - 5 : SIDE // 2 + 6].astype(int)
            assert (neck[:, 1] > neck[:, 2] + 20).all()

    @pytest.mark.parametrize(
        ("kind", "alpha", "hides"), [("hair", 255, True), ("hair", 60, False), ("lashes", 255, False)]
    )
    def test_cards_hide_what_is_behind_them_where_their_alpha_is_more_than_half(
        self,
        renderer: SceneRenderer,
        default_model: MorphableModel,
        layout: MakeHumanLayout,
        tmp_path: Path,
        kind: str,
        alpha: int,
        hides: bool,
    ) -> None:
        folder = {"hair": "hair", "lashes": "eyelashes"}[kind]
        write_asset(tmp_path, folder, before_the_mouth(layout, default_model), alpha=alpha)
        asset = MakeHumanAssets(tmp_path, default_model).asset(kind, "square")
        bare, worn = (
            renderer.render(portrait(default_model, worn=things)).visibility(default_model.scheme("ibug68"))
            for things in ((), (Worn(asset, (0.2, 0.1, 0.1)),))
        )
        assert bare[48:60].all()
        assert worn[50:53].any() != hides
        np.testing.assert_array_equal(bare[36:48], worn[36:48])

    def test_what_is_worn_takes_its_colour(
        self, renderer: SceneRenderer, default_model: MorphableModel, layout: MakeHumanLayout, tmp_path: Path
    ) -> None:
        write_asset(tmp_path, "hair", before_the_mouth(layout, default_model))
        asset = MakeHumanAssets(tmp_path, default_model).asset("hair", "square")

        def shown(color: tuple[float, float, float]) -> NDArray[np.float64]:
            rendered = renderer.render(portrait(default_model, worn=(Worn(asset, color),)))
            x, y = np.round(rendered.landmarks()[51, :2]).astype(int)
            return rendered.image[y - 3 : y + 4, x - 3 : x + 4].mean(axis=(0, 1))

        red, blue = shown((0.7, 0.1, 0.1)), shown((0.1, 0.1, 0.7))
        assert red[2] > 3 * red[0]
        assert blue[0] > 3 * blue[2]

    def test_teeth_take_the_place_of_the_models(
        self, renderer: SceneRenderer, default_model: MorphableModel, layout: MakeHumanLayout, tmp_path: Path
    ) -> None:
        lip = base_vertex(layout, default_model, 51)
        write_asset(tmp_path, "teeth", "\n".join(4 * [f"{lip} {lip} {lip} 1 0 0 0 0 -0.5"]))  # without any extent
        teeth = Worn(MakeHumanAssets(tmp_path, default_model).asset("teeth", "square"), (0.9, 0.9, 0.9))
        beta = np.zeros(default_model.expression_count)
        beta[[default_model.expression_names.index(name) for name in ("mouthUpperUpLeft", "mouthUpperUpRight")]] = 1
        beta[default_model.expression_names.index("jawOpen")] = 0.2
        own, none = (
            renderer.render(portrait(default_model, beta=beta, worn=worn)).image.astype(int) for worn in ((), (teeth,))
        )
        changed = np.abs(own - none).max(axis=2) > 30
        rows, columns = np.nonzero(changed)
        x, y = renderer.render(portrait(default_model, beta=beta)).landmarks()[[62, 66], :2].mean(axis=0)
        assert len(rows) > 20
        assert np.hypot(columns - x, rows - y).max() < 40

    def test_eyes_show_the_picture_of_an_iris(self, renderer: SceneRenderer, default_model: MorphableModel) -> None:
        picture = np.full((64, 64, 4), (200, 200, 200, 255), np.uint8)
        cv2.circle(picture, (32, 32), 14, (0, 255, 0, 255), -1)
        close = {"camera": WeakPerspective(3.0, FRONTAL, np.array([SIDE / 2 - 96, SIDE / 2]))}
        rendered = renderer.render(portrait(default_model, eyes=Eyes(picture=picture), **close))
        plain = renderer.render(portrait(default_model, **close))
        assert greenness(rendered) > greenness(plain) + 20

    def test_pictures_stay_right_when_many_have_been_shown(
        self, renderer: SceneRenderer, default_model: MorphableModel
    ) -> None:
        def shown(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
            return renderer.render(portrait(default_model, skin_picture=SkinPicture(pixels))).image

        pictures = [np.full((8, 8, 4), (k, 255 - k, 100, 255), np.uint8) for k in range(100)]
        first = shown(pictures[0])
        for picture in pictures:
            shown(picture)
        np.testing.assert_array_equal(shown(pictures[0]), first)


def greenness(rendered: RenderedScene) -> float:
    """How much greener than red an eye's middle is."""
    x, y = np.round(rendered.landmarks()[42:48, :2].mean(axis=0)).astype(int)
    _, green, red = np.moveaxis(rendered.image[y - 4 : y + 5, x - 4 : x + 5].astype(int), -1, 0)
    return float((green - red).max())


class TestRandomScenes:
    @pytest.fixture
    def folder(self, default_model: MorphableModel, layout: MakeHumanLayout, tmp_path: Path) -> Path:
        for kind in ("hair", "eyebrows", "eyelashes"):
            write_asset(tmp_path, kind, before_the_mouth(layout, default_model))
        for name in ("skins", "hdri"):
            (tmp_path / name).mkdir()
        for sex in ("female", "male"):
            cv2.imwrite(str(tmp_path / "skins" / f"young_{sex}_diffuse.png"), np.full((32, 32, 3), 150, np.uint8))
        cv2.imwrite(str(tmp_path / "hdri" / "room.hdr"), np.full((16, 32, 3), 0.5, np.float32))
        return tmp_path

    def test_the_same_seed_makes_the_same_picture(
        self, renderer: SceneRenderer, default_model: MorphableModel, folder: Path
    ) -> None:
        options = replace(SMALL, assets=folder)
        first, second = (
            renderer.render(random_scene(np.random.default_rng(4), default_model, options)).image for _ in range(2)
        )
        np.testing.assert_array_equal(first, second)

    def test_most_wear_assets_and_some_have_what_a_scene_without_has(
        self, default_model: MorphableModel, folder: Path
    ) -> None:
        options = replace(SMALL, assets=folder)
        scenes = [random_scene(np.random.default_rng(k), default_model, options) for k in range(60)]
        for share in (
            np.mean([scene.skin_picture is not None for scene in scenes]),
            np.mean([any(worn.asset.kind == "hair" for worn in scene.worn) for scene in scenes]),
            np.mean([any(worn.asset.kind == "brows" for worn in scene.worn) for scene in scenes]),
            np.mean([scene.light.reflected is not None for scene in scenes]),
        ):
            assert 0.3 < share < 0.98
        # No one has both kinds of hair, or both kinds of brows.
        for scene in scenes:
            kinds = {worn.asset.kind for worn in scene.worn}
            assert scene.hair is not None
            assert not ("hair" in kinds and scene.hair.thickness > 0)
            assert not ("brows" in kinds and scene.skin.brow_density > 0)

    def test_without_assets_the_scene_is_that_of_before(self, default_model: MorphableModel, folder: Path) -> None:
        plain, dressed = (
            random_scene(np.random.default_rng(9), default_model, replace(SMALL, assets=assets))
            for assets in (None, folder)
        )
        assert plain.worn == ()
        assert plain.skin_picture is None
        np.testing.assert_array_equal(plain.gamma, dressed.gamma)
        np.testing.assert_array_equal(plain.camera.translation, dressed.camera.translation)

    def test_the_recipe_names_the_assets(self, folder: Path) -> None:
        assert "assets" not in SMALL.recipe()
        recipe = json.loads(json.dumps(replace(SMALL, assets=folder).recipe()))
        assert recipe["assets"]["hair"] == ["square"]
        assert recipe["assets"]["place"] == ["room"]

    def test_trainings_take_the_folder(self, renderer: SceneRenderer, folder: Path) -> None:
        faces = open_synthetic_faces(chunks=1, chunk_size=1, assets=str(folder), backgrounds="drawn")
        assert len(faces) == 1
        with pytest.raises(Face3DMMError, match="not a folder"):
            open_synthetic_faces(chunks=1, chunk_size=1, assets=str(folder / "missing"), backgrounds="drawn")


def broken_line(path: Path) -> None:
    path.write_text(path.read_text() + "12 x 3\n")


def vertex_that_is_not_there(path: Path) -> None:
    path.write_text(re.sub(r"verts 0\n\d+", "verts 0\n99999", path.read_text()))


def no_number(path: Path) -> None:
    path.write_text(path.read_text() + "1 2 3 1 0 0 nan 0 0\n")


def face_of_a_missing_vertex(path: Path) -> None:
    path.with_suffix(".obj").write_text("v 0 0 0\n" * 4 + "vt 0 0\nf 1/1 2/1 9/1\n")


def no_texture(path: Path) -> None:
    path.with_suffix(".obj").write_text("v 0 0 0\n" * 4 + "f 1 2 3\n")


def other_count(path: Path) -> None:
    path.with_suffix(".obj").write_text("v 0 0 0\n" * 5 + SQUARE)


def no_picture(path: Path) -> None:
    path.with_suffix(".png").unlink()


def picture_that_is_none(path: Path) -> None:
    path.with_suffix(".png").write_bytes(b"no picture")


def no_material(path: Path) -> None:
    path.with_suffix(".mhmat").write_text("name nothing\n")


def file_elsewhere(path: Path) -> None:
    (path.parents[2] / "secret.obj").write_text("v 0 0 0\n" * 4 + SQUARE)
    path.write_text(path.read_text().replace("obj_file square.obj", "obj_file ../../secret.obj"))


class TestBrokenFiles:
    @pytest.mark.parametrize(
        ("damage", "complaint"),
        [
            (broken_line, "line 9: not a line of an .mhclo"),
            (vertex_that_is_not_there, "vertex 99999"),
            (no_number, "not finite"),
            (face_of_a_missing_vertex, "a vertex that is not there"),
            (no_texture, "line 5: not a line of an .obj"),
            (other_count, "5 vertices, but 4"),
            (no_picture, "square.png is missing"),
            (picture_that_is_none, "not a picture"),
            (no_material, "names no diffuseTexture"),
            (file_elsewhere, "secret.obj cannot be read"),
        ],
    )
    def test_a_broken_asset_is_refused_with_what_is_wrong(
        self,
        default_model: MorphableModel,
        layout: MakeHumanLayout,
        tmp_path: Path,
        damage: Callable[[Path], None],
        complaint: str,
    ) -> None:
        damage(write_asset(tmp_path / "assets", "hair", before_the_mouth(layout, default_model)))
        with pytest.raises(Face3DMMError, match=complaint):
            MakeHumanAssets(tmp_path / "assets", default_model).asset("hair", "square")

    def test_a_json_that_is_no_beard_is_refused(self, default_model: MorphableModel, tmp_path: Path) -> None:
        (tmp_path / "beard").mkdir()
        too_large = '{"metadata": {"ref_vIdxs": [[1%s]]}}' % ("0" * 400)
        for content in ("{", "[]", '{"metadata": {}}', too_large, "[" * 100_000):
            (tmp_path / "beard" / "Full_beard.json").write_text(content)
            with pytest.raises(Face3DMMError, match="not a mesh in MakeHuman's JSON"):
                MakeHumanAssets(tmp_path, default_model).asset("beard", "Full_beard")

    def test_folders_without_assets_are_refused(self, default_model: MorphableModel, tmp_path: Path) -> None:
        with pytest.raises(Face3DMMError, match="none of MakeHuman's assets"):
            MakeHumanAssets(tmp_path, default_model)
        with pytest.raises(Face3DMMError, match="not a folder"):
            MakeHumanAssets(tmp_path / "missing", default_model)

    def test_a_skin_picture_of_another_form_is_refused(self) -> None:
        with pytest.raises(Face3DMMError, match=r"\(H, W, 4\) uint8"):
            SkinPicture(np.zeros((8, 8, 3), np.uint8))


def panorama(tmp_path: Path, radiance: NDArray[np.float32]) -> Panorama:
    cv2.imwrite(str(tmp_path / "place.hdr"), radiance[..., ::-1])
    return read_panorama(tmp_path / "place.hdr")


class TestPlaces:
    def test_an_even_place_lights_from_everywhere_alike(self, tmp_path: Path) -> None:
        light, _ = light_of(panorama(tmp_path, np.full((32, 64, 3), 0.5, np.float32)), 0.0, 0.9)
        np.testing.assert_allclose(light.ambient, 0.9, rtol=0.02)
        np.testing.assert_allclose(light.ambient_slope, 0.0, atol=0.01)
        assert max(light.key) < 0.05

    @pytest.mark.parametrize(
        ("column", "turn", "toward"), [(32, 0.0, (0, 0, 1)), (48, 0.0, (-1, 0, 0)), (32, np.pi / 2, (-1, 0, 0))]
    )
    def test_the_brightest_spot_is_the_key_light(
        self, tmp_path: Path, column: int, turn: float, toward: tuple[float, ...]
    ) -> None:
        radiance = np.full((32, 64, 3), 0.2, np.float32)
        radiance[14:18, column - 2 : column + 2] = 60.0
        light, _ = light_of(panorama(tmp_path, radiance), turn, 0.9)
        assert np.dot(light.to_key, toward) > 0.98
        assert min(light.key) > 0.3

    def test_what_is_right_of_the_view_ahead_is_right_in_the_picture(self, tmp_path: Path) -> None:
        radiance = np.full((64, 128, 3), 0.1, np.float32)
        radiance[:, :8, 0] = 5.0  # ahead of the camera lies the panorama's seam, and from there on what is to the right
        seen = behind(Place(panorama(tmp_path, radiance)), 50.0, (80, 60)).astype(int)
        assert seen[30, 55, 2] > 150
        assert seen[30, 25, 2] < 120

    def test_files_that_are_no_panorama_are_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        cv2.imwrite(str(tmp_path / "square.hdr"), np.ones((8, 8, 3), np.float32))
        with pytest.raises(Face3DMMError, match="twice as wide"):
            read_panorama(tmp_path / "square.hdr")
        (tmp_path / "place.exr").write_bytes(b"no panorama")
        monkeypatch.setitem(sys.modules, "OpenEXR", None)
        with pytest.raises(Face3DMMError, match="pip install OpenEXR"):
            read_panorama(tmp_path / "place.exr")


@pytest.mark.slow
def test_the_published_assets_fit_the_head(default_model: MorphableModel, shared_data: Path) -> None:
    if not (shared_data / "makehuman").is_dir():
        pytest.skip("MakeHuman's published assets are not in ../shared/data/makehuman")
    assets = MakeHumanAssets(shared_data / "makehuman", default_model)
    face = (default_model.regions["face"] > 0.9) & (default_model.mean[:, 2] > 0)
    for kind in ("hair", "brows", "lashes", "beard", "moustache", "teeth"):
        assert assets.names(kind)
        for name in assets.names(kind):
            position = assets.asset(kind, name).binding.vertices(default_model.mean)
            distance = np.linalg.norm(position[:, None, :] - default_model.mean[face][::8], axis=2).min(axis=1)
            assert distance.min() < 25.0, name
            assert np.abs(position[:, 0]).max() < 180.0, name
    curve = default_model.scheme("ibug68").interpolate(default_model.mean)[17:27, 1]
    for name in assets.names("brows"):
        height = assets.asset("brows", name).binding.vertices(default_model.mean)[:, 1]
        assert curve.min() - 12.0 < np.median(height) < curve.max() + 12.0, name

"""Skins made from portraits, on portraits that are rendered: of faces, colours and light that are known."""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import FRONTAL
from face3dmm_ros.lab.synthesis import portrait_points, skin_library
from face3dmm_ros.lab.synthesis.people_skins import PersonSkin, SkinMaker, SkinSpace, bend, from_log_light, log_light
from face3dmm_ros.lab.synthesis.portrait_points import POINT_COUNT, Portrait, portraits_of
from face3dmm_ros.lab.synthesis.random_scene import SceneOptions, random_scene
from face3dmm_ros.lab.synthesis.skin_library import SkinLibrary, SkinRecipe
from face3dmm_ros.lab.training.synthetic_faces import open_synthetic_faces
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.rendering.rasterization import rasterize
from face3dmm_ros.rendering.spherical_harmonics import SphericalHarmonicsLight

SIZE = 256
"""Texels along each side."""
PICTURE = (480, 560)
HAIRLINE = (162, 21, 54, 103, 67, 10, 297, 332, 284, 251, 389)
CHEEKS_AND_JAW = {
    112: 356, 113: 454, 114: 323, 133: 361, 132: 288, 131: 397,
    127: 150, 126: 172, 125: 58, 111: 132, 110: 93, 109: 234,
}  # fmt: skip
"""Face Mesh's points where the template has some of its own."""


@dataclass(frozen=True, eq=False)
class Person:
    """Somebody made up."""

    alpha: NDArray[np.float64]
    gamma: NDArray[np.float64]


def person(model: MorphableModel, seed: int) -> Person:
    rng = np.random.default_rng(seed)
    gamma = rng.uniform(-1, 1, len(model.albedo_sigma)) * model.albedo_sigma
    return Person(0.5 * rng.standard_normal(model.shape_count) * model.shape_sigma, gamma)


def light_from(side: float, front: float = 0.5) -> SphericalHarmonicsLight:
    """Brighter on the picture's right, and toward the camera, by so much."""
    coefficients = SphericalHarmonicsLight.even(0.8).coefficients.copy()
    coefficients[3] = side
    coefficients[2] = -front
    return SphericalHarmonicsLight(coefficients)


def portrait(model: MorphableModel, who: Person, light: SphericalHarmonicsLight) -> Portrait:
    """Somebody from the front, with the template's points where the model has them."""
    vertices = model.vertices(who.alpha, np.zeros(model.expression_count))
    camera = WeakPerspective(2.0, FRONTAL, np.array([240.0, 240.0]))
    projected = camera.project(vertices)
    rgb = light.shade(model.albedo(who.gamma), model.normals(vertices) @ camera.rotation.T)
    image = np.full((PICTURE[1], PICTURE[0], 3), 190, np.uint8)
    fragments = rasterize(projected, camera.depth(vertices), model.triangles, PICTURE)
    covered = fragments.triangle >= 0
    image[covered] = fragments.surface_points(model.triangles, covered).interpolate(rgb.astype(float))[:, ::-1]
    return Portrait("somebody", image, template(model.scheme("mediapipe478").interpolate(projected)))


def template(face_mesh: NDArray) -> NDArray[np.float64]:
    points = np.tile(face_mesh.mean(axis=0), (POINT_COUNT, 1)).astype(float)
    for hand, curve in portrait_points._CURVES:
        points[list(hand)] = portrait_points._along(face_mesh[list(curve)], np.linspace(0, 1, len(hand)))
    for hand, middle in portrait_points._POINTS:
        points[hand] = face_mesh[list(middle)].mean(axis=0)
    points[134:145] = face_mesh[list(HAIRLINE)]
    for hand, at in CHEEKS_AND_JAW.items():
        points[hand] = face_mesh[at]
    return points


def write(folder: Path, name: str, picture: Portrait) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.png"
    cv2.imwrite(str(path), picture.image)
    path.with_suffix(".json").write_text(json.dumps({"points": picture.points.tolist()}))
    return path


@pytest.fixture(scope="module")
def space(default_model: MorphableModel) -> SkinSpace:
    return SkinSpace.of(default_model, SIZE)


@pytest.fixture(scope="module")
def maker(space: SkinSpace) -> SkinMaker:
    return SkinMaker(space)


@pytest.fixture(scope="module")
def evenly_lit(default_model: MorphableModel, maker: SkinMaker) -> PersonSkin:
    return maker.make(portrait(default_model, person(default_model, 1), light_from(0.0)))


@pytest.fixture(scope="module")
def people(default_model: MorphableModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four, one of them smiling, too."""
    folder = tmp_path_factory.mktemp("people")
    for number in range(1, 5):
        picture = portrait(default_model, person(default_model, number), light_from(0.1 * number))
        write(folder, f"{number:03d}_neutral", picture)
    write(folder, "001_smile", picture)
    return folder


def open_library(folder: Path, model: MorphableModel) -> SkinLibrary:
    return SkinLibrary.open([str(folder)], model, size=SIZE, cache=folder / "cache")


@pytest.fixture(scope="module")
def library(people: Path, default_model: MorphableModel) -> SkinLibrary:
    return open_library(people, default_model)


def luminance(log: NDArray) -> NDArray:
    return log @ np.array([0.2126, 0.7152, 0.0722])


def test_the_skin_of_a_portrait_is_the_albedo_of_the_person(
    space: SkinSpace, evenly_lit: PersonSkin, default_model: MorphableModel
) -> None:
    truth = log_light(space.spread(default_model.albedo(person(default_model, 1).gamma)))
    front = (evenly_lit.seen > 0.9) & (space.plain > 0.9)
    off = (evenly_lit.log - truth)[front]
    assert len(off) > 2000
    # How bright the light was, nobody can tell.
    assert np.abs(off - off.mean(axis=0)).mean() < 0.05


def test_brows_and_lips_lie_where_the_model_has_them(
    space: SkinSpace, evenly_lit: PersonSkin, default_model: MorphableModel
) -> None:
    truth = luminance(log_light(space.spread(default_model.albedo(person(default_model, 1).gamma))))
    front = evenly_lit.seen > 0.9
    for region in ("brows", "lips"):
        mask = space.spread(default_model.regions[region][:, None])[..., 0]
        around = front & (cv2.dilate(mask, np.ones((15, 15))) > 0.1)
        found = luminance(evenly_lit.log)[around]
        assert np.corrcoef(found, truth[around])[0, 1] > 0.85, region


def test_the_points_set_by_hand_say_where_lips_are(
    space: SkinSpace, maker: SkinMaker, evenly_lit: PersonSkin, default_model: MorphableModel
) -> None:
    picture = portrait(default_model, person(default_model, 1), light_from(0.0))
    points, down = picture.points.copy(), 8.0
    points[87:109, 1] += down
    moved = luminance(maker.make(Portrait("moved", picture.image, points)).log)
    lips = np.argwhere(space.lips > 0.5)
    (top, left), (bottom, right) = lips.min(axis=0) - 10, lips.max(axis=0) + 10
    before, texels = luminance(evenly_lit.log)[top:bottom, left:right], range(-12, 13)
    alike = [np.corrcoef(before.ravel(), moved[top + k : bottom + k, left:right].ravel())[0, 1] for k in texels]
    mm = np.ptp(space.spread(default_model.mean[:, 1:2])[..., 0][space.lips > 0.5]) / np.ptp(lips[:, 0])
    # The picture's scale is 2 px/mm.
    assert texels[int(np.argmax(alike))] * mm == pytest.approx(-down / 2.0, abs=1.5)


def test_light_from_a_side_is_taken_out(space: SkinSpace, maker: SkinMaker, default_model: MorphableModel) -> None:
    picture = portrait(default_model, person(default_model, 2), light_from(1.6))
    skin = maker.make(picture)
    x = space.spread(default_model.mean[:, :1])[..., 0]
    y = space.spread(default_model.mean[:, 1:2])[..., 0]
    cheek = (space.plain > 0.9) & (skin.seen > 0.9) & (np.abs(x) > 20) & (np.abs(x) < 50) & (y < -10) & (y > -60)
    left, right = (luminance(skin.log)[cheek & (side * x > 0)].mean() for side in (1, -1))
    height, width = PICTURE[1], PICTURE[0]
    in_picture = luminance(log_light(picture.image[..., ::-1] / 255.0))[height // 2 : height // 2 + 60]
    seen = (
        in_picture[:, width // 2 + 50 : width // 2 + 90].mean()
        - in_picture[:, width // 2 - 90 : width // 2 - 50].mean()
    )
    assert seen > 0.3
    assert abs(left - right) < seen / 5


def test_sides_that_a_light_at_the_camera_leaves_dark_are_not_dark_in_the_skin(
    space: SkinSpace, maker: SkinMaker, default_model: MorphableModel
) -> None:
    skin = maker.make(portrait(default_model, person(default_model, 2), light_from(0.0, front=2.5)))
    truth = log_light(space.spread(default_model.albedo(person(default_model, 2).gamma)))
    front = (skin.seen > 0.5) & (space.plain > 0.9)
    off = luminance(skin.log - truth)[front]
    assert off.std() < 0.06


def painted(picture: Portrait, factor: NDArray) -> Portrait:
    """A portrait with other light, (H, W) relative to its own."""
    light = np.exp(log_light(picture.image / 255.0)) * factor[..., None]
    return Portrait("painted", from_log_light(np.log(light)), picture.points)


def at_forehead(space: SkinSpace, default_model: MorphableModel) -> NDArray[np.bool_]:
    x, y = (space.spread(default_model.mean[:, k : k + 1])[..., 0] for k in (0, 1))
    return (space.plain > 0.9) & (np.abs(x) < 40) & (y > 32) & (y < 60)


def test_hair_that_hangs_over_the_forehead_is_left_out(
    space: SkinSpace, maker: SkinMaker, evenly_lit: PersonSkin, default_model: MorphableModel
) -> None:
    strands = np.zeros(PICTURE[::-1], np.uint8)
    for x in range(190, 290, 25):
        cv2.line(strands, (x, 100), (x + 6, 170), 1, 3)
    picture = portrait(default_model, person(default_model, 1), light_from(0.0))
    skin = maker.make(painted(picture, np.where(strands > 0, 0.3, 1.0)))
    forehead = at_forehead(space, default_model)
    assert skin.forehead(space) < 0.7 * evenly_lit.forehead(space)
    assert (luminance(skin.log) - luminance(evenly_lit.log))[forehead].min() > -0.3


def test_highlights_are_damped(
    space: SkinSpace, maker: SkinMaker, evenly_lit: PersonSkin, default_model: MorphableModel
) -> None:
    row, column = np.mgrid[: PICTURE[1], : PICTURE[0]]
    spot = np.exp(-((column - 200) ** 2 + (row - 290) ** 2) / (2 * 6.0**2))
    picture = portrait(default_model, person(default_model, 1), light_from(0.0))
    skin = maker.make(painted(picture, 1 + 0.4 * spot))
    brighter = (luminance(skin.log) - luminance(evenly_lit.log))[space.plain > 0.9].max()
    assert 0.02 < brighter < 0.5 * np.log(1.4)


def test_half_a_face_in_the_shade_is_as_light_as_the_other(
    space: SkinSpace, maker: SkinMaker, default_model: MorphableModel
) -> None:
    column = np.arange(PICTURE[0]) - 240.0
    shade = np.tile(1 - 0.4 / (1 + np.exp(column / 6.0)), (PICTURE[1], 1))
    picture = portrait(default_model, person(default_model, 1), light_from(0.0))
    skin = maker.make(painted(picture, shade))
    forehead = at_forehead(space, default_model)
    x = space.spread(default_model.mean[:, :1])[..., 0]
    for low, high in ((4, 15), (15, 40)):
        there = forehead & (np.abs(x) > low) & (np.abs(x) < high)
        left, right = (luminance(skin.log)[there & (side * x > 0)].mean() for side in (1, -1))
        assert abs(left - right) < 0.08


def test_what_no_picture_shows_has_the_tone_of_the_person_without_a_seam(
    space: SkinSpace, evenly_lit: PersonSkin
) -> None:
    hidden = space.shown & (evenly_lit.seen < 0.01) & (space.lips < 0.01)
    off = luminance(evenly_lit.log - space.tone(evenly_lit.log))
    assert np.abs(off[hidden]).mean() < 0.15
    behind = np.abs(off[:, 0] - off[:, -1])[space.shown[:, 0] & space.shown[:, -1]]
    assert behind.mean() < 0.15


def test_a_thin_plate_carries_points_to_where_they_are_wanted() -> None:
    rng = np.random.default_rng(0)
    at = rng.uniform(0, 400, (40, 2))
    wanted = at + np.column_stack([8 * np.sin(at[:, 1] / 150), 5 * np.cos(at[:, 0] / 150)])
    left = wanted - at - bend(at, wanted, at)
    assert np.linalg.norm(left, axis=1).mean() < 1.0


def test_log_light_and_back_is_the_same_colour() -> None:
    colors = np.arange(256, dtype=np.uint8)
    assert np.abs(from_log_light(log_light(colors / 255.0)).astype(int) - colors).max() <= 1


def test_a_mixed_skin_has_the_tone_that_is_asked_for(library: SkinLibrary, default_model: MorphableModel) -> None:
    for tone in (-2.2, 1.8):
        gamma = np.array([tone]) * default_model.albedo_sigma[:1]
        skin = library.draw(np.random.default_rng(0), gamma)
        bare = library.space.plain > 0.95
        assert np.abs(skin.rgba[bare][:, :3].mean(axis=0) / 255.0 - skin.tone).max() < 0.03


def test_a_mixed_skin_holds_on_the_outside_of_the_head_alone(library: SkinLibrary) -> None:
    skin = library.draw(np.random.default_rng(0))
    assert skin.rgba.shape == (SIZE, SIZE, 4)
    assert skin.rgba.dtype == np.uint8
    holds = skin.rgba[..., 3] == 255
    assert holds[library.space.shown].all()
    assert not holds[library.space.rows :].any()


def test_brows_leave_no_bright_rim_where_others_take_their_place(space: SkinSpace) -> None:
    brows = np.zeros((SIZE, SIZE, 3), np.float32)
    brows[space.brows > 0.95] = -1.0
    detail = brows - skin_library._large_areas(brows, space)
    assert detail[space.shown].max() < 0.25


def test_the_same_seed_gives_the_same_skin(library: SkinLibrary) -> None:
    first, again, other = (library.draw(np.random.default_rng(seed)).rgba for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_nobody_is_drawn_as_himself(library: SkinLibrary) -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        recipe = library.recipe(rng)
        assert len({recipe.tone, recipe.detail, recipe.brows}) == 3
    with pytest.raises(Face3DMMError, match="three different ones"):
        library.mix(SkinRecipe("001_neutral", "001_neutral", "002_neutral"))


def test_skins_are_made_once(people: Path, library: SkinLibrary, default_model: MorphableModel, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr(SkinMaker, "make", fail)
    again = open_library(people, default_model)
    assert again.people == library.people
    points = people / "001_neutral.json"
    before = points.read_text()
    points.write_text(before + "\n")
    try:
        with pytest.raises(AssertionError, match="made again"):
            open_library(people, default_model)
    finally:
        points.write_text(before)


def test_smiles_are_left_out_and_numbers_are_told_apart(people: Path) -> None:
    assert [path.stem for path in portraits_of(str(people))] == [f"{n:03d}_neutral" for n in (1, 2, 3, 4)]
    assert [path.stem for path in portraits_of(f"{people}:odd")] == ["001_neutral", "003_neutral"]
    assert [path.stem for path in portraits_of(f"{people}:even")] == ["002_neutral", "004_neutral"]


def test_fewer_than_three_people_are_refused(people: Path, default_model: MorphableModel) -> None:
    with pytest.raises(Face3DMMError, match="3 people's so that it is nobody's, found 2"):
        SkinLibrary.open([f"{people}:odd"], default_model, size=SIZE, cache=people / "cache")


def test_two_portraits_of_one_name_are_refused(people: Path, default_model: MorphableModel) -> None:
    with pytest.raises(Face3DMMError, match="several of the name 001_neutral, 002_neutral"):
        SkinLibrary.open([str(people), str(people)], default_model, size=SIZE, cache=people / "cache")


def test_a_folder_without_portraits_is_refused(tmp_path: Path, people: Path) -> None:
    with pytest.raises(Face3DMMError, match="holds no pictures"):
        portraits_of(str(tmp_path))
    with pytest.raises(Face3DMMError, match="is not a folder"):
        portraits_of(str(tmp_path / "nowhere"))
    (tmp_path / "anna.png").touch()
    with pytest.raises(Face3DMMError, match="does not begin with a person's number"):
        portraits_of(f"{tmp_path}:odd")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"points": [[1.0, 2.0], [3.', "is damaged"),
        ('{"point": []}', "is damaged"),
        ("[1, 2]", "is damaged"),
        (json.dumps({"points": [[1.0, 2.0]] * 188}), r"shape \(188, 2\), expected \(189, 2\)"),
        (json.dumps({"points": [[1.0, float("nan")]] * 189}), "finite numbers"),
        (None, "cannot be read"),
    ],
)
def test_points_that_are_no_template_are_refused(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "001.png"
    cv2.imwrite(str(path), np.zeros((8, 8, 3), np.uint8))
    if content is not None:
        path.with_suffix(".json").write_text(content)
    with pytest.raises(Face3DMMError, match=message):
        Portrait.read(path)


def test_a_portrait_without_a_face_is_refused(maker: SkinMaker, default_model: MorphableModel) -> None:
    empty = Portrait("nobody", np.full((200, 200, 3), 128, np.uint8), np.zeros((POINT_COUNT, 2)))
    with pytest.raises(Face3DMMError, match="nobody: no face"):
        maker.make(empty)


def test_random_people_wear_mixed_skins_with_the_brows_of_these(
    people: Path, default_model: MorphableModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    options = SceneOptions(people=(str(people),))
    options.open(default_model)
    scenes = [random_scene(np.random.default_rng([3, k]), default_model, options) for k in range(10)]
    dressed = [scene for scene in scenes if scene.skin_picture is not None]
    assert 3 <= len(dressed) < len(scenes)
    assert all(scene.skin.brow_density == scene.skin.stubble == 0.0 for scene in dressed)
    again = random_scene(np.random.default_rng([3, 0]), default_model, options)
    plain = random_scene(np.random.default_rng([3, 0]), default_model)
    for truth in ("alpha", "gamma"):
        np.testing.assert_array_equal(getattr(again, truth), getattr(scenes[0], truth))
        np.testing.assert_array_equal(getattr(again, truth), getattr(plain, truth))
    if again.skin_picture is not None and scenes[0].skin_picture is not None:
        np.testing.assert_array_equal(again.skin_picture.pixels, scenes[0].skin_picture.pixels)


def test_a_recipe_names_the_people_only_where_there_are_some(people: Path) -> None:
    assert SceneOptions(people=(f"{people}:odd",)).recipe()["people"] == [f"{people.name}:odd"]
    assert "people" not in SceneOptions().recipe()


def test_trainings_take_people_as_a_list() -> None:
    with pytest.raises(Face3DMMError, match="people must be a list"):
        open_synthetic_faces(people="london")  # type: ignore[arg-type]

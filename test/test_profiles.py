"""Photographs turned to the side: their pictures, their labels, and `face3dmm synth --photographs` that writes them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from face3dmm_ros.cli.main import main
from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import pose_angles, rotation_from_pose_angles
from face3dmm_ros.core.values import FaceParameters
from face3dmm_ros.files.truth_files import read_matrices
from face3dmm_ros.lab.synthesis.profiles import ReliefRenderer, Turn, TurnedPicture, random_turn
from face3dmm_ros.lab.synthesis.random_scene import FACE_CENTER, SceneOptions
from face3dmm_ros.lab.synthesis.relief import Relief, make_relief
from face3dmm_ros.lab.synthesis.scene import Background, Light, Scene
from face3dmm_ros.lab.synthesis.scene_renderer import RenderedScene, SceneRenderer
from face3dmm_ros.landmarks import LandmarkTracker, create_backend
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.rendering.texture import unwrap

SIZE = (360, 360)
EVEN_LIGHT = Light(key=(0.0, 0.0, 0.0), fill=(0.0, 0.0, 0.0), ambient=(0.8, 0.8, 0.8), ambient_slope=((0.0,) * 3,) * 3)
"""The same from everywhere, so that a face looks alike turned in its photograph and turned in the light."""
TURNS = (-85, -60, -30, 30, 60, 85)


def camera(yaw: float, *, scale: float = 1.0) -> WeakPerspective:
    """One that sees the face in the middle of the picture, turned by degrees."""
    rotation = rotation_from_pose_angles(0.0, np.radians(yaw), 0.0)
    middle = np.array([SIZE[0] / 2, SIZE[1] / 2])
    return WeakPerspective(scale, rotation, middle - scale * rotation[:2] @ FACE_CENTER)


def scene_of(model: MorphableModel, yaw: float) -> Scene:
    rng = np.random.default_rng(4)
    alpha = 0.6 * rng.standard_normal(model.shape_count) * model.shape_sigma
    beta = np.zeros(model.expression_count)
    background = Background(seed=3)
    return Scene(
        SIZE, camera(yaw), alpha, beta, np.zeros(len(model.albedo_sigma)), light=EVEN_LIGHT, background=background
    )


def parameters_of(model: MorphableModel, scene: Scene) -> FaceParameters:
    return FaceParameters(
        scene.camera, scene.alpha, scene.beta, model.name, model.digest, "truth", 0.0, 1.0, SIZE, scene.gamma
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Photographed:
    """A rendered face that stands for a photograph, and its relief."""

    rendered: RenderedScene
    relief: Relief
    turner: ReliefRenderer

    @staticmethod
    def at(yaw: float, renderer: SceneRenderer, turner: ReliefRenderer) -> "Photographed":
        rendered = renderer.render(scene_of(renderer.model, yaw))
        parameters = parameters_of(renderer.model, rendered.scene)
        relief = make_relief(rendered.image, parameters, renderer.model, unwrap(renderer.model))
        return Photographed(rendered, relief, turner)

    def turned(self, yaw: float) -> TurnedPicture:
        return self.turner.render(self.relief, Turn(camera(yaw), camera(yaw).rotation), SIZE)


@pytest.fixture(scope="module")
def photographed(renderer: SceneRenderer) -> Iterator[Photographed]:
    with ReliefRenderer(renderer.model) as turner:
        yield Photographed.at(0.0, renderer, turner)


def face_pixels(model: MorphableModel, rendered: RenderedScene) -> NDArray[np.bool_]:
    """Where a render shows the face's skin well, (H, W)."""
    pixels = np.zeros(SIZE[::-1], np.uint8)
    facing = -(rendered.normals @ rendered.scene.camera.rotation[2]) > 0.3
    inner = (model.regions["face"] > 0.8) & (model.mean[:, 1] > -90)
    points = rendered.scene.camera.project(rendered.vertices[facing & inner])
    for x, y in np.round(points).astype(int):
        cv2.circle(pixels, (int(x), int(y)), 2, 1, -1)
    return pixels > 0


def difference(a: NDArray[np.uint8], b: NDArray[np.uint8], where: NDArray[np.bool_]) -> float:
    return float(np.abs(a[where].astype(float) - b[where]).mean())


class TestTurnedPictures:
    def test_unturned_it_is_the_photograph(self, photographed: Photographed, default_model: MorphableModel) -> None:
        face = face_pixels(default_model, photographed.rendered)
        assert difference(photographed.turned(0.0).image, photographed.rendered.image, face) < 4.0

    @pytest.mark.slow
    @pytest.mark.parametrize("yaw", TURNS)
    def test_the_face_looks_as_the_same_face_does_from_there(
        self, photographed: Photographed, renderer: SceneRenderer, default_model: MorphableModel, yaw: float
    ) -> None:
        truth = renderer.render(scene_of(default_model, yaw))
        face = face_pixels(default_model, truth)
        turned = photographed.turned(yaw)
        moved = difference(photographed.turned(yaw + 8.0).image, truth.image, face)
        found = difference(turned.image, truth.image, face)
        assert found < 6.0
        assert found < 0.75 * moved

    @pytest.mark.parametrize("yaw", [-40, -70])
    def test_hair_does_not_cover_the_side_that_a_turned_photograph_hides(
        self, photographed: Photographed, renderer: SceneRenderer, default_model: MorphableModel, yaw: float
    ) -> None:
        turned = Photographed.at(30.0, renderer, photographed.turner).turned(yaw)
        truth = renderer.render(scene_of(default_model, yaw))
        assert difference(turned.image, truth.image, face_pixels(default_model, truth)) < 8.0
        visible = truth.visibility(default_model.scheme("ibug68"))
        assert (turned.visibility == visible).sum() >= 65

    @pytest.mark.parametrize("yaw", TURNS)
    def test_labels_are_those_of_a_render_from_there(
        self, photographed: Photographed, renderer: SceneRenderer, default_model: MorphableModel, yaw: float
    ) -> None:
        truth = renderer.render(scene_of(default_model, yaw))
        turned = photographed.turned(yaw)
        np.testing.assert_allclose(turned.landmarks, truth.landmarks(), atol=1e-3)
        visible = truth.visibility(default_model.scheme("ibug68"))
        assert (turned.visibility == visible).sum() >= 65

    @pytest.mark.slow
    @pytest.mark.parametrize("yaw", [30, -60, 60])
    def test_landmarks_are_found_where_the_label_says_as_in_a_render(
        self, photographed: Photographed, renderer: SceneRenderer, default_model: MorphableModel, yaw: float
    ) -> None:
        truth = renderer.render(scene_of(default_model, yaw))
        surface = default_model.scheme("mediapipe478")
        points = truth.points(surface)[:, :2]
        seen = truth.visibility(surface)
        errors = []
        for image in (photographed.turned(yaw).image, truth.image):
            (face,) = LandmarkTracker(create_backend()).track(image)
            errors.append(float(np.linalg.norm(face.landmarks.points - points, axis=1)[seen].mean()))
        assert errors[0] < 1.3 * errors[1] + 0.5

    def test_nothing_of_the_person_is_left_in_the_background(self, photographed: Photographed) -> None:
        person = photographed.rendered.mask()
        middle = photographed.rendered.image[person].mean(axis=0)
        backdrop = photographed.relief.backdrop
        around = photographed.rendered.image[~person].reshape(-1, 3)
        assert np.linalg.norm(backdrop.mean(axis=(0, 1)) - around.mean(axis=0)) < np.linalg.norm(
            backdrop.mean(axis=(0, 1)) - middle
        )

    def test_a_model_without_regions_is_refused(
        self, photographed: Photographed, default_model: MorphableModel
    ) -> None:
        bare = replace(default_model, regions={})
        scene = photographed.rendered.scene
        with pytest.raises(Face3DMMError, match="use the default model"):
            make_relief(photographed.rendered.image, parameters_of(bare, scene), bare, unwrap(bare))


class TestRandomTurns:
    def test_yaw_is_spread_evenly_up_to_the_greatest(self) -> None:
        turns = [random_turn(np.random.default_rng(k), camera(5.0), SceneOptions(max_yaw=60.0)) for k in range(400)]
        yaws = np.abs([np.degrees(pose_angles(turn.camera.rotation)[1]) for turn in turns])
        counts, _ = np.histogram(yaws, bins=(0, 20, 40, 60.001))
        assert counts.sum() == 400
        assert counts.min() > 90

    def test_some_are_the_photograph_as_it_was_taken(self) -> None:
        turns = [random_turn(np.random.default_rng(k), camera(5.0), SceneOptions()) for k in range(200)]
        unturned = [np.allclose(turn.camera.rotation, camera(5.0).rotation) for turn in turns]
        assert 8 < sum(unturned) < 40
        assert all(
            np.allclose(turn.shoulders, turn.camera.rotation)
            for turn, same in zip(turns, unturned, strict=True)
            if same
        )


@pytest.fixture(scope="module")
def portraits(renderer: SceneRenderer, default_model: MorphableModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one face, one face that is turned too far, and one picture without any."""
    folder = tmp_path_factory.mktemp("portraits")
    for name, yaw in (("frontal", 4.0), ("profile", 60.0)):
        cv2.imwrite(str(folder / f"{name}.png"), renderer.render(scene_of(default_model, yaw)).image)
    cv2.imwrite(str(folder / "wall.png"), np.full((200, 200, 3), 128, np.uint8))
    return folder


def synth(profiles: Path, out: Path, *options: str) -> int:
    folders = ["--photographs", str(profiles), "--out", str(out)]
    return main(["synth", "--format", "dataset", *folders, "--size", "160x160", *options])


@pytest.fixture(scope="module")
def written(portraits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("turned")
    assert synth(portraits, out, "--count", "4", "--seed", "7") == 0
    return out


@pytest.mark.slow
class TestCommand:
    def test_it_writes_pictures_with_labels_that_training_reads(
        self, written: Path, default_model: MorphableModel, tmp_path: Path
    ) -> None:
        pytest.importorskip("torch", reason="needs torch (make torch)")
        from face3dmm_ros.lab.training.labelled_folder import open_labelled_folder, read_labelled

        pictures = sorted(written.glob("*.jpg"))
        assert [path.name for path in pictures] == [f"turned00000{index}.jpg" for index in range(4)]
        for path in pictures:
            face = read_labelled(path, default_model)
            assert face.picture.shape == (160, 160, 3)
            vertices = default_model.vertices(face.alpha, face.beta)
            points = face.camera.project(default_model.scheme("ibug68").interpolate(vertices))
            np.testing.assert_allclose(face.landmarks, points, atol=1e-2)
            assert 0 <= points.min() <= points.max() <= 160
            assert read_matrices(path.with_suffix(".mat"), {"visibility": (1, 68)})["visibility"].sum() > 15
        assert len(open_labelled_folder(written, cache=tmp_path)) == 4

    def test_it_tells_which_photographs_are_left_out_and_why(
        self, portraits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert synth(portraits, tmp_path, "--count", "1") == 0
        said = capsys.readouterr().err
        assert "wall.png is left out: it shows no face" in said
        assert "profile.png is left out: its face is turned by" in said
        assert json.loads((tmp_path / "synthesis.json").read_text())["photographs"] == ["frontal.png"]

    def test_a_run_that_was_stopped_goes_on_with_the_same_pictures(self, portraits: Path, written: Path) -> None:
        before = {path.name: path.read_bytes() for path in written.glob("*.jpg")}
        (written / "turned000002.mat").unlink()
        (written / "turned000002.jpg").unlink()
        assert synth(portraits, written, "--count", "4", "--seed", "7") == 0
        assert {path.name: path.read_bytes() for path in written.glob("*.jpg")} == before

    def test_another_seed_does_not_continue_it(
        self, portraits: Path, written: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert synth(portraits, written, "--count", "4", "--seed", "8") == 2
        assert "made with other options" in capsys.readouterr().err

    def test_half_of_the_pictures_are_mirrored(self, portraits: Path, written: Path, tmp_path: Path) -> None:
        alphas = [read_matrices(path, {"alpha": (1, None)})["alpha"] for path in sorted(written.glob("*.mat"))]
        np.testing.assert_array_equal(alphas[0], alphas[2])
        np.testing.assert_array_equal(alphas[1], alphas[3])
        assert np.abs(alphas[0] - alphas[1]).max() > 0.01

    def test_pictures_without_any_face_are_refused(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "in").mkdir()
        cv2.imwrite(str(tmp_path / "in" / "wall.png"), np.full((200, 200, 3), 128, np.uint8))
        assert synth(tmp_path / "in", tmp_path / "out") == 2
        assert "none of the 1 pictures shows a face that can be turned" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--format", "bag"], "--format dataset"),
        (["--backgrounds", "."], "leave out --backgrounds and --projection"),
        (["--projection", "perspective"], "leave out --backgrounds and --projection"),
        ([], "holds no pictures"),
    ],
)
def test_impossible_requests_end_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], complaint: str
) -> None:
    (tmp_path / "empty").mkdir()
    assert synth(tmp_path / "empty", tmp_path / "out", *options) == 2
    error = capsys.readouterr().err.strip()
    assert complaint in error
    assert "\n" not in error


def test_pictures_are_not_written_among_the_photographs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert synth(tmp_path, tmp_path / "out") == 2
    assert "choose a folder beside it" in capsys.readouterr().err

"""How regression trees are grown: splits and leaves by hand, the examples, and a whole training of a few faces."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from labelled_pictures import write_folders

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.core.rotations import rotation_from_pose_angles
from face3dmm_ros.files.pictures import read_picture
from face3dmm_ros.files.whole_file import write_image
from face3dmm_ros.lab.labelled_faces import LabelledFace, labelled_faces
from face3dmm_ros.lab.landmark_trees import examples, train
from face3dmm_ros.lab.landmark_trees.boosting import Growth, grow, settle, split
from face3dmm_ros.lab.landmark_trees.examples import disturbed, examples_of, framed
from face3dmm_ros.lab.synthesis.dataset import label, write_picture
from face3dmm_ros.lab.synthesis.scene_renderer import SceneRenderer
from face3dmm_ros.landmarks.face_mesh_response import FaceMeshResponse
from face3dmm_ros.landmarks.region import Region
from face3dmm_ros.landmarks.regression_trees import CROP_IN_SQUARES, CROP_SIDE, TreeCascade
from face3dmm_ros.landmarks.tree_finder import TreeFinder
from face3dmm_ros.morphable_model import MorphableModel

MIRROR = np.array([1, 0, 2])
"""Of three points: the eyes and the nose."""


def tree_of(
    shades: np.ndarray, left: np.ndarray, first: np.ndarray, second: np.ndarray, examples: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pixels, thresholds and each example's leaf of a tree whose thresholds are not shifted."""
    nodes = len(first)
    pixels, thresholds = np.full((nodes, 2), -1, np.int16), np.empty(nodes, np.int16)
    leaf, order = np.full(len(left), -1, np.int16), np.arange(len(left), dtype=np.int32)
    split(shades, left, first, second, examples, np.zeros(first.shape), order, leaf, pixels, thresholds)
    return pixels, thresholds, leaf


class TestSplit:
    def test_a_node_takes_the_comparison_that_parts_the_examples_best(self) -> None:
        shades = np.array([[10, 90, 50], [20, 80, 50], [90, 10, 50], [80, 20, 50]], np.uint8)
        left = np.array([[1.0], [1.0], [-1.0], [-1.0]], np.float32)
        # 2 against 2 tells nothing; 0 against 1 tells all, by the difference of the second example, −60.
        pixels, thresholds, leaf = tree_of(
            shades, left, np.array([[2, 0]]), np.array([[2, 1]]), np.array([[0.0, 0.25]])
        )
        assert pixels.tolist() == [[0, 1]]
        assert thresholds.tolist() == [-60]
        # To the first leaf goes whose first pixel is lighter by more than that.
        assert leaf.tolist() == [1, 1, 0, 0]

    def test_an_example_comes_to_the_leaf_to_which_the_comparisons_lead(self) -> None:
        rng, nodes = np.random.default_rng(0), 7
        shades = rng.integers(0, 256, (80, 12)).astype(np.uint8)
        left = rng.standard_normal((80, 3)).astype(np.float32)
        pixels, thresholds, leaf = tree_of(shades, left, *rng.integers(0, 12, (2, nodes, 6)), rng.random((nodes, 6)))
        for row, found in zip(shades.astype(int), leaf, strict=True):
            node = 0
            while node < nodes:
                a, b = pixels[node]
                node = 2 * node + (1 if row[a] - row[b] > thresholds[node] else 2)
            assert found == node - nodes

    def test_a_node_takes_what_leaves_the_least_of_all_that_it_tries(self) -> None:
        rng = np.random.default_rng(1)
        shades = rng.integers(0, 256, (60, 8)).astype(np.uint8)
        left = rng.standard_normal((60, 2)).astype(np.float32)
        first, second = np.arange(7)[None], np.arange(1, 8)[None]
        examples = rng.random((1, 7))
        pixels, thresholds, _ = tree_of(shades, left, first, second, examples)

        def remaining(s: int) -> float:
            difference = shades[:, first[0, s]].astype(int) - shades[:, second[0, s]]
            lighter = difference > difference[int(60 * examples[0, s])]
            parts = [part for part in (left[lighter], left[~lighter]) if len(part)]
            return sum(float(np.square(part - part.mean(axis=0)).sum()) for part in parts)

        best = min(range(7), key=remaining)
        assert pixels[0].tolist() == [best, best + 1]
        difference = shades[:, best].astype(int) - shades[:, best + 1]
        assert thresholds[0] == difference[int(60 * examples[0, best])]

    def test_nodes_that_no_example_reaches_are_still_comparisons(self) -> None:
        shades, left = np.full((3, 4), 9, np.uint8), np.ones((3, 1), np.float32)
        indices = np.array([[0, 1], [2, 3], [3, 0]])
        pixels, _, leaf = tree_of(shades, left, indices, indices[:, ::-1].copy(), np.zeros((3, 2)))
        assert ((pixels >= 0) & (pixels < 4)).all()
        assert leaf.tolist() == [3, 3, 3]  # nothing is lighter by more than it is


class TestLeaves:
    def test_a_leaf_says_a_share_of_its_examples_mean_with_doubt(self) -> None:
        left = np.array([[4.0, -8.0], [2.0, -4.0], [10.0, 0.0]], np.float32)
        leaves = np.empty((2, 2), np.int8)
        settle(left, np.array([0, 0, 1], np.int16), np.array([0.1, 0.2], np.float32), 0.5, 1.0, leaves)
        # 0.5 · 6 / (2 + 1) = 1 and 0.5 · −12 / 3 = −2; 0.5 · 10 / 2 = 2.5.
        assert leaves.tolist() == [[10, -10], [25, 0]]
        np.testing.assert_allclose(left, [[3.0, -6.0], [1.0, -2.0], [7.5, 0.0]], atol=1e-5)

    def test_what_a_byte_cannot_say_is_cut_and_stays_left(self) -> None:
        left, leaves = np.array([[50.0]], np.float32), np.empty((1, 1), np.int8)
        settle(left, np.zeros(1, np.int16), np.array([0.1], np.float32), 1.0, 0.0, leaves)
        assert leaves.tolist() == [[127]]
        np.testing.assert_allclose(left, [[50.0 - 12.7]], atol=1e-5)

    def test_a_leaf_without_examples_says_nothing(self) -> None:
        left, leaves = np.ones((1, 1), np.float32), np.full((2, 1), 99, np.int8)
        settle(left, np.zeros(1, np.int16), np.ones(1, np.float32), 0.1, 0.0, leaves)
        assert leaves[1].tolist() == [0]


def test_only_pixels_near_each_other_are_compared() -> None:
    rng = np.random.default_rng(0)
    nearness = np.zeros((9, 9))
    nearness[2, 5] = nearness[5, 7] = 1.0
    shades = rng.integers(0, 256, (30, 9)).astype(np.uint8)
    stage = grow(shades, rng.standard_normal((30, 2)).astype(np.float32), nearness, Growth(trees=20), rng)
    assert set(map(tuple, stage.pixels.reshape(-1, 2).tolist())) == {(2, 5), (5, 7)}


def test_what_is_known_already_grows_trees_that_say_nothing() -> None:
    stage = grow(
        np.zeros((5, 3), np.uint8), np.zeros((5, 2), np.float32), np.ones((3, 3)), Growth(trees=2),
        np.random.default_rng(0),
    )  # fmt: skip
    assert not stage.leaves.any()


@pytest.mark.parametrize(("rows", "pixels"), [(4, 3), (5, 2)])
def test_errors_or_nearness_of_another_count_are_refused(rows: int, pixels: int) -> None:
    with pytest.raises(Face3DMMError, match="do not match"):
        grow(
            np.zeros((5, 3), np.uint8), np.zeros((rows, 2), np.float32), np.ones((pixels, pixels)), Growth(),
            np.random.default_rng(0),
        )  # fmt: skip


@pytest.fixture
def face(tmp_path: Path) -> LabelledFace:
    """A picture of two dark eyes and a nose, which looks to the right of the image."""
    image = np.full((200, 200, 3), 200, np.uint8)
    points = np.array([[80.0, 90.0], [130.0, 90.0], [115.0, 120.0]], np.float32)
    for x, y in points.astype(int):
        cv2.circle(image, (int(x), int(y)), 4, (20, 20, 20), -1)
    write_image(tmp_path / "face.png", image)
    return LabelledFace(tmp_path / "face.png", points, Region(105.0, 105.0, 80.0), 20.0, False)


@pytest.fixture
def undisturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Crops as they are."""
    monkeypatch.setattr(examples, "disturbed", lambda gray, _: gray)


@pytest.mark.usefixtures("undisturbed")
class TestExamples:
    def test_points_lie_where_the_crop_shows_them(self, face: LabelledFace) -> None:
        found = examples_of([face], MIRROR, True, 4, np.random.default_rng(0))
        assert found.crops.shape == (4, CROP_SIDE, CROP_SIDE)
        for crop, points in zip(found.crops, found.points, strict=True):
            columns, rows = np.round(points * CROP_SIDE / CROP_IN_SQUARES + (CROP_SIDE - 1) / 2).astype(int).T
            assert (crop[rows, columns] < 60).all()
            assert np.median(crop) > 120

    def test_a_face_that_looks_to_the_left_becomes_one_that_looks_to_the_right(self, face: LabelledFace) -> None:
        found = examples_of([replace(face, yaw=-20.0)], MIRROR, False, 2, np.random.default_rng(0))
        assert found.yaw.tolist() == [20.0, 20.0]
        left_eye, right_eye, _ = found.points[0]
        assert left_eye[0] < right_eye[0]  # each point took its counterpart's name

    @pytest.mark.parametrize(("count", "repeats"), [(1, 4), (4, 1), (2, 3)])
    def test_both_sides_are_as_many(self, face: LabelledFace, count: int, repeats: int) -> None:
        found = examples_of([face] * count, MIRROR, True, repeats, np.random.default_rng(0))
        assert (found.yaw == 20.0).sum() == (found.yaw == -20.0).sum() == count * repeats / 2

    def test_the_same_seed_makes_the_same_examples(self, face: LabelledFace) -> None:
        first, second = (examples_of([face], MIRROR, True, 2, np.random.default_rng(3)) for _ in range(2))
        assert np.array_equal(first.crops, second.crops)
        assert np.array_equal(first.points, second.points)


def test_a_disturbed_crop_is_another_picture_of_the_same_seed() -> None:
    gray = np.arange(128 * 128).reshape(128, 128).astype(np.uint8)
    first, again, other = (disturbed(gray, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first.dtype == np.uint8
    assert first.shape == gray.shape
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_frame_lies_about_the_square() -> None:
    rng, square = np.random.default_rng(0), Region(50.0, 60.0, 100.0, 0.3)
    frames = [framed(square, rng) for _ in range(400)]
    values = np.array([(f.x, f.y, np.log(f.size / 100.0 / CROP_IN_SQUARES), f.angle) for f in frames])
    np.testing.assert_allclose(values.mean(axis=0), [50.0, 60.0, 0.0, 0.3], atol=1.0)
    np.testing.assert_allclose(values.std(axis=0), [6.0, 6.0, 0.09, 0.14], rtol=0.15)


class TestLabelledFaces:
    def test_a_face_has_its_models_points_in_a_square_turned_by_its_roll(
        self, default_model: MorphableModel, tmp_path: Path
    ) -> None:
        rotation = rotation_from_pose_angles(0.1, 0.4, 0.3)
        camera = WeakPerspective(0.5, rotation, np.array([90.0, 70.0]))
        zeros = (np.zeros(n) for n in (default_model.shape_count, default_model.expression_count, 0))
        points = np.zeros((68, 3))
        write_picture(
            tmp_path / "a.png", np.zeros((160, 160, 3), np.uint8), label(default_model, camera, points, *zeros)
        )
        (face,) = labelled_faces([tmp_path], default_model)
        assert face.yaw == pytest.approx(np.degrees(0.4))
        assert face.points.shape == (478, 2)
        down = camera.project(np.array([[0.0, 0.0, 0.0], [0.0, -1.0, 0.0]]))
        x, y = down[1] - down[0]
        assert face.square.angle == pytest.approx(np.arctan2(-x, y))

    def test_one_in_ten_is_kept_back(self, renderer: SceneRenderer, tmp_path: Path) -> None:
        (folder,) = write_folders(tmp_path, renderer, [np.linspace(-40, 40, 11)])
        faces = labelled_faces([folder], renderer.model)
        assert [face.kept_back for face in faces].count(True) == 2

    def test_a_folder_without_truth_is_refused(self, default_model: MorphableModel, tmp_path: Path) -> None:
        write_image(tmp_path / "a.png", np.zeros((20, 20, 3), np.uint8))
        with pytest.raises(Face3DMMError, match="holds no picture with its truth"):
            labelled_faces([tmp_path], default_model)


@pytest.fixture(scope="module")
def folders(renderer: SceneRenderer, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Nine faces; see `labelled_pictures`."""
    return write_folders(tmp_path_factory.mktemp("faces"), renderer)


def trained(folders: Sequence[Path], folder: Path, *options: str) -> Path:
    """The file that a training of few and small trees writes, which keeps its stages in `folder`."""
    path = folder / "trees.npz"
    words = [*map(str, folders), "--out", str(path), "--work", str(folder / "work"), "--examples", "48", *options]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["train", *words])
        patch.setattr(train, "Growth", lambda: Growth(trees=40, depth=2, tries=16, doubt=1.0))
        train.main()
    return path


@pytest.fixture(scope="module")
def whole(folders: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a training of two stages wrote that was never stopped."""
    return trained(folders, tmp_path_factory.mktemp("whole"), "--stages", "2")


class TestTraining:
    def test_it_writes_a_cascade_that_can_be_read(self, whole: Path) -> None:
        cascade = TreeCascade.load(whole)
        assert cascade.thresholds.shape == (4, 2, 40, 3)
        assert cascade.yaw.tolist() == [0.0, 42.0, 76.0, 0.0]
        assert (cascade.spread[:, 0] > 0.0).all()
        flat = cascade.basis.reshape(-1, 40)
        np.testing.assert_allclose(flat.T @ flat, np.eye(40), atol=2e-3)

    def test_views_that_learn_from_both_sides_have_a_symmetric_mean(self, whole: Path) -> None:
        cascade = TreeCascade.load(whole)
        for view in (0, 3):
            mirrored = cascade.mean[view][cascade.mirror] * [-1.0, 1.0]
            np.testing.assert_allclose(mirrored, cascade.mean[view], atol=1e-6)

    def test_it_finds_the_faces_that_it_has_learnt_from(
        self, whole: Path, folders: list[Path], default_model: MorphableModel
    ) -> None:
        finder, off = TreeFinder(TreeCascade.load(whole)), []
        for face in labelled_faces(folders, default_model):
            view, side = finder.view_of(face.yaw), face.square.size
            square = replace(face.square, x=face.square.x + 0.12 * side, y=face.square.y - 0.08 * side)
            found = finder.find(read_picture(face.picture), square, face.yaw)
            mean = finder.cascade.mean[view]
            mean = mean[finder.cascade.mirror] * [-1.0, 1.0] if face.yaw < 0.0 else mean
            unmoved = square.to_image(3.0 * mean + 1.0, 3)
            if not face.kept_back:
                off.append([np.linalg.norm(p - face.points, axis=1).mean() / side for p in (found.points, unmoved)])
        by_trees, by_mean_shape = np.median(off, axis=0)
        assert by_trees < 0.8 * by_mean_shape

    def test_a_training_that_was_stopped_goes_on_to_the_same_bytes(
        self, whole: Path, folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        grown = []

        def stopping(*arguments: object) -> dict[str, object]:
            if len(grown) == 3:
                raise KeyboardInterrupt
            grown.append(True)
            return grown_stage(*arguments)  # type: ignore[arg-type]

        grown_stage = train.grown_stage
        with monkeypatch.context() as patch:
            patch.setattr(train, "grown_stage", stopping)
            with pytest.raises(KeyboardInterrupt):
                trained(folders, tmp_path, "--stages", "2")
        assert len(list((tmp_path / "work").glob("view*.npz"))) == 3
        assert not (tmp_path / "trees.npz").exists()
        assert trained(folders, tmp_path, "--stages", "2").read_bytes() == whole.read_bytes()

    def test_views_may_be_grown_one_by_one(self, whole: Path, folders: list[Path], tmp_path: Path) -> None:
        for view in ("2", "0"):
            path = trained(folders, tmp_path, "--stages", "2", "--views", view)
            assert not path.exists()
        assert trained(folders, tmp_path, "--stages", "2").read_bytes() == whole.read_bytes()

    def test_another_seed_does_not_go_on_with_the_stages_of_this_one(self, folders: list[Path], tmp_path: Path) -> None:
        trained(folders, tmp_path, "--stages", "1", "--views", "2")
        with pytest.raises(Face3DMMError, match="was made with other options"):
            trained(folders, tmp_path, "--stages", "1", "--views", "2", "--seed", "1")

    @pytest.mark.parametrize(
        ("change", "complaint"),
        [
            ({"pixels": np.full((40, 3, 2), 400, np.int16)}, "pixels must be numbers from 0 to 399"),
            ({"anchors": np.full(400, -1, np.int16)}, "anchors must be numbers from 0 to 477"),
            ({"leaves": np.zeros((40, 3, 40), np.int8)}, "is not a stage of trees: leaves has shape"),
            ({"steps": np.zeros(39, np.float32)}, "is not a stage of trees: steps has shape"),
        ],
    )
    def test_a_damaged_stage_is_not_gone_on_with(
        self, folders: list[Path], tmp_path: Path, change: dict[str, np.ndarray], complaint: str
    ) -> None:
        trained(folders, tmp_path, "--stages", "1", "--views", "0")
        stage = tmp_path / "work" / "view0_stage0.npz"
        np.savez(stage, **(dict(np.load(stage)) | change))
        with pytest.raises(Face3DMMError, match=complaint):
            trained(folders, tmp_path, "--stages", "2", "--views", "0")

    def test_a_view_that_no_face_judges_is_told_before_any_is_grown(self, folders: list[Path], tmp_path: Path) -> None:
        with pytest.raises(Face3DMMError, match="faces that are kept back none is turned by 24° to 64°"):
            trained(folders[:1], tmp_path)
        assert not any((tmp_path / "work").iterdir())

    def test_the_order_in_which_views_are_asked_for_does_not_matter(
        self, whole: Path, folders: list[Path], tmp_path: Path
    ) -> None:
        path = trained(folders, tmp_path, "--stages", "2", "--views", "3", "1", "0", "2")
        assert path.read_bytes() == whole.read_bytes()


def test_the_shipped_mirror_is_its_own_inverse() -> None:
    mirror = FaceMeshResponse.load(package_file("resource/landmark_models/face_mesh_response.npz")).mirror
    assert np.array_equal(mirror[mirror], np.arange(478))

"""What the face detector learns from, and a whole training of a few faces."""

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from labelled_pictures import write_folders

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.files.pictures import read_picture
from face3dmm_ros.lab.face_detector import train, windows
from face3dmm_ros.lab.face_detector.max_margin import separate
from face3dmm_ros.lab.face_detector.scenery import Scenery
from face3dmm_ros.lab.face_detector.windows import View, disturbed, face_window, random_windows, window_features
from face3dmm_ros.lab.labelled_faces import LabelledFace, labelled_faces
from face3dmm_ros.lab.synthesis.scene_renderer import SceneRenderer
from face3dmm_ros.landmarks.hog import CELL, CHANNELS, hog_features, mirrored
from face3dmm_ros.landmarks.hog_detector import WINDOW, WINDOW_IN_SQUARES, HogViews
from face3dmm_ros.landmarks.region import Region
from face3dmm_ros.morphable_model import MorphableModel

ASIDE = View(40.0, 20.0, 60.0)
AHEAD = View(0.0, 0.0, 30.0)
SIDE = CELL * WINDOW / WINDOW_IN_SQUARES
"""px of a square whose window is looked at as it is."""


def picture(seed: int = 0) -> np.ndarray:
    """(180, 200, 3) of soft blotches."""
    noise = np.random.default_rng(seed).integers(0, 256, (180, 200, 3)).astype(np.uint8)
    return np.asarray(cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3.0), None, 0, 255, cv2.NORM_MINMAX), np.uint8)


def face(yaw: float, x: float = 99.5, angle: float = 0.0) -> LabelledFace:
    return LabelledFace(Path("unread.png"), np.zeros((478, 2), np.float32), Region(x, 89.5, SIDE, angle), yaw, False)


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows as they are, neither moved nor disturbed."""
    for name in ("_SHIFT", "_GROWTH", "_ROLL"):
        monkeypatch.setattr(windows, name, 0.0)
    monkeypatch.setattr(windows, "disturbed", lambda gray, _: gray)


def test_a_view_knows_faces_of_its_yaw_to_either_side() -> None:
    assert [ASIDE.knows(face(yaw)) for yaw in (0.0, 20.0, -20.0, 60.0, -61.0)] == [False, True, True, True, False]


def test_a_window_has_the_features_that_the_detector_sees_there() -> None:
    image = picture()
    cells = hog_features(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8))
    # This window's cells are cells of the whole picture.
    x, y = CELL * (3 + WINDOW / 2) - 0.5, CELL * (5 + WINDOW / 2) - 0.5
    window, seen = window_features(image, Region(x, y, SIDE)), cells[5 : 5 + WINDOW, 3 : 3 + WINDOW]
    np.testing.assert_allclose(window[1:-1, 1:-1], seen[1:-1, 1:-1], atol=1e-5)
    # The outer ones are normalised by cells of which the window's picture shows a part.
    assert np.abs(window - seen).mean() < 0.05 * np.abs(seen).mean()


@pytest.mark.usefixtures("exact")
class TestFaceWindows:
    def test_a_view_that_looks_aside_learns_a_left_face_as_its_mirror_image(self) -> None:
        image, rng = picture(), np.random.default_rng(0)
        flipped = np.ascontiguousarray(image[:, ::-1])
        np.testing.assert_allclose(
            face_window(image, face(-40.0, x=90.5), ASIDE, rng),
            face_window(flipped, face(40.0, x=199 - 90.5), ASIDE, rng),
            atol=1e-5,
        )

    def test_a_view_that_looks_ahead_learns_both_sides(self) -> None:
        image, rng = picture(), np.random.default_rng(0)
        as_it_is = window_features(image, face(10.0).square)
        seen = [face_window(image, face(10.0), AHEAD, rng) for _ in range(20)]
        same = [np.allclose(window, as_it_is, atol=1e-5) for window in seen]
        flipped = [np.allclose(window, mirrored(as_it_is), atol=1e-5) for window in seen]
        assert sum(same) + sum(flipped) == 20
        assert min(sum(same), sum(flipped)) >= 3

    @pytest.mark.parametrize("yaw", [40.0, -40.0])
    def test_a_view_of_laid_heads_sees_them_so_whatever_their_own_roll(self, yaw: float) -> None:
        image, rng = picture(), np.random.default_rng(0)
        window = face_window(image, face(yaw, angle=0.7), ASIDE._replace(roll=20.0), rng)
        # A face that is turned by 20° in the window, or its mirror image by −20°.
        turned = 0.7 - math.copysign(math.radians(20.0), yaw)
        expected = window_features(image, face(yaw, angle=turned).square)
        np.testing.assert_allclose(window, expected if yaw > 0.0 else mirrored(expected), atol=1e-5)


def test_windows_of_a_face_lie_about_it_and_differ() -> None:
    image, rng = picture(), np.random.default_rng(0)
    seen = np.array([face_window(image, face(40.0), ASIDE, rng) for _ in range(12)])
    assert seen.shape == (12, WINDOW, WINDOW, CHANNELS)
    own, other = window_features(image, face(40.0).square), window_features(picture(1), face(40.0).square)
    assert (np.square(seen - own).sum(axis=(1, 2, 3)) < np.square(seen - other).sum(axis=(1, 2, 3))).all()
    assert len(np.unique(seen[:, 4, 4, 0])) > 6


def test_the_same_seed_disturbs_alike() -> None:
    gray = cv2.cvtColor(picture(), cv2.COLOR_BGR2GRAY)[:96, :96]
    first, again, other = (disturbed(np.asarray(gray, np.uint8), np.random.default_rng(seed)) for seed in (4, 4, 5))
    assert first.dtype == np.uint8
    assert first.shape == gray.shape
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("size", [(180, 200), (30, 300), (9, 9)])
def test_windows_of_scenery_lie_within_it(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    squares: list[Region] = []
    monkeypatch.setattr(windows, "window_features", lambda _, square: squares.append(square))
    assert len(list(random_windows(np.zeros((*size, 3), np.uint8), 50, np.random.default_rng(0)))) == 50
    for square in squares:
        half = square.size * WINDOW_IN_SQUARES / 2.0
        assert -1e-6 <= square.x - half <= square.x + half <= size[1] + 1e-6
        assert -1e-6 <= square.y - half <= square.y + half <= size[0] + 1e-6


def test_scenery_depends_on_its_seed_and_a_pictures_number_alone() -> None:
    scenery = Scenery(3, 5)
    scenery.picture(0)
    assert np.array_equal(scenery.picture(1), Scenery(3, 9).picture(1))
    assert scenery.picture(1).shape[2] == 3
    assert any(
        not np.array_equal(scenery.picture(1), other) for other in (scenery.picture(2), Scenery(4, 5).picture(1))
    )


class TestSolver:
    def test_the_weights_are_those_of_the_dual(self) -> None:
        rng = np.random.default_rng(0)
        examples = rng.standard_normal((80, 6)).astype(np.float32)
        positive, cost = rng.random(80) < 0.3, rng.uniform(0.1, 2.0, 80)
        found = separate(examples, positive, cost)
        assert ((found.dual >= 0.0) & (found.dual <= cost)).all()
        np.testing.assert_allclose(
            found.weights, (found.dual * np.where(positive, 1.0, -1.0)) @ examples.astype(float), atol=1e-9
        )

    def test_two_points_are_parted_in_their_middle(self) -> None:
        examples = np.array([[3.0, 1.0], [1.0, 1.0]], np.float32)
        found = separate(examples, np.array([True, False]), np.full(2, 100.0), tolerance=1e-9, most_rounds=10_000)
        np.testing.assert_allclose(found.weights, [1.0, -2.0], atol=1e-3)
        assert found.energy == pytest.approx(2.5, abs=1e-3)

    def test_a_cost_of_twice_is_the_example_twice(self) -> None:
        rng = np.random.default_rng(2)
        examples = np.column_stack([rng.standard_normal((30, 3)), np.ones(30)]).astype(np.float32)
        positive = rng.random(30) < 0.5
        doubled = separate(examples, positive, np.where(positive, 0.2, 0.1), tolerance=1e-8, most_rounds=20_000)
        repeated = separate(
            np.concatenate([examples, examples[positive]]),
            np.append(positive, np.ones(positive.sum(), np.bool_)),
            np.full(30 + positive.sum(), 0.1),
            tolerance=1e-8,
            most_rounds=20_000,
        )
        np.testing.assert_allclose(doubled.weights, repeated.weights, atol=1e-3)

    def test_examples_at_right_angles_are_settled_in_one_round(self) -> None:
        # Each α is at once the best, as no other's example moves its margin: 1, 1/4, or its cost.
        examples = np.diag([1.0, 2.0, 0.5]).astype(np.float32)
        found = separate(examples, np.array([True, False, True]), np.full(3, 3.0), most_rounds=1)
        np.testing.assert_allclose(found.dual, [1.0, 0.25, 3.0])
        np.testing.assert_allclose(found.weights, [1.0, -0.5, 1.5])

    def test_an_example_of_nothing_does_no_harm(self) -> None:
        examples = np.array([[1.0], [-1.0], [0.0]], np.float32)
        found = separate(examples, np.array([True, False, True]), np.ones(3))
        assert found.weights == pytest.approx([1.0], abs=0.05)

    @pytest.mark.parametrize(
        ("examples", "cost", "complaint"),
        [
            (np.ones((2, 3), np.float32), np.ones(3), "do not go with"),
            (np.ones(2, np.float32), np.ones(2), "do not go with"),
            (np.array([[1.0], [np.nan]], np.float32), np.ones(2), "finite examples"),
            (np.array([[1.0], [np.inf]], np.float32), np.ones(2), "finite examples"),
            (np.ones((2, 1), np.float32), np.array([1.0, 0.0]), "positive costs"),
            (np.ones((2, 1), np.float32), np.array([1.0, np.nan]), "positive costs"),
        ],
    )
    def test_what_cannot_be_separated_is_refused(self, examples: np.ndarray, cost: np.ndarray, complaint: str) -> None:
        with pytest.raises(Face3DMMError, match=complaint):
            separate(examples, np.array([True, False]), cost)


@pytest.fixture(scope="module")
def folders(renderer: SceneRenderer, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Nine faces; see `labelled_pictures`."""
    return write_folders(tmp_path_factory.mktemp("faces"), renderer)


def trained(folders: Sequence[Path], path: Path, seed: int = 0) -> Path:
    """The file that a training writes that sees little else than those faces."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["train", *map(str, folders), "--out", str(path), "--seed", str(seed)])
        patch.setattr(train, "_PICTURES", 2)
        patch.setattr(train, "_ROUNDS", 1)
        train.main()
    return path


@pytest.fixture(scope="module")
def written(folders: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What such a training wrote."""
    return trained(folders, tmp_path_factory.mktemp("written") / "hog.npz")


def test_a_training_writes_classifiers_that_can_be_read(written: Path) -> None:
    views = HogViews.load(written)
    assert views.yaw.tolist() == [0.0, 0.0, 40.0, 75.0, 0.0, -40.0, -75.0]
    assert views.roll.tolist() == [0.0, 26.0, 0.0, 0.0, -26.0, 0.0, 0.0]


def test_what_was_trained_tells_the_faces_that_taught_from_scenery(
    written: Path, folders: list[Path], default_model: MorphableModel
) -> None:
    views, rng = HogViews.load(written), np.random.default_rng(9)

    def score(window: np.ndarray) -> float:
        return float(views.scores(np.ascontiguousarray(window @ views.basis)).max())

    teachers = [face for face in labelled_faces(folders, default_model) if not face.kept_back]
    faces = [score(window_features(read_picture(face.picture), face.square)) for face in teachers]
    others = [score(window) for window in random_windows(Scenery(1, 1).picture(0), 30, rng)]
    assert np.median(faces) > max(others)


def test_the_same_seed_trains_to_the_same_bytes(written: Path, folders: list[Path], tmp_path: Path) -> None:
    assert trained(folders, tmp_path / "hog.npz").read_bytes() == written.read_bytes()


def test_another_seed_trains_other_classifiers(written: Path, folders: list[Path], tmp_path: Path) -> None:
    assert trained(folders, tmp_path / "hog.npz", seed=1).read_bytes() != written.read_bytes()

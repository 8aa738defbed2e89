"""Regression trees: a cascade's arithmetic, how it is grown, and what it refuses."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.lab.landmark_trees.boosting import Growth, grow
from face3dmm_ros.landmarks.face_mesh_response import FaceMeshResponse
from face3dmm_ros.landmarks.region import Region
from face3dmm_ros.landmarks.regression_trees import (
    CROP_SIDE,
    SQUARE_PX,
    TreeCascade,
    normalized,
    read_shades,
    summed_leaves,
)
from face3dmm_ros.landmarks.schemes import IBUG68_IN_MEDIAPIPE478
from face3dmm_ros.landmarks.tree_check import SIGNS, TreeCheck
from face3dmm_ros.landmarks.tree_finder import TreeFinder

POINTS, COMPONENTS, PIXELS = 12, 4, 20


def cascade(seed: int = 0, views: int = 2, stages: int = 2, trees: int = 3, depth: int = 2) -> TreeCascade:
    """Random trees."""
    rng, nodes = np.random.default_rng(seed), 2**depth - 1
    basis = np.linalg.qr(rng.standard_normal((2 * POINTS, COMPONENTS)))[0]
    return TreeCascade(
        mean=rng.uniform(-0.5, 0.5, (views, POINTS, 2)).astype(np.float32),
        basis=basis.reshape(POINTS, 2, COMPONENTS).astype(np.float32),
        anchors=rng.integers(0, POINTS, (views, stages, PIXELS)).astype(np.int16),
        offsets=rng.normal(0.0, 0.1, (views, stages, PIXELS, 2)).astype(np.float32),
        pixels=rng.integers(0, PIXELS, (views, stages, trees, nodes, 2)).astype(np.int16),
        thresholds=rng.integers(-30, 30, (views, stages, trees, nodes)).astype(np.int16),
        leaves=rng.integers(-127, 128, (views, stages, trees, nodes + 1, COMPONENTS)).astype(np.int8),
        steps=np.full((views, stages, COMPONENTS), 1e-4, np.float32),
        yaw=np.zeros(views, np.float32),
        turn=np.zeros((views, COMPONENTS + 1), np.float32),
        spread=np.ones((views, 2, POINTS), np.float32),
        mirror=np.arange(POINTS, dtype=np.int16),
    )


def crop(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (CROP_SIDE, CROP_SIDE)).astype(np.uint8)


def save(trees: TreeCascade, path: Path, **change: np.ndarray) -> Path:
    np.savez_compressed(path, **(vars(trees) | change))
    return path


def test_stages_add_what_their_trees_say() -> None:
    trees, gray, c = cascade(), crop(), np.zeros(COMPONENTS, np.float32)
    for stage in range(2):
        shape = trees.points(1, c)
        # The similarity from the mean shape, as a complex factor.
        u, v = ((points - points.mean(axis=0)) @ [1.0, 1j] for points in (trees.mean[1], shape))
        factor = np.vdot(u, v) / np.vdot(u, u).real
        offsets = factor * (trees.offsets[1, stage] @ [1.0, 1j])
        places = shape[trees.anchors[1, stage]] + np.column_stack([offsets.real, offsets.imag])
        columns, rows = (
            np.clip(np.floor(places * SQUARE_PX + (CROP_SIDE - 1) / 2 + 0.5), 0, CROP_SIDE - 1).astype(int).T
        )
        shades, said = gray[rows, columns].astype(int), np.zeros(COMPONENTS)
        for tree in range(3):
            node = 0
            while node < 3:
                first, second = trees.pixels[1, stage, tree, node]
                lighter = shades[first] - shades[second] > trees.thresholds[1, stage, tree, node]
                node = 2 * node + (1 if lighter else 2)
            said += trees.leaves[1, stage, tree, node - 3]
        c = (c + said * trees.steps[1, stage]).astype(np.float32)
    np.testing.assert_allclose(trees.shapes(gray, 1, np.zeros((1, COMPONENTS), np.float32))[0], c, atol=1e-6)


@pytest.mark.parametrize(("turn", "growth"), [(0.0, 1.0), (1.2, 0.8), (-2.5, 1.3)])
def test_pixels_move_turn_and_grow_with_the_shape(turn: float, growth: float) -> None:
    """They stay where they are on the face."""
    rng = np.random.default_rng(3)
    mean, anchors = rng.uniform(-0.25, 0.25, (POINTS, 2)).astype(np.float32), np.arange(POINTS, dtype=np.int16)
    offsets = rng.uniform(-0.1, 0.1, (POINTS, 2)).astype(np.float32)
    similarity = growth * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    c = (mean @ similarity + [0.05, -0.02] - mean).reshape(1, -1).astype(np.float32)
    components, gray = np.eye(2 * POINTS, dtype=np.float32), crop()
    shades = read_shades(gray[None], mean, components, c, anchors, offsets, np.float32(SQUARE_PX))
    places = ((mean + offsets) @ similarity + [0.05, -0.02]) * SQUARE_PX + (CROP_SIDE - 1) / 2
    columns, rows = np.floor(places + 0.5).astype(int).T
    np.testing.assert_array_equal(shades[0], gray[rows, columns])


def test_several_starts_are_each_followed_alone() -> None:
    trees, gray = cascade(), crop()
    starts = np.random.default_rng(2).normal(0.0, 0.1, (3, COMPONENTS)).astype(np.float32)
    alone = [trees.shapes(gray, 0, start[None])[0] for start in starts]
    np.testing.assert_array_equal(trees.shapes(gray, 0, starts), alone)


def test_a_shape_far_outside_of_the_crop_reads_the_crops_border() -> None:
    trees, gray = cascade(), crop()
    for far in (1e6, -1e6, np.inf, np.nan):
        start = np.full((1, COMPONENTS), far, np.float32)
        assert trees.shapes(gray, 0, start).shape == (1, COMPONENTS)


def test_a_start_is_the_mean_shape_moved() -> None:
    trees = cascade()
    full = replace(trees, basis=np.eye(2 * POINTS, dtype=np.float32).reshape(POINTS, 2, -1))
    moved = full.points(0, full.start(0, (0.1, -0.2), 1.2, 0.0))
    np.testing.assert_allclose(moved, 1.2 * trees.mean[0] + [0.1, -0.2], atol=1e-6)


def test_shades_no_longer_tell_light_and_contrast() -> None:
    gray = crop() // 4 * 2 + 60
    dimmed = (gray - 60) // 2 + 20
    assert np.abs(normalized(gray).astype(int) - normalized(dimmed).astype(int)).max() <= 2
    assert (normalized(np.full_like(gray, 77)) == 128).all()


def test_trees_learn_what_pixels_tell() -> None:
    rng = np.random.default_rng(0)
    shades = rng.integers(0, 256, (600, 10)).astype(np.uint8)
    difference = shades[:, 3].astype(float) - shades[:, 7]
    truth = np.column_stack([np.sign(difference), 0.5 * (difference > 60)]).astype(np.float32)
    left, nearness = truth.copy(), np.ones((10, 10)) - np.eye(10)
    stage = grow(shades, left, nearness, Growth(trees=40, depth=3, tries=30, doubt=1.0), np.random.default_rng(1))
    assert (left**2).sum() < 0.1 * (truth**2).sum()
    # What is left is what the bytes of the leaves do not say.
    said = summed_leaves(shades, stage.pixels, stage.thresholds, stage.leaves) * stage.steps
    np.testing.assert_allclose(said, truth - left, atol=1e-4)


def test_the_same_seed_grows_the_same_trees() -> None:
    shades = crop()[:, :10]
    nearness = np.ones((10, 10)) - np.eye(10)
    target = np.random.default_rng(3).standard_normal((CROP_SIDE, 3)).astype(np.float32)
    first, second = (grow(shades, target.copy(), nearness, Growth(trees=4), np.random.default_rng(7)) for _ in range(2))
    for name, array in vars(first).items():
        np.testing.assert_array_equal(array, getattr(second, name))


def test_many_crops_read_what_one_reads(tmp_path: Path) -> None:
    trees, crops = cascade(), np.stack([crop(1), crop(2)])
    c = np.random.default_rng(4).normal(0.0, 0.1, (2, COMPONENTS)).astype(np.float32)
    places = trees.anchors[0, 0], trees.offsets[0, 0], np.float32(SQUARE_PX)
    both = read_shades(crops, trees.mean[0], trees.components, c, *places)
    for k in range(2):
        alone = read_shades(crops[k : k + 1], trees.mean[0], trees.components, c[k : k + 1], *places)
        np.testing.assert_array_equal(both[k], alone[0])


def test_a_cascade_survives_its_file(tmp_path: Path) -> None:
    trees = cascade()
    loaded = TreeCascade.load(save(trees, tmp_path / "trees.npz"))
    for name, array in vars(trees).items():
        np.testing.assert_array_equal(getattr(loaded, name), array)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"pixels": np.full((2, 2, 3, 3, 2), PIXELS, np.int16)}, "pixels must be numbers from 0 to 19"),
        ({"pixels": np.full((2, 2, 3, 3, 2), -1, np.int16)}, "pixels must be numbers from 0 to 19"),
        ({"anchors": np.full((2, 2, PIXELS), POINTS, np.int16)}, "anchors must be numbers from 0 to 11"),
        ({"mirror": np.full(POINTS, 99, np.int16)}, "mirror must be numbers from 0 to 11"),
        ({"leaves": np.zeros((2, 2, 3, 5, COMPONENTS), np.int8)}, "trees of 3 nodes and 5 leaves"),
        ({"leaves": np.zeros((2, 2, 3, 4, COMPONENTS), np.int32)}, "leaves must be int8, found int32"),
        ({"turn": np.zeros((2, 3), np.float32)}, "a turn of 3"),
        ({"anchors": np.full((2, 2, PIXELS), -1, np.int16)}, "anchors must be numbers from 0 to 11, found -1 to -1"),
        ({"pixels": np.full((2, 2, 3, 3, 2), -32768, np.int16)}, "pixels must be numbers from 0 to 19"),
        ({"pixels": np.zeros((2, 2, 3, 3, 2), ">i2")}, "pixels must be int16, found >i2"),
        ({"thresholds": np.zeros((2, 2, 3, 3), np.float32)}, "thresholds must be int16, found float32"),
        (
            {
                "pixels": np.zeros((2, 2, 3, 2, 2), np.int16),
                "thresholds": np.zeros((2, 2, 3, 2), np.int16),
                "leaves": np.zeros((2, 2, 3, 3, COMPONENTS), np.int8),
            },
            "trees of 2 nodes and 3 leaves",
        ),
        ({"steps": np.full((2, 2, COMPONENTS), 1e200)}, "steps has NaN or infinite"),
        ({"basis": np.full((POINTS, 2, COMPONENTS), -np.inf)}, "basis has NaN or infinite"),
        ({"anchors": np.zeros((2, 2, 0), np.int16)}, "anchors has shape .* not empty"),
        ({"mirror": np.array([None] * POINTS)}, "holds objects"),
        ({"leaves": np.zeros((2, 2, 5_000_000, 4), np.int8)}, "more than the 67108864 that are accepted"),
        ({"mean": np.full((2, POINTS, 2), np.nan, np.float32)}, "mean has NaN or infinite"),
        ({"steps": np.zeros((2, 1, COMPONENTS), np.float32)}, "steps has shape"),
    ],
)
def test_a_damaged_file_is_refused_in_a_line(tmp_path: Path, change: dict[str, np.ndarray], complaint: str) -> None:
    with pytest.raises(Face3DMMError, match=complaint) as error:
        TreeCascade.load(save(cascade(), tmp_path / "trees.npz", **change))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("lacking", ["mean", "leaves", "mirror"])
def test_a_file_that_lacks_an_array_is_refused(tmp_path: Path, lacking: str) -> None:
    np.savez(tmp_path / "trees.npz", **{name: array for name, array in vars(cascade()).items() if name != lacking})
    with pytest.raises(Face3DMMError, match="is not a cascade of regression trees"):
        TreeCascade.load(tmp_path / "trees.npz")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_file_that_was_cut_short_is_refused(tmp_path: Path, share: float) -> None:
    whole = save(cascade(), tmp_path / "whole.npz").read_bytes()
    (tmp_path / "trees.npz").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(Face3DMMError, match="is not a cascade of regression trees"):
        TreeCascade.load(tmp_path / "trees.npz")


@pytest.mark.parametrize(
    ("gray", "starts"),
    [
        (np.zeros((CROP_SIDE, CROP_SIDE - 1), np.uint8), np.zeros((1, COMPONENTS), np.float32)),
        (np.zeros((4, 4), np.uint8), np.zeros((1, COMPONENTS), np.float32)),
        (crop(), np.zeros((1, COMPONENTS + 1), np.float32)),
        (crop(), np.zeros(COMPONENTS, np.float32)),
    ],
)
def test_a_crop_or_starts_of_another_shape_are_refused(gray: np.ndarray, starts: np.ndarray) -> None:
    with pytest.raises(Face3DMMError, match="do not go with these trees"):
        cascade().shapes(gray, 0, starts)


class TestFinder:
    """Random trees of all 478 points: whatever they find, they find alike."""

    mirror = FaceMeshResponse.load(package_file("resource/landmark_models/face_mesh_response.npz")).mirror
    square = Region(99.5, 79.5, SQUARE_PX)
    """Its crop takes the very pixels of the image, and mirroring does not round."""

    @pytest.fixture(scope="class")
    @staticmethod
    def trees() -> TreeCascade:
        """Three views, for faces that look ahead or aside and for a first look."""
        rng = np.random.default_rng(0)
        basis = np.linalg.qr(rng.standard_normal((2 * 478, COMPONENTS)))[0].astype(np.float32)
        return replace(
            cascade(views=3),
            mean=rng.uniform(-0.4, 0.4, (3, 478, 2)).astype(np.float32),
            basis=basis.reshape(478, 2, COMPONENTS),
            steps=np.full((3, 2, COMPONENTS), 3e-3, np.float32),
            yaw=np.array([0.0, 50.0, 0.0], np.float32),
            turn=rng.normal(0.0, 9.0, (3, COMPONENTS + 1)).astype(np.float32),
            spread=rng.uniform(0.5, 1.0, (3, 2, 478)).astype(np.float32),
            mirror=TestFinder.mirror.astype(np.int16),
        )

    @pytest.fixture(scope="class")
    @staticmethod
    def image() -> np.ndarray:
        """(160, 200, 3) of soft blotches."""
        noise = np.random.default_rng(1).integers(0, 256, (160, 200, 3)).astype(np.uint8)
        return np.asarray(cv2.GaussianBlur(noise, (0, 0), 3.0), np.uint8)

    def test_a_face_and_its_mirror_image_are_found_alike(self, trees: TreeCascade, image: np.ndarray) -> None:
        finder, flipped = TreeFinder(trees), np.ascontiguousarray(image[:, ::-1])
        right = finder.find(image, self.square, 50.0)
        left = finder.find(flipped, replace(self.square, x=199.0 - self.square.x), -50.0)
        np.testing.assert_allclose(left.points, (right.points * [-1, 1] + [199, 0])[trees.mirror], atol=1e-3)
        np.testing.assert_allclose(left.spread, right.spread[trees.mirror], atol=1e-4)
        np.testing.assert_allclose(left.deviation, right.deviation[trees.mirror], atol=1e-4)
        assert left.yaw == pytest.approx(-right.yaw)
        assert left.square.angle == pytest.approx(-right.square.angle, abs=1e-5)
        assert abs(right.yaw) > 1.0

    def test_a_square_of_twice_the_size_in_an_image_of_twice_holds_twice_the_points(
        self, trees: TreeCascade, image: np.ndarray
    ) -> None:
        finder, large = TreeFinder(trees), image.repeat(2, axis=0).repeat(2, axis=1)
        once = finder.find(image, self.square, 0.0)
        middle = 2.0 * self.square.x + 0.5, 2.0 * self.square.y + 0.5
        twice = finder.find(large, Region(*middle, 2.0 * SQUARE_PX), 0.0)
        np.testing.assert_allclose(twice.points, 2.0 * once.points + 0.5, atol=0.01)
        np.testing.assert_allclose(twice.deviation, 2.0 * once.deviation, rtol=1e-3)

    def test_the_view_that_knows_a_yaw_best_is_asked(self, trees: TreeCascade) -> None:
        finder = TreeFinder(trees)
        assert [finder.view_of(yaw) for yaw in (0.0, 24.0, -26.0, 90.0, None)] == [0, 0, 1, 1, 2]

    def test_starts_that_end_apart_make_points_less_sure(self, trees: TreeCascade, image: np.ndarray) -> None:
        known, unsure = (
            TreeFinder(replace(trees, spread=np.broadcast_to(np.float32([[1e-4], [weight]]), (3, 2, 478)))).find(
                image, self.square, 0.0
            )
            for weight in (0.0, 4.0)
        )
        np.testing.assert_allclose(known.deviation, 0.01 * SQUARE_PX, rtol=1e-4)
        np.testing.assert_allclose(unsure.deviation**2, known.deviation**2 + 4.0 * unsure.spread**2, rtol=1e-4)
        assert unsure.spread.mean() > 0.1

    def test_trees_that_say_nothing_leave_the_mean_shape_in_the_square(
        self, trees: TreeCascade, image: np.ndarray
    ) -> None:
        silent, square = replace(trees, leaves=np.zeros_like(trees.leaves)), replace(self.square, angle=0.3)
        found = TreeFinder(silent).find(image, square, 0.0, starts=1)
        np.testing.assert_allclose(found.points, square.to_image(3.0 * trees.mean[0] + 1.0, 3), atol=1e-3)
        assert found.square.angle == pytest.approx(0.3, abs=1e-6)

    def test_a_square_outside_of_the_image_or_nowhere_is_refused(self, trees: TreeCascade, image: np.ndarray) -> None:
        for square in (Region(900.0, 80.0, 50.0), Region(np.nan, 80.0, 50.0), Region(80.0, 80.0, 0.0)):
            with pytest.raises(Face3DMMError, match="lies"):
                TreeFinder(trees).find(image, square, 0.0)

    @pytest.mark.parametrize("change", [{"mirror": np.arange(12, dtype=np.int16)}, {"yaw": np.zeros(1, np.float32)}])
    def test_trees_of_other_points_or_of_a_single_view_are_refused(
        self, trees: TreeCascade, change: dict[str, np.ndarray]
    ) -> None:
        with pytest.raises(Face3DMMError, match="expected trees of 478 points and 2 views or more"):
            TreeFinder(replace(trees, **change))  # type: ignore[arg-type]


def test_the_shipped_trees_find_a_portraits_eyes(astronaut: np.ndarray) -> None:
    finder = TreeFinder(TreeCascade.load(package_file("resource/landmark_models/trees.npz")))
    for shift, growth, turn in ((0.0, 1.0, 0.0), (6.0, 1.1, 0.1), (-6.0, 0.9, -0.1)):
        square = Region(220.0 + shift, 133.0, 90.0 * growth, turn)
        points = finder.find(astronaut, square, 0.0).points[IBUG68_IN_MEDIAPIPE478]
        np.testing.assert_allclose(points[36:42].mean(axis=0), (202.5, 101.5), atol=4.0)
        np.testing.assert_allclose(points[42:48].mean(axis=0), (247.5, 103.5), atol=4.0)


def test_the_check_is_surer_the_nearer_the_starts_end() -> None:
    nothing = np.zeros(0, np.float32)
    weights = np.array([0.0, 1.0, -2.0, 0.0, 0.0, 0.0], np.float32)
    check = TreeCheck(nothing, nothing, nothing, nothing, weights, np.array([-8.0], np.float32))
    near, far = (np.array([0.0, 1.0, spread, 0.0, 0.0, 0.0], np.float32) for spread in (-5.0, -3.0))
    assert len(near) == len(SIGNS)
    assert check.confidence(near) > 0.9 > 0.5 > check.confidence(far)

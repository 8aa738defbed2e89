"""Regression trees: a cascade's arithmetic, how it is grown, and what it refuses."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.lab.landmark_trees.boosting import Growth, grow
from face3dmm_ros.landmarks.regression_trees import (
    CROP_SIDE,
    SQUARE_PX,
    TreeCascade,
    normalized,
    read_shades,
    summed_leaves,
)
from face3dmm_ros.landmarks.tree_check import SIGNS, TreeCheck

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
    np.savez(path, **(vars(trees) | change))
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
        ({"mean": np.full((2, POINTS, 2), np.nan, np.float32)}, "mean has NaN or infinite"),
        ({"steps": np.zeros((2, 1, COMPONENTS), np.float32)}, "steps has shape"),
    ],
)
def test_a_damaged_file_is_refused_in_a_line(tmp_path: Path, change: dict[str, np.ndarray], complaint: str) -> None:
    with pytest.raises(Face3DMMError, match=complaint) as error:
        TreeCascade.load(save(cascade(), tmp_path / "trees.npz", **change))
    assert "\n" not in str(error.value)


def test_the_check_is_surer_the_nearer_the_starts_end() -> None:
    nothing = np.zeros(0, np.float32)
    weights = np.array([0.0, 1.0, -2.0, 0.0, 0.0, 0.0], np.float32)
    check = TreeCheck(nothing, nothing, nothing, nothing, weights, np.array([-8.0], np.float32))
    near, far = (np.array([0.0, 1.0, spread, 0.0, 0.0, 0.0], np.float32) for spread in (-5.0, -3.0))
    assert len(near) == len(SIGNS)
    assert check.confidence(near) > 0.9 > 0.5 > check.confidence(far)

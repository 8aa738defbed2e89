"""Histograms of oriented gradients, and the classifiers that are slid over them."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.lab.face_detector.max_margin import separate
from face3dmm_ros.lab.face_detector.windows import principal_components
from face3dmm_ros.landmarks.hog import CELL, CHANNELS, hog_features, mirrored
from face3dmm_ros.landmarks.hog_detector import WINDOW, WINDOW_IN_SQUARES, HogDetector, HogViews, square_of
from face3dmm_ros.landmarks.region import Region


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width)).astype(np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 2.0), np.uint8)


def slow_features(gray: np.ndarray) -> np.ndarray:
    """As the papers have it, a pixel, a cell and a block at a time."""
    rows, columns = gray.shape[0] // CELL, gray.shape[1] // CELL
    padded = np.pad(gray.astype(float), 1, mode="edge")
    dx, dy = padded[1:-1, 2:] - padded[1:-1, :-2], padded[2:, 1:-1] - padded[:-2, 1:-1]
    cells = np.zeros((rows + 2, columns + 2, 18))
    for y in range(rows * CELL):
        for x in range(columns * CELL):
            size = math.hypot(dx[y, x], dy[y, x]) / 255.0
            angle = math.degrees(math.atan2(dy[y, x], dx[y, x])) % 360.0
            # The sectors are mirror images of each other.
            sector = int(angle // 20) if dx[y, x] >= 0 else (8 - int((180.0 - angle) % 360.0 // 20)) % 18
            row, column = (y + 0.5) / CELL + 0.5, (x + 0.5) / CELL + 0.5
            for i in (0, 1):
                for j in (0, 1):
                    share = (1 - abs(int(row) + i - row)) * (1 - abs(int(column) + j - column))
                    cells[int(row) + i, int(column) + j, sector] += share * size
    cells = cells[1:-1, 1:-1]
    energy = np.pad(((cells[..., :9] + cells[..., 9:]) ** 2).sum(axis=2), 1, mode="edge")
    features = np.zeros((rows, columns, CHANNELS))
    for row in range(rows):
        for column in range(columns):
            for block, (up, left) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
                norm = math.sqrt(energy[row + up : row + up + 2, column + left : column + left + 2].sum() + 1e-4)
                signed = np.minimum(cells[row, column] / norm, 0.2)
                unsigned = np.minimum((cells[row, column, :9] + cells[row, column, 9:]) / norm, 0.2)
                features[row, column, :18] += signed / 2
                features[row, column, 18:27] += unsigned / 2
                features[row, column, 27 + block] = 0.2357 * signed.sum()
    return features


def test_features_are_those_of_the_papers() -> None:
    gray = picture(37, 50)
    np.testing.assert_allclose(hog_features(gray), slow_features(gray), atol=2e-4)


def test_features_of_a_mirror_image_are_the_mirrored_features() -> None:
    gray = picture(48, 64)
    np.testing.assert_allclose(
        hog_features(np.ascontiguousarray(gray[:, ::-1])), mirrored(hog_features(gray)), atol=1e-6
    )


def test_features_hardly_change_with_the_light() -> None:
    gray = picture(64, 64) // 2 * 2
    np.testing.assert_allclose(hog_features(gray // 2 + 20), hog_features(gray), atol=5e-3)


@pytest.mark.parametrize(
    "found", [np.zeros((4, 40), np.uint8), np.zeros((40, 40)), np.zeros((40, 40, 3), np.uint8), None]
)
def test_what_is_no_grey_picture_is_refused(found: object) -> None:
    with pytest.raises(Face3DMMError, match="expected a grey uint8 picture of 8×8 px or more, found"):
        hog_features(found)  # type: ignore[arg-type]


def test_principal_components_are_even_or_odd_under_mirroring() -> None:
    windows = np.stack([hog_features(picture(80, 80, seed)) for seed in range(8)])
    basis = principal_components(windows, 12)
    np.testing.assert_allclose(basis.T @ basis, np.eye(12), atol=1e-5)
    parity = (mirrored(basis.T[:, None])[:, 0].T * basis).sum(axis=0)
    np.testing.assert_allclose(np.abs(parity), 1.0, atol=1e-5)


def test_the_solver_reaches_the_largest_margin() -> None:
    rng = np.random.default_rng(0)
    examples = np.column_stack([rng.standard_normal((200, 5)), np.ones(200)]).astype(np.float32)
    positive = examples[:, 0] + 0.5 * examples[:, 1] + 0.4 * rng.standard_normal(200) > 0.2
    cost = np.full(200, 0.3)
    found = separate(examples, positive, cost, tolerance=1e-6, most_rounds=5000)
    assert 0.0 <= found.gap <= 1e-6 * found.energy
    # The conditions of Karush, Kuhn and Tucker.
    margin = np.where(positive, 1.0, -1.0) * (examples @ found.weights)
    assert (margin[found.dual == 0.0] > 1.0 - 1e-2).all()
    assert (margin[found.dual == cost] < 1.0 + 1e-2).all()
    np.testing.assert_allclose(margin[(found.dual > 0.0) & (found.dual < cost)], 1.0, atol=1e-2)


def test_the_solver_gives_the_same_weights_for_the_same_seed() -> None:
    examples = np.random.default_rng(1).standard_normal((60, 4)).astype(np.float32)
    positive, cost = examples[:, 2] > 0.1, np.ones(60)
    first, second = (separate(examples, positive, cost, seed=3).weights for _ in range(2))
    assert np.array_equal(first, second)


def test_the_solver_refuses_one_class_alone() -> None:
    with pytest.raises(Face3DMMError, match="both classes"):
        separate(np.ones((3, 2), np.float32), np.ones(3, np.bool_), np.ones(3))


@pytest.fixture
def pattern() -> np.ndarray:
    """A grey picture of the window's size."""
    return picture(CELL * WINDOW, CELL * WINDOW, 5)


@pytest.fixture
def views(pattern: np.ndarray) -> HogViews:
    """One view, which looks aside, and scores 1 on the pattern and less elsewhere; its basis is all channels'."""
    basis = principal_components(hog_features(pattern)[None], CHANNELS)
    cells = hog_features(pattern) @ basis
    centered = cells - cells.mean()
    weights = centered / np.square(centered).sum()
    one = np.ones(1, np.float32)
    return HogViews(
        basis, weights[None], -np.full(1, 0.0, np.float32), np.array([[1.0, -0.6]], np.float32), 30 * one, 0 * one
    )


def test_a_window_scores_its_weighted_sum(views: HogViews) -> None:
    cells = views.components(picture(CELL * 13, CELL * 15, 9))
    sums = views.scores(np.ascontiguousarray(cells))
    assert sums.shape == (1, 4, 6)
    expected = (cells[2 : 2 + WINDOW, 3 : 3 + WINDOW] * views.filters[0]).sum() + views.bias[0]
    assert sums[0, 2, 3] == pytest.approx(expected, abs=1e-4)


def test_a_mirrored_view_scores_a_mirrored_picture_as_the_view_the_picture(
    views: HogViews, pattern: np.ndarray
) -> None:
    both = views.with_mirror_images()
    assert both.yaw.tolist() == [30.0, -30.0]
    here, there = (both.scores(both.components(np.ascontiguousarray(p)))[:, 0, 0] for p in (pattern, pattern[:, ::-1]))
    np.testing.assert_allclose(there, here[::-1], atol=1e-5)


def test_a_pattern_is_found_once_where_it_lies(views: HogViews, pattern: np.ndarray) -> None:
    image = np.full((480, 640), 120, np.uint8)
    image[200:280, 320:400] = pattern
    found = HogDetector(views).detect(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))
    assert len(found) == 1
    box, side = found[0].box, CELL * WINDOW / WINDOW_IN_SQUARES
    assert (box.x + box.width / 2, box.y + box.height / 2) == pytest.approx((359.5, 239.5), abs=CELL)
    assert box.width == pytest.approx(side, rel=0.2)
    assert found[0].yaw == 30.0


def test_the_square_of_a_face_is_the_one_around_its_points() -> None:
    points = np.array([[10.0, 10.0], [50.0, 10.0], [50.0, 100.0], [10.0, 100.0]])
    square = square_of(points)
    assert (square.x, square.y, square.size) == pytest.approx((30.0, 55.0, 60.0))
    turned = square_of(Region(0.0, 0.0, 3.0, 0.4).to_image(points, 3), 0.4)
    assert turned.size == pytest.approx(60.0)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"filters": np.zeros((3, 9, 10, 15), np.float16)}, "filters has shape"),
        ({"yaw": np.zeros(2, np.float32)}, "yaw has shape"),
        ({"bias": np.full(3, np.nan, np.float32)}, "bias has NaN or infinite"),
    ],
)
def test_a_damaged_file_is_refused_in_a_line(tmp_path: Path, change: dict[str, np.ndarray], complaint: str) -> None:
    arrays = {
        "basis": np.zeros((31, 15), np.float32), "filters": np.zeros((3, 10, 10, 15), np.float16),
        "bias": np.zeros(3, np.float32), "odds": np.ones((3, 2), np.float32), "yaw": np.zeros(3, np.float32),
        "roll": np.zeros(3, np.float32),
    }  # fmt: skip
    np.savez(tmp_path / "hog.npz", **(arrays | change))  # type: ignore[arg-type]
    with pytest.raises(Face3DMMError, match=complaint) as error:
        HogViews.load(tmp_path / "hog.npz")
    assert "\n" not in str(error.value)

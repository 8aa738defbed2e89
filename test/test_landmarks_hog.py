"""Histograms of oriented gradients, and the classifiers that are slid over them."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.resource_files import package_file
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


class Told(HogDetector):
    """A detector that is told the log odds of its windows."""

    def __init__(self, views: HogViews, *told: tuple[np.ndarray, float]) -> None:
        super().__init__(views)
        self._told = told

    def sizes(self, _: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """What was told: log odds (V, …, …), and the px of the image that a px of that size is."""
        for odds, scale in self._told:
            yield odds, np.full(2, scale)


def odds(**scores: float) -> np.ndarray:
    """(2, 30, 30) log odds: `v1_5_7` is view 1's window of row 5 and column 7."""
    told = np.full((2, 30, 30), -9.0)
    for name, score in scores.items():
        told[tuple(map(int, name[1:].split("_")))] = score
    return told


def found_by(views: HogViews, *told: tuple[np.ndarray, float], least: float = 0.0) -> list[tuple[float, int, Region]]:
    return Told(views, *told).squares(np.zeros((1, 1, 3), np.uint8), least)


class TestOverlappingWindows:
    def test_of_those_that_overlap_the_surest_is_kept(self, views: HogViews) -> None:
        found = found_by(views, (odds(v0_5_5=1.0, v0_5_6=3.0, v0_6_5=2.0), 1.0))
        assert [(score, view) for score, view, _ in found] == [(3.0, 0)]

    def test_apart_from_each_other_all_are_kept_the_surest_first(self, views: HogViews) -> None:
        found = found_by(views, (odds(v0_2_2=1.0, v0_2_20=3.0, v0_20_2=2.0), 1.0))
        assert [score for score, _, _ in found] == [3.0, 2.0, 1.0]

    def test_views_compete_and_the_surest_tells_how_the_face_is_turned(self, views: HogViews) -> None:
        assert [view for _, view, _ in found_by(views, (odds(v0_5_5=1.0, v1_5_5=1.5), 1.0))] == [1]

    def test_sizes_compete(self, views: HogViews) -> None:
        # The larger window lies around the smaller one, which fills two thirds of it.
        found = found_by(views, (odds(v0_5_5=1.0), 1.0), (odds(v0_3_3=2.0), 1.2))
        assert [score for score, _, _ in found] == [2.0]

    def test_what_a_dropped_window_overlaps_alone_is_kept(self, views: HogViews) -> None:
        # The middle one overlaps both others, which are clear of each other.
        found = found_by(views, (odds(v0_5_5=3.0, v0_5_9=2.0, v0_5_13=1.0), 1.0))
        assert [score for score, _, _ in found] == [3.0, 1.0]

    def test_windows_that_are_less_sure_than_asked_for_are_left_out(self, views: HogViews) -> None:
        told = odds(v0_2_2=1.0, v0_2_20=-1.0, v0_20_2=np.nan)
        assert len(found_by(views, (told, 1.0), least=0.0)) == 1
        assert len(found_by(views, (told, 1.0), least=-2.0)) == 2

    def test_what_is_kept_is_what_a_plain_search_keeps(self, views: HogViews) -> None:
        rng = np.random.default_rng(0)
        told = [(np.where(rng.random((2, 30, 30)) < 0.05, rng.normal(0.0, 2.0, (2, 30, 30)), -9.0), s) for s in (1, 2)]
        windows = [each for size in told for one in np.argwhere(size[0] >= -2.0) for each in found_by(
            views, (odds(**{"v" + "_".join(map(str, one)): size[0][tuple(one)]}), size[1]), least=-2.0
        )]  # fmt: skip
        kept: list[tuple[float, int, Region]] = []
        for window in sorted(windows, key=lambda each: -each[0]):
            if all(window[2].overlap(other) < 0.3 for _, _, other in kept):
                kept.append(window)
        assert found_by(views, *told, least=-2.0) == kept
        assert 10 < len(kept) < len(windows) / 2


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (7, 7), (60, 60)])
@pytest.mark.parametrize("shade", [0, 255])
def test_an_image_without_an_edge_holds_no_face(size: tuple[int, int], shade: int) -> None:
    assert HogDetector().detect(np.full((*size, 3), shade, np.uint8)) == []


def test_the_shipped_classifiers_find_a_portrait_and_its_mirror_image_once(astronaut: np.ndarray) -> None:
    detector, face = HogDetector(), Region(220.0, 133.0, 90.0)  # by hand
    for image, square in (
        (astronaut, face),
        (np.ascontiguousarray(astronaut[:, ::-1]), replace(face, x=511.0 - face.x)),
    ):
        # As unsure as the trees backend still looks at; its check tells the others apart.
        found = detector.squares(image, least=-1.0)
        assert sum(each.overlap(square) > 0.6 for _, _, each in found) == 1


def test_the_surest_window_about_a_square_is_looked_for_around_it(views: HogViews, pattern: np.ndarray) -> None:
    image, side = np.full((300, 300), 120, np.uint8), CELL * WINDOW / WINDOW_IN_SQUARES
    image[100:180, 100:180] = pattern
    colored, x = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), 139.5
    detector = HogDetector(views)
    off = [float(detector.best(colored, Region(x + dx, x, side))[0]) for dx in (0.0, CELL, 2 * CELL, 6 * CELL)]
    np.testing.assert_allclose(off[:3], off[0], atol=0.02)
    assert off[3] < 0.6 * off[0]


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
        ({"roll": np.full(3, np.inf, np.float32)}, "roll has NaN or infinite"),
        ({"odds": np.full((3, 2), 1e300)}, "odds has NaN or infinite"),
        ({"basis": np.zeros((31, 0), np.float32)}, "basis has shape .* not empty"),
        ({"filters": np.zeros((0, 10, 10, 15), np.float16)}, "filters has shape .* not empty"),
        ({"yaw": np.array(["a", "b", "c"])}, "yaw has shape .* numbers"),
        ({"yaw": np.array([None, 1, 2])}, "holds objects"),
        ({"filters": np.zeros((8_000, 10, 10, 50), np.uint16)}, "more than the 67108864 that are accepted"),
    ],
)
def test_a_damaged_file_is_refused_in_a_line(tmp_path: Path, change: dict[str, np.ndarray], complaint: str) -> None:
    arrays = {
        "basis": np.zeros((31, 15), np.float32), "filters": np.zeros((3, 10, 10, 15), np.float16),
        "bias": np.zeros(3, np.float32), "odds": np.ones((3, 2), np.float32), "yaw": np.zeros(3, np.float32),
        "roll": np.zeros(3, np.float32),
    }  # fmt: skip
    np.savez_compressed(tmp_path / "hog.npz", **(arrays | change))  # type: ignore[arg-type]
    with pytest.raises(Face3DMMError, match=complaint) as error:
        HogViews.load(tmp_path / "hog.npz")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_file_that_was_cut_short_is_refused(tmp_path: Path, share: float) -> None:
    whole = package_file("resource/landmark_models/hog.npz").read_bytes()
    (tmp_path / "hog.npz").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(Face3DMMError, match="is not a face detector's classifiers"):
        HogViews.load(tmp_path / "hog.npz")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(Face3DMMError, match=r"none\.npz"):
        HogViews.load(tmp_path / "none.npz")

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.rendering import rasterization
from face3dmm_ros.rendering.rasterization import Fragments, draw, far, rasterize

SIZE = (20, 16)  # width, height
TRIANGLE = np.array([[0, 1, 2]])


def seen(points: list, depth: list | None = None, triangles: NDArray[np.integer] = TRIANGLE) -> NDArray[np.int32]:
    corners = np.array(points, float)
    return rasterize(corners, np.zeros(len(corners)) if depth is None else np.array(depth), triangles, SIZE).triangle


def test_a_triangle_covers_the_pixels_whose_centres_lie_in_it() -> None:
    covered = seen([(2, 3), (6, 3), (2, 7)])
    for y in range(SIZE[1]):
        for x in range(SIZE[0]):
            assert (covered[y, x] == 0) == (x >= 2 and y >= 3 and (x - 2) + (y - 3) <= 4), (x, y)


def test_weights_and_depth_are_those_of_the_plane() -> None:
    corners = np.array([(1.3, 2.2), (17.4, 5.1), (6.2, 13.7)])
    depth = np.array([5.0, -3.0, 8.0])
    nearest = far(SIZE)
    fragments = draw(np.column_stack([corners, depth]), TRIANGLE.astype(np.int32), nearest)
    y, x = np.nonzero(fragments.triangle == 0)
    assert len(x) > 70
    weights = fragments.weights[y, x].astype(float)
    np.testing.assert_allclose(weights @ corners, np.column_stack([x, y]), atol=1e-5)
    np.testing.assert_allclose(weights @ depth, nearest[y, x], atol=1e-5)


def test_triangles_that_share_edges_leave_no_gap() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        rim = np.array([(-5, -5), (25, -5), (25, 21), (-5, 21)], float)
        inside = rng.uniform(2, 14, (1, 2)) if rng.random() < 0.5 else rng.integers(2, 14, (1, 2))
        fan = np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]])
        assert (seen([*rim, *inside], triangles=fan) >= 0).all()


def test_the_nearer_triangle_is_seen_whichever_comes_first() -> None:
    points = [(0, 0), (12, 0), (0, 12)] * 2
    for far_first in (True, False):
        depth = [2.0] * 3 + [1.0] * 3 if far_first else [1.0] * 3 + [2.0] * 3
        assert seen(points, depth, np.array([[0, 1, 2], [3, 4, 5]]))[2, 2] == int(far_first)


def test_a_triangle_without_area_is_not_seen() -> None:
    assert (seen([(2, 2), (8, 8), (14, 14)]) == -1).all()


@pytest.mark.parametrize("spoilt", [np.nan, np.inf, -np.inf, 1e300])
def test_a_corner_that_is_nowhere_spoils_only_its_own_triangle(spoilt: float) -> None:
    triangles = np.array([[0, 1, 2], [3, 4, 5]])
    covered = seen([(2, 2), (9, 2), (spoilt, 9), (2, 2), (9, 2), (2, 9)], triangles=triangles)
    assert covered[3, 3] == 1


def test_no_triangle_reaches_beyond_the_arrays_however_it_is_degenerate() -> None:
    checked = numba.njit(boundscheck=True, error_model="numpy")(rasterization._fill.py_func)
    rng = np.random.default_rng(0)
    vertices = rng.uniform(-1, 1, (3000, 3)) * 10.0 ** rng.integers(-320, 308, (3000, 3))
    vertices[::2] = rng.integers(0, 12, (1500, 3)) + rng.choice([0.0, 1e-300, 1e-15, 1e-9], (1500, 3))
    vertices[::50] = rng.choice([np.nan, np.inf, -np.inf, 3.0], (60, 3))
    triangles = rng.integers(0, len(vertices), (20000, 3)).astype(np.int32)
    fragments = Fragments.none(SIZE)
    checked(vertices, triangles, False, 0.0, far(SIZE), fragments.triangle, fragments.weights)
    assert (fragments.triangle >= 0).any()


def test_triangles_of_other_vertices_are_refused() -> None:
    for triangles in ([[0, 1, 3]], [[0, 1, -1]]):
        with pytest.raises(Face3DMMError, match="and there are 3"):
            seen([(0, 0), (5, 0), (0, 5)], triangles=np.array(triangles))


def test_triangles_beyond_the_image_are_cut_off_at_its_border() -> None:
    whole = seen([(-1e4, -1e4), (1e4, -1e4), (0, 2e4)])
    assert (whole == 0).all()
    assert (seen([(-9, 2), (-2, 2), (-9, 9)]) == -1).all()


def test_fronts_can_be_left_out() -> None:
    counter_clockwise = np.array([(2, 12, 0), (12, 12, 0), (2, 2, 0)], float)  # as seen, with y down
    both = [
        draw(corners, TRIANGLE.astype(np.int32), far(SIZE))
        for corners in (counter_clockwise, counter_clockwise[::-1].copy())
    ]
    assert all((fragments.triangle == 0).any() for fragments in both)
    fronts, backs = (
        draw(corners, TRIANGLE.astype(np.int32), far(SIZE), backs_only=True).triangle
        for corners in (counter_clockwise, counter_clockwise[::-1].copy())
    )
    assert (fronts == -1).all()
    assert (backs == 0).any()


def test_an_offset_lays_triangles_back_by_the_depth_that_they_cover_within_a_pixel() -> None:
    sloping = np.array([(0, 0, 0), (20, 0, 60), (0, 16, 0)], float)  # 3 px deeper with each pixel along x
    nearest, laid_back = far(SIZE), far(SIZE)
    draw(sloping, TRIANGLE.astype(np.int32), nearest)
    draw(sloping, TRIANGLE.astype(np.int32), laid_back, offset=1.0)
    assert laid_back[4, 4] - nearest[4, 4] == pytest.approx(3.0)

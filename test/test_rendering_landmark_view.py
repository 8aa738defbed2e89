import numpy as np
import pytest
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.values import Box, Landmarks
from face3dmm_ros.rendering.landmark_view import draw_landmarks


def landmarks(points: NDArray, scheme: str = "mediapipe478") -> Landmarks:
    return Landmarks(scheme, points.astype(np.float32), Box(0, 0, 10, 10), 1.0, (200, 160))


def grey() -> NDArray[np.uint8]:
    return np.full((160, 200, 3), 90, np.uint8)


def drawn_on(image: NDArray[np.uint8], face: Landmarks) -> NDArray[np.bool_]:
    return (draw_landmarks(image, [face]) != image).any(axis=2)


def circle(count: int, radius: float) -> NDArray[np.float64]:
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([100 + radius * np.cos(angle), 80 + radius * np.sin(angle)], axis=1)


def test_every_point_is_marked_where_it_lies() -> None:
    points = np.random.default_rng(0).uniform([20, 20], [180, 140], (478, 2))
    marked = drawn_on(grey(), landmarks(points))
    x, y = np.round(points).astype(int).T
    assert marked[y, x].all()


def test_the_points_of_ibug68_are_joined_by_lines() -> None:
    points = circle(68, 60.0)
    alone = drawn_on(grey(), landmarks(points, "mediapipe478")).sum()
    joined = drawn_on(grey(), landmarks(points, "ibug68")).sum()
    assert joined > 1.1 * alone


def test_the_drawing_grows_with_the_face() -> None:
    small = drawn_on(grey(), landmarks(circle(10, 8.0))).sum()
    assert drawn_on(grey(), landmarks(circle(10, 70.0))).sum() > 4 * small


def test_points_outside_the_image_and_points_that_are_none_are_left_out() -> None:
    points = circle(68, 40.0)
    points[3], points[9], points[20] = np.nan, [1e20, 0], [-500, 80]
    for scheme in ("ibug68", "mediapipe478"):
        marked = drawn_on(grey(), landmarks(points, scheme))
        assert marked.any()
        assert not marked[:30].any()
    assert not drawn_on(grey(), landmarks(np.full((68, 2), np.nan))).any()
    assert not drawn_on(grey(), landmarks(np.zeros((0, 2)))).any()


def test_the_image_given_is_untouched() -> None:
    image = grey()
    image.flags.writeable = False
    assert draw_landmarks(image, [landmarks(circle(68, 40.0))]).any()
    np.testing.assert_array_equal(image, grey())
    assert not np.shares_memory(draw_landmarks(image, []), image)


def test_what_is_no_image_and_what_are_no_points_are_refused() -> None:
    with pytest.raises(Face3DMMError, match="BGR"):
        draw_landmarks(grey()[..., 0], [])
    with pytest.raises(Face3DMMError, match=r"\(N, 2\)"):
        draw_landmarks(grey(), [landmarks(np.zeros((5, 3)))])

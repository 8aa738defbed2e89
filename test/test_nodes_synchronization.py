"""Messages that belong together find each other in whatever order they come; what does not fit is counted."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
pytest.importorskip("face3dmm_ros.msg", reason="needs the package's own messages: colcon build")

from face3dmm_ros.nodes.synchronization import StampMatcher


def test_an_image_meets_its_results_whichever_comes_first():
    matcher: StampMatcher[str, str] = StampMatcher(5)
    assert matcher.add_image((1, 0), "image 1") is None
    assert matcher.add_results((1, 0), "results 1") == ("image 1", "results 1")
    assert matcher.add_results((2, 0), "results 2") is None
    assert matcher.add_image((2, 0), "image 2") == ("image 2", "results 2")
    assert matcher.images.dropped == 0


def test_images_wait_while_their_results_are_made():
    matcher: StampMatcher[int, int] = StampMatcher(5)
    for second in range(3):
        assert matcher.add_image((second, 0), second) is None
    assert [matcher.add_results((second, 0), second) for second in range(3)] == [(0, 0), (1, 1), (2, 2)]
    assert matcher.images.dropped == 0


def test_an_image_without_results_is_dropped_when_a_later_one_has_them():
    matcher: StampMatcher[int, int] = StampMatcher(5)
    for second in range(3):
        matcher.add_image((second, 0), second)
    assert matcher.add_results((2, 0), 2) == (2, 2)
    assert matcher.images.dropped == 2
    assert matcher.add_results((0, 0), 0) is None


def test_no_more_images_wait_than_there_is_room_for():
    matcher: StampMatcher[int, int] = StampMatcher(3)
    for second in range(10):
        matcher.add_image((second, 0), second)
    assert matcher.images.dropped == 7
    assert matcher.add_results((6, 0), 6) is None
    assert matcher.add_results((7, 0), 7) == (7, 7)


@pytest.mark.parametrize(
    "wrapped",
    [lambda image: image, lambda image: ("header", image), lambda image: image.reshape(2, 50)[:, :10]],
    ids=["alone", "with its header", "with padded rows"],
)
def test_large_images_that_wait_take_no_more_memory_than_they_may(wrapped):
    matcher: StampMatcher[object, int] = StampMatcher(5, most_bytes=250)
    for second in range(4):
        matcher.add_image((second, 0), wrapped(np.zeros(100, np.uint8)))
    assert matcher.images.dropped == 2
    assert matcher.add_results((2, 0), 2) is not None
    assert matcher.add_results((3, 0), 3) is not None


def test_an_image_larger_than_what_may_wait_waits_alone():
    matcher: StampMatcher[np.ndarray, int] = StampMatcher(5, most_bytes=250)
    matcher.add_image((1, 0), np.zeros(100, np.uint8))
    matcher.add_image((2, 0), np.zeros(1000, np.uint8))
    assert list(matcher.images) == [(2, 0)]
    assert matcher.add_results((2, 0), 2) is not None


def test_no_more_results_wait_than_there_is_room_for():
    matcher: StampMatcher[int, int] = StampMatcher(3)
    for second in range(10):
        matcher.add_results((second, 0), second)
    assert matcher.results.dropped == 7
    assert matcher.add_image((0, 0), 0) is None
    assert matcher.add_image((9, 0), 9) == (9, 9)
    assert matcher.results.dropped == 9


def test_results_under_a_stamp_that_all_images_have_go_with_the_newest_image():
    matcher: StampMatcher[int, int] = StampMatcher(5)
    assert matcher.add_image((0, 0), 1) is None
    assert matcher.add_results((0, 0), 1) == (1, 1)
    assert matcher.add_image((0, 0), 2) is None
    assert matcher.add_image((0, 0), 3) is None
    assert matcher.add_results((0, 0), 2) == (3, 2)
    assert matcher.images.dropped == 1


def test_late_results_under_a_stamp_that_all_images_have_put_no_later_pair_out_of_step():
    matcher: StampMatcher[int, int] = StampMatcher(5)
    matcher.add_image((0, 0), 1)
    matcher.add_image((0, 0), 2)
    matcher.add_results((0, 0), 1)
    assert matcher.add_results((0, 0), 2) is None
    assert matcher.results.dropped == 1
    for number in (3, 4):
        assert matcher.add_image((0, 0), number) is None
        assert matcher.add_results((0, 0), number) == (number, number)

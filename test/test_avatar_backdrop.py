"""What an avatar stands before when it is shown alone."""

import tracemalloc

from face3dmm_ros.avatar.backdrop import backdrop


def test_a_backdrop_is_brighter_behind_the_head() -> None:
    picture = backdrop((320, 240))
    assert picture.shape == (240, 320, 3)
    assert (picture[100:120, 150:170].mean(axis=(0, 1)) > picture[:20, :20].mean(axis=(0, 1)) + 50).all()


def test_a_large_backdrop_takes_little_more_memory_than_its_pixels() -> None:
    backdrop.cache_clear()
    tracemalloc.start()
    try:
        pixels = backdrop((1000, 4000)).nbytes
        assert tracemalloc.get_traced_memory()[1] < 2 * pixels
    finally:
        tracemalloc.stop()
        backdrop.cache_clear()

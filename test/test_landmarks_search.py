"""Where faces are looked for: tiles, turns and exposures, and what is found in them in px of the image."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from face3dmm_ros.core.values import Box
from face3dmm_ros.landmarks import Detection, LandmarkBackend, LocatedFace, Region
from face3dmm_ros.landmarks.search import Look, closer_looks, detect, look_around, look_at_all


@dataclass
class SpotBackend(LandmarkBackend):
    """Takes the brightest pixel for a face of 20 px, and keeps what it was shown."""

    scheme: str = "ibug68"
    shown: np.ndarray | None = None

    def detect(self, image: np.ndarray) -> list[Detection]:
        self.shown = image
        y, x = np.unravel_index(image[..., 0].argmax(), image.shape[:2])
        return [Detection(Box(x - 10.0, y - 10.0, 20.0, 20.0), 0.9, Region(float(x), float(y), 30.0, 0.1))]

    def locate(self, image: np.ndarray, region: Region, before: LocatedFace | None = None) -> LocatedFace:
        raise NotImplementedError


def spot(x: int, y: int, width: int = 200, height: int = 100) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    image[y, x] = 255
    return image


def tiles_of(width: int, height: int) -> list[Look]:
    whole = look_at_all((width, height))
    looks = closer_looks((width, height))
    return [look for look in looks if (look.width, look.height) != (whole.width, whole.height)]


@given(st.integers(480, 5000), st.integers(100, 3000), st.floats(0, 1), st.floats(0, 1))
def test_a_face_of_a_third_of_a_tile_lies_whole_in_one_wherever_it_is(
    width: int, height: int, across: float, down: float
) -> None:
    tiles = tiles_of(width, height)
    face = tiles[0].width / 3.0 - 2.0
    x, y = across * (width - face), down * (height - face)
    assert any(
        tile.left <= x and x + face <= tile.left + tile.width and tile.top <= y and y + face <= tile.top + tile.height
        for tile in tiles
    )


@given(st.integers(1, 20000), st.integers(1, 20000))
def test_looks_never_leave_the_image(width: int, height: int) -> None:
    for look in closer_looks((width, height)):
        assert look.left >= 0
        assert look.left + look.width <= width
        assert look.top >= 0
        assert look.top + look.height <= height
        assert min(look.width, look.height) >= 1


@pytest.mark.parametrize(("size", "tiles"), [((176, 144), 0), ((450, 450), 0), ((640, 480), 6), ((1920, 1080), 15)])
def test_the_number_of_tiles_suits_the_image(size: tuple[int, int], tiles: int) -> None:
    assert len(tiles_of(*size)) == tiles


@pytest.mark.parametrize("size", [(1000, 1), (1, 30000), (3000, 19), (32766, 20)])
def test_a_thin_strip_is_looked_at_as_a_whole_alone(size: tuple[int, int]) -> None:
    assert tiles_of(*size) == []


@pytest.mark.parametrize("size", [(8160, 6120), (32766, 1525), (1525, 32766)])
def test_the_largest_images_are_tiled(size: tuple[int, int]) -> None:
    assert len(tiles_of(*size)) > 200


def test_a_panorama_is_tiled_along_its_length() -> None:
    tiles = tiles_of(3912, 512)
    assert {tile.top for tile in tiles} == {0}
    assert len(tiles) > 8


def test_a_face_in_a_part_is_told_in_pixels_of_the_image() -> None:
    (found,) = detect(SpotBackend(), spot(120, 60), Look(80, 20, 80, 80))
    assert (found.region.x, found.region.y, found.region.angle) == (120.0, 60.0, 0.1)
    assert (found.box.x, found.box.y) == (110.0, 50.0)


def test_a_face_seen_upside_down_is_told_where_it_is_and_how_it_is_turned() -> None:
    (found,) = detect(SpotBackend(), spot(120, 60), Look(80, 20, 80, 80, upside_down=True))
    assert (found.region.x, found.region.y) == (120.0, 60.0)
    assert found.region.angle == pytest.approx(0.1 + np.pi)
    assert (found.box.x, found.box.y) == (110.0, 50.0)


def test_a_face_that_an_inner_edge_cuts_is_left_to_the_next_tile() -> None:
    assert detect(SpotBackend(), spot(155, 60), Look(80, 20, 80, 80)) == []


def test_a_face_that_the_image_itself_cuts_is_kept() -> None:
    assert len(detect(SpotBackend(), spot(195, 60), Look(120, 20, 80, 80))) == 1


def test_another_exposure_lifts_what_is_dark() -> None:
    generator = np.random.default_rng(0)
    dark = generator.integers(0, 8, (100, 100, 3), np.uint8)
    backend = SpotBackend()
    detect(backend, dark, Look(0, 0, 100, 100, equalized=True))
    assert backend.shown is not None
    assert np.ptp(backend.shown) > 3 * np.ptp(dark)


def test_a_look_around_a_face_at_the_corner_stays_in_the_image() -> None:
    assert look_around(Region(5.0, 95.0, 20.0), 3.0, (200, 100)) == Look(0, 65, 35, 35)

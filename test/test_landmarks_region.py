"""The region of a face and its crop: geometry in the image's pixel convention."""

import math

import numpy as np
import pytest

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.landmarks.region import Region, region_around


def ramp(height: int, width: int) -> np.ndarray:
    """An image whose first channel is x and whose second is y."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, np.zeros_like(x)], axis=-1).astype(np.uint8)


def test_a_crop_at_the_image_scale_takes_the_very_pixels() -> None:
    image = ramp(100, 120)
    # 20 px around 49.5: the pixels 40 to 59.
    crop = Region(49.5, 59.5, 20.0).crop(image, 20)
    np.testing.assert_array_equal(crop, image[50:70, 40:60])


def test_a_crop_turned_by_half_a_turn_is_the_crop_rotated() -> None:
    image = ramp(100, 120)
    upright, turned = (Region(49.5, 59.5, 20.0, angle).crop(image, 20) for angle in (0.0, math.pi))
    np.testing.assert_allclose(turned.astype(int), upright[::-1, ::-1].astype(int), atol=1)


@pytest.mark.parametrize("side", [192, 64, 25])
@pytest.mark.parametrize("angle", [0.0, 0.5])
def test_crop_to_image_tells_which_image_point_a_crop_pixel_shows(side: int, angle: float) -> None:
    # An odd slope and noise before rounding keep its error out of the mean.
    image = np.floor(0.9 * ramp(200, 220) + np.random.default_rng(0).random((200, 220, 3))).astype(np.uint8)
    region = Region(100.3, 98.7, 110.0, angle)
    crop = region.crop(image, side).astype(float)
    v, u = np.mgrid[2 : side - 2, 2 : side - 2].reshape(2, -1)
    matrix = region.crop_to_image(side)
    shown = np.column_stack([u, v]) @ matrix[:, :2].T + matrix[:, 2]
    difference = crop[v, u, :2] / 0.9 - shown
    assert np.abs(difference).max() < 1.8
    assert np.abs(difference.mean(axis=0)).max() < 0.1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_points_of_a_crop_come_to_the_image_in_their_own_precision(dtype: type) -> None:
    region = Region(100.0, 50.0, 64.0, 0.3)
    corners = np.array([[0, 0], [31, 0], [31, 31], [0, 31]], dtype)
    on_image = region.to_image(corners, 32)
    assert on_image.dtype == dtype
    np.testing.assert_allclose(on_image.mean(axis=0), [100.0, 50.0], atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(np.diff(on_image, axis=0), axis=1), 62.0, rtol=1e-5)


def test_a_strong_reduction_averages_instead_of_skipping_pixels() -> None:
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::2] = 200
    crop = Region(200.0, 200.0, 320.0).crop(stripes, 20)
    np.testing.assert_allclose(crop.astype(int), 100, atol=2)


def test_what_lies_outside_of_the_image_repeats_its_border() -> None:
    image = np.full((50, 50, 3), 70, np.uint8)
    assert (Region(0.0, 0.0, 60.0).crop(image, 32) == 70).all()


def test_a_region_beside_the_image_cannot_be_cropped() -> None:
    with pytest.raises(Face3DMMError, match="outside of the image of 50×40 px"):
        Region(500.0, 10.0, 20.0).crop(np.zeros((40, 50, 3), np.uint8), 32)


def test_an_image_wider_than_opencv_can_warp_is_cropped() -> None:
    image = np.full((40, 40_000, 3), 9, np.uint8)
    assert (Region(39_000.0, 20.0, 30.0).crop(image, 16) == 9).all()
    assert (Region(20_000.0, 20.0, 40_000.0).crop(image, 16) == 9).all()


def test_region_around_points_follows_their_roll() -> None:
    square = np.array([[-10.0, -5.0], [10.0, -5.0], [10.0, 5.0], [-10.0, 5.0]])
    angle = 0.7
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    region = region_around(square @ rotation.T + [40.0, 30.0], angle, scale=1.5)
    assert (region.x, region.y, region.size, region.angle) == pytest.approx((40.0, 30.0, 30.0, angle))


def test_overlap_is_intersection_over_union() -> None:
    region = Region(10.0, 10.0, 8.0)
    assert region.overlap(region) == 1.0
    assert region.overlap(Region(14.0, 10.0, 8.0)) == pytest.approx(1 / 3)
    assert region.overlap(Region(10.0, 10.0, 4.0)) == pytest.approx(1 / 4)
    assert region.overlap(Region(30.0, 10.0, 8.0)) == 0.0


def test_the_box_of_a_region_is_cut_to_the_image() -> None:
    box = Region(5.0, 50.0, 20.0).box((100, 55))
    assert (box.x, box.y, box.width, box.height) == (0.0, 40.0, 15.0, 15.0)


def test_what_lies_in_the_image_lies_where_the_crop_shows_it() -> None:
    region, points = Region(100.3, 98.7, 110.0, 0.5), np.random.default_rng(0).uniform(0, 200, (20, 2))
    np.testing.assert_allclose(region.to_image(region.to_crop(points, 64), 64), points)

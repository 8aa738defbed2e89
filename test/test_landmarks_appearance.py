"""How alike faces and scenes look."""

import numpy as np
import pytest

from face3dmm_ros.landmarks.appearance import face_shades, lightness_at, likeness, scene_shades

GENERATOR = np.random.default_rng(0)
POINTS = GENERATOR.uniform(40, 160, (478, 2)).astype(np.float32)


def blurred(seed: int) -> np.ndarray:
    cells = np.random.default_rng(seed).integers(20, 235, (12, 12, 3), np.uint8)
    return np.kron(cells, np.ones((20, 20, 1), np.uint8))


def test_a_face_that_moves_looks_as_before() -> None:
    image = blurred(0)
    moved = np.roll(image, (17, 30), axis=(0, 1))
    shift = np.array([30, 17], np.float32)
    assert likeness(face_shades(image, POINTS), face_shades(moved, POINTS + shift)) == pytest.approx(1.0)


def test_light_that_dims_does_not_make_another_person() -> None:
    image = blurred(0)
    assert likeness(face_shades(image, POINTS), face_shades(image // 2, POINTS)) > 0.99


def test_another_face_looks_different() -> None:
    assert likeness(face_shades(blurred(0), POINTS), face_shades(blurred(1), POINTS)) < 0.5


def test_scenes_are_told_apart_and_one_with_little_noise_is_the_same() -> None:
    image = blurred(0)
    noisy = np.clip(image + GENERATOR.normal(0, 5, image.shape), 0, 255).astype(np.uint8)
    assert likeness(scene_shades(image), scene_shades(noisy)) > 0.98
    assert likeness(scene_shades(image), scene_shades(blurred(1))) < 0.5


def test_pictures_without_contrast_are_alike() -> None:
    black, gray = np.zeros((100, 100, 3), np.uint8), np.full((100, 100, 3), 90, np.uint8)
    assert likeness(scene_shades(black), scene_shades(gray)) == 1.0


def test_points_outside_of_the_image_do_no_harm() -> None:
    assert np.isfinite(face_shades(blurred(0), POINTS - 150.0)).all()


def test_what_is_no_number_is_looked_up_on_the_images_border() -> None:
    image = np.zeros((30, 40, 3), np.uint8)
    image[:, 0], image[:, -1] = 50, 90
    points = np.float32([(np.nan, 5.0), (-np.inf, 5.0), (np.inf, np.nan), (1e30, -1e30)])
    np.testing.assert_array_equal(lightness_at(image, points, 1), [50.0, 50.0, 90.0, 90.0])


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (3000, 2)])
def test_a_scene_of_any_size_has_shades(shape: tuple[int, int]) -> None:
    assert np.isfinite(scene_shades(np.zeros((*shape, 3), np.uint8))).all()

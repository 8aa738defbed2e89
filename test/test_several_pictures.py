"""Several pictures of one person, from exact landmarks with noise."""

from dataclasses import replace

import numpy as np
import pytest

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import rotation_from_pose_angles
from face3dmm_ros.core.values import Box, Landmarks
from face3dmm_ros.fitting.several_pictures import PICTURE_OPTIONS, PersonFitter
from face3dmm_ros.morphable_model import MorphableModel

FITTER_OPTIONS = replace(PICTURE_OPTIONS, outline=False)


def pictures_of(model: MorphableModel, seed: int, count: int) -> tuple[np.ndarray, list[Landmarks]]:
    """A person's α and landmarks in pictures from all sides, each of its own size and expression."""
    rng = np.random.default_rng(seed)
    alpha = rng.standard_normal(model.shape_count) * model.shape_sigma
    pictures = []
    for _ in range(count):
        beta = rng.uniform(0.0, 0.6, model.expression_count) * (rng.random(model.expression_count) < 0.15)
        R = rotation_from_pose_angles(*(np.radians([12.0, 30.0, 10.0]) * rng.uniform(-1.0, 1.0, 3)))
        camera = WeakPerspective(rng.uniform(0.9, 1.6), R, np.array([320.0, 240.0]))
        points = camera.project(model.scheme("mediapipe478").interpolate(model.vertices(alpha, beta)))
        points = (points + rng.normal(0.0, 2.0, points.shape)).astype(np.float32)
        pictures.append(Landmarks("mediapipe478", points, Box(0, 0, 640, 480), 1.0, (640, 480)))
    return alpha, pictures


def shape_error_mm(model: MorphableModel, alpha: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance of the neutral faces' vertices after similarity alignment, mm."""
    a, b = (model.identity(each).astype(np.float64) for each in (alpha, truth))
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    U, S, Vt = np.linalg.svd(a.T @ b)
    return float(np.linalg.norm(S.sum() / (a * a).sum() * a @ (U @ Vt) - b, axis=1).mean())


def test_the_identity_grows_more_certain_and_closer_to_the_truth_with_each_picture(
    default_model: MorphableModel,
) -> None:
    fitter = PersonFitter(default_model, FITTER_OPTIONS)
    errors, uncertainties = [], []
    for seed in range(4):
        truth, pictures = pictures_of(default_model, seed, 6)
        people = [fitter.fit_person(pictures[:count]) for count in (1, 2, 6)]
        errors.append([shape_error_mm(default_model, person.alpha, truth) for person in people])
        uncertainties.append(people[-1].uncertainty_mm)
    mean_errors = np.mean(errors, axis=0)
    assert (np.diff(mean_errors) < 0.0).all(), mean_errors
    assert mean_errors[-1] < 0.9 * mean_errors[0]
    assert (np.diff(uncertainties, axis=1) < 0.0).all()


def test_all_pictures_have_the_same_identity_and_their_own_pose(default_model: MorphableModel) -> None:
    _, pictures = pictures_of(default_model, 1, 3)
    person = PersonFitter(default_model, FITTER_OPTIONS).fit_person(pictures)
    for parameters in person.pictures:
        np.testing.assert_array_equal(parameters.alpha, person.alpha)
        gaze = default_model.gaze(parameters.camera.rotation, parameters.beta)
        np.testing.assert_array_equal(parameters.gaze, gaze)
        assert parameters.residual_px < 6.0
    scales = {parameters.camera.scale for parameters in person.pictures}
    assert len(scales) == 3


def test_the_order_of_the_pictures_does_not_matter(default_model: MorphableModel) -> None:
    _, pictures = pictures_of(default_model, 2, 3)
    fitter = PersonFitter(default_model, FITTER_OPTIONS)
    there, back = (fitter.fit_person(order).alpha for order in (pictures, pictures[::-1]))
    np.testing.assert_allclose(there / default_model.shape_sigma, back / default_model.shape_sigma, atol=0.05)


def test_pictures_may_differ_in_scheme(default_model: MorphableModel) -> None:
    _, pictures = pictures_of(default_model, 3, 2)
    sparse = default_model.scheme("ibug68")
    camera = WeakPerspective(1.0, rotation_from_pose_angles(0.0, 0.3, 0.0), np.array([200.0, 200.0]))
    points = camera.project(sparse.interpolate(default_model.mean)).astype(np.float32)
    pictures.append(Landmarks("ibug68", points, Box(0, 0, 640, 480), 1.0, (640, 480)))
    assert len(PersonFitter(default_model, FITTER_OPTIONS).fit_person(pictures).pictures) == 3


def test_no_picture_is_refused(default_model: MorphableModel) -> None:
    with pytest.raises(Face3DMMError, match="none"):
        PersonFitter(default_model).fit_person([])

"""Smoothing over time: steady at rest, prompt in motion."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.random_model import random_model
from face3dmm_ros.camera import WeakPerspective, rotation_angle, rotation_from_pose_angles
from face3dmm_ros.errors import Face3DMMError
from face3dmm_ros.fitting.smoothing import SMOOTHING_METHODS, FaceSmoother, SmoothingOptions
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.values import Box, FaceParameters, Landmarks, TrackedFace

MODEL = random_model(300, 5, 51, landmarks=68, blendshapes=True)
POINTS = MODEL.scheme("ibug68").interpolate(MODEL.mean)
FILTERS = [method for method in SMOOTHING_METHODS if method != "none"]
JITTER_PX = 0.25
RATE = 30.0


def face(
    pitch: float = 0.0, shift: tuple[float, float] = (0.0, 0.0), beta: float = 0.5, face_id: int = 1
) -> TrackedFace:
    camera = WeakPerspective(1.3, rotation_from_pose_angles(pitch, 0.2, 0.0), np.array([320.0, 240.0]) + shift)
    landmarks = Landmarks("ibug68", camera.project(POINTS), Box(0, 0, 640, 480), 0.9, (640, 480))
    weights = np.full(51, beta)
    parameters = FaceParameters(camera, np.zeros(5), weights, MODEL.name, MODEL.digest, "joint", 1.0, 0.9, (640, 480))
    return TrackedFace(face_id, landmarks, parameters)


def noisy(pitch: Callable[[float], float], times: Iterable[float], seed: int = 0) -> list[TrackedFace]:
    rng = np.random.default_rng(seed)
    return [face(pitch(time), tuple(rng.normal(0.0, JITTER_PX / np.sqrt(2.0), 2))) for time in times]


def seen(faces: Iterable[TrackedFace]) -> np.ndarray:
    """(T, P, 2) where the fitted model's points lie."""
    return np.array([each.parameters.camera.project(POINTS) for each in faces])


def lag_frames(smoothed: np.ndarray, truth: np.ndarray, times: np.ndarray, frequency: float) -> float:
    """By how many frames one sinusoidal movement follows another, from their phases."""
    waves = np.column_stack([np.cos(2 * np.pi * frequency * times), np.sin(2 * np.pi * frequency * times)])
    basis = np.column_stack([waves, np.ones(len(times))])
    amplitudes = [np.linalg.lstsq(basis, x.reshape(len(x), -1), rcond=None)[0] for x in (smoothed, truth)]
    a, b = (amplitude[0] - 1j * amplitude[1] for amplitude in amplitudes)
    return float(-np.angle((a * b.conj()).sum()) / (2 * np.pi * frequency) * RATE)


def jitter(points: np.ndarray) -> float:
    return float(np.sqrt((points.std(axis=0) ** 2).sum(axis=-1).mean()))


@pytest.mark.parametrize(("method", "most"), [("constant_velocity", 0.3), ("one_euro", 0.45)])
def test_a_still_face_jitters_less(method: str, most: float) -> None:
    times = np.arange(120) / RATE
    faces = noisy(lambda _: 0.1, times)
    smoother = FaceSmoother(MODEL, method)
    smoothed = [smoother.smooth(each, time) for each, time in zip(faces, times, strict=True)]
    assert jitter(seen(smoothed)[30:]) < most * jitter(seen(faces)[30:])
    points = np.array([each.landmarks.points for each in smoothed])
    assert jitter(points[30:]) < most * jitter(seen(faces)[30:])


@pytest.mark.parametrize(("method", "most"), [("constant_velocity", 0.1), ("one_euro", 0.6)])
@pytest.mark.parametrize("irregular", [False, True])
def test_a_nod_is_followed_without_lag(method: str, most: float, irregular: bool) -> None:
    times = np.arange(120) / RATE
    if irregular:
        times = times + np.random.default_rng(3).uniform(-0.4, 0.4, len(times)) / RATE

    def nod(time: float) -> float:
        return 0.2 * np.sin(2.0 * np.pi * time)

    smoother = FaceSmoother(MODEL, method)
    smoothed = [smoother.smooth(each, time) for each, time in zip(noisy(nod, times), times, strict=True)]
    truth = seen(face(nod(time)) for time in times)
    assert abs(lag_frames(seen(smoothed)[30:], truth[30:], times[30:], 1.0)) < most


@pytest.mark.parametrize("method", FILTERS)
def test_a_smoothed_face_is_a_face(method: str) -> None:
    """R stays a rotation and weights within their bounds, also where a prediction overshoots."""
    smoother = FaceSmoother(MODEL, method)
    for index, beta in enumerate([0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0]):
        smoothed = smoother.smooth(face(0.3 * index, beta=beta), index / RATE).parameters
        assert 0.0 <= smoothed.beta.min() <= smoothed.beta.max() <= 1.0
        R = smoothed.camera.rotation
        np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(R) > 0.0


@pytest.mark.parametrize("method", FILTERS)
@pytest.mark.parametrize("time", [0.9, 2.0, float("nan"), float("inf")], ids=["back", "gap", "nan", "infinite"])
def test_where_time_makes_no_sense_smoothing_begins_anew(method: str, time: float) -> None:
    smoother = FaceSmoother(MODEL, method)
    for index in range(5):
        smoother.smooth(face(), 1.0 + index / RATE)
    jumped = face(0.3, (50.0, 0.0))
    assert smoother.smooth(jumped, time).parameters is jumped.parameters


@pytest.mark.parametrize("method", FILTERS)
def test_images_of_one_and_the_same_time_do_not_freeze_a_face(method: str) -> None:
    smoother = FaceSmoother(MODEL, method)
    for index in range(100):
        smoothed = smoother.smooth(face(0.0 if index < 3 else 0.3), 0.0)
    assert rotation_angle(smoothed.parameters.camera.rotation, face(0.3).parameters.camera.rotation) < 0.02


@pytest.mark.parametrize("method", FILTERS)
def test_images_stamped_nearly_alike_do_not_throw_the_face_away(method: str) -> None:
    smoother = FaceSmoother(MODEL, method)
    times = [0.0, 1 / 30, 1 / 30 + 1e-6, 2 / 30, 2 / 30 + 1e-6, 3 / 30]
    for each, time in zip(noisy(lambda _: 0.0, times), times, strict=True):
        smoothed = smoother.smooth(each, time)
        assert np.abs(seen([smoothed]) - seen([face()])).max() < 4.0 * JITTER_PX


@pytest.mark.parametrize("method", FILTERS)
def test_numbers_that_are_not_finite_leave_no_trace(method: str) -> None:
    smoother = FaceSmoother(MODEL, method)
    smoother.smooth(face(), 0.0)
    broken = face()
    parameters = replace(broken.parameters, beta=np.full(51, np.nan))
    smoother.smooth(replace(broken, parameters=parameters), 1 / RATE)
    assert np.isfinite(smoother.smooth(face(), 2 / RATE).parameters.beta).all()


def test_tracks_do_not_share_their_memory() -> None:
    smoother = FaceSmoother(MODEL)
    smoother.smooth(face(face_id=1), 0.0)
    other = face(0.4, (80.0, 0.0), face_id=2)
    assert smoother.smooth(other, 1 / RATE).parameters is other.parameters
    smoother.retain({2})
    moved = face(0.2, (9.0, 0.0), face_id=1)
    assert smoother.smooth(moved, 2 / RATE).parameters is moved.parameters


@pytest.mark.parametrize("method", FILTERS)
def test_the_gaze_is_that_of_the_smoothed_pose_and_expression(default_model: MorphableModel, method: str) -> None:
    smoother = FaceSmoother(default_model, method)
    looks = default_model.expression_names.index("eyeLookOutLeft")
    for index, each in enumerate(noisy(lambda time: 0.3 * time, np.arange(6) / RATE)):
        beta = np.zeros(default_model.expression_count)
        beta[looks] = 0.2 * index
        parameters = replace(each.parameters, beta=beta, gaze=default_model.gaze(each.parameters.camera.rotation, beta))
        smoothed = smoother.smooth(replace(each, parameters=parameters), index / RATE).parameters
    assert smoothed.beta[looks] != beta[looks], "it smooths"
    np.testing.assert_array_equal(smoothed.gaze, default_model.gaze(smoothed.camera.rotation, smoothed.beta))


def test_none_smooths_nothing() -> None:
    smoother = FaceSmoother(MODEL, "none")
    for index, each in enumerate(noisy(lambda _: 0.0, range(3))):
        assert smoother.smooth(each, index / RATE) is each


def test_a_turn_through_half_a_circle_is_followed() -> None:
    smoother = FaceSmoother(MODEL)
    for index, pitch in enumerate(np.linspace(0.0, 2.0 * np.pi, 40)):
        turned = face(float(pitch))
        smoothed = smoother.smooth(turned, index / RATE)
    assert rotation_angle(smoothed.parameters.camera.rotation, turned.parameters.camera.rotation) < 0.05


def test_unknown_methods_and_impossible_options_are_refused() -> None:
    with pytest.raises(Face3DMMError, match="constant_velocity"):
        FaceSmoother(MODEL, "magic")
    with pytest.raises(Face3DMMError, match="noise_mm"):
        SmoothingOptions(noise_mm=0.0)

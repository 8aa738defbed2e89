"""Smoothing over time: steady at rest, prompt in motion."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from benchmarks.random_model import random_model
from face3dmm_ros.core.arkit import WITHOUT_TONGUE
from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import rotation_angle, rotation_from_pose_angles, rotation_vector
from face3dmm_ros.core.values import Box, FaceParameters, Landmarks, TrackedFace
from face3dmm_ros.fitting.smoothing import SMOOTHING_METHODS, FaceSmoother, SmoothingOptions
from face3dmm_ros.morphable_model import MorphableModel

MODEL = random_model(300, 5, 51, landmarks=68, blendshapes=True)
POINTS = MODEL.scheme("ibug68").interpolate(MODEL.mean)
FILTERS = [method for method in SMOOTHING_METHODS if method != "none"]
JITTER_PX = 0.25
RATE = 30.0


def face(
    pitch: float = 0.0,
    shift: tuple[float, float] = (0.0, 0.0),
    beta: float | np.ndarray = 0.5,
    face_id: int = 1,
    yaw: float = 0.2,
    deviation: float | None = None,
) -> TrackedFace:
    camera = WeakPerspective(1.3, rotation_from_pose_angles(pitch, yaw, 0.0), np.array([320.0, 240.0]) + shift)
    deviations = None if deviation is None else np.full(68, deviation, np.float32)
    points = camera.project(POINTS).astype(np.float32)
    landmarks = Landmarks("ibug68", points, Box(0, 0, 640, 480), 0.9, (640, 480), deviation=deviations)
    weights = np.full(51, beta)
    parameters = FaceParameters(camera, np.zeros(5), weights, MODEL.name, MODEL.digest, "joint", 1.0, 0.9, (640, 480))
    return TrackedFace(face_id, landmarks, parameters)


def noisy(pitch: Callable[[float], float], times: Iterable[float], seed: int = 0) -> list[TrackedFace]:
    rng = np.random.default_rng(seed)
    return [face(pitch(time), tuple(rng.normal(0.0, JITTER_PX / np.sqrt(2.0), 2))) for time in times]


def turning(
    yaw: Callable[[float], float], times: Iterable[float], jitter_deg: float = 0.4, seed: int = 0, **settings: float
) -> list[TrackedFace]:
    """A head that turns, each image's pitch and yaw off by chance."""
    rng = np.random.default_rng(seed)
    pitches, yaws = np.radians(rng.normal(0.0, jitter_deg, (2, len(list(times)))))
    return [face(pitch, yaw=yaw(time) + off, **settings) for time, pitch, off in zip(times, pitches, yaws, strict=True)]


def smoothed_faces(faces: Iterable[TrackedFace], method: str = SMOOTHING_METHODS[0]) -> list[TrackedFace]:
    smoother = FaceSmoother(MODEL, method)
    return [smoother.smooth(each, index / RATE) for index, each in enumerate(faces)]


def shaking(faces: Iterable[TrackedFace]) -> float:
    """RMS second difference of the head's rotation, degrees."""
    rotations = [each.parameters.camera.rotation for each in faces]
    steps = np.array([rotation_vector(b @ a.T) for a, b in pairwise(rotations)])
    return float(np.degrees(np.sqrt((np.diff(steps, axis=0) ** 2).sum(axis=1).mean())))


def weights(faces: Iterable[TrackedFace]) -> np.ndarray:
    """(T, E)."""
    return np.array([each.parameters.beta for each in faces])


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


@pytest.mark.parametrize("seed", range(3))
def test_a_head_that_turns_jitters_less(seed: int) -> None:
    times = np.arange(90) / RATE
    faces = turning(lambda time: -0.8 + 0.7 * time, times, seed=seed)
    assert shaking(smoothed_faces(faces)[15:]) < 0.35 * shaking(faces[15:])


@pytest.mark.parametrize("seed", range(3))
def test_a_head_that_swings_jitters_less_and_does_not_lag(seed: int) -> None:
    times = np.arange(120) / RATE

    def swing(time: float) -> float:
        return 0.35 * np.sin(2.0 * np.pi * 0.8 * time)

    faces = turning(swing, times, seed=seed)
    smoothed = smoothed_faces(faces)
    assert shaking(smoothed[30:]) < 0.6 * shaking(faces[30:])
    truth = seen(face(yaw=swing(time)) for time in times)
    assert abs(lag_frames(seen(smoothed)[30:], truth[30:], times[30:], 0.8)) < 0.5


def test_a_steady_turn_is_followed_without_lag() -> None:
    times = np.arange(90) / RATE
    smoothed = smoothed_faces(turning(lambda time: -0.8 + 0.7 * time, times, jitter_deg=0.0))[-1]
    turn_between_images = 0.7 / RATE
    truth = face(yaw=-0.8 + 0.7 * times[-1]).parameters.camera.rotation
    assert rotation_angle(smoothed.parameters.camera.rotation, truth) < 0.05 * turn_between_images


@pytest.mark.parametrize("degrees_per_s", [40.0, 90.0, 180.0])
def test_a_head_that_sets_off_is_caught_within_four_images(degrees_per_s: float) -> None:
    times = np.arange(60) / RATE

    def setting_off(time: float) -> float:
        return -0.6 + np.radians(degrees_per_s) * max(0.0, time - 1.0)

    smoothed = smoothed_faces(turning(setting_off, times, jitter_deg=0.3))
    for time, each in zip(times[34:], smoothed[34:], strict=True):
        truth = face(yaw=setting_off(time)).parameters.camera.rotation
        assert np.degrees(rotation_angle(each.parameters.camera.rotation, truth)) < 2.0


def test_a_blink_comes_through_a_turning_head_at_once_and_unlocks_no_pose() -> None:
    times = np.arange(90) / RATE
    still = turning(lambda time: -0.8 + 0.7 * time, times)
    blinking = []
    for index, each in enumerate(still):
        beta = each.parameters.beta.copy()
        beta[:2] = 0.98 if index % 15 == 0 else 0.02
        blinking.append(replace(each, parameters=replace(each.parameters, beta=beta)))
    smoothed = smoothed_faces(blinking)
    assert weights(smoothed)[15::15, :2].min() > 0.95
    assert weights(smoothed)[16::15, :2].max() < 0.05
    for blinked, other in zip(smoothed, smoothed_faces(still), strict=True):
        np.testing.assert_array_equal(blinked.parameters.camera.rotation, other.parameters.camera.rotation)


def test_what_one_image_says_of_the_pose_alone_is_noise() -> None:
    """As where an eyelid that closes passes for a nod."""
    faces = [face(pitch=np.radians(4.0) if index == 45 else 0.0) for index in range(60)]
    turned = [each.parameters.camera.rotation for each in smoothed_faces(faces)]
    assert np.degrees(max(rotation_angle(turned[30], rotation) for rotation in turned[30:])) < 0.5


def test_noise_of_the_weights_is_taken_away_while_the_head_turns() -> None:
    times, rng = np.arange(90) / RATE, np.random.default_rng(0)
    noise = 0.05 * MODEL.expression_sigma
    faces = [
        replace(each, parameters=replace(each.parameters, beta=0.5 + rng.normal(0.0, noise)))
        for each in turning(lambda time: -0.8 + 0.7 * time, times)
    ]
    assert weights(smoothed_faces(faces))[30:].std(axis=0).mean() < 0.5 * weights(faces)[30:].std(axis=0).mean()


def test_a_mouth_that_talks_does_not_lag() -> None:
    times = np.arange(120) / RATE
    faces = [face(beta=0.5 + 0.3 * np.sin(2.0 * np.pi * 4.0 * time)) for time in times]
    smoothed, truth = weights(smoothed_faces(faces)), weights(faces)
    assert abs(lag_frames(smoothed[30:], truth[30:], times[30:], 4.0)) < 0.1
    assert np.ptp(smoothed[30:]) > 0.95 * np.ptp(truth[30:])


def test_landmarks_that_are_less_certain_weigh_less() -> None:
    times = np.arange(90) / RATE
    shakes = [
        shaking(smoothed_faces(turning(lambda time: -0.8 + 0.7 * time, times, deviation=deviation))[15:])
        for deviation in (0.1, 0.3, 1.0)
    ]
    assert shakes[0] > 1.2 * shakes[1]
    assert shakes[1] > 1.2 * shakes[2]


@pytest.mark.parametrize("method", FILTERS)
def test_the_landmarks_go_where_the_smoothed_model_goes(method: str) -> None:
    times = np.arange(60) / RATE
    smoothed = smoothed_faces(turning(lambda time: -0.5 + 0.5 * time, times, beta=0.0), method)
    points = np.array([each.landmarks.points for each in smoothed])
    np.testing.assert_allclose(points, seen(smoothed), atol=0.02)


def test_landmarks_do_not_move_because_more_is_known_of_the_identity() -> None:
    faces = [face() for _ in range(40)]
    alpha = 2.0 * MODEL.shape_sigma.astype(np.float64)
    faces[30:] = [replace(each, parameters=replace(each.parameters, alpha=alpha)) for each in faces[30:]]
    points = np.array([each.landmarks.points for each in smoothed_faces(faces)])
    assert np.abs(points - points[0]).max() < 0.01


def test_what_was_read_of_the_expression_is_smoothed_with_the_weights(default_model: MorphableModel) -> None:
    smoother = FaceSmoother(default_model)
    read = [default_model.expression_names.index(name) for name in WITHOUT_TONGUE]
    for index, shift in enumerate([0.0, 0.01, -0.01]):
        beta = np.full(default_model.expression_count, 0.3 + shift)
        alone = face()
        landmarks = replace(
            alone.landmarks,
            expression=np.full(51, 0.4 + shift, np.float32),
            expression_deviation=np.ones(51, np.float32),
        )
        parameters = replace(alone.parameters, alpha=np.zeros(default_model.shape_count), beta=beta)
        smoothed = smoother.smooth(replace(alone, landmarks=landmarks, parameters=parameters), index / RATE)
    assert smoothed.landmarks.expression is not None
    np.testing.assert_allclose(smoothed.landmarks.expression - smoothed.parameters.beta[read], 0.1, atol=1e-6)
    assert np.abs(smoothed.parameters.beta - 0.3).mean() < 0.005, "it smooths"


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
@pytest.mark.parametrize("broken", [face(beta=np.nan), face(deviation=np.nan), face(shift=(np.nan, 0.0))])
def test_numbers_that_are_not_finite_leave_no_trace(method: str, broken: TrackedFace) -> None:
    smoother = FaceSmoother(MODEL, method)
    smoother.smooth(face(), 0.0)
    smoother.smooth(broken, 1 / RATE)
    found = smoother.smooth(face(), 2 / RATE)
    assert np.isfinite(found.parameters.beta).all()
    assert np.isfinite(seen([found])).all()
    assert np.isfinite(found.landmarks.points).all()


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
        gaze = default_model.gaze(each.parameters.camera.rotation, beta)
        parameters = replace(each.parameters, alpha=np.zeros(default_model.shape_count), beta=beta, gaze=gaze)
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

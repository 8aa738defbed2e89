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
from face3dmm_ros.core.rotations import (
    FRONTAL,
    rotation_angle,
    rotation_from_pose_angles,
    rotation_from_vector,
    rotation_vector,
)
from face3dmm_ros.core.values import Box, FaceParameters, Landmarks, TrackedFace
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.smoothing import SMOOTHING_METHODS, CoverSmoother, FaceSmoother, SmoothingOptions
from face3dmm_ros.smoothing.filters import ModelLandmarks

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


def test_a_models_landmarks_are_seen_where_the_camera_projects_them() -> None:
    rng, seen = np.random.default_rng(0), face(pitch=0.3, beta=np.linspace(0.0, 1.0, 51)).parameters
    alpha = rng.normal(size=5)
    points = MODEL.scheme("ibug68").interpolate(MODEL.vertices(alpha, seen.beta))
    landmarks = ModelLandmarks(MODEL, "ibug68", SmoothingOptions())
    projected = landmarks.projected(landmarks.neutral(alpha), seen)
    np.testing.assert_allclose(projected.T, seen.camera.project(points), atol=1e-3)


def test_a_face_of_another_models_expression_is_refused() -> None:
    with pytest.raises(Face3DMMError, match="51 expression weights, the face 50"):
        FaceSmoother(MODEL).smooth(replace(face(), parameters=replace(face().parameters, beta=np.zeros(50))), 0.0)


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


def absurd_faces() -> dict[str, TrackedFace]:
    """Faces of finite numbers that cannot be smoothed."""
    usual = face(deviation=1.0)
    camera, points = usual.parameters.camera, usual.landmarks.points
    return {
        "uncertain beyond all measure": face(deviation=1e38),
        "landmarks in one place": replace(
            usual,
            landmarks=replace(usual.landmarks, points=points * np.float32(1e-38)),
            parameters=replace(usual.parameters, camera=replace(camera, scale=1e-38)),
        ),
        "hardly any scale": replace(usual, parameters=replace(usual.parameters, camera=replace(camera, scale=1e-300))),
        "landmarks far off": replace(
            usual, landmarks=replace(usual.landmarks, points=np.sign(points - 300) * np.float32(3e38))
        ),
        "weights beyond all measure": face(beta=1e300),
    }


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("method", FILTERS)
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("absurd", absurd_faces().values(), ids=absurd_faces())
def test_one_image_with_absurd_numbers_leaves_nothing_that_is_not_finite(
    method: str, first: bool, absurd: TrackedFace
) -> None:
    smoother = FaceSmoother(MODEL, method)
    images = ([] if first else [face(deviation=1.0)] * 3) + [absurd] + [face(deviation=1.0)] * 6
    for index, each in enumerate(images):
        found = smoother.smooth(each, index / RATE)
        assert np.isfinite(seen([found])).all()
        assert np.isfinite(found.parameters.beta).all()
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


# How strong the smoothing is


STRENGTHS = {
    ("constant_velocity", None): (0.0965, 0.0675, 1.76),
    ("constant_velocity", 1.0): (0.1526, 0.0953, 1.76),
    ("one_euro", None): (0.3053, 0.4416, 0.688),
    ("one_euro", 1.0): (0.3053, 0.4416, 0.688),
}
"""By filter and the landmarks' deviation, px: what is left of a head's shaking at rest and as it turns, and by how many
degrees it is behind at most as it sets off. To change the compromise between them is a decision."""


@pytest.mark.parametrize(("method", "deviation"), STRENGTHS)
def test_smoothing_is_as_strong_as_it_was_decided(method: str, deviation: float | None) -> None:
    times = np.arange(150) / RATE
    at_rest, turns = (
        turning(lambda time, speed=speed: -0.8 + speed * time, times, deviation=deviation) for speed in (0.0, 0.3)
    )
    sets_off = turning(
        lambda time: -0.8 + np.radians(60.0) * max(0.0, time - 1.0), times, jitter_deg=0.0, deviation=deviation
    )
    left = [shaking(smoothed_faces(faces, method)[30:]) / shaking(faces[30:]) for faces in (at_rest, turns)]
    behind = [
        np.degrees(rotation_angle(found.parameters.camera.rotation, truth.parameters.camera.rotation))
        for found, truth in zip(smoothed_faces(sets_off, method), sets_off, strict=True)
    ]
    assert (*left, max(behind)) == pytest.approx(STRENGTHS[method, deviation], rel=0.05)


def constant_velocity(seen_mm: np.ndarray, noise_mm: float, options: SmoothingOptions) -> list[float]:
    """The filter of one number as `_ConstantVelocity` describes it, in plain numbers."""
    dt, noise = 1.0 / RATE, noise_mm**2
    x, v, variance, shared_variance, velocity_variance = seen_mm[0], 0.0, noise, 0.0, 1e4
    shared = last = 0.0
    smoothed = [x]
    for z in seen_mm[1:]:
        x += dt * v
        innovation = z - x
        product, last = innovation * last, innovation
        shared += (product - shared) / (1.0 + RATE / (2.0 * np.pi * options.agreement_cutoff_hz))
        change = options.agreement * max(0.0, shared - options.chance_agreement * noise)
        change += options.sudden_agreement * max(0.0, product - options.least_sudden * noise)
        velocity_variance += (options.rest_acceleration * dt) ** 2 + change / dt**2
        variance += 2.0 * dt * shared_variance + dt**2 * velocity_variance
        shared_variance += dt * velocity_variance
        gain, velocity_gain = variance / (variance + noise), shared_variance / (variance + noise)
        velocity_variance -= velocity_gain * shared_variance
        variance, shared_variance = (1.0 - gain) * variance, (1.0 - gain) * shared_variance
        x, v = x + gain * innovation, v + velocity_gain * innovation
        smoothed.append(x)
    return smoothed


def test_a_heads_place_is_filtered_by_its_position_and_velocity() -> None:
    rng = np.random.default_rng(0)
    shifts = rng.normal(0.0, 0.3, 90)
    shifts[30:] += 40.0 * (np.arange(60) / RATE)
    shifts[60:] += 9.0
    # Of another weight each, so that each matters.
    options = SmoothingOptions(
        noise_mm=0.4, rest_acceleration=3.0, agreement=0.02, agreement_cutoff_hz=1.5, chance_agreement=0.3
    )
    smoother = FaceSmoother(MODEL, options=options)
    faces = [smoother.smooth(face(shift=(shift, 0.0)), index / RATE) for index, shift in enumerate(shifts)]
    scale = faces[0].parameters.camera.scale
    found = [each.parameters.camera.translation[0] - 320.0 for each in faces]
    np.testing.assert_allclose(found, scale * np.array(constant_velocity(shifts / scale, 0.4, options)), atol=1e-6)


def test_noise_of_a_pose_is_what_moves_the_landmarks_by_theirs_in_the_image() -> None:
    """Turned about their middle, grown or shifted by the noise of one number, landmarks move by 1 mm, RMS."""
    camera = WeakPerspective(1.7, rotation_from_pose_angles(0.2, 0.5, 0.1), np.array([320.0, 240.0]))
    jitter_mm = ModelLandmarks(MODEL, "ibug68", SmoothingOptions()).jitter(camera)
    about = (POINTS - POINTS.mean(axis=0)).astype(np.float64) @ camera.rotation.T
    small = 1e-4
    for k in range(3):
        turned = about @ rotation_from_vector(small * jitter_mm[k] * np.eye(3)[k]).T
        assert np.sqrt(((turned - about)[:, :2] ** 2).sum(axis=1).mean()) == pytest.approx(small, rel=1e-3)
    grown = about * jitter_mm[3]
    assert np.sqrt((grown[:, :2] ** 2).sum(axis=1).mean()) == pytest.approx(1.0)
    np.testing.assert_allclose(jitter_mm[4:6], camera.scale)


def test_noise_of_a_weight_moves_the_landmarks_by_less_than_a_third_of_theirs(default_model: MorphableModel) -> None:
    """And is a tenth of the model's σ at most, where landmarks jitter by `noise_mm`."""
    options = SmoothingOptions(noise_mm=0.3, weight_noise=0.1)
    camera = WeakPerspective(1.7, FRONTAL, np.zeros(2))
    jitter_mm = ModelLandmarks(default_model, "ibug68", options).jitter(camera)[6:]
    basis = default_model.expression_basis.reshape(default_model.vertex_count, 3, -1)
    moved = default_model.scheme("ibug68").interpolate(basis).astype(np.float64)
    reach = np.sqrt((moved**2).sum(axis=1).mean(axis=0))
    of_sigma = 0.1 / 0.3 * default_model.expression_sigma
    np.testing.assert_allclose(jitter_mm, np.minimum(of_sigma, 0.3 / np.maximum(reach, 1e-9)), rtol=1e-5)
    assert 0 < (jitter_mm < 0.99 * of_sigma).sum() < len(jitter_mm), "some are limited by the one, some by the other"


# Landmarks


def on_the_model(model: MorphableModel, camera: WeakPerspective, alpha: np.ndarray, beta: np.ndarray) -> TrackedFace:
    """A face whose landmarks lie where its parameters put them."""
    points = camera.project(model.scheme("ibug68").interpolate(model.vertices(alpha, beta))).astype(np.float32)
    landmarks = Landmarks("ibug68", points, Box(0, 0, 640, 480), 0.9, (640, 480))
    return TrackedFace(
        1, landmarks, FaceParameters(camera, alpha, beta, model.name, model.digest, "joint", 1.0, 0.9, (640, 480))
    )


def test_landmarks_go_with_the_models_identity_and_expression(default_model: MorphableModel) -> None:
    model, rng = default_model, np.random.default_rng(0)
    smoother = FaceSmoother(model)
    alpha = rng.normal(size=model.shape_count) * model.shape_sigma
    moved = 0.0
    for index in range(20):
        camera = WeakPerspective(
            1.3, rotation_from_pose_angles(0.01 * rng.normal(), 0.3, 0.0), 300.0 + rng.normal(0.0, 0.3, 2)
        )
        beta = np.clip(0.4 + rng.normal(0.0, 0.05, model.expression_count), 0.0, 1.0)
        seen_face = on_the_model(model, camera, alpha, beta)
        found = smoother.smooth(seen_face, index / RATE)
        there = on_the_model(model, found.parameters.camera, found.parameters.alpha, found.parameters.beta)
        np.testing.assert_allclose(found.landmarks.points, there.landmarks.points, atol=0.01)
        moved = max(moved, np.abs(found.landmarks.points - seen_face.landmarks.points).max())
    assert moved > 0.5, "it smooths"


def test_what_landmarks_do_beside_a_model_at_rest_is_at_first_the_mean_of_all_images() -> None:
    rng, smoother = np.random.default_rng(0), FaceSmoother(MODEL)
    still = face()
    jitters = rng.uniform(-0.1, 0.1, (12, 68, 2)).astype(np.float32) + np.float32(3.0)
    for index, jitter_px in enumerate(jitters):
        landmarks = replace(still.landmarks, points=still.landmarks.points + jitter_px)
        found = smoother.smooth(replace(still, landmarks=landmarks), index / RATE).landmarks.points
        mean = jitters[: index + 1].mean(axis=0)
        np.testing.assert_allclose(found - still.landmarks.points, mean, atol=2e-4)


def test_landmarks_go_with_the_identity_from_the_image_on_in_which_it_is_found(default_model: MorphableModel) -> None:
    """In that image the head seems to turn, which is not believed: the landmarks turn back as the true face does."""
    model, smoother = default_model, FaceSmoother(default_model)
    true, neutral = -2.0 * model.shape_sigma.astype(np.float64), np.zeros(model.expression_count)
    for index in range(31):
        yaw = 0.3 if index < 30 else 0.45
        camera = WeakPerspective(1.3, rotation_from_pose_angles(0.0, yaw, 0.0), np.array([320.0, 240.0]))
        seen_face = on_the_model(model, camera, true, neutral)
        if index < 30:
            seen_face = replace(seen_face, parameters=replace(seen_face.parameters, alpha=0.0 * true))
        found = smoother.smooth(seen_face, index / RATE)
    there = on_the_model(model, found.parameters.camera, true, neutral)
    assert np.abs(there.landmarks.points - seen_face.landmarks.points).max() > 3.0, "it is not believed"
    np.testing.assert_allclose(found.landmarks.points, there.landmarks.points, atol=0.05)


def test_what_landmarks_do_on_average_is_still_known_where_the_identity_becomes_another() -> None:
    rng, smoother = np.random.default_rng(0), FaceSmoother(MODEL)
    still, found = face(), []
    for index in range(40):
        alpha = 2.0 * MODEL.shape_sigma.astype(np.float64) * (index >= 30)
        points = still.landmarks.points + rng.normal(0.0, 0.1, (68, 2)).astype(np.float32)
        seen_face = TrackedFace(1, replace(still.landmarks, points=points), replace(still.parameters, alpha=alpha))
        found.append(smoother.smooth(seen_face, index / RATE).landmarks.points)
    steps = np.abs(np.diff(found, axis=0)).mean(axis=(1, 2))
    assert steps[29:].max() < 1.5 * steps[20:29].max()


def test_landmarks_that_leave_the_model_by_more_than_chance_are_followed() -> None:
    """Chance is twice their noise, here of 0.39 px: of 0.75 px a low-pass lets through little, of 8 px nearly all."""
    for leaps_px, least, most in ((0.75, 0.0, 0.07), (1.1, 0.4, 0.6), (8.0, 0.98, 1.0)):
        smoother, still = FaceSmoother(MODEL), face()
        for index in range(60):
            smoother.smooth(still, index / RATE)
        landmarks = replace(still.landmarks, points=still.landmarks.points + np.float32([leaps_px, 0.0]))
        found = smoother.smooth(replace(still, landmarks=landmarks), 2.0).landmarks.points
        shares = (found - still.landmarks.points)[:, 0] / leaps_px
        assert least <= shares.min() <= shares.max() <= most


# When it begins anew


def test_the_default_filter_is_that_of_constant_velocity() -> None:
    assert FaceSmoother(MODEL).method == "constant_velocity"


@pytest.mark.parametrize(("gap", "goes_on"), [(0.0, True), (0.5, True), (0.51, False)])
def test_smoothing_goes_on_up_to_the_longest_gap(gap: float, goes_on: bool) -> None:
    smoother = FaceSmoother(MODEL, options=SmoothingOptions(longest_gap_s=0.5))
    smoother.smooth(face(), 1.0)
    moved = face(shift=(0.2, 0.0))
    assert (smoother.smooth(moved, 1.0 + gap).parameters is not moved.parameters) == goes_on


def scaled(scale: float) -> TrackedFace:
    one = face()
    return replace(one, parameters=replace(one.parameters, camera=replace(one.parameters.camera, scale=scale)))


def test_a_small_face_is_smoothed_too() -> None:
    smoother = FaceSmoother(MODEL)
    smoother.smooth(scaled(0.3), 0.0)
    again = scaled(0.31)
    assert smoother.smooth(again, 1 / RATE).parameters is not again.parameters


@pytest.mark.parametrize("scale", [0.0, -0.5, np.inf])
def test_a_face_without_a_size_is_left_as_it_is(scale: float) -> None:
    smoother = FaceSmoother(MODEL)
    smoother.smooth(face(), 0.0)
    broken = scaled(scale)
    assert smoother.smooth(broken, 1 / RATE) is broken
    after = face(shift=(9.0, 0.0))
    assert smoother.smooth(after, 2 / RATE).parameters is after.parameters, "it begins anew"


def told(covered: int) -> np.ndarray:
    return np.full(478, covered, np.uint8)


def test_what_comes_before_a_face_is_taken_over_within_some_images() -> None:
    smoother = CoverSmoother()
    course = [smoother.smooth(1, told(255 if image else 0), image / RATE)[0] for image in range(30)]
    assert course[0] == 0
    assert 0 < course[1] < 100
    assert course[14] > 220
    assert (np.diff(np.array(course, int)) >= 0).all()
    assert course[-1] >= 252


def test_a_cover_that_flickers_becomes_steady() -> None:
    smoother = CoverSmoother()
    course = [int(smoother.smooth(1, told(255 if image // 4 % 2 else 0), image / RATE)[0]) for image in range(90)]
    assert max(abs(b - a) for a, b in pairwise(course[30:])) < 45


@pytest.mark.parametrize("time", [-1.0, 3.0, np.nan])
def test_a_cover_begins_anew_where_time_leaps(time: float) -> None:
    smoother = CoverSmoother()
    smoother.smooth(1, told(0), 0.0)
    assert smoother.smooth(1, told(255), time)[0] == 255


def test_covers_of_faces_are_told_apart_and_forgotten() -> None:
    smoother = CoverSmoother()
    smoother.smooth(1, told(0), 0.0)
    assert smoother.smooth(2, told(255), 0.03)[0] == 255
    smoother.retain({2})
    assert smoother.smooth(1, told(255), 0.06)[0] == 255


def test_where_an_image_tells_of_no_cover_the_last_holds_for_a_while() -> None:
    smoother = CoverSmoother()
    assert smoother.smooth(1, None, 0.0) is None
    smoother.smooth(1, told(255), 0.1)
    assert smoother.smooth(1, None, 0.2)[0] == 255
    assert smoother.smooth(1, None, 1.0) is None
    assert smoother.smooth(1, None, 0.2) is None


@pytest.mark.parametrize("method", FILTERS)
def test_a_smoothed_face_has_a_smoothed_cover(method: str) -> None:
    smoother = FaceSmoother(MODEL, method)
    seen = face()
    free, hidden = (replace(seen, landmarks=replace(seen.landmarks, covered=told(value)[:68])) for value in (0, 255))
    assert smoother.smooth(free, 0.0).landmarks.covered[0] == 0
    assert 0 < smoother.smooth(hidden, 1.0 / RATE).landmarks.covered[0] < 100
    smoother.reset()
    assert smoother.smooth(hidden, 2.0 / RATE).landmarks.covered[0] == 255

"""Points to parameters."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import lsq_linear, minimize_scalar

from benchmarks.random_model import random_model
from face3dmm_ros.core import second_thread
from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import (
    FRONTAL,
    pose_angles,
    rotation_angle,
    rotation_from_pose_angles,
    rotation_from_vector,
)
from face3dmm_ros.core.values import Box, FaceParameters, Landmarks, TrackedLandmarks
from face3dmm_ros.fitting import LANDMARK_METHODS, FitOptions, TrackFitter
from face3dmm_ros.fitting.bounded import minimize_in_box, solve_symmetric
from face3dmm_ros.fitting.joint import (
    GaussianPrior,
    _curvature,
    _dual_step,
    _primal_step,
    identity_information,
    joint_fit,
    turned,
)
from face3dmm_ros.fitting.linear_points import LandmarkModel, LinearPoints
from face3dmm_ros.fitting.point_loops import (
    Place,
    Pose,
    Seen,
    compared,
    descended,
    linearized,
    placed,
    regularize,
    slope,
)
from face3dmm_ros.fitting.pose_step import POSE_SIZE, moved, pose_jacobian, projected, step_between
from face3dmm_ros.landmarks.schemes import LEFT_EYE_RING, LIP_RINGS, RIGHT_EYE_RING
from face3dmm_ros.morphable_model.model import MorphableModel

BLENDSHAPES = random_model(3000, 40, 51, landmarks=478, blendshapes=True)
UNBOUNDED = random_model(2000, 60, 40, landmarks=68)
EXACT = FitOptions(shape_prior=0.0, expression_prior=0.0, max_iterations=100, tolerance_px=1e-4)


def random_face(model: MorphableModel, seed: int) -> tuple[WeakPerspective, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    alpha = rng.standard_normal(model.shape_count) * model.shape_sigma
    weights = rng.uniform(0, 1, model.expression_count) * (rng.random(model.expression_count) < 0.3)
    camera = WeakPerspective(
        rng.uniform(0.8, 3.0), rotation_from_pose_angles(*rng.uniform(-0.5, 0.5, 3)), rng.uniform(50, 400, 2)
    )
    return camera, alpha, weights


def points_of(
    model: MorphableModel, scheme: str, camera: WeakPerspective, alpha: np.ndarray, beta: np.ndarray
) -> np.ndarray:
    return camera.project(model.scheme(scheme).interpolate(model.vertices(alpha, beta)))


def tracked(points: np.ndarray, scheme: str, face_id: int = 1) -> TrackedLandmarks:
    return TrackedLandmarks(face_id, Landmarks(scheme, points, Box(0, 0, 640, 480), 0.9, (640, 480)))


def reprojected(model: MorphableModel, scheme: str, fitted: FaceParameters) -> np.ndarray:
    return points_of(model, scheme, fitted.camera, fitted.alpha, fitted.beta)


@pytest.mark.parametrize("seed", range(8))
def test_exact_landmarks_without_priors_come_back(seed: int) -> None:
    camera, alpha, beta = random_face(BLENDSHAPES, seed)
    points = points_of(BLENDSHAPES, "mediapipe478", camera, alpha, beta)
    fitted = TrackFitter(BLENDSHAPES, options=EXACT).fit(tracked(points, "mediapipe478"))
    assert np.degrees(rotation_angle(fitted.camera.rotation, camera.rotation)) < 0.1
    assert np.linalg.norm(reprojected(BLENDSHAPES, "mediapipe478", fitted) - points, axis=1).max() < 0.05


@pytest.mark.parametrize("method", LANDMARK_METHODS)
def test_the_gaze_is_that_of_the_fitted_pose_and_expression(default_model: MorphableModel, method: str) -> None:
    points = points_of(default_model, "mediapipe478", *random_face(default_model, 0))
    fitted = TrackFitter(default_model, method).fit(tracked(points, "mediapipe478"))
    assert fitted.gaze.shape == (3, 3)
    np.testing.assert_array_equal(fitted.gaze, default_model.gaze(fitted.camera.rotation, fitted.beta))


def test_faces_of_a_model_without_eyes_have_no_gaze() -> None:
    points = points_of(UNBOUNDED, "ibug68", *random_face(UNBOUNDED, 0))
    assert TrackFitter(UNBOUNDED).fit(tracked(points, "ibug68")).gaze.shape == (0, 3)


@pytest.mark.parametrize("seed", range(6))
def test_exact_landmarks_of_the_default_model_come_back(default_model: MorphableModel, seed: int) -> None:
    camera, alpha, beta = random_face(default_model, seed)
    points = points_of(default_model, "mediapipe478", camera, alpha, beta)
    fitted = TrackFitter(default_model, options=replace(EXACT, outline=False)).fit(tracked(points, "mediapipe478"))
    assert np.degrees(rotation_angle(fitted.camera.rotation, camera.rotation)) < 0.1
    assert np.linalg.norm(reprojected(default_model, "mediapipe478", fitted) - points, axis=1).max() < 0.05


@pytest.mark.parametrize("yaw", [-0.6, 0.6])
def test_a_turned_heads_visible_outline_is_no_longer_an_error(default_model: MorphableModel, yaw: float) -> None:
    """Detectors mark the outline where they see it; a fit that lets it slide is not misled by that."""
    camera, alpha, beta = random_face(default_model, 1)
    camera = replace(camera, rotation=rotation_from_pose_angles(0.0, yaw, 0.0))
    landmark_model = LandmarkModel.of(default_model, "mediapipe478")
    c = np.concatenate([alpha, beta]) / landmark_model.unit
    seen = landmark_model.points.at_outline(landmark_model.points.visible_outline(camera, c))
    points = np.empty((478, 2))
    points[landmark_model.order] = camera.project(seen.points(c).T)
    residual = {
        slides: TrackFitter(default_model, options=FitOptions(outline=slides)).fit(tracked(points, "mediapipe478"))
        for slides in (True, False)
    }
    assert residual[True].residual_px < 0.7 * residual[False].residual_px


def test_a_frontal_faces_outline_stays_where_the_landmarks_are(default_model: MorphableModel) -> None:
    landmark_model = LandmarkModel.of(default_model, "ibug68")
    frontal = WeakPerspective(1.0, rotation_from_pose_angles(0.0, 0.0, 0.0), np.zeros(2))
    neutral = np.zeros(len(landmark_model.unit))
    seen = landmark_model.points.at_outline(landmark_model.points.visible_outline(frontal, neutral))
    moved = np.linalg.norm(seen.points(neutral) - landmark_model.points.points(neutral), axis=0)
    assert np.median(moved[-landmark_model.points.outline_count :]) < 3.0


def test_joint_beats_the_alternation_on_exact_landmarks() -> None:
    camera, alpha, beta = random_face(BLENDSHAPES, 3)
    points = points_of(BLENDSHAPES, "mediapipe478", camera, alpha, beta)
    residual = {
        method: TrackFitter(BLENDSHAPES, method).fit(tracked(points, "mediapipe478")).residual_px
        for method in ("joint", "alternating")
    }
    assert residual["joint"] < 0.5 * residual["alternating"]


@pytest.mark.parametrize("method", LANDMARK_METHODS)
def test_blendshape_weights_stay_between_zero_and_one(method: str) -> None:
    rng = np.random.default_rng(5)
    camera, alpha, _ = random_face(BLENDSHAPES, 5)
    beyond = rng.uniform(-1.5, 2.5, 51)
    points = points_of(BLENDSHAPES, "mediapipe478", camera, alpha, beyond)
    fitted = TrackFitter(BLENDSHAPES, method).fit(tracked(points, "mediapipe478"))
    assert fitted.beta.min() >= 0.0
    assert fitted.beta.max() <= 1.0


@pytest.mark.parametrize("method", LANDMARK_METHODS)
def test_the_rotation_is_proper(method: str) -> None:
    camera, alpha, beta = random_face(UNBOUNDED, 1)
    points = points_of(UNBOUNDED, "ibug68", camera, alpha, beta) + np.random.default_rng(1).normal(0, 5, (68, 2))
    R = TrackFitter(UNBOUNDED, method).fit(tracked(points, "ibug68")).camera.rotation
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(R) == pytest.approx(1.0)


def test_identity_is_shared_by_the_frames_of_a_track() -> None:
    camera, alpha, _ = random_face(BLENDSHAPES, 2)
    rng = np.random.default_rng(2)
    fitter = TrackFitter(BLENDSHAPES)
    identities = []
    for _ in range(12):
        _, _, beta = random_face(BLENDSHAPES, int(rng.integers(1 << 30)))
        points = points_of(BLENDSHAPES, "mediapipe478", camera, alpha, beta)
        identities.append(fitter.fit(tracked(points, "mediapipe478")).alpha)
    distinct = {tuple(identity) for identity in identities}
    assert 1 < len(distinct) < len(identities)


def test_identity_grows_closer_to_the_truth_along_a_track() -> None:
    _, alpha, _ = random_face(BLENDSHAPES, 4)
    rng = np.random.default_rng(4)
    fitter = TrackFitter(BLENDSHAPES)
    errors = []
    for index in range(120):
        camera, _, beta = random_face(BLENDSHAPES, 100 + index)
        points = points_of(BLENDSHAPES, "mediapipe478", camera, alpha, beta) + rng.normal(0, 1, (478, 2))
        fitted = fitter.fit(tracked(points, "mediapipe478"))
        errors.append(np.linalg.norm((fitted.alpha - alpha) / BLENDSHAPES.shape_sigma))
    assert errors[-1] < 0.6 * errors[0]


def talking(count: int) -> list[TrackedLandmarks]:
    """One person's landmarks, with other expressions in each of so many images."""
    camera, alpha, _ = random_face(BLENDSHAPES, 2)
    betas = [random_face(BLENDSHAPES, 50 + k)[2] for k in range(count)]
    return [tracked(points_of(BLENDSHAPES, "mediapipe478", camera, alpha, b), "mediapipe478") for b in betas]


@pytest.mark.parametrize("cores", [1, 2])
def test_no_image_waits_for_the_identity_to_be_refined(monkeypatch: pytest.MonkeyPatch, cores: int) -> None:
    monkeypatch.setattr(second_thread.os, "sched_getaffinity", lambda _: set(range(cores)))
    may_go_on, refined = threading.Event(), []

    class Slow(TrackFitter):
        def _refined(self, *given: object) -> object:
            assert may_go_on.wait(20.0)
            refined.append(threading.current_thread() is threading.main_thread())
            return super()._refined(*given)

    fitter = Slow(BLENDSHAPES)
    faces = talking(4)
    alphas = [fitter.fit(face).alpha for face in faces[:3]]
    may_go_on.set()
    alphas.append(fitter.fit(faces[3]).alpha)
    assert refined == [cores == 1]
    np.testing.assert_array_equal(alphas[2], alphas[0])
    assert not np.array_equal(alphas[3], alphas[0])


def test_a_track_is_fitted_alike_on_any_number_of_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    fits = {}
    for cores in (1, 2):
        monkeypatch.setattr(second_thread.os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)))
        fitter = TrackFitter(BLENDSHAPES)
        fits[cores] = [fitter.fit(face) for face in talking(40)]
    for alone, beside in zip(fits[1], fits[2], strict=True):
        np.testing.assert_array_equal(alone.alpha, beside.alpha)
        np.testing.assert_array_equal(alone.beta, beside.beta)


def test_tracks_do_not_share_their_memory() -> None:
    faces = {face_id: random_face(BLENDSHAPES, face_id) for face_id in (1, 2)}
    together, alone = TrackFitter(BLENDSHAPES), TrackFitter(BLENDSHAPES)
    for _ in range(3):
        for face_id, face in faces.items():
            points = points_of(BLENDSHAPES, "mediapipe478", *face)
            fitted = together.fit(tracked(points, "mediapipe478", face_id))
            if face_id == 2:
                np.testing.assert_array_equal(fitted.alpha, alone.fit(tracked(points, "mediapipe478", 2)).alpha)


def test_a_face_that_jumps_is_found_again() -> None:
    """The pose of the last frame is no help after a cut: the fit begins anew instead of standing in a wrong minimum."""
    fitter = TrackFitter(BLENDSHAPES)
    camera, alpha, beta = random_face(BLENDSHAPES, 6)
    fitter.fit(tracked(points_of(BLENDSHAPES, "mediapipe478", camera, alpha, beta), "mediapipe478"))
    turned = WeakPerspective(camera.scale, rotation_from_pose_angles(0.0, 0.2, 3.0), np.array([500.0, 100.0]))
    points = points_of(BLENDSHAPES, "mediapipe478", turned, alpha, beta)
    fitted, anew = (each.fit(tracked(points, "mediapipe478")) for each in (fitter, TrackFitter(BLENDSHAPES)))
    assert np.degrees(rotation_angle(fitted.camera.rotation, anew.camera.rotation)) < 0.1
    assert np.degrees(rotation_angle(anew.camera.rotation, turned.rotation)) < 5.0


def test_a_heads_motion_is_taken_up_before_the_first_step() -> None:
    """The step of the pose alone leaves to the whole one what motion alone does not explain."""
    fitter = TrackFitter(BLENDSHAPES, options=FitOptions(tracked_iterations=1))
    camera, alpha, beta = random_face(BLENDSHAPES, 6)
    first = fitter.fit(tracked(points_of(BLENDSHAPES, "mediapipe478", camera, alpha, beta), "mediapipe478"))
    turned = WeakPerspective(
        1.1 * camera.scale, rotation_from_vector([0.1, 0.3, 0.1]) @ camera.rotation, camera.translation + 5.0
    )
    fitted = fitter.fit(tracked(points_of(BLENDSHAPES, "mediapipe478", turned, alpha, beta), "mediapipe478"))
    assert np.degrees(rotation_angle(fitted.camera.rotation, turned.rotation)) < 1.0
    np.testing.assert_allclose(fitted.beta, first.beta, atol=0.2)


def test_a_track_may_change_its_landmark_scheme(default_model: MorphableModel) -> None:
    fitter = TrackFitter(default_model)
    face = random_face(default_model, 2)
    for scheme in ("mediapipe478", "ibug68", "mediapipe478"):
        fitted = fitter.fit(tracked(points_of(default_model, scheme, *face), scheme))
        assert fitted.residual_px < 4.0 * face[0].scale


def test_a_forgotten_track_begins_anew() -> None:
    camera, alpha, beta = random_face(BLENDSHAPES, 7)
    face = tracked(points_of(BLENDSHAPES, "mediapipe478", camera, alpha, beta), "mediapipe478")
    fitter = TrackFitter(BLENDSHAPES)
    first = fitter.fit(face)
    fitter.fit(face)
    fitter.retain(set())
    np.testing.assert_array_equal(fitter.fit(face).alpha, first.alpha)


def test_the_step_between_two_cameras_leads_from_one_to_the_other() -> None:
    before, after = (random_face(UNBOUNDED, seed)[0] for seed in (1, 2))
    there = moved(before, step_between(before, after))
    assert there.scale == pytest.approx(after.scale)
    np.testing.assert_allclose(there.rotation, after.rotation, atol=1e-12)
    np.testing.assert_allclose(there.translation, after.translation, atol=1e-9)


def test_the_pose_jacobian_is_that_of_finite_differences() -> None:
    camera, X = random_face(UNBOUNDED, 3)[0], UNBOUNDED.mean[:20].T.astype(np.float64)
    for row, derivative in zip(1e-6 * np.eye(POSE_SIZE), pose_jacobian(camera, X), strict=True):
        difference = (projected(moved(camera, row), X) - projected(moved(camera, -row), X)) / 2e-6
        np.testing.assert_allclose(difference, derivative, rtol=1e-5, atol=1e-5)


def test_the_step_among_equations_is_the_step_among_unknowns() -> None:
    landmark_model = LandmarkModel.of(UNBOUNDED, "ibug68")
    camera = random_face(UNBOUNDED, 8)[0]
    D = len(landmark_model.unit)
    rng = np.random.default_rng(8)
    c = 0.1 * rng.standard_normal(D)
    residuals = rng.standard_normal((2, 68))
    free = np.full(D, np.inf)
    prior = GaussianPrior(np.eye(D), np.zeros(D), -free, free)
    assert prior.white
    noise_px = rng.uniform(1.0, 5.0, 68)
    points = landmark_model.points
    place = Place(Pose.of(camera), c, points.points(c), residuals, noise_px, 0.0)
    H = _curvature(points, place)
    H[POSE_SIZE:, POSE_SIZE:] += prior.precision
    primal, dual = _primal_step(H, points, place, prior), _dual_step(points, place)
    np.testing.assert_allclose(dual, primal, rtol=1e-5, atol=1e-6)


def place_among(points: LinearPoints, seed: int) -> tuple[Place, Seen, GaussianPrior]:
    """Somewhere near what was seen, with a prior that is not white."""
    rng = np.random.default_rng(seed)
    P, D = points.basis.shape[1:]
    root, free = rng.normal(size=(D, D)), np.full(D, np.inf)
    prior = GaussianPrior(root @ root.T, rng.normal(size=D), -free, free)
    camera, c = random_face(UNBOUNDED, seed)[0], 0.1 * rng.standard_normal(D)
    X = points.points(c)
    seen = Seen.of(projected(camera, X) + rng.normal(0.0, 4.0, (2, P)), rng.uniform(1.0, 5.0, P), 2.0)
    return placed(Pose.of(camera), c, X, seen, prior.arrays), seen, prior


def test_the_energy_has_the_slope_that_steps_are_made_with() -> None:
    points = LandmarkModel.of(UNBOUNDED, "ibug68").points
    place, seen, prior = place_among(points, 4)

    def energy_after(step: np.ndarray) -> float:
        pose, c = moved(WeakPerspective(*place.pose), step), place.c + step[POSE_SIZE:]
        return placed(Pose.of(pose), c, points.points(c), seen, prior.arrays).energy

    small = 1e-5
    steps = small * np.eye(POSE_SIZE + len(place.c))
    differences = [(energy_after(step) - energy_after(-step)) / (2.0 * small) for step in steps]
    expected = slope(place, points.basis)
    expected[POSE_SIZE:] += prior.precision @ place.c - prior.shift
    np.testing.assert_allclose(differences, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_at_no_coefficients_the_prior_has_no_energy() -> None:
    points = LandmarkModel.of(UNBOUNDED, "ibug68").points
    place, _, prior = place_among(points, 4)
    c, X = np.zeros(len(place.c)), points.mean
    seen = Seen.of(projected(WeakPerspective(*place.pose), X), np.ones(68), np.inf)
    assert placed(place.pose, c, X, seen, prior.arrays).energy == pytest.approx(0.0, abs=1e-12)


def test_the_linearized_points_move_as_their_derivative_says() -> None:
    points = LandmarkModel.of(UNBOUNDED, "ibug68").points
    place, _, _ = place_among(points, 5)
    J = np.empty((2 * 68, POSE_SIZE + len(place.c)))
    linearized(place, points.basis, J)
    camera = WeakPerspective(*place.pose)
    by_pose = pose_jacobian(camera, place.X)
    by_c = np.einsum("ik,kpd->dip", camera.scale * camera.rotation[:2], points.basis)
    expected = np.concatenate([by_pose, by_c]) / place.sigma_px
    np.testing.assert_allclose(J, expected.transpose(2, 1, 0).reshape(J.shape), rtol=1e-12, atol=1e-12)


def test_a_step_too_long_is_halved_until_the_energy_falls() -> None:
    points = LandmarkModel.of(UNBOUNDED, "ibug68").points
    place, seen, prior = place_among(points, 6)
    downhill = np.zeros(POSE_SIZE + len(place.c))
    down = -slope(place, points.basis)[4:6]
    downhill[4:6] = 100.0 * down / np.linalg.norm(down)
    after, movement, share = descended(place, downhill, points.motion(downhill[POSE_SIZE:]), seen, prior.arrays)
    assert after.energy < place.energy
    assert 0.0 < share < 1.0
    assert movement == pytest.approx(share * np.abs(downhill).max())


def test_a_fit_of_a_single_step_compares_with_the_outline_as_it_is_seen(default_model: MorphableModel) -> None:
    landmark_model = LandmarkModel.of(default_model, "ibug68")
    points, D = landmark_model.points, len(landmark_model.unit)
    camera = WeakPerspective(1.5, rotation_from_pose_angles(0.0, 0.7, 0.0), np.array([300.0, 200.0]))
    neutral, free = np.zeros(D), np.full(D, np.inf)
    seen = points.at_outline(points.visible_outline(camera, neutral))
    assert (seen.mean != points.mean).any()
    fit = joint_fit(
        points,
        camera.project(seen.mean.T).T,
        camera,
        neutral,
        GaussianPrior(np.eye(D), neutral, -free, free),
        noise_px=np.ones(68),
        max_iterations=1,
        tolerance_px=0.1,
    )
    np.testing.assert_array_equal(fit.points.mean, seen.mean)
    assert fit.residual_px < 1e-6


@pytest.mark.parametrize(("pull", "reached"), [(50.0, 1.0), (-50.0, -0.2)])
def test_a_step_ends_at_the_bounds(pull: float, reached: float) -> None:
    prior = GaussianPrior(np.eye(1), np.array([pull]), np.array([-0.2]), np.array([1.0]))
    still = LinearPoints(*(np.zeros(shape) for shape in ((3, 2), (3, 2, 1), (3, 0, 1), (3, 0, 1, 1), (2, 0))))
    seen = Seen.of(np.zeros((2, 2)), np.ones(2), np.inf)
    pose = Pose(1.0, FRONTAL, np.zeros(2))
    place = placed(pose, np.array([0.5]), still.mean, seen, prior.arrays)
    step = _primal_step(np.eye(POSE_SIZE + 1), still, place, prior)
    assert place.c + step[POSE_SIZE:] == pytest.approx(reached)


def test_what_a_picture_says_of_the_identity_alone_is_what_it_says_of_all_at_once() -> None:
    """½αᵀSα − hᵀα has its minimum where the whole step ends, and S is what the curvature leaves of it."""
    landmark_model = LandmarkModel.of(BLENDSHAPES, "mediapipe478")
    camera, alpha, beta = random_face(BLENDSHAPES, 3)
    points, unit, K = landmark_model.points, landmark_model.unit, landmark_model.shape_count
    observed = camera.project(points.points(np.concatenate([alpha, beta]) / unit).T).T
    free = np.full(len(unit), np.inf)
    everything = GaussianPrior(np.eye(len(unit)), np.zeros(len(unit)), -free, free)
    fit = joint_fit(
        points,
        observed,
        camera,
        np.zeros(len(unit)),
        everything,
        noise_px=np.ones(478),
        max_iterations=1,
        tolerance_px=0.1,
    )
    of_expression = np.diag(np.arange(len(unit)) >= K).astype(float)
    prior = GaussianPrior(of_expression, np.zeros(len(unit)), -free, free)
    H = _curvature(points, fit.place)
    H[POSE_SIZE:, POSE_SIZE:] += prior.precision
    change = _primal_step(H, points, fit.place, prior)[POSE_SIZE:]
    S, h = identity_information(fit, prior, K)
    of_alpha = slice(POSE_SIZE, POSE_SIZE + K)
    np.testing.assert_allclose(np.linalg.inv(S), np.linalg.inv(H)[of_alpha, of_alpha], rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(np.linalg.solve(S, h), (fit.coefficients + change)[:K], rtol=1e-4, atol=1e-5)


def test_what_the_landmarks_do_not_see_stays_where_it_is() -> None:
    curvature, right = np.diag([4.0, 0.0, 2e6]), np.array([8.0, 0.0, 1e6])
    regularize(curvature)
    np.testing.assert_allclose(solve_symmetric(curvature, right), [2.0, 0.0, 0.5], rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_the_minimum_in_a_box_is_that_of_a_reference_solver(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    A, b = rng.standard_normal((2 * size + 3, size)), rng.standard_normal(2 * size + 3)
    lower, upper = -rng.uniform(0, 0.3, size), rng.uniform(0, 0.3, size)
    lower[rng.random(size) < 0.2], upper[rng.random(size) < 0.2] = -np.inf, np.inf
    expected = lsq_linear(A, b, (lower, np.maximum(upper, lower + 1e-12)), tol=1e-12).x
    np.testing.assert_allclose(minimize_in_box(A.T @ A, -A.T @ b, lower, upper), expected, atol=1e-5)


def test_a_box_of_points_alone_holds_its_minimum() -> None:
    np.testing.assert_array_equal(minimize_in_box(np.eye(2), np.ones(2), np.zeros(2), np.zeros(2)), np.zeros(2))


@pytest.mark.parametrize("matrix", [np.diag([1.0, 0.0]), np.diag([1.0, -1.0]), np.full((2, 2), np.nan)])
def test_a_matrix_that_is_not_positive_definite_has_no_minimum(matrix: np.ndarray) -> None:
    free = np.full(2, np.inf)
    with pytest.raises(Face3DMMError, match="the normal equations are singular"):
        minimize_in_box(matrix, np.ones(2), -free, free)


def test_a_pose_that_the_points_do_not_determine_is_refused() -> None:
    nowhere = np.full((3, 5), np.nan)
    with pytest.raises(Face3DMMError, match="the normal equations are singular"):
        turned(WeakPerspective(1.0, FRONTAL, np.zeros(2)), nowhere, np.zeros((2, 5)), np.ones(5), np.inf)


@pytest.mark.parametrize(
    ("points", "scheme", "complaint"),
    [
        (np.zeros((67, 2)), "ibug68", "68 landmarks"),
        (np.full((68, 2), np.nan), "ibug68", "not finite"),
        (np.zeros((68, 2)), "ibug68", "coincide"),
        (np.linspace([0.0, 0.9], [0.9, 0.0], 68) ** 2, "ibug68", "coincide: they lie within 0.81 px"),
        (np.zeros((5, 2)), "five", "cannot be converted"),
    ],
)
def test_unusable_landmarks_are_refused(points: np.ndarray, scheme: str, complaint: str) -> None:
    with pytest.raises(Face3DMMError, match=complaint):
        TrackFitter(UNBOUNDED).fit(tracked(points, scheme))


def test_a_model_of_68_points_fits_what_a_dense_detector_sees(default_model: MorphableModel) -> None:
    sparse = replace(default_model, landmarks={"ibug68": default_model.scheme("ibug68")}, contours={})
    camera = random_face(default_model, 3)[0]
    neutral = np.zeros(0)
    dense = points_of(default_model, "mediapipe478", camera, neutral, neutral)
    fitted = TrackFitter(sparse).fit(tracked(dense, "mediapipe478"))
    # Face Mesh's jaw points only stand near iBUG's, so the pose is not exact.
    assert np.degrees(rotation_angle(fitted.camera.rotation, camera.rotation)) < 15.0
    assert fitted.residual_px < 5.0 * camera.scale


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(Face3DMMError, match="joint"):
        TrackFitter(UNBOUNDED, "magic")


def test_a_model_without_landmarks_is_refused_before_any_face_comes() -> None:
    with pytest.raises(Face3DMMError, match=r"has no landmarks, .* `face3dmm model correspond FILE` finds them$"):
        TrackFitter(replace(UNBOUNDED, landmarks={}, contours={}))


def test_a_tenth_of_wild_landmarks_hardly_moves_the_face(default_model: MorphableModel) -> None:
    def fitted(points: np.ndarray, outlier: float) -> FaceParameters:
        fitter = TrackFitter(default_model, options=FitOptions(outlier=outlier))
        landmarks = Landmarks("mediapipe478", points.astype(np.float32), Box(0, 0, 640, 480), 1.0, (640, 480))
        return fitter.fit(TrackedLandmarks(0, landmarks))

    camera = WeakPerspective(1.5, rotation_from_pose_angles(0.1, 0.4, 0.0), np.array([320.0, 200.0]))
    points = camera.project(default_model.scheme("mediapipe478").interpolate(default_model.mean).astype(np.float64))
    wild = points.copy()
    wild[::10] += [90.0, 40.0]
    robust, plain = fitted(wild, FitOptions().outlier), fitted(wild, np.inf)
    angle = [np.degrees(rotation_angle(fit.camera.rotation, camera.rotation)) for fit in (robust, plain)]
    assert angle[0] < 1.5 < angle[1]


def test_landmarks_weigh_by_their_own_deviation(default_model: MorphableModel) -> None:
    camera = WeakPerspective(1.5, rotation_from_pose_angles(0.0, 0.0, 0.0), np.array([320.0, 200.0]))
    points = camera.project(default_model.scheme("ibug68").interpolate(default_model.mean).astype(np.float64))
    rng = np.random.default_rng(1)
    unsure = np.arange(68) % 2 == 0
    points[unsure] += rng.normal(0.0, 12.0, (int(unsure.sum()), 2))
    deviation = np.where(unsure, 12.0, 0.5).astype(np.float32)
    landmarks = Landmarks("ibug68", points.astype(np.float32), Box(0, 0, 640, 480), 1.0, (640, 480))
    options = FitOptions(outline=False)
    plain = TrackFitter(default_model, options=options).fit(TrackedLandmarks(0, landmarks))
    weighed = TrackFitter(default_model, options=options).fit(
        TrackedLandmarks(0, replace(landmarks, deviation=deviation))
    )

    def error(fit: FaceParameters) -> float:
        return rotation_angle(fit.camera.rotation, camera.rotation)

    assert error(weighed) < 0.5 * error(plain)


@pytest.mark.parametrize("outlier", [0.7, 2.0, np.inf])
def test_a_landmark_weighs_what_the_slope_of_its_loss_says(outlier: float) -> None:
    rng = np.random.default_rng(0)
    residuals, noise_px, small = rng.normal(0.0, 6.0, (2, 9)), rng.uniform(1.0, 4.0, 9), 1e-6
    pose, X = Pose(1.0, FRONTAL, np.zeros(2)), np.zeros((3, 9))

    def off_by(residuals: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        return compared(pose, X, Seen.of(-residuals, noise_px, outlier))

    for axis, point in np.ndindex(residuals.shape):
        step = np.zeros_like(residuals)
        step[axis, point] = small
        change = off_by(residuals + step)[2] - off_by(residuals - step)[2]
        weighed = residuals[axis, point] / off_by(residuals)[1][point] ** 2
        assert weighed == pytest.approx(change / (2.0 * small), rel=1e-5)


def read(face: TrackedLandmarks, name: str, weight: float, deviation: float = 0.2) -> TrackedLandmarks:
    """The face of a detector that tells deviations and has read one blendshape, the others as 0."""
    expression = np.zeros(len(ARKIT_NAMES) - 1, np.float32)
    expression[ARKIT_NAMES.index(name)] = weight
    landmarks = replace(
        face.landmarks,
        deviation=np.full(len(face.landmarks.points), 3.0, np.float32),
        expression=expression,
        expression_deviation=np.full(len(expression), deviation, np.float32),
    )
    return replace(face, landmarks=landmarks)


@pytest.fixture
def at_rest(default_model: MorphableModel) -> TrackedLandmarks:
    camera = WeakPerspective(1.5, rotation_from_pose_angles(0.0, 0.1, 0.0), np.array([300.0, 200.0]))
    return tracked(points_of(default_model, "mediapipe478", camera, np.zeros(0), np.zeros(0)), "mediapipe478")


def test_an_expression_that_the_detector_reads_is_believed_by_its_deviation(
    default_model: MorphableModel, at_rest: TrackedLandmarks
) -> None:
    blink = ARKIT_NAMES.index("eyeBlinkLeft")
    for frames in (1, 3):
        found = []
        for deviation in (0.1, 10.0):
            fitter = TrackFitter(default_model)
            for _ in range(frames):
                fitted = fitter.fit(read(at_rest, "eyeBlinkLeft", 0.9, deviation))
            found.append(fitted.beta[blink])
            assert np.abs(np.delete(fitted.beta, blink)).max() < 0.2
        assert found[0] > 0.5
        assert found[1] < 0.1


def test_a_model_with_other_expressions_does_not_take_them_for_its_own(at_rest: TrackedLandmarks) -> None:
    camera, alpha, beta = random_face(BLENDSHAPES, 0)
    face = tracked(points_of(BLENDSHAPES, "mediapipe478", camera, alpha, beta), "mediapipe478")
    known = read(face, "jawOpen", 1.0)
    unknown = replace(known, landmarks=replace(known.landmarks, expression=None, expression_deviation=None))
    np.testing.assert_array_equal(TrackFitter(BLENDSHAPES).fit(known).beta, TrackFitter(BLENDSHAPES).fit(unknown).beta)


@pytest.mark.parametrize(("weight", "deviation"), [(np.nan, 0.2), (0.5, 0.0), (0.5, np.inf)])
def test_an_expression_that_cannot_be_is_refused(
    default_model: MorphableModel, at_rest: TrackedLandmarks, weight: float, deviation: float
) -> None:
    with pytest.raises(Face3DMMError, match="expression"):
        TrackFitter(default_model).fit(read(at_rest, "jawOpen", weight, deviation))


def test_an_expression_of_another_length_is_refused(default_model: MorphableModel, at_rest: TrackedLandmarks) -> None:
    known = read(at_rest, "jawOpen", 0.5)
    short = replace(known, landmarks=replace(known.landmarks, expression=np.zeros(3, np.float32)))
    with pytest.raises(Face3DMMError, match=r"51 weights .* shape \(3,\)"):
        TrackFitter(default_model).fit(short)


def shifted_by_wild_landmarks(model: MorphableModel, wild_px: float, *, reads: bool, frames: int) -> float:
    """How far, px, the last frame's face is shifted by an eighth of its landmarks, which are off to the right.

    The detector says of all its landmarks that they are off by 1 px.
    """
    neutral = np.zeros(model.shape_count), np.zeros(model.expression_count)
    # Turned so far that the pose goes out as it was fitted.
    camera = WeakPerspective(1.5, rotation_from_pose_angles(0.0, np.radians(45.0), 0.0), np.array([300.0, 200.0]))
    truth = points_of(model, "mediapipe478", camera, *neutral)
    points = truth.copy()
    points[::8] += [wild_px, 0.0]
    face = read(tracked(points, "mediapipe478"), "jawOpen", 0.0)
    landmarks = replace(face.landmarks, deviation=np.ones(478, np.float32))
    if not reads:
        landmarks = replace(landmarks, expression=None, expression_deviation=None)
    fitter = TrackFitter(model)
    for _ in range(frames):
        fitted = fitter.fit(replace(face, landmarks=landmarks))
    return float((reprojected(model, "mediapipe478", fitted) - truth)[:, 0].mean())


@pytest.mark.parametrize("wild_px", [8.0, 20.0])
@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize("frames", [1, 4], ids=["new", "held"])
def test_landmarks_are_let_go_from_four_deviations_on_whether_the_identity_is_held_or_not(
    default_model: MorphableModel, wild_px: float, reads: bool, frames: int
) -> None:
    """Two of those that are enlarged by two: the shift is that of Cauchy's loss of 4 px, however the rest weighs."""
    share, let_go_px = len(range(0, 478, 8)) / 478, 4.0

    def energy(shift: float) -> float:
        off = np.array([shift, wild_px - shift])
        return float(np.array([1.0 - share, share]) @ np.log1p((off / let_go_px) ** 2))

    expected = minimize_scalar(energy, bounds=(0.0, wild_px / 4.0), method="bounded").x
    shift = shifted_by_wild_landmarks(default_model, wild_px, reads=reads, frames=frames)
    assert shift == pytest.approx(expected, rel=0.15)


def jaw_between_points_and_reading(model: MorphableModel, *, reads: bool) -> float:
    """jawOpen of a face followed at rest, whose points then show 0.6 while the detector, if it reads, reads 0.2."""
    jaw, neutral = ARKIT_NAMES.index("jawOpen"), np.zeros(model.expression_count)
    camera = WeakPerspective(1.5, FRONTAL, np.array([300.0, 200.0]))
    fitter = TrackFitter(model)
    for shown, weight in 6 * [(0.0, 0.0)] + 2 * [(0.6, 0.2)]:
        beta = neutral.copy()
        beta[jaw] = shown
        points = points_of(model, "mediapipe478", camera, np.zeros(model.shape_count), beta)
        face = read(tracked(points, "mediapipe478"), "jawOpen", weight, deviation=0.1)
        if not reads:
            face = replace(face, landmarks=replace(face.landmarks, expression=None, expression_deviation=None))
        fitted = fitter.fit(face)
    return float(fitted.beta[jaw])


def test_where_the_identity_is_held_points_meet_the_detectors_reading_halfway(default_model: MorphableModel) -> None:
    """Points of 3 px, and a reading of 0.1: what the identity leaves in the points must not pass for an expression."""
    assert jaw_between_points_and_reading(default_model, reads=True) == pytest.approx(0.36, abs=0.06)


def test_where_nothing_is_read_the_points_of_a_held_face_are_followed(default_model: MorphableModel) -> None:
    assert jaw_between_points_and_reading(default_model, reads=False) == pytest.approx(0.6, abs=0.03)


NOSE_TIP = 1
IN_THE_MOUTH = np.array([name.startswith("mouth") for name in ARKIT_NAMES])
IN_THE_BROWS = np.array([name.startswith("brow") for name in ARKIT_NAMES])


def smiling(model: MorphableModel, smile: float, *, covered: bool = False) -> TrackedLandmarks:
    """What a detector that tells deviations says of a smile.

    What a mask covers it takes to be at rest, and says that it guesses.
    """
    beta = np.zeros(model.expression_count)
    beta[ARKIT_NAMES.index("browInnerUp")] = 0.6
    resting = beta.copy()
    beta[[ARKIT_NAMES.index("mouthSmileLeft"), ARKIT_NAMES.index("mouthSmileRight")]] = smile
    camera, alpha = WeakPerspective(1.5, FRONTAL, np.array([300.0, 200.0])), np.zeros(model.shape_count)
    points = points_of(model, "mediapipe478", camera, alpha, beta).astype(np.float32)
    deviation, doubt = np.full(478, 0.5, np.float32), np.full(51, 0.1, np.float32)
    if covered:
        at_rest = points_of(model, "mediapipe478", camera, alpha, resting)
        below = at_rest[:, 1] > at_rest[NOSE_TIP, 1]
        points[below] = at_rest[below]
        beta, deviation[below], doubt[IN_THE_MOUTH[:51]] = resting, 10.0, 10.0
    face = tracked(points, "mediapipe478")
    told = replace(
        face.landmarks, deviation=deviation, expression=beta[:51].astype(np.float32), expression_deviation=doubt
    )
    return replace(face, landmarks=told)


def smile_of(fitted: FaceParameters) -> float:
    return float(fitted.beta[[ARKIT_NAMES.index("mouthSmileLeft"), ARKIT_NAMES.index("mouthSmileRight")]].mean())


def test_the_deviation_of_a_covered_parts_weights_rises_and_that_of_others_does_not(
    default_model: MorphableModel,
) -> None:
    free, covered = (
        TrackFitter(default_model).fit(smiling(default_model, 0.0, covered=c)).beta_deviation for c in (False, True)
    )
    assert free.shape == (52,)
    assert (covered[IN_THE_MOUTH] > free[IN_THE_MOUTH]).all()
    assert np.median(covered[IN_THE_MOUTH] / free[IN_THE_MOUTH]) > 1.5
    assert np.median(covered[IN_THE_BROWS] / free[IN_THE_BROWS]) < 1.05


def test_the_deviation_of_weights_is_the_spread_of_what_the_energy_leaves_likely(default_model: MorphableModel) -> None:
    """With nothing seen of the mouth and no reading, what is left is what the prior knows."""
    model = default_model
    prior = np.sqrt(np.linalg.inv(model.expression_precision).diagonal()) * model.expression_sigma / np.sqrt(0.5)
    assert (TrackFitter(model).fit(smiling(model, 0.0, covered=True)).beta_deviation < 1.001 * prior).all()


def test_the_deviation_of_weights_is_known_where_there_are_more_equations_than_unknowns() -> None:
    points = points_of(UNBOUNDED, "ibug68", *random_face(UNBOUNDED, 0))
    assert UNBOUNDED.shape_count + UNBOUNDED.expression_count < 2 * 68
    assert TrackFitter(UNBOUNDED).fit(tracked(points, "ibug68")).beta_deviation.shape == (40,)


@pytest.mark.parametrize("method", [m for m in LANDMARK_METHODS if m != "joint"])
def test_a_method_without_a_posterior_tells_no_deviations(default_model: MorphableModel, method: str) -> None:
    assert TrackFitter(default_model, method).fit(smiling(default_model, 0.0)).beta_deviation.shape == (0,)


def after_a_smile(model: MorphableModel, options: FitOptions, frames: int) -> list[FaceParameters]:
    """The last frame of a track in which a smile is seen, and those in which its mouth is covered."""
    fitter = TrackFitter(model, options=options)
    for _ in range(6):
        smiled = fitter.fit(smiling(model, 0.8))
    assert smile_of(smiled) > 0.6
    return [smiled, *(fitter.fit(smiling(model, 0.8, covered=True)) for _ in range(frames))]


def test_the_weights_of_a_part_that_is_covered_are_held_and_fade(default_model: MorphableModel) -> None:
    smiles = [smile_of(fitted) for fitted in after_a_smile(default_model, FitOptions(), 90)]
    assert np.abs(np.diff(smiles)).max() < 0.1 * smiles[0], "they do not jump"
    assert smiles[10] > 0.7 * smiles[0]
    assert smiles[-1] < 0.6 * smiles[0]


def test_without_holding_a_covered_smile_is_gone_at_once(default_model: MorphableModel) -> None:
    smiled, covered = after_a_smile(default_model, FitOptions(held_from=np.inf), 1)
    assert smile_of(covered) < 0.6 * smile_of(smiled)


def test_weights_of_parts_that_are_seen_go_on_following(default_model: MorphableModel) -> None:
    before, *_, held = after_a_smile(default_model, FitOptions(), 5)
    np.testing.assert_allclose(held.beta[IN_THE_BROWS], before.beta[IN_THE_BROWS], atol=0.03)


def test_a_smile_that_ends_in_sight_is_not_held(default_model: MorphableModel) -> None:
    fitter = TrackFitter(default_model)
    for smile in (0.8, 0.8, 0.8, 0.8, 0.0, 0.0):
        fitted = fitter.fit(smiling(default_model, smile))
    assert smile_of(fitted) < 0.05


def yaw_of_a_face_whose_lips_and_lids_say_otherwise(model: MorphableModel, yaw: float, otherwise: float) -> float:
    """Degrees, where the detector knows lips and lids best."""
    zero = np.zeros(model.shape_count), np.zeros(model.expression_count)
    cameras = (
        WeakPerspective(2.0, rotation_from_pose_angles(0.0, np.radians(angle), 0.0), np.array([320.0, 240.0]))
        for angle in (yaw, otherwise)
    )
    points, others = (points_of(model, "mediapipe478", camera, *zero) for camera in cameras)
    known = np.concatenate([np.array(LIP_RINGS).ravel(), RIGHT_EYE_RING, LEFT_EYE_RING])
    points[known] = others[known]
    deviation = np.full(len(points), 1.0, np.float32)
    deviation[known] = 0.1
    face = tracked(points, "mediapipe478")
    fitted = TrackFitter(model).fit(replace(face, landmarks=replace(face.landmarks, deviation=deviation)))
    return float(np.degrees(pose_angles(fitted.camera.rotation)[1]))


def test_from_the_front_the_pose_does_not_hang_on_the_few_best_known_points(default_model: MorphableModel) -> None:
    assert yaw_of_a_face_whose_lips_and_lids_say_otherwise(default_model, 0.0, 3.0) < 0.4

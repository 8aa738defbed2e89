"""Jitter, lag, drift and errors against the truth come out as they were put in."""

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from face3dmm_ros.bags.replay import STAGES, Replay, ReplayedImage
from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import FRONTAL, rotation_from_vector
from face3dmm_ros.core.values import Box, FaceParameters, Landmarks, TrackedFace
from face3dmm_ros.evaluation.bag.evaluation import BagEvaluation, evaluate
from face3dmm_ros.evaluation.bag.report import bag_report
from face3dmm_ros.evaluation.bag.sequence_metrics import aligned_distance, jitter, lag, runs, windows
from face3dmm_ros.morphable_model import MorphableModel

PERIOD_NS = 33_333_333
SIZE = (640, 480)
RNG = np.random.default_rng(0)


# The measures themselves.


@pytest.mark.parametrize("frames", [1, 6, 10, 11])
def test_a_sequence_shorter_than_the_lag_that_is_looked_for_has_none(frames: int) -> None:
    curve = RNG.normal(size=(frames, 3))
    assert np.isnan(lag(curve, curve, max_lag=10))


def test_jitter_is_the_standard_deviation_of_a_point_as_a_distance() -> None:
    points = RNG.uniform(0, 100, (5, 2)) + RNG.normal(0, 0.3, (400, 5, 2))
    assert jitter(points, [slice(0, 400)], 0) == pytest.approx(0.3 * np.sqrt(2), rel=0.03)
    assert jitter(points, windows([slice(0, 400)]), 1) == pytest.approx(0.3 * np.sqrt(2), rel=0.05)


def test_steady_motion_counts_as_jitter_only_where_the_face_is_known_to_rest() -> None:
    points = np.arange(50.0)[:, None, None] * np.ones((1, 4, 2))
    assert jitter(points, [slice(0, 50)], 1) == pytest.approx(0.0, abs=1e-9)
    assert jitter(points, [slice(0, 50)], 0) > 10.0


def test_without_a_stretch_at_rest_there_is_no_jitter_to_tell() -> None:
    assert np.isnan(jitter(np.zeros((50, 4, 2)), [], 0))


def test_runs_are_the_long_ones_only_and_windows_cut_them_evenly() -> None:
    mask = np.array([True] * 3 + [False] + [True] * 25 + [False] + [True] * 10)
    assert runs(mask) == [slice(4, 29), slice(30, 40)]
    assert windows(runs(mask)) == [slice(4, 14), slice(14, 24), slice(30, 40)]


@pytest.mark.parametrize("late", [-1.3, 0.0, 0.4, 2.0, 5.7])
def test_lag_is_found_between_frames_whatever_the_amplitude(late: float) -> None:
    k = np.arange(90.0)
    truth = np.stack([np.sin(2 * np.pi * k / 30), 0.2 * np.cos(2 * np.pi * k / 45)], axis=1)
    estimate = 0.7 * np.stack([np.sin(2 * np.pi * (k - late) / 30), 0.2 * np.cos(2 * np.pi * (k - late) / 45)], axis=1)
    assert lag(estimate, truth) == pytest.approx(late, abs=0.05)


def test_lag_does_without_the_frames_that_are_missing() -> None:
    k = np.arange(90.0)
    truth, estimate = np.sin(2 * np.pi * k / 30)[:, None], np.sin(2 * np.pi * (k - 1.5) / 30)[:, None]
    estimate[20:30] = np.nan
    truth[50] = np.nan
    assert lag(estimate, truth) == pytest.approx(1.5, abs=0.05)


def test_there_is_no_lag_beyond_what_is_looked_for() -> None:
    k = np.arange(200.0)
    truth, estimate = np.sin(2 * np.pi * k / 100)[:, None], np.sin(2 * np.pi * (k - 20) / 100)[:, None]
    assert np.isnan(lag(estimate, truth, max_lag=10))


def test_alignment_forgives_a_similarity_and_without_scale_only_a_rigid_motion() -> None:
    target = RNG.normal(0, 50, (3, 40, 3))
    R = rotation_from_vector([0.3, -0.5, 0.2])
    moved = target @ R.T + [1.0, 2.0, 3.0]
    np.testing.assert_allclose(aligned_distance(moved, target, scale=False), 0.0, atol=1e-5)
    np.testing.assert_allclose(aligned_distance(1.1 * moved, target, scale=True), 0.0, atol=1e-5)
    size = np.sqrt(((target - target.mean(axis=1, keepdims=True)) ** 2).sum(axis=2).mean(axis=1))
    np.testing.assert_allclose(aligned_distance(1.1 * moved, target, scale=False), 0.1 * size, rtol=1e-6)


def test_alignment_does_not_mirror() -> None:
    target = RNG.normal(0, 50, (1, 40, 3))
    assert aligned_distance(target * [-1.0, 1.0, 1.0], target, scale=True)[0] > 5.0


# A whole sequence against its truth.


def parameters(model: MorphableModel, k: int = 0, **changes) -> FaceParameters:
    """A face that rests for 30 frames, then turns and opens its mouth once a second."""
    phase = 2 * np.pi * max(0, k - 30) / 30
    beta = np.zeros(model.expression_count)
    beta[model.expression_names.index("jawOpen")] = 0.3 * (1 - np.cos(phase))
    R = FRONTAL @ rotation_from_vector([0.0, 0.4 * np.sin(phase), 0.0])
    camera = WeakPerspective(1.5, R, np.array([320.0, 240.0]))
    face = FaceParameters(
        camera, np.zeros(model.shape_count), beta, model.name, model.digest, "joint", 1.0, 0.9, SIZE,
        gaze=model.gaze(R, beta),
    )  # fmt: skip
    return dataclasses.replace(face, **changes)


def tracked(face: FaceParameters, face_id: int = 0) -> TrackedFace:
    points = np.zeros((68, 2), np.float32)
    return TrackedFace(face_id, Landmarks("ibug68", points, Box(0, 0, 1, 1), 0.9, SIZE), face)


def replay_of(frames: list[list[TrackedFace]]) -> Replay:
    times = dict(zip(STAGES, (0.5, 1.0, 2.0), strict=True))
    images = [ReplayedImage(k * PERIOD_NS, faces, times, k * PERIOD_NS) for k, faces in enumerate(frames)]
    return Replay(images, seconds=0.01 * len(images))


def truth_of(model: MorphableModel, frames: int) -> dict[int, dict[int, FaceParameters]]:
    return {k * PERIOD_NS: {0: parameters(model, k)} for k in range(frames)}


def evaluated(model: MorphableModel, change, frames: int = 90) -> BagEvaluation:
    """The evaluation of a track that is the truth, changed: `change(k, face)`."""
    faces = [[tracked(change(k, parameters(model, k)))] for k in range(frames)]
    return evaluate(replay_of(faces), model, truth_of(model, frames))


def moved(face: FaceParameters, *, scale: float = 1.0, turn=(0.0, 0.0, 0.0), shift=(0.0, 0.0)) -> FaceParameters:
    camera = face.camera
    R = camera.rotation @ rotation_from_vector(turn)
    return dataclasses.replace(face, camera=WeakPerspective(camera.scale * scale, R, camera.translation + shift))


def test_the_truth_itself_has_no_errors(default_model: MorphableModel) -> None:
    record = evaluated(default_model, lambda k, face: face).record
    truth = record["truth"]
    for key in ("scale", "rotation_deg", "gaze_deg", "translation_px", "alpha_sigma", "beta", "landmarks_px"):
        assert truth[key]["p95"] == pytest.approx(0.0, abs=1e-9)
    for key in ("vertices_mm", "vertices_unscaled_mm", "identity_mm"):
        assert truth[key]["p95"] == pytest.approx(0.0, abs=1e-4)
    assert truth["lag_images"]["rotation"] == pytest.approx(0.0, abs=0.01)
    assert truth["lag_images"]["jawOpen"] == pytest.approx(0.0, abs=0.01)
    assert record["jitter"]["fitted_px"] == pytest.approx(0.0, abs=1e-9)
    assert record["jitter"]["rest_told_by"] == "truth"
    assert record["detection"]["true_faces_found"] == 1.0


def test_errors_of_pose_are_those_that_were_made(default_model: MorphableModel) -> None:
    turn = (0.0, np.radians(3.0), 0.0)
    record = evaluated(default_model, lambda k, face: moved(face, scale=1.02, turn=turn, shift=(3.0, 4.0))).record
    assert record["truth"]["scale"]["mean"] == pytest.approx(0.02)
    assert record["truth"]["rotation_deg"]["mean"] == pytest.approx(3.0)
    assert record["truth"]["yaw_deg"]["mean"] == pytest.approx(3.0, abs=1e-6)
    assert record["truth"]["roll_deg"]["mean"] == pytest.approx(0.0, abs=1e-6)
    assert record["truth"]["translation_px"]["mean"] == pytest.approx(5.0)


def test_the_error_of_the_gaze_is_the_angle_between_both_eyes_directions(default_model: MorphableModel) -> None:
    # The faces look along the horizon, so that a turn about the vertical is the angle.
    turn = rotation_from_vector([0.0, np.radians(5.0), 0.0])
    evaluation = evaluated(default_model, lambda k, face: dataclasses.replace(face, gaze=face.gaze @ turn))
    assert evaluation.record["truth"]["gaze_deg"]["median"] == pytest.approx(5.0, abs=1e-3)
    assert evaluation.record["truth"]["rotation_deg"]["median"] == pytest.approx(0.0, abs=1e-6)


def test_where_the_gaze_is_not_known_its_error_is_not_told(default_model: MorphableModel) -> None:
    blind = evaluated(default_model, lambda k, face: dataclasses.replace(face, gaze=np.zeros((0, 3))))
    assert np.isnan(list(blind.record["truth"]["gaze_deg"].values())).all()


def test_errors_of_identity_are_in_sigma_and_show_in_the_vertices(default_model: MorphableModel) -> None:
    alpha = default_model.shape_sigma.astype(np.float64)
    truth = evaluated(default_model, lambda k, face: dataclasses.replace(face, alpha=alpha)).record["truth"]
    assert truth["alpha_sigma"]["mean"] == pytest.approx(1.0)
    assert truth["vertices_mm"]["mean"] > 1.0
    assert truth["vertices_unscaled_mm"]["mean"] >= truth["vertices_mm"]["mean"]
    assert truth["identity_mm"]["mean"] == pytest.approx(truth["vertices_mm"]["mean"], rel=0.2)


def test_errors_of_expression_name_the_blendshape(default_model: MorphableModel) -> None:
    smile = default_model.expression_names.index("mouthSmileLeft")

    def smiling(k: int, face: FaceParameters) -> FaceParameters:
        return dataclasses.replace(face, beta=face.beta + 0.5 * (np.arange(len(face.beta)) == smile))

    truth = evaluated(default_model, smiling).record["truth"]
    assert truth["beta"]["mean"] == pytest.approx(0.5 / np.sqrt(default_model.expression_count))
    assert truth["blendshapes"]["mouthSmileLeft"]["bias"] == pytest.approx(0.5)
    assert truth["blendshapes"]["mouthSmileRight"]["rms"] == pytest.approx(0.0, abs=1e-9)
    assert truth["identity_mm"]["mean"] == pytest.approx(0.0, abs=1e-4)


def test_an_estimate_that_comes_late_says_by_how_many_images(default_model: MorphableModel) -> None:
    record = evaluated(default_model, lambda k, face: parameters(default_model, max(0, k - 2))).record
    assert record["truth"]["lag_images"]["rotation"] == pytest.approx(2.0, abs=0.05)
    assert record["truth"]["lag_images"]["jawOpen"] == pytest.approx(2.0, abs=0.1)


def test_a_truth_that_rests_tells_no_lag(default_model: MorphableModel) -> None:
    record = evaluated(default_model, lambda k, face: face, frames=30).record
    assert np.isnan([record["truth"]["lag_images"][curve] for curve in ("rotation", "jawOpen")]).all()


def test_jitter_counts_only_the_images_in_which_the_truth_rests(default_model: MorphableModel) -> None:
    rng = np.random.default_rng(1)

    def shaken(k: int, face: FaceParameters) -> FaceParameters:
        return moved(face, shift=rng.normal(0, 0.2 if k <= 30 else 5.0, 2))

    found = evaluated(default_model, shaken).record["jitter"]
    assert found["rest_images"] == 31
    assert found["fitted_px"] == pytest.approx(0.2 * np.sqrt(2), rel=0.25)
    assert found["rotation_deg"] == pytest.approx(0.0, abs=1e-6)


def test_without_truth_jitter_is_measured_where_the_face_moves_little(default_model: MorphableModel) -> None:
    rng = np.random.default_rng(1)
    faces = [moved(parameters(default_model, k), shift=rng.normal(0, 0.2, 2)) for k in range(90)]
    record = evaluate(replay_of([[tracked(face)] for face in faces]), default_model, None).record
    assert record["truth"] is None
    assert record["jitter"]["rest_told_by"] == "motion"
    assert 10 <= record["jitter"]["rest_images"] <= 40
    assert record["jitter"]["fitted_px"] == pytest.approx(0.2 * np.sqrt(2), rel=0.4)


def test_identity_drift_is_what_the_face_changes_by(default_model: MorphableModel) -> None:
    sigma = default_model.shape_sigma.astype(np.float64)

    def settling(k: int, face: FaceParameters) -> FaceParameters:
        return dataclasses.replace(face, alpha=sigma * (1.0 if k < 20 else 0.0))

    drift = evaluated(default_model, settling).record["identity_drift_mm"]
    face = default_model.regions["face"] > 0.5
    change = default_model.vertices(sigma, ())[face] - default_model.mean[face]
    expected = np.sqrt((change.astype(np.float64) ** 2).sum(axis=1).mean())
    assert drift["first_to_last"] == pytest.approx(expected, rel=1e-3)
    assert drift["largest_step"] == pytest.approx(expected, rel=1e-3)
    assert drift["settled_after_images"] == 20


def test_a_truth_of_another_model_leaves_coefficients_out_and_says_so(default_model: MorphableModel) -> None:
    other = {
        stamp: {0: dataclasses.replace(face, model_digest="another", alpha=np.zeros(3))}
        for stamp, faces in truth_of(default_model, 40).items()
        for face in faces.values()
    }
    frames = [[tracked(parameters(default_model, k))] for k in range(40)]
    evaluation = evaluate(replay_of(frames), default_model, other)
    assert evaluation.record["truth"]["rotation_deg"]["mean"] == pytest.approx(0.0, abs=1e-6)
    assert not {"alpha_sigma", "beta", "vertices_mm", "blendshapes"} & evaluation.record["truth"].keys()
    assert any("another model" in note for note in evaluation.notes)


def test_a_truth_with_too_few_coefficients_is_refused(default_model: MorphableModel) -> None:
    short = {0: {0: parameters(default_model, alpha=np.zeros(3))}}
    with pytest.raises(Face3DMMError, match="coefficients"):
        evaluate(replay_of([[tracked(parameters(default_model))]]), default_model, short)


def test_faces_are_matched_by_place_and_others_are_false(default_model: MorphableModel) -> None:
    left = parameters(default_model)
    right, far = moved(left, shift=(200.0, 0.0)), moved(left, shift=(-300.0, 0.0))
    truth = {0: {7: left, 8: right}}
    found = evaluate(replay_of([[tracked(right, 1), tracked(far, 2)]]), default_model, truth).record
    assert found["detection"]["true_faces"] == 2
    assert found["detection"]["true_faces_found"] == 0.5
    assert found["detection"]["false_faces"] == 1
    assert found["truth"]["translation_px"]["mean"] == 0.0


def test_losses_returns_and_switches_are_told(default_model: MorphableModel) -> None:
    face = parameters(default_model)
    numbers = [0, 0, None, 0, None, 5, 5]
    frames = [[] if n is None else [tracked(face, n)] for n in numbers]
    truth = {k * PERIOD_NS: {0: face} for k in range(len(frames))}
    for known in (truth, None):
        record = evaluate(replay_of(frames), default_model, known).record
        assert record["tracks"] == {"tracks": 2, "losses": 2, "returns": 1, "switches": 1}
    assert record["detection"] == {"images_with_face": 5, "rate": 5 / 7}


def test_a_bag_without_any_face_has_a_report_too(default_model: MorphableModel, tmp_path) -> None:
    for truth in (None, truth_of(default_model, 5)):
        evaluation = evaluate(replay_of([[]] * 5), default_model, truth)
        assert evaluation.record["detection"]["rate"] == 0.0
        bag_report(evaluation, "no face", "").write(tmp_path / "report.html")
        assert "no face" in (tmp_path / "report.html").read_text()


def test_latency_is_that_of_each_stage_and_of_all(default_model: MorphableModel) -> None:
    latency = evaluated(default_model, lambda k, face: face, frames=12).record["latency_ms"]
    assert latency["decode"] == {"median": 0.5, "p95": 0.5, "p99": 0.5}
    assert latency["total"]["median"] == pytest.approx(3.5)


@pytest.mark.slow
def test_the_report_draws_the_curves_and_escapes_the_name(default_model: MorphableModel, tmp_path) -> None:
    evaluation = evaluated(default_model, lambda k, face: moved(face, turn=(0.02, 0.0, 0.0)))
    bag_report(evaluation, "<bag>", "joint").write(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "&lt;bag&gt;" in page
    assert page.count("data:image/png;base64,") == 5


def test_curves_have_gaps_where_the_face_was_not_found(default_model: MorphableModel) -> None:
    frames = [[] if 3 <= k < 6 else [tracked(parameters(default_model, k))] for k in range(12)]
    curves: dict[str, NDArray[np.float64]] = evaluate(replay_of(frames), default_model, None).curves
    assert np.flatnonzero(np.isnan(curves["yaw"])).tolist() == [3, 4, 5]
    assert np.isfinite(curves["landmarks"]).all()

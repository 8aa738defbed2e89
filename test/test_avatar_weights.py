"""From a model's β to the weights that an avatar shows."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from benchmarks.random_model import random_model
from face3dmm_ros.avatar.weights.retargeting import BlendshapeWeights
from face3dmm_ros.avatar.weights.tuning import Tuning, WeightTuner
from face3dmm_ros.core.arkit import ARKIT_NAMES, weight_of
from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import FRONTAL
from face3dmm_ros.core.values import FaceParameters
from face3dmm_ros.morphable_model import MorphableModel


def face(model, beta):
    camera = WeakPerspective(1.0, FRONTAL, np.zeros(2))
    return FaceParameters(camera, np.zeros(0), np.asarray(beta), model.name, model.digest, "joint", 0, 1, (640, 480))


def shown(**weights):
    values = np.zeros(len(ARKIT_NAMES), np.float32)
    for name, weight in weights.items():
        values[ARKIT_NAMES.index(name)] = weight
    return values


def with_mixed_expressions(model, mix, scale, rotation, shift):
    """A model like another, elsewhere in space, whose expressions are mixtures of the other's, without names."""

    def moved(basis):
        return np.einsum("ij,njk->nik", scale * rotation, basis.reshape(model.vertex_count, 3, -1)).reshape(
            len(basis), -1
        )

    count = mix.shape[1]
    return MorphableModel(
        name="mixed",
        mean=(scale * model.mean @ rotation.T + shift).astype(np.float32),
        triangles=model.triangles,
        shape_basis=moved(model.shape_basis).astype(np.float32),
        shape_sigma=model.shape_sigma,
        expression_basis=(moved(model.expression_basis) @ mix).astype(np.float32),
        expression_sigma=np.ones(count, np.float32),
        expression_names=tuple(f"component {k}" for k in range(count)),
        expression_bounds=np.array([[-np.inf], [np.inf]], np.float32).repeat(count, axis=1),
        albedo_mean=model.albedo_mean,
        albedo_basis=model.albedo_basis,
        albedo_sigma=model.albedo_sigma,
        landmarks=model.landmarks,
    )


def test_there_are_52_names_in_alphabetical_order_but_for_the_last():
    assert len(set(ARKIT_NAMES)) == 52
    assert list(ARKIT_NAMES[:-1]) == sorted(ARKIT_NAMES[:-1])


def test_blendshapes_are_taken_by_name_and_bounded(default_model):
    beta = np.zeros(default_model.expression_count)
    beta[default_model.expression_names.index("jawOpen")] = 0.7
    beta[default_model.expression_names.index("cheekPuff")] = 1.3
    weights = BlendshapeWeights(default_model).of(face(default_model, beta))
    np.testing.assert_array_equal(weights, shown(jawOpen=0.7, cheekPuff=1.0))


def test_deviations_are_taken_by_name_where_the_method_tells_them(default_model):
    weights, beta = BlendshapeWeights(default_model), np.zeros(default_model.expression_count)
    beta[default_model.expression_names.index("jawOpen")] = 0.7
    told = replace(face(default_model, np.zeros_like(beta)), beta_deviation=beta)
    np.testing.assert_array_equal(weights.deviations(told), shown(jawOpen=0.7))
    assert not weights.deviations(face(default_model, beta)).any()


def test_components_that_are_no_blendshapes_are_retargeted_through_the_landmarks(default_model):
    names = ["jawOpen", "browInnerUp", "mouthPucker", "eyeBlinkLeft", "eyeBlinkRight"]
    columns = [default_model.expression_names.index(name) for name in names]
    mix = np.zeros((default_model.expression_count, len(names)))
    mix[columns] = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0]
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    mixed = with_mixed_expressions(default_model, mix, 100.0, turn, np.array([5.0, -3.0, 80.0]))
    beta = mix[columns].T @ np.array([0.8, 0.0, 0.6, 0.0, 0.0])
    weights = BlendshapeWeights(mixed).of(face(mixed, beta))
    assert weights.min() >= 0.0
    assert weights.max() <= 1.0
    assert weight_of(weights, "jawOpen") == pytest.approx(0.8, abs=0.2)
    assert weight_of(weights, "mouthPucker") == pytest.approx(0.6, abs=0.25)
    assert weight_of(weights, "eyeBlinkLeft") < 0.15
    assert weights[-1] == 0.0


def test_a_weight_of_one_costs_as_much_as_half_a_millimetre_at_a_landmark(default_model):
    """min ‖B·w − E·β‖² + ‖0.5 w‖² over 0 ≤ w ≤ 1, by another solver: of alike blendshapes none is favoured."""
    rng = np.random.default_rng(3)
    mix = rng.normal(size=(default_model.expression_count, 6)) * (rng.random((default_model.expression_count, 6)) < 0.1)
    mixed = with_mixed_expressions(default_model, mix, 1.0, np.eye(3), 0.0)
    beta = rng.normal(0.0, 0.7, 6)
    basis = default_model.expression_basis.reshape(default_model.vertex_count, 3, -1).astype(float)
    B = default_model.scheme("ibug68").interpolate(basis).reshape(3 * 68, -1)
    count = B.shape[1]
    costs, shown_by_landmarks = np.vstack([B, 0.5 * np.eye(count)]), np.concatenate([B @ mix @ beta, np.zeros(count)])
    expected = lsq_linear(costs, shown_by_landmarks, (0.0, 1.0), tol=1e-12).x
    weights = BlendshapeWeights(mixed).of(face(mixed, beta))
    assert np.count_nonzero(expected > 0.01) > 10
    np.testing.assert_allclose(
        weights, shown(**dict(zip(default_model.expression_names, expected, strict=True))), atol=0.003
    )


def test_a_face_at_rest_has_no_weights_whatever_the_model(default_model):
    mixed = with_mixed_expressions(default_model, np.eye(default_model.expression_count)[:, :8], 1.0, np.eye(3), 0.0)
    for model in (default_model, mixed):
        assert not BlendshapeWeights(model).of(face(model, np.zeros(0))).any()


def test_parameters_of_another_model_are_refused(default_model):
    with pytest.raises(Face3DMMError, match="use the same model everywhere"):
        BlendshapeWeights(default_model).of(face(random_model(300, 3, 4), np.zeros(4)))


PLAIN = Tuning(calibration_s=0.0, dead_zone=0.0)


def test_without_tuning_weights_stay_as_they_are():
    weights = shown(jawOpen=0.4, eyeBlinkLeft=0.01)
    np.testing.assert_allclose(WeightTuner(PLAIN).tune(1, weights, 0.0), weights, atol=1e-7)


def test_the_first_seconds_are_taken_for_the_rest_and_the_range_above_it_is_stretched():
    tuner = WeightTuner(Tuning(calibration_s=1.0, dead_zone=0.0))
    for time in (0.0, 0.3, 0.6, 0.9):
        tuner.tune(1, shown(jawOpen=0.2), 10.0 + time)
    assert not tuner.tune(1, shown(jawOpen=0.2), 12.0).any()
    assert weight_of(tuner.tune(1, shown(jawOpen=0.6), 12.0), "jawOpen") == pytest.approx(0.5)
    assert weight_of(tuner.tune(1, shown(jawOpen=1.0), 12.0), "jawOpen") == pytest.approx(1.0)
    assert weight_of(tuner.tune(1, shown(jawOpen=0.1), 12.0), "jawOpen") == 0.0


def test_a_rest_that_does_not_end_keeps_no_more_than_a_minute_of_images():
    tuner = WeightTuner(Tuning(calibration_s=1.0))
    tuner.tune(1, shown(), 0.0)
    (rest,) = tuner._faces.values()
    rest._seen.extend([shown()] * 10_000)
    tuner.tune(1, shown(), 0.0)
    assert len(rest._seen) == 1800


def test_a_blink_during_calibration_is_not_taken_for_the_rest():
    tuner = WeightTuner(Tuning(calibration_s=1.0, dead_zone=0.0))
    for k in range(10):
        tuner.tune(1, shown(eyeBlinkLeft=1.0 if k == 4 else 0.0), 0.1 * k)
    assert weight_of(tuner.tune(1, shown(eyeBlinkLeft=0.5), 2.0), "eyeBlinkLeft") == pytest.approx(0.5)


def test_a_mouth_held_open_during_calibration_can_still_be_seen_to_open():
    tuner = WeightTuner(Tuning(calibration_s=1.0, dead_zone=0.0))
    for k in range(10):
        tuner.tune(1, shown(jawOpen=1.0), 0.1 * k)
    assert weight_of(tuner.tune(1, shown(jawOpen=1.0), 2.0), "jawOpen") == pytest.approx(1.0)


def test_every_face_has_a_rest_of_its_own_until_it_is_gone():
    tuner = WeightTuner(Tuning(calibration_s=1.0, dead_zone=0.0))
    tuner.tune(1, shown(jawOpen=0.5), 0.0)
    tuner.tune(2, shown(jawOpen=0.0), 0.0)
    assert weight_of(tuner.tune(1, shown(jawOpen=0.5), 2.0), "jawOpen") == 0.0
    assert weight_of(tuner.tune(2, shown(jawOpen=0.5), 2.0), "jawOpen") == pytest.approx(0.5)
    tuner.retain({2})
    tuner.tune(1, shown(), 5.0)
    assert weight_of(tuner.tune(1, shown(jawOpen=0.5), 7.0), "jawOpen") == pytest.approx(0.5)


def test_calibration_can_be_asked_for_again():
    tuner = WeightTuner(Tuning(calibration_s=1.0, dead_zone=0.0))
    tuner.tune(1, shown(), 0.0)
    tuner.recalibrate()
    tuner.tune(1, shown(jawOpen=0.3), 20.0)
    assert not tuner.tune(1, shown(jawOpen=0.3), 22.0).any()


def test_small_weights_fall_into_the_dead_zone_and_the_rest_keeps_its_range():
    tuner = WeightTuner(Tuning(calibration_s=0.0, dead_zone=0.2, dead_zones={"jawOpen": 0.0}))
    tuned = tuner.tune(1, shown(mouthPucker=0.2, cheekPuff=0.6, mouthFunnel=1.0, jawOpen=0.1), 0.0)
    np.testing.assert_allclose(tuned, shown(cheekPuff=0.5, mouthFunnel=1.0, jawOpen=0.1), atol=1e-6)


def test_gains_multiply_and_stay_within_bounds():
    tuner = WeightTuner(Tuning(calibration_s=0.0, dead_zone=0.0, gain=2.0, gains={"jawOpen": 0.5}))
    tuned = tuner.tune(1, shown(jawOpen=0.8, mouthPucker=0.3, cheekPuff=0.9), 0.0)
    np.testing.assert_allclose(tuned, shown(jawOpen=0.4, mouthPucker=0.6, cheekPuff=1.0), atol=1e-6)


def test_a_change_of_gains_keeps_what_is_known_of_the_rest():
    tuner = WeightTuner(Tuning(calibration_s=1.0, dead_zone=0.0))
    tuner.tune(1, shown(jawOpen=0.5), 0.0)
    tuner.change(Tuning(calibration_s=1.0, dead_zone=0.0, gain=2.0))
    assert not tuner.tune(1, shown(jawOpen=0.5), 2.0).any()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"gains": {"jawopen": 1.0}}, "no blendshape 'jawopen'"),
        ({"gain": -1.0}, "gain lies between 0 and 10"),
        ({"gain": float("nan")}, "gain lies between"),
        ({"dead_zones": {"jawOpen": 1.0}}, "that of jawOpen is 1.0"),
        ({"calibration_s": -1.0}, "0 to 60 seconds"),
    ],
)
def test_impossible_tuning_is_refused(changes, reason):
    with pytest.raises(Face3DMMError, match=reason):
        Tuning(**changes)

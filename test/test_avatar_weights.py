"""From a model's β to the weights that an avatar shows."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from benchmarks.random_model import random_model
from face3dmm_ros.avatar.weights.profile import Profile, profile_path, read_profile, write_profile
from face3dmm_ros.avatar.weights.rest import rest_in_words
from face3dmm_ros.avatar.weights.retargeting import BlendshapeWeights
from face3dmm_ros.avatar.weights.tuning import Tuning, WeightTuner
from face3dmm_ros.core.arkit import ARKIT_NAMES, weight_of
from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import FRONTAL
from face3dmm_ros.core.user_path import configuration_folder
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


@pytest.mark.parametrize(("scheme", "points"), [("ibug68", 68), ("mediapipe478", 478), ("mediapipe478", 468)])
def test_a_weight_of_one_costs_as_much_as_half_a_millimetre_at_one_of_68_landmarks(default_model, scheme, points):
    """min ‖B·w − E·β‖² + ‖0.5 w‖² over 0 ≤ w ≤ 1, by another solver: of alike blendshapes none is favoured.

    Of more landmarks the same share counts as much; irises count where the model has eyes.
    """
    rng = np.random.default_rng(3)
    mix = rng.normal(size=(default_model.expression_count, 6)) * (rng.random((default_model.expression_count, 6)) < 0.1)
    mixed = replace(
        with_mixed_expressions(default_model, mix, 1.0, np.eye(3), 0.0),
        landmarks={scheme: default_model.landmarks[scheme]},
        contours={},
        regions=default_model.regions if points == 478 else {},
    )
    beta = rng.normal(0.0, 0.7, 6)
    basis = default_model.expression_basis.reshape(default_model.vertex_count, 3, -1).astype(float)
    B = default_model.scheme(scheme).at(slice(points)).interpolate(basis).reshape(3 * points, -1)
    count = B.shape[1]
    costs = np.vstack([B, 0.5 * np.sqrt(points / 68) * np.eye(count)])
    shown_by_landmarks = np.concatenate([B @ mix @ beta, np.zeros(count)])
    expected = lsq_linear(costs, shown_by_landmarks, (0.0, 1.0), tol=1e-12).x
    weights = BlendshapeWeights(mixed).of(face(mixed, beta))
    assert np.count_nonzero(expected > 0.01) > 10
    np.testing.assert_allclose(
        weights, shown(**dict(zip(default_model.expression_names, expected, strict=True))), atol=0.003
    )


def test_a_face_at_rest_has_no_weights_whatever_the_model(default_model):
    mixed = with_mixed_expressions(default_model, np.eye(default_model.expression_count)[:, :8], 1.0, np.eye(3), 0.0)
    for model in (default_model, mixed, default_model.with_components(expressions=0)):
        assert not BlendshapeWeights(model).of(face(model, np.zeros(0))).any()


def test_parameters_of_another_model_are_refused(default_model):
    with pytest.raises(Face3DMMError, match="use the same model everywhere"):
        BlendshapeWeights(default_model).of(face(random_model(300, 3, 4), np.zeros(4)))


PLAIN = Tuning(calibration_s=0.0, learn_range=False, dead_zone=0.0)
REST_ONLY = Tuning(learn_range=False, dead_zone=0.0)
"""Of what is learnt, the rest alone; gains of 1."""
LIVE = Tuning(gain=1.5)
"""As the avatar node has it."""


def watch(tuner, seconds, start=0.0, rate=30.0, face_id=1, **weights):
    """What is shown of weights that are held for some seconds, one row an image."""
    times = start + np.arange(round(seconds * rate)) / rate
    return np.array([tuner.tune(face_id, shown(**weights), time) for time in times])


def column(rows, name):
    return rows[:, ARKIT_NAMES.index(name)]


def smile(weight):
    """A smile with what goes along with it."""
    return {
        "mouthSmileLeft": weight, "mouthSmileRight": weight, "cheekSquintLeft": 0.2, "cheekSquintRight": 0.2,
        "mouthFrownLeft": 0.15, "mouthFrownRight": 0.15,
    }  # fmt: skip


def test_without_tuning_weights_stay_as_they_are():
    weights = shown(jawOpen=0.4, eyeBlinkLeft=0.01)
    np.testing.assert_allclose(WeightTuner(PLAIN).tune(1, weights, 0.0), weights, atol=1e-7)


@pytest.mark.parametrize("rate", [5.0, 60.0])
@pytest.mark.parametrize("weight", [0.5, 0.6, 1.0])
def test_a_smile_that_is_held_from_the_first_image_is_shown_all_the_time(rate, weight):
    rows = watch(WeightTuner(LIVE), 60.0, rate=rate, **smile(weight))
    assert column(rows, "mouthSmileLeft").min() >= 0.5
    assert column(rows, "mouthSmileRight").min() >= 0.5


def test_after_a_smile_in_the_first_seconds_the_face_gets_to_rest_and_smiles_again():
    tuner = WeightTuner(LIVE)
    rest = {"browInnerUp": 0.3, "mouthSmileLeft": 0.05}
    watch(tuner, 10.0, **rest | smile(0.7))
    assert not watch(tuner, 10.0, start=10.0, **rest)[-1].any()
    assert column(watch(tuner, 1.0, start=20.0, **rest | smile(0.7)), "mouthSmileLeft").min() >= 0.5


@pytest.mark.parametrize("rate", [5.0, 60.0])
@pytest.mark.parametrize(
    "rest",
    [{"browInnerUp": 0.3, "browOuterUpLeft": 0.35}, {"browDownLeft": 0.3}, {"jawOpen": 0.12}, {"eyeBlinkLeft": 0.2}],
    ids=["high brows", "low brows", "a mouth that stands open", "narrow eyes"],
)
def test_what_people_have_at_rest_is_gone_after_some_seconds(rate, rest):
    rows = watch(WeightTuner(LIVE), 10.0, rate=rate, **rest)
    assert rows[0].any()
    assert rows[round(8 * rate) :].max() < 0.05


def test_any_rate_of_images_learns_alike():
    rng = np.random.default_rng(1)
    rest = {}
    for rate in (5.0, 60.0):
        tuner = WeightTuner(REST_ONLY)
        for time in np.arange(0.0, 40.0, 1.0 / rate):
            weight = 0.2 + 0.05 * np.sin(time) + rng.normal(0.0, 0.02)
            tuner.tune(1, shown(browInnerUp=weight, jawOpen=0.4 * weight), time)
        rest[rate] = tuner._faces[1].rest.weights
    np.testing.assert_allclose(rest[5.0], rest[60.0], atol=0.01)


def test_blinks_and_words_do_not_move_the_rest():
    tuner = WeightTuner(REST_ONLY)
    for time in np.arange(0.0, 120.0, 1.0 / 30.0):
        blink = 1.0 if time % 3.0 < 0.2 else 0.05
        tuner.tune(1, shown(eyeBlinkLeft=blink, jawOpen=0.25 * (1.0 + np.sin(12.0 * time))), time)
    now = tuner.tune(1, shown(eyeBlinkLeft=1.0, jawOpen=0.5), 120.0)
    assert weight_of(now, "eyeBlinkLeft") == pytest.approx(1.0)
    assert weight_of(now, "jawOpen") > 0.4


def test_the_rest_follows_a_slow_drift():
    tuner = WeightTuner(LIVE)
    for time in np.arange(0.0, 120.0, 0.1):
        now = tuner.tune(1, shown(browInnerUp=0.05 + 0.2 * time / 120.0), time)
        assert weight_of(now, "browInnerUp") < 0.05


def test_a_raised_brow_of_some_seconds_is_shown_and_does_not_become_the_rest():
    tuner = WeightTuner(LIVE)
    watch(tuner, 30.0, browInnerUp=0.1)
    assert column(watch(tuner, 5.0, start=30.0, browInnerUp=0.8), "browInnerUp").min() > 0.9
    assert not watch(tuner, 1.0, start=35.0, browInnerUp=0.1).any()


def test_a_gap_between_images_counts_for_no_more_than_half_a_second():
    tuner = WeightTuner(REST_ONLY)
    tuner.tune(1, shown(browInnerUp=0.3), 0.0)
    tuner.tune(1, shown(browInnerUp=0.3), 600.0)
    assert weight_of(tuner._faces[1].rest.weights, "browInnerUp") == pytest.approx(0.3 * 0.5 / 1.5)


def test_a_clock_that_goes_back_does_not_disturb_the_rest():
    tuner = WeightTuner(REST_ONLY)
    watch(tuner, 10.0, start=100.0, browInnerUp=0.3)
    before = tuner._faces[1].rest.weights
    tuner.tune(1, shown(browInnerUp=0.0), 0.0)
    np.testing.assert_array_equal(tuner._faces[1].rest.weights, before)


def test_the_same_images_are_always_shown_alike():
    stream = np.random.default_rng(2).uniform(0.0, 1.0, (200, 52)).astype(np.float32)
    first, second = (
        [tuner.tune(1, weights, k / 30.0) for k, weights in enumerate(stream)]
        for tuner in (WeightTuner(LIVE), WeightTuner(LIVE))
    )
    np.testing.assert_array_equal(first, second)


def test_with_learning_switched_off_the_models_neutral_face_is_the_rest():
    tuner = WeightTuner(Tuning(learn_rest=False, learn_range=False, dead_zone=0.0))
    rows = watch(tuner, 10.0, browInnerUp=0.3)
    np.testing.assert_allclose(column(rows, "browInnerUp"), 0.3, atol=1e-6)


def calibrated(tuner, start=0.0, face_id=1, **weights):
    """A tuner that was told to calibrate, and has."""
    tuner.recalibrate()
    watch(tuner, 1.5, start=start, face_id=face_id, **weights)
    return tuner


def test_calibration_takes_what_is_shown_for_the_rest_and_the_range_above_it_is_stretched():
    tuner = calibrated(WeightTuner(REST_ONLY), jawOpen=0.4)
    assert not tuner.tune(1, shown(jawOpen=0.4), 12.0).any()
    assert weight_of(tuner.tune(1, shown(jawOpen=0.7), 12.0), "jawOpen") == pytest.approx(0.5)
    assert weight_of(tuner.tune(1, shown(jawOpen=1.0), 12.0), "jawOpen") == pytest.approx(1.0)
    assert weight_of(tuner.tune(1, shown(jawOpen=0.1), 12.0), "jawOpen") == 0.0


def test_a_calibrated_rest_stays():
    tuner = calibrated(WeightTuner(LIVE), **smile(0.6))
    watch(tuner, 120.0, start=2.0)
    assert not tuner.tune(1, shown(**smile(0.6)), 122.0).any()


def test_a_calibration_that_does_not_end_keeps_no_more_than_a_minute_of_images():
    tuner = WeightTuner(Tuning(calibration_s=1.0))
    tuner.recalibrate()
    tuner.tune(1, shown(), 0.0)
    rest = tuner._faces[1].rest
    rest._seen.extend([shown()] * 10_000)
    tuner.tune(1, shown(), 0.0)
    assert len(rest._seen) == 1800


def test_a_blink_during_calibration_is_not_taken_for_the_rest():
    tuner = WeightTuner(REST_ONLY)
    tuner.recalibrate()
    for k in range(11):
        tuner.tune(1, shown(eyeBlinkLeft=1.0 if k == 4 else 0.0), 0.1 * k)
    assert weight_of(tuner.tune(1, shown(eyeBlinkLeft=0.5), 2.0), "eyeBlinkLeft") == pytest.approx(0.5)


def test_a_mouth_held_open_during_calibration_can_still_be_seen_to_open():
    tuner = calibrated(WeightTuner(REST_ONLY), jawOpen=1.0)
    assert weight_of(tuner.tune(1, shown(jawOpen=1.0), 2.0), "jawOpen") == pytest.approx(1.0)


def test_every_face_has_a_rest_of_its_own_until_it_is_gone():
    tuner = WeightTuner(REST_ONLY)
    for time in np.arange(0.0, 10.0, 0.1):
        tuner.tune(1, shown(browInnerUp=0.3), time)
        tuner.tune(2, shown(), time)
    assert weight_of(tuner.tune(1, shown(browInnerUp=0.3), 10.0), "browInnerUp") < 0.05
    assert weight_of(tuner.tune(2, shown(browInnerUp=0.3), 10.0), "browInnerUp") > 0.25
    tuner.retain({2})
    assert weight_of(tuner.tune(1, shown(browInnerUp=0.3), 11.0), "browInnerUp") == pytest.approx(0.3)


def test_calibration_is_of_the_faces_that_are_there_and_of_the_next_where_there_is_none():
    tuner = WeightTuner(REST_ONLY)
    tuner.recalibrate()
    for face_id in (1, 2):
        watch(tuner, 1.5, face_id=face_id, **smile(0.5))
    assert not tuner.tune(1, shown(**smile(0.5)), 2.0).any()
    assert weight_of(tuner.tune(2, shown(**smile(0.5)), 2.0), "mouthSmileLeft") == pytest.approx(0.5)


def test_calibration_can_be_asked_for_again():
    tuner = calibrated(WeightTuner(REST_ONLY))
    calibrated(tuner, start=20.0, jawOpen=0.3)
    assert not tuner.tune(1, shown(jawOpen=0.3), 22.0).any()


def test_a_calibration_after_which_no_image_came_in_time_takes_the_next_one():
    tuner = WeightTuner(REST_ONLY)
    tuner.recalibrate()
    tuner.tune(1, shown(), 0.0)
    assert list(tuner.calibrated) == []
    tuner.tune(1, shown(), 5.0)
    assert list(tuner.calibrated) == [1]


def test_calibration_says_what_is_larger_than_with_most_people_and_looks_like():
    assert rest_in_words(shown(browInnerUp=0.2, mouthSmileLeft=0.1)).endswith("nothing in it is unusual")
    words = rest_in_words(shown(**smile(0.5), jawOpen=0.3))
    assert "mouthSmileLeft 0.50, mouthSmileRight 0.50, jawOpen 0.30" in words
    assert "seem to smile and open the mouth" in words


def sweep(tuner, largest, seconds=240.0, name="mouthSmile", start=0.0):
    """Shows expressions that come and go, up to a largest weight; returns the weights at such a one thereafter."""
    for time in np.arange(start, start + seconds, 0.1):
        weight = largest * max(0.0, np.sin(time)) ** 0.5
        tuner.tune(1, shown(**{f"{name}Left": weight, f"{name}Right": weight}), time)
    return tuner.tune(1, shown(**{f"{name}Left": largest}), start + seconds)


def test_who_smiles_widely_gets_a_smaller_gain_and_who_smiles_little_a_larger_one_within_bounds():
    wide, little = (WeightTuner(LIVE) for _ in range(2))
    sweep(wide, 1.0)
    sweep(little, 0.45)
    gains = [1.5 * weight_of(t._faces[1].reach.factors(), "mouthSmileLeft") for t in (wide, little)]
    assert 1.0 <= gains[0] < 1.15
    assert 1.8 < gains[1] <= 2.0


def test_noise_and_what_never_moves_keep_their_gain():
    tuner, rng = WeightTuner(LIVE), np.random.default_rng(3)
    for time in np.arange(0.0, 300.0, 0.1):
        tuner.tune(1, np.abs(rng.normal(0.0, 0.05, 52)).astype(np.float32), time)
    np.testing.assert_allclose(tuner._faces[1].reach.factors(), 1.0, atol=1e-6)


def test_one_image_does_not_set_the_range():
    tuner = WeightTuner(LIVE)
    watch(tuner, 10.0)
    tuner.tune(1, shown(mouthPucker=1.0), 10.0)
    assert weight_of(tuner._faces[1].reach.factors(), "mouthPucker") > 0.95


def test_both_sides_of_a_face_have_one_range_and_gaze_keeps_its_own():
    tuner = WeightTuner(LIVE)
    watch(tuner, 30.0, mouthSmileLeft=1.0, eyeLookOutLeft=1.0)
    factors = tuner._faces[1].reach.factors()
    assert weight_of(factors, "mouthSmileLeft") == weight_of(factors, "mouthSmileRight") < 0.8
    assert weight_of(factors, "eyeLookOutLeft") == pytest.approx(1.0)


def test_a_gain_that_was_given_by_name_and_a_range_that_is_not_learnt_stay():
    for tuning in (Tuning(gains={"jawOpen": 1.2}, dead_zone=0.0), Tuning(gain=1.2, learn_range=False, dead_zone=0.0)):
        tuner = WeightTuner(tuning)
        watch(tuner, 60.0, jawOpen=1.0)
        assert weight_of(tuner.tune(1, shown(jawOpen=0.5), 60.0), "jawOpen") == pytest.approx(0.6, abs=0.01)


def known():
    return Profile(shown(browInnerUp=0.25, mouthSmileLeft=0.5), True, np.full(52, 0.75, np.float32))


def test_a_profile_is_the_first_owners_and_others_have_their_own_rest():
    tuner = WeightTuner(REST_ONLY, known())
    tuner.own(7)
    tuner.own(8)
    assert not tuner.tune(7, shown(mouthSmileLeft=0.5), 0.0).any()
    assert weight_of(tuner.tune(8, shown(mouthSmileLeft=0.5), 0.0), "mouthSmileLeft") == pytest.approx(0.5)


def test_what_a_profile_knows_is_kept_while_its_face_is_gone():
    tuner = WeightTuner(REST_ONLY)
    tuner.own(1)
    calibrated(tuner, browInnerUp=0.5)
    tuner.retain(())
    assert weight_of(tuner.profile.rest, "browInnerUp") == pytest.approx(0.5)
    tuner.own(2)
    assert not tuner.tune(2, shown(browInnerUp=0.5), 30.0).any()


def test_a_face_whose_profile_is_yet_to_be_made_keeps_what_was_learnt_of_it():
    tuner = calibrated(WeightTuner(REST_ONLY), jawOpen=0.5)
    tuner.own(1)
    assert weight_of(tuner.profile.rest, "jawOpen") == pytest.approx(0.5)


def test_a_profile_comes_back_as_it_was_written_and_only_its_owner_can_look(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = profile_path("Ann-1_b")
    assert path == tmp_path / "face3dmm_ros" / "profiles" / "Ann-1_b.json"
    write_profile(path, known())
    read = read_profile(path)
    np.testing.assert_allclose(read.rest, known().rest, atol=1e-6)
    np.testing.assert_allclose(WeightTuner(LIVE, read).profile.reach, known().reach, atol=1e-6)
    assert read.calibrated
    assert path.parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", ["", "../ann", "a/b", "a.b", "Ä", "a b", "a" * 65, "a\n", "\0"])
def test_a_name_that_could_be_a_path_is_none_of_a_profile(name):
    with pytest.raises(Face3DMMError, match="a profile's name has 1 to 64 letters"):
        profile_path(name)


GOOD = '{"rest": {"jawOpen": 0.1}, "calibrated": false, "reach": {}}'


@pytest.mark.parametrize(
    "text",
    [
        "", "[" * 50_000, "1", "{}", "\udcff", '{"rest": {}}', "9" * 5000,
        GOOD.replace("0.1", "NaN"), GOOD.replace("0.1", "-1"), GOOD.replace("0.1", "1e999"), GOOD.replace("0.1", "0.9"),
        GOOD.replace("0.1", "true"), GOOD.replace("0.1", '"0.1"'), GOOD.replace("0.1", "9" * 400),
        GOOD.replace("jawOpen", "jaw"), GOOD.replace("false", "0"), GOOD.replace('"reach": {}', '"reach": []'),
        GOOD.replace('"reach": {}', '"reach": {"jawOpen": 0.1}'), GOOD + " " * 70_000,
    ],
)  # fmt: skip
def test_a_file_that_is_no_profile_is_refused(tmp_path, text):
    path = tmp_path / "ann.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(Face3DMMError, match=r"ann\.json"):
        read_profile(path)


def test_settings_go_into_the_home_where_the_environment_names_no_whole_path(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    for given in ("", "relative/path"):
        monkeypatch.setenv("XDG_CONFIG_HOME", given)
        assert str(configuration_folder()) == "/home/ann/.config/face3dmm_ros"


def test_small_weights_fall_into_the_dead_zone_and_the_rest_keeps_its_range():
    tuner = WeightTuner(Tuning(calibration_s=0.0, dead_zone=0.2, dead_zones={"jawOpen": 0.0}))
    tuned = tuner.tune(1, shown(mouthPucker=0.2, cheekPuff=0.6, mouthFunnel=1.0, jawOpen=0.1), 0.0)
    np.testing.assert_allclose(tuned, shown(cheekPuff=0.5, mouthFunnel=1.0, jawOpen=0.1), atol=1e-6)


def test_gains_multiply_and_stay_within_bounds():
    tuner = WeightTuner(Tuning(calibration_s=0.0, dead_zone=0.0, gain=2.0, gains={"jawOpen": 0.5}))
    tuned = tuner.tune(1, shown(jawOpen=0.8, mouthPucker=0.3, cheekPuff=0.9), 0.0)
    np.testing.assert_allclose(tuned, shown(jawOpen=0.4, mouthPucker=0.6, cheekPuff=1.0), atol=1e-6)


def test_a_change_of_gains_keeps_what_is_known_of_the_rest():
    tuner = calibrated(WeightTuner(REST_ONLY), jawOpen=0.5)
    tuner.change(Tuning(dead_zone=0.0, gain=2.0))
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

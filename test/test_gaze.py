"""Where the eyes look: the direction is that of the eyeballs as β turns them and R carries them."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from benchmarks.random_model import random_model
from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.rotations import (
    FRONTAL,
    nearest_rotation,
    rotation_from_pose_angles,
    rotation_from_vector,
    rotation_vector,
)
from face3dmm_ros.core.values import Box, Landmarks, TrackedLandmarks
from face3dmm_ros.evaluation.metrics import angle_degrees
from face3dmm_ros.fitting import TrackFitter
from face3dmm_ros.morphable_model import MorphableModel

AHEAD = np.array([0.0, 0.0, 1.0])
SIDES = {"Left": 1.0, "Right": -1.0}
TURNED = rotation_from_pose_angles(0.2, -0.5, 0.1)


def weights(model: MorphableModel, **named: float) -> np.ndarray:
    beta = np.zeros(model.expression_count)
    for name, weight in named.items():
        beta[model.expression_names.index(name)] = weight
    return beta


def eyeball(model: MorphableModel, side: str) -> np.ndarray:
    return np.flatnonzero((model.regions["eyes"] > 0.5) & (SIDES[side] * model.mean[:, 0] > 0))


def turn(model: MorphableModel, side: str, beta: np.ndarray) -> np.ndarray:
    """The rotation of an eyeball's vertices from the mean (Kabsch)."""
    eye = eyeball(model, side)
    before, after = (vertices[eye].astype(float) for vertices in (model.mean, model.vertices([], beta)))
    return nearest_rotation((after - after.mean(axis=0)).T @ (before - before.mean(axis=0)))


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("way", ["Up", "Down", "In", "Out"])
def test_one_blendshape_at_1_turns_the_gaze_as_it_turns_the_eyeball(
    default_model: MorphableModel, side: str, way: str
) -> None:
    beta = weights(default_model, **{f"eyeLook{way}{side}": 1.0})
    gaze = default_model.gaze(TURNED, beta)
    k = list(SIDES).index(side)
    np.testing.assert_allclose(gaze[k], TURNED @ turn(default_model, side, beta) @ AHEAD, atol=1e-4)
    np.testing.assert_allclose(gaze[1 - k], TURNED @ AHEAD, atol=1e-4)


@pytest.mark.parametrize(
    ("looks", "axis", "sign"),
    [
        (("eyeLookOutLeft", "eyeLookInRight"), 0, 1),  # to the person's left, the picture's right
        (("eyeLookInLeft", "eyeLookOutRight"), 0, -1),
        (("eyeLookDownLeft", "eyeLookDownRight"), 1, 1),
        (("eyeLookUpLeft", "eyeLookUpRight"), 1, -1),
    ],
)
def test_a_frontal_face_looks_to_the_sides_of_the_picture(
    default_model: MorphableModel, looks: tuple[str, str], axis: int, sign: int
) -> None:
    gaze = default_model.gaze(FRONTAL, weights(default_model, **dict.fromkeys(looks, 1.0)))
    assert (sign * gaze[:, axis] > 0.3).all()
    assert (gaze[:, 2] < -0.85).all(), "still toward the camera"


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("ways", list(product(["Up", "Down"], ["In", "Out"])))
def test_between_blendshapes_gaze_turns_as_their_rotations_do(
    default_model: MorphableModel, side: str, ways: tuple[str, str]
) -> None:
    names = [f"eyeLook{way}{side}" for way in ways]
    vectors = [rotation_vector(turn(default_model, side, weights(default_model, **{name: 1.0}))) for name in names]
    for amounts in product(np.linspace(0.0, 1.0, 6), repeat=2):
        beta = weights(default_model, **dict(zip(names, amounts, strict=True)))
        gaze = default_model.gaze(np.eye(3), beta)[list(SIDES).index(side)]
        assert angle_degrees(gaze, rotation_from_vector(amounts @ np.array(vectors)) @ AHEAD) < 1.0
        assert angle_degrees(gaze, turn(default_model, side, beta) @ AHEAD) < 1.7


def test_eyes_at_rest_look_where_the_head_points(default_model: MorphableModel) -> None:
    face = weights(default_model, jawOpen=0.7, eyeBlinkLeft=1.0, mouthSmileLeft=0.5)
    np.testing.assert_allclose(default_model.gaze(TURNED, face), np.tile(TURNED @ AHEAD, (3, 1)), atol=1e-4)
    np.testing.assert_allclose(default_model.gaze(FRONTAL, 0.0 * face), np.tile([0.0, 0.0, -1.0], (3, 1)), atol=1e-12)


def test_both_eyes_look_where_they_look_together(default_model: MorphableModel) -> None:
    converging = weights(default_model, eyeLookInLeft=0.5, eyeLookInRight=0.5)
    left, right, both = default_model.gaze(np.eye(3), converging)
    assert left[0] < -0.2 < 0.2 < right[0]
    np.testing.assert_allclose(both, AHEAD, atol=1e-4)
    left, right, both = default_model.gaze(TURNED, weights(default_model, eyeLookOutLeft=1.0, eyeLookUpRight=0.4))
    np.testing.assert_allclose(both, (left + right) / np.linalg.norm(left + right))


def test_directions_have_unit_length(default_model: MorphableModel) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        R = rotation_from_vector(rng.normal(0.0, 0.5, 3))
        gaze = default_model.gaze(R, rng.uniform(0.0, 1.0, default_model.expression_count))
        assert gaze.shape == (3, 3)
        np.testing.assert_allclose(np.linalg.norm(gaze, axis=1), 1.0, atol=1e-12)


@pytest.mark.parametrize("looks", [(), ("eyeLookOutLeft", "eyeLookInRight"), ("eyeLookUpLeft", "eyeLookUpRight")])
def test_a_fit_turns_the_eyes_to_where_the_irises_are(default_model: MorphableModel, looks: tuple[str, ...]) -> None:
    beta = weights(default_model, **dict.fromkeys(looks, 0.5))
    camera = WeakPerspective(1.5, FRONTAL, np.array([200.0, 200.0]))
    points = camera.project(default_model.scheme("mediapipe478").interpolate(default_model.vertices([], beta)))
    deviation = np.full(478, 3.0, np.float32)
    deviation[468:] = 0.5
    seen = Landmarks("mediapipe478", points.astype(np.float32), Box(0, 0, 400, 400), 1.0, (400, 400), None, deviation)
    fitted = TrackFitter(default_model).fit(TrackedLandmarks(0, seen))
    assert angle_degrees(fitted.gaze[2], default_model.gaze(FRONTAL, beta)[2]) < 4.0
    said = dict(zip(default_model.expression_names, fitted.beta, strict=True))
    assert {name for name, weight in said.items() if "Look" in name and weight > 0.2} == set(looks)


def test_a_model_without_eyes_that_turn_has_no_gaze(default_model: MorphableModel) -> None:
    left = default_model.mean[:, 0] > 0
    still = [not name.startswith("eyeLook") for name in default_model.expression_names]
    models = (
        random_model(300, 5, 51, blendshapes=True),
        replace(
            default_model,
            expression_basis=default_model.expression_basis[:, :0],
            expression_sigma=default_model.expression_sigma[:0],
            expression_names=(),
            expression_bounds=default_model.expression_bounds[:, :0],
            expression_correlation=None,
        ),
        replace(default_model, regions={}),
        replace(default_model, regions={"eyes": default_model.regions["eyes"] * left}),
        replace(default_model, expression_basis=default_model.expression_basis * np.float32(still)),
    )
    for model in models:
        assert model.gaze(FRONTAL, np.zeros(model.expression_count)).shape == (0, 3)

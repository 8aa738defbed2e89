"""A person's colours: what an image shows at the landmarks, and the albedo that it tells along a track."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.landmark_schemes import SCHEME_SIZES
from face3dmm_ros.core.rotations import FRONTAL, rotation_from_pose_angles
from face3dmm_ros.core.srgb import encoded, linear
from face3dmm_ros.core.values import Box, FaceParameters, Landmarks, TrackedFace, TrackedLandmarks
from face3dmm_ros.fitting.albedo import AlbedoPoints, PersonColors, albedo_evidence, most_probable
from face3dmm_ros.landmarks.colors import ColorSampler, sample_colors
from face3dmm_ros.landmarks.schemes import convert
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.rendering.face_renderer import FaceRenderer, PosedFace
from face3dmm_ros.rendering.spherical_harmonics import SphericalHarmonicsLight

SCHEME = "mediapipe478"
SKIN_TONE, REDNESS, LIPS, BROWS, FACIAL_HAIR = range(5)
SIZE = (640, 480)
EVEN = SphericalHarmonicsLight.even(0.8)


def of(values: dict[int, float]) -> np.ndarray:
    """γ of the default model, all others 0."""
    return np.array([values.get(k, 0.0) for k in range(8)])


@pytest.fixture(scope="module")
def points(default_model: MorphableModel) -> AlbedoPoints:
    return AlbedoPoints.of(default_model, SCHEME)


def light_from(right: float = 0.0, above: float = 0.0) -> SphericalHarmonicsLight:
    """Light from all sides, and some more of it from the image's right side or from above."""
    light = EVEN.coefficients.copy()
    light[1] -= above * light[0]
    light[3] += right * light[0]
    return SphericalHarmonicsLight(light)


def shown(
    points: AlbedoPoints,
    gamma: np.ndarray,
    light: SphericalHarmonicsLight = EVEN,
    rotation: np.ndarray = FRONTAL,
) -> np.ndarray:
    """The colours of a person's skin, which shines a little, in some light."""
    albedo = np.clip(points.mean + points.basis @ gamma, 0.0, 1.0)
    matt = linear(albedo) * light.irradiance(points.normals @ rotation.T)
    return np.round(255.0 * encoded(matt + 0.02)).astype(np.uint8)


def told(points: AlbedoPoints, colors: np.ndarray, rotation: np.ndarray = FRONTAL) -> np.ndarray:
    return most_probable(*albedo_evidence(points, colors, rotation))


def face(
    model: MorphableModel, colors: np.ndarray | None, face_id: int = 0, gamma: Sequence[float] | np.ndarray = ()
) -> TrackedFace:
    """A tracked face from the front, with colours of its skin."""
    if colors is not None:
        colors = np.concatenate([colors, np.zeros((SCHEME_SIZES[SCHEME] - len(colors), 3), np.uint8)])
    camera = WeakPerspective(2.0, FRONTAL, np.array([320.0, 240.0]))
    landmarks = Landmarks(SCHEME, np.zeros((478, 2), np.float32), Box(0, 0, *SIZE), 1.0, SIZE, colors=colors)
    nothing = np.zeros(model.shape_count), np.zeros(model.expression_count)
    parameters = FaceParameters(
        camera, *nothing, model.name, model.digest, "joint", 1.0, 1.0, SIZE, np.array(gamma, np.float64)
    )
    return TrackedFace(face_id, landmarks, parameters)


# What an image shows at the landmarks.


def test_a_points_colour_is_the_images_about_it() -> None:
    image = np.zeros((400, 300, 3), np.uint8)
    image[..., 0], image[..., 1] = np.linspace(0, 240, 300), np.linspace(0, 200, 400)[:, None]
    image[..., 2] = 77
    where = np.random.default_rng(0).uniform(20, 280, (50, 2))
    red, green, blue = sample_colors(image, where).astype(float).T
    np.testing.assert_allclose(blue, where[:, 0] * 240 / 299, atol=1.5)
    np.testing.assert_allclose(green, where[:, 1] * 200 / 399, atol=1.5)
    np.testing.assert_array_equal(red, 77)


def test_noise_is_averaged_over_some_2_percent_of_the_face() -> None:
    image = np.random.default_rng(0).normal(128, 30, (600, 600, 3)).clip(0, 255).astype(np.uint8)
    colors = sample_colors(image, np.random.default_rng(1).uniform(50, 550, (200, 2)))
    assert colors.std() < 30 / 5


def test_points_outside_of_the_image_are_black() -> None:
    image = np.full((100, 100, 3), 200, np.uint8)
    colors = sample_colors(image, np.array([[50.0, 50.0], [-5.0, 50.0], [50.0, 120.0], [99.4, -0.4]]))
    np.testing.assert_array_equal(colors[:, 0], [200, 0, 0, 200])
    assert not sample_colors(image, np.array([[-5.0, -5.0], [-9.0, 300.0]])).any()


def test_a_face_is_looked_at_in_its_first_image_and_then_in_every_tenth() -> None:
    image = np.full((100, 100, 3), 200, np.uint8)
    sampler = ColorSampler()

    def looked_at(*face_ids: int) -> list[bool]:
        landmarks = Landmarks("ibug68", np.full((68, 2), 50.0, np.float32), Box(0, 0, 100, 100), 1.0, (100, 100))
        faces = sampler.sample(image, [TrackedLandmarks(face_id, landmarks) for face_id in face_ids])
        return [face.landmarks.colors is not None for face in faces]

    assert [looked_at(4)[0] for _ in range(22)] == [image % 10 == 0 for image in range(22)]
    assert looked_at(4, 5) == [False, True]


def test_colors_go_with_their_points_into_another_scheme(default_model: MorphableModel) -> None:
    colors = np.arange(3 * 468).reshape(-1, 3).astype(np.uint8)
    converted = convert(face(default_model, colors).landmarks, "ibug68")
    assert converted.colors is not None
    np.testing.assert_array_equal(converted.colors[30], colors[4])  # the tip of the nose


# What the colours tell.


@pytest.mark.parametrize("tone", [-2.5, -1.5, 0.0, 1.5])
def test_a_dark_face_gets_dark_colours_and_a_light_face_light_ones(default_model: MorphableModel, tone: float) -> None:
    """Of the face drawn as the renderer draws it: the overlay is as dark as what it lies over."""
    camera = WeakPerspective(2.0, FRONTAL, np.array([200.0, 250.0]))
    normals = default_model.normals(default_model.mean)
    where = camera.project(default_model.scheme(SCHEME).interpolate(default_model.mean))
    with FaceRenderer(default_model.triangles) as renderer:
        posed = PosedFace(default_model.mean, normals, default_model.rgb(of({SKIN_TONE: tone})), camera)
        image = renderer.overlay(np.zeros((500, 400, 3), np.uint8), [posed], opacity=1.0)
    colored = PersonColors(default_model).color(face(default_model, sample_colors(image, where)))
    gamma = colored.parameters.gamma
    assert gamma[SKIN_TONE] == pytest.approx(tone, abs=0.35)
    assert np.abs(gamma[1:]).max() < 1.0


@pytest.mark.parametrize("side", [-0.6, 0.6])
def test_light_from_the_side_hardly_changes_the_person(points: AlbedoPoints, side: float) -> None:
    for tone in (-1.5, 1.0):
        person = of({SKIN_TONE: tone})
        assert told(points, shown(points, person, light_from(right=side))) == pytest.approx(
            told(points, shown(points, person)), abs=0.35
        )


def test_a_chin_in_shadow_is_no_beard(points: AlbedoPoints) -> None:
    assert told(points, shown(points, of({}), light_from(above=0.6)))[FACIAL_HAIR] == pytest.approx(0.0, abs=0.2)


def test_a_lamps_colour_does_not_become_the_persons(points: AlbedoPoints) -> None:
    warm = SphericalHarmonicsLight(EVEN.coefficients * [1.25, 1.0, 0.7])
    gamma = told(points, shown(points, of({}), warm))
    assert np.abs(gamma[[SKIN_TONE, LIPS]]).max() < 0.1
    assert abs(gamma[REDNESS]) < 1.0  # less than one person of three differs from the mean


@pytest.mark.parametrize("component", [LIPS, BROWS, FACIAL_HAIR])
def test_lips_brows_and_beard_are_told_apart(points: AlbedoPoints, component: int) -> None:
    changes = told(points, shown(points, of({component: 2.0}))) - told(points, shown(points, of({})))
    others = [other for other in (SKIN_TONE, LIPS, BROWS, FACIAL_HAIR) if other != component]
    assert changes[component] > 0.2
    assert np.abs(changes[others]).max() < 0.3 * changes[component]


def test_what_landmarks_do_not_see_stays_at_the_mean(points: AlbedoPoints) -> None:
    scalp_hair, eye_colour = 5, 7
    gamma = told(points, shown(points, of({SKIN_TONE: -2.0})))
    np.testing.assert_allclose(gamma[[scalp_hair, eye_colour]], 0.0, atol=1e-9)


def test_the_hidden_side_of_a_turned_head_tells_nothing(points: AlbedoPoints) -> None:
    rotation = rotation_from_pose_angles(0.0, np.radians(50.0), 0.0)
    hidden = (points.normals @ rotation.T)[:, 2] > -0.15
    assert 50 < hidden.sum() < 300
    colors = shown(points, of({SKIN_TONE: -1.0}), rotation=rotation)
    behind = colors.copy()
    behind[hidden] = [0, 255, 0]
    np.testing.assert_array_equal(told(points, behind, rotation), told(points, colors, rotation))
    assert told(points, colors, rotation)[SKIN_TONE] == pytest.approx(-1.0, abs=0.4)


def test_hair_and_hands_before_the_face_hardly_count(points: AlbedoPoints) -> None:
    person = shown(points, of({SKIN_TONE: 1.0}))
    covered = person.copy()
    covered[points.mean[:, 0].argsort()[::5]] = [20, 15, 10]
    assert told(points, covered)[SKIN_TONE] == pytest.approx(told(points, person)[SKIN_TONE], abs=0.3)


def test_a_dark_face_is_dark_though_some_of_it_is_as_light_as_the_mean_one(points: AlbedoPoints) -> None:
    colors = shown(points, of({SKIN_TONE: -2.8}))
    colors[points.mean[:, 0].argsort()[::4]] = [180, 140, 120]
    assert told(points, colors)[SKIN_TONE] == pytest.approx(-2.8, abs=0.2)


def test_black_tells_nothing_and_all_black_leaves_the_mean(points: AlbedoPoints) -> None:
    np.testing.assert_array_equal(told(points, np.zeros((468, 3), np.uint8)), np.zeros(8))


def test_no_colour_is_beyond_what_a_person_can_be(points: AlbedoPoints) -> None:
    for level in (1, 255):
        assert np.abs(told(points, np.full((468, 3), level, np.uint8))).max() <= 3.0


def test_another_number_of_colours_than_of_landmarks_is_refused(points: AlbedoPoints) -> None:
    with pytest.raises(Face3DMMError, match=r"each of 468 landmarks, found \(100, 3\)"):
        albedo_evidence(points, np.zeros((100, 3), np.uint8), FRONTAL)


# Along a track.


def test_between_two_looks_the_person_keeps_the_colours_and_they_settle_slowly(
    default_model: MorphableModel, points: AlbedoPoints
) -> None:
    colors = PersonColors(default_model)
    rng = np.random.default_rng(0)
    tones = []
    for image in range(300):
        look = None
        if image % 10 == 0:
            noise = rng.normal(0.0, 3.0) + rng.normal(0.0, 8.0, (468, 3))
            look = (shown(points, of({SKIN_TONE: -1.0})) + noise).clip(1, 255).astype(np.uint8)
        tones.append(colors.color(face(default_model, look)).parameters.gamma[SKIN_TONE])
    steps = np.abs(np.diff(tones))
    assert steps.max() < 0.02
    assert steps[100:].max() < 0.005
    assert tones[-1] == pytest.approx(-1.0, abs=0.3)


def test_when_the_light_changes_the_colours_follow_without_a_leap(
    default_model: MorphableModel, points: AlbedoPoints
) -> None:
    colors = PersonColors(default_model)
    bright, dark = (shown(points, of({}), SphericalHarmonicsLight.even(level)) for level in (1.0, 0.4))
    tones = [
        colors.color(
            face(default_model, (bright if image < 600 else dark) if image % 10 == 0 else None)
        ).parameters.gamma[SKIN_TONE]
        for image in range(1500)
    ]
    assert np.abs(np.diff(tones)).max() < 0.02
    assert tones[-1] == pytest.approx(told(points, dark)[SKIN_TONE], abs=0.1 * (tones[0] - tones[-1]))


def test_a_new_track_starts_anew_and_a_lost_one_is_forgotten(
    default_model: MorphableModel, points: AlbedoPoints
) -> None:
    dark, light = (shown(points, of({SKIN_TONE: tone})) for tone in (-2.0, 1.0))
    colors = PersonColors(default_model)
    alone = PersonColors(default_model).color(face(default_model, light)).parameters.gamma
    colors.color(face(default_model, dark, 1))
    np.testing.assert_array_equal(colors.color(face(default_model, light, 2)).parameters.gamma, alone)
    for forget in (lambda: colors.retain({2}), colors.reset):
        forget()
        assert not colors.color(face(default_model, None, 1)).parameters.gamma.size
        np.testing.assert_array_equal(colors.color(face(default_model, light, 1)).parameters.gamma, alone)


def test_several_pictures_of_a_person_have_one_gamma(default_model: MorphableModel, points: AlbedoPoints) -> None:
    faces = [face(default_model, shown(points, of({SKIN_TONE: tone}))) for tone in (-1.0, 1.0)]
    one, other = PersonColors(default_model).color_together(faces)
    np.testing.assert_array_equal(one.parameters.gamma, other.parameters.gamma)
    assert -0.5 < one.parameters.gamma[SKIN_TONE] < 0.5


def test_the_methods_own_gamma_gives_way_once_colours_are_known(
    default_model: MorphableModel, points: AlbedoPoints
) -> None:
    colors = PersonColors(default_model)
    unseen = face(default_model, None, gamma=of({SKIN_TONE: 2.0}))
    assert colors.color(unseen) is unseen
    seen = face(default_model, shown(points, of({SKIN_TONE: -1.0})), gamma=of({SKIN_TONE: 2.0}))
    assert colors.color(seen).parameters.gamma[SKIN_TONE] == pytest.approx(-1.0, abs=0.1)


def test_without_colours_or_albedo_there_is_no_gamma(default_model: MorphableModel, points: AlbedoPoints) -> None:
    unseen = face(default_model, None)
    assert PersonColors(default_model).color(unseen) is unseen
    assert PersonColors(default_model).color_together([unseen]) == [unseen]
    grey = replace(
        default_model, albedo_basis=np.zeros((3 * default_model.vertex_count, 0), np.float32), albedo_sigma=np.zeros(0)
    )
    seen = face(default_model, shown(points, of({})))
    assert PersonColors(grey).color(seen) is seen


def test_a_scheme_of_68_points_tells_the_skins_tone_too(default_model: MorphableModel) -> None:
    sparse = AlbedoPoints.of(default_model, "ibug68")
    tones = [told(sparse, shown(sparse, of({SKIN_TONE: tone})))[SKIN_TONE] for tone in (-2.0, 0.0, 1.5)]
    assert tones == pytest.approx([-2.0, 0.0, 1.5], abs=0.6)

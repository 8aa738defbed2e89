"""Faces as ROS4HRI (REP-155) has them: ids, landmarks, regions, pictures, action units, mutual gaze."""

import re
from dataclasses import replace

import numpy as np
import pytest

from face3dmm_ros.avatar.weights.facs import ACTION_UNITS, UNIT_COUNT, action_units, confidences
from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.face_ids import face_name
from face3dmm_ros.core.mutual_gaze import MutualGaze, angle_to_camera
from face3dmm_ros.core.rotations import FRONTAL, rotation_from_vector
from face3dmm_ros.core.values import Box, FaceParameters, Landmarks
from face3dmm_ros.landmarks.ros4hri import aligned_face, cropped_face, face_region, facial_landmarks
from face3dmm_ros.landmarks.schemes import IBUG68, IBUG68_IN_MEDIAPIPE478, MEDIAPIPE478

SIZE = (200, 100)


def landmarks(points, scheme=IBUG68, size=SIZE):
    return Landmarks(scheme, np.asarray(points, np.float32), Box(0, 0, *size), 0.75, size)


def some_points(count):
    return np.random.default_rng(0).uniform([20, 20], [180, 80], (count, 2)).astype(np.float32)


@pytest.mark.parametrize("face_id", [0, 7, 2**32 - 1])
def test_a_faces_name_is_its_id_after_a_letter_as_topics_and_frames_need_it(face_id):
    assert face_name(face_id) == f"f{face_id}"
    assert re.fullmatch("[a-z][a-z0-9]*", face_name(face_id))


def test_landmarks_are_shares_of_the_image_from_its_corner():
    points = some_points(68)
    points[0], points[1] = (-0.5, -0.5), (199.5, 99.5)
    shares, confidence = facial_landmarks(landmarks(points))
    assert shares.shape == (70, 2)
    np.testing.assert_allclose(shares[:68], (points + 0.5) / SIZE, atol=1e-6)
    np.testing.assert_array_equal(shares[:2], [[0, 0], [1, 1]])
    np.testing.assert_array_equal(confidence, [0.75] * 68 + [0.0] * 2)


def test_478_points_have_pupils_too():
    points = some_points(478)
    shares, confidence = facial_landmarks(landmarks(points, MEDIAPIPE478))
    expected = points[[*IBUG68_IN_MEDIAPIPE478, 468, 473]]
    np.testing.assert_allclose(shares, (expected + 0.5) / SIZE, atol=1e-6)
    assert (confidence == 0.75).all()


def test_a_pupil_that_was_not_seen_has_no_confidence():
    points = some_points(478)
    points[[33, 133, 362, 263]] = (60, 40), (90, 40), (110, 40), (140, 40)
    deviation = np.full(478, 2.0, np.float32)
    deviation[473] = 16.0
    seen = replace(landmarks(points, MEDIAPIPE478), deviation=deviation)
    assert facial_landmarks(seen)[1][68:].tolist() == [0.75, 0.0]


def test_a_landmark_outside_of_the_image_lies_at_its_edge_without_confidence():
    points = some_points(68)
    points[3], points[4] = (-30.0, 40.0), (50.0, 400.0)
    shares, confidence = facial_landmarks(landmarks(points))
    assert shares[3, 0] == 0.0
    assert shares[4, 1] == 1.0
    assert np.flatnonzero(confidence[:68] == 0.0).tolist() == [3, 4]


def test_a_faces_region_is_that_of_its_landmarks_within_the_image():
    points = np.full((68, 2), 50.0)
    points[0], points[1] = (39.5, 29.5), (250.0, 79.5)
    np.testing.assert_allclose(face_region(landmarks(points)), [0.2, 0.3, 1.0, 0.8], atol=1e-6)


def test_a_cropped_face_keeps_its_proportions_and_is_padded_with_black():
    image = np.full((*SIZE[::-1], 3), 90, np.uint8)
    picture = cropped_face(image, np.array([0.2, 0.3, 0.6, 0.6]), (64, 48))
    rows, columns = np.nonzero(picture.any(axis=2))
    assert picture.shape == (48, 64, 3)
    # 80 × 30 px become 64 × 24.
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (12, 35, 0, 63)


def test_a_face_outside_of_the_image_is_cropped_to_black():
    assert not cropped_face(np.full((10, 10, 3), 90, np.uint8), np.array([1.0, 0.2, 1.0, 0.6]), (16, 16)).any()


def face_points(model, angle=0.0, scale=0.7, yaw=0.0, at=(150.0, 160.0)):
    """The 68 points of the mean face, turned in the image by an angle."""
    rotation = rotation_from_vector([0, 0, angle]) @ FRONTAL @ rotation_from_vector([0, yaw, 0])
    return WeakPerspective(scale, rotation, np.array(at)).project(model.landmarks["ibug68"].interpolate(model.mean))


def eye_centres(points):
    return np.array([points[[36, 39]].mean(axis=0), points[[42, 45]].mean(axis=0)])


def with_spots(points, size):
    """A dark image with a bright spot at each eye's centre."""
    rows, columns = np.mgrid[: size[1], : size[0]]
    image = np.zeros((size[1], size[0]))
    for x, y in eye_centres(points):
        image += 255 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 18.0)
    return np.repeat(image[..., None], 3, axis=2).astype(np.uint8)


def spots(picture):
    """The centres of the bright spots in the left and the right half of a picture, (x, y) each."""
    value, half = picture[..., 0].astype(float), picture.shape[1] // 2
    found = []
    for part, offset in ((value[:, :half], 0), (value[:, half:], half)):
        rows, columns = np.mgrid[: part.shape[0], : part.shape[1]]
        found.append([(columns * part).sum() / part.sum() + offset, (rows * part).sum() / part.sum()])
    return np.array(found)


@pytest.mark.parametrize("angle", [0.0, 0.6, -1.2, 3.0])
@pytest.mark.parametrize("scale", [0.5, 1.5])
def test_an_aligned_face_has_its_eyes_level_and_in_their_places(default_model, angle, scale):
    size = (320, 320)
    points = face_points(default_model, angle, scale)
    picture = aligned_face(with_spots(points, size), landmarks(points, size=size), (128, 128))
    # ArcFace's template has the eyes at 38.29 and 73.53 of 112 px, at a height of 51.60.
    places = np.array([[0.3425, 0.461], [0.6575, 0.461]]) * 128 - 0.5
    np.testing.assert_allclose(spots(picture), places, atol=1.0)


def test_an_aligned_face_lies_in_the_middle_of_a_wide_picture(default_model):
    size = (320, 320)
    points = face_points(default_model)
    picture = aligned_face(with_spots(points, size), landmarks(points, size=size), (160, 128))
    np.testing.assert_allclose(spots(picture)[:, 0].mean(), 79.5, atol=0.5)
    assert not picture[:, :16].any()


def test_a_profile_is_not_enlarged_endlessly(default_model):
    size = (320, 320)
    points = face_points(default_model, yaw=np.radians(88.0))
    picture = aligned_face(with_spots(points, size), landmarks(points, size=size), (128, 128))
    lit = np.argwhere(picture[..., 0] > 100)
    assert np.ptp(lit, axis=0).max() < 40


def weights(**given):
    found = np.zeros(len(ARKIT_NAMES), np.float32)
    for name, weight in given.items():
        found[ARKIT_NAMES.index(name)] = weight
    return found


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"browInnerUp": 0.5}, {1: 0.5}),
        ({"mouthSmileLeft": 0.75, "mouthSmileRight": 0.25}, {12: 0.5}),
        ({"jawLeft": 0.5}, {30: 0.5}),
        ({"mouthRollLower": 0.25, "mouthRollUpper": 0.5}, {28: 0.5}),
        ({"eyeBlinkLeft": 1.0, "eyeBlinkRight": 0.25}, {43: 0.25}),
        ({"eyeLookOutLeft": 0.5, "eyeLookInRight": 0.5}, {61: 0.5}),
        ({"eyeLookInLeft": 0.5, "eyeLookOutRight": 0.5}, {62: 0.5}),
        ({"eyeLookInLeft": 0.5, "eyeLookInRight": 0.25}, {61: 0.125, 62: 0.25, 66: 0.25}),
        ({"mouthLeft": 1.0, "tongueOut": 1.0}, {}),
    ],
)
def test_blendshapes_make_action_units(given, expected):
    intensities = action_units(weights(**given))
    assert intensities.shape == (UNIT_COUNT,)
    assert {int(code): float(intensities[code]) for code in np.flatnonzero(intensities)} == expected


WORDS = {np.mean: "mean of {}", np.max: "larger of {}", np.min: "lesser of {}"}


def described(unit):
    """How the page tells what makes a unit."""
    first, *others = unit.blendshapes
    if not others:
        return first
    left = first.removesuffix("Left")
    sides = unit.blendshapes == (f"{left}Left", f"{left}Right") and left != "jaw"
    return WORDS[unit.combine].format(f"{left}, left and right" if sides else ", ".join(unit.blendshapes))


def test_the_page_has_the_units_of_the_code(repository):
    page = (repository / "docs" / "hri.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| (\d+) \| (.*?) \| (.*?) \|", page, re.MULTILINE)
    expected = [
        (str(code), unit.name.lower().replace("_", " ").replace("cross eye", "cross-eye"), described(unit))
        for code, unit in ACTION_UNITS.items()
    ]
    assert told == expected


def test_only_units_that_blendshapes_tell_of_have_a_confidence():
    found = confidences(0.5, weights())
    assert set(np.flatnonzero(found)) == set(ACTION_UNITS)
    assert set(found.tolist()) == {0.0, 0.5}


def test_a_unit_whose_blendshapes_may_be_off_has_less_confidence():
    found = confidences(0.5, weights(mouthSmileLeft=0.5, mouthSmileRight=0.25, jawOpen=3.0))
    assert (found[12], found[26], found[1]) == (0.25, 0.0, 0.5)


def looking(*, head=0.0, eyes=None):
    """A face whose head, and eyes if it has any, look so many degrees to the side of the camera."""
    rotation = rotation_from_vector([0, np.radians(head), 0]) @ FRONTAL
    gaze = np.zeros((0, 3))
    if eyes is not None:
        gaze = np.tile([np.sin(np.radians(eyes)), 0.0, -np.cos(np.radians(eyes))], (3, 1))
    none, camera = np.zeros(0), WeakPerspective(1.0, rotation, np.zeros(2))
    return replace(FaceParameters(camera, none, none, "m", "d", "joint", 0.0, 1.0, SIZE), gaze=gaze)


def test_the_angle_to_the_camera_is_that_of_the_eyes_else_of_the_head():
    assert angle_to_camera(looking(head=30.0, eyes=8.0)) == pytest.approx(8.0)
    assert angle_to_camera(looking(head=30.0)) == pytest.approx(30.0)


def test_a_face_begins_to_look_here_within_the_angle_and_ends_beyond_half_as_much_more():
    gaze = MutualGaze(10.0)
    angles = (12.0, 9.0, 12.0, 14.0, 16.0, 12.0, 9.0)
    assert [gaze.update(1, looking(eyes=angle)) for angle in angles] == [False, True, True, True, False, False, True]


def test_faces_do_not_share_their_gaze_and_a_lost_one_begins_anew():
    gaze = MutualGaze(10.0)
    assert gaze.update(1, looking(eyes=5.0))
    assert not gaze.update(2, looking(eyes=12.0))
    gaze.retain(())
    assert not gaze.update(1, looking(eyes=12.0))

"""The size of heads from depth images, on rendered ones with a sensor's noise."""

import numpy as np
import pytest
from depth_images import CAMERA, SIZE, Head, depth_of, landmarks_of

from face3dmm_ros.core.camera import Intrinsics
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.values import AVERAGE_HEAD, TrackedFace, TrackedLandmarks
from face3dmm_ros.fitting import FitOptions, TrackFitter
from face3dmm_ros.fitting.face_locator import FaceLocator, LocatedFace
from face3dmm_ros.fitting.perspective import PerspectiveFitter
from face3dmm_ros.morphable_model import MorphableModel

OPTIONS = FitOptions(outline=False)


class Follower:
    """Locates one person's face in image after image."""

    def __init__(self, model: MorphableModel) -> None:
        self.model = model
        self.locator = FaceLocator(model, PerspectiveFitter(TrackFitter(model, options=OPTIONS)))
        self._weak = TrackFitter(model, options=OPTIONS)

    def locate(self, vertices: np.ndarray, camera=CAMERA) -> LocatedFace:
        landmarks = landmarks_of(self.model, vertices)
        weak = self._weak.fit(TrackedLandmarks(1, landmarks))
        return self.locator.locate(TrackedFace(1, landmarks, weak), camera)


@pytest.fixture
def follower(default_model: MorphableModel) -> Follower:
    return Follower(default_model)


def far_off(found: LocatedFace, place: np.ndarray) -> float:
    """Error of a head's distance, relatively."""
    return abs(np.linalg.norm(found.placed.pose.position) / np.linalg.norm(place) - 1.0)


@pytest.mark.parametrize(
    ("size", "distance", "noise"), [(0.8, 0.5, 0.01), (0.9, 1.0, 0.02), (1.0, 0.7, 0.015), (1.1, 0.6, 0.02)]
)
def test_with_depth_a_head_is_as_far_away_and_as_large_as_it_is(
    follower: Follower, size: float, distance: float, noise: float
) -> None:
    rng, errors = np.random.default_rng(1), []
    head = Head(follower.model, int(100 * size), size, distance)
    for image in range(15):
        place, vertices = head.at(image / 30.0)
        found = follower.locate(vertices)
        follower.locator.measure(found, depth_of(follower.model, vertices, rng, noise))
        errors.append(far_off(found, place))
    assert max(errors[5:]) < 0.01
    assert found.scale.source == "depth"
    assert found.scale.deviation < 0.013
    shape = follower.model.vertices(found.placed.parameters.alpha, found.placed.parameters.beta)
    metric = found.placed.pose.transform(shape)
    spread = np.linalg.norm(metric - metric.mean(axis=0), axis=1).mean()
    assert spread == pytest.approx(np.linalg.norm(vertices - vertices.mean(axis=0), axis=1).mean(), rel=0.02)


def test_without_depth_a_head_is_taken_for_average_and_the_message_says_how_unsure_that_is(follower: Follower) -> None:
    place, vertices = Head(follower.model, 3, 0.8, 0.6).at(0.0)
    found = follower.locate(vertices)
    assert found.scale == AVERAGE_HEAD
    assert (found.scale.source, found.scale.deviation) == ("average", 0.05)
    assert far_off(found, place) > 0.15


def test_the_size_becomes_surer_with_more_images(follower: Follower) -> None:
    rng, deviations = np.random.default_rng(1), []
    head = Head(follower.model, 5, 0.9, 0.6)
    for image in range(4):
        _, vertices = head.at(image / 30.0)
        found = follower.locate(vertices)
        deviations.append(found.scale.deviation)
        follower.locator.measure(found, depth_of(follower.model, vertices, rng))
    assert deviations == sorted(deviations, reverse=True)
    assert len(set(deviations)) == 4


@pytest.fixture
def located(follower: Follower) -> tuple[LocatedFace, np.ndarray]:
    """A head of 0.9, and its depth."""
    _, vertices = Head(follower.model, 3, 0.9, 0.6).at(0.0)
    return follower.locate(vertices), depth_of(follower.model, vertices, np.random.default_rng(1))


def test_a_head_looks_the_same_at_its_size(follower: Follower, located: tuple[LocatedFace, np.ndarray]) -> None:
    before, depth = located
    follower.locator.measure(before, depth)
    after = follower.locate(Head(follower.model, 3, 0.9, 0.6).at(0.0)[1])
    assert after.scale.factor == pytest.approx(0.9, abs=0.05)
    seen = [
        CAMERA.project(face.placed.pose.transform(follower.model.mean.astype(np.float64))) for face in (before, after)
    ]
    np.testing.assert_allclose(seen[1], seen[0], atol=1.0)


def covered(depth: np.ndarray, columns: slice, value: float) -> np.ndarray:
    other = depth.copy()
    other[:, columns] = value
    return other


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (np.zeros_like, "0 points of the face have depth"),
        (lambda depth: np.full_like(depth, np.nan), "0 points of the face have depth"),
        (lambda depth: np.full_like(depth, np.inf), "0 points of the face have depth"),
        (lambda depth: -depth, "0 points of the face have depth"),
        (lambda depth: depth[::2, ::2], "320×240 is not registered to images of 640×480"),
        (lambda depth: np.full_like(depth, 5.0), "times as far away"),
        (lambda depth: 1000.0 * depth, "times as far away"),
        (lambda depth: covered(depth, slice(0, 322), 0.35), "agree"),
        (lambda depth: np.random.default_rng(0).uniform(0.3, 3.0, depth.shape).astype(np.float32), "agree"),
    ],
)
def test_depth_that_shows_no_head_is_refused_and_the_size_stays_average(
    follower: Follower, located: tuple[LocatedFace, np.ndarray], spoil, complaint: str
) -> None:
    face, depth = located
    with pytest.raises(Face3DMMError, match=complaint):
        follower.locator.measure(face, spoil(depth))
    assert follower.locate(Head(follower.model, 3, 0.9, 0.6).at(0.0)[1]).scale == AVERAGE_HEAD


@pytest.mark.parametrize(
    "spoil",
    [
        lambda depth: covered(depth, slice(0, 295), 0.35),  # a hand over a cheek
        lambda depth: np.where(np.random.default_rng(0).random(depth.shape) < 0.2, 2.5, depth).astype(np.float32),
        lambda depth: np.where(np.random.default_rng(0).random(depth.shape) < 0.6, np.nan, depth).astype(np.float32),
    ],
    ids=["a hand", "flying pixels", "holes"],
)
def test_a_good_part_of_a_face_is_enough(follower: Follower, located: tuple[LocatedFace, np.ndarray], spoil) -> None:
    face, depth = located
    follower.locator.measure(face, depth)
    clean = follower.locator._scaler._faces[1][-1]
    follower.locator.measure(face, spoil(depth))
    assert follower.locator._scaler._faces[1][-1] == pytest.approx(clean, rel=0.01)


def test_one_wrong_image_does_not_change_the_size(follower: Follower, located: tuple[LocatedFace, np.ndarray]) -> None:
    face, depth = located
    for image in range(7):
        follower.locator.measure(face, 1.2 * depth if image == 6 else depth)
    found = follower.locate(Head(follower.model, 3, 0.9, 0.6).at(0.0)[1])
    assert found.scale.factor == pytest.approx(0.9, abs=0.05)


def test_another_track_and_another_camera_begin_at_the_average(
    follower: Follower, located: tuple[LocatedFace, np.ndarray]
) -> None:
    vertices = Head(follower.model, 3, 0.9, 0.6).at(0.0)[1]
    for forget in (lambda: follower.locator.retain([2]), follower.locator.reset):
        follower.locator.measure(*located)
        assert follower.locate(vertices).scale.source == "depth"
        forget()
        assert follower.locate(vertices).scale == AVERAGE_HEAD


def test_depth_needs_a_calibrated_camera(follower: Follower, located: tuple[LocatedFace, np.ndarray]) -> None:
    vertices = Head(follower.model, 3, 0.9, 0.6).at(0.0)[1]
    guessed = follower.locate(vertices, Intrinsics.from_field_of_view(SIZE, 60.0))
    with pytest.raises(Face3DMMError, match="not calibrated"):
        follower.locator.measure(guessed, located[1])

"""What both landmark backends must do, on scikit-image's portrait."""

import math
import sys

import cv2
import numpy as np
import pytest

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.landmark_schemes import SCHEME_SIZES
from face3dmm_ros.core.values import Landmarks
from face3dmm_ros.landmarks import BACKENDS, LandmarkBackend, LandmarkTracker, Region, TreesBackend, create_backend
from face3dmm_ros.landmarks.blazeface import FULL_RANGE, SHORT_RANGE, anchor_centers, merge_overlapping
from face3dmm_ros.landmarks.dlib_model import find_dlib_model
from face3dmm_ros.landmarks.network import Network
from face3dmm_ros.landmarks.schemes import IBUG68, IBUG68_IN_MEDIAPIPE478, MEDIAPIPE478, convert

skimage_data = pytest.importorskip("skimage.data", reason="needs scikit-image's portrait")

RIGHT_EYE, LEFT_EYE = (202.5, 101.5), (247.5, 103.5)
"""Of the portrait's pupils, px; read off the picture."""


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return np.ascontiguousarray(skimage_data.astronaut()[..., ::-1])


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> LandmarkBackend:
    """Each backend, giving iBUG's 68 points."""
    if request.param == "dlib":
        pytest.importorskip("dlib", reason="the dlib backend needs dlib")
        try:
            find_dlib_model()
        except Face3DMMError as error:
            pytest.skip(str(error))
        return create_backend("dlib")
    if request.param != "trees":
        pytest.importorskip("ai_edge_litert", reason=f"the {request.param} backend needs ai-edge-litert")
    return create_backend(request.param, scheme=IBUG68)


@pytest.fixture(scope="module")
def facemesh() -> LandmarkBackend:
    pytest.importorskip("ai_edge_litert", reason="the facemesh backend needs ai-edge-litert")
    return create_backend("facemesh")


@pytest.fixture
def face_region(backend: LandmarkBackend, portrait: np.ndarray) -> Region:
    return backend.detect(portrait)[0].region


def test_the_portrait_holds_one_face_around_the_eyes(backend: LandmarkBackend, portrait: np.ndarray) -> None:
    (detection,) = backend.detect(portrait)
    assert 0.5 < detection.score <= 1.0
    for x, y in (RIGHT_EYE, LEFT_EYE):
        assert detection.box.x < x < detection.box.x + detection.box.width
        assert detection.box.y < y < detection.box.y + detection.box.height


def test_the_eyes_lie_where_the_portrait_has_them(
    backend: LandmarkBackend, portrait: np.ndarray, face_region: Region
) -> None:
    landmarks = backend.locate(portrait, face_region).landmarks
    assert landmarks.scheme == backend.scheme == IBUG68
    assert landmarks.image_size == (512, 512)
    assert landmarks.points.shape == (68, 2)
    assert landmarks.points.dtype == np.float32
    np.testing.assert_allclose(landmarks.points[36:42].mean(axis=0), RIGHT_EYE, atol=2.5)
    np.testing.assert_allclose(landmarks.points[42:48].mean(axis=0), LEFT_EYE, atol=2.5)
    assert landmarks.confidence > 0.85


def test_the_background_holds_no_face(backend: LandmarkBackend, portrait: np.ndarray) -> None:
    assert backend.locate(portrait, Region(420.0, 400.0, 120.0)).landmarks.confidence < 0.5


def test_an_image_moved_by_whole_pixels_moves_the_landmarks_as_much(
    backend: LandmarkBackend, portrait: np.ndarray, face_region: Region
) -> None:
    points = backend.locate(portrait, face_region).landmarks.points
    shifted = np.roll(portrait, (-5, 12), axis=(0, 1))
    region = Region(face_region.x + 12, face_region.y - 5, face_region.size, face_region.angle)
    moved = backend.locate(shifted, region).landmarks.points - points
    np.testing.assert_allclose(moved, np.broadcast_to([12.0, -5.0], (68, 2)), atol=0.01)


def test_an_image_upside_down_turns_the_landmarks_about_its_middle(
    backend: LandmarkBackend, portrait: np.ndarray, face_region: Region
) -> None:
    points = backend.locate(portrait, face_region).landmarks.points
    turned = np.ascontiguousarray(portrait[::-1, ::-1])
    region = Region(511 - face_region.x, 511 - face_region.y, face_region.size, face_region.angle + math.pi)
    np.testing.assert_allclose(backend.locate(turned, region).landmarks.points, 511 - points, atol=0.5)


@pytest.mark.parametrize("scale", [2, 4])
def test_an_image_enlarged_enlarges_the_landmarks_about_its_corner(
    backend: LandmarkBackend, portrait: np.ndarray, face_region: Region, scale: int
) -> None:
    points = backend.locate(portrait, face_region).landmarks.points
    large = cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    x, y = ((v + 0.5) * scale - 0.5 for v in (face_region.x, face_region.y))
    region = Region(x, y, face_region.size * scale, face_region.angle)
    difference = (backend.locate(large, region).landmarks.points + 0.5) / scale - 0.5 - points
    # The corner of the image, not the centre of its first pixel, stays: half a pixel would show in the mean.
    # Trees compare single pixels, which resampling moves to and fro: other scales shift them as much the other way.
    steady = not isinstance(backend, TreesBackend)
    assert np.abs(difference.mean(axis=0)).max() < (0.15 if steady else 0.5)
    assert np.abs(difference).max() < (1.1 if steady else 3.0)


def test_a_mirrored_image_mirrors_the_landmarks(
    backend: LandmarkBackend, portrait: np.ndarray, face_region: Region
) -> None:
    points = backend.locate(portrait, face_region).landmarks.points
    mirrored = np.ascontiguousarray(portrait[:, ::-1])
    region = Region(511 - face_region.x, face_region.y, face_region.size, -face_region.angle)
    found = backend.locate(mirrored, region).landmarks.points
    assert np.abs(found[36:48].mean(axis=0) - ([511, 0] + [-1, 1] * points[36:48].mean(axis=0))).max() < 1.0


def test_the_next_region_leads_to_the_same_landmarks(
    backend: LandmarkBackend, portrait: np.ndarray, face_region: Region
) -> None:
    first = backend.locate(portrait, face_region)
    second = backend.locate(portrait, first.region)
    assert first.region.overlap(face_region) > 0.6
    assert second.region.overlap(first.region) > 0.9
    assert np.linalg.norm(second.landmarks.points - first.landmarks.points, axis=1).mean() < 2.0


@pytest.mark.parametrize("angle", [-30, -15, 15, 30])
def test_a_face_that_rolls_is_followed(backend: LandmarkBackend, portrait: np.ndarray, angle: int) -> None:
    tracker = LandmarkTracker(backend, detection_interval=1000)
    for degrees in np.linspace(0, angle, 7):
        matrix = cv2.getRotationMatrix2D((225.0, 110.0), -float(degrees), 1.0)
        (face,) = tracker.track(cv2.warpAffine(portrait, matrix, (512, 512), borderMode=cv2.BORDER_REPLICATE))
    assert face.face_id == 0
    eyes = face.landmarks.points[36:48].reshape(2, 6, 2).mean(axis=1)
    expected = np.column_stack([[RIGHT_EYE, LEFT_EYE], [1, 1]]) @ matrix.T
    np.testing.assert_allclose(eyes, expected, atol=4.0)


def test_face_mesh_gives_478_points_with_depth_the_nose_nearest(
    facemesh: LandmarkBackend, portrait: np.ndarray
) -> None:
    landmarks = facemesh.locate(portrait, facemesh.detect(portrait)[0].region).landmarks
    assert landmarks.scheme == MEDIAPIPE478
    assert landmarks.points.shape == (478, 2)
    assert landmarks.depth is not None
    assert landmarks.depth.shape == (478,)
    nose_tip, right_ear_side, left_ear_side = (landmarks.depth[i] for i in (4, 234, 454))
    assert nose_tip < min(right_ear_side, left_ear_side) - 30.0


def test_the_68_points_are_the_subset_of_the_478(facemesh: LandmarkBackend, portrait: np.ndarray) -> None:
    full = facemesh.locate(portrait, facemesh.detect(portrait)[0].region).landmarks
    subset = convert(full, IBUG68)
    assert subset.scheme == IBUG68
    np.testing.assert_array_equal(subset.points, full.points[IBUG68_IN_MEDIAPIPE478])
    assert convert(full, MEDIAPIPE478) is full


def test_no_face_mesh_point_stands_for_two_of_the_68() -> None:
    assert len(np.unique(IBUG68_IN_MEDIAPIPE478)) == SCHEME_SIZES[IBUG68]


def test_the_68_cannot_become_the_478() -> None:
    landmarks = Landmarks(IBUG68, np.zeros((68, 2), np.float32), Region(5, 5, 5).box((9, 9)), 1.0, (9, 9))
    with pytest.raises(Face3DMMError, match="cannot be converted"):
        convert(landmarks, MEDIAPIPE478)


def test_short_range_has_896_anchors_and_full_range_2304() -> None:
    assert anchor_centers(128, SHORT_RANGE).shape == (896, 2)
    full = anchor_centers(192, FULL_RANGE)
    assert full.shape == (2304, 2)
    np.testing.assert_array_equal(full[[0, 1, 48]], [[2, 2], [6, 2], [2, 6]])


def test_overlapping_answers_become_their_weighted_mean_and_others_stay() -> None:
    boxes = np.array([[[0, 0], [10, 10]], [[100, 100], [110, 110]], [[2, 0], [12, 10]]], np.float32)
    scores, points = merge_overlapping(np.array([0.9, 0.8, 0.6], np.float32), boxes)
    np.testing.assert_allclose(scores, [0.9, 0.8])
    np.testing.assert_allclose(points[0], [[0.8, 0], [10.8, 10]], rtol=1e-5)
    np.testing.assert_array_equal(points[1], boxes[1])


def test_no_answers_merge_to_none() -> None:
    scores, points = merge_overlapping(np.zeros(0, np.float32), np.zeros((0, 8, 2), np.float32))
    assert scores.shape == (0,)
    assert points.shape == (0, 8, 2)


def test_an_unknown_backend_is_refused_and_the_known_are_named() -> None:
    with pytest.raises(Face3DMMError, match="facemesh, trees, dlib"):
        create_backend("haar")


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(Face3DMMError, match="ibug68"):
        create_backend("facemesh", scheme="coco17")


def test_an_option_that_the_backend_does_not_have_is_refused() -> None:
    with pytest.raises(Face3DMMError, match="detection_size"):
        create_backend("facemesh", detection_size=320)


def test_without_litert_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(Face3DMMError, match="pip install ai-edge-litert"):
        create_backend("facemesh")


def test_without_dlib_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(Face3DMMError, match="pip install dlib-bin"):
        create_backend("dlib")


def test_a_file_that_is_no_network_is_refused(tmp_path) -> None:
    pytest.importorskip("ai_edge_litert")
    for content in (b"", b"no network", b"\x00" * 1000):
        path = tmp_path / "network.tflite"
        path.write_bytes(content)
        with pytest.raises(Face3DMMError, match="not a network"):
            Network(path, (0.0, 1.0))

"""The tracker: numbers that stay with faces. Its logic on a scripted backend, then on real pictures."""

import threading
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import pytest

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.values import Landmarks, TrackedLandmarks
from face3dmm_ros.landmarks import Detection, LandmarkBackend, LandmarkTracker, LocatedFace, Region, create_backend


def image_of_its_coordinates(width: int = 640, height: int = 480) -> np.ndarray:
    """An image in which every pixel tells nearly where it lies, so that a part of it does too."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x >> 2, y >> 1, y >> 1], axis=2).astype(np.uint8)


def coordinates(pixel: np.ndarray) -> tuple[int, int]:
    """Where a pixel of it lies."""
    return int(pixel[0]) << 2, int(pixel[2]) << 1


IMAGE = image_of_its_coordinates()
LEFT, MIDDLE, RIGHT = Region(100.0, 240.0, 100.0), Region(300.0, 240.0, 100.0), Region(500.0, 240.0, 100.0)


@dataclass
class ScriptedBackend(LandmarkBackend):
    """Sees the faces that a test puts before it, upright and in parts of `IMAGE` that hold them whole."""

    faces: list[Region] = field(default_factory=list)
    confidence: float = 1.0
    detections: int = 0
    scheme: str = "ibug68"
    parallel: bool = False

    def detect(self, image: np.ndarray) -> list[Detection]:
        height, width = image.shape[:2]
        left, top = coordinates(image[0, 0])
        if coordinates(image[-1, -1]) <= (left, top):
            return []
        self.detections += (width, height) == (640, 480)
        seen = [replace(face, x=face.x - left, y=face.y - top) for face in self.faces]
        return [
            Detection(face.box((width, height)), 1.0, face)
            for face in seen
            if 0 <= face.x < width and 0 <= face.y < height
        ]

    def locate(self, image: np.ndarray, region: Region, before: LocatedFace | None = None) -> LocatedFace:
        face = max(self.faces, key=region.overlap, default=region)
        found = face in self.faces and face.overlap(region) > 0.1
        corners = np.array([[-0.3, -0.3], [0.3, -0.3], [0.3, 0.3], [-0.3, 0.3]]) * face.size + [face.x, face.y]
        confidence = self.confidence if found else 0.0
        points = corners.astype(np.float32)
        return LocatedFace(Landmarks("ibug68", points, region.box((640, 480)), confidence, (640, 480)), face)


def ids(faces: list[TrackedLandmarks]) -> list[int]:
    return [face.face_id for face in faces]


def moved(region: Region, dx: float) -> Region:
    return Region(region.x + dx, region.y, region.size)


def test_a_face_is_detected_once_and_then_followed() -> None:
    backend = ScriptedBackend([LEFT])
    tracker = LandmarkTracker(backend, detection_interval=100)
    for step in range(20):
        backend.faces = [moved(LEFT, 10.0 * step)]
        (face,) = tracker.track(IMAGE)
        assert face.face_id == 0
        assert face.landmarks.points.mean(axis=0) == pytest.approx([LEFT.x + 10.0 * step, LEFT.y], abs=0.01)
    assert backend.detections == 1


def test_without_a_face_every_image_is_searched_and_answered_with_none() -> None:
    backend = ScriptedBackend()
    tracker = LandmarkTracker(backend, looks_per_image=0)
    assert [tracker.track(IMAGE) for _ in range(5)] == [[]] * 5
    assert backend.detections == 5


def test_detection_is_repeated_at_the_interval() -> None:
    backend = ScriptedBackend([LEFT])
    tracker = LandmarkTracker(backend, detection_interval=10)
    for _ in range(31):
        tracker.track(IMAGE)
    assert backend.detections == 4


@pytest.mark.parametrize(("confidence", "anew"), [(1.0, False), (0.95, True)])
def test_a_face_beside_its_detection_is_located_anew_unless_it_is_beyond_doubt(confidence: float, anew: bool) -> None:
    class BesideBackend(ScriptedBackend):
        located = 0

        def detect(self, image: np.ndarray) -> list[Detection]:
            found = super().detect(image)
            return [replace(each, region=moved(each.region, 0.3 * LEFT.size)) for each in found]

        def locate(self, image: np.ndarray, region: Region, before: LocatedFace | None = None) -> LocatedFace:
            self.located += 1
            return super().locate(image, region, before)

    backend = BesideBackend([LEFT], confidence=confidence)
    tracker = LandmarkTracker(backend, detection_interval=2)
    for _ in range(2):
        tracker.track(IMAGE)
    backend.located = 0
    tracker.track(IMAGE)
    assert backend.detections == 2
    assert (backend.located > 1) == anew


def test_a_face_that_joins_is_found_at_the_interval_and_gets_its_own_number() -> None:
    backend = ScriptedBackend([LEFT])
    tracker = LandmarkTracker(backend, max_faces=2, detection_interval=10)
    tracker.track(IMAGE)
    backend.faces = [LEFT, RIGHT]
    seen = [ids(tracker.track(IMAGE)) for _ in range(10)]
    assert seen == [[0]] * 9 + [[0, 1]]


def test_no_more_than_max_faces_are_tracked() -> None:
    tracker = LandmarkTracker(ScriptedBackend([LEFT, MIDDLE, RIGHT]), max_faces=2, detection_interval=1)
    for _ in range(3):
        assert ids(tracker.track(IMAGE)) == [0, 1]


def test_a_short_loss_keeps_the_number() -> None:
    backend = ScriptedBackend([LEFT])
    tracker = LandmarkTracker(backend, patience=5)
    tracker.track(IMAGE)
    backend.faces = []
    assert [tracker.track(IMAGE) for _ in range(5)] == [[]] * 5
    backend.faces = [moved(LEFT, 15.0)]
    assert ids(tracker.track(IMAGE)) == [0]


def test_a_long_loss_ends_the_track_and_its_number_is_not_used_again() -> None:
    backend = ScriptedBackend([LEFT])
    tracker = LandmarkTracker(backend, patience=5)
    tracker.track(IMAGE)
    backend.faces = []
    for _ in range(6):
        tracker.track(IMAGE)
    backend.faces = [LEFT]
    assert ids(tracker.track(IMAGE)) == [1]


def test_a_face_elsewhere_after_a_cut_gets_a_new_number_at_once() -> None:
    backend = ScriptedBackend([LEFT])
    tracker = LandmarkTracker(backend)
    tracker.track(IMAGE)
    backend.faces = [RIGHT]
    assert ids(tracker.track(IMAGE)) == [1]


def test_one_of_two_faces_leaves_and_the_other_keeps_its_number() -> None:
    backend = ScriptedBackend([LEFT, RIGHT])
    tracker = LandmarkTracker(backend, max_faces=2)
    assert ids(tracker.track(IMAGE)) == [0, 1]
    backend.faces = [RIGHT]
    assert [ids(tracker.track(IMAGE)) for _ in range(15)] == [[1]] * 15


def test_a_face_is_looked_at_again_until_it_lies_in_the_middle_of_its_region() -> None:
    backend = ScriptedBackend([LEFT])
    tracker = LandmarkTracker(backend)
    tracker.track(IMAGE)
    backend.faces = [moved(LEFT, 30.0)]
    assert tracker.track(IMAGE)[0].landmarks.box == backend.faces[0].box((640, 480))
    assert backend.detections == 1


def test_a_doubtful_track_that_slid_off_its_face_is_put_back_by_a_second_look() -> None:
    class ClingingBackend(ScriptedBackend):
        """Unless shown the face itself, it half believes in whatever it is shown."""

        def locate(self, image: np.ndarray, region: Region, before: LocatedFace | None = None) -> LocatedFace:
            face = super().locate(image, region)
            if region.overlap(self.faces[0]) > 0.8:
                return face
            return LocatedFace(replace(face.landmarks, confidence=0.6), region)

    backend = ClingingBackend([LEFT])
    tracker = LandmarkTracker(backend, detection_interval=100)
    tracker.track(IMAGE)
    backend.faces = [moved(LEFT, 40.0)]
    (face,) = tracker.track(IMAGE)
    assert (face.face_id, face.landmarks.confidence) == (0, 1.0)
    assert backend.detections == 1


class AslantBackend(ScriptedBackend):
    """Detects a face in a wrong turn, and sees it the better the nearer it is looked at to its true one."""

    true_angle = 0.0

    def locate(self, image: np.ndarray, region: Region, before: LocatedFace | None = None) -> LocatedFace:
        face = super().locate(image, region)
        confidence = max(0.0, np.cos(region.angle - self.true_angle))
        return LocatedFace(replace(face.landmarks, confidence=confidence), replace(face.region, angle=region.angle))


@pytest.mark.parametrize(("seen", "true"), [(1.4, 0.0), (2.6, 0.0), (1.3, 1.9), (-1.2, -1.7), (3.0, 3.1)])
def test_a_face_is_found_though_its_detection_is_turned_wrongly(seen: float, true: float) -> None:
    backend = AslantBackend([replace(LEFT, angle=seen)])
    backend.true_angle = true
    (face,) = LandmarkTracker(backend, min_confidence=0.8).track(IMAGE)
    assert face.landmarks.confidence > 0.8


def test_a_face_upside_down_is_found_only_if_it_leaves_no_doubt() -> None:
    backend = AslantBackend([LEFT])
    backend.true_angle = np.pi
    (face,) = LandmarkTracker(backend, min_confidence=0.0).track(IMAGE)
    assert face.landmarks.confidence == pytest.approx(1.0)
    backend.true_angle = np.pi - 0.4
    (face,) = LandmarkTracker(backend, min_confidence=0.0).track(IMAGE)
    assert face.landmarks.confidence == 0.0


def test_a_face_upside_down_needs_the_second_judge_where_there_is_one() -> None:
    class DissentingBackend(AslantBackend):
        def locate(self, image: np.ndarray, region: Region, before: LocatedFace | None = None) -> LocatedFace:
            return replace(super().locate(image, region), confirmed=0.1)

    backend = DissentingBackend([LEFT])
    backend.true_angle = np.pi
    assert LandmarkTracker(backend).track(IMAGE) == []


def test_a_face_that_seems_upside_down_is_upright_where_it_looks_better_so() -> None:
    backend = AslantBackend([replace(LEFT, angle=1.8)])
    backend.true_angle = 0.4
    (face,) = LandmarkTracker(backend, min_confidence=0.0).track(IMAGE)
    assert face.landmarks.confidence == pytest.approx(np.cos(0.4))


def test_a_doubtful_face_is_looked_at_in_other_turns_and_the_surest_is_taken() -> None:
    backend = AslantBackend([replace(LEFT, angle=0.6)])  # cos 0.6 is 0.83: a face, but a doubtful one
    (face,) = LandmarkTracker(backend).track(IMAGE)
    assert face.landmarks.confidence == pytest.approx(1.0)


def test_low_confidence_is_a_loss() -> None:
    backend = ScriptedBackend([LEFT])
    tracker = LandmarkTracker(backend, min_confidence=0.5)
    assert len(tracker.track(IMAGE)) == 1
    backend.confidence = 0.4
    assert tracker.track(IMAGE) == []


def test_a_jump_in_size_is_a_loss_and_then_a_detection() -> None:
    backend = ScriptedBackend([LEFT])
    tracker = LandmarkTracker(backend)
    tracker.track(IMAGE)
    backend.faces = [Region(LEFT.x, LEFT.y, 40.0)]
    assert len(tracker.track(IMAGE)) == 1
    assert backend.detections == 2


def test_landmarks_mostly_outside_of_the_image_are_a_loss() -> None:
    backend = ScriptedBackend([Region(10.0, 240.0, 100.0)])
    tracker = LandmarkTracker(backend)
    assert len(tracker.track(IMAGE)) == 1
    backend.faces = [Region(-40.0, 240.0, 100.0)]
    assert tracker.track(IMAGE) == []


def test_two_tracks_that_fall_on_one_face_become_one_the_one_that_was_there() -> None:
    apart = [Region(200.0, 240.0, 100.0), Region(260.0, 240.0, 100.0)]
    backend = ScriptedBackend(apart)
    tracker = LandmarkTracker(backend, max_faces=2)
    assert ids(tracker.track(IMAGE)) == [0, 1]
    backend.faces = apart[1:]
    assert [ids(tracker.track(IMAGE)) for _ in range(20)] == [[1]] * 20


def test_of_more_faces_than_may_be_the_largest_is_tracked_though_another_is_detected_first() -> None:
    large = Region(500.0, 240.0, 134.0)
    (face,) = LandmarkTracker(ScriptedBackend([LEFT, large])).track(IMAGE)
    assert face.landmarks.box == large.box((640, 480))


def test_who_is_tracked_may_be_the_most_central_face() -> None:
    (face,) = LandmarkTracker(ScriptedBackend([LEFT, MIDDLE, RIGHT]), prefer="central").track(IMAGE)
    assert face.landmarks.box == MIDDLE.box((640, 480))


def test_who_is_tracked_may_be_the_surest_face() -> None:
    class UnequalBackend(ScriptedBackend):
        """Is surer the further right a face is, and the larger it is the less."""

        def locate(self, image: np.ndarray, region: Region, before: LocatedFace | None = None) -> LocatedFace:
            face = super().locate(image, region)
            return replace(face, landmarks=replace(face.landmarks, confidence=0.9 + face.region.x / 10000.0))

    faces = [replace(LEFT, size=150.0), RIGHT, MIDDLE]
    (face,) = LandmarkTracker(UnequalBackend(faces), prefer="surest").track(IMAGE)
    assert face.landmarks.box == RIGHT.box((640, 480))


@pytest.mark.parametrize(("size", "tracked"), [(110.0, [0]), (150.0, [1])])
def test_a_tracked_face_gives_way_to_a_much_larger_one_only(size: float, tracked: list[int]) -> None:
    backend = ScriptedBackend([LEFT])
    tracker = LandmarkTracker(backend, detection_interval=3)
    tracker.track(IMAGE)
    backend.faces = [LEFT, Region(500.0, 240.0, size)]
    assert [ids(tracker.track(IMAGE)) for _ in range(6)][-1] == tracked


def other_image() -> np.ndarray:
    """One that tells coordinates as `IMAGE` does, but looks otherwise."""
    image = IMAGE.copy()
    image[..., 1] = np.random.default_rng(0).integers(0, 255, image.shape[:2])
    return image


def test_after_a_cut_to_another_person_in_the_same_place_the_number_is_new_at_once() -> None:
    tracker = LandmarkTracker(ScriptedBackend([LEFT]))
    assert [ids(tracker.track(IMAGE)) for _ in range(3)] == [[0]] * 3
    assert [ids(tracker.track(other_image())) for _ in range(3)] == [[1]] * 3


def test_something_before_a_face_in_the_same_scene_is_no_cut() -> None:
    tracker = LandmarkTracker(ScriptedBackend([LEFT]))
    tracker.track(IMAGE)
    hand = IMAGE.copy()
    hand[200:280, 60:140] = other_image()[200:280, 60:140]
    assert ids(tracker.track(hand)) == [0]


def test_a_camera_that_changes_its_image_size_is_followed() -> None:
    tracker = LandmarkTracker(ScriptedBackend([LEFT]))
    assert ids(tracker.track(IMAGE)) == [0]
    assert len(tracker.track(image_of_its_coordinates(320, 300))) == 1
    assert len(tracker.track(IMAGE)) == 1


@pytest.mark.parametrize("parallel", [False, True])
def test_images_of_changing_sizes_without_a_face_are_looked_at_each_as_it_is(parallel: bool) -> None:
    tracker = LandmarkTracker(ScriptedBackend(parallel=parallel), looks_per_image=1)
    for width, height in [(640, 480), (320, 240), (1600, 1200), (20, 30), (640, 480), (480, 640)] * 3:
        assert tracker.track(np.zeros((height, width, 3), np.uint8)) == []


def test_a_lost_face_is_another_one_after_a_cut() -> None:
    backend = ScriptedBackend([LEFT])
    tracker = LandmarkTracker(backend)
    tracker.track(IMAGE)
    backend.faces = []
    tracker.track(IMAGE)
    backend.faces = [LEFT]
    assert ids(tracker.track(other_image())) == [1]


def test_a_hidden_face_that_went_on_keeps_its_number() -> None:
    backend = ScriptedBackend()
    tracker = LandmarkTracker(backend)
    for step in range(20):
        backend.faces = [moved(LEFT, 12.0 * step)]
        tracker.track(IMAGE)
    backend.faces = []
    for _ in range(15):
        tracker.track(IMAGE)
    backend.faces = [moved(LEFT, 12.0 * 35)]
    assert ids(tracker.track(IMAGE)) == [0]


class FarBackend(ScriptedBackend):
    """Sees no face in the whole image, for its faces are far, and keeps how often it looked at an image."""

    looks: int = 0

    def detect(self, image: np.ndarray) -> list[Detection]:
        self.looks += 1
        return [] if image.shape[:2] == (480, 640) else super().detect(image)


def test_a_far_face_is_found_in_a_single_picture() -> None:
    assert ids(LandmarkTracker(FarBackend([LEFT])).track(IMAGE)) == [0]


def test_in_a_stream_no_image_gets_more_than_its_share_of_looks_and_the_far_face_is_found_within_some() -> None:
    backend = FarBackend([RIGHT])
    tracker = LandmarkTracker(backend, looks_per_image=1)
    found = []
    for _ in range(9):
        before = backend.looks
        found.append(ids(tracker.track(IMAGE)))
        assert backend.looks - before <= 2
    assert found[0] == []
    assert found[-1] == [0]


def test_a_far_face_that_was_lost_is_looked_for_where_it_was() -> None:
    backend = FarBackend([LEFT])
    tracker = LandmarkTracker(backend)
    tracker.track(IMAGE)
    tracker._looks_per_image = 0
    backend.faces = []
    tracker.track(IMAGE)
    backend.faces = [LEFT]
    assert ids(tracker.track(IMAGE)) == [0]


def test_a_face_that_only_a_closer_look_finds_must_be_sure() -> None:
    assert LandmarkTracker(FarBackend([LEFT], confidence=0.9)).track(IMAGE) == []


def test_what_turned_out_to_be_no_face_is_not_looked_at_in_every_image() -> None:
    class PosterBackend(ScriptedBackend):
        located: int = 0

        def locate(self, image: np.ndarray, region: Region, before: LocatedFace | None = None) -> LocatedFace:
            self.located += 1
            return super().locate(image, region)

    backend = PosterBackend([LEFT], confidence=0.1)
    tracker = LandmarkTracker(backend, looks_per_image=0)
    tracker.track(IMAGE)
    looks = backend.located
    assert looks > 0
    for _ in range(10):
        assert tracker.track(IMAGE) == []
    assert backend.located == looks


def test_reset_forgets_the_faces_but_not_the_numbers() -> None:
    tracker = LandmarkTracker(ScriptedBackend([LEFT]))
    assert ids(tracker.track(IMAGE)) == [0]
    tracker.reset()
    assert ids(tracker.track(IMAGE)) == [1]


@pytest.mark.parametrize(
    "setting",
    [
        {"max_faces": 0},
        {"detection_interval": 0},
        {"patience": -1},
        {"min_confidence": 1.5},
        {"prefer": "best"},
        {"looks_per_image": -1},
    ],
)
def test_settings_out_of_range_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(Face3DMMError, match=r"a tracker (needs|prefers)"):
        LandmarkTracker(ScriptedBackend(), **setting)


@pytest.mark.parametrize(
    "image",
    [
        None,
        [[0, 0, 0]],
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((10, 10, 3), np.float32),
        np.zeros((0, 10, 3), np.uint8),
        np.zeros((10, 0, 3), np.uint8),
    ],
)
def test_what_is_no_bgr_image_is_refused(image: object) -> None:
    with pytest.raises(Face3DMMError, match="image"):
        LandmarkTracker(ScriptedBackend()).track(image)  # type: ignore[arg-type]


# On real pictures.

skimage_data = pytest.importorskip("skimage.data", reason="needs scikit-image's portrait")
pytest.importorskip("ai_edge_litert", reason="the facemesh backend needs ai-edge-litert")
HEAD = (slice(20, 220), slice(130, 330))
"""Rows and columns of the portrait that hold the head, 200×200 px."""


@pytest.fixture(scope="module")
def backend():
    return create_backend("facemesh")


@pytest.fixture(scope="module")
def dense():
    return create_backend()


@pytest.fixture(scope="module")
def head() -> np.ndarray:
    return np.ascontiguousarray(skimage_data.astronaut()[HEAD][..., ::-1])


def scene(head: np.ndarray, *places: tuple[int, int]) -> np.ndarray:
    """A grey 640×480 picture with the head at the places (x, y)."""
    image = np.full((480, 640, 3), 128, np.uint8)
    for x, y in places:
        image[y : y + 200, x : x + 200] = head
    return image


def test_two_real_faces_move_and_keep_their_numbers_and_their_landmarks(backend, head: np.ndarray) -> None:
    tracker = LandmarkTracker(backend, max_faces=3)
    first = tracker.track(scene(head, (20, 30), (300, 200)))
    assert ids(first) == [0, 1]
    for step in range(1, 15):
        shift = [4 * step, 2 * step]
        faces = tracker.track(scene(head, (20 + shift[0], 30 + shift[1]), (300 - shift[0], 200 + shift[1])))
        assert ids(faces) == [0, 1]
        for before, now in zip(first, faces, strict=True):
            sign = 1 if before.landmarks.points[0, 0] < 250 else -1
            travelled = (now.landmarks.points - before.landmarks.points).mean(axis=0)
            np.testing.assert_allclose(travelled, [sign * shift[0], shift[1]], atol=1.0)


@pytest.mark.parametrize("pixels_per_image", [15, 45, 75, 110])
def test_a_face_that_moves_fast_is_followed_and_its_landmarks_stay_on_it(
    backend, head: np.ndarray, pixels_per_image: int
) -> None:
    tracker = LandmarkTracker(backend)
    places = [*range(20, 420, pixels_per_image), *range(400, 20, -pixels_per_image)]
    (start,) = tracker.track(scene(head, (20, 150)))
    for x in places:
        (face,) = tracker.track(scene(head, (x, 150)))
        difference = face.landmarks.points - [x - 20, 0] - start.landmarks.points
        assert np.linalg.norm(difference, axis=1).mean() < 2.5


def test_a_real_face_that_leaves_for_a_moment_comes_back_under_its_number(backend, head: np.ndarray) -> None:
    tracker = LandmarkTracker(backend, max_faces=2)
    both, one = scene(head, (40, 60), (380, 200)), scene(head, (40, 60))
    (face_id,) = {face.face_id for face in tracker.track(both) if face.landmarks.points[0, 0] < 300}
    assert [ids(tracker.track(one)) for _ in range(4)] == [[face_id]] * 4
    assert ids(tracker.track(both)) == [0, 1]


def test_a_face_of_forty_pixels_is_tracked_beside_a_near_one(backend, head: np.ndarray) -> None:
    image = scene(head, (340, 200))
    image[60:150, 80:170] = cv2.resize(head, (90, 90), interpolation=cv2.INTER_AREA)
    assert len(LandmarkTracker(backend, max_faces=2).track(image)) == 2


@pytest.mark.parametrize("degrees", range(0, 360, 45))
def test_a_face_is_found_at_any_roll(dense, degrees: int) -> None:
    portrait = np.ascontiguousarray(skimage_data.astronaut()[:400, 50:450, ::-1])
    matrix = cv2.getRotationMatrix2D((200.0, 200.0), -degrees, 0.7)
    turned = cv2.warpAffine(portrait, matrix, (400, 400), borderValue=(128, 128, 128))
    (face,) = LandmarkTracker(dense).track(turned)
    across = face.landmarks.points[263] - face.landmarks.points[33]
    off = np.degrees(np.arctan2(across[1], across[0])) - degrees
    assert abs((off + 180.0) % 360.0 - 180.0) < 10.0


def test_a_face_of_forty_pixels_is_found_in_a_full_hd_image(dense) -> None:
    portrait = cv2.resize(skimage_data.astronaut()[..., ::-1], None, fx=0.45, fy=0.45, interpolation=cv2.INTER_AREA)
    image = cv2.resize(skimage_data.coffee()[..., ::-1], (1920, 1080))
    image[700:930, 1400:1630] = portrait
    (face,) = LandmarkTracker(dense, max_faces=5).track(image)
    assert np.ptp(face.landmarks.points[:, 1]) < 70
    np.testing.assert_allclose(face.landmarks.points.mean(axis=0), [1400 + 0.45 * 224, 700 + 0.45 * 117], atol=6)


def test_on_a_still_picture_the_landmarks_come_to_rest(backend, head: np.ndarray) -> None:
    tracker = LandmarkTracker(backend, detection_interval=1000)
    image = scene(head, (200, 150))
    for _ in range(10):
        before = tracker.track(image)
    after = tracker.track(image)
    np.testing.assert_array_equal(before[0].landmarks.points, after[0].landmarks.points)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(10, 10), (1, 1), (3, 2000), (6000, 8000)])
def test_black_images_of_any_size_hold_no_face(backend, shape: tuple[int, int]) -> None:
    assert LandmarkTracker(backend).track(np.zeros((*shape, 3), np.uint8)) == []


def test_noise_holds_no_face(backend) -> None:
    generator = np.random.default_rng(0)
    tracker = LandmarkTracker(backend, max_faces=5)
    for _ in range(5):
        assert tracker.track(generator.integers(0, 256, (240, 320, 3), np.uint8)) == []


def test_several_faces_are_followed_at_once_with_the_landmarks_that_one_after_the_other_gives(
    dense, head: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = np.tile(scene(head, (200, 150)), (1, 3, 1))
    found = {}
    for cores in ({0}, {0, 1, 2}):
        monkeypatch.setattr("os.sched_getaffinity", lambda _, cores=cores: cores)
        tracker = LandmarkTracker(dense, max_faces=3)
        for _ in range(4):
            faces = tracker.track(picture)
        assert (tracker._threads is None) == (len(cores) == 1)
        found[len(cores)] = np.stack([face.landmarks.points for face in faces])
    assert len(found[1]) == 3
    np.testing.assert_array_equal(found[1], found[3])


@dataclass
class PatientBackend(ScriptedBackend):
    """Looks at a whole image only while it may; counts its glances."""

    parallel: bool = True
    may_look: threading.Event = field(default_factory=threading.Event)
    glances: int = 0

    def __post_init__(self) -> None:
        self.may_look.set()

    def detect(self, image: np.ndarray) -> list[Detection]:
        assert self.may_look.wait(10.0), "nobody waits for a look"
        return super().detect(image)

    def glance(self, image: np.ndarray, region: Region) -> LocatedFace:
        self.glances += 1
        return super().glance(image, region)


def test_no_image_of_a_stream_waits_for_a_look_for_new_faces() -> None:
    backend = PatientBackend([LEFT])
    tracker = LandmarkTracker(backend, max_faces=2, detection_interval=5, looks_per_image=0)
    tracker.track(IMAGE)
    backend.faces = [LEFT, RIGHT]
    backend.may_look.clear()
    assert [ids(tracker.track(IMAGE)) for _ in range(5)] == [[0]] * 5
    backend.may_look.set()
    assert ids(tracker.track(IMAGE)) == [0, 1], "what was found is taken up in the next image"


def test_the_caller_may_reuse_its_image_while_faces_are_looked_for() -> None:
    backend = PatientBackend([LEFT])
    tracker = LandmarkTracker(backend, max_faces=2, detection_interval=1, looks_per_image=0)
    image = IMAGE.copy()
    tracker.track(image)
    backend.faces = [LEFT, RIGHT]
    backend.may_look.clear()
    tracker.track(image)
    image[:] = 0  # in which nothing would be seen
    backend.may_look.set()
    assert ids(tracker.track(IMAGE)) == [0, 1]


def test_after_a_cut_that_a_face_outlives_others_are_looked_for_at_once() -> None:
    backend = ScriptedBackend([LEFT])
    tracker = LandmarkTracker(backend, max_faces=2)
    tracker.track(IMAGE)
    backend.faces = [LEFT, RIGHT]
    elsewhere = other_image()
    elsewhere[180:300, 40:160] = IMAGE[180:300, 40:160]
    assert ids(tracker.track(elsewhere)) == [0, 1]
    assert backend.detections == 2


@pytest.mark.parametrize(("looks_per_image", "glances"), [(0, 2), (None, 0)])
def test_detections_in_a_stream_are_framed_by_glances_and_those_in_a_picture_are_not(
    looks_per_image: int | None, glances: int
) -> None:
    backend = PatientBackend([LEFT])
    assert len(LandmarkTracker(backend, looks_per_image=looks_per_image).track(IMAGE)) == 1
    assert backend.glances == glances


def test_a_glance_of_the_dense_backend_sees_the_face_where_a_look_does(dense, head: np.ndarray) -> None:
    image = scene(head, (340, 200))
    region = dense.detect(image)[0].region
    glance, look = dense.glance(image, region), dense.locate(image, region)
    assert glance.region.overlap(look.region) > 0.9
    assert glance.landmarks.points.shape == look.landmarks.points.shape
    assert np.linalg.norm(glance.landmarks.points - look.landmarks.points, axis=1).mean() < 0.03 * look.region.size

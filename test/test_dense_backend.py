"""The dense network, how Face Mesh's errors are undone, and both together."""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from face3dmm_ros.core import second_thread
from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.core.camera import WeakPerspective, estimate_weak_perspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.core.rotations import FRONTAL, nearest_rotation, rotation_angle, rotation_from_pose_angles
from face3dmm_ros.core.values import Box, Landmarks
from face3dmm_ros.lab.synthesis.random_scene import SceneOptions, random_scene
from face3dmm_ros.lab.synthesis.scene_renderer import RenderedScene, SceneRenderer
from face3dmm_ros.landmarks.cover_reader import CoverReader
from face3dmm_ros.landmarks.dense_backend import DenseBackend
from face3dmm_ros.landmarks.dense_network import FEATURES, SIDE, DenseNetwork, DensePoints, upright_region
from face3dmm_ros.landmarks.expression_reader import ExpressionReader
from face3dmm_ros.landmarks.face_mesh_response import FaceMeshResponse, pitch_degrees
from face3dmm_ros.landmarks.facemesh import REGION_SCALE, FaceMeshBackend
from face3dmm_ros.landmarks.people_at_rest import ReadingResponse
from face3dmm_ros.landmarks.region import Region
from face3dmm_ros.landmarks.schemes import LEFT_EYE_RING, LIP_RINGS, RIGHT_EYE_RING, SKIN_COUNT
from face3dmm_ros.landmarks.tree_finder import FoundShape
from face3dmm_ros.morphable_model import MorphableModel

pytest.importorskip("ai_edge_litert", reason="the dense backend needs ai-edge-litert")

RESPONSE = package_file("resource/landmark_models/face_mesh_response.npz")
NETWORK = package_file("resource/landmark_models/dense.tflite")
AT_REST = package_file("resource/landmark_models/people_at_rest.npz")


@pytest.fixture(scope="module")
def backend() -> DenseBackend:
    return DenseBackend()


@pytest.fixture(scope="module")
def response() -> FaceMeshResponse:
    return FaceMeshResponse.load(RESPONSE)


@pytest.fixture(scope="module")
def profiles(default_model: MorphableModel) -> list[RenderedScene]:
    """Six synthetic people seen at 75° to the one side or the other."""
    scenes = []
    with SceneRenderer(default_model) as renderer:
        for k in range(6):
            scene = random_scene(np.random.default_rng([9, k]), default_model, SceneOptions(glasses=0, occluder=0))
            rotation = rotation_from_pose_angles(0.0, np.radians(75.0 if k % 2 else -75.0), 0.0)
            camera = WeakPerspective(1.2, rotation, np.array([225.0, 180.0]))
            scenes.append(renderer.render(replace(scene, camera=camera)))
    return scenes


def seen(response: FaceMeshResponse, camera: WeakPerspective) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    points = response.canonical.astype(np.float64)
    return camera.project(points).astype(np.float32), camera.depth(points).astype(np.float32)


def of_size(points: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.prod(np.ptp(points[:, :2], axis=0))))


@pytest.mark.parametrize("yaw", [-80.0, -20.0, 0.0, 55.0])
def test_a_view_is_known_from_points_in_three_dimensions(response: FaceMeshResponse, yaw: float) -> None:
    camera = WeakPerspective(1.7, rotation_from_pose_angles(0.2, np.radians(yaw), -0.1), np.array([200.0, 150.0]))
    view = response.view(*seen(response, camera))
    assert np.degrees(rotation_angle(view.rotation, camera.rotation)) < 0.01
    assert view.scale == pytest.approx(1.7, rel=1e-4)


def test_points_that_are_a_mirror_image_are_seen_under_the_nearest_rotation(response: FaceMeshResponse) -> None:
    camera = WeakPerspective(1.7, rotation_from_pose_angles(0.2, 0.5, -0.1), np.zeros(2))
    points, depth = seen(response, camera)
    view = response.view(points * np.float32([-1, 1]), depth)
    assert np.linalg.det(view.rotation) == pytest.approx(1.0)
    about = response.canonical - response.canonical.mean(axis=0, dtype=np.float64)
    mirrored = np.diag([-1.0, 1.0, 1.0]) @ camera.rotation
    np.testing.assert_allclose(view.rotation, nearest_rotation(mirrored @ about.T @ about), atol=1e-4)


def test_known_errors_are_undone_in_the_faces_own_directions(response: FaceMeshResponse) -> None:
    errors = np.broadcast_to(np.array([2.0, -1.0], np.float32), response.bias.shape)
    known = replace(response, bias=errors, tilt=np.zeros_like(response.tilt))
    camera = WeakPerspective(1.5, rotation_from_pose_angles(0.0, -0.3, 0.4), np.array([100.0, 100.0]))
    points = np.resize(seen(response, camera)[0], (478, 2))
    up = camera.rotation[:2, 1] / np.linalg.norm(camera.rotation[:2, 1])
    strayed = points + 1.5 * (2.0 * np.array([-up[1], up[0]]) + 1.0 * up)
    np.testing.assert_allclose(known.undo(strayed.astype(np.float32), camera)[0], points, atol=1e-3)


@pytest.mark.parametrize(("pitch", "expected"), [(10.0, 0.5), (-10.0, -0.5), (80.0, 2.0)])
def test_errors_that_grow_with_pitch_are_undone_as_far_as_they_were_measured(
    response: FaceMeshResponse, pitch: float, expected: float
) -> None:
    by_degree = np.broadcast_to(np.array([0.0, 0.05], np.float32), response.tilt.shape)
    known = replace(response, bias=np.zeros_like(response.bias), tilt=by_degree)
    # As `pitch_degrees` has it: looking down is positive, and so is down in the image.
    camera = WeakPerspective(1.0, rotation_from_pose_angles(np.radians(-pitch), 0.0, 0.0), np.zeros(2))
    undone = known.undo(np.zeros((478, 2), np.float32), camera)[0]
    np.testing.assert_allclose(undone, np.tile([0.0, -expected], (478, 1)), atol=1e-3)


@pytest.mark.slow
def test_a_head_that_looks_up_and_down_is_seen_to_turn_as_far_as_it_does(
    backend: DenseBackend, default_model: MorphableModel
) -> None:
    surface = default_model.scheme("mediapipe478").at(slice(SKIN_COUNT))
    turned = []
    with SceneRenderer(default_model) as renderer:
        for k in range(4):
            scene = random_scene(np.random.default_rng([11, k]), default_model, SceneOptions(glasses=0, occluder=0))
            pitches = []
            for degrees in (-15.0, 15.0):
                rotation = rotation_from_pose_angles(np.radians(degrees), 0.0, 0.0)
                camera = WeakPerspective(1.2, rotation, np.array([225.0, 180.0]))
                view = renderer.render(replace(scene, camera=camera))
                region = backend.locate(view.image, backend.detect(view.image)[0].region).region
                points = backend.locate(view.image, region).landmarks.points[:SKIN_COUNT].astype(np.float64)
                seen = estimate_weak_perspective(surface.interpolate(view.vertices), points)
                pitches.append(pitch_degrees(seen.rotation))
            turned.append(pitches[0] - pitches[1])
    # Of 30 degrees; Face Mesh's points alone turn by two thirds of that.
    assert np.mean(turned) == pytest.approx(30.0, abs=4.0)


def test_the_other_side_is_the_mirror_image(response: FaceMeshResponse) -> None:
    points = np.zeros((478, 2), np.float32)
    answers = [
        response.undo(points, WeakPerspective(1.0, rotation_from_pose_angles(0.0, yaw, 0.0), np.zeros(2)))
        for yaw in (-0.9, 0.9)
    ]
    np.testing.assert_allclose(answers[0][0], answers[1][0][response.mirror] * [-1, 1], atol=1e-4)
    np.testing.assert_allclose(answers[0][1], answers[1][1][response.mirror[:SKIN_COUNT]], atol=1e-5)


def test_face_mesh_is_less_sure_of_turned_heads(response: FaceMeshResponse) -> None:
    assert np.median(response.deviation[0]) < 0.5 * np.median(response.deviation[-1])


@pytest.mark.slow
def test_profiles_are_found_where_face_mesh_gives_up(backend: DenseBackend, profiles: list[RenderedScene]) -> None:
    face_mesh = FaceMeshBackend()
    confident = {"dense": 0, "facemesh": 0}
    errors = []
    for scene in profiles:
        truth = scene.landmarks("mediapipe478")
        face = backend.locate(scene.image, upright_region(truth[:, :2], REGION_SCALE))
        confident["dense"] += face.landmarks.confidence > 0.5
        mesh = face_mesh.locate(scene.image, upright_region(truth[:, :2], REGION_SCALE))
        confident["facemesh"] += mesh.landmarks.confidence > 0.5
        errors.append(np.linalg.norm(face.landmarks.points - truth[:, :2], axis=1).mean() / of_size(truth))
    assert confident["dense"] == 6 > confident["facemesh"]
    assert np.mean(errors) < 0.06


def test_deviations_tell_how_far_the_points_are_off(backend: DenseBackend, profiles: list[RenderedScene]) -> None:
    ratios = []
    for scene in profiles:
        truth = scene.landmarks("mediapipe478")
        landmarks = backend.locate(scene.image, upright_region(truth[:, :2], REGION_SCALE)).landmarks
        assert landmarks.deviation is not None
        ratios.append(np.abs(landmarks.points - truth[:, :2]) / landmarks.deviation[:, None])
    assert 0.1 < np.median(ratios) < 2.0


def with_cores(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(second_thread.os, "sched_getaffinity", lambda _: set(range(count)))


@pytest.mark.parametrize("cores", [1, 2])
def test_from_the_side_the_mirror_image_is_looked_at_and_face_mesh_is_not_asked(
    backend: DenseBackend, profiles: list[RenderedScene], monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    region = upright_region(profiles[0].landmarks("mediapipe478")[:, :2], REGION_SCALE)
    before = backend.locate(profiles[0].image, region)
    asked = []
    monkeypatch.setattr(backend._face_mesh, "look", lambda *_: pytest.fail("Face Mesh was asked"))
    locate = backend._network.locate_in_crop
    monkeypatch.setattr(
        backend._network, "locate_in_crop", lambda *given: asked.append(f"{len(given)} given") or locate(*given)
    )
    with_cores(monkeypatch, cores)
    backend.locate(profiles[0].image, region, before)
    assert sorted(asked) == ["2 given", "3 given"]


def at_the_same_time(backend: DenseBackend, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lets every look of a network wait for a second one; names those that it did not wait for in vain."""
    both, met = threading.Barrier(2), []

    def meeting(name: str, look: Callable[..., object]) -> Callable[..., object]:
        def look_and_wait(*given: object) -> object:
            with suppress(threading.BrokenBarrierError):
                both.wait(20.0)
                met.append(name)
            return look(*given)

        return look_and_wait

    monkeypatch.setattr(backend._face_mesh, "look", meeting("Face Mesh", backend._face_mesh.look))
    monkeypatch.setattr(backend._network, "locate_in_crop", meeting("dense", backend._network.locate_in_crop))
    return met


def test_on_two_cores_both_networks_look_at_a_new_face_at_the_same_time(
    backend: DenseBackend, astronaut: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    region = backend.detect(astronaut)[0].region
    with_cores(monkeypatch, 2)
    met = at_the_same_time(backend, monkeypatch)
    backend.locate(astronaut, region)
    assert sorted(met) == ["Face Mesh", "dense"]


def test_on_two_cores_a_followed_profile_and_its_mirror_image_are_looked_at_at_the_same_time(
    backend: DenseBackend, profiles: list[RenderedScene], monkeypatch: pytest.MonkeyPatch
) -> None:
    region = upright_region(profiles[0].landmarks("mediapipe478")[:, :2], REGION_SCALE)
    before = backend.locate(profiles[0].image, region)
    with_cores(monkeypatch, 2)
    met = at_the_same_time(backend, monkeypatch)
    backend.locate(profiles[0].image, region, before)
    assert met == ["dense", "dense"]


@pytest.mark.parametrize("turned", [False, True], ids=["from the front", "from the side"])
def test_what_is_located_does_not_depend_on_the_number_of_cores(
    backend: DenseBackend,
    astronaut: NDArray[np.uint8],
    profiles: list[RenderedScene],
    monkeypatch: pytest.MonkeyPatch,
    turned: bool,
) -> None:
    image = profiles[0].image if turned else astronaut
    truth = profiles[0].landmarks("mediapipe478")[:, :2]
    region = upright_region(truth, REGION_SCALE) if turned else backend.detect(astronaut)[0].region
    located = {}
    for cores in (1, 2):
        with_cores(monkeypatch, cores)
        face = backend.locate(image, region)
        located[cores] = face, backend.locate(image, region, face)
    for alone, beside in zip(located[1], located[2], strict=True):
        np.testing.assert_array_equal(alone.landmarks.points, beside.landmarks.points)
        np.testing.assert_array_equal(alone.landmarks.deviation, beside.landmarks.deviation)
        assert (alone.confirmed, alone.region) == (beside.confirmed, beside.region)


def test_a_mirror_image_is_located_as_the_mirrored_picture_is(
    response: FaceMeshResponse, profiles: list[RenderedScene]
) -> None:
    network, mirror = DenseNetwork(NETWORK), response.mirror[:SKIN_COUNT]
    image = profiles[0].image
    region = upright_region(profiles[0].landmarks("mediapipe478")[:, :2])
    as_mirrored = network.locate_in_crop(region.crop(image, SIDE), region, mirror)
    right = image.shape[1] - 1
    flipped_region = Region(right - region.x, region.y, region.size, -region.angle)
    flipped_crop = flipped_region.crop(np.ascontiguousarray(image[:, ::-1]), SIDE)
    flipped = network.locate_in_crop(flipped_crop, flipped_region)
    expected = flipped.points[mirror] * [-1, 1] + [right, 0]
    np.testing.assert_allclose(as_mirrored.points, expected, atol=0.5)
    np.testing.assert_allclose(as_mirrored.depth, flipped.depth[mirror], atol=0.5)


@pytest.mark.slow
def test_what_is_seen_changes_steadily_as_a_head_turns_to_the_side(
    backend: DenseBackend, default_model: MorphableModel
) -> None:
    scene = random_scene(np.random.default_rng([9, 1]), default_model, SceneOptions(glasses=0, occluder=0))
    points = []
    with SceneRenderer(default_model) as renderer:
        for degrees in range(36, 56, 2):
            rotation = rotation_from_pose_angles(0.0, np.radians(degrees), 0.0)
            camera = WeakPerspective(1.2, rotation, np.array([225.0, 180.0]))
            rendered = renderer.render(replace(scene, camera=camera))
            truth = rendered.landmarks("mediapipe478")[:, :2]
            found = backend.locate(rendered.image, upright_region(truth, REGION_SCALE)).landmarks
            points.append(found.points - truth)
    steps = np.linalg.norm(np.diff(points, axis=0), axis=2).mean(axis=1)
    assert steps.max() < 0.03 * of_size(truth)


def test_a_portrait_is_seen_as_face_mesh_sees_it(backend: DenseBackend, astronaut: NDArray[np.uint8]) -> None:
    region = backend.detect(astronaut)[0].region
    both = backend.locate(astronaut, backend.locate(astronaut, region).region).landmarks
    mesh = FaceMeshBackend().locate(astronaut, region).landmarks
    inner = np.linalg.norm(mesh.points - mesh.points.mean(axis=0), axis=1) < 0.35 * of_size(mesh.points)
    assert np.linalg.norm(both.points - mesh.points, axis=1)[inner].mean() < 0.04 * of_size(mesh.points)


def with_two_opinions(
    backend: DenseBackend, yaw: float, monkeypatch: pytest.MonkeyPatch
) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """Let the dense network see a face at a yaw, and Face Mesh see it 5 px lower; both 2 mm off, and nothing covered.

    Trees see nothing. Returns the skin's points as the one and the other sees them, and their deviation, px.
    """
    response, scale = backend._response, 1.5
    camera = WeakPerspective(scale, rotation_from_pose_angles(0.0, np.radians(-yaw), 0.0), np.array([225.0, 200.0]))
    points, depth = seen(response, camera)
    deviation = np.full(SKIN_COUNT, 2.0 * scale, np.float32)
    there = DensePoints(points, depth, deviation, 1.0, np.zeros(np.prod(FEATURES), np.float32), points)
    lower = points + np.float32([0.0, 5.0])
    irises = np.resize(lower, (478 - SKIN_COUNT, 2))
    mesh = Landmarks("mediapipe478", np.concatenate([lower, irises]), Box(0, 0, 450, 450), 1.0, (450, 450))
    alike = replace(response, bias=np.zeros_like(response.bias), deviation=np.full_like(response.deviation, 2.0))
    monkeypatch.setattr(backend, "_response", alike)
    monkeypatch.setattr(backend._network, "locate_in_crop", lambda *_: there)
    monkeypatch.setattr(backend._face_mesh, "look", lambda *_: mesh)
    monkeypatch.setattr(backend, "_share", lambda _: np.zeros(SKIN_COUNT, np.float32))
    monkeypatch.setattr(backend._trees, "find", see_nothing)
    return points, lower, 2.0 * scale


def see_nothing(*_: object, **__: object) -> NoReturn:
    raise Face3DMMError("the square does not touch the image")


@pytest.mark.parametrize(
    ("yaw", "share"), [(0.0, 0.0), (31.0, 0.0), (37.0, 0.5), (45.0, 1.0), (-45.0, 1.0), (70.0, 1.0)]
)
def test_from_the_side_trees_are_averaged_with_by_how_sure_they_are(
    backend: DenseBackend, monkeypatch: pytest.MonkeyPatch, yaw: float, share: float
) -> None:
    dense, *_ = with_two_opinions(backend, yaw, monkeypatch)
    image, region = np.zeros((450, 450, 3), np.uint8), upright_region(dense, REGION_SCALE)
    without = backend.locate(image, region).landmarks
    asked = []

    def find(_: object, square: Region, turned: float, starts: int = 5) -> FoundShape:
        asked.append(turned)
        nearby = without.points + np.float32([4.0, 0.0])
        sure = 2.0 * without.deviation[:478]
        return FoundShape(nearby, sure, sure, turned, square, np.zeros(0, np.float32))

    monkeypatch.setattr(backend._trees, "find", find)
    moved = backend.locate(image, region).landmarks.points - without.points
    # Twice the deviation is a quarter of the weight; irises are not the trees'.
    np.testing.assert_allclose(moved[:SKIN_COUNT], np.tile([4.0 * share / 5.0, 0.0], (SKIN_COUNT, 1)), atol=0.02)
    assert not moved[SKIN_COUNT:].any()
    # The yaw that trees know counts to the other side.
    assert all(np.sign(turned) == -np.sign(yaw) for turned in asked)


FOREHEAD, LIPS = [10], [point for ring in LIP_RINGS for point in ring]


@pytest.mark.parametrize(
    ("yaw", "part", "deviation_counts", "asked"),
    [
        (0.0, FOREHEAD, 0.5, 1.0),
        (0.0, LIPS, 0.07, 1.0),
        (0.0, list(LEFT_EYE_RING), 0.2, 1.0),
        (-35.0, FOREHEAD, 0.75, 1.0),
        (35.0, LIPS, 0.335, 1.0),
        (50.0, FOREHEAD, 1.0, 1.0),
        (55.0, FOREHEAD, 1.0, 0.5),
        (-55.0, LIPS, 0.6, 0.5),
        (65.0, LIPS, 0.6, 0.0),
    ],
)
def test_what_both_networks_see_is_averaged_by_how_sure_each_is_there(
    backend: DenseBackend,
    monkeypatch: pytest.MonkeyPatch,
    yaw: float,
    part: list[int],
    deviation_counts: float,
    asked: float,
) -> None:
    """By inverse variance: of Face Mesh's deviation a share counts, least at the lips, and from the side it goes."""
    dense, mesh, deviation = with_two_opinions(backend, yaw, monkeypatch)
    found = backend.locate(np.zeros((450, 450, 3), np.uint8), upright_region(dense, REGION_SCALE)).landmarks
    weight = asked / (1.0 + deviation_counts**2)
    np.testing.assert_allclose(found.points[part], dense[part] + weight * (mesh - dense)[part], atol=0.02)
    both = deviation * np.hypot(1.0 - weight, weight * deviation_counts)
    assert found.deviation is not None
    np.testing.assert_allclose(found.deviation[part], both, rtol=0.01)


def test_irises_are_where_face_mesh_sees_them(backend: DenseBackend, astronaut: NDArray[np.uint8]) -> None:
    region = backend.detect(astronaut)[0].region
    both, mesh = (each.locate(astronaut, region).landmarks for each in (backend, FaceMeshBackend()))
    seen, there = both.points[SKIN_COUNT:], mesh.points[SKIN_COUNT:]
    assert np.linalg.norm(seen - there, axis=1).max() < 0.02 * of_size(mesh.points), "less what it strays on people"
    assert np.linalg.norm(seen - there, axis=1).max() > 0.0


def test_from_the_side_irises_tell_nothing(backend: DenseBackend, profiles: list[RenderedScene]) -> None:
    region = upright_region(profiles[0].landmarks("mediapipe478")[:, :2], REGION_SCALE)
    deviation = backend.locate(profiles[0].image, region).landmarks.deviation
    assert deviation is not None
    assert deviation[SKIN_COUNT:].min() > 2 * deviation[:SKIN_COUNT].max()


def test_a_face_from_the_front_is_doubted_where_face_mesh_sees_none(
    backend: DenseBackend, astronaut: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    region = backend.detect(astronaut)[0].region
    sure = backend.locate(astronaut, region).landmarks
    look = backend._face_mesh.look

    def sees_nothing(image: NDArray[np.uint8], region: Region) -> Landmarks:
        return replace(look(image, region), confidence=0.0)

    monkeypatch.setattr(backend._face_mesh, "look", sees_nothing)
    doubted = backend.locate(astronaut, region).landmarks
    assert doubted.confidence < 0.7 * sure.confidence
    assert doubted.expression is not None, "the dense network still reads it"
    assert doubted.expression_deviation is not None
    assert sure.expression_deviation is not None
    assert (doubted.expression_deviation >= sure.expression_deviation).all(), "less is known by one reading than by two"


def test_landmarks_are_as_precise_as_their_message(backend: DenseBackend, astronaut: NDArray[np.uint8]) -> None:
    region = backend.detect(astronaut)[0].region
    first = backend.locate(astronaut, region)
    for face in (first, backend.locate(astronaut, region, first)):
        arrays = [value for value in vars(face.landmarks).values() if isinstance(value, np.ndarray)]
        assert len(arrays) == 6
        assert {array.dtype for array in arrays} == {np.dtype(np.float32), np.dtype(np.uint8)}


def counted_looks(backend: DenseBackend, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with each look of the dense network."""
    looks: list[int] = []
    locate = backend._network.locate_in_crop
    monkeypatch.setattr(backend._network, "locate_in_crop", lambda *given: looks.append(1) or locate(*given))
    return looks


def test_at_a_resting_face_the_dense_network_looks_in_every_fourth_image(
    backend: DenseBackend, astronaut: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = counted_looks(backend, monkeypatch)
    face, seen = None, []
    region = backend.detect(astronaut)[0].region
    for _ in range(9):
        face = backend.locate(astronaut, region, face)
        seen.append(len(looks))
    assert seen == [1, 1, 1, 1, 2, 2, 2, 2, 3]


def test_what_the_dense_network_saw_moves_turns_and_grows_with_the_face(
    backend: DenseBackend, astronaut: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = backend.locate(astronaut, backend.detect(astronaut)[0].region)
    matrix = cv2.getRotationMatrix2D((220.0, 110.0), 5.0, 1.05)
    matrix[:, 2] += 8.0, -5.0
    moved = cv2.warpAffine(astronaut, matrix, astronaut.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    region = before.region
    x, y = matrix @ [region.x, region.y, 1.0]
    region = Region(x, y, 1.05 * region.size, region.angle - np.radians(5.0))
    looks = counted_looks(backend, monkeypatch)
    carried = backend.locate(moved, region, before).landmarks
    assert not looks
    anew = backend.locate(moved, region).landmarks
    assert np.linalg.norm(carried.points - anew.points, axis=1).mean() < 0.005 * of_size(anew.points)
    np.testing.assert_allclose(carried.depth, anew.depth, atol=0.06 * of_size(anew.points))
    np.testing.assert_allclose(carried.deviation, anew.deviation, rtol=0.5)


@pytest.mark.parametrize("change", ["another expression", "doubt"])
def test_the_dense_network_looks_at_once_where_a_face_changes_or_is_doubtful(
    backend: DenseBackend, astronaut: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    region = backend.detect(astronaut)[0].region
    before = backend.locate(astronaut, region)
    look = backend._face_mesh.look

    def changed(image: NDArray[np.uint8], region: Region) -> Landmarks:
        seen = look(image, region)
        if change == "doubt":
            return replace(seen, confidence=0.5)
        points = seen.points.copy()
        points[points[:, 1] > points[:, 1].mean()] += [0.0, 0.05 * region.size]
        return replace(seen, points=points)

    monkeypatch.setattr(backend._face_mesh, "look", changed)
    looks = counted_looks(backend, monkeypatch)
    backend.locate(astronaut, region, before)
    assert len(looks) == 1


def test_from_the_side_nothing_is_remembered(
    backend: DenseBackend, profiles: list[RenderedScene], monkeypatch: pytest.MonkeyPatch
) -> None:
    region = upright_region(profiles[0].landmarks("mediapipe478")[:, :2], REGION_SCALE)
    looks, face = counted_looks(backend, monkeypatch), None
    for _ in range(2):
        face = backend.locate(profiles[0].image, region, face)
    assert len(looks) == 4  # each time as it is, and as its mirror image


def test_a_wall_is_no_face(backend: DenseBackend) -> None:
    rows, columns = np.mgrid[:200, :200]
    wall = np.where((rows // 20 + columns // 40) % 2, 150, 90).astype(np.uint8)
    face = backend.locate(np.repeat(wall[..., None], 3, axis=2), Region(100.0, 100.0, 150.0))
    assert face.landmarks.confidence < 0.5


@pytest.mark.parametrize("content", [b"", b"not a network", None])
def test_a_file_that_is_no_network_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "dense.tflite"
    path.write_bytes(NETWORK.read_bytes()[:5000] if content is None else content)
    with pytest.raises(Face3DMMError, match="not a network"):
        DenseNetwork(path)


def test_a_missing_network_is_named(tmp_path: Path) -> None:
    with pytest.raises(Face3DMMError, match="missing"):
        DenseNetwork(tmp_path / "dense.tflite")


@pytest.mark.parametrize("name", ["yaw", "bias", "tilt", "mirror"])
def test_a_table_that_is_not_one_is_refused(tmp_path: Path, name: str) -> None:
    with np.load(RESPONSE) as arrays:
        rest = {key: arrays[key] for key in arrays if key != name}
    path = tmp_path / "table.npz"
    np.savez(path, **rest)
    with pytest.raises(Face3DMMError, match="not a table"):
        FaceMeshResponse.load(path)


@pytest.mark.slow
def test_an_expression_is_read_from_the_front_and_not_from_the_side(
    backend: DenseBackend, default_model: MorphableModel, profiles: list[RenderedScene]
) -> None:
    scene = replace(profiles[0].scene, camera=WeakPerspective(1.2, FRONTAL, np.array([225.0, 180.0])))
    jaw, blink = (ARKIT_NAMES.index(name) for name in ("jawOpen", "eyeBlinkLeft"))
    read = []
    with SceneRenderer(default_model) as renderer:
        for k in (None, jaw, blink):
            beta = np.zeros(52)
            if k is not None:
                beta[k] = 1.0
            rendered = renderer.render(replace(scene, beta=beta))
            region = upright_region(rendered.landmarks("mediapipe478")[:, :2], REGION_SCALE)
            landmarks = backend.locate(rendered.image, region).landmarks
            assert landmarks.expression is not None
            assert landmarks.expression_deviation is not None
            assert (landmarks.expression_deviation > 0).all()
            read.append(landmarks.expression)
    at_rest, open_, closed = read
    assert open_[jaw] - at_rest[jaw] > 0.5 > abs(open_[blink] - at_rest[blink])
    assert closed[blink] - at_rest[blink] > 0.4 > abs(closed[jaw] - at_rest[jaw])
    for profile in profiles:
        region = upright_region(profile.landmarks("mediapipe478")[:, :2], REGION_SCALE)
        assert backend.locate(profile.image, region).landmarks.expression is None


@pytest.mark.parametrize("change", ["weights", "bias", "deviation", "negative"])
def test_a_reading_that_is_not_one_is_refused(tmp_path: Path, change: str) -> None:
    arrays = {"weights": np.zeros((51, 8)), "bias": np.zeros(51), "deviation": np.ones(51)}
    path = tmp_path / "reader.npz"
    np.savez(path, **arrays)
    ExpressionReader.load(path)
    if change == "negative":
        arrays["deviation"] = -np.ones(51)
    else:
        del arrays[change]
    np.savez(path, **arrays)
    with pytest.raises(Face3DMMError, match="not a reading"):
        ExpressionReader.load(path)


@pytest.mark.parametrize("reading", ["network", "reader"])
def test_what_is_said_of_people_at_rest_is_no_expression(reading: str) -> None:
    response = ReadingResponse.load(AT_REST, reading)
    np.testing.assert_array_equal(response.measured(response.rest), np.zeros(51))
    np.testing.assert_allclose(response.measured(response.rest + 0.5 * response.gain), np.full(51, 0.5), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "value"), [("rest", np.full(51, np.nan)), ("gain", np.zeros(51)), ("deviation", -np.ones(51))]
)
def test_a_response_of_people_that_is_not_one_is_refused(tmp_path: Path, name: str, value: NDArray[np.float64]) -> None:
    with np.load(AT_REST) as arrays:
        content = dict(arrays)
    path = tmp_path / "people_at_rest.npz"
    for wrong in ({**content, f"network_{name}": value}, {k: v for k, v in content.items() if k != f"network_{name}"}):
        np.savez(path, **wrong)
        with pytest.raises(Face3DMMError, match="not a table of how the network answers"):
            ReadingResponse.load(path, "network")


def test_the_same_cover_counts_in_every_place(tmp_path: Path) -> None:
    """Features of cloth in one quarter of the crop: the points there are covered, those elsewhere are not."""
    features = np.zeros(FEATURES, np.float32)
    features[:5, :5, 7] = 1.0
    weights = np.zeros((3, 3, FEATURES[2]), np.float32)
    weights[1, 1, 7] = 20.0
    path = tmp_path / "cover_reader.npz"
    np.savez(path, weights=weights, bias=np.float32(-10.0))
    points = np.float32([[20.0, 20.0], [60.0, 60.0], [100.0, 20.0], [140.0, 140.0], [-30.0, -30.0], [79.5, 20.0]])
    likely = CoverReader.load(path).read(features.ravel(), points)
    np.testing.assert_allclose(likely, [1, 1, 0, 0, 1, 0.5], atol=1e-4)


@pytest.mark.parametrize("shape", [(128,), (3, 3, 64)])
def test_a_reading_of_covers_that_is_none_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "cover_reader.npz"
    np.savez(path, weights=np.zeros(shape, np.float32), bias=np.float32(0.0))
    with pytest.raises(Face3DMMError, match="is not a reading of what is covered"):
        CoverReader.load(path)


PARTS = {
    "mouth": np.array(LIP_RINGS).ravel(),
    "left eye": np.array(LEFT_EYE_RING),
    "right eye": np.array(RIGHT_EYE_RING),
}
WEIGHTS = {"mouth": ("mouth", "jaw"), "left eye": ("eyeBlinkLeft", "eyeSquintLeft"), "right eye": ("eyeBlinkRight",)}


@pytest.mark.parametrize("part", PARTS)
def test_what_is_said_of_a_covered_part_is_told_as_a_guess(
    backend: DenseBackend, astronaut: NDArray[np.uint8], part: str
) -> None:
    before = backend.locate(astronaut, backend.locate(astronaut, backend.detect(astronaut)[0].region).region)
    free = before.landmarks
    covered_picture = astronaut.copy()
    (left, top), (right, bottom) = (free.points[PARTS[part]].min(axis=0) - 6, free.points[PARTS[part]].max(axis=0) + 6)
    covered_picture[int(top) : int(bottom), int(left) : int(right)] = [60, 110, 70]
    covered = backend.locate(covered_picture, before.region).landmarks
    for other, points in PARTS.items():
        rise = np.median(covered.deviation[points] / free.deviation[points])
        assert (rise > 3.0) == (other == part), (other, rise)
        names = [k for k, name in enumerate(ARKIT_NAMES[:51]) if name.startswith(WEIGHTS[other])]
        rise = np.median(covered.expression_deviation[names] / free.expression_deviation[names])
        assert (rise > 1.5) == (other == part), (other, rise)


def test_the_dense_network_looks_at_once_where_something_comes_before_the_face(
    backend: DenseBackend, astronaut: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    region = backend.detect(astronaut)[0].region
    before = backend.locate(astronaut, region)
    mesh = backend._face_mesh.locate(astronaut, region)
    # Face Mesh goes on as if nothing were there.
    monkeypatch.setattr(backend._face_mesh, "locate", lambda image, region: mesh)
    masked = astronaut.copy()
    (left, top), (right, bottom) = (edge(mesh.landmarks.points[PARTS["mouth"]], axis=0) for edge in (np.min, np.max))
    masked[int(top) - 6 : int(bottom) + 6, int(left) - 6 : int(right) + 6] = [60, 110, 70]
    looks = counted_looks(backend, monkeypatch)
    backend.locate(astronaut, region, before)
    assert not looks
    backend.locate(masked, region, before)
    assert len(looks) == 1


def test_points_under_something_are_told_to_be_covered(backend: DenseBackend, astronaut: NDArray[np.uint8]) -> None:
    before = backend.locate(astronaut, backend.locate(astronaut, backend.detect(astronaut)[0].region).region)
    free = before.landmarks
    assert free.covered.dtype == np.uint8
    assert np.median(free.covered) < 64
    picture = astronaut.copy()
    eyes = [*PARTS["left eye"], *PARTS["right eye"]]
    (left, top), (right, bottom) = free.points[eyes].min(axis=0) - 8, free.points[eyes].max(axis=0) + 8
    picture[int(top) : int(bottom), int(left) : int(right)] = [20, 20, 20]
    covered = backend.locate(picture, before.region).landmarks.covered
    assert np.median(covered[eyes]) > 200
    assert covered[SKIN_COUNT:].min() > 150  # the irises
    assert np.median(covered[PARTS["mouth"]]) < 64


def test_what_is_covered_is_carried_on_between_looks(backend: DenseBackend, astronaut: NDArray[np.uint8]) -> None:
    first = backend.locate(astronaut, backend.locate(astronaut, backend.detect(astronaut)[0].region).region)
    second = backend.locate(astronaut, first.region, first)
    assert second.seen.age == 1
    np.testing.assert_array_equal(second.landmarks.covered, first.landmarks.covered)


def test_the_sparse_scheme_is_told_what_is_covered_too(astronaut: NDArray[np.uint8]) -> None:
    sparse = DenseBackend("ibug68")
    assert sparse.locate(astronaut, sparse.detect(astronaut)[0].region).landmarks.covered.shape == (68,)

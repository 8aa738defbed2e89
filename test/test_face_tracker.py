"""The library's front door: what `FaceTracker` takes, gives and refuses."""

import inspect
import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import face3dmm_ros
from face3dmm_ros import Face, Face3DMMError, FaceTracker
from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.core.calibration import pinhole
from face3dmm_ros.core.camera import Intrinsics
from face3dmm_ros.core.rotations import rotation_from_pose_angles
from face3dmm_ros.core.values import TrackedFace
from face3dmm_ros.files.frame_source import sample_clip
from face3dmm_ros.fit_methods import FIT_METHODS
from face3dmm_ros.fitting.face_locator import FaceLocator, LocatedFace
from face3dmm_ros.landmarks import BACKENDS
from face3dmm_ros.landmarks.schemes import LEFT_EYE_RING, RIGHT_EYE_RING
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.pipeline import FacePipeline
from face3dmm_ros.smoothing import SMOOTHING_METHODS

MANY = np.zeros((2, 64, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def opened() -> Iterator[FaceTracker]:
    with FaceTracker() as tracker:
        yield tracker


@pytest.fixture
def tracker(opened: FaceTracker) -> FaceTracker:
    """A tracker that has seen nothing."""
    opened.reset()
    return opened


@pytest.fixture
def face(tracker: FaceTracker, astronaut: np.ndarray) -> Face:
    (face,) = tracker.track(astronaut)
    return face


@pytest.fixture
def other(astronaut: np.ndarray) -> np.ndarray:
    """Another picture with a face, elsewhere and turned."""
    turn = cv2.getRotationMatrix2D((220.0, 120.0), 20.0, 0.8)
    return cv2.warpAffine(astronaut, turn, (512, 512))


def run_program(program: str, folder: Path) -> str:
    """What a program prints, run in a folder by an interpreter of its own."""
    path = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])
    environment = os.environ | {"PYTHONPATH": path, "MPLBACKEND": "Agg"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_film(path: Path, images: int) -> None:
    """The beginning of the sample clip, as a film of its own."""
    try:
        clip = cv2.VideoCapture(str(sample_clip()))
    except Face3DMMError as error:
        pytest.skip(str(error))
    film = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 30.0, (176, 144))
    for _ in range(images):
        film.write(clip.read()[1])
    film.release()
    clip.release()


def test_its_import_loads_nothing_heavy(repository: Path) -> None:
    program = "import sys; from face3dmm_ros import FaceTracker, Face, Face3DMMError; "
    program += "heavy = {'torch', 'OpenGL', 'scipy', 'cv2', 'numba', 'yaml', 'matplotlib', 'ai_edge_litert'}; "
    program += "print(heavy & set(sys.modules))"
    assert run_program(program, repository).strip() == "set()"


def test_the_package_offers_what_it_names_and_nothing_else() -> None:
    assert {name for name in face3dmm_ros.__all__ if not inspect.isclass(getattr(face3dmm_ros, name))} == set()
    with pytest.raises(AttributeError, match="has no attribute 'FaceTrakcer'"):
        face3dmm_ros.FaceTrakcer  # noqa: B018


def test_its_defaults_are_those_of_the_command_line() -> None:
    defaults = {name: argument.default for name, argument in inspect.signature(FaceTracker).parameters.items()}
    assert (defaults["backend"], defaults["fit_method"], defaults["smoothing"]) == (
        BACKENDS[0],
        FIT_METHODS[0],
        SMOOTHING_METHODS[0],
    )


def test_the_portrait_looks_into_the_camera_and_smiles(face: Face) -> None:
    assert tuple(face.weights) == ARKIT_NAMES
    assert min(face.weights["mouthSmileLeft"], face.weights["mouthSmileRight"]) > 0.2
    assert all(0.0 <= weight <= 1.0 for weight in face.weights.values())
    assert max(abs(face.pose.yaw), abs(face.pose.pitch), abs(face.pose.roll)) < 15.0
    assert face.confidence == face.parameters.confidence > 0.5
    assert face.landmarks.scheme == "mediapipe478"
    assert face.landmarks.points.shape == (478, 2)
    assert face.landmarks.deviation is not None


def test_gaze_and_translation_are_in_the_cameras_frame(face: Face) -> None:
    assert face.gaze is not None
    to_camera = -face.pose.translation / np.linalg.norm(face.pose.translation)
    for direction in (face.gaze.left, face.gaze.right, face.gaze.both):
        assert direction @ to_camera > np.cos(np.radians(15.0)), "it looks into the lens, from above the middle"
    x, y, z = face.pose.translation
    assert x < 0.0
    assert y < 0.0
    assert 0.2 < z < 2.0


@pytest.mark.parametrize(
    ("yaw", "pitch", "roll", "axis", "expected"),
    [
        (10.0, 0.0, 0.0, (0, 0, 1), (-1, 0)),  # the nose to the image's left
        (0.0, 10.0, 0.0, (0, 0, 1), (0, -1)),  # the nose up, y being down
        (0.0, 0.0, 10.0, (0, 1, 0), (1, 0)),  # the head's top to the image's right
    ],
)
def test_the_angles_have_the_signs_that_are_told(yaw, pitch, roll, axis, expected) -> None:
    R = rotation_from_pose_angles(*np.radians([pitch, yaw, roll]))
    moved = (R @ axis - np.diag([1, -1, -1]) @ axis)[:2]
    np.testing.assert_allclose(moved / np.linalg.norm(moved), expected, atol=0.1)


def test_a_picture_turned_clockwise_rolls_the_head(tracker: FaceTracker, face: Face, astronaut: np.ndarray) -> None:
    clockwise = cv2.getRotationMatrix2D((255.5, 255.5), -25.0, 1.0)
    ((turned,),) = tracker.track_pictures([cv2.warpAffine(astronaut, clockwise, (512, 512))])
    assert turned.pose.roll == pytest.approx(face.pose.roll + 25.0, abs=4.0)


def test_the_mesh_lies_where_the_parameters_and_the_pose_say(face: Face, default_model: MorphableModel) -> None:
    mesh = face.mesh()
    vertices = default_model.vertices(face.parameters.alpha, face.parameters.beta)
    np.testing.assert_allclose(
        mesh.vertices, vertices / 1000.0 @ face.pose.rotation.T + face.pose.translation, atol=1e-5
    )
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1.0, atol=1e-3)
    np.testing.assert_array_equal(mesh.triangles, default_model.triangles)
    np.testing.assert_array_equal(mesh.rgb, default_model.rgb(face.parameters.gamma))
    assert face.mesh() is mesh, "made once"


def test_a_face_survives_pickling(face: Face) -> None:
    copy = pickle.loads(pickle.dumps(face))
    assert copy.weights == face.weights
    np.testing.assert_array_equal(copy.mesh().vertices, face.mesh().vertices)


def test_it_gives_what_the_pipeline_gives(
    tracker: FaceTracker, astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    process = FacePipeline.process
    monkeypatch.setattr(FacePipeline, "process", lambda *given: found.append(process(*given)) or found[-1])
    (face,) = tracker.track(astronaut)
    assert face.parameters is found[0][0].parameters
    assert face.landmarks is found[0][0].landmarks


def test_rgb_and_bgr_give_the_same(tracker: FaceTracker, face: Face, astronaut: np.ndarray) -> None:
    rgb = np.ascontiguousarray(astronaut[..., ::-1])
    with FaceTracker(order="rgb") as other_order:
        (same,) = other_order.track(rgb)
        drawn = other_order.draw(rgb, [same], view="landmarks")
    np.testing.assert_array_equal(same.landmarks.points, face.landmarks.points)
    np.testing.assert_array_equal(same.parameters.gamma, face.parameters.gamma)
    np.testing.assert_array_equal(drawn[..., ::-1], tracker.draw(astronaut, [face], view="landmarks"))


def test_a_face_keeps_its_id_and_reset_begins_anew(tracker: FaceTracker, astronaut: np.ndarray) -> None:
    first, second = tracker.track(astronaut), tracker.track(astronaut)
    tracker.reset()
    third = tracker.track(astronaut)
    assert first[0].id == second[0].id != third[0].id


def test_images_with_times_are_smoothed_and_others_are_as_they_are(tracker: FaceTracker, astronaut: np.ndarray) -> None:
    moved = np.roll(astronaut, 1, axis=1)

    def seen(*times: float | None) -> list[float]:
        tracker.reset()
        images = (astronaut, moved, astronaut)
        tracked = [tracker.track(image, time)[0] for image, time in zip(images, times, strict=True)]
        return [face.parameters.camera.translation[0] for face in tracked]

    plain, smoothed = seen(None, None, None), seen(1e9, 1e9 + 0.03, 1e9 + 0.06)
    assert plain[2] + 0.005 < smoothed[2] < plain[1], "lags behind"
    assert seen(0.0, None, None) == plain


@pytest.mark.parametrize("time", [float("nan"), float("inf"), "0", True, [0.0]])
def test_a_time_that_is_no_number_of_seconds_is_refused(tracker: FaceTracker, astronaut, time) -> None:
    with pytest.raises(Face3DMMError, match="time must be a finite number of seconds"):
        tracker.track(astronaut, time)


@pytest.mark.parametrize("again", [2.0, 1.0, np.float32(1.5)])
def test_a_time_that_does_not_grow_is_refused_until_reset(tracker: FaceTracker, again) -> None:
    blank = np.zeros((48, 64, 3), np.uint8)
    assert tracker.track(blank, 2.0) == []
    assert tracker.track(blank) == []
    with pytest.raises(Face3DMMError, match=r"grow .* after 2\.0 s: call reset"):
        tracker.track(blank, again)
    tracker.reset()
    assert tracker.track(blank, again) == []


def test_pictures_have_nothing_to_do_with_each_other(
    tracker: FaceTracker, astronaut: np.ndarray, other: np.ndarray
) -> None:
    blank = np.zeros((48, 64, 3), np.uint8)
    tracker.track(other, 5.0)
    forth = tracker.track_pictures(picture for picture in (astronaut, other, blank))
    back = tracker.track_pictures([other, astronaut])
    assert [len(faces) for faces in forth] == [1, 1, 0]
    for one, same in zip(forth[:2], reversed(back), strict=True):
        np.testing.assert_array_equal(one[0].parameters.beta, same[0].parameters.beta)
        np.testing.assert_array_equal(one[0].parameters.alpha, same[0].parameters.alpha)
        np.testing.assert_array_equal(one[0].parameters.gamma, same[0].parameters.gamma)
        np.testing.assert_array_equal(one[0].pose.translation, same[0].pose.translation)
    assert tracker.track(blank, 1.0) == [], "a stream begins anew after pictures"


def test_a_picture_that_cannot_be_used_is_named_by_its_number(tracker: FaceTracker, astronaut: np.ndarray) -> None:
    with pytest.raises(Face3DMMError, match=r"picture 1: .* found None"):
        tracker.track_pictures([astronaut, None])


@pytest.mark.parametrize("pictures", [MANY[0], None, Path("portrait.jpg")])
def test_one_picture_in_place_of_several_is_refused(tracker: FaceTracker, pictures) -> None:
    with pytest.raises(Face3DMMError, match="takes a list of pictures"):
        tracker.track_pictures(pictures)


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (None, "found None: the camera or the file gave none"),
        ("portrait.jpg", "found str"),
        (np.zeros((48, 64), np.uint8), r"found shape \(48, 64\) of uint8: it is grey.*COLOR_GRAY2BGR"),
        (np.zeros((48, 64, 1), np.uint8), "it is grey.*COLOR_GRAY2BGR"),
        (np.zeros((48, 64, 4), np.uint8), r"fourth channel, so take image\[\.\.\., :3\]"),
        (np.zeros((48, 64, 3)), r"of float64: .*astype\(np\.uint8\)"),
        (np.zeros((48, 64, 3), np.uint16), r"of uint16: .*astype\(np\.uint8\)"),
        (MANY, "one image"),
        (np.zeros((0, 64, 3), np.uint8), "empty"),
        (np.zeros((1, 40000, 3), np.uint8), "40000×1 pixels"),
    ],
)
def test_what_is_no_image_is_refused_with_what_to_do(tracker: FaceTracker, frame, told: str) -> None:
    for call in (tracker.track, lambda given: tracker.draw(given, [])):
        with pytest.raises(Face3DMMError, match=told):
            call(frame)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (16, 16)])
def test_the_smallest_images_have_no_face(tracker: FaceTracker, shape: tuple[int, int]) -> None:
    assert tracker.track(np.zeros((*shape, 3), np.uint8)) == []


@pytest.mark.parametrize("view", ["shaded", "wireframe", "toon", "landmarks"])
def test_an_overlay_is_a_new_image_with_the_face_on_it(
    tracker: FaceTracker, face: Face, astronaut: np.ndarray, view: str
) -> None:
    frame = astronaut.copy()
    drawn = tracker.draw(frame, [face], view=view)
    np.testing.assert_array_equal(frame, astronaut)
    changed = (drawn != astronaut).any(axis=2)
    x, y = face.landmarks.points[1].astype(int)
    assert changed[y - 20 : y + 20, x - 20 : x + 20].any()
    assert not changed[300:].any()
    empty = tracker.draw(frame, [], view=view)
    np.testing.assert_array_equal(empty, frame)
    assert not np.shares_memory(empty, frame)


def test_an_overlay_covers_the_face_and_not_the_hair(tracker: FaceTracker, face: Face, astronaut: np.ndarray) -> None:
    covered, whole = (
        (tracker.draw(astronaut, [face], extent=extent) != astronaut).any(axis=2) for extent in ("face", "head")
    )
    y = int(face.landmarks.points[10, 1])  # the middle of the hairline
    assert not covered[: y - 10].any()
    assert whole[: y - 10].any()
    np.testing.assert_array_equal((tracker.draw(astronaut, [face]) != astronaut).any(axis=2), covered)


def test_a_bar_over_the_eyes_is_not_painted_over(tracker: FaceTracker, face: Face, astronaut: np.ndarray) -> None:
    eyes = face.landmarks.points[[*RIGHT_EYE_RING, *LEFT_EYE_RING]]
    (left, top), (right, bottom) = (eyes.min(axis=0) - 10).astype(int), (eyes.max(axis=0) + 10).astype(int)
    barred = astronaut.copy()
    barred[top:bottom, left:right] = 20
    ((under_bar,),) = tracker.track_pictures([barred])
    between = slice(top + 8, bottom - 8), slice(left + 12, right - 12)
    drawn, free = tracker.draw(barred, [under_bar]), tracker.draw(astronaut, [face])
    assert np.abs(drawn[between].astype(int) - 20).mean() < 5
    assert np.abs(free[between].astype(int) - 20).mean() > 50


def test_what_cannot_be_drawn_is_refused(tracker: FaceTracker, face: Face, astronaut: np.ndarray) -> None:
    for faces in (face, [face.parameters], None):
        with pytest.raises(Face3DMMError, match="draw takes a list of faces as track gives them"):
            tracker.draw(astronaut, faces)
    with pytest.raises(Face3DMMError, match="512×512 pixels, this one has 512×256"):
        tracker.draw(astronaut[:256], [face])
    with pytest.raises(Face3DMMError, match="unknown view 'solid': choose one of shaded"):
        tracker.draw(astronaut, [face], view="solid")
    with pytest.raises(Face3DMMError, match="opacity"):
        tracker.draw(astronaut, [face], opacity=2.0)
    with pytest.raises(Face3DMMError, match="unknown extent 'hat': choose one of face, head"):
        tracker.draw(astronaut, [face], extent="hat")
    stranger = replace(face, parameters=replace(face.parameters, model_digest="0" * 64))
    with pytest.raises(Face3DMMError, match="the tracker that found it"):
        tracker.draw(astronaut, [stranger])


def test_a_closed_tracker_says_so_and_its_faces_remain(astronaut: np.ndarray, default_model: MorphableModel) -> None:
    with FaceTracker(model=default_model) as tracker:
        (face,) = tracker.track(astronaut)
        tracker.draw(astronaut, [face])
    tracker.close()
    for call in (
        lambda: tracker.track(astronaut),
        lambda: tracker.track_pictures([astronaut]),
        lambda: tracker.draw(astronaut, [face]),
        tracker.reset,
    ):
        with pytest.raises(Face3DMMError, match="this FaceTracker is closed: open another one"):
            call()
    assert len(face.mesh().vertices) == default_model.vertex_count


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"order": "gbr"}, "unknown order of colours 'gbr': choose one of bgr, rgb"),
        ({"max_faces": 0}, "max_faces"),
        ({"max_faces": "2"}, "max_faces must be a whole number"),
        ({"backend": "none"}, "no landmark backend 'none'"),
        ({"fit_method": "none"}, "unknown fit method 'none'"),
        ({"smoothing": "some"}, "unknown smoothing 'some'"),
        ({"fov": 180.0}, "field of view"),
        ({"fov": "60"}, "fov must be a number"),
        ({"model": "absent.npz"}, "absent.npz"),
        ({"camera": "absent.yaml"}, "absent.yaml"),
        ({"rectified": True}, "give camera too"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(arguments: dict, told: str) -> None:
    with pytest.raises(Face3DMMError, match=told):
        FaceTracker(**arguments)


def test_a_wider_lens_brings_the_face_nearer(face: Face, astronaut: np.ndarray, default_model: MorphableModel) -> None:
    with FaceTracker(model=default_model, fov=90.0) as wide:
        (near,) = wide.track(astronaut)
    assert near.pose.translation[2] == pytest.approx(face.pose.translation[2] * np.tan(np.radians(30.0)), rel=1e-3)


def test_before_a_calibrated_camera_the_mesh_projects_onto_the_landmarks(
    astronaut: np.ndarray, default_model: MorphableModel
) -> None:
    camera = pinhole(Intrinsics(500.0, 255.5, 255.5), (512, 512))
    with FaceTracker(model=default_model, camera=camera) as tracker:
        (face,) = tracker.track(astronaut)
        with pytest.raises(Face3DMMError, match="300"):
            tracker.track(astronaut[:300])
    points = default_model.scheme(face.landmarks.scheme).interpolate(face.mesh().vertices)
    seen = points[:, :2] / points[:, 2:] * 500.0 + 255.5
    eyes = np.linalg.norm(face.landmarks.points[33] - face.landmarks.points[263])
    assert np.median(np.linalg.norm(seen - face.landmarks.points, axis=1)) < 0.03 * eyes


def test_two_faces_are_told_apart(astronaut: np.ndarray, default_model: MorphableModel) -> None:
    both = np.hstack([astronaut, cv2.convertScaleAbs(astronaut, alpha=0.7)])
    with FaceTracker(model=default_model, max_faces=2) as tracker:
        first = [face.id for face in tracker.track(both)]
        assert len(set(first)) == 2
        assert [face.id for face in tracker.track(both)] == first


def test_a_face_that_cannot_be_placed_does_not_take_its_neighbour_with_it(
    astronaut: np.ndarray, default_model: MorphableModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    locate = FaceLocator.locate

    def locate_but_the_first(self: FaceLocator, face: TrackedFace, camera: Intrinsics) -> LocatedFace:
        if face.face_id == 0:
            raise Face3DMMError("the landmarks make no face")
        return locate(self, face, camera)

    monkeypatch.setattr(FaceLocator, "locate", locate_but_the_first)
    with FaceTracker(model=default_model, max_faces=2) as tracker:
        assert [face.id for face in tracker.track(np.hstack([astronaut, astronaut]))] == [1]
        tracker.reset()
    with (
        FaceTracker(model=default_model) as tracker,
        pytest.raises(Face3DMMError, match="picture 0: the landmarks make no face"),
    ):
        tracker.track_pictures([astronaut])


def test_any_thread_may_call_one_after_another(tracker: FaceTracker, face: Face, astronaut: np.ndarray) -> None:
    drawn = tracker.draw(astronaut, [face])
    with ThreadPoolExecutor(1) as thread:
        (same,) = thread.submit(tracker.track, astronaut).result()
        np.testing.assert_array_equal(thread.submit(tracker.draw, astronaut, [face]).result(), drawn)
    assert same.id == face.id


@pytest.fixture
def folder(tmp_path: Path, astronaut: np.ndarray) -> Path:
    """A folder with what the documents' programs read: a picture, and a film of twelve images."""
    cv2.imwrite(str(tmp_path / "portrait.jpg"), astronaut)
    write_film(tmp_path / "film.mp4", 12)
    return tmp_path


def programs(document: Path) -> list[str]:
    """The programs in a document that open a tracker."""
    blocks = re.findall(r"^```python\n(.*?)^```", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [block for block in blocks if "FaceTracker(" in block]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "prints", "writes"),
    [
        ("README.md", 12, "overlay.png"),
        ("docs/python/face_tracker.md", 13, "overlay.mp4"),
    ],
)
def test_the_documents_programs_run_as_they_are(folder, repository, name, prints, writes) -> None:
    printed = "".join(run_program(program, folder) for program in programs(repository / name))
    assert len(re.findall(r"^\d.*\d", printed, re.MULTILINE)) == prints, "a face in each image"
    assert cv2.VideoCapture(str(folder / writes)).read()[1].shape == (144, 176, 3)


def test_the_readme_and_the_page_of_python_show_the_same_program(repository: Path) -> None:
    (shown,) = programs(repository / "README.md")
    assert programs(repository / "docs" / "python" / "index.md") == [shown]
    assert len(shown.splitlines()) <= 10


@pytest.mark.slow
@pytest.mark.parametrize(("name", "writes"), [("picture_to_model", "face.glb"), ("film_to_curves", "curves.csv")])
def test_a_notebooks_cells_run_in_their_order(folder: Path, repository: Path, name: str, writes: str) -> None:
    notebook = json.loads((repository / "examples" / f"{name}.ipynb").read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    run_program("\n".join("".join(cell["source"]) for cell in cells), folder)
    assert (folder / writes).stat().st_size > 1000


def test_notebooks_are_kept_without_what_they_print(repository: Path) -> None:
    notebooks = sorted((repository / "examples").glob("*.ipynb"))
    cells = [cell for path in notebooks for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    assert [cell for cell in code if cell["outputs"] or cell["execution_count"]] == []

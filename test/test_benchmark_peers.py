"""Trackers of others that the benchmarks run from folders which the user names."""

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.openseeface_peer import openseeface
from benchmarks.peer_code import import_from
from benchmarks.tddfa_peer import Tracked, tddfa
from face3dmm_ros.core.errors import Face3DMMError

FRAMES = [np.full((480, 640, 3), level, np.uint8) for level in (10, 20)]

TRACKER = """
import cv2
import numpy as np
class Tracker:
    def __init__(self, width, height, model_type, max_threads, **options):
        self.made = width, height, model_type, max_threads
    def predict(self, frame):
        model = np.random.default_rng(0).standard_normal((8, 3))
        points = 100.0 + 10.0 * model[:, :2]
        camera = np.array([[640.0, 0, 320], [0, 640, 240], [0, 0, 1]])
        guess = np.zeros(3), np.array([0.0, 0, 50])
        _, r, t = cv2.solvePnP(model, points, camera, None, useExtrinsicGuess=True, rvec=guess[0], tvec=guess[1])
        return [(*self.made, int(frame[0, 0, 0]), r.shape, t.shape)] if frame.any() else []
"""


@pytest.fixture
def openseeface_folder(tmp_path: Path) -> Path:
    """A clone with a tracker that tells what it was given, and its smallest model alone."""
    (tmp_path / "tracker.py").write_text(TRACKER)
    (tmp_path / "models").mkdir()
    (tmp_path / "models/lm_model0_opt.onnx").touch()
    return tmp_path


def test_a_module_finds_its_neighbours_and_nobody_else_does_afterwards(tmp_path: Path) -> None:
    (tmp_path / "peer_of_a_test.py").write_text("from utils_of_a_test import VALUE\n")
    (tmp_path / "utils_of_a_test.py").write_text("VALUE = 5\n")
    path = sys.path.copy()
    assert import_from(tmp_path, "peer_of_a_test").VALUE == 5
    assert sys.path == path
    assert not {"peer_of_a_test", "utils_of_a_test"} & set(sys.modules)


def test_what_a_folder_needs_and_is_not_installed_is_named(tmp_path: Path) -> None:
    (tmp_path / "peer_of_a_test.py").write_text("import not_a_package\n")
    with pytest.raises(Face3DMMError, match="not_a_package"):
        import_from(tmp_path, "peer_of_a_test")


def test_openseeface_tracks_the_frames_in_one_thread_with_each_model_that_is_there(openseeface_folder: Path) -> None:
    ((name, call),) = openseeface(openseeface_folder, FRAMES).items()
    assert "model 0" in name
    assert [call()[0][:5] for _ in range(3)] == [(640, 480, 0, 1, level) for level in (10, 20, 10)]


def test_openseeface_gets_rotations_as_the_opencv_that_it_was_written_for_gives_them(openseeface_folder: Path) -> None:
    (call,) = openseeface(openseeface_folder, FRAMES).values()
    assert call()[0][5:] == ((3,), (3,))


def test_openseeface_that_loses_the_face_is_no_tracked_frame(openseeface_folder: Path) -> None:
    (call,) = openseeface(openseeface_folder, [np.zeros((480, 640, 3), np.uint8)]).values()
    with pytest.raises(Face3DMMError, match="lost"):
        call()


def test_openseeface_without_models_says_how_to_get_them(openseeface_folder: Path) -> None:
    (openseeface_folder / "models/lm_model0_opt.onnx").unlink()
    with pytest.raises(Face3DMMError, match="clone of emilianavt/OpenSeeFace"):
        openseeface(openseeface_folder, FRAMES)


def test_3ddfa_that_lacks_a_file_names_it(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/mb05_120x120.pth").touch()
    with pytest.raises(Face3DMMError, match="bfm_noneck_v3"):
        tddfa(tmp_path, FRAMES, np.zeros((68, 2), np.float32))


class FakeTddfa:
    """Answers each frame with points that are all one more than those it is cropped about; boxes of a side, px."""

    def __init__(self, side: float) -> None:
        self.side = side

    def __call__(self, frame: np.ndarray, points: list[np.ndarray], crop_policy: str) -> tuple[list, list]:
        """Parameters, here the points themselves, and boxes."""
        assert crop_policy == "landmark"
        return points, [[0.0, 0.0, self.side, self.side]]

    def recon_vers(self, parameters: list[np.ndarray], boxes: list) -> list[np.ndarray]:
        """Points from parameters."""
        return [parameters[0] + 1.0]


def test_3ddfa_crops_each_frame_about_the_points_of_the_last() -> None:
    call = Tracked(FakeTddfa(100.0), FRAMES, np.zeros((68, 2), np.float32))
    assert [float(call().mean()) for _ in range(3)] == [1.0, 2.0, 3.0]


def test_3ddfa_whose_box_collapses_has_lost_the_face() -> None:
    call = Tracked(FakeTddfa(40.0), FRAMES, np.zeros((68, 2), np.float32))
    with pytest.raises(Face3DMMError, match="lost"):
        call()

"""What the viewer shows: frames of what belongs together, in Rerun's recordings, from bags and from live topics."""

import argparse
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

pytest.importorskip("rerun", reason="needs rerun-sdk: make viewer")

import rerun
from listening import listening_ports
from rerun_files import logged

from face3dmm_ros.avatar.weights.retargeting import BlendshapeWeights
from face3dmm_ros.bags.writer import BagWriter
from face3dmm_ros.cli import view
from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import pose_angles, rotation_from_pose_angles
from face3dmm_ros.core.values import Box, FaceParameters, Landmarks, TrackedFace
from face3dmm_ros.viewer.blendshape_bars import bars
from face3dmm_ros.viewer.viewed_frame import IMAGE, LANDMARKS, PARAMETERS, FrameAssembler, FrameTimes, Pace

SIZE = (64, 48)
START_NS, PERIOD_NS = 1_700_000_000_000_000_007, 33_333_333
STAMPS = [START_NS + k * PERIOD_NS for k in range(6)]


@pytest.fixture(autouse=True)
def _strict():
    """Rerun's own errors fail a test; by default they are warnings."""
    rerun.set_strict_mode(True)
    yield
    rerun.set_strict_mode(False)


@pytest.fixture
def face(default_model):
    """A face, turned by 0.3 rad, with its mouth open by 0.4."""
    model = default_model
    beta = np.zeros(model.expression_count)
    beta[model.expression_names.index("jawOpen")] = 0.4
    camera = WeakPerspective(0.2, rotation_from_pose_angles(0.0, 0.3, 0.0), np.array([32.0, 24.0]))
    points = np.array([[30.0, 20.0], [34.0, 20.0], [32.0, 28.0]], np.float32)
    return TrackedFace(
        0,
        Landmarks("ibug68", points, Box(20, 10, 24, 28), 0.9, SIZE),
        FaceParameters(camera, np.zeros(model.shape_count), beta, model.name, model.digest, "joint", 1.5, 0.9, SIZE),
    )


def write_bag(path, faces_of, *, latency_ns=0, images=True):
    """A bag with the faces of each of `STAMPS`."""
    with BagWriter(path) as bag:
        for k, stamp in enumerate(STAMPS):
            faces, time_ns = faces_of(k), stamp + latency_ns
            if images:
                bag.write_image(np.full((48, 64, 3), 40 * k, np.uint8), stamp, compressed=True, time_ns=time_ns)
            bag.write_landmarks(faces, stamp, image_size=SIZE, time_ns=time_ns)
            bag.write_parameters(faces, stamp, image_size=SIZE, model=("default", ""), method="joint", time_ns=time_ns)
    return path


def command(*arguments):
    parser = argparse.ArgumentParser()
    view.add_arguments(parser)
    return view.run(parser.parse_args([*map(str, arguments)]))


def saved(bag, tmp_path, *options):
    out = tmp_path / "out.rrd"
    assert command(bag, "--save", out, *options) == 0
    return logged(out)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def viewing(bag, port):
    """The command that serves a bag, as a terminal would start it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "face3dmm_ros.cli.main", "view", str(bag), "--web-port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Of a process in a shell's background Ctrl-C is ignored, and so it would be of this one.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=20)


# Frames.


def test_a_frame_is_finished_once_all_expected_parts_are_there():
    assembler = FrameAssembler()
    assembler.expected = frozenset({IMAGE, LANDMARKS})
    assert assembler.add(IMAGE, 1, b"picture") == []
    (frame,) = assembler.add(LANDMARKS, 1, {7: "landmarks"}, 12.5)
    assert (frame.stamp_ns, frame.image, frame.landmarks, frame.parameters) == (1, b"picture", {7: "landmarks"}, None)
    assert frame.latency_ms == {LANDMARKS: 12.5}


def test_a_frame_that_misses_a_part_goes_before_the_next_one_that_is_finished():
    assembler = FrameAssembler()
    assembler.expected = frozenset({IMAGE, LANDMARKS})
    assembler.add(LANDMARKS, 1, {})
    assembler.add(LANDMARKS, 2, {})
    first, second = assembler.add(IMAGE, 2, b"picture")
    assert (first.stamp_ns, first.image, second.stamp_ns, second.image) == (1, None, 2, b"picture")


def test_what_comes_too_late_for_its_frame_is_left_out():
    assembler = FrameAssembler()
    assembler.expected = frozenset({IMAGE})
    assembler.add(IMAGE, 2, b"picture")
    assert assembler.add(IMAGE, 1, b"late") == []
    assert assembler.finish() == []


def test_frames_do_not_wait_for_ever_for_a_part_that_does_not_come():
    assembler = FrameAssembler(capacity=2)
    assembler.expected = frozenset({IMAGE, PARAMETERS})
    finished = [frame for stamp in range(5) for frame in assembler.add(IMAGE, stamp, b"")]
    assert [frame.stamp_ns for frame in finished] == [0, 1, 2]


def test_parts_under_one_stamp_belong_to_one_frame():
    times = FrameTimes()
    for stamp in (*STAMPS, STAMPS[2]):
        assert times.time_of(f"part of {stamp}", stamp, 0) == stamp
        assert times.time_of(PARAMETERS, stamp, 0) == stamp
        times._known[stamp][1].clear()


def test_a_frame_of_which_nothing_came_before_the_next_one_keeps_its_stamp():
    times = FrameTimes()
    assert [times.time_of(IMAGE, STAMPS[k], 0) for k in (0, 2, 1, 3)] == [STAMPS[k] for k in (0, 2, 1, 3)]
    assert not times.clock.problem


def test_frames_without_a_stamp_are_told_apart_by_what_comes_again():
    times = FrameTimes()
    for arrival in STAMPS:
        parts = IMAGE, LANDMARKS, PARAMETERS
        assert {times.time_of(part, 0, arrival + k) for k, part in enumerate(parts)} == {arrival}
    assert times.clock.problem == "an image's stamp is zero"


def test_a_clip_that_begins_again_is_shown_again():
    times = FrameTimes()
    found = [times.time_of(IMAGE, stamp, k * PERIOD_NS) for k, stamp in enumerate([*STAMPS, *STAMPS])]
    assert found == [START_NS + k * PERIOD_NS for k in range(12)]


def test_a_pace_leaves_out_images_that_come_too_soon_and_says_the_same_again():
    pace = Pace(15.0)
    assert [pace.due(stamp) for stamp in STAMPS] == [True, False] * 3
    assert [pace.due(stamp) for stamp in STAMPS] == [True, False] * 3


def test_a_pace_of_zero_shows_all():
    assert all(Pace(0.0).due(stamp) for stamp in STAMPS)


# Blendshapes.


def test_bars_name_each_blendshape_or_pair_with_its_weights():
    weights = np.zeros(52)
    weights[ARKIT_NAMES.index("jawOpen")] = 0.5
    weights[ARKIT_NAMES.index("mouthSmileRight")] = 1.0
    lines = bars("face 0", weights).splitlines()
    (jaw,) = [line for line in lines if line.startswith("jawOpen ")]
    (smile,) = [line for line in lines if line.startswith("mouthSmile ")]
    assert jaw.split() == ["jawOpen", "█████", "0.50"]
    assert smile.split() == ["mouthSmile", "0.00", "██████████", "1.00"]
    assert sum(line.count("0.") + line.count("1.") for line in lines) == 52


# Bags.


def test_every_frame_of_a_bag_without_stamps_is_logged_when_it_was_recorded(face, tmp_path, capsys):
    with BagWriter(tmp_path / "bag") as bag:
        for time_ns in STAMPS:
            bag.write_image(np.zeros((48, 64, 3), np.uint8), 0, compressed=True, time_ns=time_ns)
            bag.write_landmarks([face], 0, image_size=SIZE, time_ns=time_ns)
            bag.write_parameters([face], 0, image_size=SIZE, time_ns=time_ns)
    rows = saved(tmp_path / "bag", tmp_path)
    expected = [(stamp, k) for k, stamp in enumerate(STAMPS)]
    for key in (
        "/camera/image EncodedImage:blob",
        "/face/landmarks/0 Points2D:positions",
        "/face/pose/0 Scalars:scalars",
    ):
        assert [(stamp, frame) for stamp, frame, _ in rows[key]] == expected, key
    assert not [key for key in rows if key.startswith("/latency")]
    said = "an image's stamp is zero: when images were recorded is taken for their time"
    assert capsys.readouterr().err.splitlines() == [said]


def test_every_frame_of_a_bag_is_logged_at_its_stamp_and_number(face, tmp_path):
    rows = saved(write_bag(tmp_path / "bag", lambda k: [face], latency_ns=20_000_000), tmp_path)
    expected = [(stamp, k) for k, stamp in enumerate(STAMPS)]
    for key in (
        "/camera/image EncodedImage:blob",
        "/face/landmarks/0 Points2D:positions",
        "/face/mesh/0 Mesh3D:vertex_positions",
        "/face/blendshapes/0 TextDocument:text",
        "/face/weights/0 Scalars:scalars",
        "/face/pose/0 Scalars:scalars",
        "/face/residual/0 Scalars:scalars",
        "/latency/params Scalars:scalars",
    ):
        assert [(stamp, frame) for stamp, frame, _ in rows[key]] == expected, key


def test_the_values_of_a_bag_are_logged(face, default_model, tmp_path):
    rows = saved(write_bag(tmp_path / "bag", lambda k: [face], latency_ns=20_000_000), tmp_path)
    assert np.allclose(rows["/face/landmarks/0 Points2D:positions"][0][2], face.landmarks.points)
    angles = np.degrees(pose_angles(face.parameters.camera.rotation))
    assert np.allclose(rows["/face/pose/0 Scalars:scalars"][0][2], angles)
    assert abs(angles[1]) == pytest.approx(np.degrees(0.3))
    assert rows["/face/residual/0 Scalars:scalars"][0][2] == [1.5]
    assert rows["/latency/params Scalars:scalars"][0][2] == pytest.approx([20.0])
    weights = BlendshapeWeights(default_model).of(face.parameters)
    assert np.allclose(rows["/face/weights/0 Scalars:scalars"][0][2], weights)
    (picture,) = rows["/camera/image EncodedImage:blob"][0][2]
    assert bytes(picture).startswith(b"\xff\xd8")


def test_a_mesh_lies_where_the_head_is_and_has_its_triangles_once(face, default_model, tmp_path):
    rows = saved(write_bag(tmp_path / "bag", lambda k: [face]), tmp_path)
    vertices = np.array(rows["/face/mesh/0 Mesh3D:vertex_positions"][0][2])
    focal = 32.0 / np.tan(np.radians(30.0))
    assert vertices.shape == (default_model.vertex_count, 3)
    assert vertices[:, 2].mean() == pytest.approx(focal / 200.0, abs=0.1)
    assert [frame for _, frame, _ in rows["/face/mesh/0 Mesh3D:triangle_indices"]] == [0]


def test_a_bag_that_was_written_and_not_recorded_has_no_latency(face, tmp_path):
    rows = saved(write_bag(tmp_path / "bag", lambda k: [face]), tmp_path)
    assert not [key for key in rows if key.startswith("/latency")]


def test_each_face_has_its_own_entities_and_one_that_is_lost_goes(face, tmp_path):
    other = replace(face, face_id=3)
    rows = saved(write_bag(tmp_path / "bag", lambda k: [face, other] if k < 4 else [face]), tmp_path)
    assert len(rows["/face/pose/0 Scalars:scalars"]) == 6
    assert len(rows["/face/pose/3 Scalars:scalars"]) == 4
    for path in ("landmarks", "mesh", "blendshapes"):
        assert [frame for _, frame, _ in rows[f"/face/{path}/3 Clear:is_recursive"]] == [4], path
        assert f"/face/{path}/0 Clear:is_recursive" not in rows


def test_a_bag_without_images_still_shows_heads_and_curves(face, tmp_path):
    rows = saved(write_bag(tmp_path / "bag", lambda k: [face], images=False), tmp_path)
    assert len(rows["/face/mesh/0 Mesh3D:vertex_positions"]) == 6
    assert "/camera/image EncodedImage:blob" not in rows


def test_a_rate_thins_pictures_and_meshes_and_leaves_the_curves(face, tmp_path):
    rows = saved(write_bag(tmp_path / "bag", lambda k: [face]), tmp_path, "--image-rate", "15")
    for key in ("/camera/image EncodedImage:blob", "/face/mesh/0 Mesh3D:vertex_positions"):
        assert [frame for _, frame, _ in rows[key]] == [0, 2, 4], key
    assert len(rows["/face/pose/0 Scalars:scalars"]) == 6


def test_parameters_of_another_model_are_said_not_to_be_shown(face, tmp_path, capsys):
    strange = replace(face, parameters=replace(face.parameters, model="other", model_digest="f" * 64))
    rows = saved(write_bag(tmp_path / "bag", lambda k: [strange]), tmp_path)
    assert "not shown, 6 times: the parameters are of model 'other'" in capsys.readouterr().err
    assert len(rows["/face/pose/0 Scalars:scalars"]) == 6
    assert "/face/weights/0 Scalars:scalars" not in rows


def test_a_bag_without_results_is_refused(tmp_path):
    with BagWriter(tmp_path / "bag") as bag:
        bag.write_image(np.zeros((48, 64, 3), np.uint8), STAMPS[0])
    with pytest.raises(Face3DMMError, match=r"no results of the tracker.*it has /camera/image_raw"):
        command(tmp_path / "bag", "--save", tmp_path / "out.rrd")
    assert not (tmp_path / "out.rrd").exists()


def test_a_missing_bag_is_refused(tmp_path):
    with pytest.raises(Face3DMMError, match="is not there"):
        command(tmp_path / "bag", "--save", tmp_path / "out.rrd")


def test_a_truncated_bag_is_refused(face, tmp_path):
    bag = write_bag(tmp_path / "bag", lambda k: [face])
    (storage,) = bag.glob("*.mcap")
    storage.write_bytes(storage.read_bytes()[: storage.stat().st_size // 2])
    with pytest.raises(Face3DMMError, match="damaged"):
        command(bag, "--save", tmp_path / "out.rrd")


def test_a_folder_to_save_to_that_is_missing_is_refused(tmp_path):
    with pytest.raises(Face3DMMError, match=r"is no folder to write out\.rrd to"):
        command(tmp_path / "bag", "--save", tmp_path / "missing" / "out.rrd")


def test_without_rerun_the_command_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(Face3DMMError, match=r"make viewer.*pip install 'rerun-sdk=="):
        command(tmp_path / "bag")


def test_the_version_to_install_is_the_one_that_is_required(repository):
    from face3dmm_ros.viewer.rerun_program import VERSION

    for name in ("setup.cfg", "requirements-viewer.txt"):
        assert f"rerun-sdk=={VERSION}" in (repository / name).read_text(), name


# Bags on a page and in a window.


def test_a_port_that_is_taken_is_named_before_the_bag_is_read(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(Face3DMMError, match=rf"port {port} cannot be used.*--web-port"):
            command(tmp_path / "no bag", "--web-port", port)


def test_a_window_without_a_display_is_refused_before_the_bag_is_read(tmp_path, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(Face3DMMError, match="no display to open a window on"):
        command(tmp_path / "no bag", "--native")


def test_the_page_of_a_bag_has_all_that_a_saved_file_has(face, tmp_path):
    bag, port = write_bag(tmp_path / "bag", lambda k: [face]), free_port()
    with viewing(bag, port) as process:
        address = process.stdout.readline().removeprefix("open ").strip()
        (recording,) = parse_qs(urlsplit(address).query)["url"]
        with urllib.request.urlopen(recording, timeout=20) as answer:
            (tmp_path / "page.rrd").write_bytes(answer.read())
        assert listening_ports(process.pid) == {f"127.0.0.1:{port}"}
    served, written = logged(tmp_path / "page.rrd"), saved(bag, tmp_path)
    # Not their order: Rerun writes what it has gathered as it comes.
    assert {what: len(rows) for what, rows in served.items()} == {what: len(rows) for what, rows in written.items()}


def test_ctrl_c_ends_the_page_of_a_bag_without_a_word(face, tmp_path):
    with viewing(write_bag(tmp_path / "bag", lambda k: [face]), free_port()) as process:
        line = process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert line.startswith("open http://127.0.0.1:")
    assert process.returncode == 0
    assert errors.strip() == ""

"""`face3dmm track`: whole films, offline: what is kept, what is written, and what damaged input does."""

import csv
import json
import os
import shutil
import signal
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pygltflib
import pytest
from scipy.spatial.transform import Rotation
from test_avatar_gltf import Writer, add_head

from face3dmm_ros.avatar.network.live_link_face import LIVE_LINK_NAMES
from face3dmm_ros.avatar.weights.retargeting import BlendshapeWeights
from face3dmm_ros.cli import track
from face3dmm_ros.cli.main import main
from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.core.camera import Intrinsics, metric_pose
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import FRONTAL
from face3dmm_ros.core.values import Box, Landmarks, TrackedLandmarks
from face3dmm_ros.files.frame_source import open_source, sample_clip
from face3dmm_ros.files.gltf import load_gltf
from face3dmm_ros.files.motion_jpeg import MotionJpegWriter
from face3dmm_ros.films import film_job, landmark_store
from face3dmm_ros.films.animation import write_animation
from face3dmm_ros.films.avatar_animation import AnimatedAvatar, shown_weights
from face3dmm_ros.films.curves import timecode, write_live_link
from face3dmm_ros.films.film_fitter import fit_film
from face3dmm_ros.films.film_job import FilmJob, open_film, track_film
from face3dmm_ros.films.landmark_store import LandmarkStore, LocatedFrame
from face3dmm_ros.films.locating import frames_of, locate
from face3dmm_ros.films.overlay_video import with_sound, write_overlay
from face3dmm_ros.films.parameters_file import read_parameters, write_parameters
from face3dmm_ros.films.report import doubtful_frames, gaps
from face3dmm_ros.films.tracks import FaceTrack, TrackedFilm
from face3dmm_ros.landmarks import create_backend
from face3dmm_ros.landmarks.tracker import LandmarkTracker
from face3dmm_ros.morphable_model import save_npz


def nothing(what: str, done: int, total: int) -> None:
    """Hears how far a film is."""


@pytest.fixture(scope="module")
def tracked(tmp_path_factory) -> Path:
    """The folder of the sample clip's first second."""
    out = tmp_path_factory.mktemp("film")
    assert main(["track", "sample", "--duration", "1", "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def film(tracked) -> TrackedFilm:
    return read_parameters(tracked / "params.npz")


def a_face(face_id: int = 0, shift: float = 0.0) -> TrackedLandmarks:
    points = np.random.default_rng(face_id).uniform(20.0, 80.0, (68, 2)).astype(np.float32) + np.float32(shift)
    return TrackedLandmarks(face_id, Landmarks("ibug68", points, Box(0.0, 0.0, 99.0, 99.0), 0.9, (100, 100)))


def frames(count: int) -> list[LocatedFrame]:
    return [LocatedFrame(k, 0.1 * k, (100, 100), [a_face(0, k), a_face(1, k)][: k % 3]) for k in range(count)]


def video(path: Path, times_s: list[float]) -> Path:
    """A film whose images are shown at any times."""
    with MotionJpegWriter(path, (64, 48)) as writer:
        for k, time in enumerate(times_s):
            image = np.full((48, 64, 3), 10 * k % 255, np.uint8)
            writer.write(cv2.imencode(".jpg", image)[1].tobytes(), round(1e9 * time))
    return path


# What is kept while a film is worked on


def test_landmarks_come_back_as_they_were_kept(tmp_path):
    store = LandmarkStore(tmp_path / "work", {"film": "a"})
    deviation = np.ones(68, np.float32)
    face = a_face()
    covered = np.arange(68, dtype=np.uint8)
    expression = np.arange(51, dtype=np.float32)
    marked = TrackedLandmarks(7, replace(face.landmarks, deviation=deviation, expression=expression, covered=covered))
    store.append(LocatedFrame(0, 0.0, (100, 100), [face, marked]))
    store.append(LocatedFrame(1, 0.5, (100, 100), []))
    store.finish()
    first, second = LandmarkStore(tmp_path / "work", {"film": "a"}).frames()
    assert (second.index, second.time, second.faces) == (1, 0.5, [])
    bare, full = first.faces
    assert full.face_id == 7
    np.testing.assert_array_equal(bare.landmarks.points, face.landmarks.points)
    np.testing.assert_array_equal(full.landmarks.deviation, deviation)
    np.testing.assert_array_equal(full.landmarks.expression, np.arange(51))
    np.testing.assert_array_equal(full.landmarks.covered, covered)
    assert full.landmarks.covered.dtype == np.uint8
    assert bare.landmarks.deviation is None
    assert full.landmarks.colors is None


def test_landmarks_kept_with_other_arrays_are_not_used(tmp_path, monkeypatch):
    store = LandmarkStore(tmp_path / "work", {"film": "a"})
    store.append(frames(1)[0])
    store.finish()
    monkeypatch.setattr(landmark_store, "_OPTIONAL", (*landmark_store._OPTIONAL, "depth"))
    assert LandmarkStore(tmp_path / "work", {"film": "a"}).kept == 0


def test_whole_pieces_survive_a_stop_and_are_read_from_both_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(landmark_store, "PIECE", 4)
    store = LandmarkStore(tmp_path / "work", {"film": "a"})
    for frame in frames(10):
        store.append(frame)
    again = LandmarkStore(tmp_path / "work", {"film": "a"})
    assert (again.kept, again.complete) == (8, False)
    assert [frame.index for frame in again.frames()] == list(range(8))
    assert [frame.index for frame in again.frames(backward=True)] == list(range(8))[::-1]
    assert again.last().index == 7


def test_landmarks_of_another_film_or_other_options_are_not_used(tmp_path):
    store = LandmarkStore(tmp_path / "work", {"film": "a"})
    store.append(frames(1)[0])
    store.finish()
    other = LandmarkStore(tmp_path / "work", {"film": "b"})
    assert (other.kept, other.complete) == (0, False)


def test_a_damaged_piece_is_refused(tmp_path):
    store = LandmarkStore(tmp_path / "work", {"film": "a"})
    store.append(frames(1)[0])
    store.finish()
    np.savez(tmp_path / "work" / "piece_000000.npz", index=np.zeros(3))
    with pytest.raises(Face3DMMError, match="piece"):
        list(store.frames())


def test_a_film_that_was_stopped_goes_on_with_the_same_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(landmark_store, "PIECE", 10)
    backend = create_backend()
    whole = LandmarkStore(tmp_path / "whole", {"film": "a"})
    locate(open_source("sample"), LandmarkTracker(backend, looks_per_image=1), whole, until=lambda time: time > 0.99)
    stopped = LandmarkStore(tmp_path / "stopped", {"film": "a"})
    seen = []

    class StoppedError(Exception):
        pass

    def stop(frame, image):
        seen.append(frame.index)
        if frame.index == 17:
            raise StoppedError

    with pytest.raises(StoppedError):
        locate(open_source("sample"), LandmarkTracker(backend, looks_per_image=1), stopped, seen=stop)
    stopped = LandmarkStore(tmp_path / "stopped", {"film": "a"})
    assert stopped.kept == 10
    # A face of another number: what was there before the stop names it.
    piece = next(stopped.frames())
    assert [face.face_id for face in piece.faces] == [0]
    seen.clear()
    locate(
        open_source("sample"),
        LandmarkTracker(backend, looks_per_image=1),
        stopped,
        seen=lambda frame, image: seen.append(frame.index),
        until=lambda time: time > 0.99,
    )
    assert seen == list(range(10, 30))
    for one, other in zip(whole.frames(), stopped.frames(), strict=True):
        assert [face.face_id for face in other.faces] == [0]
        apart = one.faces[0].landmarks.points - other.faces[0].landmarks.points
        assert np.linalg.norm(apart, axis=1).mean() < 0.5  # px


# Times


def test_every_image_has_its_own_time_also_where_they_are_not_even(tmp_path):
    times = [0.0, 0.021, 0.1, 0.105, 0.9, 1.4, 1.433]
    film = open_film(str(video(tmp_path / "film.mp4", times)))
    assert [time for _, time in frames_of(film)] == pytest.approx(times, abs=1e-3)
    film.close()


def test_a_time_code_counts_images_of_the_films_rate():
    assert timecode(0.0, 30.0) == "00:00:00:00.000"
    assert timecode(3661.5, 30.0) == "01:01:01:15.000"
    assert timecode(1.25, 60.0) == "00:00:01:15.000"
    assert timecode(0.9999, 29.97) == "00:00:00:29.967"
    assert timecode(86400.0 + 0.05, 30.0) == "00:00:00:01.500"


# Tracks


def test_offline_a_film_and_its_reverse_are_smoothed_alike(tmp_path, default_model):
    forward, backward = (LandmarkStore(tmp_path / name, {"film": name}) for name in ("forward", "backward"))
    located = LandmarkStore(tmp_path / "located", {"film": "a"})
    tracker = LandmarkTracker(create_backend(), looks_per_image=1)
    locate(open_source("sample"), tracker, located, until=lambda time: time > 0.99)
    shown = list(located.frames())
    for k in range(len(shown)):
        forward.append(shown[k])
        backward.append(replace(shown[-1 - k], index=k, time=shown[k].time))
    forward.finish()
    backward.finish()
    (one,), (other,) = (fit_film(store, default_model, "offline") for store in (forward, backward))
    turns = [
        (a.camera.rotation @ b.camera.rotation.T) for a, b in zip(one.parameters, other.parameters[::-1], strict=True)
    ]
    assert max(np.degrees(np.arccos(np.clip((np.trace(turn) - 1.0) / 2.0, -1.0, 1.0))) for turn in turns) < 1.0


def test_a_track_has_one_identity_and_one_colour(film):
    (face,) = film.tracks
    assert len(face.parameters) == 30
    for parameters in face.parameters[1:]:
        np.testing.assert_array_equal(parameters.alpha, face.parameters[0].alpha)
        np.testing.assert_array_equal(parameters.gamma, face.parameters[0].gamma)


def test_an_unknown_smoothing_is_refused(tmp_path, default_model):
    with pytest.raises(Face3DMMError, match="offline, constant_velocity, one_euro, none"):
        fit_film(LandmarkStore(tmp_path / "work", {}), default_model, "much")


# Files


def test_weights_have_names_and_times(tracked, film):
    rows = list(csv.DictReader((tracked / "weights.csv").open()))
    assert [int(row["frame"]) for row in rows] == list(range(30))
    assert [float(row["time_s"]) for row in rows] == pytest.approx(film.times.tolist(), abs=1e-6)
    assert set(ARKIT_NAMES) <= set(rows[0])
    assert all(0.0 <= float(row[name]) <= 1.0 for row in rows for name in ARKIT_NAMES)


def test_live_link_faces_table_has_its_61_columns_in_its_order(tracked, film, default_model):
    head, *rows = csv.reader((tracked / "arkit.csv").open())
    assert head[:2] == ["Timecode", "BlendShapeCount"]
    assert [name[0].lower() + name[1:] for name in head[2:54]] == list(LIVE_LINK_NAMES)
    assert head[54:] == [f"{part}{way}" for part in ("Head", "LeftEye", "RightEye") for way in ("Yaw", "Pitch", "Roll")]
    assert {len(row) for row in rows} == {63}
    assert {row[1] for row in rows} == {"61"}
    weights = BlendshapeWeights(default_model).of(film.tracks[0].parameters[5])
    jaw = head.index("JawOpen")
    assert float(rows[5][jaw]) == pytest.approx(float(weights[ARKIT_NAMES.index("jawOpen")]), abs=1e-4)


def test_parameters_come_back_as_they_were_written(tmp_path, film, default_model):
    write_parameters(tmp_path / "again.npz", film, default_model)
    again = read_parameters(tmp_path / "again.npz")
    np.testing.assert_array_equal(again.times, film.times)
    assert again.image_size == film.image_size
    for one, other in zip(film.tracks[0].parameters, again.tracks[0].parameters, strict=True):
        np.testing.assert_array_equal(one.beta, other.beta)
        np.testing.assert_array_equal(one.camera.rotation, other.camera.rotation)


def test_what_is_no_films_parameters_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", version=np.array(1), times=np.zeros(3))
    with pytest.raises(Face3DMMError, match="does not hold a film's parameters"):
        read_parameters(tmp_path / "other.npz")
    (tmp_path / "none.npz").write_bytes(b"PK\3\4 no archive")
    with pytest.raises(Face3DMMError):
        read_parameters(tmp_path / "none.npz")


def accessor(file: pygltflib.GLTF2, index: int) -> np.ndarray:
    """An accessor's numbers, read by this test alone."""
    described = file.accessors[index]
    width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[described.type]
    numbers = np.zeros((described.count, width), np.float32)
    blob = file.binary_blob()

    def view(which: int, kind: str, count: int) -> np.ndarray:
        return np.frombuffer(blob, kind, count, file.bufferViews[which].byteOffset)

    if described.bufferView is not None:
        numbers = view(described.bufferView, "<f4", described.count * width).reshape(-1, width).copy()
    if described.sparse is not None:
        at = view(described.sparse.indices.bufferView, "<u4", described.sparse.count)
        numbers[at] = view(described.sparse.values.bufferView, "<f4", described.sparse.count * width).reshape(-1, width)
    return numbers


def test_the_animated_head_is_at_each_key_where_the_face_is(tracked, film, default_model):
    file = pygltflib.GLTF2().load(str(tracked / "animation.glb"))
    (primitive,), (animation,) = file.meshes[0].primitives, file.animations
    keys = {channel.target.path: channel.sampler for channel in animation.channels}
    assert accessor(file, animation.samplers[0].input)[:, 0] == pytest.approx(film.times, abs=1e-6)
    values = {path: accessor(file, animation.samplers[which].output) for path, which in keys.items()}
    targets = np.array([accessor(file, target["POSITION"]) for target in primitive.targets])
    assert file.meshes[0].extras["targetNames"] == list(default_model.expression_names)
    frame = 20
    face = film.tracks[0].parameters[frame]
    weights = values["weights"].reshape(30, -1)[frame]
    x, y, z, w = values["rotation"][frame]
    at_rest = accessor(file, primitive.attributes.POSITION)
    local = at_rest + np.tensordot(weights, targets, 1)
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    shown = local @ turn.T + values["translation"][frame]
    pose = metric_pose(face.camera, Intrinsics.from_field_of_view(face.image_size, 60.0))
    wanted = pose.transform(default_model.vertices(face.alpha, face.beta)) @ FRONTAL
    assert np.abs(shown - wanted).max() < 2e-4  # m, of float32


def test_a_head_that_turns_past_half_a_turn_is_not_turned_all_the_way_round(tmp_path, film, default_model):
    def turned(angle: float):
        face = film.tracks[0].parameters[0]
        spin = np.array([[np.cos(angle), -np.sin(angle), 0.0], [np.sin(angle), np.cos(angle), 0.0], [0.0, 0.0, 1.0]])
        return replace(face, camera=replace(face.camera, rotation=spin @ FRONTAL))

    track = FaceTrack(0, np.arange(8, dtype=np.int32), [turned(angle) for angle in np.linspace(2.8, 3.5, 8)])
    write_animation(tmp_path / "roll.glb", film, track, default_model, 60.0)
    file = pygltflib.GLTF2().load(str(tmp_path / "roll.glb"))
    (rotations,) = (
        accessor(file, file.animations[0].samplers[channel.sampler].output)
        for channel in file.animations[0].channels
        if channel.target.path == "rotation"
    )
    assert (rotations[1:] * rotations[:-1]).sum(axis=1).min() > 0.9


def test_an_animation_is_binary_gltf(tmp_path, film, default_model):
    with pytest.raises(Face3DMMError, match=r"\.glb"):
        write_animation(tmp_path / "head.obj", film, film.tracks[0], default_model, 60.0)


def test_the_overlay_has_every_image(tracked):
    read = cv2.VideoCapture(str(tracked / "overlay.mp4"))
    count = 0
    while read.read()[0]:
        count += 1
    assert count == 30


def test_the_overlay_leaves_out_what_lies_over_a_face(film, default_model, tmp_path):
    few = replace(film, times=film.times[:3])

    def changed(covered: int) -> int:
        """In how many pixels the overlay of the third image differs much from the image."""
        told = replace(a_face().landmarks, covered=np.full(478, covered, np.uint8))
        faces = [TrackedLandmarks(track.face_id, told) for track in film.tracks]
        located = [LocatedFrame(k, time, film.image_size, faces) for k, time in enumerate(few.times)]
        path = tmp_path / f"{covered}.mp4"
        write_overlay(path, few, located, open_film("sample"), default_model, "shaded", "face")
        drawn, plain = cv2.VideoCapture(str(path)), open_film("sample")
        for _ in range(3):
            picture, _ = drawn.read()[1], plain.grab()
        return int((np.abs(picture.astype(int) - plain.retrieve()).max(axis=2) > 50).sum())  # more than JPEG changes

    assert changed(255) < 0.1 * changed(0)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs FFmpeg's program (apt install ffmpeg)")
def test_the_overlay_has_the_films_sound_and_times(tmp_path):
    film = tmp_path / "film.mkv"
    times = [0.0, 0.1, 0.117, 0.13, 0.5, 0.6]
    picture = video(tmp_path / "picture.mp4", times)
    made = f"ffmpeg -v error -y -i {picture} -f lavfi -i sine=duration=0.7 -c:v copy -c:a aac {film}"
    assert os.system(made) == 0
    overlay = video(tmp_path / "overlay.mp4", times)
    assert with_sound(overlay, film) == ""
    assert [time for _, time in frames_of(open_film(str(overlay)))] == pytest.approx(times, abs=1e-3)
    streams = os.popen(f"ffprobe -v error -show_entries stream=codec_type -of csv=p=0 {overlay}").read().split()
    assert sorted(streams) == ["audio", "video"]


def test_without_ffmpeg_the_overlay_stays_as_it_is_and_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    overlay = video(tmp_path / "overlay.mp4", [0.0, 0.1])
    before = overlay.read_bytes()
    assert "FFmpeg" in with_sound(overlay, overlay)
    assert overlay.read_bytes() == before


def test_the_page_has_curves_and_says_where_to_look_again(tracked):
    page = (tracked / "report.html").read_text()
    assert page.count("<img") >= 1
    assert "Face 0" in page


def test_the_least_sure_image_of_each_doubtful_stretch_is_looked_at_again(film):
    (face,) = film.tracks
    sure = [0.9, 0.4, 0.3, 0.45, 0.9, 0.9, 0.2, 0.9]
    doubtful = FaceTrack(
        0, np.arange(8, dtype=np.int32), [replace(face.parameters[0], confidence=each) for each in sure]
    )
    assert doubtful_frames(replace(film, tracks=[doubtful])) == [6, 2]


def test_gaps_are_the_times_without_the_face(film):
    (face,) = film.tracks
    seen = np.array([0, 1, 2, 10, 11, 13], np.int32)
    track = FaceTrack(0, seen, face.parameters[:6])
    ((begin, end),) = gaps(film, track)
    assert (begin, end) == pytest.approx((film.times[3], film.times[10]))


# The command


def test_what_was_worked_out_is_removed_once_the_files_are_there(tracked):
    assert {path.name for path in tracked.iterdir()} == {
        *("weights.csv", "arkit.csv", "params.npz", "animation.glb", "overlay.mp4", "report.html", "summary.json"),
    }


def test_a_film_that_is_done_is_not_done_again(tmp_path):
    job = FilmJob("sample", tmp_path / "out", view="", duration=0.3)
    outcome = track_film(job, nothing)
    written = {path: path.stat().st_mtime_ns for path in job.out.iterdir()}
    told = []
    assert track_film(job, lambda *progress: told.append(progress)) == outcome
    assert told == []
    assert {path: path.stat().st_mtime_ns for path in job.out.iterdir()} == written


@pytest.mark.parametrize("change", ["an option", "a file that is gone", "a damaged summary"])
def test_a_film_is_done_again_after(change, tmp_path):
    job = FilmJob("sample", tmp_path / "out", view="", duration=0.2)
    track_film(job, nothing)
    if change == "an option":
        job = replace(job, fov=50.0)
    elif change == "a file that is gone":
        (job.out / "arkit.csv").unlink()
    else:
        (job.out / "summary.json").write_text("[]")
    told = []
    track_film(job, lambda *progress: told.append(progress))
    assert told
    assert (job.out / "arkit.csv").is_file()


def test_several_films_go_into_folders_of_their_names(tmp_path, capsys):
    one, other = tmp_path / "one.mp4", tmp_path / "two.mp4"
    shutil.copy(sample_clip(), one)
    other.write_bytes(b"no film")
    options = ["--out", str(tmp_path / "out"), "--duration", "0.4", "--no-overlay", "--json"]
    assert main(["track", str(one), str(other), *options]) == 2
    told = capsys.readouterr()
    (line,) = told.out.splitlines()
    assert json.loads(line)["faces"] == {"0": 12}
    assert "12 images, face 0 in 12" in told.err
    assert "two.mp4 is not a readable video" in told.err
    assert "Traceback" not in told.err
    assert (tmp_path / "out" / "one" / "weights.csv").is_file()
    assert not (tmp_path / "out" / "one" / "overlay.mp4").exists()


def test_a_camera_is_not_handed_to_other_machines(tmp_path, capsys):
    words = ["--out", str(tmp_path / "out"), "--dask", "tcp://127.0.0.1:8786"]
    assert main(["track", "camera", *words]) == 2
    assert "leave out --dask" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_cluster_writes_the_same_as_this_machine_also_where_a_worker_is_killed(tmp_path, monkeypatch, capsys):
    distributed = pytest.importorskip("distributed", reason="needs Dask: pip install -r requirements-cluster.txt")
    monkeypatch.chdir(tmp_path)
    for number in range(4):
        shutil.copy(sample_clip(), f"clip{number}.mp4")
    options = ["--duration", "0.3", "--no-overlay"]
    assert main(["track", "clip0.mp4", "--out", "here", *options]) == 0
    with distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as cluster:
        pids = distributed.Client(cluster, set_as_default=False).run(os.getpid)

        def kill_one():
            while not list(Path("there").glob("*/summary.json")):
                time.sleep(0.01)
            os.kill(next(iter(pids.values())), signal.SIGKILL)

        killer = threading.Thread(target=kill_one)
        killer.start()
        films = [*(f"clip{number}.mp4" for number in range(4)), "none.mp4"]
        words = ["track", *films, "--out", "there", "--dask", cluster.scheduler_address, "--json", *options]
        assert main(words) == 2
        killer.join()
    told = capsys.readouterr()
    assert sorted(json.loads(line)["source"] for line in told.out.splitlines() if line[0] == "{") == films[:4]
    assert "none.mp4: there is no source" in told.err.splitlines()[-1]
    for number in range(4):
        assert Path(f"there/clip{number}/weights.csv").read_bytes() == Path("here/weights.csv").read_bytes().replace(
            b"clip0.mp4", f"clip{number}.mp4".encode()
        )


def test_a_bag_is_a_film_too(tmp_path):
    assert main(["synth", "--out", str(tmp_path / "synth"), "--duration", "0.3", "--size", "320x240", "--clean"]) == 0
    job = FilmJob(str(tmp_path / "synth" / "bag"), tmp_path / "out", view="")
    outcome = track_film(job, nothing)
    assert outcome["frames"] == 9
    assert outcome["faces"] == {0: 9}
    assert read_parameters(tmp_path / "out" / "params.npz").times == pytest.approx(np.arange(9) / 30.0, abs=1e-3)


def test_a_film_without_a_face_says_so(tmp_path):
    outcome = track_film(FilmJob(str(video(tmp_path / "film.mp4", [0.0, 0.1, 0.2])), tmp_path / "out"), nothing)
    assert outcome["faces"] == {}
    assert "No face was found" in (tmp_path / "out" / "report.html").read_text()
    assert read_parameters(tmp_path / "out" / "params.npz").tracks == []


@pytest.mark.parametrize("words", [["--fov", "0"], ["--duration", "nan"], ["--max-faces", "0"], ["--jobs", "0"]])
def test_options_out_of_range_are_refused_before_the_work(words, tmp_path, capsys):
    with suppress(SystemExit):
        assert main(["track", "sample", "--out", str(tmp_path / "out"), *words]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_what_is_not_there_is_refused(tmp_path, capsys):
    assert main(["track", str(tmp_path / "none.mp4"), "--out", str(tmp_path / "out")]) == 2
    assert "there is no source" in capsys.readouterr().err


def test_a_model_without_landmarks_is_refused_before_the_work(tmp_path, default_model, capsys):
    save_npz(replace(default_model, landmarks={}, contours={}), tmp_path / "bare.npz")
    words = ["track", "sample", "--out", str(tmp_path / "out"), "--model", str(tmp_path / "bare.npz")]
    assert main(words) == 2
    assert "`face3dmm model correspond FILE` finds them" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_ctrl_c_ends_a_cameras_film_and_interrupts_all_else():
    stop = track._Stop()
    try:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert not stop()  # a camera's film asks
        signal.raise_signal(signal.SIGINT)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        stop.close()


def test_a_live_sources_images_are_kept_as_a_film(tmp_path, monkeypatch):
    source = open_source("sample")
    source.live = True
    monkeypatch.setattr(film_job, "open_source", lambda word: source if word == "0" else open_source(word))
    asked = iter([False] * 8 + [True] * 100)
    outcome = track_film(FilmJob("0", tmp_path / "out"), nothing, lambda: next(asked))
    assert outcome["frames"] == 8
    for name in ("film.mp4", "overlay.mp4"):
        assert len(list(frames_of(open_film(str(tmp_path / "out" / name))))) == 8


def test_live_links_table_of_a_face_in_some_images_has_rows_for_these(tmp_path, film, default_model):
    (face,) = film.tracks
    some = FaceTrack(0, face.frames[[3, 9]], [face.parameters[3], face.parameters[9]])
    write_live_link(tmp_path / "some.csv", film, some, BlendshapeWeights(default_model))
    assert len((tmp_path / "some.csv").read_text().splitlines()) == 3


# An avatar of one's own


def animated(path: Path) -> tuple[pygltflib.GLTF2, dict[tuple[int, str], np.ndarray]]:
    """A file and the values of its last animation, by node and what moves."""
    file = pygltflib.GLTF2().load(str(path))
    animation = file.animations[-1]
    values = {
        (channel.target.node, channel.target.path): accessor(file, animation.samplers[channel.sampler].output)
        for channel in animation.channels
    }
    return file, values


def write_avatar(path: Path, change=None) -> Path:
    """A head with all of ARKit's morph targets on a bone that a matrix places, and an eye's bone."""
    writer = Writer()
    mesh = add_head(writer, [name for name in ARKIT_NAMES if not name.startswith("eyeLook")])
    pupil = writer.node(root=False, name="pupil")
    eye = writer.node(root=False, name="leftEye", translation=[0.03, 0.05, 0.08], children=[pupil])
    ball = writer.node(root=False, name="face", mesh=mesh)
    turned = [0.0, 0.0, -1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.5, 0.0, 1.0]  # column by column
    head = writer.node(root=False, name="Head", matrix=turned, children=[ball, eye])
    writer.node(name="Neck", rotation=[0.0, 0.38268343, 0.0, 0.92387953], children=[head])
    if change is not None:
        change(writer)
    return writer.save(path)


def test_an_avatars_morph_targets_follow_the_weights(tmp_path, film, default_model):
    retargeting = BlendshapeWeights(default_model)
    AnimatedAvatar(write_avatar(tmp_path / "me.glb")).write(tmp_path / "out.glb", film, film.tracks[0], retargeting)
    file, values = animated(tmp_path / "out.glb")
    (node,) = (k for k, each in enumerate(file.nodes) if each.name == "face")
    names = file.meshes[0].extras["targetNames"]
    shown = values[node, "weights"].reshape(len(film.times), len(names))
    wanted = shown_weights(film.tracks[0], film.times, retargeting)
    jaw = names.index("jawOpen")
    np.testing.assert_allclose(shown[:, jaw], wanted[:, ARKIT_NAMES.index("jawOpen")], atol=1e-6)


def test_an_avatars_head_turns_in_the_world_as_the_persons_does(tmp_path, film, default_model):
    path = write_avatar(tmp_path / "me.glb")
    AnimatedAvatar(path).write(tmp_path / "out.glb", film, film.tracks[0], BlendshapeWeights(default_model))
    file, values = animated(tmp_path / "out.glb")
    (head,) = (k for k, each in enumerate(file.nodes) if each.name == "Head")
    assert file.nodes[head].matrix is None
    before = load_gltf(path).nodes
    neck = before[before[head].parent].matrix[:3, :3]
    x, y, z, w = values[head, "rotation"][12]
    local = Rotation.from_quat([x, y, z, w]).as_matrix()
    turned = neck @ local @ np.linalg.inv(neck @ before[head].matrix[:3, :3])
    np.testing.assert_allclose(turned, FRONTAL @ film.tracks[0].parameters[12].camera.rotation, atol=1e-5)
    again = load_gltf(tmp_path / "out.glb").nodes[head]
    np.testing.assert_allclose(again.matrix, before[head].matrix, atol=1e-6)


def test_an_eyes_bone_turns_where_no_morph_target_does(tmp_path, film, default_model):
    AnimatedAvatar(write_avatar(tmp_path / "me.glb")).write(
        tmp_path / "out.glb", film, film.tracks[0], BlendshapeWeights(default_model)
    )
    file, values = animated(tmp_path / "out.glb")
    (eye,) = (k for k, each in enumerate(file.nodes) if each.name == "leftEye")
    assert np.ptp(values[eye, "rotation"], axis=0).max() > 1e-3


def test_all_else_of_an_avatars_file_stays(tmp_path, film, default_model):
    path = write_avatar(tmp_path / "me.glb")
    AnimatedAvatar(path).write(tmp_path / "out.glb", film, film.tracks[0], BlendshapeWeights(default_model))
    before, after = pygltflib.GLTF2().load(str(path)), pygltflib.GLTF2().load(str(tmp_path / "out.glb"))
    assert after.accessors[: len(before.accessors)] == before.accessors
    assert after.binary_blob().startswith(before.binary_blob())
    assert after.materials == before.materials


def test_an_avatar_that_cannot_be_animated_is_refused_before_the_work(tmp_path, capsys):
    (tmp_path / "me.glb").write_bytes(b"no avatar")
    assert main(["track", "sample", "--avatar", f"gltf:{tmp_path / 'me.glb'}", "--out", str(tmp_path / "out")]) == 2
    assert "expected a glTF 2.0, GLB or VRM file" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_avatar_is_named_as_it_is_live(tmp_path, capsys):
    for name in ("me.glb", "gltf:", "head"):
        assert main(["track", "sample", "--avatar", name, "--out", str(tmp_path / "out")]) == 2
        assert f"gltf:PATH, a .glb or .vrm file, not {name!r}" in capsys.readouterr().err


def test_a_film_is_smoothed_by_the_filter_that_is_named(tmp_path, default_model):
    store = LandmarkStore(tmp_path / "located", {"film": "a"})
    locate(
        open_source("sample"),
        LandmarkTracker(create_backend(), looks_per_image=1),
        store,
        until=lambda time: time > 0.3,
    )
    last = {}
    for name in ("constant_velocity", "one_euro", "none"):
        (track,) = fit_film(store, default_model, name)
        last[name] = track.parameters[-1].camera.translation
    assert not np.array_equal(last["constant_velocity"], last["one_euro"])
    assert not np.array_equal(last["one_euro"], last["none"])


def test_the_command_animates_an_avatar(tmp_path):
    job = FilmJob("sample", tmp_path / "out", view="", duration=0.2, avatar=str(write_avatar(tmp_path / "me.glb")))
    track_film(job, nothing)
    assert load_gltf(tmp_path / "out" / "avatar.glb").nodes

"""The command line as its users type it."""

import argparse
import errno
import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh

from face3dmm_ros.cli import fit, fit_pictures
from face3dmm_ros.cli.fit_pictures import _Face, _Picture, _Writer
from face3dmm_ros.cli.main import VERBS, main
from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import FRONTAL
from face3dmm_ros.core.values import Box, FaceParameters, Landmarks, TrackedFace
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.rendering.texture import unwrap

CAMERA = """
image_width: 512
image_height: 512
camera_name: test
camera_matrix: {rows: 3, cols: 3, data: [443, 0, 255.5, 0, 443, 255.5, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0, 0, 0, 0, 0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [443, 0, 255.5, 0, 0, 443, 255.5, 0, 0, 0, 1, 0]}
"""


@pytest.fixture
def portrait(tmp_path: Path, astronaut: np.ndarray) -> Path:
    path = tmp_path / "portrait.png"
    cv2.imwrite(str(path), astronaut)
    return path


def test_fit_writes_parameters_meshes_and_overlay(
    portrait: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "result"
    assert main(["fit", str(portrait), "--out", str(out)]) == 0
    assert "face 0" in capsys.readouterr().out
    record = json.loads((out / "params.json").read_text())
    (face,) = record["faces"]
    assert len(face["gamma"]) == 8
    R = np.array(face["rotation"])
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-9)
    assert len(face["beta"]) == 52
    assert face["beta_deviation"].keys() == face["beta"].keys()
    assert all(deviation > 0.0 for deviation in face["beta_deviation"].values())
    np.testing.assert_allclose(np.linalg.norm(face["gaze"], axis=1), np.ones(3))
    assert all(0.0 <= weight <= 1.0 for weight in face["beta"].values())
    for suffix in ("obj", "ply", "glb"):
        mesh = trimesh.load(out / f"mesh.{suffix}", force="mesh", process=False)
        assert len(mesh.faces) > 8000
        if suffix != "glb":  # whose colours, beside its material, trimesh does not read
            assert len(np.unique(mesh.visual.vertex_colors[:, :3], axis=0)) > 1000
        assert 0.15 < np.ptp(mesh.vertices[:, 1]) < 0.45  # a head, in metres
    overlay, image = cv2.imread(str(out / "overlay.png")), cv2.imread(str(portrait))
    assert overlay.shape == image.shape
    assert (overlay != image).any()


def test_fit_prints_what_it_found_for_scripts(
    portrait: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    black, out = tmp_path / "black.png", tmp_path / "result"
    write_black_picture(black)
    assert main(["fit", str(portrait), str(black), "--out", str(out), "--texture-size", "0", "--json"]) == 2
    told = capsys.readouterr()
    (line,) = told.out.splitlines()
    record = json.loads(line)
    (picture,) = record["pictures"]
    written = json.loads((out / "portrait" / "params.json").read_text())
    assert picture == {"source": str(portrait), "out": str(out / "portrait"), **written}
    assert record["out"] == str(out)
    assert record["identity"] is None
    assert record["skipped"].keys() == {str(black)}
    assert "face 0: pitch" in told.err


def test_fit_leaves_the_mean_skin_where_colours_are_not_wanted(portrait: Path, tmp_path: Path) -> None:
    command = ["fit", str(portrait), "--out", str(tmp_path), "--texture-size", "0", "--no-estimate-colors"]
    assert main(command) == 0
    (face,) = json.loads((tmp_path / "params.json").read_text())["faces"]
    assert face["gamma"] == []


@pytest.mark.slow
def test_fit_writes_a_texture_with_what_the_picture_hides(
    portrait: Path, tmp_path: Path, default_model: MorphableModel
) -> None:
    """Ears have folds, and the hair behind them strands, where a smooth continuation had neither."""
    assert main(["fit", str(portrait), "--out", str(tmp_path), "--texture-size", "512"]) == 0
    mesh = trimesh.load(tmp_path / "mesh.glb", force="mesh", process=False)
    texture = np.asarray(mesh.visual.material.baseColorTexture.convert("L"), np.float32)
    of_texture = unwrap(default_model).vertices
    behind = default_model.mean[of_texture, 2] < -150.0
    for shown in (default_model.regions["ears"][of_texture] > 0.9, behind):
        u, v = np.moveaxis((mesh.visual.uv[shown] * [1, -1] + [0, 1]) * 512, -1, 0).astype(int) % 512
        fine = texture - cv2.GaussianBlur(texture, (0, 0), 6.0)
        assert fine[v, u].std() > 3.0


@pytest.mark.slow
def test_fit_takes_every_face_in_the_picture(tmp_path: Path, astronaut: np.ndarray) -> None:
    path = tmp_path / "two.png"
    cv2.imwrite(str(path), np.hstack([astronaut, cv2.convertScaleAbs(astronaut, alpha=0.8)]))
    out = tmp_path / "result"
    assert main(["fit", str(path), "--out", str(out)]) == 0
    assert len(json.loads((out / "params.json").read_text())["faces"]) == 2
    assert {"mesh.obj", "mesh_1.obj"} <= {file.name for file in out.iterdir()}


@pytest.mark.slow
def test_fit_takes_several_pictures_each_on_its_own(
    portrait: Path, tmp_path: Path, astronaut: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    mirrored, black = tmp_path / "mirrored.png", tmp_path / "black.png"
    cv2.imwrite(str(mirrored), astronaut[:, ::-1])
    write_black_picture(black)
    out = tmp_path / "result"
    assert main(["fit", str(portrait), str(black), str(mirrored), "--out", str(out), "--texture-size", "0"]) == 2
    assert "no face in" in capsys.readouterr().err
    assert {folder.name for folder in out.iterdir()} == {"portrait", "mirrored"}
    for folder in out.iterdir():
        assert len(json.loads((folder / "params.json").read_text())["faces"]) == 1


@pytest.mark.slow
def test_fit_makes_one_identity_of_several_pictures_of_a_person(
    portrait: Path, tmp_path: Path, astronaut: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "two people" / "portrait.png"
    other.parent.mkdir()
    small = cv2.resize(astronaut[:256, 100:356], (160, 160))
    cv2.imwrite(str(other), cv2.hconcat([cv2.copyMakeBorder(small, 0, 352, 0, 0, 0), astronaut[:, ::-1]]))
    out = tmp_path / "result"
    command = ["fit", str(portrait), str(other), "--same-person", "--out", str(out), "--texture-size", "0"]
    assert main(command) == 0
    assert "shows 2 faces" in capsys.readouterr().err
    records = [json.loads((out / name / "params.json").read_text()) for name in ("portrait", "portrait_1")]
    first, second = (record["faces"][0] for record in records)
    assert first["alpha"] == second["alpha"]
    assert second["scale_px_per_mm"] == pytest.approx(first["scale_px_per_mm"], rel=0.1)  # the larger face
    assert all(len(record["faces"]) == 1 for record in records)
    identity = json.loads((out / "identity.json").read_text())
    assert identity["alpha"] == first["alpha"]
    assert identity["gamma"] == first["gamma"] == second["gamma"]
    assert len(identity["gamma"]) == 8
    assert sorted(identity["uncertainty_mm"], reverse=True) == identity["uncertainty_mm"]
    mesh = trimesh.load(out / "identity.ply", force="mesh", process=False)
    assert len(np.unique(mesh.visual.vertex_colors[:, :3], axis=0)) > 1000
    assert {"identity.obj", "identity.glb"} <= {file.name for file in out.iterdir()}


def test_fit_under_a_calibrated_camera_says_where_the_face_is(portrait: Path, tmp_path: Path) -> None:
    camera = tmp_path / "camera.yaml"
    camera.write_text(CAMERA)
    out = tmp_path / "result"
    assert main(["fit", str(portrait), "--camera", str(camera), "--out", str(out), "--texture-size", "0"]) == 0
    (face,) = json.loads((out / "params.json").read_text())["faces"]
    x, y, z = face["in_camera"]["position_m"]
    assert 0.3 < z < 1.5
    seen = 443.0 * np.array([x, y]) / z + 255.5
    # Weak perspective says the same of the image, nearly.
    np.testing.assert_allclose(seen, face["translation_px"], atol=5.0)


def test_fit_takes_a_calibration_for_resized_and_for_rectified_pictures(portrait: Path, tmp_path: Path) -> None:
    camera, half = tmp_path / "camera.yaml", tmp_path / "half.png"
    camera.write_text(CAMERA.replace("[443, 0, 255.5, 0, 0, 443,", "[886, 0, 255.5, 0, 0, 886,"))
    cv2.imwrite(str(half), cv2.resize(cv2.imread(str(portrait)), (256, 256), interpolation=cv2.INTER_AREA))
    positions = []
    for picture, options in ((portrait, []), (half, []), (portrait, ["--rectified"])):
        out = tmp_path / f"out{len(positions)}"
        arguments = ["fit", str(picture), "--camera", str(camera), "--out", str(out), "--texture-size", "0", *options]
        assert main(arguments) == 0
        (face,) = json.loads((out / "params.json").read_text())["faces"]
        positions.append(np.array(face["in_camera"]["position_m"]))
    assert np.linalg.norm(positions[1] - positions[0]) < 0.02 * positions[0][2]
    assert positions[2][2] == pytest.approx(2.0 * positions[0][2], rel=0.05)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--rectified"], "--camera"),
        (["--same-person", "--face", "3"], "has no face 3"),
        (["--face", "0"], "--same-person"),
        (["--same-person", "--face", "0", "--face", "0"], "once for each of the 1 pictures"),
        (["--same-person", "--fit-method", "alternating"], "joint"),
        (["--camera", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_fit_refuses_options_that_do_not_go_together(
    portrait: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], complaint: str
) -> None:
    assert main(["fit", str(portrait), "--out", str(tmp_path / "out"), *options]) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def write_black_picture(path: Path) -> None:
    cv2.imwrite(str(path), np.zeros((200, 200, 3), np.uint8))


@pytest.mark.parametrize(
    ("name", "write", "complaint"),
    [
        ("black.png", write_black_picture, "no face"),
        ("empty.png", lambda path: path.write_bytes(b""), "not a picture"),
        ("text.png", lambda path: path.write_text("hello"), "not a picture"),
        ("missing.png", lambda path: None, "No such file"),
    ],
)
def test_fit_says_in_one_line_what_is_wrong_with_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, write, complaint: str
) -> None:
    path = tmp_path / name
    write(path)
    assert main(["fit", str(path), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.strip().count("\n") == 0
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("--model", "nowhere.npz", "nowhere.npz"),
        ("--backend", "magic", "facemesh"),
        ("--fit-method", "magic", "joint"),
        ("--fov", "200", "field of view"),
    ],
)
def test_fit_refuses_options_that_cannot_be(
    portrait: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, complaint: str
) -> None:
    assert main(["fit", str(portrait), "--out", str(tmp_path / "out"), option, value]) == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize("place", ["out", "out/overlay.png/", "out/mesh.glb/"])
def test_fit_looks_for_the_place_of_its_output_before_the_work(
    portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    if place.endswith("/"):
        (tmp_path / place).mkdir(parents=True)
    else:
        (tmp_path / place).touch()
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("the picture was read"))
    assert main(["fit", str(portrait), "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path / place) in line


@pytest.mark.parametrize(
    "arguments",
    [["fit", "a.png", "--nothere"], ["fit", "a.png", "--max-faces", "9" * 5000], ["fit"], ["evaluate", "dataset"]],
)
def test_arguments_that_are_none_are_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("face3dmm")
    assert len(line) < 800


@pytest.mark.parametrize("arguments", [["--out", ""], ["--out="], ["--out", "null\0"]])
def test_an_empty_output_or_one_with_a_null_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "picture.png", *arguments]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_png_that_ends_early_is_one_line(portrait: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """libpng writes to the descriptor itself."""
    portrait.write_bytes(portrait.read_bytes()[:100_000])
    assert main(["fit", str(portrait), "--out", str(portrait.parent / "out")]) == 2
    assert len(capfd.readouterr().err.splitlines()) == 1


def test_the_overlay_of_fit_covers_the_face_or_where_asked_for_the_head(portrait: Path, tmp_path: Path) -> None:
    image, covered = cv2.imread(str(portrait)), []
    for extent in ("face", "head"):
        out = tmp_path / extent
        assert main(["fit", str(portrait), "--out", str(out), "--texture-size", "0", "--extent", extent]) == 0
        covered.append(np.count_nonzero((cv2.imread(str(out / "overlay.png")) != image).any(axis=2)))
    assert covered[0] < 0.8 * covered[1]


def test_fit_without_an_overlay_is_no_success(
    portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_opengl(*_: object, **__: object) -> None:
        raise Face3DMMError("there is no OpenGL")

    monkeypatch.setattr(fit_pictures.FaceRenderer, "of", no_opengl)
    assert main(["fit", str(portrait), "--out", str(tmp_path / "out"), "--texture-size", "0"]) == 2
    assert capsys.readouterr().err == "face3dmm fit: no overlay.png, because there is no OpenGL\n"
    assert (tmp_path / "out" / "params.json").exists()


def test_what_the_system_refuses_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fit, "run", full)
    assert main(["fit", "picture.png", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "face3dmm fit: [Errno 28] No space left on device\n"


def test_an_error_is_one_short_line_of_what_can_be_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> int:
        raise Face3DMMError("in\x1b[31m two\n  lines: \udce9" + 10_000 * "x" + " the end")

    monkeypatch.setattr(fit, "run", fails)
    assert main(["fit", "picture.png"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("face3dmm fit: in\\x1b[31m two lines: \\udce9xxx")
    assert line.endswith("xxx the end")
    assert len(line) < 1000


def test_warnings_of_libraries_are_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    def warns(*_: object) -> int:
        warnings.warn("invalid value encountered", RuntimeWarning, stacklevel=1)
        return 0

    monkeypatch.setattr(fit, "run", warns)
    monkeypatch.setattr(sys, "warnoptions", [])
    assert main(["fit", "picture.png"]) == 0
    assert capsys.readouterr().err == ""
    assert not recwarn.list


@pytest.mark.parametrize("content", [b"\xff\xd8\xff", b"II*\0\x08\0\0\0", b"MThd", b"\0\0\0\x18ftypmp42"])
def test_opencv_ffmpeg_and_pillow_are_silent_about_damaged_files(tmp_path: Path, content: bytes) -> None:
    """In a process of its own: they write to stderr's descriptor, and read how much once."""
    path = tmp_path / "damaged"
    path.write_bytes(content + bytes(range(256)))
    program = (
        "import logging, sys, cv2, numpy as np\n"
        "import face3dmm_ros.files.captures, face3dmm_ros.files.picture_decoding\n"
        "cv2.imdecode(np.frombuffer(open(sys.argv[1], 'rb').read(), np.uint8), cv2.IMREAD_COLOR)\n"
        "cv2.VideoCapture(sys.argv[1]).grab()\n"
        "logging.getLogger('PIL.TiffImagePlugin').error('More samples per pixel than can be decoded')\n"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OPENCV_")}
    command = [sys.executable, "-c", program, str(path)]
    shown = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    assert shown.stderr == ""


@pytest.mark.parametrize("verb", [*VERBS, "evaluate dataset", "evaluate bag"])
def test_the_help_of_every_verb_has_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([*verb.split(), "--help"])
    assert end.value.code == 0
    assert f"  face3dmm {verb}" in capsys.readouterr().out


def test_a_shell_completes_verbs_and_their_options(tmp_path: Path) -> None:
    pytest.importorskip("argcomplete", reason="needs argcomplete: pip install argcomplete")
    for line, expected in (("face3dmm tr", {"track", "train"}), ("face3dmm track --no-ov", {"--no-overlay"})):
        answer = tmp_path / "answer"
        asked = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line))}
        asked |= {"_ARGCOMPLETE_STDOUT_FILENAME": str(answer), "_ARGCOMPLETE_IFS": " "}
        subprocess.run([sys.executable, "-m", "face3dmm_ros.cli.main"], env=os.environ | asked, check=True)
        assert {word.strip() for word in answer.read_text().split(" ")} - {""} == expected


def test_help_and_import_are_light() -> None:
    """Neither torch nor ROS nor OpenGL nor OpenCV is loaded by `face3dmm --help` or `import face3dmm_ros`."""
    program = (
        "import sys, face3dmm_ros\n"
        "from face3dmm_ros.cli.main import parser\n"
        "assert 'fit' in parser([]).format_help()\n"
        "heavy = {'torch', 'rclpy', 'OpenGL', 'cv2', 'scipy', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_ctrl_c_ends_a_verb_with_one_line(
    portrait: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cv2, "imdecode", interrupted)
    assert main(["fit", str(portrait)]) == 130
    assert capsys.readouterr().err == "face3dmm fit: interrupted\n"


@pytest.mark.parametrize(("x", "seen"), [(-0.25, True), (-0.75, False), (39.25, True), (39.75, False)])
def test_a_face_takes_its_colours_from_the_pictures_pixels(
    default_model: MorphableModel, tmp_path: Path, x: float, seen: bool
) -> None:
    """Of a picture of 40 px, which ends half a pixel beyond its outermost pixels' centres; the face is smaller."""
    model, camera = default_model, WeakPerspective(0.001, FRONTAL, np.array([x, 15.0]))
    neutral = np.zeros(model.shape_count), np.zeros(model.expression_count), model.name, model.digest
    parameters = FaceParameters(camera, *neutral, "joint", 0.0, 1.0, (40, 30))
    landmarks = Landmarks("ibug68", np.zeros((68, 2), np.float32), Box(0, 0, 40, 30), 1.0, (40, 30))
    green = np.tile(np.uint8([0, 255, 0]), (30, 40, 1))
    options = argparse.Namespace(texture_size=0, fov=60.0, fit_method="joint", opacity=1.0, extent="face")
    picture = _Picture(tmp_path / "picture.png", green, [_Face(TrackedFace(0, landmarks, parameters), None)])
    (colored,) = _Writer(options, model, None).write(picture, tmp_path)
    assert (colored.visibility > 0.0).any() == seen
    assert (colored.rgb == [0, 255, 0]).all(axis=1).any() == seen


def test_ctrl_c_during_imports_ends_the_process():
    """An exception would get lost: importlib's own callbacks swallow it, and the program goes on."""
    program = (
        "import os, signal, weakref\n"
        "from face3dmm_ros.cli.main import ended_by_interrupt\n"
        "class Imported: pass\n"
        "with ended_by_interrupt():\n"
        "    it = Imported()\n"
        "    kept = weakref.ref(it, lambda _: os.kill(os.getpid(), signal.SIGINT))\n"
        "    del it\n"
        "print('went on')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGINT
    assert done.stdout == done.stderr == ""


def test_ctrl_c_is_as_it_was_once_the_arguments_are_read(capsys):
    before = signal.getsignal(signal.SIGINT)
    main(["fit", "nowhere.png"])
    assert signal.getsignal(signal.SIGINT) is before

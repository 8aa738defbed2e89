"""The command line as its users type it."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh

from face3dmm_ros.cli.main import main


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
    R = np.array(face["rotation"])
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-9)
    assert len(face["beta"]) == 51
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


def test_fit_takes_every_face_in_the_picture(tmp_path: Path, astronaut: np.ndarray) -> None:
    path = tmp_path / "two.png"
    cv2.imwrite(str(path), np.hstack([astronaut, cv2.convertScaleAbs(astronaut, alpha=0.8)]))
    out = tmp_path / "result"
    assert main(["fit", str(path), "--out", str(out)]) == 0
    assert len(json.loads((out / "params.json").read_text())["faces"]) == 2
    assert {"mesh.obj", "mesh_1.obj"} <= {file.name for file in out.iterdir()}


def write_black_picture(path: Path) -> None:
    cv2.imwrite(str(path), np.zeros((200, 200, 3), np.uint8))


@pytest.mark.parametrize(
    ("name", "write", "complaint"),
    [
        ("black.png", write_black_picture, "no face"),
        ("empty.png", lambda path: path.write_bytes(b""), "not a picture"),
        ("text.png", lambda path: path.write_text("hello"), "not a picture"),
        ("missing.png", lambda path: None, "not a file"),
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


def test_help_and_import_are_light() -> None:
    """Neither torch nor ROS nor OpenGL nor OpenCV is loaded by `face3dmm --help` or `import face3dmm_ros`."""
    program = (
        "import sys, face3dmm_ros\n"
        "from face3dmm_ros.cli.main import parser\n"
        "assert 'fit' in parser().format_help()\n"
        "heavy = {'torch', 'rclpy', 'OpenGL', 'cv2', 'scipy', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)

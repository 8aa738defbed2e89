"""What runs without LiteRT, dlib, OpenGL and torch: the backend `trees` and the package's own drawing."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

skimage_data = pytest.importorskip("skimage.data", reason="needs scikit-image's portrait")

ABSENT = ("ai_edge_litert", "dlib", "OpenGL", "torch")
"""Packages; importing one fails as if it were not there."""


def run_without(code: str, tmp_path: Path) -> str:
    """What code prints where none of the `ABSENT` can be imported."""
    blocked = f"import sys; sys.modules.update(dict.fromkeys({ABSENT!r}))\n"
    script = tmp_path / "script.py"
    script.write_text(blocked + textwrap.dedent(code))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_face_is_tracked_and_drawn(tmp_path: Path) -> None:
    said = run_without(
        """
        import skimage.data
        from face3dmm_ros import FaceTracker

        image = skimage.data.astronaut()
        with FaceTracker(backend="trees", order="rgb") as tracker:
            faces = tracker.track(image)
            drawn = tracker.draw(image, faces)
            print(len(faces), round(faces[0].pose.yaw), bool((drawn != image).any()))
        """,
        tmp_path,
    )
    count, yaw, changed = said.split()
    assert (count, changed) == ("1", "True")
    assert abs(float(yaw)) < 25.0


def test_a_picture_becomes_a_model(tmp_path: Path) -> None:
    run_without(
        """
        import cv2, skimage.data
        from face3dmm_ros.cli.main import main

        cv2.imwrite("portrait.png", skimage.data.astronaut()[..., ::-1])
        raise SystemExit(main(["fit", "portrait.png", "--backend", "trees", "--out", "fitted"]))
        """,
        tmp_path,
    )
    assert any((tmp_path / "fitted").rglob("*.obj"))

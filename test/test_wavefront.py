"""Wavefront OBJ: what is read of it, and what is refused."""

import os
from pathlib import Path

import numpy as np
import pytest

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.files.wavefront import read_obj, read_obj_vertices

VERTICES = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nv 0 2 .5\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "mesh.obj"
    path.write_text(text)
    return path


def test_polygons_become_fans_about_their_first_corner(tmp_path: Path) -> None:
    mesh = read_obj(written(tmp_path, VERTICES + "f 1 2 3\nf 1 3 4 5\nf 1 2 3 4 5\n"), 10, 10)
    expected = [[0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 1, 2], [0, 2, 3], [0, 3, 4]]
    np.testing.assert_array_equal(mesh.triangles, expected)


def test_of_a_corner_its_vertex_alone_is_read(tmp_path: Path) -> None:
    mesh = read_obj(written(tmp_path, VERTICES + "vt 0 0\nvn 0 0 1\nf 1/1/1 2//1 3/1\n"), 10, 10)
    np.testing.assert_array_equal(mesh.triangles, [[0, 1, 2]])


def test_negative_numbers_count_back_from_the_last_vertex(tmp_path: Path) -> None:
    mesh = read_obj(written(tmp_path, VERTICES + "f -5/-1 -4/-1 -1/-1\n"), 10, 10)
    np.testing.assert_array_equal(mesh.triangles, [[0, 1, 4]])


@pytest.mark.parametrize("text", [VERTICES + "f -3 -2 -1\nv 1 1 1\n", VERTICES + "f -6 -2 -1\n"])
def test_negative_numbers_that_are_of_other_vertices_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(Face3DMMError, match=r"from 1 to .* or, where all vertices come before them, from -"):
        read_obj(written(tmp_path, text), 10, 10)


def test_lines_may_end_as_windows_writes_them(tmp_path: Path) -> None:
    mesh = read_obj(written(tmp_path, (VERTICES + "f 1 2 3\n").replace("\n", "\r\n")), 10, 10)
    np.testing.assert_array_equal(mesh.vertices[4], [0, 2, 0.5])


def test_colours_follow_coordinates(tmp_path: Path) -> None:
    mesh = read_obj(written(tmp_path, "v 1 2 3 .1 .2 .3\nv 1 2 4 .4 .5 .6\nv 1 3 4 .4 .5 .6\nf 1 2 3\n"), 10, 10)
    assert mesh.colors is not None
    np.testing.assert_array_equal(mesh.colors[:2], [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    np.testing.assert_array_equal(mesh.vertices[1], [1, 2, 4])


def test_positions_are_read_alone(tmp_path: Path) -> None:
    assert read_obj_vertices(written(tmp_path, VERTICES), 10).shape == (5, 3)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "v 1 2\nf 1 1 1\n",
        "v 1 2 3\nv 1 2\nf 1 1 1\n",
        "v 1 2 three\nf 1 1 1\n",
        "v 1 2 3x\nf 1 1 1\n",
        "v 1 2 \x00 3\nf 1 1 1\n",
        "v 1 2 ü\nf 1 1 1\n",
        VERTICES,
        VERTICES + "f 1 2\n",
        VERTICES + "f 1 2 6\n",
        VERTICES + "f 0 1 2\n",
        VERTICES + "f 1 2 nan\n",
        VERTICES + "f 1 2 2.5\n",
        VERTICES + "f " + "1 " * 5000 + "\n",
        VERTICES + "f 1 2 3\n" * 11,
        VERTICES + "f 1 2 3 4 5\n" * 4,
        VERTICES * 3 + "f 1 2 3\n",
    ],
)  # fmt: skip
def test_damaged_files_are_refused_in_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(Face3DMMError) as refused:
        read_obj(written(tmp_path, text), 10, 10)
    assert "\n" not in str(refused.value)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "mesh.obj")
    with pytest.raises(Face3DMMError, match="pipe"):
        read_obj_vertices(tmp_path / "mesh.obj", 10)

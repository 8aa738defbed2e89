"""What was found of a model beside its file: it is attached when the model is loaded, and only to that model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_formats_npz_file import rewrite, small_model

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.morphable_model import Contour, MorphableModel, SurfacePoints, load_model, save_npz
from face3dmm_ros.morphable_model.side_file import (
    SUFFIX,
    Correspondence,
    load_side_file,
    save_side_file,
    side_file_to_write,
)

FOUND = Correspondence(
    {
        "ibug68": SurfacePoints.at_vertices(np.full(68, 4)),
        "mediapipe478": SurfacePoints.at_vertices(np.arange(478) % 5),
    },
    {"mediapipe478": Contour(np.array([10], np.int32), np.array([[0, 1]], np.int32))},
    {"skin": np.float32([1, 1, 1, 0, 0])},
)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A model's file without landmarks, with a side file."""
    path = tmp_path / "bare.npz"
    save_npz(replace(small_model(), landmarks={}, contours={}, regions={}), path)
    save_side_file(load_model(str(path)), FOUND, side(path))
    return path


def side(path: Path) -> Path:
    return path.with_name(path.name + SUFFIX)


def without_side_file(path: Path) -> MorphableModel:
    hidden = side(path).rename(path.with_name("hidden"))
    model = load_model(str(path))
    hidden.rename(side(path))
    return model


def test_a_loaded_model_has_what_its_side_file_says(bare: Path) -> None:
    model = load_model(str(bare))
    np.testing.assert_array_equal(model.scheme("mediapipe478").vertices, FOUND.landmarks["mediapipe478"].vertices)
    np.testing.assert_array_equal(model.contours["mediapipe478"].candidates, [[0, 1]])
    np.testing.assert_array_equal(model.regions["skin"], FOUND.regions["skin"])


def test_the_digest_is_the_models_own(bare: Path) -> None:
    assert load_model(str(bare)).digest == without_side_file(bare).digest


def test_the_files_own_landmarks_stay_unless_asked_otherwise() -> None:
    model = small_model()
    own, found = FOUND.added_to(model), FOUND.added_to(model, own_first=False)
    np.testing.assert_array_equal(own.landmarks["ibug68"].vertices, model.landmarks["ibug68"].vertices)
    np.testing.assert_array_equal(found.landmarks["ibug68"].vertices, FOUND.landmarks["ibug68"].vertices)
    assert "mediapipe478" in own.landmarks


def test_where_the_models_folder_cannot_be_written_it_is_among_the_users_settings(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    side(bare).unlink()
    monkeypatch.setattr("os.access", lambda *_: False)
    model = load_model(str(bare))
    path = side_file_to_write(model, bare)
    assert path.is_relative_to(tmp_path / "home")
    save_side_file(model, FOUND, path)
    assert "ibug68" in load_model(str(bare)).landmarks


def test_a_link_to_a_model_has_the_side_file_of_the_model(bare: Path, tmp_path: Path) -> None:
    link = tmp_path / "another folder" / "another name.npz"
    link.parent.mkdir()
    link.symlink_to(bare)
    assert "ibug68" in load_model(str(link)).landmarks


def test_a_folders_side_file_is_called_after_the_folder_from_within_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert side_file_to_write(small_model(), Path()) == side(tmp_path)


def test_a_side_file_of_another_model_is_refused(bare: Path) -> None:
    other = replace(small_model(), mean=small_model().mean + 1, landmarks={}, contours={}, regions={})
    save_side_file(other, FOUND, side(bare))
    with pytest.raises(Face3DMMError, match=r"is of a model with digest .*remove it"):
        load_model(str(bare))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("correspondence_version", np.int32(9)),
        ("correspondence_version", np.array(["x"])),
        ("model_digest", np.float32([1.0])),
        ("landmarks/ibug68/vertices", np.full((68, 3), 5)),
        ("landmarks/ibug68/vertices", np.full((68, 3), -1)),
        ("landmarks/ibug68/vertices", np.zeros((67, 3), np.int32)),
        ("landmarks/ibug68/weights", np.full((68, 3), np.nan, np.float32)),
        ("landmarks/ibug68/weights", np.array([[{}]], object)),
        ("landmarks/ibug68/weights", np.zeros((68, 3), np.complex64)),
        ("contours/mediapipe478/landmarks", np.array([478])),
        ("contours/mediapipe478/candidates", np.zeros((1, 0), np.int32)),
        ("regions/skin", np.zeros(4, np.uint8)),
        ("regions/skin", np.zeros(1_000_000, np.uint8)),
    ],
)
def test_a_damaged_side_file_is_refused_in_a_line_that_names_it(bare: Path, key: str, value: np.ndarray) -> None:
    rewrite(side(bare), lambda arrays: arrays.update({key: value}))
    with pytest.raises(Face3DMMError, match=side(bare).name) as caught:
        load_model(str(bare))
    assert "\n" not in str(caught.value)


def test_a_side_file_that_lacks_a_part_is_refused(bare: Path) -> None:
    rewrite(side(bare), lambda arrays: arrays.pop("landmarks/ibug68/weights"))
    with pytest.raises(Face3DMMError, match="lacks a part"):
        load_model(str(bare))


@pytest.mark.parametrize("kept", [0, 10, 500])
def test_a_side_file_that_is_cut_short_is_refused(bare: Path, kept: int) -> None:
    side(bare).write_bytes(side(bare).read_bytes()[:kept])
    with pytest.raises(Face3DMMError, match=side(bare).name):
        load_model(str(bare))


def test_a_pipe_in_its_place_is_refused(bare: Path) -> None:
    import os

    side(bare).unlink()
    os.mkfifo(side(bare))
    with pytest.raises(Face3DMMError, match="a pipe"):
        load_model(str(bare))


def test_what_is_saved_comes_back(bare: Path) -> None:
    found = load_side_file(without_side_file(bare), side(bare))
    np.testing.assert_array_equal(found.landmarks["ibug68"].weights, FOUND.landmarks["ibug68"].weights)
    np.testing.assert_array_equal(found.contours["mediapipe478"].landmarks, [10])


def test_a_model_without_a_scheme_tells_how_to_find_it() -> None:
    with pytest.raises(Face3DMMError, match=r"`face3dmm model correspond FILE` finds them$"):
        replace(small_model(), landmarks={}, contours={}).scheme("ibug68")

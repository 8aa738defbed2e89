"""A folder of blendshapes: what its files become, and what is refused."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from head_files import COLUMNS, COUNT, assert_same_in_pictures, sheet, write_obj
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.morphable_model.formats.arkit_prior import arkit_prior

NAMES = ("EyeBlink_L", "eyeBlinkRight", "browInnerUp_L", "browInnerUp_R", "jaw_open")
OURS = ("eyeBlinkLeft", "browInnerUp", "eyeBlinkRight", "jawOpen")
"""In the order of the files' names."""
LEFT, RIGHT = 6 * COLUMNS + 8, 6 * COLUMNS + 3
"""Vertices that blink."""


def meshes(rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """By name the vertices, mm."""
    neutral = sheet()[0]
    found = {"Neutral": neutral}
    for name in NAMES:
        moved = rng.normal(size=neutral.shape)
        if "Blink" in name:
            moved = np.zeros_like(neutral)
            moved[LEFT if name.endswith("L") else RIGHT, 1] = -8.0
        found[name] = neutral + moved
    return found


def write(folder: Path, files: dict[str, NDArray[np.float64]], per_mm: float = 1.0) -> Path:
    folder.mkdir()
    for name, vertices in files.items():
        write_obj(folder / f"{name}.obj", vertices * per_mm)
    (folder / "texture.png").write_bytes(b"")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "head", meshes(np.random.default_rng(0)))


@pytest.mark.parametrize("per_mm", [1.0, 0.1, 0.01, 0.001])
def test_points_are_where_the_files_own_sum_puts_them_in_whatever_unit(tmp_path: Path, per_mm: float) -> None:
    rng = np.random.default_rng(1)
    files = meshes(rng)
    model = load_model(str(write(tmp_path / "anything", files, per_mm)))
    assert (model.expression_names, model.shape_count) == (OURS, 0)

    def raw(_: NDArray[np.float64], beta: NDArray[np.float64]) -> NDArray[np.float64]:
        weights = dict(zip(("EyeBlink_L", "browInnerUp_L", "eyeBlinkRight", "jaw_open"), beta, strict=True))
        weights["browInnerUp_R"] = weights["browInnerUp_L"]
        return files["Neutral"] + sum(w * (files[name] - files["Neutral"]) for name, w in weights.items())

    assert_same_in_pictures(model, raw, rng)


def test_the_origin_is_behind_the_lids_that_blink(folder: Path) -> None:
    lids = sheet()[0][[LEFT, RIGHT]].mean(axis=0)
    np.testing.assert_allclose(load_model(str(folder)).mean, sheet()[0] - lids + [0, 4, 12], atol=1e-3)


@pytest.mark.parametrize(
    "axes",
    [
        ((-1, 0, 0), (0, 1, 0), (0, 0, -1)),
        ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
        ((-1, 0, 0), (0, 0, 1), (0, 1, 0)),
        ((1, 0, 0), (0, -1, 0), (0, 0, -1)),
        ((0, 0, 1), (1, 0, 0), (0, 1, 0)),
    ],
    ids=["looks back", "z up", "z up, looks back", "y down", "x forward, z up"],
)
def test_a_head_of_other_axes_is_turned_by_how_it_blinks(tmp_path: Path, axes: tuple[tuple[int, ...], ...]) -> None:
    ours = meshes(np.random.default_rng(0))
    theirs = {name: vertices @ np.array(axes).T for name, vertices in ours.items()}
    upright, turned = (load_model(str(write(tmp_path / str(i), each))) for i, each in enumerate((ours, theirs)))
    np.testing.assert_allclose(turned.mean, upright.mean, atol=1e-4)
    np.testing.assert_allclose(turned.expression_basis, upright.expression_basis, atol=1e-4)


def test_lids_that_meet_half_way_turn_nothing(folder: Path, tmp_path: Path) -> None:
    files = meshes(np.random.default_rng(0))
    for name, lower in (("EyeBlink_L", LEFT - COLUMNS), ("eyeBlinkRight", RIGHT - COLUMNS)):
        files[name][lower] += [0, 7.9, 1.0]
    model = load_model(str(write(tmp_path / "other", files)))
    np.testing.assert_allclose(np.ptp(model.mean, axis=0), np.ptp(sheet()[0], axis=0), rtol=1e-5)
    assert model.mean[0, 1] < model.mean[-1, 1]


def test_a_head_that_does_not_blink_is_measured_by_its_box(tmp_path: Path) -> None:
    files = {name: vertices for name, vertices in meshes(np.random.default_rng(0)).items() if "link" not in name}
    model = load_model(str(write(tmp_path / "head", files, per_mm=0.1)))
    np.testing.assert_allclose(np.ptp(model.mean, axis=0), np.ptp(sheet()[0], axis=0), rtol=1e-5)


def test_blendshapes_have_arkits_prior(folder: Path) -> None:
    model, prior = load_model(str(folder)), arkit_prior(OURS)
    np.testing.assert_array_equal(model.expression_sigma, prior.sigma)
    np.testing.assert_array_equal(model.expression_correlation, prior.correlation)


@pytest.mark.parametrize(("height", "kept"), [(100.0, True), (1500.0, False)])
def test_without_eyes_the_origin_stays_unless_it_is_far_off_the_head(tmp_path: Path, height: float, kept: bool) -> None:
    files = {
        name: v + np.array([0, height, 0]) for name, v in meshes(np.random.default_rng(0)).items() if "link" not in name
    }
    mean, box = load_model(str(write(tmp_path / "head", files))).mean, np.ptp(sheet()[0], axis=0)
    expected = files["Neutral"].min(axis=0) if kept else -box / 2
    np.testing.assert_allclose(mean.min(axis=0), expected, atol=1e-3)


@pytest.mark.parametrize("white", [1.0, 255.0])
def test_colours_of_vertices_are_the_albedo(folder: Path, white: float) -> None:
    colors = np.random.default_rng(2).uniform(0.1, 1, (COUNT, 3))
    colors[0] = 1.0
    write_obj(folder / "Neutral.obj", sheet()[0], colors=white * colors)
    np.testing.assert_allclose(load_model(str(folder)).albedo_mean, colors, atol=1e-6)


@pytest.mark.parametrize("name", ["base", "Basis", "head_neutral", "generic_neutral_mesh", "NeutralFace"])
def test_a_neutral_mesh_has_many_names(folder: Path, name: str) -> None:
    (folder / "Neutral.obj").rename(folder / f"{name}.obj")
    assert load_model(str(folder)).expression_names == OURS


def pipe(folder: Path) -> None:
    (folder / "jaw_open.obj").unlink()
    os.mkfifo(folder / "jaw_open.obj")


HOSTILE: dict[str, Callable[[Path], object]] = {
    "two neutral meshes": lambda folder: write_obj(folder / "basis.obj", sheet()[0]),
    "no neutral mesh": lambda folder: (folder / "Neutral.obj").unlink(),
    "a mesh of other vertices": lambda folder: write_obj(folder / "jaw_open.obj", sheet()[0][1:]),
    "not finite": lambda folder: write_obj(folder / "jaw_open.obj", np.full((COUNT, 3), np.nan)),
    "a neutral mesh that is not finite": lambda folder: write_obj(folder / "Neutral.obj", np.full((COUNT, 3), np.nan)),
    "blinks that are not finite": lambda folder: write_obj(folder / "EyeBlink_L.obj", np.full((COUNT, 3), np.inf)),
    "a point for a head": lambda folder: [write_obj(file, 0 * sheet()[0]) for file in folder.glob("*.obj")],
    "an ant's head": lambda folder: [write_obj(folder / f"{n}.obj", v / 1e7) for n, v in
                                     meshes(np.random.default_rng(0)).items()],
    "colours that are not finite": lambda folder: write_obj(folder / "Neutral.obj", sheet()[0],
                                                            colors=np.full((COUNT, 3), np.nan)),
    "a pipe": pipe,
    "a mesh of a terabyte": lambda folder: os.truncate(folder / "jaw_open.obj", 10**12),
    "a mesh cut short": lambda folder: (folder / "jaw_open.obj").write_text("v 1 2 3\nv 1"),
}  # fmt: skip


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_damaged_folders_are_refused_in_one_line(folder: Path, change: Callable[[Path], object]) -> None:
    change(folder)
    with pytest.raises(Face3DMMError) as refused:
        load_model(str(folder))
    assert "\n" not in str(refused.value)

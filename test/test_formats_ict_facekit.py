"""ICT-FaceKit's folder: what its files become, and what is refused."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from head_files import COUNT, assert_same_in_pictures, sheet, write_obj
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.morphable_model.formats.arkit_prior import arkit_prior

NAMES = ("browInnerUp_L", "browInnerUp_R", "eyeBlink_L", "jawOpen", "mouthSmile_R")
FULL = 26_719
"""Vertices of the original."""


def write_folder(folder: Path, rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """A folder of the layout, and by name of its files the vertices, cm."""
    folder.mkdir()
    neutral = sheet()[0] / 10
    meshes = {"generic_neutral_mesh": neutral}
    for name in (*NAMES, "identity000", "identity001", "identity002", "PupilDilate_L"):
        meshes[name] = neutral + rng.normal(size=neutral.shape) * 0.3
    for name, vertices in meshes.items():
        write_obj(folder / f"{name}.obj", vertices)
    indices = {"expressions": [*NAMES, "noseSneer_L"], "idx_to_landmark_verts": list(range(68))}
    (folder / "vertex_indices.json").write_text(json.dumps(indices))
    return meshes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_folder(tmp_path / "renamed", np.random.default_rng(0))
    return tmp_path / "renamed"


def test_points_are_where_the_files_own_sum_puts_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    meshes = write_folder(tmp_path / "anything", rng)
    model = load_model(str(tmp_path / "anything"))
    assert model.expression_names == ("browInnerUp", "eyeBlinkLeft", "jawOpen", "mouthSmileRight")

    def raw(alpha: NDArray[np.float64], beta: NDArray[np.float64]) -> NDArray[np.float64]:
        weights = dict(zip(NAMES, beta[[0, 0, 1, 2, 3]], strict=True))
        weights |= {f"identity{k:03d}": value for k, value in enumerate(alpha)}
        neutral = meshes["generic_neutral_mesh"]
        return 10 * (neutral + sum(weight * (meshes[name] - neutral) for name, weight in weights.items()))

    assert_same_in_pictures(model, raw, rng)


def test_expressions_have_arkits_prior_and_identities_variance_1(folder: Path) -> None:
    model = load_model(str(folder))
    prior = arkit_prior(model.expression_names)
    np.testing.assert_array_equal(model.expression_sigma, prior.sigma)
    np.testing.assert_array_equal(model.expression_correlation, prior.correlation)
    np.testing.assert_array_equal(model.expression_bounds, prior.bounds)
    np.testing.assert_array_equal(model.shape_sigma, np.ones(3))


def test_quads_become_triangles_and_landmarks_ibugs(folder: Path) -> None:
    model = load_model(str(folder))
    assert len(model.triangles) == 2 * len(sheet()[1])
    np.testing.assert_array_equal(model.scheme("ibug68").vertices[:, 0], np.arange(68))


def test_a_folder_without_identities_and_expressions_is_a_head_that_keeps_still(folder: Path) -> None:
    for file in folder.glob("*.obj"):
        if file.name != "generic_neutral_mesh.obj":
            file.unlink()
    model = load_model(str(folder))
    assert (model.shape_count, model.expression_count) == (0, 0)


def test_the_originals_eyeballs_are_the_origin_and_a_region(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    vertices = rng.uniform((-1, 4, 2), (1, 6, 4), (FULL, 3))
    left, right = slice(21_451, 23_021), slice(23_021, 24_591)
    vertices[left] += [4, 1, 2]
    vertices[right] += [-4, 1, 2]
    write_obj(
        tmp_path / "generic_neutral_mesh.obj", vertices, np.array([[0, 1, 2, 3], [24_591, 24_592, 24_593, 24_594]])
    )
    (tmp_path / "vertex_indices.json").write_text(
        json.dumps({"expressions": [], "idx_to_landmark_verts": list(range(68))})
    )
    model = load_model(str(tmp_path))
    boxes = [(model.mean[eye].min(axis=0) + model.mean[eye].max(axis=0)) / 2 for eye in (left, right)]
    np.testing.assert_allclose(np.mean(boxes, axis=0), 0, atol=1e-3)
    np.testing.assert_array_equal(np.flatnonzero(model.regions["eyes"]), np.arange(21_451, 24_591))
    assert len(model.triangles) == 2, "what is transparent is left out"


def shortened(folder: Path) -> None:
    file = folder / "jawOpen.obj"
    file.write_bytes(file.read_bytes()[:700])


def indices(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "vertex_indices.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return change


def pipe(folder: Path) -> None:
    (folder / "jawOpen.obj").unlink()
    os.mkfifo(folder / "jawOpen.obj")


def not_finite(folder: Path) -> None:
    vertices = sheet()[0]
    vertices[3, 1] = np.nan
    write_obj(folder / "jawOpen.obj", vertices)


HOSTILE: dict[str, Callable[[Path], object]] = {
    "a mesh cut short": shortened,
    "a mesh of other vertices": lambda folder: write_obj(folder / "jawOpen.obj", np.zeros((COUNT + 1, 3))),
    "not finite": not_finite,
    "infinite": lambda folder: write_obj(folder / "identity001.obj", np.full((COUNT, 3), 1e300)),
    "a pipe": pipe,
    "a folder for a mesh": lambda folder: ((folder / "jawOpen.obj").unlink(), (folder / "jawOpen.obj").mkdir()),
    "a mesh of a terabyte": lambda folder: os.truncate(folder / "jawOpen.obj", 10**12),
    "no JSON": lambda folder: (folder / "vertex_indices.json").write_text("{"),
    "JSON that is nested deep": lambda folder: (folder / "vertex_indices.json").write_text("[" * 100_000),
    "a JSON list": lambda folder: (folder / "vertex_indices.json").write_text("[]"),
    "indices without landmarks": indices(idx_to_landmark_verts=None),
    "landmarks off the mesh": indices(idx_to_landmark_verts=[COUNT] * 68),
    "landmarks that are no numbers": indices(idx_to_landmark_verts=["0"] * 68),
    "expressions that are no names": indices(expressions=[{}]),
    "expressions twice": indices(expressions=["jawOpen", "jawOpen"]),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_damaged_folders_are_refused_in_one_line(folder: Path, change: Callable[[Path], object]) -> None:
    change(folder)
    with pytest.raises(Face3DMMError) as refused:
        load_model(str(folder))
    assert "\n" not in str(refused.value)


def test_a_name_that_leads_out_of_the_folder_is_not_followed(folder: Path, tmp_path: Path) -> None:
    write_obj(tmp_path / "outside.obj", sheet()[0])
    indices(expressions=["../outside", "jawOpen"])(folder)
    assert load_model(str(folder)).expression_names == ("jawOpen",)

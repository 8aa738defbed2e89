"""3DDFA's layouts: what each part becomes, and what is refused."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from face3dmm_ros.core.errors import Face3DMMError, one_line
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.morphable_model.formats.tddfa import load

COUNT = 90
SHAPES, EXPRESSIONS = 45, 12


def fields() -> dict[str, Any]:
    """The front of a head, µm, off the origin."""
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-70e3, 70e3, COUNT), rng.uniform(-90e3, 90e3, COUNT)
    vertices = np.stack([x, y, 1e5 - (x**2 + y**2) / 2e5], axis=1)
    points = rng.permutation(COUNT)[:68]
    return {
        "u": vertices.reshape(-1, 1).astype(np.float32),
        "w_shp": rng.normal(size=(3 * COUNT, SHAPES)).astype(np.float32) * 1e-2,
        "w_exp": rng.normal(size=(3 * COUNT, EXPRESSIONS)).astype(np.float32) * 1e3,
        "keypoints": (3 * points[:, None] + np.arange(3)).ravel(),
        "tri": rng.permutation(COUNT).reshape(3, -1).astype(np.int32),
    }


def version_2(folder: Path, held: dict[str, Any], name: str = "bfm_noneck_v3.pkl") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(pickle.dumps(held, 3))
    return folder / name


def version_1(folder: Path, held: dict[str, Any]) -> Path:
    folder.mkdir()
    half = np.full_like(held["u"], 7.0)
    parts = {"u_shp": held["u"] - half, "u_exp": half, "w_shp_sim": held["w_shp"], "w_exp_sim": held["w_exp"]}
    for name, part in {**parts, "keypoints_sim": held["keypoints"]}.items():
        np.save(folder / f"{name}.npy", part)
    (folder.parent / "visualize").mkdir()
    scipy.io.savemat(folder.parent / "visualize" / "tri.mat", {"tri": (held["tri"] + 1).astype(np.uint16)})
    return folder


def spread() -> tuple[NDArray, NDArray]:
    rng = np.random.default_rng(3)
    size = np.r_[np.ones(12), np.full(40, 1e5), np.ones(10)]
    return (rng.normal(size=62) * size).astype(np.float32), (rng.uniform(0.5, 2, 62) * size).astype(np.float32)


WAYS: dict[str, Callable[[Path, dict[str, Any]], Path]] = {
    "version 1's folder": lambda folder, held: version_1(folder / "any", held),
    "version 2's folder": lambda folder, held: version_2(folder / "any", held).parent,
    "a pickle of another name": lambda folder, held: version_2(folder, held, "other.bin"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("told", [False, True])
def test_projected_points_are_those_of_the_files_own_numbers(tmp_path: Path, way: str, told: bool) -> None:
    held, rng = fields(), np.random.default_rng(1)
    path = WAYS[way](tmp_path, held)
    mean, deviation = spread() if told else (np.zeros(62), np.ones(62))
    if told:
        beside = (path if path.is_dir() else path.parent) / "param_mean_std_62d_120x120.pkl"
        beside.write_bytes(pickle.dumps({"mean": mean, "std": deviation}))
    model = load_model(str(path))
    alpha = model.shape_sigma[:40] * rng.normal(size=40)
    beta = model.expression_sigma[:10] * rng.normal(size=10)
    # 3DDFA: u + w_shp·a + w_exp·b, with coefficients about their mean.
    raw = held["u"].ravel().astype(np.float64)
    raw = raw + held["w_shp"][:, :40] @ (mean[12:52] + alpha) + held["w_exp"][:, :10] @ (mean[52:] + beta)
    rest = held["u"].ravel() + held["w_shp"][:, :40] @ mean[12:52] + held["w_exp"][:, :10] @ mean[52:]
    points = rest.reshape(-1, 3)[held["keypoints"][::3] // 3]
    truth = (raw.reshape(-1, 3) - points[36:48].mean(axis=0)) / 1e3 + [0, 0, 12]
    error = 200 / 180 * (model.vertices(alpha, beta) - truth) @ Rotation.random(random_state=2).as_matrix().T
    assert np.abs(error[:, :2]).max() < 1e-4
    assert (model.scheme("ibug68").vertices[:, 0] == held["keypoints"][::3] // 3).all()
    assert (np.sort(model.triangles) == np.sort(held["tri"].T)).all()
    if told:
        np.testing.assert_allclose(model.sigma, deviation[12:])


def test_version_1_tells_its_spread_by_other_names(tmp_path: Path) -> None:
    path = version_1(tmp_path / "train.configs", fields())
    mean, deviation = spread()
    (path / "param_whitening.pkl").write_bytes(pickle.dumps({"param_mean": mean, "param_std": deviation}))
    np.testing.assert_allclose(load(path).sigma, deviation[12:])


def test_without_a_spread_a_component_moves_the_face_by_a_typical_amount(tmp_path: Path) -> None:
    model = load(version_2(tmp_path, fields()))
    assert (model.shape_count, model.expression_count) == (SHAPES, EXPRESSIONS)
    moved = np.linalg.norm(model.vertices(model.shape_sigma[:1], []) - model.mean, axis=1)
    np.testing.assert_allclose(np.sqrt(np.square(moved).mean()), 1.5, rtol=1e-4)


def test_triangles_beside_version_2_replace_its_own(tmp_path: Path) -> None:
    held = fields()
    (tmp_path / "tri.pkl").write_bytes(pickle.dumps(held.pop("tri")[:, :5], 4))
    assert len(load(version_2(tmp_path, held)).triangles) == 5


@pytest.mark.parametrize("name", ["u", "w_shp", "w_exp", "keypoints", "tri"])
def test_a_missing_part_is_named(tmp_path: Path, name: str) -> None:
    held = fields()
    del held[name]
    with pytest.raises(Face3DMMError, match=name):
        load(version_2(tmp_path, held))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("u", lambda a: a[:-1]),
        ("u", lambda a: a * np.nan),
        ("u", lambda a: a[:0]),
        ("u", lambda a: list(a)),
        ("w_shp", lambda a: a[:-3]),
        ("w_shp", lambda a: a.ravel()),
        ("w_shp", lambda a: np.tile(a, 30)),
        ("w_shp", lambda a: 0 * a),
        ("w_exp", lambda a: a * np.inf),
        ("w_exp", lambda a: a.astype(complex)),
        ("keypoints", lambda a: a[:-3]),
        ("keypoints", lambda a: a + 3 * COUNT),
        ("keypoints", lambda a: a - 300),
        ("tri", lambda a: a + COUNT),
        ("tri", lambda a: a.T),
        ("tri", lambda a: a[:, :0]),
    ],
)
def test_parts_that_do_not_fit_are_refused(tmp_path: Path, name: str, change: Any) -> None:
    held = fields()
    held[name] = change(held[name])
    with np.errstate(all="ignore"), pytest.raises(Face3DMMError) as caught:
        load(version_2(tmp_path, held))
    assert len(one_line(caught.value)) < 400


def test_triangles_counted_from_one_are_told_by_their_range(tmp_path: Path) -> None:
    held = fields()
    held["tri"] = held["tri"] + 1
    with pytest.raises(Face3DMMError, match=rf"from 0 to {COUNT - 1}, counted from 0; found .* of 1 to {COUNT}$"):
        load(version_2(tmp_path, held))


@pytest.mark.parametrize("file", ["u_shp.npy", "w_shp_sim.npy", "keypoints_sim.npy", "../visualize/tri.mat"])
def test_a_file_of_version_1_that_is_damaged_or_missing_is_refused(tmp_path: Path, file: str) -> None:
    path = version_1(tmp_path / "train.configs", fields())
    content = (path / file).read_bytes()
    huge = content.replace(b"(270,", b"(27000000000,") if file.endswith(".npy") else content[:-50]
    for changed in (content[:-9], content[:40], b"", huge + b"x"):
        (path / file).write_bytes(changed)
        if file != "../visualize/tri.mat" or changed != huge + b"x":
            with pytest.raises(Face3DMMError):
                load(path)
    (path / file).unlink()
    with pytest.raises(Face3DMMError):
        load(path)


def test_a_spread_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = version_2(tmp_path, fields())
    for held in ({"mean": np.ones(62)}, {"mean": np.ones(50), "std": np.ones(50)}, [1]):
        (tmp_path / "param_mean_std_62d_120x120.pkl").write_bytes(pickle.dumps(held))
        with pytest.raises(Face3DMMError, match="param_mean_std"):
            load(path)


def test_a_pickle_in_an_array_runs_nothing(tmp_path: Path) -> None:
    path = version_1(tmp_path / "train.configs", fields())
    np.save(path / "u_shp.npy", np.array([print, 1], dtype=object), allow_pickle=True)
    with pytest.raises(Face3DMMError, match="print"):
        load(path)

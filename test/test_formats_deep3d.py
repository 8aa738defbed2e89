"""Deep3DFaceReconstruction's front of the Basel Face Model: what each part becomes, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
from numpy.typing import NDArray
from source_heads import COUNT, assert_projects_as, sheet, sheet_triangles

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.morphable_model.formats.deep3d import load


@pytest.fixture
def fields() -> dict[str, NDArray]:
    rng = np.random.default_rng(0)

    def columns(components: int, scale: float) -> NDArray[np.float32]:
        return rng.normal(scale=scale, size=(3 * COUNT, components)).astype(np.float32)

    return {
        "meanshape": sheet(rng).reshape(1, -1).astype(np.float32) / 100,
        "meantex": rng.uniform(0, 255, (1, 3 * COUNT)).astype(np.float32),
        "idBase": columns(4, 0.02),
        "exBase": columns(2, 0.02),
        "texBase": columns(3, 5.0),
        "tri": (sheet_triangles() + 1).astype(np.float64),
        "point_buf": np.ones((COUNT, 8)),
        "tri_mask2": (sheet_triangles()[:9] + 1).astype(np.float64),
        "keypoints": (1 + np.arange(20, 88)[None]).astype(np.uint16),
        "frontmask2_idx": np.ones((9, 1)),
        "skinmask": np.ones((1, COUNT)),
    }


def write(folder: Path, fields: dict[str, NDArray], *, compressed: bool = False) -> Path:
    path = folder / "any_name.mat"
    scipy.io.savemat(path, fields, do_compression=compressed)
    return path


@pytest.mark.parametrize("compressed", [False, True])
def test_points_project_where_the_paper_has_them(tmp_path: Path, fields: dict[str, NDArray], compressed: bool) -> None:
    model = load_model(str(write(tmp_path, fields, compressed=compressed)))
    parts = [fields[name].astype(np.float64) for name in ("meanshape", "idBase", "exBase")]
    assert_projects_as(
        model, lambda alpha, beta: (parts[0][0] + parts[1] @ alpha + parts[2] @ beta).reshape(-1, 3), 100.0
    )


def test_coefficients_are_in_standard_deviations(tmp_path: Path, fields: dict[str, NDArray]) -> None:
    model = load(write(tmp_path, fields))
    assert (model.sigma == 1).all()
    assert (model.albedo_sigma == 1).all()


def test_colours_are_as_the_paper_has_them(tmp_path: Path, fields: dict[str, NDArray]) -> None:
    gamma = np.float32([1, -2, 0.5])
    expected = np.clip((fields["meantex"].ravel() + fields["texBase"] @ gamma) / 255, 0, 1)
    np.testing.assert_allclose(load(write(tmp_path, fields)).albedo(gamma).ravel(), expected, atol=1e-5)


def test_keypoints_are_ibugs_and_place_the_origin(tmp_path: Path, fields: dict[str, NDArray]) -> None:
    model = load(write(tmp_path, fields))
    points = model.scheme("ibug68")
    np.testing.assert_array_equal(points.vertices[:, 0], np.arange(20, 88))
    np.testing.assert_allclose(points.interpolate(model.mean)[36:48].mean(axis=0), [0, 0, 12], atol=1e-4)


@pytest.mark.parametrize("name", ["meantex", "exBase", "texBase"])
def test_a_missing_part_is_named(tmp_path: Path, fields: dict[str, NDArray], name: str) -> None:
    fields.pop(name)
    with pytest.raises(Face3DMMError, match=name):
        load(write(tmp_path, fields))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("tri", lambda a: a - 1),
        ("tri", lambda a: a.T),
        ("keypoints", lambda a: a[:, :67]),
        ("keypoints", lambda a: a + COUNT),
        ("meanshape", lambda a: a[:, :-1]),
        ("meanshape", lambda a: a + np.float32(np.nan)),
        ("idBase", lambda a: a[:-3]),
        ("idBase", lambda a: a + np.float32(np.inf)),
        ("exBase", lambda a: a.T),
        ("meantex", lambda a: a[:, :-3]),
        ("texBase", lambda a: a * np.float32(1e9)),
        ("texBase", lambda a: np.array([1, "a"], object)),
        ("keypoints", lambda a: np.zeros((0, 0))),
    ],
)
def test_parts_that_do_not_fit_are_refused(tmp_path: Path, fields: dict[str, NDArray], name: str, change) -> None:
    fields[name] = change(fields[name])
    with pytest.raises(Face3DMMError):
        load(write(tmp_path, fields))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.5])
def test_a_truncated_file_is_refused(tmp_path: Path, fields: dict[str, NDArray], share: float) -> None:
    path = write(tmp_path, fields)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(Face3DMMError):
        load(path)

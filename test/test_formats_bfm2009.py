"""The Basel Face Model of 2009 as its owners give it out, and expressions that lie beside it."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
from numpy.typing import NDArray
from source_heads import COUNT, assert_projects_as, sheet, sheet_triangles

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.files import matlab_struct
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.morphable_model.formats import bfm_points
from face3dmm_ros.morphable_model.formats.bfm2009 import load

TRIMMED = np.delete(np.arange(COUNT), [3, 40])[::-1]


def basis(rng: np.random.Generator, vertices: int, components: int) -> NDArray[np.float32]:
    return np.linalg.qr(rng.normal(size=(3 * vertices, components)))[0].astype(np.float32)


@pytest.fixture
def fields() -> dict[str, NDArray]:
    rng = np.random.default_rng(0)
    return {
        "shapeMU": 1e3 * sheet(rng).reshape(-1, 1).astype(np.float32),
        "shapePC": basis(rng, COUNT, 4),
        "shapeEV": np.float32([[9e4], [5e4], [2e4], [1e4]]),
        "texMU": rng.uniform(0, 255, (3 * COUNT, 1)).astype(np.float32),
        "texPC": basis(rng, COUNT, 3),
        "texEV": np.float32([[900.0], [500.0], [100.0]]),
        "tl": (sheet_triangles()[:, ::-1] + 1).astype(np.float64),
        "segbin": np.ones((COUNT, 4)),
    }


def write(folder: Path, fields: dict[str, NDArray], *, compressed: bool = False) -> Path:
    path = folder / "any_name.mat"
    scipy.io.savemat(path, fields, do_compression=compressed)
    return path


def write_binary(folder: Path, vertices: int = len(TRIMMED)) -> tuple[NDArray, NDArray, NDArray]:
    """Expressions as Guo et al. give them out: their mean, components and standard deviations."""
    rng = np.random.default_rng(1)
    mean, columns = rng.normal(scale=100, size=3 * vertices).astype(np.float32), basis(rng, vertices, 2)
    parts = (np.array([2], "<i4"), mean.astype("<f4"), np.ascontiguousarray(columns.T.astype("<f4")))
    (folder / "Exp_Pca.bin").write_bytes(b"".join(part.tobytes() for part in parts))
    (folder / "std_exp.txt").write_text("20000 10000")
    scipy.io.savemat(folder / "BFM_exp_idx.mat", {"trimIndex": (TRIMMED[:, None] + 1).astype(np.int32)})
    return mean, columns, np.array([20000, 10000])


def test_points_project_where_the_paper_has_them(tmp_path: Path, fields: dict[str, NDArray]) -> None:
    model = load_model(str(write(tmp_path, fields)))
    mean, columns = fields["shapeMU"].ravel(), fields["shapePC"].astype(np.float64)
    assert_projects_as(model, lambda alpha, _: (mean + columns @ alpha).reshape(-1, 3), 1e-3)


def test_ev_is_the_standard_deviation_of_the_coefficients(tmp_path: Path, fields: dict[str, NDArray]) -> None:
    np.testing.assert_array_equal(load(write(tmp_path, fields)).shape_sigma, fields["shapeEV"].ravel())


def test_colours_are_as_the_paper_has_them(tmp_path: Path, fields: dict[str, NDArray]) -> None:
    model = load(write(tmp_path, fields))
    gamma = np.float32([3, 5, 7])
    expected = np.clip((fields["texMU"].ravel() + fields["texPC"] @ gamma) / 255, 0, 1)
    np.testing.assert_allclose(model.albedo(gamma).ravel(), expected, atol=1e-5)


def test_triangles_come_out_counter_clockwise(tmp_path: Path, fields: dict[str, NDArray]) -> None:
    model = load(write(tmp_path, fields))
    assert (model.normals(model.mean)[:, 2] > 0).all()


def test_a_compressed_file_holds_the_same(tmp_path: Path, fields: dict[str, NDArray]) -> None:
    expected = load(write(tmp_path, fields)).digest
    assert load(write(tmp_path, fields, compressed=True)).digest == expected


def test_whole_numbers_of_any_kind_are_read(tmp_path: Path, fields: dict[str, NDArray]) -> None:
    expected = load(write(tmp_path, fields)).digest
    fields["tl"] = fields["tl"].astype(np.uint8)
    assert load(write(tmp_path, fields)).digest == expected


def test_alone_it_has_no_expressions(tmp_path: Path, fields: dict[str, NDArray]) -> None:
    model = load(write(tmp_path, fields))
    assert model.expression_count == 0
    np.testing.assert_array_equal(model.vertices([], []), model.mean)


def test_guos_expressions_beside_it_are_taken(tmp_path: Path, fields: dict[str, NDArray]) -> None:
    mean, columns, sigma = write_binary(tmp_path)
    model = load(write(tmp_path, fields))
    np.testing.assert_array_equal(model.expression_sigma, sigma)
    beta = [15000.0, -8000.0]
    found = (model.vertices([], beta) - model.vertices([], []))[TRIMMED].ravel()
    np.testing.assert_allclose(found, 1e-3 * (columns @ beta), atol=1e-4)
    alone = 1e-3 * (fields["shapeMU"].reshape(-1, 3)[TRIMMED] + mean.reshape(-1, 3))
    np.testing.assert_allclose(np.diff(model.mean[TRIMMED], axis=0), np.diff(alone, axis=0), atol=1e-4)


def test_a_vertex_without_expressions_moves_as_its_neighbour(tmp_path: Path, fields: dict[str, NDArray]) -> None:
    write_binary(tmp_path)
    model = load(write(tmp_path, fields))
    distance = np.linalg.norm(fields["shapeMU"].reshape(-1, 3)[TRIMMED] - fields["shapeMU"].reshape(-1, 3)[40], axis=1)
    moved = model.expression_basis.reshape(COUNT, 3, 2)
    np.testing.assert_array_equal(moved[40], moved[TRIMMED[distance.argmin()]])


@pytest.mark.parametrize("trimmed", [False, True])
@pytest.mark.parametrize("name", ["Model_Expression.mat", "Model_Exp.mat"])
def test_3ddfas_expressions_beside_it_are_taken(
    tmp_path: Path, fields: dict[str, NDArray], name: str, trimmed: bool
) -> None:
    vertices = TRIMMED if trimmed else np.arange(COUNT)
    rng = np.random.default_rng(2)
    columns, mean = basis(rng, len(vertices), 3), rng.normal(scale=100, size=(3 * len(vertices), 1))
    scipy.io.savemat(tmp_path / name, {"w_exp": columns, "mu_exp": mean, "sigma_exp": np.array([[3e4], [2e4], [1e4]])})
    if trimmed:
        scipy.io.savemat(tmp_path / "Model_Shape.mat", {"trimIndex": TRIMMED[:, None] + 1})
    model = load(write(tmp_path, fields))
    beta = np.array([1e4, 2e4, -1e4])
    found = (model.vertices([], beta) - model.vertices([], []))[vertices].ravel()
    np.testing.assert_allclose(found, 1e-3 * (columns @ beta), atol=1e-4)
    assert model.expression_names == ("exp_00", "exp_01", "exp_02")


def test_expressions_without_the_index_of_their_vertices_are_refused(
    tmp_path: Path, fields: dict[str, NDArray]
) -> None:
    write_binary(tmp_path)
    (tmp_path / "BFM_exp_idx.mat").unlink()
    with pytest.raises(Face3DMMError, match="BFM_exp_idx"):
        load(write(tmp_path, fields))


def test_expressions_of_another_size_than_they_claim_are_refused(tmp_path: Path, fields: dict[str, NDArray]) -> None:
    write_binary(tmp_path)
    binary = tmp_path / "Exp_Pca.bin"
    content = binary.read_bytes()
    damaged = [b"", content[:3], content[:-1], content + b"\0", np.int32([-1]).tobytes() + content[4:]]
    damaged.append(np.int32([2**31 - 1]).tobytes() + content[4:])
    for part in damaged:
        binary.write_bytes(part)
        with pytest.raises(Face3DMMError, match="components"):
            load(write(tmp_path, fields))


def test_expressions_that_are_not_numbers_are_refused(tmp_path: Path, fields: dict[str, NDArray]) -> None:
    write_binary(tmp_path)
    for text in ("", "1 2 3", "1 two", "1 nan", "1 -1", "1 1e99"):
        (tmp_path / "std_exp.txt").write_text(text)
        with pytest.raises(Face3DMMError):
            load(write(tmp_path, fields))


def test_the_origin_is_between_the_eyes_where_its_vertices_are_known(
    tmp_path: Path, fields: dict[str, NDArray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(bfm_points.EYE_CORNERS, COUNT, ((50, 52), (55, 57)))
    model = load(write(tmp_path, fields))
    np.testing.assert_allclose(model.mean[[50, 52, 55, 57]].mean(axis=0), [0, 0, 12], atol=1e-4)


def test_a_component_without_a_spread_is_named(tmp_path: Path, fields: dict[str, NDArray]) -> None:
    fields["shapeEV"][2] = 0.0
    with pytest.raises(Face3DMMError, match=r"shape_sigma must be positive .* component 2, counted from 0, has 0"):
        load(write(tmp_path, fields))


@pytest.mark.parametrize(("per_micrometre", "found"), [(1e-3, r"0\.18 mm"), (1e3, r"1.8e\+05 mm")])
def test_a_file_in_another_unit_is_refused_with_the_size_that_it_would_have(
    tmp_path: Path, fields: dict[str, NDArray], per_micrometre: float, found: str
) -> None:
    fields["shapeMU"] *= per_micrometre
    with pytest.raises(Face3DMMError, match=f"longest side is {found}.*write it in its format's unit, which is 0.001"):
        load(write(tmp_path, fields))


@pytest.mark.parametrize("name", ["shapePC", "texMU", "texEV"])
def test_a_missing_part_is_named(tmp_path: Path, fields: dict[str, NDArray], name: str) -> None:
    fields.pop(name)
    with pytest.raises(Face3DMMError, match=name):
        load(write(tmp_path, fields))


@pytest.mark.parametrize("name", ["shapeMU", "shapePC", "shapeEV", "texMU", "texPC", "tl"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_refused(
    tmp_path: Path, fields: dict[str, NDArray], name: str, value: float
) -> None:
    fields[name].flat[1] = value
    with pytest.raises(Face3DMMError, match=r"not finite|positive"):
        load(write(tmp_path, fields))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("tl", lambda a: a - 1),
        ("tl", lambda a: a + 1),
        ("tl", lambda a: a.T),
        ("tl", lambda a: a[:0]),
        ("shapeMU", lambda a: a[:-1]),
        ("shapeMU", lambda a: a[:0]),
        ("shapeMU", lambda a: a.reshape(-1, 3)),
        ("shapePC", lambda a: a[:-3]),
        ("shapeEV", lambda a: a[:-1]),
        ("shapeEV", lambda a: -a),
        ("texMU", lambda a: a[:-3]),
        ("texMU", lambda a: a + 1j),
        ("texPC", lambda a: np.array([1, "a"], object)),
        ("texPC", lambda a: np.array(["text"])),
        ("texPC", lambda a: a[None]),
    ],
)
def test_parts_that_do_not_fit_are_refused(tmp_path: Path, fields: dict[str, NDArray], name: str, change) -> None:
    fields[name] = change(fields[name])
    with pytest.raises(Face3DMMError):
        load(write(tmp_path, fields))


@pytest.mark.parametrize("compressed", [False, True])
def test_a_matrix_beyond_any_face_is_refused(tmp_path: Path, fields: dict[str, NDArray], compressed: bool) -> None:
    fields["shapeEV"] = np.ones((5000, 1), np.int8)
    with pytest.raises(Face3DMMError, match="up to 1000 numbers"):
        load(write(tmp_path, fields, compressed=compressed))


def test_variables_that_together_unpack_to_more_than_any_model_are_refused(
    tmp_path: Path, fields: dict[str, NDArray], monkeypatch: pytest.MonkeyPatch
) -> None:
    fields |= {"shapePC": np.zeros((3 * COUNT, 4)), "texPC": np.zeros((3 * COUNT, 3))}
    path = write(tmp_path, fields, compressed=True)
    load(path)
    monkeypatch.setattr(matlab_struct, "_MOST_BYTES", 20_000)
    with pytest.raises(Face3DMMError, match="unpack to more"):
        load(path)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.9])
def test_a_truncated_file_is_refused(tmp_path: Path, fields: dict[str, NDArray], share: float) -> None:
    fields.pop("segbin")
    path = write(tmp_path, fields)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(Face3DMMError):
        load(path)

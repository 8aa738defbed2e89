"""The BFM layout: what each field becomes in the package's conventions, and what is refused."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.files import matlab_struct
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.morphable_model.formats import face3d_struct
from face3dmm_ros.morphable_model.formats.face3d_struct import load

COLUMNS, ROWS = 12, 10
COUNT = COLUMNS * ROWS


def bfm_fields(rng: np.random.Generator) -> dict[str, NDArray]:
    """A curved sheet that looks along +z, in µm, off the origin, with the layout's fields."""
    x, y = np.meshgrid(np.linspace(-80e3, 80e3, COLUMNS), np.linspace(-90e3, 90e3, ROWS))
    z = 100e3 - (x**2 + y**2) / 160e3
    vertices = np.stack([x + 1e3, y - 2e3, z + 5e3], axis=-1).reshape(-1, 3)
    corner = (np.arange(ROWS - 1)[:, None] * COLUMNS + np.arange(COLUMNS - 1)).ravel()
    counter_clockwise = [[corner, corner + 1, corner + COLUMNS], [corner + 1, corner + COLUMNS + 1, corner + COLUMNS]]
    triangles = np.concatenate([np.stack(t) for t in counter_clockwise], axis=1)
    return {
        "shapeMU": vertices.reshape(-1, 1) - 100.0,
        "shapePC": rng.normal(size=(3 * COUNT, 4)).astype(np.float32),
        "shapeEV": np.array([[9e5], [5e5], [2e5], [1e5]]),
        "expMU": np.full((3 * COUNT, 1), 100.0),
        "expPC": rng.normal(size=(3 * COUNT, 2)),
        "expEV": np.array([[3e4], [1e4]]),
        "texMU": rng.uniform(0, 255, (3 * COUNT, 1)),
        "texPC": rng.normal(size=(3 * COUNT, 3)),
        "texEV": np.array([[900.0], [500.0], [100.0]]),
        "tri": (triangles + 1).astype(np.int32),
        "kpt_ind": (1 + np.arange(68)[None]).astype(np.int32),
    }


@pytest.fixture
def fields() -> dict[str, NDArray]:
    return bfm_fields(np.random.default_rng(0))


def write(folder: Path, fields: dict[str, Any], *, compressed: bool = False, **others: Any) -> Path:
    path = folder / "Model_Shape.mat"
    scipy.io.savemat(path, {**others, "model": fields}, do_compression=compressed)
    return path


def test_micrometres_become_millimetres_about_the_eyes(tmp_path: Path, fields: dict[str, NDArray]) -> None:
    model = load(write(tmp_path, fields))
    expected = (fields["shapeMU"] + fields["expMU"]).reshape(-1, 3) / 1000
    np.testing.assert_allclose(model.mean - model.mean[0], expected - expected[0], atol=1e-4)
    eyes = model.scheme("ibug68").interpolate(model.mean)[36:48].mean(axis=0)
    np.testing.assert_allclose(eyes, [0, 0, 12], atol=1e-4)


def test_ev_is_the_standard_deviation_of_the_raw_coefficients(tmp_path: Path, fields: dict[str, NDArray]) -> None:
    model = load(write(tmp_path, fields))
    np.testing.assert_allclose(model.shape_sigma, fields["shapeEV"].ravel())
    np.testing.assert_allclose(model.expression_sigma, fields["expEV"].ravel())
    moved = model.vertices([9e5], [0.0, 1e4]) - model.mean
    expected = (9e5 * fields["shapePC"][:, 0] + 1e4 * fields["expPC"][:, 1]).reshape(-1, 3) / 1000
    np.testing.assert_allclose(moved, expected, rtol=1e-4, atol=0.05)


def test_colours_become_fractions(tmp_path: Path, fields: dict[str, NDArray]) -> None:
    model = load(write(tmp_path, fields))
    np.testing.assert_allclose(model.albedo_mean.ravel(), fields["texMU"].ravel() / 255, atol=1e-6)
    np.testing.assert_allclose(model.albedo_basis, fields["texPC"] / 255, atol=1e-6)


def test_indices_start_at_zero(tmp_path: Path, fields: dict[str, NDArray]) -> None:
    model = load(write(tmp_path, fields))
    np.testing.assert_array_equal(model.scheme("ibug68").vertices[:, 0], np.arange(68))
    assert (model.triangles.min(), model.triangles.max()) == (0, COUNT - 1)


def test_expressions_are_named_and_unbounded(tmp_path: Path, fields: dict[str, NDArray]) -> None:
    model = load(write(tmp_path, fields))
    assert model.expression_names == ("exp_00", "exp_01")
    assert np.isinf(model.expression_bounds).all()


@pytest.mark.parametrize("flipped", [False, True])
def test_triangles_come_out_counter_clockwise(tmp_path: Path, fields: dict[str, NDArray], flipped: bool) -> None:
    if flipped:
        fields["tri"] = fields["tri"][::-1]
    model = load(write(tmp_path, fields))
    assert (model.normals(model.mean)[:, 2] > 0).all()


def test_load_model_knows_the_format_by_its_name(tmp_path: Path, fields: dict[str, NDArray]) -> None:
    path = write(tmp_path, fields)
    assert load_model(str(path)).digest == load(path).digest
    assert load_model(str(path)).name == "Model_Shape"


def test_a_file_in_millimetres_is_refused(tmp_path: Path, fields: dict[str, NDArray]) -> None:
    fields |= {"shapeMU": fields["shapeMU"] / 1000, "expMU": fields["expMU"] / 1000}
    with pytest.raises(Face3DMMError, match=r"longest side is 0\.18 mm"):
        load(write(tmp_path, fields))


@pytest.mark.parametrize("name", ["shapeMU", "expPC", "texEV", "tri", "kpt_ind"])
def test_a_missing_field_is_named(tmp_path: Path, fields: dict[str, NDArray], name: str) -> None:
    fields.pop(name)
    with pytest.raises(Face3DMMError, match=name):
        load(write(tmp_path, fields))


@pytest.mark.parametrize("name", ["shapeMU", "shapePC", "expEV", "texMU", "texPC", "tri"])
def test_a_value_that_is_not_finite_is_refused(tmp_path: Path, fields: dict[str, NDArray], name: str) -> None:
    fields[name] = fields[name].astype(np.float64)
    fields[name].flat[1] = np.nan
    with pytest.raises(Face3DMMError, match=f"{name}.*not finite"):
        load(write(tmp_path, fields))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("tri", lambda a: a - 1),
        ("tri", lambda a: a + 1),
        ("tri", lambda a: a.T),
        ("tri", lambda a: a + 0.5),
        ("tri", lambda a: a[:, :0]),
        ("kpt_ind", lambda a: a + COUNT),
        ("kpt_ind", lambda a: a[:, :67]),
        ("shapeMU", lambda a: a[:-1]),
        ("shapeMU", lambda a: a.T),
        ("shapePC", lambda a: a[:-3]),
        ("shapeEV", lambda a: a[:-1]),
        ("shapeEV", lambda a: 0 * a),
        ("texMU", lambda a: a[:-3]),
        ("texMU", lambda a: a + 1j),
        ("texMU", lambda a: np.array(["text"])),
    ],
)
def test_fields_that_do_not_fit_are_refused(tmp_path: Path, fields: dict[str, NDArray], name: str, change) -> None:
    fields[name] = change(fields[name])
    with pytest.raises(Face3DMMError):
        load(write(tmp_path, fields))


def test_a_compressed_file_holds_the_same(tmp_path: Path, fields: dict[str, NDArray]) -> None:
    expected = load(write(tmp_path, fields)).digest
    assert load(write(tmp_path, fields, compressed=True)).digest == expected


def test_what_else_is_in_the_file_is_left_out(tmp_path: Path, fields: dict[str, NDArray]) -> None:
    expected = load(write(tmp_path, fields)).digest
    others = {"text": "abc", "cells": np.array([1, "a"], object), "struct": {"a": {"b": 1}}, "matrix": np.eye(3)}
    path = write(tmp_path, {"note": "by hand", **fields, "more": others}, compressed=True, first=np.eye(4), **others)
    assert load(path).digest == expected


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("name", "shape", "reason"),
    [
        ("tri", (3, 2_000_000), r"tri has shape \(3, 2000000\)"),
        ("shapeMU", (9_000_000, 1), r"shapeMU has shape \(9000000, 1\)"),
        ("expEV", (5_000, 1), r"expEV has shape \(5000, 1\)"),
    ],
)
def test_a_matrix_beyond_any_face_is_refused_unread(
    tmp_path: Path, fields: dict[str, NDArray], name: str, shape: tuple[int, int], reason: str, compressed: bool
) -> None:
    fields.pop(name)
    fields = {name: np.ones(shape, np.int8), **fields}
    path = write(tmp_path, fields, compressed=compressed)
    if not compressed:  # its contents are not even there
        path.write_bytes(path.read_bytes()[: 128 + 20_000])
    with pytest.raises(Face3DMMError, match=reason):
        load(path)


def test_a_file_that_unpacks_to_more_than_any_model_is_refused(
    tmp_path: Path, fields: dict[str, NDArray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matlab_struct, "_MOST_BYTES", 200_000)
    fields = {"junk": np.zeros((500, 500)), **fields}
    with pytest.raises(Face3DMMError, match="unpack to more"):
        load(write(tmp_path, fields, compressed=True))


def test_numbers_beyond_what_is_stored_are_refused(tmp_path: Path, fields: dict[str, NDArray]) -> None:
    fields["shapePC"] = fields["shapePC"].astype(np.float64) + 1e39
    with pytest.raises(Face3DMMError, match="shape_basis holds values that are not finite"):
        load(write(tmp_path, fields))


def test_memory_that_does_not_suffice_is_told(
    tmp_path: Path, fields: dict[str, NDArray], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    path = write(tmp_path, fields)
    monkeypatch.setattr(face3d_struct, "facing_outward", full)
    with pytest.raises(Face3DMMError, match="the memory does not suffice"):
        load(path)


def test_any_flipped_byte_is_refused_or_harmless(tmp_path: Path, fields: dict[str, NDArray]) -> None:
    rng = np.random.default_rng(1)
    for compressed in (False, True):
        path = write(tmp_path, fields, compressed=compressed)
        content = path.read_bytes()
        for position in rng.integers(0, 1000, 200):
            damaged = bytearray(content)
            damaged[position] ^= 0xFF
            path.write_bytes(damaged)
            with suppress(Face3DMMError):
                load(path)


def test_a_file_of_version_7_3_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "new.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(400))
    with pytest.raises(Face3DMMError, match="'-v7'"):
        load(path)


def test_a_file_without_the_struct_is_refused(tmp_path: Path) -> None:
    for contents in ({"other": np.zeros(3)}, {"model": np.zeros(3)}):
        path = tmp_path / "other.mat"
        scipy.io.savemat(path, contents)
        with pytest.raises(Face3DMMError, match="no struct called model"):
            load(path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.7, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, fields: dict[str, NDArray], share: float) -> None:
    path = write(tmp_path, fields)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(Face3DMMError):
        load(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Face3DMMError, match=r"absent\.mat"):
        load(tmp_path / "absent.mat")


def test_numbers_are_rounded_as_ever_since_the_digest_depends_on_it(tmp_path: Path, fields: dict[str, NDArray]) -> None:
    model = load(write(tmp_path, fields))
    np.testing.assert_array_equal(model.albedo_basis, fields["texPC"].astype(np.float32) / np.float32(255.0))
    np.testing.assert_array_equal(model.shape_basis, fields["shapePC"].astype(np.float32) * np.float32(1e-3))

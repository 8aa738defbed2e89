"""The Basel Face Models of 2017 and 2019: what each part becomes, and what is refused, of which HDF5 has much."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from source_heads import COUNT, assert_projects_as, sheet, sheet_triangles

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.morphable_model.formats import bfm_points
from face3dmm_ros.morphable_model.formats.bfm2017 import load

BASIS = "shape/model/pcaBasis"


@pytest.fixture
def fields() -> dict[str, NDArray]:
    rng = np.random.default_rng(0)

    def basis(components: int) -> NDArray[np.float32]:
        return np.linalg.qr(rng.normal(size=(3 * COUNT, components)))[0].astype(np.float32)

    return {
        "shape/model/mean": sheet(rng).ravel().astype(np.float32),
        BASIS: basis(4),
        "shape/model/pcaVariance": np.float32([9e3, 5e3, 2e3, 1e3]),
        "shape/representer/cells": sheet_triangles().T[::-1],
        "shape/representer/points": sheet(rng).T.astype(np.float32),
        "expression/model/mean": rng.normal(scale=0.5, size=3 * COUNT).astype(np.float32),
        "expression/model/pcaBasis": basis(2),
        "expression/model/pcaVariance": np.float32([400, 100]),
        "color/model/mean": rng.uniform(size=3 * COUNT).astype(np.float32),
        "color/model/pcaBasis": basis(3),
        "color/model/pcaVariance": np.float32([4, 2, 1]),
    }


def write(folder: Path, fields: dict[str, NDArray], change: Callable[[h5py.File], None] = lambda _: None) -> Path:
    path = folder / "any_name.bin"
    with h5py.File(path, "w") as file:
        for name, values in fields.items():
            file[name] = values
        file.create_group("catalog")["MorphableModel"] = "of a text"
        change(file)
    return path


def landmarks(places: dict[str, list[float]]) -> bytes:
    return json.dumps([{"id": name, "coordinates": place} for name, place in places.items()]).encode()


EYES = {
    "left.eye.corner_inner": [20.0, 30, 100],
    "left.eye.corner_outer": [40.0, 30, 90],
    "right.eye.corner_inner": [-20.0, 30, 100],
    "right.eye.corner_outer": [-40.0, 30, 90],
    "center.nose.tip": [0, 0, 130],
}


def test_points_project_where_the_paper_has_them(tmp_path: Path, fields: dict[str, NDArray]) -> None:
    model = load_model(str(write(tmp_path, fields)))
    shape, moved, columns, expression = (
        fields[name].astype(np.float64)
        for name in ("shape/model/mean", "expression/model/mean", BASIS, "expression/model/pcaBasis")
    )
    assert_projects_as(
        model, lambda alpha, beta: (shape + moved + columns @ alpha + expression @ beta).reshape(-1, 3), 1.0
    )


def test_sigma_is_the_root_of_the_variance(tmp_path: Path, fields: dict[str, NDArray]) -> None:
    model = load(write(tmp_path, fields))
    np.testing.assert_allclose(model.shape_sigma**2, fields["shape/model/pcaVariance"], rtol=1e-6)
    np.testing.assert_allclose(model.expression_sigma, [20, 10])
    np.testing.assert_allclose(model.albedo_sigma**2, [4, 2, 1], rtol=1e-6)


def test_colours_stay_as_they_are(tmp_path: Path, fields: dict[str, NDArray]) -> None:
    gamma = np.float32([1, -2, 0.5])
    expected = np.clip(fields["color/model/mean"] + fields["color/model/pcaBasis"] @ gamma, 0, 1)
    np.testing.assert_allclose(load(write(tmp_path, fields)).albedo(gamma).ravel(), expected, atol=1e-6)


def test_triangles_come_out_counter_clockwise(tmp_path: Path, fields: dict[str, NDArray]) -> None:
    model = load(write(tmp_path, fields))
    assert (model.normals(model.mean)[:, 2] > 0).all()


@pytest.mark.parametrize("fixed", [False, True])
def test_named_corners_of_the_eyes_place_the_origin(tmp_path: Path, fields: dict[str, NDArray], fixed: bool) -> None:
    def name(file: h5py.File) -> None:
        text = landmarks(EYES)
        file["metadata/landmarks/json"] = np.bytes_(text) if fixed else text.decode()

    model = load(write(tmp_path, fields, name))
    expected = (fields["shape/model/mean"] + fields["expression/model/mean"]).reshape(-1, 3)
    np.testing.assert_allclose(model.mean, expected - [0, 30, 95 - 12], atol=1e-4)


def test_known_vertices_place_the_origin_of_a_file_that_names_none(
    tmp_path: Path, fields: dict[str, NDArray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(bfm_points.EYE_CORNERS, COUNT, ((50, 52), (55, 57)))
    model = load(write(tmp_path, fields, lambda file: file.update({"metadata/landmarks/json": landmarks({})})))
    np.testing.assert_allclose(model.mean[[50, 52, 55, 57]].mean(axis=0), [0, 0, 12], atol=1e-4)


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"[1]",
        b"7",
        b"[" * 100_000,
        b'[{"id": []}]',
        landmarks(EYES | {"left.eye.corner_inner": [1.0, 2.0]}),
        landmarks(EYES | {"left.eye.corner_inner": [1.0, 2.0, float("nan")]}),
        landmarks(EYES | {"left.eye.corner_inner": [1.0, 2.0, 1e999]}),
        b" " * 1_000_001,
    ],
)
def test_landmarks_that_are_none_are_refused(tmp_path: Path, fields: dict[str, NDArray], text: bytes) -> None:
    with pytest.raises(Face3DMMError):
        load(write(tmp_path, fields, lambda file: file.update({"metadata/landmarks/json": np.bytes_(text)})))


@pytest.mark.parametrize("name", ["shape/model/mean", "color/model/pcaBasis", "shape/representer/cells"])
def test_a_missing_part_is_named(tmp_path: Path, fields: dict[str, NDArray], name: str) -> None:
    fields.pop(name)
    with pytest.raises(Face3DMMError, match=name):
        load(write(tmp_path, fields))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("shape/representer/cells", lambda a: a - 1),
        ("shape/representer/cells", lambda a: a + COUNT),
        ("shape/representer/cells", lambda a: a.T),
        ("shape/representer/cells", lambda a: a + 0.5),
        ("shape/representer/cells", lambda a: a[:, :0]),
        ("shape/model/mean", lambda a: a[:-1]),
        ("shape/model/mean", lambda a: a[:0]),
        ("shape/model/mean", lambda a: a[0]),
        ("shape/model/mean", lambda a: a * np.float32(np.nan)),
        (BASIS, lambda a: a[:-3]),
        (BASIS, lambda a: a.T),
        (BASIS, lambda a: a * np.float32(np.inf)),
        (BASIS, lambda a: a.astype(complex)),
        (BASIS, lambda a: a.astype("S8")),
        (BASIS, lambda a: h5py.Empty("f")),
        (BASIS, lambda a: a.astype([("a", "f4"), ("b", "i4")])),
        ("shape/model/pcaVariance", lambda a: -a),
        ("shape/model/pcaVariance", lambda a: a * np.nan),
        ("shape/model/pcaVariance", lambda a: np.ones(1001)),
        ("expression/model/mean", lambda a: a[:-3]),
        ("color/model/mean", lambda a: a[:-3]),
        ("color/model/pcaBasis", lambda a: a * np.float32(1e9)),
    ],
)
def test_parts_that_do_not_fit_are_refused(tmp_path: Path, fields: dict[str, NDArray], name: str, change) -> None:
    fields[name] = change(fields[name])
    with pytest.raises(Face3DMMError):
        load(write(tmp_path, fields))


def soft_link(file: h5py.File) -> None:
    file["elsewhere"] = np.ones((3 * COUNT, 4), np.float32)
    file[BASIS] = h5py.SoftLink("/elsewhere")


def external_link(file: h5py.File) -> None:
    file[BASIS] = h5py.ExternalLink("other.h5", "/data")


def external_group(file: h5py.File) -> None:
    del file["shape"]
    file["shape"] = h5py.ExternalLink("other.h5", "/")


def external_storage(file: h5py.File) -> None:
    file.create_dataset(BASIS, (3 * COUNT, 4), "f4", external=[(b"other.bin", 0, 12 * COUNT * 4)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((3 * COUNT, 4), "f4")
    layout[:] = h5py.VirtualSource("pipe.h5", "data", shape=(3 * COUNT, 4))
    file.create_virtual_dataset(BASIS, layout)


def unlimited_virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((3 * COUNT, 4), "f4", maxshape=(None, 4))
    source = h5py.VirtualSource("pipe.h5", "data", shape=(3 * COUNT, 4), maxshape=(None, 4))
    layout[: h5py.h5s.UNLIMITED, :] = source[: h5py.h5s.UNLIMITED, :]
    file.create_virtual_dataset(BASIS, layout)


def deflated(file: h5py.File) -> None:
    file.create_dataset(BASIS, data=np.zeros((3 * COUNT, 4), np.float32), compression="gzip")


def never_written(file: h5py.File) -> None:
    file.create_dataset(BASIS, (1_500_000, 900), "f4")


def parts_never_written(file: h5py.File) -> None:
    file.create_dataset(BASIS, (1_500_000, 900), "f4", chunks=(1000, 900))


def claims_more_than_any_face(file: h5py.File) -> None:
    file.create_dataset(BASIS, (2**40, 2**10), "f8")


def of_texts(file: h5py.File) -> None:
    file.create_dataset(BASIS, (3 * COUNT, 4), h5py.string_dtype())


def of_lists(file: h5py.File) -> None:
    file.create_dataset(BASIS, (3 * COUNT, 4), h5py.vlen_dtype(np.float32))


def of_arrays(file: h5py.File) -> None:
    file.create_dataset(BASIS, (3 * COUNT,), np.dtype((np.float32, (4,))))


def a_group(file: h5py.File) -> None:
    file.create_group(BASIS)


@pytest.mark.parametrize(
    "instead",
    [
        soft_link,
        external_link,
        external_group,
        external_storage,
        virtual,
        unlimited_virtual,
        deflated,
        never_written,
        parts_never_written,
        claims_more_than_any_face,
        of_texts,
        of_lists,
        of_arrays,
        a_group,
    ],
)
def test_numbers_that_do_not_stand_in_the_file_as_they_are_are_refused(
    tmp_path: Path, fields: dict[str, NDArray], instead: Callable[[h5py.File], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    basis = fields.pop(BASIS)
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["data"] = other[f"model/{BASIS.split('/')[-1]}"] = basis
    (tmp_path / "other.bin").write_bytes(basis.tobytes())
    os.mkfifo(tmp_path / "pipe.h5")  # whoever opens it waits forever
    path = write(tmp_path, fields, instead)
    with pytest.raises(Face3DMMError, match=r"any_name\.bin"):
        load(path)
    with pytest.raises(Face3DMMError, match=r"any_name\.bin"):
        load_model(str(path))


def test_a_text_that_claims_more_than_any_landmarks_is_refused(tmp_path: Path, fields: dict[str, NDArray]) -> None:
    text = landmarks(EYES)
    path = write(tmp_path, fields, lambda file: file.update({"metadata/landmarks/json": text.decode()}))
    length, heap = len(text).to_bytes(4, "little"), path.read_bytes().index(b"GCOL").to_bytes(8, "little")
    content = path.read_bytes()
    assert content.count(length + heap) == 1
    path.write_bytes(content.replace(length + heap, (2**32 - 1).to_bytes(4, "little") + heap))
    with pytest.raises(Face3DMMError, match="one text of at most"):
        load(path)


def test_one_array_under_many_names_is_read_no_more_often_than_the_file_is_large(
    tmp_path: Path, fields: dict[str, NDArray]
) -> None:
    names = [name for name in fields if name.endswith("pcaBasis")]
    for name in names:
        fields.pop(name)

    def share(file: h5py.File) -> None:
        file[names[0]] = np.zeros((3 * COUNT, 900), np.float32)
        for name in names[1:]:
            file[name] = file[names[0]]

    with pytest.raises(Face3DMMError, match="more than the file holds"):
        load(write(tmp_path, fields, share))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.7, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, fields: dict[str, NDArray], share: float) -> None:
    path = write(tmp_path, fields)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(Face3DMMError):
        load(path)


def test_any_flipped_byte_is_refused_or_harmless(tmp_path: Path, fields: dict[str, NDArray]) -> None:
    rng = np.random.default_rng(1)
    path = write(tmp_path, fields)
    content = path.read_bytes()
    for position in rng.integers(0, 4000, 200):
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        try:
            load(path)
        except Face3DMMError:
            continue

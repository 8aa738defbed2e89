"""What is said of a file that is no model: of its kind, what could be read, and what it lacks."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from test_formats_flame import flame_fields

from face3dmm_ros.core.errors import Face3DMMError, one_line
from face3dmm_ros.files import safe_pickle
from face3dmm_ros.morphable_model.formats import contents, flame, format_at, read_model


def said_of(path: Path) -> str:
    with pytest.raises(Face3DMMError) as refused:
        format_at(path)
    return one_line(refused.value)


def test_a_file_is_told_the_formats_of_its_kind_alone(tmp_path: Path) -> None:
    np.savez(tmp_path / "some.npz", something=np.zeros(3))
    said = said_of(tmp_path / "some.npz")
    assert "it is an archive of arrays (.npz) with something." in said
    assert said.endswith(
        "Of this kind can: this package's own (*.npz); FLAME (*flame*.npz); Google's GNM Head (gnm_head.npz)"
    )


def test_a_file_is_told_what_it_lacks_of_a_format_that_it_resembles(tmp_path: Path) -> None:
    names = ("v_template", "shapedirs", "J_regressor", "weights", "kintree_table")
    np.savez(tmp_path / "some.npz", **{name: np.zeros(3) for name in names})
    said = said_of(tmp_path / "some.npz")
    assert said.endswith("FLAME (*flame*.npz, here without posedirs); Google's GNM Head (gnm_head.npz)")


def test_a_file_of_no_kind_is_told_the_kinds(tmp_path: Path) -> None:
    (tmp_path / "head.obj").write_text("v 1 2 3\n")
    assert said_of(tmp_path / "head.obj").endswith("Python pickle, folder, glTF file")


def test_a_pickle_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "generic_model.pkl"
    path.write_bytes(pickle.dumps(flame_fields(np.random.default_rng(0)), 2))
    read: list[Path] = []

    def counted(file: Path) -> object:
        read.append(file)
        return safe_pickle.read_pickle(file)

    for module in (contents, flame):
        monkeypatch.setattr(module, "read_pickle", counted)
    assert read_model(path).digest == flame.load(path).digest
    assert read == [path, path]

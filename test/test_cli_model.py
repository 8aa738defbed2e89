"""`face3dmm model`: what people learn of their models, and what is made of them."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.random_model import random_model
from face3dmm_ros.cli.main import main
from face3dmm_ros.morphable_model import load_model, save_npz


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "some.npz"
    save_npz(random_model(vertices=200, shape=6, expression=4, landmarks=68), path)
    return path


def test_info_tells_what_is_in_the_default_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "info", "default", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    model = load_model("default")
    assert told["digest"] == model.digest
    assert (told["vertices"], told["triangles"]) == (model.vertex_count, len(model.triangles))
    assert told["identity"]["components"] == model.shape_count
    assert told["expressions"]["names"] == list(model.expression_names)
    assert told["landmarks"] == {"ibug68": 68, "mediapipe478": 478}
    assert told["turning_eyes"] is True
    assert told["licence"].startswith("CC0")


def test_info_says_how_far_a_component_moves_the_head(model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["model", "info", str(model_file), "--json"])
    told = json.loads(capsys.readouterr().out)["identity"]["mean_mm_by_sigma"]
    model = load_model(str(model_file))
    moved = model.identity(np.diag(model.shape_sigma)[2]) - model.mean
    assert told[2] == pytest.approx(np.linalg.norm(moved, axis=1).mean(), abs=1e-3)


def test_info_for_people_has_a_line_for_each_thing(model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["model", "info", str(model_file)])
    lines = capsys.readouterr().out.splitlines()
    assert "mesh                 200 vertices" in "\n".join(lines)
    assert [line for line in lines if line.startswith("licence")] == ["licence              not told by the file"]


def test_info_says_how_landmarks_are_found_where_there_are_none(
    model_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_npz(replace(load_model(str(model_file)), landmarks={}, contours={}), model_file)
    main(["model", "info", str(model_file)])
    assert "landmarks            none: `face3dmm model correspond FILE` finds them" in capsys.readouterr().out


def test_draw_writes_a_sheet_of_what_a_model_can_be(model_file: Path, tmp_path: Path) -> None:
    assert main(["model", "draw", str(model_file), "--save", str(tmp_path / "sheet.png")]) == 0
    picture = cv2.imread(str(tmp_path / "sheet.png"))
    # A row of means and people, two of identities and one of four expressions; 8 cells a row.
    assert picture.shape == (4 * 200, 8 * 170, 3)
    assert picture[:200].std() > 5


def test_convert_keeps_the_faces(model_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "convert", str(model_file), "--save", str(tmp_path / "out.npz")]) == 0
    assert load_model(str(tmp_path / "out.npz")).digest == load_model(str(model_file)).digest
    assert "by more than 0.0000 mm" in capsys.readouterr().out


def test_convert_keeps_the_first_components(model_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "small.npz"
    main(["model", "convert", str(model_file), "--save", str(out), "--keep-identities", "2", "--keep-expressions", "1"])
    small, whole = load_model(str(out)), load_model(str(model_file))
    assert (small.shape_count, small.expression_names) == (2, whole.expression_names[:1])
    assert small.vertices([3, 1], [2]) == pytest.approx(whole.vertices([3, 1], [2]), abs=1e-3)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--save", "out.mat"], "must end in .npz"),
        (["--save", "some.npz"], "over itself"),
        (["--save", "out.npz", "--keep-identities", "7"], "has 6 identities: 7 of them cannot be kept"),
        (["--save", "some.npz/out.npz"], "is no folder"),
    ],
)
def test_what_cannot_be_converted_is_refused_in_a_line(
    model_file: Path,
    options: list[str],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(model_file.parent)
    before = model_file.read_bytes()
    assert main(["model", "convert", "some.npz", *options]) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert error.count("\n") == 1
    assert model_file.read_bytes() == before
    assert not (model_file.parent / "out.npz").exists()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--picture", "found.nothing"], "found.nothing would be an image in a format that is not known"),
        (["--expressions", "damaged.npz"], "is the model itself"),
        (["--save", "a.npz", "--expressions", "./a.npz"], "is the file of --expressions too"),
        (["--picture", "damaged.npz/found.png"], "is no folder"),
    ],
)
def test_where_to_write_what_is_found_is_checked_before_the_model_is_read(
    options: list[str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("damaged.npz").write_bytes(b"PK")
    assert main(["model", "correspond", "damaged.npz", *options]) == 2
    assert expected in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["damaged.npz"]


def test_a_sheet_in_no_format_is_refused_before_the_model_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "draw", "nowhere.npz", "--save", "sheet.nothing"]) == 2
    assert "let it end in .png or .jpg" in capsys.readouterr().err


def test_a_model_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "info", "nowhere.npz"]) == 2
    assert "there is no model at nowhere.npz" in capsys.readouterr().err


def test_what_is_no_model_is_told_with_what_could_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "numbers.npz", one=np.zeros(3))
    assert main(["model", "info", str(tmp_path / "numbers.npz")]) == 2
    error = capsys.readouterr().err
    assert "an archive of arrays (.npz) with one" in error
    assert "this package's own (*.npz)" in error


def test_a_converted_model_keeps_what_is_known_of_its_licence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_npz(
        random_model(vertices=200, shape=2, expression=2, landmarks=68),
        tmp_path / "owned.npz",
        licence="research alone",
    )
    main(["model", "convert", str(tmp_path / "owned.npz"), "--save", str(tmp_path / "out.npz")])
    capsys.readouterr()
    main(["model", "info", str(tmp_path / "out.npz"), "--json"])
    assert json.loads(capsys.readouterr().out)["licence"] == "research alone"


def test_a_smaller_copy_of_the_default_model_keeps_its_licence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["model", "convert", "default", "--save", str(tmp_path / "out.npz"), "--keep-identities", "9"])
    capsys.readouterr()
    main(["model", "info", str(tmp_path / "out.npz"), "--json"])
    assert json.loads(capsys.readouterr().out)["licence"].startswith("CC0 1.0")

"""`face3dmm train` and `face3dmm export` as their users type them."""

from pathlib import Path

import pytest
import yaml

from face3dmm_ros.cli.main import main
from face3dmm_ros.lab.training import checked_yaml

CONFIG = """
network: tiny
datasets:
  - {kind: labelled_folder, path: 12}
losses:
  vertex_distance: {weight: 0.01}
layout: {shape_count: 4, expression_count: 3}
steps: 4
batch: 4
validation_count: 4
workers: 0
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("torch", reason="needs torch")
    from small_training import use_small_parts

    use_small_parts(monkeypatch)
    path = tmp_path / "mine.yaml"
    path.write_text(CONFIG.replace("path: 12", "path: '12'").replace("tiny", "light"))
    return path


def test_train_writes_weights_that_export_takes(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main(["train", str(config), "--out", str(out), "--set", "steps=2"]) == 0
    said = capsys.readouterr()
    assert f"written: {out / 'weights.safetensors'}" in said.out
    assert "8 faces to learn from, 4 held back" in said.err
    assert main(["train", str(config), "--out", str(out), "--set", "steps=3"]) == 0
    assert "going on after step 2 of 3" in capsys.readouterr().err
    assert main(["export", str(out)]) == 0
    assert (out / "weights.pt").is_file()
    assert "SHA-256: " in capsys.readouterr().out


def test_check_reads_configuration_and_data_only(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", str(config), "--check"]) == 0
    assert "labelled_folder 12: 8 faces to learn from, 4 held back" in capsys.readouterr().out
    assert {file.name for file in tmp_path.iterdir()} == {"mine.yaml"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["train", "nowhere.yaml"], "nowhere.yaml"),
        (
            ["train", "nothing"],
            "neither a file 'nothing' nor a shipped recipe of that name; the recipes are 2dasl, dense, ",
        ),
        (["train", "light", "--set", "stepz=3"], "did you mean 'steps'?"),
        (["train", "light", "--set", "steps"], "expected KEY=VALUE"),
        (["train", "light", "--set", "datasets.²=1"], "has no part '²'"),
        (["train", "light", "--set", "datasets." + "9" * 5000 + "=1"], "datasets.99999"),
        (["train", "light", "--set", "new" + ".a" * 5000 + "=1"], "leads deeper"),
        (["export", "nowhere.safetensors"], "nowhere.safetensors"),
    ],
)
def test_mistake_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    pytest.importorskip("torch", reason="needs torch")
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.strip().count("\n") == 0


def test_a_file_of_very_many_keys_is_looked_through_once(tmp_path: Path) -> None:
    """To count each of them among all would take minutes: text is compared some thousand million times."""
    compared = 0

    class Key(str):
        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    keys = [yaml.ScalarNode("tag:yaml.org,2002:str", Key(f"k{number}")) for number in range(1000)]
    node = yaml.MappingNode("tag:yaml.org,2002:map", [(key, key) for key in keys])
    assert len(checked_yaml._Loader("").construct_mapping(node)) == 1000
    assert compared < 10_000


def test_export_refuses_what_is_no_regressor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch", reason="needs torch")
    path = tmp_path / "face.safetensors"
    path.write_text("hello")
    assert main(["export", str(path)]) == 2
    assert "is not a regressor's weights" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["train", "export"])
def test_help_teaches(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([verb, "--help"])
    assert "examples:" in capsys.readouterr().out

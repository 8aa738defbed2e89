"""The command line from end to end: each file of arguments in golden/cli is run, and what it says and writes compared.

NAME.args holds the arguments of one `face3dmm`, a line each; {out} is its folder, {portrait} a picture, and {NAME} the
folder that another one wrote, which is run first. NAME.json is what came of it: `FREEZE=1 pytest test_cli_golden.py`
writes it anew, to be looked at before it is committed. Numbers may differ by what renderers and processors differ by.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import scipy.io
from rosbags.rosbag2 import Reader

from face3dmm_ros.cli.main import main

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).parent / "golden" / "cli"
CASES = sorted(path.stem for path in GOLDEN.glob("*.args"))
SPEED = re.compile(r"[\d.]+ images/s")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
# Between OpenGL's software renderers, and between BLAS libraries, fitted numbers moved by less than this.
RELATIVE, ABSOLUTE = 0.03, 0.05
# Coefficients that pictures hardly tell moved by up to this between processors, whose networks round otherwise.
LOOSE_ABSOLUTE = {"alpha": 3.0, "gamma": 0.5}
CHANGING = {
    "software_digest",
    "versions",
    "images_per_s",
    "latency_ms",
    "software",
    "model_digest",
    "written",
    "seconds",
    "ms_per_picture",
}
"""Keys whose values are another with each version or run."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, astronaut: np.ndarray) -> "Runs":
    pytest.importorskip("torch", reason="needs torch (make torch)")
    folder = tmp_path_factory.mktemp("golden")
    cv2.imwrite(str(folder / "portrait.png"), astronaut[:300, 60:360])
    return Runs(folder)


@dataclass(frozen=True)
class Run:
    """What a command did: its exit code, what it said on stdout and stderr, and where it was to write."""

    code: int
    said: str
    complained: str
    out: Path


class Runs:
    """What the cases did, each of them once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._done: dict[str, Run] = {}

    def of(self, name: str) -> Run:
        if name not in self._done:
            out = self.folder / name
            words = (GOLDEN / f"{name}.args").read_text(encoding="utf-8").splitlines()
            places = {"out": out, "portrait": self.folder / "portrait.png"}
            needed = [other for other in CASES if any(f"{{{other}}}" in word for word in words)]
            places |= {other: self.of(other).out for other in needed}
            said, complained = StringIO(), StringIO()
            with redirect_stdout(said), redirect_stderr(complained):
                code = main([word.format(**places) for word in words])
            self._done[name] = Run(code, said.getvalue(), complained.getvalue(), out)
        return self._done[name]

    def tidy(self, text: str) -> str:
        """A text without the folder's name and how fast the machine was."""
        return SPEED.sub("N images/s", text.replace(str(self.folder), "FOLDER"))

    def lines(self, text: str) -> list[str]:
        """Its lines but progress bars."""
        lines = (line.rpartition("\r")[2].rstrip() for line in self.tidy(text).splitlines())
        return [line for line in lines if line and "%|" not in line]


def described(runs: Runs, folder: Path) -> dict[str, Any]:
    """What a folder holds: the content of JSON, the shapes of pictures and truths, the vertices of meshes, topics."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if (path / "metadata.yaml").is_file():
            with Reader(path) as reader:
                found[name] = {topic.topic: topic.msgcount for topic in reader.connections}
        elif path.suffix == ".json":
            found[name] = json.loads(runs.tidy(path.read_text(encoding="utf-8")))
        elif path.suffix in (".png", ".jpg"):
            found[name] = list(cv2.imread(str(path)).shape)
        elif path.suffix == ".mat":
            found[name] = {key: list(shape) for key, shape, _ in scipy.io.whosmat(str(path))}
        elif path.suffix == ".obj":
            lines = path.read_text(encoding="utf-8").splitlines()
            found[name] = {kind: sum(line.startswith(f"{kind} ") for line in lines) for kind in ("v", "vt", "f")}
        elif path.is_file() and not (path.parent / "metadata.yaml").is_file():
            found[name] = "a file"
    return found


def without_changing(value: Any) -> Any:
    """Without what is another each time, and long arrays cut to their first numbers."""
    if isinstance(value, dict):
        return {key: without_changing(part) for key, part in value.items() if key not in CHANGING}
    if isinstance(value, list):
        return [without_changing(part) for part in value[:6]] + ([f"{len(value)} in all"] if len(value) > 6 else [])
    return round(value, 4) if isinstance(value, float) else value


def differences(found: Any, expected: Any, where: str = "") -> Iterator[str]:
    """Where two descriptions disagree."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for key in found.keys() | expected.keys():
            if key not in found or key not in expected:
                yield f"{where}/{key} is {'missing' if key in expected else 'new'}"
            else:
                yield from differences(found[key], expected[key], f"{where}/{key}")
    elif isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        for index, pair in enumerate(zip(found, expected, strict=True)):
            yield from differences(*pair, f"{where}/{index}")
    elif isinstance(found, str) and isinstance(expected, str):
        numbers = zip(NUMBER.findall(found), NUMBER.findall(expected), strict=False)
        same = NUMBER.sub("0", found) == NUMBER.sub("0", expected)
        # Whole numbers are rounded ones, such as degrees.
        if not same or not all(np.isclose(float(a), float(b), RELATIVE, ABSOLUTE + ("." not in b)) for a, b in numbers):
            yield f"{where}: found {found!r}, expected {expected!r}"
    elif isinstance(found, float | int) and isinstance(expected, float | int) and not isinstance(expected, bool):
        loose = [tolerance for name, tolerance in LOOSE_ABSOLUTE.items() if f"/{name}/" in where]
        if not np.isclose(found, expected, rtol=RELATIVE, atol=max([ABSOLUTE, *loose])):
            yield f"{where}: found {found}, expected {expected}"
    elif found != expected:
        yield f"{where}: found {found!r}, expected {expected!r}"


@pytest.mark.parametrize("name", CASES)
def test_a_command_says_and_writes_what_it_did(name: str, runs: Runs) -> None:
    run = runs.of(name)
    found = {
        "exit code": run.code,
        "said": runs.lines(run.said),
        "complained": runs.lines(run.complained),
        "written": described(runs, run.out) if run.out.is_dir() else {},
    }
    found = {key: without_changing(part) for key, part in found.items()}
    frozen = GOLDEN / f"{name}.json"
    if os.environ.get("FREEZE"):
        frozen.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    assert list(differences(found, json.loads(frozen.read_text(encoding="utf-8")))) == []

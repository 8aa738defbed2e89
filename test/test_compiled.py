import importlib
import subprocess
import sys
from pathlib import Path

import numba
import pytest
from numba.core import event
from numba.core.dispatcher import Dispatcher

from face3dmm_ros.core import compiled as module
from face3dmm_ros.core.compiled import compiled

REPOSITORY = Path(__file__).resolve().parent.parent

USES_IT = """
import sys
sys.path.insert(0, sys.argv[1])
from face3dmm_ros.core import compiled as module
from face3dmm_ros.core.compiled import compiled

def doubled(x: int) -> int:
    return 2 * x

print(compiled(doubled)(21))
"""


def run(script: Path, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(script), str(REPOSITORY)]
    return subprocess.run(command, env={"PATH": "/usr/bin", **environment}, capture_output=True, text=True, check=False)


def test_what_is_compiled_is_kept_for_the_next_process(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(USES_IT)
    assert run(script).stdout == "42\n"
    kept = list((tmp_path / "__pycache__").glob("script.doubled-*.nbc"))
    assert len(kept) == 1
    written = kept[0].stat().st_mtime_ns
    assert run(script).stdout == "42\n"
    assert kept[0].stat().st_mtime_ns == written


def test_where_nothing_can_be_kept_it_is_compiled_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_: object) -> None:
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr("numba.core.dispatcher.FunctionCache", nowhere)
    assert compiled(lambda x: x + 1)(1) == 2


def test_a_division_by_zero_is_numpys_and_no_error() -> None:
    @compiled
    def ratio(a: float, b: float) -> float:
        return a / b

    assert ratio(1.0, 0.0) == float("inf")


def test_a_compiled_function_calls_those_of_its_own_file_alone() -> None:
    """What is kept of it is made anew when its own file changes, and not when another does."""
    strangers = []
    for path in (REPOSITORY / "face3dmm_ros").rglob("*.py"):
        if "core.compiled import" not in path.read_text():
            continue
        owner = importlib.import_module(".".join(path.relative_to(REPOSITORY).with_suffix("").parts))
        machine_code = {name: each for name, each in vars(owner).items() if isinstance(each, Dispatcher)}
        for name, function in machine_code.items():
            used = {
                machine_code[other].__module__ for other in function.py_func.__code__.co_names if other in machine_code
            }
            strangers += [f"{owner.__name__}.{name} calls one of {other}" for other in used - {function.__module__}]
    assert not strangers


def test_who_sits_at_a_terminal_is_told_once_that_it_takes_a_while(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def first(x: int) -> int:
        return x + 1

    def second(x: int) -> int:
        return x + 2

    def somebody_elses(x: int) -> int:
        return x + 3

    first.__module__ = second.__module__ = "face3dmm_ros.somewhere"
    notice = module._Notice()
    monkeypatch.setattr(module._NOTICE, "_said", True)
    monkeypatch.setattr(module.sys.stderr, "isatty", lambda: True)
    with event.install_listener("numba:compile", notice):
        numba.njit(somebody_elses)(1)
        assert not capsys.readouterr().err
        assert numba.njit(first)(1) + numba.njit(second)(1) == 5
    (said,) = capsys.readouterr().err.splitlines()
    assert "compiling for this processor, once" in said

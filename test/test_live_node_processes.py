"""The processes of a live run: what ends by itself comes back, and nothing outlives the run."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.live import node_processes
from face3dmm_ros.live.node_processes import NodeProcesses


@pytest.fixture
def processes() -> Iterator[NodeProcesses]:
    with NodeProcesses() as started:
        yield started


def writes(file: Path, *, first: str = "pass", then: str = "time.sleep(60)") -> list[str]:
    """A command that writes its process id to a file, between two other things."""
    code = f"import os, signal, sys, time; {first}; open({str(file)!r}, 'w').write(f'{{os.getpid()}} '); {then}"
    return [sys.executable, "-c", code]


def process_id(file: Path, not_this: int = 0) -> int:
    deadline = time.monotonic() + 30.0
    while time.monotonic() < deadline:
        text = file.read_text() if file.exists() else ""
        if text.endswith(" ") and int(text) != not_this:
            return int(text)
        time.sleep(0.01)
    raise AssertionError(f"{file} was not written")


def killed(pid: int, number: int = signal.SIGKILL) -> int:
    """End a process, wait until it has ended, and return its id."""
    os.kill(pid, number)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid


def test_a_process_that_is_killed_is_started_again_and_that_is_said(processes, tmp_path):
    processes.start("fitter_node", writes(tmp_path / "first"), again=writes(tmp_path / "again"))
    assert processes.revive() == []
    killed(process_id(tmp_path / "first"))
    assert processes.revive() == ["fitter_node was ended by signal 9: it is started again"]
    process_id(tmp_path / "again")
    assert processes.revive() == []


def test_a_process_that_ends_again_and_again_is_given_up(processes, tmp_path):
    processes.start("fitter_node", writes(tmp_path / "id"))
    pid = 0
    for _ in range(2):
        pid = killed(process_id(tmp_path / "id", not_this=pid))
        assert len(processes.revive()) == 1
    killed(process_id(tmp_path / "id", not_this=pid))
    with pytest.raises(Face3DMMError, match="fitter_node was ended by signal 9, for the 3rd time within a minute"):
        processes.revive()


def test_before_a_run_has_begun_a_process_that_ends_is_an_error(processes, tmp_path):
    processes.start("fitter_node", writes(tmp_path / "id", then="sys.exit(2)"))
    pid = process_id(tmp_path / "id")
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(Face3DMMError, match="fitter_node ended with exit code 2: its own message says why"):
        processes.require_all()


def test_all_processes_end_with_the_run_also_those_that_hear_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(node_processes, "_STOP_TIMEOUT", 0.5)
    with NodeProcesses() as processes:
        processes.start("one", writes(tmp_path / "one"))
        processes.start("deaf", writes(tmp_path / "deaf", first="signal.signal(15, signal.SIG_IGN)"))
        pids = [process_id(tmp_path / name) for name in ("one", "deaf")]
        assert len(processes) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

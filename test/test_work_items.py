"""Items of work in processes and on a cluster: each is done once, and one that kills its worker costs only itself."""

import asyncio
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

import face3dmm_ros
from face3dmm_ros.core import work_items
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.work_items import DaskPool, LocalPool, Pool, WorkerDiedError, outcomes

needs_dask = pytest.mark.skipif(
    find_spec("distributed") is None, reason="needs Dask: pip install -r requirements-cluster.txt"
)


def note(folder: Path, item: int) -> int:
    """Leaves a mark for each time that an item is done."""
    with (folder / str(item)).open("a") as file:
        file.write("x")
    return 10 * item


def note_or_refuse(folder: Path, item: int) -> int:
    if item == 2:
        raise Face3DMMError("2 cannot be used")
    return note(folder, item)


def die() -> None:
    # Not at once: Dask's nanny does not replace a worker that dies before it has heard that it runs.
    time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGKILL)


def note_or_die(folder: Path, item: int) -> int:
    if item == 2:
        die()
    return note(folder, item)


def note_or_die_once(folder: Path, item: int) -> int:
    if item == 2 and not (folder / "died").exists():
        (folder / "died").touch()
        die()
    return note(folder, item)


def note_or_err(folder: Path, item: int) -> int:
    if item == 2:
        raise ZeroDivisionError
    return note(folder, item)


def opened(folder: Path) -> str:
    (folder / f"opened by {os.getpid()} at {time.monotonic_ns()}").touch()
    return "shared"


def with_shared(shared: str, item: int) -> str:
    time.sleep(0.1)
    return f"{shared} {item}"


def is_profiled(item: int) -> bool:
    """Whether this is one of the threads that Dask's profiler looks into."""
    return threading.current_thread().name.startswith("Dask")


def sleep(item: int) -> int:
    time.sleep(600.0 if item else 0.0)
    return item


def times_done(folder: Path) -> dict[int, int]:
    return {int(path.name): len(path.read_text()) for path in folder.iterdir() if path.name.isdigit()}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster of two worker processes on this machine, which tries what a worker dies of once more."""
    distributed = pytest.importorskip("distributed", reason="needs Dask: pip install -r requirements-cluster.txt")
    import dask

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as cluster,
    ):
        yield cluster


@pytest.fixture(params=["processes", pytest.param("cluster", marks=[pytest.mark.slow, needs_dask])])
def pool(request: pytest.FixtureRequest) -> Pool:
    if request.param == "processes":
        return LocalPool(2)
    return DaskPool(request.getfixturevalue("cluster").scheduler_address)


def test_every_item_is_done_once_and_comes_with_its_result(tmp_path: Path, pool: Pool) -> None:
    found = dict(outcomes(partial(note, tmp_path), range(9), pool))
    assert found == {item: 10 * item for item in range(9)}
    assert times_done(tmp_path) == dict.fromkeys(range(9), 1)


def test_what_items_share_is_opened_once_in_a_worker_and_anew_in_the_next_run(tmp_path: Path, pool: Pool) -> None:
    for run in (1, 2):
        found = dict(outcomes(with_shared, range(9), pool, share=partial(opened, tmp_path)))
        assert found == {item: f"shared {item}" for item in range(9)}
        assert run <= len(list(tmp_path.iterdir())) <= 2 * run


def test_no_items_start_no_process() -> None:
    assert list(outcomes(sleep, [], LocalPool(2))) == []


def test_an_item_that_cannot_be_used_comes_with_the_reason(tmp_path: Path, pool: Pool) -> None:
    found = dict(outcomes(partial(note_or_refuse, tmp_path), range(4), pool))
    assert str(found.pop(2)) == "2 cannot be used"
    assert found == {0: 0, 1: 10, 3: 30}


def test_an_item_whose_worker_dies_is_tried_again(tmp_path: Path, pool: Pool) -> None:
    found = dict(outcomes(partial(note_or_die_once, tmp_path), range(9), pool))
    assert found == {item: 10 * item for item in range(9)}


def test_an_item_that_kills_every_worker_costs_only_itself(tmp_path: Path, pool: Pool) -> None:
    found = dict(outcomes(partial(note_or_die, tmp_path), range(9), pool))
    assert isinstance(found.pop(2), WorkerDiedError)
    assert found == {item: 10 * item for item in range(9) if item != 2}


def test_a_fault_of_the_program_is_no_fault_of_the_item(tmp_path: Path, pool: Pool) -> None:
    with pytest.raises(ZeroDivisionError):
        list(outcomes(partial(note_or_err, tmp_path), range(4), pool))


def test_processes_end_where_their_results_are_no_longer_wanted() -> None:
    before = set(multiprocessing.active_children())
    with closing(outcomes(sleep, range(3), LocalPool(2))) as found:
        assert next(found) == (0, 0)
    assert set(multiprocessing.active_children()) <= before


@needs_dask
def test_a_scheduler_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_items, "_CONNECT_S", 0.2)
    for address in ("tcp://127.0.0.1:9", "nonsense"):
        with pytest.raises(Face3DMMError, match=f"no Dask scheduler answers at {address}"):
            list(outcomes(sleep, [0], DaskPool(address)))


class LostResult:
    """What a cluster has done, but for a worker that died before anybody fetched it."""

    def result(self, timeout: float) -> Any:
        raise asyncio.TimeoutError


class WithoutWorkers:
    """A client of a scheduler that has lost all workers."""

    status = "running"

    def nthreads(self) -> dict[str, int]:
        return {}


@needs_dask
def test_a_result_that_was_lost_with_the_last_worker_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_items, "_ALONE_S", 0.0)
    done: Queue[Any] = Queue()
    done.put(LostResult())
    with pytest.raises(Face3DMMError, match="lost all its workers"):
        work_items._next(done, WithoutWorkers())


@needs_dask
@pytest.mark.slow
def test_dasks_profiler_does_not_look_into_an_item(cluster: Any) -> None:
    assert list(outcomes(is_profiled, [0], DaskPool(cluster.scheduler_address))) == [(0, False)]


@needs_dask
@pytest.mark.slow
def test_work_ends_with_its_scheduler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_items, "_CONNECT_S", 10.0)
    file = tmp_path / "scheduler.json"
    program = [sys.executable, "-m", "distributed.cli.dask_{}", "--scheduler-file", str(file), "--no-dashboard"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    started: list[subprocess.Popen[bytes]] = []
    try:
        for kind, options in (("scheduler", ["--port", "0"]), ("worker", ["--no-nanny", "--nthreads", "1"])):
            words = [word.format(kind) for word in program]
            started.append(subprocess.Popen([*words, *options], stderr=subprocess.DEVNULL, env=environment))
            while not file.exists():
                assert started[0].poll() is None
                time.sleep(0.05)
        found = outcomes(sleep, [0, 1], DaskPool(json.loads(file.read_text())["address"]))
        assert next(found) == (0, 0)
        started[0].kill()
        with pytest.raises(Face3DMMError, match="the Dask scheduler is gone"):
            next(found)
    finally:
        for process in started:
            process.kill()
            process.wait()


@needs_dask
@pytest.mark.slow
def test_workers_of_another_version_are_refused(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face3dmm_ros, "__version__", "0.0.1")
    with pytest.raises(Face3DMMError, match=r"has not face3dmm_ros 0\.0\.1"):
        list(outcomes(sleep, [0], DaskPool(cluster.scheduler_address)))


@needs_dask
@pytest.mark.slow
def test_workers_of_several_threads_are_refused() -> None:
    from distributed import LocalCluster

    with (
        LocalCluster(1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster,
        pytest.raises(Face3DMMError, match="--nthreads 1"),
    ):
        list(outcomes(sleep, [0], DaskPool(cluster.scheduler_address)))


def test_without_dask_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_items, "find_spec", lambda name: None)
    with pytest.raises(Face3DMMError, match=r"pip install 'face3dmm_ros\[cluster\]'"):
        list(outcomes(sleep, [0], DaskPool("tcp://127.0.0.1:8786")))

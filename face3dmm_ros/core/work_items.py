"""Items of work handed to processes of this machine, or to the workers of a Dask cluster, and what comes of each."""

import asyncio
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import islice
from queue import Empty, Queue
from typing import Any, TypeVar
from uuid import uuid4

from face3dmm_ros.core.closing import Closing
from face3dmm_ros.core.errors import Face3DMMError, one_line
from face3dmm_ros.core.library_threads import limit_threads
from face3dmm_ros.core.worker_process import begin_worker

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD = 2
"""Items per process that are handed over and not yet done, so that none waits and many items cost no memory; chosen by
hand."""
_CONNECT_S = 30.0
"""How long a scheduler may take to answer, and its first worker to come; chosen by hand."""
_LOOK_S, _ALONE_S = 2.0, 60.0
"""Between looks at whether there are workers, and how long there may be none; chosen by hand: one that died is replaced
in seconds."""
_FETCH_S = 10.0
"""How long a result may take to come from its worker before others are fetched first; chosen by hand: it is small."""
_GONE = "the Dask scheduler is gone: start it, and the same command goes on"
_NO_FAULT_OF_OURS = (Face3DMMError, OSError)
"""What an item is to blame for: input that cannot be used, or what the system refuses. All else is raised."""


class WorkerDiedError(Face3DMMError):
    """An item's worker ended under it, each time that it was tried."""


@dataclass(frozen=True)
class LocalPool:
    """Processes of this machine.

    Attributes:
        processes: how many; 0: one a core.
        begin: called in each as it starts; it calls `begin_worker`.
        arguments: of `begin`.
    """

    processes: int = 0
    begin: Callable[..., None] = begin_worker
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True)
class DaskPool:
    """The workers of a Dask cluster.

    Attributes:
        address: of its scheduler, such as tcp://127.0.0.1:8786.
    """

    address: str


Pool = LocalPool | DaskPool


def outcomes(
    function: Callable[..., Result], items: Iterable[Item], pool: Pool, share: Callable[[], Any] | None = None
) -> Generator[tuple[Item, Result | Exception], None, None]:
    """Do a function for each item; yields each with its result, or with its error, as they come.

    An item whose worker dies is tried again. To stop early, close the generator: what is being done then is given up.

    Args:
        function: of a module, or a `partial` of one; it raises Face3DMMError for an item that cannot be done.
        items: whatever can be pickled; taken as workers have room.
        pool: who does them. A worker of a cluster has its own folder: files are named from the root.
        share: opens what a worker's items share, such as models, which `function` is given before the item; it can be
            pickled. Called once in each worker and again in the next run, when what it returned is closed, if it can.

    Raises:
        Face3DMMError: the cluster cannot be used.
    """
    if share is not None:
        function = partial(_with_shared, uuid4().hex, share, function)
    return _on_cluster(function, items, pool) if isinstance(pool, DaskPool) else _in_processes(function, items, pool)


_shared: tuple[str, Any] = "", None
"""A worker's run, and what its items share."""


def _with_shared(run: str, share: Callable[[], Any], function: Callable[[Any, Item], Result], item: Item) -> Result:
    """Do an item in a worker, with what its run shares."""
    global _shared
    if _shared[0] != run:
        # A cluster's worker lives on, and files may have changed since its last run.
        if isinstance(_shared[1], Closing):
            _shared[1].close()
        _shared = "", None
        _shared = run, share()
    return function(_shared[1], item)


# Processes of this machine


def _in_processes(
    function: Callable[[Item], Result], items: Iterable[Item], pool: LocalPool
) -> Generator[tuple[Item, Result | Exception], None, None]:
    processes = pool.processes or len(os.sched_getaffinity(0))
    waiting = iter(items)
    while suspects := (yield from _until_a_death(function, waiting, pool, processes, _AHEAD * processes)):
        # One at a time, so that it is known which one its process dies of.
        again = iter(suspects)
        while died := (yield from _until_a_death(function, again, pool, 1, 1)):
            yield died[0], WorkerDiedError("its worker process died twice, perhaps for want of memory: fewer --jobs "
                "need less")  # fmt: skip


def _until_a_death(
    function: Callable[[Item], Result], waiting: Iterator[Item], pool: LocalPool, processes: int, ahead: int
) -> Generator[tuple[Item, Result | Exception], None, list[Item]]:
    """Do what is waiting until a process dies; returns the items that were handed over then, none if all are done."""
    taken = list(islice(waiting, ahead))
    if not taken:
        return []
    executor = ProcessPoolExecutor(
        min(processes, len(taken)), multiprocessing.get_context("spawn"), pool.begin, pool.arguments
    )
    under_way: dict[Any, Item] = {}
    is_whole = False
    try:
        while taken or under_way:
            for number, item in enumerate(taken):
                try:
                    under_way[executor.submit(function, item)] = item
                except BrokenProcessPool:
                    return [*under_way.values(), *taken[number:]]
            done, _ = wait(under_way, return_when=FIRST_COMPLETED)
            if any(isinstance(future.exception(), BrokenProcessPool) for future in done):
                done, _ = wait(under_way)
                for future in done:
                    if not isinstance(future.exception(), BrokenProcessPool):
                        yield under_way.pop(future), _result_of(future)
                return list(under_way.values())
            taken = list(islice(waiting, len(done)))
            for future in done:
                yield under_way.pop(future), _result_of(future)
        is_whole = True
        return []
    finally:
        if not is_whole:
            _end(executor)
        executor.shutdown(cancel_futures=True)


def _result_of(future: Any) -> Any:
    """The result, or the error that its item is to blame for."""
    try:
        return future.result()
    except _NO_FAULT_OF_OURS as error:
        return error


def _end(executor: ProcessPoolExecutor) -> None:
    """End a pool's processes, which do not hear Ctrl-C, rather than wait for what they are doing."""
    for process in list((executor._processes or {}).values()):
        with suppress(OSError):
            process.terminate()


# A Dask cluster


def _on_cluster(
    function: Callable[[Item], Result], items: Iterable[Item], pool: DaskPool
) -> Generator[tuple[Item, Result | Exception], None, None]:
    with _connected(pool.address) as client:
        suspects: list[Item] = []
        for item, result in _worked_through(client, function, iter(items), most=0):
            # A result lies with its worker until it is fetched: a death may be held against what was done there.
            if isinstance(result, WorkerDiedError):
                suspects.append(item)
            else:
                yield item, result
        yield from _worked_through(client, function, iter(suspects), most=1)


def _worked_through(
    client: Any, function: Callable[[Item], Result], waiting: Iterator[Item], *, most: int
) -> Generator[tuple[Item, Result | Exception], None, None]:
    """Have items done, `most` at a time; 0: one in each worker."""
    work = partial(_one_at_a_time, function)
    under_way: dict[Any, Item] = {}
    done: Queue[Any] = Queue()
    try:
        while True:
            # One each, so that a worker's death is held against no item that it had not begun; asked each time, since
            # workers come and go.
            room = (most or max(_worker_count(client), 1)) - len(under_way)
            for item in islice(waiting, max(room, 0)):
                future = client.submit(work, item, pure=False)
                under_way[future] = item
                future.add_done_callback(done.put)
            if not under_way:
                return
            future, result = _next(done, client)
            yield under_way.pop(future), result
            future.release()
    finally:
        if client.status == "running":
            with suppress(OSError):
                client.cancel(list(under_way), force=True)


def _next(done: "Queue[Any]", client: Any) -> tuple[Any, Any]:
    """What is done next, and its result, or the error that its item is to blame for.

    Raises:
        Face3DMMError: the scheduler is gone, or has had no worker for long.
    """
    from distributed import KilledWorker

    alone_since = time.monotonic()
    while True:
        with suppress(Empty):
            future = done.get(timeout=_LOOK_S)
            try:
                return future, future.result(timeout=_FETCH_S)
            except KilledWorker:
                return future, WorkerDiedError("its worker died each time it was tried, perhaps for want of memory")
            except CancelledError as error:
                raise Face3DMMError(_GONE) from error
            except (asyncio.TimeoutError, OSError):
                # Its worker died before its result was fetched, so that it is being done again, if there are workers.
                done.put(future)
        if _worker_count(client):
            alone_since = time.monotonic()
        elif time.monotonic() - alone_since > _ALONE_S:
            raise Face3DMMError("the Dask cluster has lost all its workers: start some, and the same command goes on")


def _worker_count(client: Any) -> int:
    """How many threads the workers have, one each.

    Raises:
        Face3DMMError: the scheduler is gone.
    """
    if client.status == "closed":
        raise Face3DMMError(_GONE)
    try:
        return sum(client.nthreads().values())
    except OSError:  # the connection is lost, and is being made again for a while
        return 0


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """A client of a cluster whose workers have this package in this version, and one thread each.

    Raises:
        Face3DMMError: Dask is not installed, the scheduler does not answer, or its workers are others.
    """
    if find_spec("distributed") is None:
        raise Face3DMMError("--dask needs Dask, which is not installed: pip install 'face3dmm_ros[cluster]'")
    from distributed import Client

    try:
        client = Client(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise Face3DMMError(
            f"no Dask scheduler answers at {address}, such as tcp://127.0.0.1:8786 (`dask scheduler` prints it): "
            f"{one_line(error)}"
        ) from error
    with client:
        _check_workers(client)
        yield client


def _check_workers(client: Any) -> None:
    try:
        client.wait_for_workers(1, timeout=_CONNECT_S)
    except (asyncio.TimeoutError, TimeoutError) as error:
        raise Face3DMMError(
            "the Dask scheduler has no worker: `dask worker ADDRESS --nthreads 1` starts one"
        ) from error
    crowded = [worker for worker, threads in client.nthreads().items() if threads > 1]
    if crowded:
        raise Face3DMMError(
            f"the Dask worker {crowded[0]} has several threads, and faces are tracked by one a process: start it with "
            "--nworkers N --nthreads 1"
        )
    found: dict[str, Any] = client.run(_version, on_error="return")
    for where, version in found.items():
        # Who does not answer has died meanwhile.
        if version != _version() and not isinstance(version, OSError):
            what = one_line(version) if isinstance(version, Exception) else f"face3dmm_ros {version}"
            raise Face3DMMError(
                f"the Dask worker {where} has not face3dmm_ros {_version()}, as this machine has, but "
                f"answers: {what}; install the same there"
            )


def _version() -> str:
    # Not by an import: the package's front door stands above this room.
    return str(sys.modules["face3dmm_ros"].__version__)


_turn = threading.Lock()
"""Of a worker that came later, with several threads."""


def _one_at_a_time(function: Callable[[Item], Result], item: Item) -> Result | Exception:
    """Do an item in a worker of a cluster; what the item is to blame for is returned, since Dask raises its own."""
    with _turn:
        limit_threads()
        try:
            # In a thread that Dask's profiler does not look into: a frame that is looked at has its values counted once
            # more, which LiteRT takes for somebody's hold on its memory, and refuses to run.
            with ThreadPoolExecutor(1) as thread:
                return thread.submit(function, item).result()
        except _NO_FAULT_OF_OURS as error:
            return error

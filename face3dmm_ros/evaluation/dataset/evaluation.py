"""Any kind of data set through the pipeline, in worker processes, resumable after a kill at any moment."""

import hashlib
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.core.worker_process import begin_worker
from face3dmm_ros.evaluation.dataset.results_file import Record, ResultsFile
from face3dmm_ros.fit_methods import REGRESSOR_METHODS, SHIPPED, RegressorFile
from face3dmm_ros.morphable_model import load_model

Item = TypeVar("Item")
Look = Callable[[Any], Record]
"""What a worker process does with a task's subject; it raises Face3DMMError where the subject cannot be used."""

RESULTS_NAME = "results.jsonl"
_SKIPPED = "skipped"
_NETWORKS = (".tflite", ".npz", ".safetensors")
_SHIPPED_REGRESSOR = RegressorFile()


@dataclass(frozen=True)
class PipelineOptions:
    """What is judged.

    Attributes:
        format: of the data set.
        model: ``default`` or a file.
        backend: the landmark detector.
        fit_methods: one or more; they are given the same landmarks.
        regressor: the network of the fit methods that run one.
    """

    format: str
    model: str = "default"
    backend: str = "dense"
    fit_methods: tuple[str, ...] = ("joint",)
    regressor: RegressorFile = _SHIPPED_REGRESSOR

    def __post_init__(self) -> None:
        """Check the words.

        Raises:
            Face3DMMError: no fit method, or one twice.
        """
        if not self.fit_methods or len(set(self.fit_methods)) < len(self.fit_methods):
            raise Face3DMMError(
                f"name one or more different fit methods, found {', '.join(self.fit_methods) or 'none'}"
            )


@dataclass(frozen=True)
class Task:
    """Something to look at.

    Attributes:
        key: KIND/NAME, of no other task.
        subject: what a worker is given.
        stamp: of the files that it is made of, see `file_stamp`.
    """

    key: str
    subject: Any
    stamp: tuple[int, ...]


class DataSet(Protocol):
    """A kind of data set: its tasks, who does them, and what their records tell. It goes to the worker processes."""

    @property
    def root(self) -> Path:
        """The folder."""

    @property
    def options(self) -> PipelineOptions:
        """What is judged."""

    @property
    def unit(self) -> str:
        """What a task is about, in a word."""

    def tasks(self, limit: int | None) -> list[Task]:
        """All tasks, or those of `limit` pictures or people.

        Raises:
            Face3DMMError: there is none, or the limit is not positive.
        """

    def look(self) -> Look:
        """What a worker process does, ready to work.

        Raises:
            Face3DMMError: an option names something that does not exist.
        """

    def report(self, tasks: Sequence[Task], results: ResultsFile, out: Path) -> str:
        """Write report.json and report.html to a folder; returns the figures as plain text.

        Raises:
            Face3DMMError: not one task could be done, or nothing can be written there.
        """


@dataclass(frozen=True)
class Made:
    """What an evaluation was made with.

    Attributes:
        model, model_digest: the face model's name and digest.
        software: digest of the code and networks.
    """

    model: str
    model_digest: str
    software: str

    @staticmethod
    def by(options: PipelineOptions) -> "Made":
        """By the pipeline with these options."""
        model = load_model(options.model)
        return Made(model.name, model.digest, software_digest(options))


def settings(dataset: DataSet) -> Record:
    """What results depend on, and are therefore tied to: data set, options, model and software.

    Raises:
        Face3DMMError: an option names something that does not exist.
    """
    # Made once here, so that a wrong option is said before anything is written or a worker started.
    dataset.look()
    made = Made.by(dataset.options)
    return {
        "dataset": str(dataset.root.resolve()),
        **asdict(dataset.options),
        "model_digest": made.model_digest,
        "software": made.software,
    }


def software_digest(options: PipelineOptions) -> str:
    """SHA-256 (hex) of this package's code, its networks, and the files of the model and the regressor in use."""
    code = Path(__file__).parents[2]
    resources = package_file("resource/default_model.npz").parent
    files = [*code.rglob("*.py"), *(file for suffix in _NETWORKS for file in resources.rglob(f"*{suffix}"))]
    regressors = [options.regressor.path] if set(REGRESSOR_METHODS) & set(options.fit_methods) else []
    files += [Path(path) for path in (options.model, *regressors) if path != SHIPPED]
    sha = hashlib.sha256()
    for file in sorted(files):
        sha.update(file.read_bytes())
    return sha.hexdigest()


def spread(items: Sequence[Item], limit: int | None) -> list[Item]:
    """All items, or `limit` of them spread evenly.

    Raises:
        Face3DMMError: the limit is not positive.
    """
    if limit is None:
        return list(items)
    if limit < 1:
        raise Face3DMMError(f"the limit must be at least 1, found {limit}")
    chosen = np.unique(np.linspace(0, len(items) - 1, min(limit, len(items))).round().astype(int))
    return [items[index] for index in chosen]


def file_stamp(*paths: Path) -> tuple[int, ...]:
    """Sizes and times of files, which tell that one was replaced; zeros for a missing one."""
    stamps = [path.stat() if path.is_file() else None for path in paths]
    return tuple(number for s in stamps for number in ((s.st_size, s.st_mtime_ns) if s else (0, 0)))


def evaluate(tasks: Sequence[Task], dataset: DataSet, results: ResultsFile, *, jobs: int) -> Iterator[None]:
    """Do the tasks that have no result yet, in worker processes; yields after each of all tasks.

    Raises:
        Face3DMMError: a worker process died. What was finished is kept.
    """
    open_tasks = [task for task in tasks if not results.holds(task.key, list(task.stamp))]
    yield from [None] * (len(tasks) - len(open_tasks))
    if not open_tasks:
        return
    pool = ProcessPoolExecutor(
        min(jobs, len(open_tasks)), multiprocessing.get_context("spawn"), _start_worker, (dataset,)
    )
    try:
        for record in _in_pool(pool, _do, open_tasks, window=4 * jobs):
            results.append(record)
            yield None
    except BrokenProcessPool as error:
        raise Face3DMMError(
            "a worker process died, perhaps for want of memory (fewer --jobs need less). What was finished is "
            "kept: run again to go on"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def records_of(tasks: Sequence[Task], results: ResultsFile, skipped: dict[str, str]) -> Iterator[Record]:
    """The records of these tasks, one by one; why others could not be done goes to `skipped`, by name."""
    keys = {task.key for task in tasks}
    for record in results.records():
        if record["key"] not in keys:
            continue
        if _SKIPPED in record:
            skipped[name_of(record)] = record[_SKIPPED]
        else:
            yield record


def name_of(record: Mapping[str, Any]) -> str:
    """The name of what a record is about."""
    return str(record["key"]).partition("/")[2]


def nothing_usable(tasks: Sequence[Task], unit: str, skipped: Mapping[str, str]) -> Face3DMMError:
    """What to say where all tasks were skipped."""
    reasons = "; ".join(f"{name}: {reason}" for name, reason in list(skipped.items())[:3])
    return Face3DMMError(f"none of the {len(tasks)} could be used as a {unit}, such as {reasons}")


def _in_pool(
    pool: ProcessPoolExecutor, function: Callable[[Task], Record], tasks: Iterable[Task], window: int
) -> Iterator[Record]:
    """The results as they come, with at most `window` tasks under way, so that a large set costs no memory."""
    waiting: set[Future[Record]] = set()
    remaining = iter(tasks)
    while True:
        waiting |= {pool.submit(function, task) for task in islice(remaining, window - len(waiting))}
        if not waiting:
            return
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            yield future.result()


_look: Look | None = None
"""A worker process's own."""


def _start_worker(dataset: DataSet) -> None:
    """Make a worker process ready."""
    global _look
    begin_worker()
    _look = dataset.look()


def _do(task: Task) -> Record:
    """A task's record, in a worker process."""
    assert _look is not None
    record: dict[str, Any] = {"key": task.key, "stamp": list(task.stamp)}
    try:
        return {**record, **_look(task.subject)}
    except Face3DMMError as error:
        return {**record, _SKIPPED: str(error)}

"""Any kind of data set through the pipeline, in workers, resumable after a kill at any moment."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.work_items import Pool, outcomes
from face3dmm_ros.evaluation.dataset.pipeline_options import PipelineOptions, made_with
from face3dmm_ros.evaluation.dataset.report_parts import Evaluation
from face3dmm_ros.evaluation.dataset.results_file import Record, ResultsFile

Item = TypeVar("Item")
Look = Callable[[Any], Record]
"""Makes a task's subject into a record, in a worker process; raises Face3DMMError if the subject cannot be used."""

RESULTS_NAME = "results.jsonl"
_SKIPPED = "skipped"


@dataclass(frozen=True)
class Task:
    """A picture or person to evaluate.

    Attributes:
        key: KIND/NAME, unique among the tasks.
        subject: what a worker is given.
        stamp: `file_stamp` of its files.
    """

    key: str
    subject: Any
    stamp: tuple[int, ...]


@dataclass(frozen=True)
class DataSet(ABC):
    """A kind of data set: its tasks, how they are done, and the report on them. It is pickled to the worker processes.

    Attributes:
        root: the folder.
        options: what is evaluated.
        unit: what a task is about, in a word.
    """

    root: Path
    options: PipelineOptions
    unit: ClassVar[str]

    @abstractmethod
    def tasks(self, limit: int | None) -> list[Task]:
        """All tasks, or those of `limit` pictures or people.

        Raises:
            Face3DMMError: there is no picture, or the limit is not positive.
        """

    @abstractmethod
    def look(self) -> Look:
        """The function that does a task, with its models loaded.

        Raises:
            Face3DMMError: an option names something that does not exist.
        """

    @abstractmethod
    def evaluation(
        self, records: Iterator[Record], results: ResultsFile, skipped: Mapping[str, str]
    ) -> Evaluation[Any] | None:
        """The evaluation of these records of `results`, None if they are empty; iterating them fills `skipped`."""

    def report(self, tasks: Sequence[Task], results: ResultsFile, out: Path) -> Evaluation[Any]:
        """Write report.json and report.html to the folder `out`; returns what is in them.

        Raises:
            Face3DMMError: no task could be done, or a file cannot be written.
        """
        skipped: dict[str, str] = {}
        evaluation = self.evaluation(_records_of(tasks, results, skipped), results, skipped)
        if evaluation is None:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in list(skipped.items())[:3])
            raise Face3DMMError(f"none of the {len(tasks)} could be used as a {self.unit}, such as {reasons}")
        evaluation.write(out)
        return evaluation


def settings(dataset: DataSet) -> Record:
    """What results depend on, and are therefore tied to: data set, options, model and software.

    Raises:
        Face3DMMError: an option names something that does not exist.
    """
    dataset.look()  # a wrong option is reported before anything is written or a worker started
    made = made_with(dataset.options)
    return {
        "dataset": str(dataset.root.resolve()),
        **asdict(dataset.options),
        "model_digest": made["model_digest"],
        "software": made["software_digest"],
    }


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
    """Size and modification time, ns, of each file, by which a replaced one is noticed; zeros for a missing one."""
    stamps = [path.stat() if path.is_file() else None for path in paths]
    return tuple(number for s in stamps for number in ((s.st_size, s.st_mtime_ns) if s else (0, 0)))


def evaluate(
    tasks: Sequence[Task], dataset: DataSet, results: ResultsFile, pool: Pool
) -> Generator[tuple[str, Exception] | None, None, None]:
    """Do the tasks that have no result yet by a pool's workers, and keep each result as it comes.

    Yields once per task, done now or before; of one that came to no result, which another run tries again, its name and
    why: its worker died, or the system refused something.

    Raises:
        Face3DMMError: the cluster cannot be used; finished results are kept.
    """
    open_tasks = [task for task in tasks if not results.holds(task.key, list(task.stamp))]
    yield from [None] * (len(tasks) - len(open_tasks))
    with closing(outcomes(_do, open_tasks, pool, share=dataset.look)) as found:
        for task, record in found:
            if isinstance(record, Exception):
                yield name_of({"key": task.key}), record
            else:
                results.append(record)
                yield None


def _records_of(tasks: Sequence[Task], results: ResultsFile, skipped: dict[str, str]) -> Iterator[Record]:
    """The records of these tasks, one by one; those that could not be done enter `skipped`: the reason by name."""
    keys = {task.key for task in tasks}
    for record in results.records():
        if record["key"] not in keys:
            continue
        if _SKIPPED in record:
            skipped[name_of(record)] = record[_SKIPPED]
        else:
            yield record


def name_of(record: Mapping[str, Any]) -> str:
    """NAME of a record's key, KIND/NAME."""
    return str(record["key"]).partition("/")[2]


def _do(look: Look, task: Task) -> Record:
    record: dict[str, Any] = {"key": task.key, "stamp": list(task.stamp)}
    try:
        return {**record, **look(task.subject)}
    except Face3DMMError as error:
        return {**record, _SKIPPED: str(error)}

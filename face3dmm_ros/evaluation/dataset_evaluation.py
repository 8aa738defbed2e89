"""A whole data set through the pipeline, in worker processes, resumable after a kill at any moment."""

import hashlib
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from face3dmm_ros.errors import Face3DMMError
from face3dmm_ros.evaluation.accuracy import face_errors
from face3dmm_ros.evaluation.dataset_report import Evaluation, FalseAlarms
from face3dmm_ros.evaluation.datasets import dataset_format
from face3dmm_ros.evaluation.face_evaluator import EvaluationOptions, FaceEvaluator
from face3dmm_ros.evaluation.faceless_pictures import (
    FacelessPicture,
    faceless_pictures_in,
    installed_faceless_pictures,
)
from face3dmm_ros.evaluation.results_file import Record, ResultsFile
from face3dmm_ros.files import package_file
from face3dmm_ros.fit_methods import REGRESSOR_METHODS, SHIPPED
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.picture_files import find_pictures
from face3dmm_ros.worker_process import begin_worker

RESULTS_NAME = "results.jsonl"
_SKIPPED = "skipped"
_NETWORKS = (".tflite", ".npz", ".safetensors")


@dataclass(frozen=True)
class Task:
    """One picture to look at: a labelled one by its path, or one without a face."""

    key: str
    picture: Path | FacelessPicture
    stamp: tuple[int, ...]


def face_tasks(root: Path, options: EvaluationOptions, limit: int | None = None) -> list[Task]:
    """A task for every labelled picture of a data set, or for `limit` of them spread evenly over it.

    Raises:
        Face3DMMError: there is no picture, or the limit is not positive.
    """
    form = dataset_format(options.format)
    pictures = find_pictures(root, form.nested)
    if limit is not None:
        if limit < 1:
            raise Face3DMMError(f"the limit must be at least 1, found {limit}")
        chosen = np.unique(np.linspace(0, len(pictures) - 1, min(limit, len(pictures))).round().astype(int))
        pictures = [pictures[index] for index in chosen]
    return [
        Task(
            f"face/{picture.relative_to(root)}",
            picture,
            _stamp(picture) + _stamp(picture.with_suffix(form.truth_suffix)),
        )
        for picture in pictures
    ]


def faceless_tasks(options: EvaluationOptions, folder: Path | None = None) -> list[Task]:
    """A task for every picture without a face: those that are installed and those of a folder.

    None where the detector does not run.

    Raises:
        Face3DMMError: there is no picture in the folder.
    """
    if "truth" in (options.roi, options.landmarks):
        return []
    pictures = installed_faceless_pictures() + (faceless_pictures_in(folder) if folder else [])
    return [Task(f"faceless/{p.path}/{p.quarter}", p, _stamp(p.path)) for p in pictures]


def settings(root: Path, options: EvaluationOptions) -> Record:
    """What results depend on, and are therefore tied to: data set, options, model and software.

    Raises:
        Face3DMMError: an option names something that does not exist.
    """
    # Made once here, so that a wrong option is said before anything is written or a worker started.
    model = FaceEvaluator(options).model
    return {
        "dataset": str(root.resolve()),
        **asdict(options),
        "model_digest": model.digest,
        "software": software_digest(options),
    }


def software_digest(options: EvaluationOptions) -> str:
    """SHA-256 (hex) of this package's code, its networks, and the files of the model and the regressor in use."""
    code = Path(__file__).parent.parent
    resources = package_file("resource/default_model.npz").parent
    files = [*code.rglob("*.py"), *(file for suffix in _NETWORKS for file in resources.rglob(f"*{suffix}"))]
    regressors = [options.regressor.path] if set(REGRESSOR_METHODS) & set(options.fit_methods) else []
    files += [Path(path) for path in (options.model, *regressors) if path != SHIPPED]
    sha = hashlib.sha256()
    for file in sorted(files):
        sha.update(file.read_bytes())
    return sha.hexdigest()


def evaluate(tasks: Sequence[Task], options: EvaluationOptions, results: ResultsFile, *, jobs: int) -> Iterator[None]:
    """Do the tasks that have no result yet, in worker processes; yields after each of all tasks.

    Raises:
        Face3DMMError: a worker process died. What was finished is kept.
    """
    open_tasks = [task for task in tasks if not results.holds(task.key, list(task.stamp))]
    yield from [None] * (len(tasks) - len(open_tasks))
    if not open_tasks:
        return
    pool = ProcessPoolExecutor(
        min(jobs, len(open_tasks)), multiprocessing.get_context("spawn"), _start_worker, (options,)
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


def collect(root: Path, options: EvaluationOptions, tasks: Sequence[Task], results: ResultsFile) -> Evaluation:
    """The evaluation that the results of these tasks make.

    Raises:
        Face3DMMError: not one picture could be used.
    """
    kind = {task.key: isinstance(task.picture, FacelessPicture) for task in tasks}
    skipped: dict[str, str] = {}
    faces: dict[str, int] = {}
    pictures = 0

    def labelled() -> Iterator[Record]:
        """Records of faces; the others are counted as they come along."""
        nonlocal pictures
        for record in results.records():
            faceless = kind.get(record["key"])
            if faceless is None:
                continue
            if _SKIPPED in record:
                skipped[record["key"].partition("/")[2]] = record[_SKIPPED]
            elif faceless:
                pictures += 1
                if record["faces"]:
                    faces[record["name"]] = record["faces"]
            else:
                yield record

    visible_outline = dataset_format(options.format).visible_outline
    errors = face_errors(labelled(), options.fit_methods, visible_outline=visible_outline)
    if not errors[options.fit_methods[0]].names:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(skipped.items())[:3])
        raise Face3DMMError(f"none of the {len(tasks)} pictures could be used, such as {reasons}")
    model = load_model(options.model)
    return Evaluation(
        dataset=root,
        options=options,
        model=model.name,
        model_digest=model.digest,
        software=software_digest(options),
        errors=errors,
        skipped=skipped,
        false_alarms=None if "truth" in (options.roi, options.landmarks) else FalseAlarms(pictures, faces),
    )


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


_evaluator: FaceEvaluator | None = None
"""A worker process's own."""


def _start_worker(options: EvaluationOptions) -> None:
    """Make a worker process ready."""
    global _evaluator
    begin_worker()
    _evaluator = FaceEvaluator(options)


def _do(task: Task) -> Record:
    """A task's record, in a worker process."""
    assert _evaluator is not None
    record: dict[str, Any] = {"key": task.key, "stamp": list(task.stamp)}
    try:
        if isinstance(task.picture, FacelessPicture):
            return {**record, "name": task.picture.name, "faces": _evaluator.faceless(task.picture)}
        return {**record, **_evaluator.face(task.picture)}
    except Face3DMMError as error:
        return {**record, _SKIPPED: str(error)}


def _stamp(path: Path) -> tuple[int, ...]:
    """Size and time of a file, which tell that it was replaced."""
    if not path.is_file():
        return (0, 0)
    status = path.stat()
    return (status.st_size, status.st_mtime_ns)

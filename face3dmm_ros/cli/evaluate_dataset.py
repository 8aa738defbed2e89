"""`face3dmm evaluate dataset PATH`: the whole pipeline on every picture of a data set."""

import argparse
import sys
from contextlib import closing
from pathlib import Path

from face3dmm_ros.cli.options import (
    add_fit_options,
    add_json_option,
    add_pool_options,
    for_people,
    named_everywhere,
    pool_of,
    regressor_file,
    tell_failures,
)
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.progress_bar import progress_bar
from face3dmm_ros.core.work_items import DaskPool
from face3dmm_ros.evaluation.dataset.datasets import FORMATS
from face3dmm_ros.evaluation.dataset.evaluation import RESULTS_NAME, DataSet, evaluate, settings
from face3dmm_ros.evaluation.dataset.face_evaluator import COVERS, SOURCES, EvaluationOptions
from face3dmm_ros.evaluation.dataset.labelled_faces import LabelledFaces
from face3dmm_ros.evaluation.dataset.pipeline_options import PipelineOptions
from face3dmm_ros.evaluation.dataset.portraits import Portraits
from face3dmm_ros.evaluation.dataset.results_file import ResultsFile
from face3dmm_ros.evaluation.report import json_line
from face3dmm_ros.files.whole_file import check_writable
from face3dmm_ros.fit_methods import SHIPPED

PORTRAITS = "portraits"
"""The format of `Portraits`; all others are those of `LabelledFaces`."""

_FILES = "path", "negatives", "model", "dense_network", "regressor"
"""The arguments that may name files."""

PURPOSE = "run detector, landmarks and fit on labelled pictures, or on people's smiles"
DESCRIPTION = (
    "Run detector, landmarks and fit on every picture of a labelled data set, one process per core, and report "
    "faces found, landmark, 3D and rotation errors by yaw bin, how eyes, brows and mouth follow, and whether "
    "the fits' confidence holds. On people's portraits: how often and how far a smile comes through, and what "
    "a face at rest shows. Writes report.html, report.json and, as it goes along, results.jsonl: after a kill, "
    "the same command goes on where it stopped."
)
EPILOG = """
examples:
  face3dmm evaluate dataset AFLW2000 --format aflw2000 --out accuracy
  face3dmm evaluate dataset AFLW2000 --format aflw2000 --out quick --limit 100 --fit-method joint alternating
  face3dmm evaluate dataset /share/AFLW2000 --format aflw2000 --out accuracy --dask tcp://10.0.0.5:8786
"""


def add_arguments(kind: argparse.ArgumentParser) -> None:
    """Describe the kind of evaluation."""
    add = kind.add_argument
    add("path", type=Path, help="the data set's folder")
    add("--format", required=True, choices=(*FORMATS, PORTRAITS), help="aflw2000: pictures with .mat beside them; "
        "300wlp: the same in subfolders; pts: iBUG's .pts files; portraits: NAME_neutral.jpg, NAME_smile.jpg and "
        "NAME_neutral.json, whose points say where the face is")  # fmt: skip
    add("--out", type=Path, required=True, metavar="DIR", help="folder to write to, made if missing")
    add("--roi", choices=SOURCES, default=SOURCES[0], help="whose boxes say where to look for landmarks")
    add("--landmarks", choices=SOURCES, default=SOURCES[0], help="whose 2D points are fitted to")
    add("--cover", choices=COVERS, default=COVERS[0], help="paint a mask over the lower face of every picture")
    add_fit_options(kind, more_methods=("photometric",), several=True)
    add("--dense-network", default=SHIPPED, metavar="FILE", help="network of the backend dense: 'default', or the "
        ".tflite that `face3dmm train dense` wrote")  # fmt: skip
    add("--negatives", type=Path, metavar="DIR", help="more pictures without a face, to count false alarms on; "
        "without it none")  # fmt: skip
    add("--limit", type=int, metavar="N", help="only N pictures (portraits: people), spread evenly over the set; "
        "without it all")  # fmt: skip
    add_pool_options(kind, "pictures or people")
    add_json_option(kind, "the figures, as report.json has them,")
    again = kind.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on with the results in --out, as it does anyway")
    again.add_argument("--fresh", action="store_true", help="drop the results in --out")


def run(arguments: argparse.Namespace) -> int:
    """Evaluate and report; returns 0, or 2 if a picture or person came to no result.

    Raises:
        Face3DMMError: the data set or an option cannot be used, or --out holds results made with other options.
    """
    dataset = _dataset(arguments)
    pool = pool_of(arguments)
    # What workers are given; results are tied to names as the user gave them.
    sent = _dataset(named_everywhere(arguments, *_FILES)) if isinstance(pool, DaskPool) else dataset
    check_writable(arguments.out, (RESULTS_NAME, "report.html", "report.json"))
    tasks = sent.tasks(arguments.limit)
    failures: list[tuple[object, Exception]] = []
    with ResultsFile(arguments.out / RESULTS_NAME, settings(dataset), fresh=arguments.fresh) as results:
        done = 0
        try:
            with closing(evaluate(tasks, sent, results, pool)) as evaluated:
                for failure in progress_bar(evaluated, total=len(tasks), unit=dataset.unit):
                    done += 1
                    if failure is not None:
                        failures.append(failure)
        except KeyboardInterrupt:
            print(f"stopped: {done} of {len(tasks)} are done; the same command goes on", file=sys.stderr)
            raise
        evaluation = dataset.report(tasks, results, arguments.out)
    with for_people(arguments.json):
        print(evaluation.console_table())
        print(f"written to {arguments.out}/")
    if arguments.json:
        print(json_line({"out": str(arguments.out), **evaluation.record()}))
    return tell_failures("evaluate dataset", failures)


def _dataset(arguments: argparse.Namespace) -> DataSet:
    """The data set that the arguments name.

    Raises:
        Face3DMMError: an option is out of range or does not apply to the format.
    """
    judged = PipelineOptions(
        format=arguments.format,
        model=arguments.model,
        backend=arguments.backend,
        dense_network=arguments.dense_network,
        fit_methods=tuple(arguments.fit_method),
        regressor=regressor_file(arguments),
    )
    if arguments.format != PORTRAITS:
        options = EvaluationOptions(
            **vars(judged), roi=arguments.roi, landmarks=arguments.landmarks, cover=arguments.cover
        )
        return LabelledFaces(arguments.path, options, arguments.negatives)
    meaningless = {"--roi truth": "truth" in arguments.roi, "--landmarks truth": "truth" in arguments.landmarks}
    meaningless["--negatives"] = arguments.negatives is not None
    meaningless[f"--cover {arguments.cover}"] = arguments.cover != COVERS[0]
    if any(meaningless.values()):
        given = ", ".join(option for option, is_given in meaningless.items() if is_given)
        raise Face3DMMError(f"--format {PORTRAITS} has no true landmarks and counts no false alarms: leave out {given}")
    return Portraits(arguments.path, judged)

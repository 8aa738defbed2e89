"""`face3dmm evaluate dataset PATH`: the whole pipeline on every picture of a labelled data set."""

import argparse
import os
import sys
from pathlib import Path

from face3dmm_ros.cli.regressor_options import add_regressor_options, regressor_file

SOURCES = ("detector", "truth")


def add_parser(kinds: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Describe the verb."""
    kind = kinds.add_parser(
        "dataset",
        help="run detector, landmarks and fit on labelled pictures",
        description=(
            "Run detector, landmarks and fit on every picture of a labelled data set, one process per core, and report "
            "faces found, landmark, 3D and rotation errors by yaw bin. Writes report.html, report.json and, as it goes "
            "along, results.jsonl: after a kill, the same command goes on where it stopped."
        ),
    )
    add = kind.add_argument
    add("path", type=Path, help="the data set's folder")
    add(
        "--format",
        required=True,
        choices=("aflw2000", "300wlp", "pts"),
        help="aflw2000: pictures with .mat beside them; 300wlp: the same in subfolders; pts: iBUG's .pts files",
    )
    add("--out", type=Path, required=True, metavar="DIR", help="folder to write to, made if missing")
    add("--roi", choices=SOURCES, default=SOURCES[0], help="whose boxes say where to look for landmarks")
    add("--landmarks", choices=SOURCES, default=SOURCES[0], help="whose 2D points are fitted to")
    add("--backend", default="dense", help="landmark detector: dense (default), facemesh or dlib")
    add(
        "--fit-method",
        nargs="+",
        default=["joint"],
        metavar="NAME",
        help="joint (default), alternating, photometric, regressor or regressor+fit (the last three need torch); "
        "several are set side by side",
    )
    add_regressor_options(kind)
    add("--model", default="default", help="'default', a model .npz, or a BFM .mat")
    add("--negatives", type=Path, metavar="FOLDER", help="more pictures without a face, to count false alarms on")
    add("--limit", type=int, metavar="N", help="only N pictures, spread evenly over the set")
    add("--jobs", type=int, metavar="N", help="worker processes of one thread each; one per core without it")
    again = kind.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on with the results in --out, as it does anyway")
    again.add_argument("--fresh", action="store_true", help="drop the results in --out")
    return kind


def run(arguments: argparse.Namespace) -> int:
    """Evaluate and report; returns 0.

    Raises:
        Face3DMMError: no such data set or option, or results of other options in the way.
    """
    from tqdm import tqdm

    from face3dmm_ros.errors import Face3DMMError
    from face3dmm_ros.evaluation.dataset_evaluation import (
        RESULTS_NAME,
        collect,
        evaluate,
        face_tasks,
        faceless_tasks,
        settings,
    )
    from face3dmm_ros.evaluation.dataset_report import console_table, html_report, worst_faces, write_json
    from face3dmm_ros.evaluation.face_evaluator import EvaluationOptions
    from face3dmm_ros.evaluation.results_file import ResultsFile

    options = EvaluationOptions(
        format=arguments.format,
        model=arguments.model,
        backend=arguments.backend,
        fit_methods=tuple(arguments.fit_method),
        roi=arguments.roi,
        landmarks=arguments.landmarks,
        regressor=regressor_file(arguments),
    )
    jobs = len(os.sched_getaffinity(0)) if arguments.jobs is None else arguments.jobs
    if jobs < 1:
        raise Face3DMMError(f"--jobs must be at least 1, found {jobs}")
    tasks = face_tasks(arguments.path, options, arguments.limit) + faceless_tasks(options, arguments.negatives)
    with ResultsFile(arguments.out / RESULTS_NAME, settings(arguments.path, options), fresh=arguments.fresh) as results:
        done = 0
        interval = 0.2 if sys.stderr.isatty() else 10.0
        try:
            for _ in tqdm(
                evaluate(tasks, options, results, jobs=jobs), total=len(tasks), unit="picture", mininterval=interval
            ):
                done += 1
        except KeyboardInterrupt:
            print(f"stopped: {done} of {len(tasks)} pictures are done; the same command goes on", file=sys.stderr)
            raise
        evaluation = collect(arguments.path, options, tasks, results)
        first = options.fit_methods[0]
        worst = worst_faces(evaluation.errors[first])
        keys = {f"face/{name}": name for name in worst}
        found = {keys[record["key"]]: record for record in results.records() if record["key"] in keys}
    write_json(evaluation, arguments.out / "report.json")
    html_report(evaluation, {name: found[name] for name in worst}).write(arguments.out / "report.html")
    print(console_table(evaluation))
    print(f"written to {arguments.out}/")
    return 0

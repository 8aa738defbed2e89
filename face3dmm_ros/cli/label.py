"""`face3dmm label PHOTOGRAPHS`: labels to learn from, pooled from many pictures of each person."""

import argparse
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path

from face3dmm_ros.cli.options import (
    add_backend_and_model,
    add_pool_options,
    check_apart,
    everywhere,
    pool_of,
    tell_failures,
)
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.progress_bar import progress_bar
from face3dmm_ros.core.work_items import Pool, outcomes
from face3dmm_ros.files.pictures import find_pictures
from face3dmm_ros.files.whole_file import check_writable
from face3dmm_ros.lab.training.pooled_labels import (
    LABEL_METHODS,
    PersonLabeller,
    PersonPictures,
    is_written,
    label_person,
    open_labeller,
)
from face3dmm_ros.morphable_model import load_model

EPILOG = """
Pictures that lie in one folder show one person; PHOTOGRAPHS may have a subfolder for each. Every picture is fitted
alone, and a person's identity is the mean of these fits, weighed by confidence (Tran et al., CVPR 2017).
Written are, in DIR with the same subfolders, each face cut out as NAME.jpg, its label as NAME.mat in the layout that
`face3dmm synth --format dataset` writes, and person.json with the weights. A stopped run goes on where it was. To learn
from the labels, name DIR as a data set of kind labelled_folder.

examples:
  face3dmm label people --out labels    people/anna/1.jpg, people/anna/2.jpg, people/ben/a.png … to labels/anna/1.mat …
  face3dmm label /share/people --out /share/labels --dask tcp://10.0.0.5:8786     by the workers of a Dask cluster
"""

DESCRIPTION = "Fit many pictures of one person and pool the fits into one label."


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Describe the verb."""
    add = verb.add_argument
    add("pictures", type=Path, metavar="PHOTOGRAPHS", help="folder of one person's pictures, or with one folder each")
    add("--out", type=Path, required=True, metavar="DIR", help="folder to write to, made if missing")
    add_backend_and_model(verb)
    add("--fit-method", choices=LABEL_METHODS, default="joint", metavar="NAME", help="of each picture: joint "
        "fits landmarks, photometric then pixels too, and labels have an albedo")  # fmt: skip
    add_pool_options(verb, "people")


def run(arguments: argparse.Namespace) -> int:
    """Label and write; returns 0, or 2 if a person could not be labelled.

    Raises:
        Face3DMMError: there are no pictures, no person could be labelled, or the folder cannot be written to.
    """
    root: Path = arguments.pictures
    pictures = find_pictures(root)
    check_apart(root, arguments.out)
    check_writable(arguments.out)
    pool = pool_of(arguments)
    model = load_model(arguments.model)
    how = everywhere(arguments.model), arguments.backend, arguments.fit_method
    PersonLabeller(model, arguments.backend, arguments.fit_method)  # a wrong option is reported before a worker starts
    recipe = {
        "model": model.name,
        "model_digest": model.digest,
        "backend": arguments.backend,
        "fit_method": arguments.fit_method,
    }
    grouped: dict[Path, list[Path]] = {}
    for path in pictures:
        grouped.setdefault(path.parent, []).append(path.absolute())
    people = {
        folder: _person(paths, arguments.out / folder.relative_to(root), recipe) for folder, paths in grouped.items()
    }
    missing = {
        folder: person for folder, person in people.items() if not is_written(person.folder, dict(person.recipe))
    }
    faces, failures = _label(missing, partial(open_labeller, *how), pool)
    left_out = tell_failures("label", [(f"{folder} is left out", error) for folder, error in failures])
    if len(failures) == len(people):
        raise Face3DMMError(f"nobody in {root} could be labelled: its pictures show no face that is found")
    labelled = len(people) - len(failures)
    print(f"written: {faces} labels to {arguments.out}/; {labelled} of {len(people)} people are labelled there")
    return left_out


def _person(paths: list[Path], out: Path, recipe: dict[str, object]) -> PersonPictures:
    return PersonPictures(tuple(paths), out.absolute(), {"pictures": [path.name for path in paths], **recipe})


def _label(
    people: Mapping[Path, PersonPictures], share: Callable[[], PersonLabeller], pool: Pool
) -> tuple[int, list[tuple[Path, Exception]]]:
    """Label people by a pool's workers; how many pictures are labelled, and who is left out, and why."""
    faces, failures = 0, []
    items = [(folder, person) for folder, person in people.items()]
    with closing(outcomes(_work, items, pool, share)) as found:
        for (folder, person), outcome in progress_bar(found, total=len(items), unit="people"):
            if isinstance(outcome, Exception):
                failures.append((folder, outcome))
                continue
            count, spread_mm = outcome
            faces += count
            print(
                f"{folder}: {count} of {len(person.pictures)} pictures, single fits {spread_mm:.2f} mm from the pooled "
                "face (RMS)"
            )
    return faces, failures


def _work(labeller: PersonLabeller, item: tuple[Path, PersonPictures]) -> tuple[int, float]:
    return label_person(labeller, item[1])

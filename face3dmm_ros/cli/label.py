"""`face3dmm label PHOTOGRAPHS`: labels to learn from, pooled from many pictures of each person."""

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from face3dmm_ros.cli.options import add_backend_and_model, check_apart
from face3dmm_ros.core.errors import Face3DMMError, one_line
from face3dmm_ros.files.pictures import find_pictures
from face3dmm_ros.files.whole_file import check_writable
from face3dmm_ros.lab.training.pooled_labels import LABEL_METHODS, PersonLabeller, is_written, write_person
from face3dmm_ros.morphable_model import load_model

EPILOG = """
Pictures that lie in one folder show one person; PHOTOGRAPHS may have a subfolder for each. Every picture is fitted
alone, and a person's identity is the mean of these fits, weighed by confidence (Tran et al., CVPR 2017).
Written are, in DIR with the same subfolders, each face cut out as NAME.jpg, its label as NAME.mat in the layout that
`face3dmm synth --format dataset` writes, and person.json with the weights. A stopped run goes on where it was. To learn
from the labels, name DIR as a data set of kind labelled_folder.

example:
  face3dmm label people --out labels    people/anna/1.jpg, people/anna/2.jpg, people/ben/a.png … to labels/anna/1.mat …
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


def run(arguments: argparse.Namespace) -> int:
    """Label and write; returns 0, or 2 if a person could not be labelled.

    Raises:
        Face3DMMError: there are no pictures, no person could be labelled, or the folder cannot be written to.
    """
    root: Path = arguments.pictures
    pictures = find_pictures(root)
    check_apart(root, arguments.out)
    check_writable(arguments.out)
    model = load_model(arguments.model)
    labeller = PersonLabeller(model, arguments.backend, arguments.fit_method)
    people: dict[Path, list[Path]] = {}
    for path in pictures:
        people.setdefault(path.parent, []).append(path)
    labelled = faces = 0
    for folder, paths in tqdm(people.items(), unit="people", disable=None):
        person = folder.relative_to(root)
        recipe: dict[str, object] = {
            "pictures": [path.name for path in paths],
            "model": model.name,
            "model_digest": model.digest,
            "backend": arguments.backend,
            "fit_method": arguments.fit_method,
        }
        if is_written(arguments.out / person, recipe):
            labelled += 1
            continue
        try:
            found = labeller.label(paths)
        except Face3DMMError as error:
            tqdm.write(f"face3dmm label: {folder} is left out: {one_line(error)}", file=sys.stderr)
            continue
        write_person(arguments.out / person, found, model, recipe)
        labelled += 1
        faces += len(found.pictures)
        print(
            f"{folder}: {len(found.pictures)} of {len(paths)} pictures, single fits {found.spread_mm:.2f} mm from the "
            "pooled face (RMS)"
        )
    if not labelled:
        raise Face3DMMError(f"nobody in {root} could be labelled: its pictures show no face that is found")
    print(f"written: {faces} labels to {arguments.out}/; {labelled} of {len(people)} people are labelled there")
    return 0 if labelled == len(people) else 2

"""`face3dmm model correspond MODEL`: what a model of another format lacks to be tracked."""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from face3dmm_ros.cli.options import add_json_option, for_people
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.progress_bar import progress_bar
from face3dmm_ros.core.user_path import user_path
from face3dmm_ros.evaluation.report import json_line
from face3dmm_ros.files.whole_file import check_image_writable, check_writable, whole_file, write_image
from face3dmm_ros.morphable_model import load_model, save_npz
from face3dmm_ros.morphable_model.formats import format_at, licence_at, read_model
from face3dmm_ros.morphable_model.side_file import save_side_file, side_file_to_write

PURPOSE = "find landmarks, outlines and regions of one that has none, so that it can be tracked"
DESCRIPTION = (
    "Find landmarks, outlines and regions of a face model whose file has none: its head is drawn and looked at by the "
    "landmark detector, and the default model's head is registered to it. They are kept in a side file, which is found "
    "whenever the model is loaded."
)
EPILOG = """
examples:
  face3dmm model correspond FLAME.npz --picture found.png
  face3dmm model correspond head.glb --expressions head_arkit.npz      a head with ARKit's 52, moved over from ours
"""


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Describe the kind."""
    add = verb.add_argument
    add("model", metavar="FILE", help="a face model of any format that is read")
    add("--save", type=Path, metavar="FILE", help="file to write what is found to; without it beside the model, where "
        "it is found when the model is loaded, or among your settings where that folder cannot be written")  # fmt: skip
    add("--expressions", type=Path, metavar="NPZ", help="write a model with ARKit's expressions in place of its own, "
        "moved over from the default model, in this package's format; without it none is written")  # fmt: skip
    add("--picture", type=Path, metavar="PNG", help="draw what is found, for you to judge; without it none is drawn")
    add_json_option(verb, "what is found")


def run(arguments: argparse.Namespace) -> int:
    """Find landmarks, outlines and regions of a model, and write its side file; returns 0.

    Raises:
        Face3DMMError: no such model, it cannot be read, no face is found in it, or a file cannot be written.
    """
    # The detector's and the drawer's libraries take a while to load, which other verbs need not wait for.
    from face3dmm_ros.correspondence.correspond import STEPS, correspond
    from face3dmm_ros.correspondence.deformation_transfer import with_our_expressions
    from face3dmm_ros.correspondence.picture import draw

    if arguments.model == "default":
        raise Face3DMMError("the default model is what others are compared with: name another's file")
    path = user_path(arguments.model)
    written = {"--save": arguments.save, "--expressions": arguments.expressions, "--picture": arguments.picture}
    _check_files(path, written)
    # Without a side file, which may be an old model's and is written anew.
    model, ours = read_model(path), load_model("default")
    out = written["--save"] = arguments.save or side_file_to_write(model, path)
    _check_files(path, written)
    with progress_bar(total=STEPS, unit="step", desc=model.name) as bar:
        found = correspond(model, ours, bar.update)
    save_side_file(model, found.correspondence, out)
    if arguments.expressions is not None:
        with whole_file(arguments.expressions) as unfinished:
            licence = licence_at(path, format_at(path))
            save_npz(with_our_expressions(model, ours, found), unfinished, licence=licence)
    if arguments.picture is not None:
        write_image(arguments.picture, draw(model, ours, found))
    trusted = found.registration.trust > 0.5
    share = float(trusted[ours.regions["face"] > 0.5].mean())
    distance = found.registration.distance[trusted]
    mean_distance, most = float(distance.mean()), float(np.percentile(distance, 90))
    with for_people(arguments.json):
        print(
            f"{100 * share:.0f} % of the face is found; there our skin lies {mean_distance:.2f} mm off in the mean, "
            f"and up to {most:.2f} mm on nine tenths"
        )
        if model.landmarks:
            print(f"the file's own landmarks stay: {', '.join(sorted(model.landmarks))}")
        print(f"written: {', '.join(str(file) for file in written.values() if file is not None)}")
    if arguments.json:
        print(
            json_line(
                {
                    "model": model.name,
                    "digest": model.digest,
                    "written": [str(file) for file in written.values() if file is not None],
                    "face_found": share,
                    "mean_distance_mm": mean_distance,
                    "distance_90_percent_mm": most,
                    "landmarks": sorted(found.correspondence.landmarks),
                    "of_its_own": sorted(model.landmarks),
                }
            )
        )
    return 0


def _check_files(model: Path, written: Mapping[str, Path | None]) -> None:
    """Check that the files of some options can be written beside each other and the model.

    Raises:
        Face3DMMError: one cannot be written, or would take the place of the model or another.
    """
    named = {option: file for option, file in written.items() if file is not None}
    for option, file in named.items():
        if file.exists() and model.exists() and file.samefile(model):
            raise Face3DMMError(f"{option} {file} is the model itself: name another file")
        same = [other for other in named if other != option and named[other].resolve() == file.resolve()]
        if same:
            raise Face3DMMError(f"{option} {file} is the file of {same[0]} too: name another file")
        if option == "--picture":
            check_image_writable(file)
        else:
            check_writable(file.parent, (file.name,))

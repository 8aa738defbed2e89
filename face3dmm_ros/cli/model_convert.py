"""`face3dmm model convert MODEL`: a face model of any format as this package's own, which loads fast."""

import argparse
from pathlib import Path

import numpy as np

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.files.whole_file import check_writable, whole_file
from face3dmm_ros.morphable_model import MorphableModel, load_model, model_path, save_npz
from face3dmm_ros.morphable_model.formats import format_at, licence_at

PURPOSE = "write it as this package's own .npz, for fast starts"
DESCRIPTION = (
    "Write a face model as this package's own .npz: bases as int16 with one step per component, landmarks, outlines "
    "and regions beside them, and what is known of its licence, which stays. What the rounding costs is told."
)
EPILOG = """
examples:
  face3dmm model convert 01_MorphableModel.mat --save bfm.npz
  face3dmm model convert generic_model.pkl --save flame.npz --keep-identities 100
  face3dmm track film.mp4 --out curves --model bfm.npz
"""


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Describe the kind."""
    add = verb.add_argument
    add("model", metavar="MODEL", help="'default', or a model's file or folder")
    add("--save", type=Path, required=True, metavar="FILE", help="the .npz to write")
    add(
        "--keep-identities",
        type=int,
        metavar="N",
        help="keep so many identity components, the first ones; without it all",
    )
    add("--keep-expressions", type=int, metavar="N", help="keep so many expressions, the first ones; without it all")
    add("--compress", action="store_true", help="a smaller file, which loads more slowly")


def run(arguments: argparse.Namespace) -> int:
    """Convert; returns 0.

    Raises:
        Face3DMMError: no such model, it cannot be read, it has fewer components than are to be kept, or the file cannot
            be written.
    """
    out = arguments.save
    if out.suffix != ".npz":
        raise Face3DMMError(f"--save {out} must end in .npz: it is this package's format that is written")
    if out.exists() and model_path(arguments.model).samefile(out):
        raise Face3DMMError(f"{out} would be written over itself: name another file with --save")
    check_writable(out.parent, (out.name,))
    model = load_model(arguments.model)
    kept = model.with_components(arguments.keep_identities, arguments.keep_expressions)
    with whole_file(out) as unfinished:
        path = model_path(arguments.model)
        licence = licence_at(path, format_at(path))
        save_npz(kept, unfinished, compressed=arguments.compress, licence=licence)
    written = load_model(str(out))
    print(
        f"written: {out} ({out.stat().st_size / 1e6:.1f} MB), {written.vertex_count} vertices, {written.shape_count} "
        f"identities, {written.expression_count} expressions, digest {written.digest}"
    )
    print(f"rounding moves no vertex by more than {_rounding_mm(kept, written):.4f} mm at three σ of one component")
    return 0


def _rounding_mm(model: MorphableModel, written: MorphableModel) -> float:
    """The largest error of a vertex, mm, at three standard deviations, or the upper bound, of any one coefficient."""
    largest = 0.0
    pairs = (
        (model.shape_basis, written.shape_basis, 3 * model.shape_sigma),
        (model.expression_basis, written.expression_basis, 3 * model.expression_sigma),
    )
    for before, after, coefficient in pairs:
        for k in range(before.shape[1]):  # one at a time, since a basis may have 200 MB
            error = (before[:, k] - after[:, k]).reshape(-1, 3) * coefficient[k]
            largest = max(largest, float(np.linalg.norm(error, axis=1).max(initial=0.0)))
    return largest

"""`face3dmm model draw MODEL`: a picture of what a face model can be."""

import argparse
from pathlib import Path

from face3dmm_ros.files.whole_file import check_image_writable, write_image
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.rendering.face_renderer import FaceRenderer
from face3dmm_ros.rendering.model_painter import ModelPainter, model_sheet

PURPOSE = "draw its mean, random people, identities and expressions"
DESCRIPTION = (
    "Draw what a face model can be on one sheet: its mean from three sides, random people, the first identity "
    "components three standard deviations to each side, and each expression at its upper bound (two standard "
    "deviations where it has none)."
)
EPILOG = """
examples:
  face3dmm model draw default --save default.png
  face3dmm model draw FaceXModel --save ict.png
"""


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Describe the kind."""
    verb.add_argument("model", metavar="MODEL", help="'default', or a model's file or folder")
    verb.add_argument("--save", type=Path, default=Path("model.png"), metavar="FILE", help="picture to write")


def run(arguments: argparse.Namespace) -> int:
    """Draw; returns 0.

    Raises:
        Face3DMMError: no such model, it cannot be read, or the picture cannot be written.
    """
    check_image_writable(arguments.save)
    model = load_model(arguments.model)
    with FaceRenderer(model.triangles) as renderer:
        picture = model_sheet(ModelPainter(model, renderer))
    write_image(arguments.save, picture)
    print(f"written: {arguments.save} ({picture.shape[1]}×{picture.shape[0]})")
    return 0

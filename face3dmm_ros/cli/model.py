"""`face3dmm model`: look at face models, convert them, draw them, make them ready for tracking."""

import argparse

from face3dmm_ros.cli import model_convert, model_correspond, model_draw, model_info
from face3dmm_ros.cli.kinds import add_kinds

DESCRIPTION = "Look at face models of any format that is read, convert them, draw them, make them ready for tracking."
EPILOG = """
See `face3dmm model KIND --help` for each kind, and docs/models.md for the formats.

examples:
  face3dmm model info default
  face3dmm model info generic_model.pkl --json
  face3dmm model draw model2019_fullHead.h5 --save head.png
  face3dmm model correspond model2019_fullHead.h5
  face3dmm model convert 01_MorphableModel.mat --save bfm.npz
"""
KINDS = {"info": model_info, "draw": model_draw, "convert": model_convert, "correspond": model_correspond}


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Describe the verb."""
    add_kinds(verb, KINDS)


def run(arguments: argparse.Namespace) -> int:
    """Do it; returns the exit code.

    Raises:
        Face3DMMError: as `run` of the kind.
    """
    return KINDS[arguments.kind].run(arguments)

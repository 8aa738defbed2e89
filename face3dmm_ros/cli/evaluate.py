"""`face3dmm evaluate`: how far from the truth, on a labelled data set or on a recording."""

import argparse

from face3dmm_ros.cli import evaluate_bag, evaluate_dataset
from face3dmm_ros.cli.kinds import add_kinds

DESCRIPTION = "Measure how far the results are from the truth."
EPILOG = """
See `face3dmm evaluate KIND --help` for each kind.

examples:
  face3dmm evaluate dataset AFLW2000 --format aflw2000 --out accuracy
  face3dmm evaluate bag run/bag --out accuracy
"""
KINDS = {"dataset": evaluate_dataset, "bag": evaluate_bag}


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Describe the verb."""
    add_kinds(verb, KINDS)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate; returns the exit code.

    Raises:
        Face3DMMError: as `run` of the kind of evaluation.
    """
    return KINDS[arguments.kind].run(arguments)

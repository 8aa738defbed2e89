"""`face3dmm evaluate`: how far from the truth, on a labelled data set or on a recording."""

import argparse

from face3dmm_ros.cli import evaluate_bag, evaluate_dataset

KINDS = (evaluate_dataset, evaluate_bag)


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Describe the verb."""
    verb = verbs.add_parser(
        "evaluate",
        help="measure accuracy on a data set or a bag",
        description="Measure how far the results are from the truth.",
        epilog="See `face3dmm evaluate KIND --help` for each kind.",
    )
    kinds = verb.add_subparsers(dest="kind", metavar="KIND", required=True)
    for kind in KINDS:
        kind.add_parser(kinds).set_defaults(evaluate=kind.run)
    return verb


def run(arguments: argparse.Namespace) -> int:
    """Evaluate; returns the exit code.

    Raises:
        Face3DMMError: as the kinds of evaluation do.
    """
    return int(arguments.evaluate(arguments))

"""Verbs of several kinds, such as `face3dmm evaluate dataset` and `evaluate bag`: a module each."""

import argparse
import textwrap
from collections.abc import Mapping
from typing import Any

from face3dmm_ros.cli.help_formatter import HelpFormatter


def add_kinds(verb: argparse.ArgumentParser, kinds: Mapping[str, Any]) -> None:
    """Describe a verb's kinds, whose name becomes `kind` of the arguments.

    Args:
        verb: to add them to.
        kinds: the module of each, with PURPOSE, DESCRIPTION, EPILOG, `add_arguments` and `run`.
    """
    below = verb.add_subparsers(dest="kind", metavar="KIND", required=True)
    for name, module in kinds.items():
        description = textwrap.fill(module.DESCRIPTION, 100)
        kind = below.add_parser(
            name, help=module.PURPOSE, description=description, epilog=module.EPILOG, formatter_class=HelpFormatter
        )
        module.add_arguments(kind)

"""`face3dmm recover BAG`: finishes a recording whose recorder was killed."""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from face3dmm_ros.bags.recovery import recover
from face3dmm_ros.core.progress_bar import progress_bar

DESCRIPTION = (
    "Finish a recording (MCAP) that was killed, so that ros2 bag and other programs read it: what had been written, "
    "up to a second or two before the end. This package's own programs read it as it is."
)
EPILOG = """
example:
  face3dmm recover run/bag
"""


def add_arguments(verb: argparse.ArgumentParser) -> None:
    """Describe the verb."""
    verb.add_argument("bag", type=Path, help="the folder of the recording's bag; as much room beside it is needed")


def run(arguments: argparse.Namespace) -> int:
    """Finish it; returns 0.

    Raises:
        Face3DMMError: the folder is no unfinished bag, or cannot be written.
    """

    def progress(messages: Iterable[Any], count: int) -> Iterable[Any]:
        return progress_bar(messages, total=count, unit="message")

    count = recover(arguments.bag.absolute(), progress)
    print(f"written: {arguments.bag} ({count} messages)")
    return 0

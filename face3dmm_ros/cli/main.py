# PYTHON_ARGCOMPLETE_OK
"""The `face3dmm` command. The module of a verb is loaded only where that verb is named, so that `--help` is instant."""

import argparse
import importlib
import os
import signal
import sys
import textwrap
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import pairwise
from typing import Any, NoReturn

import face3dmm_ros
from face3dmm_ros.cli.exit_codes import BAD_INPUT, INTERRUPTED
from face3dmm_ros.cli.help_formatter import HelpFormatter
from face3dmm_ros.core.errors import Face3DMMError, one_line
from face3dmm_ros.core.image_limits import MEGAPIXELS, megapixels_allowed

VERBS = {
    "fit": "make 3D models of the faces in pictures",
    "track": "track the faces in films: curves, an animated head, a video",
    "live": "track faces live with the ROS nodes",
    "evaluate": "measure accuracy on a data set or a bag",
    "synth": "render faces with exact truth: sequences as bags, pictures as data sets",
    "label": "make labels to train on from several pictures of each person",
    "train": "train a network that regresses face parameters from pixels (needs torch)",
    "export": "write a trained network as TorchScript or ONNX (needs torch)",
    "model": "look at face models, convert them, draw them, make them ready for tracking",
    "recover": "finish a recording that was killed, for ROS's own tools",
    "view": "look at tracked faces: image, head, blendshapes and curves",
    "fetch-dlib-model": "download the 68-point file of the dlib backend",
}
"""Each verb's purpose. Its module has DESCRIPTION, perhaps EPILOG, `add_arguments`, and `run`, which returns the exit
code and raises `Face3DMMError` for input that cannot be used."""


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the arguments, without the usage of many lines, which `--help` shows.

    Options are written in full: what abbreviates one today abbreviates two, or another one, with the next option.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        """End the program."""
        self.exit(BAD_INPUT, f"{self.prog}: {one_line(ValueError(message))}; see {self.prog} --help\n")


def parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """The command line, with the arguments of the verb that is the first of its words, if one is."""
    command = _Parser(
        prog="face3dmm",
        description="Turn pictures of faces into the parameters of a 3D morphable face model.",
        epilog="See `face3dmm VERB --help` for each verb.",
    )
    command.add_argument("--version", action="version", version=f"face3dmm {face3dmm_ros.__version__}")
    verbs = command.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, purpose in VERBS.items():
        if words and name == words[0]:
            module = importlib.import_module(f"face3dmm_ros.cli.{name.replace('-', '_')}")
            verb = verbs.add_parser(
                name,
                description=textwrap.fill(module.DESCRIPTION, 100),
                epilog=getattr(module, "EPILOG", None),
                formatter_class=HelpFormatter,
            )
            module.add_arguments(verb)
            verb.set_defaults(run=module.run)
        else:
            verbs.add_parser(name, help=purpose)
    return command


def main(argv: list[str] | None = None) -> int:
    """Run a verb; returns the exit code: 0, 2 with one clear line on stderr, or 130 after Ctrl-C."""
    if argv is None and "_ARGCOMPLETE" in os.environ:
        _complete(os.environ.get("COMP_LINE", ""))
    words = sys.argv[1:] if argv is None else argv
    verb = words[0] if words else ""
    try:
        _check_words(words)
        with warnings.catch_warnings():
            # numpy's and Pillow's, of numbers and pictures that are judged anyway; with `python -W` they are shown.
            if not sys.warnoptions:
                warnings.simplefilter("ignore")
            with ended_by_interrupt():
                arguments = parser(words).parse_args(words)
            with megapixels_allowed(getattr(arguments, "max_megapixels", MEGAPIXELS)):
                return int(arguments.run(arguments))
    except (Face3DMMError, OSError) as error:  # OSError: what the system refuses, such as a full disk
        print(f"face3dmm {verb}: {one_line(error)}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print(f"face3dmm {verb}: interrupted", file=sys.stderr)
        return INTERRUPTED


@contextmanager
def ended_by_interrupt() -> Iterator[None]:
    """A context for imports: Ctrl-C ends the process at once, as the system does it.

    An exception is not sure to arrive: what imports swallows some, and the program would go on as if nothing had come.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Only the main thread may say what a signal does.
        return
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _complete(line: str) -> None:
    """Answer a shell that asks how a line goes on, and end the program; nothing happens without argcomplete."""
    if find_spec("argcomplete") is not None:
        import argcomplete

        argcomplete.autocomplete(parser(line.split()[1:]))


def _check_words(words: Sequence[str]) -> None:
    """Check what argparse takes for names of files as it is.

    Raises:
        Face3DMMError: a word has a null character, or is an empty `--out`, which would be the present folder.
    """
    if any("\0" in word for word in words):
        raise Face3DMMError("an argument has a null character, which no name of a file has")
    if "--out=" in words or ("--out", "") in pairwise(words):
        raise Face3DMMError("--out is empty: name a folder, '.' for the present one")


if __name__ == "__main__":
    sys.exit(main())

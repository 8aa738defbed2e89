"""The `face3dmm` command. Each verb's module imports what it needs only when it runs, so that `--help` is instant."""

import argparse
import sys

import face3dmm_ros
from face3dmm_ros.cli import evaluate, export, fetch_dlib_model, fit, label, live, synth, train, view
from face3dmm_ros.core.errors import Face3DMMError

VERBS = (fit, live, evaluate, synth, label, train, export, view, fetch_dlib_model)
BAD_INPUT = 2
"""Exit code for input that cannot be used, as argparse has it."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def parser() -> argparse.ArgumentParser:
    """The command line of all verbs."""
    command = argparse.ArgumentParser(
        prog="face3dmm",
        description="Turn pictures of faces into the parameters of a 3D morphable face model.",
        epilog="See `face3dmm VERB --help` for each verb.",
    )
    command.add_argument("--version", action="version", version=f"face3dmm {face3dmm_ros.__version__}")
    verbs = command.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in VERBS:
        verb.add_parser(verbs).set_defaults(run=verb.run)
    return command


def main(argv: list[str] | None = None) -> int:
    """Run a verb; returns the exit code: 0, 2 with one clear line on stderr, or 130 after Ctrl-C."""
    arguments = parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except Face3DMMError as error:
        print(f"face3dmm {arguments.verb}: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print(f"face3dmm {arguments.verb}: interrupted", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())

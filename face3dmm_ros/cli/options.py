"""The options that several verbs share: landmark detector, face model, fit method and tracking."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

from face3dmm_ros.cli.exit_codes import BAD_INPUT
from face3dmm_ros.core.errors import Face3DMMError, one_line
from face3dmm_ros.core.image_limits import LEAST_MEGAPIXELS, MEGAPIXELS, MOST_MEGAPIXELS
from face3dmm_ros.core.user_path import user_path
from face3dmm_ros.core.work_items import DaskPool, LocalPool, Pool
from face3dmm_ros.fit_methods import FIT_METHODS, REGRESSOR_METHODS, SHIPPED, RegressorFile
from face3dmm_ros.landmarks import BACKENDS
from face3dmm_ros.smoothing import SMOOTHING_METHODS


def add_fit_options(verb: argparse.ArgumentParser, *, more_methods: Sequence[str] = (), several: bool = False) -> None:
    """Add landmark backend, model, fit method and regressor.

    Args:
        verb: to add them to.
        more_methods: further fit methods of this verb, which need torch.
        several: whether several fit methods may be named.
    """
    needing_torch = " and ".join((*REGRESSOR_METHODS, *more_methods))
    methods = f"{', '.join((*FIT_METHODS, *more_methods))}; {needing_torch} need torch"
    add = verb.add_argument
    add_backend_and_model(verb)
    if several:
        together = f"{methods}; several are set side by side"
        add("--fit-method", nargs="+", default=[FIT_METHODS[0]], metavar="NAME", help=together)
    else:
        add("--fit-method", default=FIT_METHODS[0], metavar="NAME", help=methods)
    add("--regressor", default=SHIPPED, metavar="FILE", help="network of the regressor methods: 'default', weights "
        "(.safetensors) that `face3dmm train` wrote, or a TorchScript archive of `face3dmm export`")  # fmt: skip
    add("--regressor-sha256", default="", metavar="HEX", help="hash of that archive; without it none is opened, "
        "since an archive can run any code")  # fmt: skip


def add_backend_and_model(verb: argparse.ArgumentParser) -> None:
    """Add landmark backend and model."""
    add = verb.add_argument
    add("--backend", default=BACKENDS[0], metavar="NAME", help=f"landmark detector: {', '.join(BACKENDS)}")
    add_model_option(verb)


def add_model_option(verb: argparse.ArgumentParser) -> None:
    """Add the face model."""
    verb.add_argument("--model", default="default", metavar="FILE", help="face model: 'default', or a file or "
        "folder of any format that is read, which docs/models.md lists")  # fmt: skip


def add_tracking_options(verb: argparse.ArgumentParser) -> None:
    """Add smoothing and the number of tracked faces."""
    add = verb.add_argument
    add("--smoothing", default=SMOOTHING_METHODS[0], metavar="NAME", help=f"over time: {', '.join(SMOOTHING_METHODS)}")
    add_max_faces_option(verb)


def add_max_faces_option(verb: argparse.ArgumentParser, default: int = 1) -> None:
    """Add the number of faces."""
    verb.add_argument("--max-faces", type=int, default=default, metavar="N", help="faces to take at most")


def add_fov_option(verb: argparse.ArgumentParser) -> None:
    """Add the camera's field of view."""
    verb.add_argument("--fov", type=float, default=60.0, metavar="DEG", help="horizontal field of view of the camera")


def add_colors_option(verb: argparse.ArgumentParser) -> None:
    """Add whether the person's colours are estimated from the image."""
    verb.add_argument("--estimate-colors", action=argparse.BooleanOptionalAction, default=True,
        help="tell the person's colours, gamma, from the image")  # fmt: skip


def add_megapixels_option(verb: argparse.ArgumentParser) -> None:
    """Add how large images may be, which `cli.main` lets hold for the verb."""
    verb.add_argument("--max-megapixels", type=_megapixels, default=MEGAPIXELS, metavar="N", help="larger images are "
        "refused; a limit of memory, of which each takes 3 MB a megapixel and more")  # fmt: skip


def add_json_option(verb: argparse.ArgumentParser, what: str) -> None:
    """Add whether a result is printed for programs."""
    verb.add_argument("--json", action="store_true", help=f"print {what} as a line of JSON; what is for people goes to "
        "stderr")  # fmt: skip


def for_people(as_json: bool) -> AbstractContextManager[Any]:
    """A context in which what is printed is for people: it goes to stderr where stdout is for a program."""
    return redirect_stdout(sys.stderr) if as_json else nullcontext()


def positive_seconds(text: str) -> float:
    """A duration as it is typed, s; a type of arguments."""
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number of seconds")
    return value


def _megapixels(text: str) -> float:
    value = float(text)
    if not LEAST_MEGAPIXELS <= value <= MOST_MEGAPIXELS:
        raise argparse.ArgumentTypeError(f"{text} is not between {LEAST_MEGAPIXELS:g} and {MOST_MEGAPIXELS:g}")
    return value


def regressor_file(arguments: argparse.Namespace) -> RegressorFile:
    """The network that the options name."""
    return RegressorFile(arguments.regressor, arguments.regressor_sha256)


def folder_names(stems: Sequence[str]) -> list[str]:
    """A folder's name for each of several files: its stem, with a number if an earlier one has that."""
    names: list[str] = []
    for stem in stems:
        candidates = [stem, *(f"{stem}_{number}" for number in range(1, len(stems) + 1))]
        names.append(next(name for name in candidates if name not in names))
    return names


def add_pool_options(verb: argparse._ActionsContainer, what: str) -> None:
    """Add who does the work.

    Args:
        verb: to add them to.
        what: is done at a time, in the plural.
    """
    add = verb.add_argument
    add("--jobs", type=int, metavar="N", help=f"{what} at a time, in a process each; without it one a core")
    add("--dask", metavar="ADDRESS", help="let the workers of a Dask cluster do it, such as those of "
        "tcp://127.0.0.1:8786, which see the same files under the same names; without it this machine")  # fmt: skip


def pool_of(arguments: argparse.Namespace) -> Pool:
    """Who does the work, as the options say.

    Raises:
        Face3DMMError: --jobs is out of range, or given besides --dask.
    """
    if arguments.jobs is not None and arguments.jobs < 1:
        raise Face3DMMError(f"--jobs is at least 1, not {arguments.jobs}")
    if arguments.dask is not None and arguments.jobs is not None:
        raise Face3DMMError("--jobs is of this machine, and --dask of others: leave one of them out")
    return DaskPool(arguments.dask) if arguments.dask is not None else LocalPool(arguments.jobs or 0)


def everywhere(name: str) -> str:
    """The name for workers that have a folder of their own: of a file that is there, from the root; else as it is."""
    path = user_path(name)
    return str(path.absolute()) if name not in ("", SHIPPED) and path.exists() else name


def named_everywhere(arguments: argparse.Namespace, *names: str) -> argparse.Namespace:
    """The arguments for workers that have a folder of their own: what names a file that is there, named from the root.

    Args:
        arguments: stay as they are.
        names: of those that may name files.
    """
    given = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    found = {name: type(value)(everywhere(str(value))) for name, value in given.items()}
    return argparse.Namespace(**(vars(arguments) | found))


def tell_failures(verb: str, failures: Sequence[tuple[object, Exception]]) -> int:
    """Say on stderr what could not be done, and why; returns the exit code."""
    for what, error in failures:
        print(f"face3dmm {verb}: {what}: {one_line(error)}", file=sys.stderr)
    return BAD_INPUT if failures else 0


def check_apart(pictures: Path, out: Path) -> None:
    """Check that the output is not among the pictures, where the next run would take it for the person's.

    Raises:
        Face3DMMError: `out` lies within `pictures`.
    """
    if out.resolve().is_relative_to(pictures.resolve()):
        raise Face3DMMError(f"--out {out} lies within {pictures}: choose a folder beside it")

"""The formats that are read, each a module of its own; which one a file is, its contents tell and not its name."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.morphable_model.formats.contents import MATLAB, NPZ, contents
from face3dmm_ros.morphable_model.model import MorphableModel


@dataclass(frozen=True)
class ModelFormat:
    """A layout of face models.

    Attributes:
        title: as people call it.
        kind: of file, as `Contents.kind` has it.
        tells: whether names of a file's contents are this format's.
        module: in this package; its ``load(path)`` makes the `MorphableModel`, or raises `Face3DMMError`.
        file_name: the file's usual name; ``*`` for any part of it.
        owner: where its owners give it out; empty where it is anybody's.
        licence: what its owners say who may use it for what; files themselves seldom do.
    """

    title: str
    kind: str
    tells: Callable[[frozenset[str]], bool]
    module: str
    file_name: str
    owner: str = ""
    licence: str = "not told by the file"


def _all_of(*names: str) -> Callable[[frozenset[str]], bool]:
    return lambda found: found.issuperset(names)


FORMATS = (
    ModelFormat("this package's own", NPZ, _all_of("format_version", "shape_basis_int16"), "npz_file", "*.npz"),
    ModelFormat("face3d's struct of the Basel Face Model", MATLAB, _all_of("model"), "face3d_struct", "BFM.mat"),
)
"""In the order in which they are tried."""


def read_model(path: Path) -> MorphableModel:
    """The model in a file or folder of any of the `FORMATS`.

    Raises:
        Face3DMMError: there is none, it is of no known format, or it is damaged; said are what was found, what was
            expected, and where the owners of a licensed model give it out.
    """
    return importlib.import_module(f"{__package__}.{format_at(path).module}").load(path)


def format_at(path: Path) -> ModelFormat:
    """The format of a file or folder.

    Raises:
        Face3DMMError: as `read_model`, but nothing large is read.
    """
    if not path.exists():
        raise Face3DMMError(f"there is no model at {path}{_where_to_get(path.name)}")
    found = contents(path)
    for known in FORMATS:
        if known.kind == found.kind and known.tells(found.names):
            return known
    titles = "; ".join(f"{known.title} ({known.file_name})" for known in FORMATS)
    raise Face3DMMError(f"{path} is not a face model that can be read: it is {found}. These can: {titles}")


def _where_to_get(name: str) -> str:
    """The end of an error about a file of a name that is not there."""
    for known in FORMATS:
        if known.owner and Path(name).match(known.file_name):
            return f"; {known.title} is given out by its owners at {known.owner}"
    return ""

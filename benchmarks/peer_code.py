"""Code of others that runs beside ours: imported from a folder that the user names, on one core."""

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from face3dmm_ros.core.errors import Face3DMMError


def import_from(folder: Path, name: str) -> ModuleType:
    """A module of a folder, imported as if one stood in it; its neighbours are not found by others afterwards.

    It runs the folder's code: name one that you trust.

    Raises:
        Face3DMMError: it needs a package that is not installed.
    """
    path, known = sys.path.copy(), set(sys.modules)
    sys.path.insert(0, str(folder.resolve()))
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Face3DMMError(f"{folder} cannot be imported: {error}; pip install what is missing") from error
    finally:
        sys.path[:] = path
        # Names such as `utils` and `models` are anybody's.
        for new in set(sys.modules) - known:
            if folder.resolve() in Path(getattr(sys.modules[new], "__file__", None) or "/").parents:
                del sys.modules[new]


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this thread, and those started meanwhile, on one core: peers have threads of their own."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)

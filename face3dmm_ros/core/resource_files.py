"""Where the package's own files lie, in a source tree, a wheel and a colcon install alike, and its user's cache."""

import os
from pathlib import Path

from face3dmm_ros.core.errors import Face3DMMError

PACKAGE = "face3dmm_ros"


def cache_folder() -> Path:
    """Where the package keeps what it fetched or made for this user, by the XDG Base Directory Specification."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / PACKAGE


def package_file(relative: str) -> Path:
    """Path of a file that ships with the package, such as ``resource/default_model.npz`` or ``config/live.yaml``.

    A wheel keeps these folders inside the Python package (``msg`` under ``share``), a source tree beside it, and a
    colcon install under ``<prefix>/share/face3dmm_ros``.

    Raises:
        Face3DMMError: the file is in none of these places.
    """
    package_folder = Path(__file__).parents[1]
    shares = (parent / "share" / PACKAGE for parent in package_folder.parents)
    roots = [package_folder, package_folder / "share", package_folder.parent, *shares]
    for root in roots:
        if (root / relative).is_file():
            return root / relative
    raise Face3DMMError(
        f"{relative} of {PACKAGE} was found neither in {package_folder}, nor beside it, nor under share/{PACKAGE} "
        "of its installation: the installation is incomplete, build or install the package again"
    )

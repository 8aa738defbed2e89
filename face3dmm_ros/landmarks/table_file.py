"""Tables that the landmark networks go by, as .npz files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError


def read_table(path: Path, names: Sequence[str], what: str) -> dict[str, NDArray]:
    """The arrays of those names.

    Raises:
        Face3DMMError: the file is missing or no such table; it says that it is not `what`.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names}
    except (OSError, ValueError, KeyError) as error:
        raise Face3DMMError(f"{path} is not {what}: {error}") from error

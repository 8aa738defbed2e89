"""Parts of models that a pickle or an array's file holds, checked."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError

_MOST_NUMBERS = 50_000_000
"""Of a part, which a small type or a compressed file could make many, by hand: FLAME's largest has 6 million, all 199
components of 3DDFA's 53,215 vertices 32 million."""


def dictionary(path: Path, found: Any) -> dict[Any, Any]:
    """What a pickle holds.

    Raises:
        Face3DMMError: it is no dictionary.
    """
    if not isinstance(found, dict):
        raise Face3DMMError(f"{path} must hold a dictionary, found a {type(found).__name__}")
    return found


def finite_numbers(path: Path, name: str, found: Any) -> NDArray[np.float64]:
    """A part as numbers.

    Raises:
        Face3DMMError: it is no array of numbers, has too many, or some are not finite.
    """
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "iuf":
        raise Face3DMMError(f"{path}: {name} must be an array of numbers, found {type(found).__name__}")
    if found.size > _MOST_NUMBERS:
        raise Face3DMMError(f"{path}: {name} has {found.size} numbers; up to {_MOST_NUMBERS} are read")
    numbers = found.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise Face3DMMError(f"{path}: {name} holds values that are not finite (NaN or infinity)")
    return numbers

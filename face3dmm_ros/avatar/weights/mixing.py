"""Other vocabularies of expressions as sums of ARKit's weights."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.arkit import ARKIT_NAMES


def mixing_matrix(sums: Iterable[Mapping[str, float]]) -> NDArray[np.float32]:
    """(sums, 52) matrix whose product with the weights of `ARKIT_NAMES` gives each sum's value.

    Args:
        sums: each by ARKit's names, and how much of each weight it takes.
    """
    rows = list(sums)
    matrix = np.zeros((len(rows), len(ARKIT_NAMES)), np.float32)
    for row, shares in zip(matrix, rows, strict=True):
        for name, share in shares.items():
            row[ARKIT_NAMES.index(name)] = share
    return matrix

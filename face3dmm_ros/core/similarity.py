"""Similarity transforms between point sets, by least squares.

Umeyama, Least-Squares Estimation of Transformation Parameters Between Two Point Patterns, PAMI 1991. Mirror images are
not aligned: bring both sets into frames of one handedness first.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import nearest_rotation


def scaled_rotation(cross: NDArray[np.float64], square: float) -> tuple[float, NDArray[np.float64]]:
    """Scale s and rotation R, (3, 3), that minimise Σ ‖b − s·R·a‖² over points a and b, each about their mean.

    Args:
        cross: Σ b·aᵀ, (3, 3).
        square: Σ ‖a‖².

    Raises:
        Face3DMMError: the points do not determine a rotation.
    """
    rotation = nearest_rotation(cross)
    return float((rotation * cross).sum() / square), rotation


def align(source: ArrayLike, target: ArrayLike, *, scaled: bool = True) -> NDArray[np.float64]:
    """(N, 3) source points under the similarity (scale, proper rotation, shift) that brings them nearest to the target.

    Args:
        source: (N, 3).
        target: (N, 3).
        scaled: whether the scale may change; otherwise the motion is rigid.

    Raises:
        Face3DMMError: the shapes disagree, or the points do not determine a rotation.
    """
    a, b = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 2 or a.shape[1] != 3:
        raise Face3DMMError(f"a similarity aligns two (N, 3) arrays of one shape, found {a.shape} and {b.shape}")
    centered = a - a.mean(axis=0)
    scale, rotation = scaled_rotation((b - b.mean(axis=0)).T @ centered, float((centered**2).sum()))
    return (scale if scaled else 1.0) * centered @ rotation.T + b.mean(axis=0)

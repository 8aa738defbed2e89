"""Filling gaps in pictures."""

import cv2
import numpy as np
from numpy.typing import NDArray


def continued(values: NDArray[np.float32], weight: NDArray[np.float32], finest: int) -> NDArray[np.float32]:
    """Values (S, S, C) smoothly extrapolated where their weight (S, S) is small, no detail below 2^finest texels.

    A pyramid of weighted means: from the coarsest level down, each level is blended by its weight with the next coarser
    one (pull–push, Gortler et al., The Lumigraph, SIGGRAPH 1996).
    """
    levels: list[tuple[NDArray, NDArray]] = [(values * weight[..., None], weight)]
    while min(levels[-1][1].shape) > 2:
        sums, weights = levels[-1]
        levels.append((cv2.pyrDown(sums), cv2.pyrDown(weights)))
    sums, weights = levels[-1]
    result: NDArray = sums / np.maximum(weights, 1e-6)[..., None]
    for sums, weights in reversed(levels[finest:-1]):
        mean = sums / np.maximum(weights, 1e-6)[..., None]
        share = np.minimum(weights, 1.0)[..., None]
        coarser = cv2.resize(result, weights.shape[::-1], interpolation=cv2.INTER_LINEAR)
        result = share * mean + (1.0 - share) * coarser
    if finest:
        result = np.asarray(cv2.resize(result, weight.shape[::-1], interpolation=cv2.INTER_CUBIC))
    return result

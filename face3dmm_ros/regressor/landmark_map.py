"""A face's landmarks as an image, the fourth channel of 2DASL (Tu et al., IEEE Transactions on Multimedia 2021)."""

import numpy as np
import torch
from numpy.typing import NDArray

from face3dmm_ros.regressor.crops import SIDE


def landmark_map(landmarks: NDArray[np.floating], side: int = SIDE) -> NDArray[np.float32]:
    """1 at each landmark's pixel, −1 elsewhere.

    Args:
        landmarks: (P, 2), px of the crop, (0, 0) the centre of its top-left pixel; what lies outside leaves no mark.
        side: of the crop, px.

    Returns:
        (side, side) float32.
    """
    marks = np.full((side, side), -1.0, np.float32)
    # A NaN is nowhere inside.
    inside = ((landmarks >= -0.5) & (landmarks < side - 0.5)).all(axis=1)
    columns, rows = np.floor(landmarks[inside].T + 0.5).astype(np.intp)
    marks[rows, columns] = 1.0
    return marks


def landmark_maps(landmarks: torch.Tensor, side: int = SIDE) -> torch.Tensor:
    """`landmark_map` of a batch, (B, P, 2) → (B, side, side) float32, on the landmarks' device."""
    B = len(landmarks)
    inside = ((landmarks >= -0.5) & (landmarks < side - 0.5)).all(dim=2)
    columns, rows = torch.where(inside[..., None], torch.floor(landmarks + 0.5), 0.0).long().unbind(dim=2)
    # Those outside mark one more cell, which is cut off again.
    cell = torch.where(inside, rows * side + columns, side * side)
    marks = torch.full((B, side * side + 1), -1.0, device=landmarks.device)
    return marks.scatter_(1, cell, 1.0)[:, :-1].reshape(B, side, side)

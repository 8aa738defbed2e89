"""A face's landmarks as an image, the fourth channel of 2DASL (Tu et al., IEEE Transactions on Multimedia 2021)."""

import torch

from face3dmm_ros.regressor.crops import SIDE


def landmark_maps(landmarks: torch.Tensor, side: int = SIDE) -> torch.Tensor:
    """Images that are 1 at each landmark's pixel and −1 elsewhere, on the landmarks' device.

    Args:
        landmarks: (B, P, 2), px of the crop, (0, 0) the centre of its top-left pixel; those outside leave no mark.
        side: of the crop, px.

    Returns:
        (B, side, side) float32.
    """
    B = len(landmarks)
    # A NaN is nowhere inside.
    inside = ((landmarks >= -0.5) & (landmarks < side - 0.5)).all(dim=2)
    columns, rows = torch.where(inside[..., None], torch.floor(landmarks + 0.5), 0.0).long().unbind(dim=2)
    # Those outside mark one more cell, which is cut off again.
    cell = torch.where(inside, rows * side + columns, side * side)
    marks = torch.full((B, side * side + 1), -1.0, device=landmarks.device)
    return marks.scatter_(1, cell, 1.0)[:, :-1].reshape(B, side, side)

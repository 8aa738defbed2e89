"""Where the eyes look, as angles."""

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.arkit import weight_of

WAYS = ("Up", "Down", "In", "Out")
FULL_GAZE = np.radians([14.0, 14.0, 20.0, 20.0])
"""How far an eye turns each of `WAYS` at weight 1, radians; chosen by hand."""


def eye_angles(weights: NDArray[np.float32], side: str, reach: NDArray[np.float64] = FULL_GAZE) -> tuple[float, float]:
    """Yaw and pitch of an eye relative to the head, radians: yaw toward the person's own left, pitch up.

    Args:
        weights: (52,) of `ARKIT_NAMES`.
        side: ``Left`` or ``Right``.
        reach: how far it turns each of `WAYS` at weight 1, radians.
    """
    up, down, inward, outward = reach * [weight_of(weights, f"eyeLook{way}{side}") for way in WAYS]
    yaw = outward - inward if side == "Left" else inward - outward
    return float(yaw), float(up - down)

"""The 51 ARKit blendshapes: MakeHuman's face units, with eyeballs that truly turn."""

import numpy as np
from numpy.typing import NDArray

from default_model.anatomy import Anatomy
from default_model.head import MILLIMETRES, Head
from default_model.makehuman import MakeHuman

# Prior standard deviation of a weight in conversational footage. What moves all the time is free; what a face does
# rarely, and what a fit to 2D points confuses with identity or pose, is held tighter.
SIGMA = {
    "browDownLeft": 0.25, "browDownRight": 0.25, "browInnerUp": 0.30, "browOuterUpLeft": 0.25, "browOuterUpRight": 0.25,
    "cheekPuff": 0.10, "cheekSquintLeft": 0.20, "cheekSquintRight": 0.20,
    "eyeBlinkLeft": 0.40, "eyeBlinkRight": 0.40,
    "eyeLookDownLeft": 0.30, "eyeLookDownRight": 0.30, "eyeLookInLeft": 0.25, "eyeLookInRight": 0.25,
    "eyeLookOutLeft": 0.25, "eyeLookOutRight": 0.25, "eyeLookUpLeft": 0.25, "eyeLookUpRight": 0.25,
    "eyeSquintLeft": 0.25, "eyeSquintRight": 0.25, "eyeWideLeft": 0.20, "eyeWideRight": 0.20,
    "jawForward": 0.10, "jawLeft": 0.10, "jawOpen": 0.30, "jawRight": 0.10,
    "mouthClose": 0.10, "mouthDimpleLeft": 0.20, "mouthDimpleRight": 0.20,
    "mouthFrownLeft": 0.20, "mouthFrownRight": 0.20, "mouthFunnel": 0.25, "mouthLeft": 0.15,
    "mouthLowerDownLeft": 0.25, "mouthLowerDownRight": 0.25, "mouthPressLeft": 0.20, "mouthPressRight": 0.20,
    "mouthPucker": 0.30, "mouthRight": 0.15, "mouthRollLower": 0.20, "mouthRollUpper": 0.15,
    "mouthShrugLower": 0.20, "mouthShrugUpper": 0.15, "mouthSmileLeft": 0.35, "mouthSmileRight": 0.35,
    "mouthStretchLeft": 0.20, "mouthStretchRight": 0.20, "mouthUpperUpLeft": 0.25, "mouthUpperUpRight": 0.25,
    "noseSneerLeft": 0.20, "noseSneerRight": 0.20,
}  # fmt: skip

NAMES = tuple(SIGMA)

# Degrees that an eye turns at full weight: about (axis x or y; positive pitch looks down, positive yaw to +x).
_GAZE = {"Up": ("pitch", -18.0), "Down": ("pitch", 22.0), "In": ("yaw", -26.0), "Out": ("yaw", 26.0)}


# How far, mm, a fully closed upper lid passes the lower: so that wider eyes than the mean's close as well.
_LID_OVERLAP = 0.8


def blendshapes(makehuman: MakeHuman, head: Head, anatomy: Anatomy, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Displacements of every blendshape at full weight, (3N, 51), mm, for a mean face (N, 3), mm."""
    basis = np.empty((mean.size, len(NAMES)))
    for column, name in enumerate(NAMES):
        displacement = MILLIMETRES * head.carry(makehuman.face_unit(name))
        displacement[head.is_part("left_eye", "right_eye")] = 0.0
        if name.startswith("eyeLook"):
            displacement += _gaze(name, head, mean)
        if name.startswith("eyeBlink"):
            eyelids = anatomy.left_eyelids if name.endswith("Left") else anatomy.right_eyelids
            displacement *= _closing(eyelids["rim"], displacement, mean)[:, None]
        basis[:, column] = displacement.ravel()
    return basis


def _closing(
    rim: NDArray[np.int64], displacement: NDArray[np.float64], mean: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Factors (N,) on a blink with which the upper lid comes to lie `_LID_OVERLAP` below the edge of the lower.

    MakeHuman's unit is drawn for wider eyes than the mean's, and would push the upper lid over the cheek.
    """
    side, height = mean[rim, 0], mean[rim, 1]
    corners = [side.argmin(), side.argmax()]
    chord = np.interp(side, side[corners], height[corners])
    order = side.argsort()
    lower = order[height[order] <= chord[order]]
    upper = order[(height[order] > chord[order]) & (displacement[rim[order], 1] < -2.0)]
    edge = np.interp(side[upper], side[lower], height[lower]) - _LID_OVERLAP
    factor = np.clip((height[upper] - edge) / -displacement[rim[upper], 1], 0.2, 1.0)
    return np.interp(mean[:, 0], side[upper], factor)


def _gaze(name: str, head: Head, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Displacements of an eyeball that turns about its own centre."""
    side = "Left" if name.endswith("Left") else "Right"
    axis, degrees = _GAZE[name.removeprefix("eyeLook").removesuffix(side)]
    angle = np.radians(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    if axis == "pitch":
        rotation = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    else:
        # In and Out mirror each other: the left eye's outward side is +x, the right eye's is −x.
        sin = sin if side == "Left" else -sin
        rotation = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    eye = head.is_part("left_eye" if side == "Left" else "right_eye")
    homogeneous = np.column_stack([head.eye_direction[eye], np.ones(eye.sum())])
    center = np.linalg.lstsq(homogeneous, mean[eye], rcond=None)[0][3]
    arm = mean[eye] - center
    displacement = np.zeros_like(mean)
    displacement[eye] = arm @ rotation.T - arm
    return displacement

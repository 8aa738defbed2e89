"""Glasses that sit on nose and ears."""

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.lab.synthesis.parts import Part, grid_part
from face3dmm_ros.lab.synthesis.scene import Glasses
from face3dmm_ros.rendering.grids import tube

_GLOSS = (
    1.0,
    0.5,
    0.6,
    0.0,
)  # traits of the frame; as all sizes of this module chosen by hand, while looking at renders


def glasses_parts(glasses: Glasses, landmarks: NDArray[np.floating]) -> list[Part]:
    """Rims, lenses, bridge and temples for a face with these (68, 3) iBUG landmarks, model space, mm."""
    right, left = landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0)
    bridge = landmarks[27:29].mean(axis=0)
    angle = np.linspace(0.0, 2 * np.pi, 28, endpoint=False)
    c, s = np.cos(angle), np.sin(angle)
    reach = (np.abs(c) ** glasses.roundness + np.abs(s) ** glasses.roundness) ** (-1.0 / glasses.roundness)
    plane = max(float(bridge[2]) + 1.0, float(max(left[2], right[2])) + 14.0)
    parts, rims = [], []
    for eye in (right, left):
        outer = 1.0 if eye[0] > 0 else -1.0
        rim = np.stack([glasses.width * reach * c, glasses.height * reach * s, 0 * c], axis=-1)
        # Frames bend back toward the temples.
        rim[:, 2] = plane - 0.004 * (rim[:, 0] * outer + glasses.width) ** 2
        rim[:, :2] += eye[:2] + np.array([1.5 * outer, -2.0])
        rims.append(rim)
        parts.append(grid_part("plain", tube(rim, glasses.tube, closed=True), glasses.color, traits=_GLOSS))
        middle = rim.mean(axis=0)
        lens = np.stack([rim, np.broadcast_to(middle + np.array([0.0, 0.0, 1.5]), rim.shape)])[:, np.r_[: len(rim), 0]]
        color = np.full(3, 0.25 if glasses.tint < 0.4 else 0.03)
        parts.append(grid_part("glass", lens[::-1], color, traits=(1.0, 0.35, 0.9, 0.0), masks=(0, 0, glasses.tint, 0)))
        ear = landmarks[16 if outer > 0 else 0]
        hinge = rim[np.argmax(outer * rim[:, 0])]
        behind = np.array([outer * (abs(ear[0]) + 6.0), hinge[1] + 2.0, ear[2] - 28.0])
        wide = np.array([outer * (abs(ear[0]) + 4.0), hinge[1] + 1.0, 0.5 * (hinge[2] + behind[2])])
        t = np.linspace(0.0, 1.0, 8)[:, None]
        arm = (1 - t) ** 2 * hinge + 2 * t * (1 - t) * wide + t**2 * behind
        parts.append(grid_part("plain", tube(arm, 1.2 * glasses.tube), glasses.color, traits=_GLOSS))
    inner_right, inner_left = rims[0][np.argmax(rims[0][:, 0])], rims[1][np.argmin(rims[1][:, 0])]
    t = np.linspace(0.0, 1.0, 7)[:, None]
    arch = (1 - t) * inner_right + t * inner_left + np.sin(np.pi * t) * np.array([0.0, 3.0, 3.0])
    parts.append(grid_part("plain", tube(arch, glasses.tube), glasses.color, traits=_GLOSS))
    return parts

"""A character's proportions: a warp of space that turns the default model's mean face into one of an animated film.

It enlarges the eyes, shrinks nose and chin, rounds the cheeks and gives the ears tips. It is smooth, so that a linear
model can be warped to first order: a displacement e of a point x becomes J(x)·e, J the warp's Jacobian, and lids that
close on the mean face close on the character's larger eyes too. Numbers without another origin were chosen by hand.
"""

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.rendering.smoothstep import smoothstep

EYE_CENTER = np.array([32.0, 0.0, 0.0])
"""Of the left eyeball on the default model's mean, mm; the right one's is its mirror image."""

EYE_RADIUS = 15.1
"""mm, of the default model's eyeballs."""

EYE_SCALE = np.array([1.55, 1.75, 1.30])
EYE_SHIFT = np.array([4.5, -5.0, 1.0])  # mm
LARGE_EYE_CENTER, LARGE_EYE_RADII = EYE_CENTER + EYE_SHIFT, EYE_RADIUS * EYE_SCALE
"""Of the character's left eyeball, mm."""

_EYE_RIGID = 17.0  # mm from the eye's centre: up to there the warp is one scaling, so that lids fit the eyeball
_EYE_REACH = 64.0  # mm from the eye's centre where the warp fades out, and the same toward the midline:
_MIDLINE_REACH = 31.0

_NOSE = np.array([0.0, -33.0, 24.0])
_NOSE_RADII = np.array([27.0, 32.0, 36.0])
_NOSE_SCALE = np.array([0.74, 0.72, 0.52])

_STEP = 0.01  # mm, of the Jacobian's central differences


def caricature(points: NDArray[np.floating], ears: NDArray[np.floating]) -> NDArray[np.float64]:
    """Warp points of the mean face.

    Args:
        points: (N, 3), mm.
        ears: (N,) in [0, 1], how much each point belongs to an ear.

    Returns:
        (N, 3), mm.
    """
    p = np.array(points, np.float64)
    side = np.where(p[:, :1] < 0.0, -1.0, 1.0) * [1.0, 0.0, 0.0] + [0.0, 1.0, 1.0]
    p *= side
    p = _with_ear_tips(_with_round_cheeks(_with_small_nose(_with_large_eyes(p))), ears)
    return np.asarray(p * side)


def jacobian(points: NDArray[np.floating], ears: NDArray[np.floating]) -> NDArray[np.float64]:
    """The warp's Jacobian at (N, 3) points, (N, 3, 3); arguments as of `caricature`."""
    steps = _STEP * np.eye(3)
    differences = [caricature(points + step, ears) - caricature(points - step, ears) for step in steps]
    return np.stack(differences, axis=-1) / (2 * _STEP)


def _with_large_eyes(p: NDArray[np.float64]) -> NDArray[np.float64]:
    offset = p - EYE_CENTER
    distance = np.linalg.norm(offset, axis=1, keepdims=True)
    medial = np.clip(-offset[:, :1] / np.maximum(distance, 1e-9), 0.0, 1.0)
    reach = _EYE_REACH + (_MIDLINE_REACH - _EYE_REACH) * medial
    share = 1.0 - smoothstep(_EYE_RIGID, reach, distance)
    return np.asarray(p + share * ((EYE_SCALE - 1.0) * offset + EYE_SHIFT))


def _with_small_nose(p: NDArray[np.float64]) -> NDArray[np.float64]:
    offset = p - _NOSE
    share = _bump(np.linalg.norm(offset / _NOSE_RADII, axis=1, keepdims=True))
    return np.asarray(p + share * (_NOSE_SCALE - 1.0) * offset)


def _with_round_cheeks(p: NDArray[np.float64]) -> NDArray[np.float64]:
    low = smoothstep(-62.0, -112.0, p[:, 1])
    cheek = _bump(np.linalg.norm((p - [56.0, -42.0, -5.0]) / [45.0, 44.0, 60.0], axis=1))
    shorter = np.minimum(p[:, 1] + 25.0, 0.0)
    return np.column_stack([p[:, 0] * (1.0 - 0.15 * low + 0.09 * cheek), p[:, 1] - 0.13 * shorter, p[:, 2]])


def _with_ear_tips(p: NDArray[np.float64], ears: NDArray[np.floating]) -> NDArray[np.float64]:
    height = np.clip((p[:, 1] + 48.0) / 54.0, 0.0, 1.1)
    tip = (ears * height**2.5)[:, None]
    return np.asarray(p + tip * [15.0, 30.0, -12.0] + ears[:, None] * [2.0, 0.0, 0.0])


def _bump(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 at distance 0, falling smoothly to 0 at distance 1."""
    return np.asarray(np.clip(1.0 - distance**2, 0.0, None) ** 2)

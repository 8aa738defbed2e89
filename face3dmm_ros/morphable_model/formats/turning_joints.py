"""Joints that turn, as linear expressions about rest: β is the angle in radians."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.rotations import rotation_from_vector

Turned = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Where vertices (N, 3) are when a joint turns by a rotation vector (3,), rad."""


class Turn(NamedTuple):
    """An expression by which a joint turns.

    Attributes:
        name: of the expression.
        axis: that the joint turns about.
        secant: angle of the straight line through true skinning, rad.
        least: β.
        most: β.
        sigma: of β, rad.
    """

    name: str
    axis: tuple[float, float, float]
    secant: float
    least: float
    most: float
    sigma: float


# By hand. People turn their head rather than look more than 30° aside, and mostly look within 15° of straight ahead.
_EYE_TURNS = (
    Turn("yaw", (0.0, 1.0, 0.0), 0.25, -0.5, 0.5, 0.2),
    Turn("pitch", (-1.0, 0.0, 0.0), 0.25, -0.4, 0.4, 0.15),
)


def eye_turns(side: str) -> list[Turn]:
    """How the eye of a side, ``left`` or ``right``, turns: yaw toward the person's left, and pitch up."""
    return [turn._replace(name=f"eye_{side}_{turn.name}") for turn in _EYE_TURNS]


def column(turned: Turned, turn: Turn) -> NDArray[np.float64]:
    """The secant of a turn, (3N,), per radian: through both sides for what turns both ways, else through rest."""
    far = turn.secant * np.array(turn.axis)
    if turn.least < 0.0:
        return ((turned(far) - turned(-far)) / (2.0 * turn.secant)).ravel()
    return ((turned(far) - turned(np.zeros(3))) / turn.secant).ravel()


def rigidly(vertices: NDArray[np.float64], joint: NDArray[np.float64], weights: NDArray[np.float64]) -> Turned:
    """Vertices (N, 3) that a joint at (3,) carries along by their weights (N,) in [0, 1]."""

    def turned(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        change = rotation_from_vector(vector) - np.eye(3)
        return vertices + weights[:, None] * ((vertices - joint) @ change.T)

    return turned


def bounds(turns: list[Turn]) -> NDArray[np.float64]:
    """(2, C) lowest and highest β."""
    return np.array([[turn.least for turn in turns], [turn.most for turn in turns]]).reshape(2, -1)

"""Where a face's eyes look, by how its expression turns the eyeballs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_AHEAD = np.array([0.0, 0.0, 1.0])
"""Where an eye at rest looks, in model space."""
_FEWEST_VERTICES = 4
"""That determine a rotation: three lie in a plane."""
_LEAST_TURN = 1e-3
"""Change of the unit axis, at one standard deviation of β, from which an expression turns the eye; chosen by hand, far
above rounding and far below a look aside."""


@dataclass(frozen=True, eq=False)
class EyeGaze:
    """How expressions turn a model's eyes.

    The axis of an eye is what the affine map of its eyeball from the mean to the expression makes of straight ahead.
    That is linear in β up to its length: at 1, a blendshape that turns the eye gives its rotation; between several of
    the default model's, the axis is within 1° of where their rotation vectors, added up, would turn it.

    Attributes:
        turns: (2, 3, E) change of the axis of the left and the right eye per unit of β, before it gets unit length.
    """

    turns: NDArray[np.float64]

    @staticmethod
    def of(
        mean: NDArray[np.floating],
        eyeballs: NDArray[np.bool_],
        basis: NDArray[np.floating],
        sigma: NDArray[np.floating],
    ) -> "EyeGaze | None":
        """How a model's eyes turn; None for one without eyeballs, or whose expressions do not turn both.

        Args:
            mean: (N, 3) vertices, mm.
            eyeballs: (N,) which of them are the eyeballs'.
            basis: (3N, E) of the expressions, mm per unit of β.
            sigma: (E,) standard deviation of β.
        """
        turns = np.zeros((2, 3, len(sigma)))
        for turn, side in zip(turns, (1.0, -1.0), strict=True):
            eye = np.flatnonzero(eyeballs & (side * mean[:, 0] > 0.0))
            if len(eye) < _FEWEST_VERTICES:
                return None
            offset = mean[eye].astype(np.float64)
            offset -= offset.mean(axis=0)
            # For an affine map A, the vertices weighed by this row of the pseudoinverse add up to A·(0, 0, 1).
            weight = np.linalg.pinv(offset)[2]
            turn[:] = np.einsum("n,nke->ke", weight, basis.reshape(len(mean), 3, -1)[eye])
        strongest = np.abs(turns * sigma).max(axis=(1, 2), initial=0.0)
        return EyeGaze(turns) if (strongest > _LEAST_TURN).all() else None

    def directions(self, rotation: NDArray[np.float64], beta: ArrayLike) -> NDArray[np.float64]:
        """Where a face looks in the axes that R leads to, (3, 3) unit rows: left eye, right eye (its own), and both.

        Args:
            rotation: R, (3, 3), model to camera.
            beta: (E,) expression.
        """
        left, right = (axis / np.sqrt(axis @ axis) for axis in _AHEAD + self.turns @ np.asarray(beta, np.float64))
        both = left + right
        return np.array([left, right, both / np.sqrt(both @ both)]) @ rotation.T

"""How far a person's expressions go: the largest weights, by which gains suit the person."""

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.arkit import ARKIT_NAMES

USUAL = 2.0 / 3.0
"""The reach of a person of whom nothing is known: of a movement the fit shows a half to two thirds
(docs/blendshapes.md)."""
LEAST, MOST = 0.5, 1.0
"""Bounds of the reach: gains of 1.5 become 1 to 2. Chosen by hand."""
_MOVES = 0.3
"""What stays below this does not count: noise, and small movements, say nothing of the largest. Chosen by hand."""
_UP_S, _DOWN_S = 1.0, 60.0
"""Seconds in which the reach follows larger and smaller movements: of 60 to 1, so that it is near the 98th percentile
(an expectile; Newey & Powell, Econometrica 1987) and neither one image nor a quiet day sets it. Chosen by hand."""
_LONGEST_STEP_S = 0.5
"""The most that one image counts for, as with the rest."""


def _other_side(name: str) -> str:
    for side, other in (("Left", "Right"), ("Right", "Left")):
        if name.endswith(side):
            return name.removesuffix(side) + other
    return name


_OTHER_SIDES = np.array([ARKIT_NAMES.index(_other_side(name)) for name in ARKIT_NAMES])
_IS_GAZE = np.array([name.startswith("eyeLook") for name in ARKIT_NAMES])


class Reach:
    """The largest weights of one face, robustly; both sides of the face have one reach, and gaze keeps the usual one.

    The sides, since a face is to stay even; gaze, since eyes with gains of their own would squint.

    Attributes:
        weights: (52,) in [LEAST, MOST].
    """

    def __init__(self, weights: NDArray[np.float32] | None = None) -> None:
        """A face of which nothing is known yet, or with the reach that it had before."""
        start = np.full(len(ARKIT_NAMES), USUAL) if weights is None else np.clip(weights, LEAST, MOST)
        self.weights = np.where(_IS_GAZE, USUAL, start).astype(np.float32)
        self._time: float | None = None

    def learn(self, weights: NDArray[np.float32], time: float) -> None:
        """Learn from the next image's weights above rest, (52,) in [0, 1], at a time, s."""
        elapsed = 0.0 if self._time is None else min(max(time - self._time, 0.0), _LONGEST_STEP_S)
        self._time = time
        larger = np.maximum(weights, weights[_OTHER_SIDES])
        share = 1.0 - np.exp(-elapsed / np.where(larger > self.weights, _UP_S, _DOWN_S))
        share[(larger < _MOVES) | _IS_GAZE] = 0.0
        self.weights = np.clip(self.weights + share * (larger - self.weights), LEAST, MOST).astype(np.float32)

    def factors(self) -> NDArray[np.float64]:
        """(52,) factors of the gains."""
        return USUAL / self.weights.astype(np.float64)

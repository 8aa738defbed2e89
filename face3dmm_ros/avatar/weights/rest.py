"""What a person's face shows at rest: learnt slowly from what is usual for it, or calibrated at a word.

A measured weight is the person's rest and an expression above it. One image cannot tell which: a mouth that smiles, and
one that is made so, look alike. Two things tell them apart. How people at rest look to the detector bounds what a rest
may be (`_LARGEST`): what lies far above that is an expression, however long it is held, and tells nothing of the rest.
And a rest is what is usual: it comes back, while expressions pass. So the rest is a running mean over the memory's
seconds, in which the model's neutral face counts as the first seconds (the prior), and what lies below it counts more,
since expressions only add. Brows and lids, in which people differ most and which rest most of the time, have the
shorter times. What is counted is time, not images, so that any rate of images learns alike.
"""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.arkit import ARKIT_NAMES

CALIBRATED_LIMIT = 0.8
"""A calibrated rest is clipped to this, so that a blendshape keeps a fifth of its range. Chosen by hand."""
_MOST_IMAGES = 1800
"""The last weights of a calibration that are kept: of the longest, a minute, at 30 images a second."""
_LONGEST_STEP_S = 0.5
"""The most that one image counts for, so that a gap between images does not. Chosen by hand: two images a second."""
_BELOW = 2.0
"""How much more weights below the rest count than those above it. Chosen by hand: little, for a lowered brow is an
expression, too."""
_MARGIN = 1.5
"""From the largest rest on a weight counts less, and nothing from this times it on. Chosen by hand."""


def _by_beginning(otherwise: float, values: dict[str, float]) -> NDArray[np.float32]:
    """(52,): by how a blendshape's name begins, the longest beginning winning."""
    return np.array(
        [
            next((values[b] for b in sorted(values, key=len, reverse=True) if name.startswith(b)), otherwise)
            for name in ARKIT_NAMES
        ],
        np.float32,
    )


_LARGEST = _by_beginning(
    0.1,
    {
        "brow": 0.35, "eyeBlink": 0.2, "eyeSquint": 0.15, "jawOpen": 0.15, "mouthFrown": 0.2, "mouthRoll": 0.2,
        "mouthSmile": 0.15,
    },
)  # fmt: skip
"""(52,) the largest rests: rounded, the 95th percentile over the neutral pictures of the 25 people of the London Set
with odd numbers. But for two chosen by hand: mouthSmile, 0.26 and 0.32 there, where nine of ten are below 0.1 and the
others seem to smile; and jawOpen, 0.09 there, since those people were told to shut the mouth."""
_PRIOR_S = _by_beginning(3.0, {"brow": 1.0, "eye": 1.0})
"""Seconds for which the model's neutral face counts. Chosen by hand: a high brow is gone after five."""
_MEMORY_S = _by_beginning(60.0, {"brow": 20.0, "eye": 20.0})
"""Seconds over which the rest is a mean. Chosen by hand: longer than expressions are held."""
_TELLING = [ARKIT_NAMES.index(name) for name in ("mouthSmileLeft", "mouthSmileRight", "jawOpen")]
"""While one of these is no rest, neither is what `_MOVED_ALONG` marks: a smile moves cheeks and all of the lips."""
_MOVED_ALONG = np.array([name.startswith(("cheek", "eyeSquint", "jaw", "mouth", "nose")) for name in ARKIT_NAMES])
_MOST_NAMED = 4
"""Blendshapes that are named to a person; chosen by hand."""
_SEEMS = {
    "mouthSmile": "smile",
    "jawOpen": "open the mouth",
    "browInnerUp": "raise the brows",
    "browDown": "frown",
    "eyeBlink": "shut the eyes",
    "mouthPucker": "purse the lips",
}
"""What weights that begin so look like."""


class Rest:
    """A face's weights at rest, as known so far; its memory is of a fixed size.

    Attributes:
        weights: (52,) in [0, 1).
        calibrated: whether they are from a calibration, and stay.
    """

    def __init__(self, weights: NDArray[np.float32] | None = None, *, calibrated: bool = False) -> None:
        """A face of which nothing is known yet, or with the weights that it had at rest before."""
        known = weights is not None
        self.weights = np.array(weights, np.float32) if known else np.zeros(len(ARKIT_NAMES), np.float32)
        self.calibrated = calibrated
        self._counted_s = _MEMORY_S.copy() if known else _PRIOR_S.copy()
        self._time: float | None = None
        self._until: float | None = None
        self._seen: deque[NDArray[np.float32]] = deque(maxlen=_MOST_IMAGES)

    @property
    def calibrating(self) -> bool:
        """Whether a calibration is under way."""
        return self._until is not None

    def calibrate(self, until: float) -> None:
        """Take the median of what is shown from now on, until a time, s, for the rest, whatever it is."""
        self._until = until
        self._seen.clear()

    def learn(self, weights: NDArray[np.float32], time: float, *, slowly: bool = True) -> bool:
        """Learn from the next image's weights, (52,) in [0, 1]; returns whether a calibration has ended by it.

        Args:
            weights: as measured.
            time: of the image, s.
            slowly: whether to learn while nothing is calibrated.
        """
        elapsed = 0.0 if self._time is None else min(max(time - self._time, 0.0), _LONGEST_STEP_S)
        self._time = time
        if self._until is not None:
            if time < self._until:
                self._calibrate_by(weights)
                return False
            if not self._seen:
                # Not one image came in time, as after a gap: this one is all there is.
                self._calibrate_by(weights)
            self._until = None
            self._seen.clear()
            return True
        if slowly and not self.calibrated and elapsed > 0.0:
            self._adapt(weights, elapsed)
        return False

    def _calibrate_by(self, weights: NDArray[np.float32]) -> None:
        self._seen.append(weights)
        self.weights = np.minimum(np.median(self._seen, axis=0), CALIBRATED_LIMIT).astype(np.float32)
        self.calibrated = True

    def _adapt(self, weights: NDArray[np.float32], elapsed: float) -> None:
        says = np.clip((_MARGIN - weights / _LARGEST) / (_MARGIN - 1.0), 0.0, 1.0)
        says[_MOVED_ALONG] *= says[_TELLING].min()
        seconds = says * np.where(weights < self.weights, _BELOW * elapsed, elapsed)
        target = np.minimum(weights, _LARGEST)
        self.weights = (self.weights + (target - self.weights) * seconds / (self._counted_s + seconds)).astype(
            np.float32
        )
        self._counted_s = np.minimum(self._counted_s + seconds, _MEMORY_S).astype(np.float32)


def rest_in_words(weights: NDArray[np.float32]) -> str:
    """What a calibrated rest, (52,), has larger than people at rest do, and what that seems to be; for a person."""
    large = sorted(np.flatnonzero(weights > _LARGEST), key=lambda k: -weights[k])[:_MOST_NAMED]
    if not large:
        return "your face at rest is taken: nothing in it is unusual"
    named = ", ".join(f"{ARKIT_NAMES[k]} {weights[k]:.2f}" for k in large)
    seems = [what for beginning, what in _SEEMS.items() if any(ARKIT_NAMES[k].startswith(beginning) for k in large)]
    said = f"your face at rest is taken; larger in it than with most people: {named}"
    if not seems:
        return said
    seeming = f"You seem to {' and '.join(seems)}, and that counts as your rest now"
    return f"{said}. {seeming}: if that was not meant, calibrate again"

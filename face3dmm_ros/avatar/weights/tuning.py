"""From measured weights to those that an avatar shows: the person's neutral face, gains and dead zones."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.face_memory import FaceMemory

_LARGEST_REST = 0.8
"""The rest weight is clipped to this, so that a blendshape keeps a fifth of its range. Chosen by hand."""
_MOST_IMAGES = 1800
"""The last weights of a face at rest that are kept: of the longest calibration, a minute, at 30 images a second."""


@dataclass(frozen=True)
class Tuning:
    """How measured weights are changed before they are shown. The defaults were chosen by hand.

    Attributes:
        calibration_s: seconds during which a new face is taken to be at rest; with 0 its rest is the model's neutral
            face. Longer is steadier, but the face has to stay at rest.
        gain: factor of all weights.
        gains: factors by the blendshape's name, instead of `gain`.
        dead_zone: weights up to this, after calibration, are shown as 0: larger hides noise, and small expressions.
        dead_zones: by the blendshape's name, instead of `dead_zone`.
    """

    calibration_s: float = 1.0
    gain: float = 1.0
    gains: Mapping[str, float] = field(default_factory=dict)
    dead_zone: float = 0.05
    dead_zones: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check names and ranges.

        Raises:
            Face3DMMError: a name is not one of ARKit's, or a number is out of range.
        """
        if not 0.0 <= self.calibration_s <= 60.0:
            raise Face3DMMError(f"the calibration takes 0 to 60 seconds, not {self.calibration_s}")
        for what, values, high in (
            ("gain", {"all": self.gain, **self.gains}, 10.0),
            ("dead zone", {"all": self.dead_zone, **self.dead_zones}, 0.9),
        ):
            for name, value in values.items():
                if name != "all" and name not in ARKIT_NAMES:
                    raise Face3DMMError(
                        f"there is no blendshape {name!r} to set a {what} of; ARKit's are {ARKIT_NAMES}"
                    )
                if not 0.0 <= value <= high:
                    raise Face3DMMError(f"a {what} lies between 0 and {high}, that of {name} is {value}")


class WeightTuner(FaceMemory["_Rest"]):
    """Tunes the weights of tracked faces, each relative to its own rest weights.

    During calibration the rest weights are the median so far.
    """

    def __init__(self, tuning: Tuning) -> None:
        """Start without any face."""
        super().__init__()
        self.change(tuning)

    def change(self, tuning: Tuning) -> None:
        """Use another tuning from now on; rest weights are kept."""
        self.tuning = tuning
        self._gains = _each(tuning.gain, tuning.gains)
        self._dead_zones = _each(tuning.dead_zone, tuning.dead_zones)

    def tune(self, face_id: int, weights: NDArray[np.float32], time: float) -> NDArray[np.float32]:
        """The weights to show, (52,) float32 in [0, 1]: gain·(w' − dead) / (1 − dead), w' = (w − rest) / (1 − rest).

        Args:
            face_id: the face's number along its track.
            weights: (52,) in [0, 1], as measured.
            time: of the image, s.
        """
        rest = self._faces.setdefault(face_id, _Rest(time + self.tuning.calibration_s))
        rest.learn(weights, time)
        shown = (weights - rest.weights) / (1.0 - rest.weights)
        shown = self._gains * (shown - self._dead_zones) / (1.0 - self._dead_zones)
        return np.clip(shown, 0.0, 1.0).astype(np.float32)

    def recalibrate(self) -> None:
        """Calibrate all faces anew from their next image on."""
        self.reset()


class _Rest:
    """A face at rest: the median of its weights until some time."""

    def __init__(self, until: float) -> None:
        self._until = until
        self._seen: deque[NDArray[np.float32]] = deque(maxlen=_MOST_IMAGES)
        self.weights = np.zeros(len(ARKIT_NAMES), np.float32)

    def learn(self, weights: NDArray[np.float32], time: float) -> None:
        if time >= self._until:
            self._seen.clear()
            return
        self._seen.append(weights)
        self.weights = np.minimum(np.median(self._seen, axis=0), _LARGEST_REST).astype(np.float32)


def _each(value: float, exceptions: Mapping[str, float]) -> NDArray[np.float32]:
    return np.array([exceptions.get(name, value) for name in ARKIT_NAMES], np.float32)

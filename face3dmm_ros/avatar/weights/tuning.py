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
"""A blendshape that rests higher than this was no rest: it keeps a fifth of its range."""
_MOST_IMAGES = 1800
"""Of a face at rest that are kept, the last ones: the longest calibration, a minute, at 30 images a second."""


@dataclass(frozen=True)
class Tuning:
    """How weights are shown.

    Attributes:
        calibration_s: seconds over which a new face's weights are taken for its rest; 0 takes the model's neutral face.
        gain: of all blendshapes.
        gains: by name, in place of `gain`.
        dead_zone: weights up to this, after calibration, are shown as 0.
        dead_zones: by name, in place of `dead_zone`.
    """

    calibration_s: float = 1.0
    gain: float = 1.0
    gains: Mapping[str, float] = field(default_factory=dict)
    dead_zone: float = 0.05
    dead_zones: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check names and ranges.

        Raises:
            Face3DMMError: a name that is none of ARKit's, or a number out of range.
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
    """Tunes the weights of tracked faces; each has a rest of its own.

    While a face is calibrated, what it shows is measured against the rest as far as that is known.
    """

    def __init__(self, tuning: Tuning) -> None:
        """With no face known yet."""
        super().__init__()
        self.change(tuning)

    def change(self, tuning: Tuning) -> None:
        """Tune otherwise from now on; what is known of faces at rest stays."""
        self.tuning = tuning
        self._gains = _each(tuning.gain, tuning.gains)
        self._dead_zones = _each(tuning.dead_zone, tuning.dead_zones)

    def tune(self, face_id: int, weights: NDArray[np.float32], time: float) -> NDArray[np.float32]:
        """What a face shows, (52,) float32 in [0, 1]: gain·(w' − dead) / (1 − dead), w' = (w − rest) / (1 − rest).

        Args:
            face_id: which face.
            weights: (52,) in [0, 1] as they were measured.
            time: of the image, s.
        """
        rest = self._faces.setdefault(face_id, _Rest(time + self.tuning.calibration_s))
        rest.learn(weights, time)
        shown = (weights - rest.weights) / (1.0 - rest.weights)
        shown = self._gains * (shown - self._dead_zones) / (1.0 - self._dead_zones)
        return np.clip(shown, 0.0, 1.0).astype(np.float32)

    def recalibrate(self) -> None:
        """Take the coming seconds for every face's rest."""
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

"""From measured weights to those that an avatar shows: the person's neutral face, gains and dead zones."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.avatar.weights.profile import Profile
from face3dmm_ros.avatar.weights.reach import Reach
from face3dmm_ros.avatar.weights.rest import Rest
from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.face_memory import FaceMemory


@dataclass(frozen=True)
class Tuning:
    """How measured weights are changed before they are shown. The defaults were chosen by hand.

    Attributes:
        calibration_s: seconds that a calibration takes, which begins when it is asked for; longer is steadier, but the
            face has to stay at rest. With 0 every face's rest is the model's neutral face, and nothing is learnt of it.
        learn_rest: whether a face's rest is also learnt, slowly, from what it shows.
        learn_range: whether gains follow, slowly, how far the person's expressions go; but for those of `gains`.
        gain: factor of all weights.
        gains: factors by the blendshape's name, instead of `gain`.
        dead_zone: weights up to this, after calibration, are shown as 0: larger hides noise, and small expressions.
        dead_zones: by the blendshape's name, instead of `dead_zone`.
    """

    calibration_s: float = 1.0
    learn_rest: bool = True
    learn_range: bool = True
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


class WeightTuner(FaceMemory["_Person"]):
    """Tunes the weights of tracked faces, each relative to its own rest weights, `rest.py`, and range, `reach.py`.

    Attributes:
        calibrated: the rest weights, by face_id, of calibrations that have ended; whoever tells of one takes it out.
    """

    def __init__(self, tuning: Tuning, profile: Profile | None = None) -> None:
        """Start without any face, and with what is known of one person."""
        super().__init__()
        self._profile = profile
        self._owner: int | None = None
        self._next_calibrates = False
        self.calibrated: dict[int, NDArray[np.float32]] = {}
        self.change(tuning)

    def change(self, tuning: Tuning) -> None:
        """Use another tuning from now on; rest weights are kept."""
        self.tuning = tuning
        self._gains = _each(tuning.gain, tuning.gains)
        self._has_own_gain = np.array([name in tuning.gains for name in ARKIT_NAMES])
        self._dead_zones = _each(tuning.dead_zone, tuning.dead_zones)

    def tune(self, face_id: int, weights: NDArray[np.float32], time: float) -> NDArray[np.float32]:
        """The weights to show, (52,) float32 in [0, 1]: gain·(w' − dead) / (1 − dead), w' = (w − rest) / (1 − rest).

        Args:
            face_id: the face's number along its track.
            weights: (52,) in [0, 1], as measured.
            time: of the image, s.
        """
        if face_id not in self._faces:
            self._faces[face_id] = _Person(asks=self._next_calibrates)
            self._next_calibrates = False
        person, tuning = self._faces[face_id], self.tuning
        rest = np.zeros(len(ARKIT_NAMES), np.float32)
        if tuning.calibration_s > 0.0:
            if person.asks:
                person.rest.calibrate(time + tuning.calibration_s)
                person.asks = False
            if person.rest.learn(weights, time, slowly=tuning.learn_rest):
                self.calibrated[face_id] = person.rest.weights
            rest = person.rest.weights
        above = np.clip((weights - rest) / (1.0 - rest), 0.0, 1.0)
        gains = self._gains
        if tuning.learn_range:
            if not person.rest.calibrating:
                person.reach.learn(above, time)
            gains = np.where(self._has_own_gain, gains, gains * person.reach.factors())
        shown = gains * (above - self._dead_zones) / (1.0 - self._dead_zones)
        return np.clip(shown, 0.0, 1.0).astype(np.float32)

    def recalibrate(self) -> None:
        """Calibrate all faces from their next image on; where there is none, the next one to come."""
        for person in self._faces.values():
            person.asks = True
        self._next_calibrates = not self._faces

    def own(self, face_id: int) -> None:
        """Let a face be the profile's person, unless a face that is tracked is that already."""
        if self._owner is None:
            self._owner = face_id
            if self._profile is not None or face_id not in self._faces:
                asks = self._faces[face_id].asks if face_id in self._faces else self._next_calibrates
                self._faces[face_id] = _Person(self._profile, asks=asks)
                self._next_calibrates = False

    @property
    def profile(self) -> Profile | None:
        """What is known of the one person whose face `own` names; None where nothing is."""
        if self._owner in self._faces:
            self._profile = self._faces[self._owner].profile()
        return self._profile

    def retain(self, face_ids: Collection[int]) -> None:
        """Forget all faces but these; what was learnt of the profile's person is kept for when the face comes back."""
        if self._owner is not None and self._owner not in face_ids:
            self._profile = self.profile
            self._owner = None
        super().retain(face_ids)
        self.calibrated = {face_id: rest for face_id, rest in self.calibrated.items() if face_id in face_ids}

    def reset(self) -> None:
        """Forget all faces, but for the profile."""
        self.retain(())


class _Person:
    """What is known of a tracked face, and whether it is to be calibrated from its next image on."""

    def __init__(self, known: Profile | None = None, *, asks: bool = False) -> None:
        self.rest = Rest() if known is None else Rest(known.rest, calibrated=known.calibrated)
        self.reach = Reach(None if known is None else known.reach)
        self.asks = asks

    def profile(self) -> Profile:
        return Profile(self.rest.weights, self.rest.calibrated, self.reach.weights)


def _each(value: float, exceptions: Mapping[str, float]) -> NDArray[np.float32]:
    return np.array([exceptions.get(name, value) for name in ARKIT_NAMES], np.float32)

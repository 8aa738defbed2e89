"""ARKit's blendshapes as action units of the Facial Action Coding System (FACS, Ekman & Friesen 1978).

Units are numbered as in FACS and in `hri_msgs/FacialActionUnits`; left and right are the person's own. Which
blendshapes make a unit follows their descriptions: Apple's of the blendshapes and FACS's of the units.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.arkit import ARKIT_NAMES

UNIT_COUNT = 99
"""Length of an array with a place for each code; many codes are not used."""


@dataclass(frozen=True)
class ActionUnit:
    """How a unit's intensity follows from the weights of blendshapes.

    Attributes:
        name: as `hri_msgs/FacialActionUnits` calls its code.
        blendshapes: whose weights make it.
        combine: how; the mean of the two sides, the larger of two opposites, the lesser of what must come together.
    """

    name: str
    blendshapes: tuple[str, ...]
    combine: Callable[..., NDArray[np.floating]]


def _sides(name: str, blendshape: str) -> ActionUnit:
    return ActionUnit(name, (f"{blendshape}Left", f"{blendshape}Right"), np.mean)


def _single(name: str, *blendshapes: str) -> ActionUnit:
    return ActionUnit(name, blendshapes, np.max)


ACTION_UNITS = {
    1: _single("INNER_BROW_RAISER", "browInnerUp"),
    2: _sides("OUTER_BROW_RAISER", "browOuterUp"),
    4: _sides("BROW_LOWERER", "browDown"),
    5: _sides("UPPER_LID_RAISER", "eyeWide"),
    6: _sides("CHEEK_RAISER", "cheekSquint"),
    7: _sides("LID_TIGHTENER", "eyeSquint"),
    8: _single("LIPS_TOWARD_EACH_OTHER", "mouthClose"),
    9: _sides("NOSE_WRINKLER", "noseSneer"),
    10: _sides("UPPER_LIP_RAISER", "mouthUpperUp"),
    12: _sides("LIP_CORNER_PULLER", "mouthSmile"),
    14: _sides("DIMPLER", "mouthDimple"),
    15: _sides("LIP_CORNER_DEPRESSOR", "mouthFrown"),
    16: _sides("LOWER_LIP_DEPRESSOR", "mouthLowerDown"),
    17: _single("CHIN_RAISER", "mouthShrugLower"),
    18: _single("LIP_PUCKER", "mouthPucker"),
    20: _sides("LIP_STRETCHER", "mouthStretch"),
    22: _single("LIP_FUNNELER", "mouthFunnel"),
    24: _sides("LIP_PRESSOR", "mouthPress"),
    26: _single("JAW_DROP", "jawOpen"),
    28: _single("LIP_SUCK", "mouthRollLower", "mouthRollUpper"),
    29: _single("JAW_THRUST", "jawForward"),
    30: _single("JAW_SIDEWAYS", "jawLeft", "jawRight"),
    34: _single("CHEEK_PUFF", "cheekPuff"),
    43: ActionUnit("EYES_CLOSED", ("eyeBlinkLeft", "eyeBlinkRight"), np.min),
    61: ActionUnit("EYES_TURN_LEFT", ("eyeLookOutLeft", "eyeLookInRight"), np.mean),
    62: ActionUnit("EYES_TURN_RIGHT", ("eyeLookInLeft", "eyeLookOutRight"), np.mean),
    63: _sides("EYES_UP", "eyeLookUp"),
    64: _sides("EYES_DOWN", "eyeLookDown"),
    65: ActionUnit("WALLEYE", ("eyeLookOutLeft", "eyeLookOutRight"), np.min),
    66: ActionUnit("CROSS_EYE", ("eyeLookInLeft", "eyeLookInRight"), np.min),
}
"""The units that blendshapes tell of, by their codes. tongueOut would be unit 19, but no landmarks tell of it."""

_PLACES = {
    code: [ARKIT_NAMES.index(blendshape) for blendshape in unit.blendshapes] for code, unit in ACTION_UNITS.items()
}


def action_units(weights: NDArray[np.floating]) -> NDArray[np.float32]:
    """Intensities in [0, 1] by code, (99,) float32, of (52,) weights; 0 where no blendshape tells of a unit."""
    intensities = np.zeros(UNIT_COUNT, np.float32)
    for code, places in _PLACES.items():
        intensities[code] = ACTION_UNITS[code].combine(weights[places])
    return intensities


def confidences(confidence: float, deviations: NDArray[np.floating]) -> NDArray[np.float32]:
    """By code, (99,) float32: the face's confidence for units that blendshapes tell of, less where these may be off.

    Args:
        confidence: of the face's fit, in [0, 1].
        deviations: (52,) standard deviation of each weight; at 1, of all its range, a unit's confidence is 0.
    """
    found = np.zeros(UNIT_COUNT, np.float32)
    for code, places in _PLACES.items():
        found[code] = confidence * max(0.0, 1.0 - float(deviations[places].max()))
    return found

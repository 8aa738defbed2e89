"""What is known of a person's face, kept by a name between runs; it may have been written by anybody."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.avatar.weights.reach import LEAST, MOST, USUAL
from face3dmm_ros.avatar.weights.rest import CALIBRATED_LIMIT
from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.regular_file import read_regular
from face3dmm_ros.core.user_path import configuration_folder
from face3dmm_ros.files.whole_file import make_folder, write_whole

_MOST_BYTES = 1 << 16
"""Ten times what is written."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SHOWN = 100
"""Characters of a name that an error shows; chosen by hand: a line of a terminal."""
_KEYS = {"rest", "calibrated", "reach"}


@dataclass(frozen=True)
class Profile:
    """What is known of a person's face.

    Attributes:
        rest: (52,) weights at rest.
        calibrated: whether that is from a calibration, and stays.
        reach: (52,) the largest weights above rest.
    """

    rest: NDArray[np.float32]
    calibrated: bool
    reach: NDArray[np.float32]


def profile_path(name: str) -> Path:
    """Where the profile of a name is kept, be it there or not.

    Raises:
        Face3DMMError: it is no name of a profile.
    """
    if not _NAME.fullmatch(name):
        shown = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…"
        raise Face3DMMError(f"a profile's name has 1 to 64 letters (A to Z), digits, - and _, not {shown!r}")
    return configuration_folder() / "profiles" / f"{name}.json"


def read_profile(path: Path) -> Profile:
    """Read a profile.

    Raises:
        Face3DMMError: it cannot be read, or is none.
    """
    try:
        return _profile(json.loads(read_regular(path, _MOST_BYTES)))
    except (ValueError, RecursionError) as error:
        raise Face3DMMError(f"{path} is no profile of a face: {error}; remove it to begin anew") from error


def write_profile(path: Path, profile: Profile) -> None:
    """Write a profile; a folder that is made for it can be looked into by its owner alone.

    Raises:
        Face3DMMError: it cannot be written.
    """
    if not path.parent.exists():
        make_folder(path.parent)
        path.parent.chmod(0o700)
    content = {
        "rest": _by_name(profile.rest, 0.0),
        "calibrated": profile.calibrated,
        "reach": _by_name(profile.reach, USUAL),
    }
    write_whole(path, json.dumps(content, indent=1) + "\n")


def _profile(content: Any) -> Profile:
    """A profile of what JSON held; ValueError says what is wrong."""
    if not isinstance(content, dict) or set(content) != _KEYS:
        raise ValueError(f"expected the keys {', '.join(sorted(_KEYS))} and no others")
    if not isinstance(content["calibrated"], bool):
        raise ValueError("calibrated is true or false")
    rest = _weights("rest", content["rest"], 0.0, 0.0, CALIBRATED_LIMIT)
    return Profile(rest, content["calibrated"], _weights("reach", content["reach"], USUAL, LEAST, MOST))


def _weights(key: str, values: Any, otherwise: float, low: float, high: float) -> NDArray[np.float32]:
    """(52,) of numbers by the blendshapes' names."""
    if not isinstance(values, dict) or not set(values) <= set(ARKIT_NAMES):
        raise ValueError(f"{key} is expected to have numbers by ARKit's names of blendshapes")
    for name, value in values.items():
        # Not a number fails every comparison.
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ValueError(f"{key} of {name} is expected to lie between {low:g} and {high:g}")
    return np.array([values.get(name, otherwise) for name in ARKIT_NAMES], np.float32)


def _by_name(weights: NDArray[np.float32], usual: float) -> dict[str, float]:
    """Those that differ from the usual, in thousandths."""
    rounded = {name: round(float(weight), 3) for name, weight in zip(ARKIT_NAMES, weights, strict=True)}
    return {name: weight for name, weight in rounded.items() if abs(weight - usual) >= 0.001}

"""How people smile: the same persons photographed neutral and smiling, measured by Google's Face Landmarker."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.lab.default_model.face_landmarker import look_at
from face3dmm_ros.landmarks.schemes import SKIN_COUNT

EYE_CORNERS = (33, 263)
"""Face Mesh's outer ones, the person's right first."""
EYE_DISTANCE = 88.0
"""mm between them, of the mean adult (docs/model.md)."""
_STILL = (33, 133, 362, 263, 168, 6, 197, 195)
"""Corners of the eyes and bridge of the nose: what a smile leaves where it is."""


@dataclass(frozen=True, eq=False)
class Smiles:
    """What P people did from a neutral picture to a smiling one.

    Attributes:
        displacement: (P, 468, 2) mm, x to the person's left and y up in the neutral picture.
        rise: (P, 51), by how much the weight of each blendshape of `WITHOUT_TONGUE` rose.
    """

    displacement: NDArray[np.float64]
    rise: NDArray[np.float64]

    @staticmethod
    def measure(folder: Path) -> "Smiles":
        """Measure all NNN_smile.jpg in a folder against the NNN_neutral.jpg beside them."""
        smiles = sorted(folder.glob("*_smile.jpg"))
        rest, neutral = look_at([path.with_name(path.name.replace("smile", "neutral")) for path in smiles])
        moved, smiling = look_at(smiles)
        displacements = [displacement(*pair) for pair in zip(rest[:, :SKIN_COUNT], moved[:, :SKIN_COUNT], strict=True)]
        return Smiles(np.array(displacements), smiling - neutral)


def displacement(rest: NDArray[np.floating], moved: NDArray[np.floating]) -> NDArray[np.float64]:
    """How a face's points move, (468, 2) mm, from two pictures' (468, 2) px, after a similarity of what keeps still."""
    rest, moved = rest.astype(np.float64), moved.astype(np.float64)
    still = list(_STILL)
    # As complex numbers a similarity is one factor and one offset.
    source, target = (points[still] @ [1, 1j] for points in (moved, rest))
    source_middle, target_middle = source.mean(), target.mean()
    arm = source - source_middle
    factor = np.vdot(arm, target - target_middle) / np.vdot(arm, arm)
    aligned = factor * (moved @ [1, 1j] - source_middle) + target_middle
    right, left = (rest[corner] @ [1, 1j] for corner in EYE_CORNERS)
    change = (aligned - rest @ [1, 1j]) * EYE_DISTANCE / (left - right)
    return np.column_stack([change.real, -change.imag])

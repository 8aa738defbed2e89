"""How the readings of an expression respond to people: their mean and spread on faces at rest.

Measured by `lab/landmark_networks/measure_people_at_rest.py` on photographs of calm faces. What a reading says of them
on average is taken away; how much it varies from one person to the next is its deviation, for in a single picture
nobody can tell the one from an expression.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.arkit import WITHOUT_TONGUE
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.landmarks.table_file import read_table


@dataclass(frozen=True, eq=False)
class ReadingResponse:
    """Of one reading, for the blendshapes of `core.arkit.WITHOUT_TONGUE`.

    Attributes:
        rest: (51,) float32, what it says of people at rest.
        gain: (51,) float32, how far it follows a blendshape.
        deviation: (51,) float32, of the weight so measured; infinite where the reading tells nothing.
    """

    rest: NDArray[np.float32]
    gain: NDArray[np.float32]
    deviation: NDArray[np.float32]

    @staticmethod
    def load(path: Path, reading: str) -> "ReadingResponse":
        """The table of ``network`` or ``reader`` in a .npz.

        Raises:
            Face3DMMError: the file is missing or not such a table.
        """
        what = f"a table of how the {reading} answers to people at rest"
        shapes = {f"{reading}_{field}": (len(WITHOUT_TONGUE),) for field in ("rest", "gain", "deviation")}
        response = ReadingResponse(*read_table(path, shapes, what, [f"{reading}_deviation"]).values())
        if not ((response.gain > 0).all() and (response.deviation > 0).all()):
            raise Face3DMMError(f"{path} is not {what}: a gain or standard deviation is not above 0")
        return response

    @cached_property
    def precision(self) -> NDArray[np.float32]:
        """(51,) the inverse of the variance; 0 where the reading tells nothing."""
        return self.deviation**-2

    def measured(self, said: NDArray[np.float32]) -> NDArray[np.float32]:
        """(51,) weights, 0 at rest, for what the reading says."""
        return (said - self.rest) / self.gain

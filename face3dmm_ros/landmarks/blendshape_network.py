"""What Google's blendshape network makes of Face Mesh's points: a measurement of 51 blendshapes, trained on people.

It maps 146 of the 478 points to weights that lie in [0, 1] and are never quite at rest: see `people_at_rest`
(Grishchenko et al., Blendshapes GHUM: Real-time Monocular Facial Blendshape Prediction, 2023; Apache-2.0).
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.arkit import WITHOUT_TONGUE
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.landmarks.network import Interpreters

# fmt: off
_POINTS = np.array([
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70, 78, 80, 81,
    82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149, 150, 152, 153, 154,
    155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251, 263,
    267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318, 321,
    323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382, 384, 385, 386, 387,
    388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, *range(468, 478),
])
"""The 146 points that the network looks at."""
# fmt: on


class BlendshapeNetwork:
    """The network as it is."""

    def __init__(self, path: Path) -> None:
        """Load a .tflite file.

        Raises:
            Face3DMMError: LiteRT is not installed, or the file is missing or not such a network.
        """
        self._interpreters = Interpreters(path)
        network = self._interpreters.own
        taken, given = network.get_input_details(), network.get_output_details()
        shapes = [[each["shape"].tolist() for each in details] for details in (taken, given)]
        expected = [[[1, len(_POINTS), 2]], [[len(WITHOUT_TONGUE) + 1]]]
        if shapes != expected:
            raise Face3DMMError(
                f"{path} is not a network of blendshapes: it maps arrays of {shapes[0]} to {shapes[1]}, "
                f"expected {expected[0]} to {expected[1]}"
            )
        self._input, self._output = taken[0]["index"], given[0]["index"]

    def weights(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """The (51,) weights of `core.arkit.WITHOUT_TONGUE` for (478, 2) points, px."""
        network = self._interpreters.own
        network.set_tensor(self._input, points[None, _POINTS])
        network.invoke()
        return network.get_tensor(self._output)[1:]  # the first is "neutral"

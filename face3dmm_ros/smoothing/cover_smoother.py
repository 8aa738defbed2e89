"""What lies over a face, made steady over time, so that an overlay fades there and does not flicker.

The dense network looks at a followed face in some images only, and its reading wavers: what it says from look to look
is averaged, and what comes before a face at once is left out within a few images.
"""

import math

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.face_memory import FaceMemory
from face3dmm_ros.smoothing.filters import SmoothingOptions

_HALF_LIFE_S = 0.15
"""s in which half of a change is taken over. Chosen by hand: a few images of a camera, a look and a bit."""


class CoverSmoother(FaceMemory[tuple[float, NDArray[np.float32]]]):
    """Smooths what is told of tracked faces' covers; for each it keeps the last image's time, s, and what it knows."""

    def smooth(self, face_id: int, covered: NDArray[np.uint8] | None, time: float) -> NDArray[np.uint8] | None:
        """How likely each of a face's landmarks is covered, (L,), steadier than it was told.

        Args:
            face_id: of the track.
            covered: as `core.values.Landmarks` has it; None where an image tells nothing: what was known holds on.
            time: of the image, s. Where it goes back or leaps, or is not finite, the track begins anew.
        """
        before = self._faces.get(face_id)
        if before is not None and not 0.0 <= time - before[0] <= SmoothingOptions.longest_gap_s:
            del self._faces[face_id]
            before = None
        if covered is None:
            return None if before is None else np.rint(before[1]).astype(np.uint8)
        if not math.isfinite(time):
            return covered
        known = covered.astype(np.float32)
        if before is not None and len(before[1]) == len(covered):
            kept = np.float32(2.0 ** (-(time - before[0]) / _HALF_LIFE_S))
            known += kept * (before[1] - known)
        self._faces[face_id] = time, known
        return np.rint(known).astype(np.uint8)

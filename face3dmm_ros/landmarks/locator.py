"""From a region where a face may be to its landmarks, by iteration, and in several rotations if in doubt."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.compiled import compiled
from face3dmm_ros.landmarks.backend import Detection, LandmarkBackend, LocatedFace
from face3dmm_ros.landmarks.region import Region

# Chosen by hand, where nothing else is said.
_PLAUSIBLE_STEP = 0.3
_CENTERED = 0.8
"""Overlaps (intersection over union) of a region and the next one that the landmarks found in it give: below the first
it is another face or none, from the second on the face is in the middle."""
_MAX_PASSES = 5
"""Times that a face is located, at most, until it is in the middle; each costs a run of the
networks."""
_FIRST_LOOKS = 2
"""Passes from a detection that only move the region, whatever their confidence."""
_TURN = 0.5
"""Radians by which a doubtful face is also looked at turned to either side."""
_LARGER = 1.5
"""Size of the wider look at a doubtful face."""
_DETECTED = 0.6
"""The detector's score from which other rotations and sizes are worth their time."""
_CERTAIN = 0.995
"""Confidence from which a face is taken to be upright. Measured: upside down, one of fifty faces reaches 0.99; of 200
photographs the right way up had the higher confidence in all that were found."""
DOUBTFUL, _DOUBTFUL_ALONE = 0.9, 0.97
"""Confidence below which a face is looked at in other rotations, and more widely; and the same where no second network
confirms it. Chosen while looking at `aflw2000_dev` (docs/landmarks.md)."""
_CONFIRMED = 0.9
"""The second network's confidence from which it confirms a face."""
_MIN_REGION_PX = 8.0
"""Smaller regions show no face."""


_Locate = Callable[[NDArray[np.uint8], Region], LocatedFace]


class FaceLocator:
    """Locates faces with a backend; those below `min_confidence` are dropped.

    In a hurry glances frame what was detected. On photographs that costs 0.03 to 0.09 points of NME: in a stream
    the next images make up for it.
    """

    def __init__(self, backend: LandmarkBackend, min_confidence: float, *, hurried: bool = False) -> None:
        """Keep all three."""
        self._backend = backend
        self._min_confidence = min_confidence
        self._hurried = hurried

    def near(self, image: NDArray[np.uint8], region: Region, before: LocatedFace | None = None) -> LocatedFace | None:
        """The face in or near a region, looked at until it lies in the middle; None where it is not found.

        Landmarks of a face far from the middle are wrong, but point to where it is. `before` is the same face in the
        image before.
        """
        face = self._look(image, region, before)
        for _ in range(_MAX_PASSES - 1):
            if face is None or face.region.overlap(region) >= _CENTERED:
                break
            region = face.region
            face = self._look(image, region, before)
        return face

    def detected(self, image: NDArray[np.uint8], detection: Detection) -> LocatedFace | None:
        """The face that a detection is, judged once the first looks have framed it better than the detector did.

        Many a face is found upside down too, so both ways are tried unless the upright one is certain; upside down has
        to be certain. A turned head is often off the centre of its detection, tilted or larger, since from the side the
        line of the eyes says little about roll. So where the detector is confident but the landmarks are not, upright
        and larger regions are tried as well, and the face of highest confidence is taken.
        """
        region = detection.region
        angle = math.remainder(region.angle, math.tau)
        if abs(angle) > math.pi / 2.0:
            angle = math.remainder(angle + math.pi, math.tau)
        found = [self._from_afar(image, replace(region, angle=angle))]
        if _confidence(found[0]) < _CERTAIN:
            upside_down = self._from_afar(image, replace(region, angle=angle + math.pi))
            if upside_down is not None and _confidence(upside_down) >= _CERTAIN and _is_confirmed(upside_down):
                found.append(upside_down)
        if detection.score >= _DETECTED:
            for size in (region.size, _LARGER * region.size):
                for turned in (0.0, angle - _TURN, angle + _TURN):
                    if not any(face is not None and _without_doubt(face) for face in found):
                        found.append(self._from_afar(image, replace(region, size=size, angle=turned)))
        return max(found, key=_confidence)

    def _from_afar(self, image: NDArray[np.uint8], region: Region) -> LocatedFace | None:
        """The face near a region that may be well beside it: the first looks only say where to look again."""
        locate = self._backend.glance if self._hurried else self._backend.locate
        for _ in range(_FIRST_LOOKS):
            face = self._found(image, region, locate)
            if face is None:
                return None
            region = face.region
        return self.near(image, region)

    def _look(self, image: NDArray[np.uint8], region: Region, before: LocatedFace | None) -> LocatedFace | None:
        """The face in a region; None where there is none that is sure enough, or where it is not the one looked for."""
        face = self._found(image, region, partial(self._backend.locate, before=before))
        return face if face is not None and face.landmarks.confidence >= self._min_confidence else None

    def _found(self, image: NDArray[np.uint8], region: Region, locate: _Locate) -> LocatedFace | None:
        """The face in a region; None where it lies outside the image, or cannot be the one looked for."""
        height, width = image.shape[:2]
        if not (0.0 <= region.x < width and 0.0 <= region.y < height):
            return None
        face = locate(image, region)
        if not _is_on(face.landmarks.points, width, height):
            return None
        if face.region.size < _MIN_REGION_PX or face.region.overlap(region) < _PLAUSIBLE_STEP:
            return None
        return face


@compiled
def _is_on(points: NDArray[np.float32], width: int, height: int) -> bool:
    """Whether half of the points (N, 2) or more lie on an image's pixels, and none is infinite or no number."""
    inside = 0
    for point in range(len(points)):
        x, y = points[point, 0], points[point, 1]
        if not (math.isfinite(x) and math.isfinite(y)):
            return False
        inside += (-0.5 < x < width - 0.5) and (-0.5 < y < height - 0.5)
    return 2 * inside >= len(points)


def _confidence(face: LocatedFace | None) -> float:
    """Of a face, and less than that of any for none."""
    return -1.0 if face is None else face.landmarks.confidence


def _is_confirmed(face: LocatedFace) -> bool:
    """Whether a second judge sees the face too, where there is one."""
    return face.confirmed is None or face.confirmed >= _CONFIRMED


def _without_doubt(face: LocatedFace) -> bool:
    return face.landmarks.confidence >= (DOUBTFUL if _is_confirmed(face) else _DOUBTFUL_ALONE)

"""From landmarks in single images to tracks: several faces, each with a number that stays with it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.errors import Face3DMMError
from face3dmm_ros.landmarks.backend import Detection, LandmarkBackend, LocatedFace, check_image
from face3dmm_ros.landmarks.colors import ColorSampler
from face3dmm_ros.landmarks.region import Region
from face3dmm_ros.values import TrackedLandmarks

# Overlaps (intersection over union) of regions. A detection and the landmarks of the same face agree by 0.65 and more,
# two heads cheek to cheek by 0.3.
_DUPLICATE = 0.5
_SAME_FACE = 0.35
_STILL_ON_THE_FACE = 0.6
_SAME_PLACE = 0.2
_PLAUSIBLE_STEP = 0.3
_CENTERED = 0.8
_SMALL_STEP = 0.9
_MAX_PASSES = 5
_FIRST_LOOKS = 2
_TURN = 0.5  # radians
_UPSIDE_DOWN = math.pi / 2
_SURE = 0.6
_CERTAIN = 0.9
"""The detector's score from which on there is a face, and the confidence from which on it needs no second opinion."""
_MIN_REGION_PX = 8.0
_REST = 0.005
"""A face that moves by less than this part of its region rests."""


@dataclass(frozen=True)
class _Track:
    """A face that is followed, or was until `lost_for` images ago."""

    face_id: int
    face: LocatedFace
    lost_for: int = 0


class LandmarkTracker:
    """Follows up to `max_faces` faces through a sequence of images.

    Faces are detected in the first image, in every one in which none is tracked or one was just lost, and every
    `detection_interval` images; otherwise each is followed from its last landmarks. A face that comes back near its
    last place within `patience` images keeps its number; numbers are never reused, not even after `reset`.
    """

    def __init__(
        self,
        backend: LandmarkBackend,
        *,
        max_faces: int = 1,
        detection_interval: int = 30,
        patience: int = 10,
        min_confidence: float = 0.5,
    ) -> None:
        """Track with a backend. `detection_interval` and `patience` are in images.

        Raises:
            Face3DMMError: a setting is out of its range.
        """
        if max_faces < 1 or detection_interval < 1 or patience < 0 or not 0.0 <= min_confidence <= 1.0:
            raise Face3DMMError(
                "a tracker needs max_faces and detection_interval of at least 1, patience of at least 0 and "
                f"min_confidence in [0, 1], found {max_faces}, {detection_interval}, {patience} and {min_confidence}"
            )
        self._backend = backend
        self._max_faces = max_faces
        self._detection_interval = detection_interval
        self._patience = patience
        self._min_confidence = min_confidence
        self._next_id = 0
        self.reset()

    def reset(self) -> None:
        """Forget all faces, as for a new sequence."""
        self._tracks: list[_Track] = []
        self._images_since_detection = 0
        self._colors = ColorSampler()

    def track(self, image: NDArray[np.uint8]) -> list[TrackedLandmarks]:
        """The faces in the next image, (H, W, 3) BGR uint8, by ascending face_id.

        Raises:
            Face3DMMError: the image is not such an array, or is empty.
        """
        image = check_image(image)
        tracks = _without_duplicates([self._follow(image, track) for track in self._tracks], self._tracks)
        self._images_since_detection += 1
        if (
            not tracks
            or any(track.lost_for for track in tracks)
            or self._images_since_detection >= self._detection_interval
        ):
            tracks = self._detect(image, tracks)
            self._images_since_detection = 0
        tracks = [track for track in tracks if track.lost_for <= self._patience]
        self._tracks = sorted(tracks, key=lambda track: track.face_id)
        faces = [TrackedLandmarks(track.face_id, track.face.landmarks) for track in self._tracks if not track.lost_for]
        return self._colors.sample(image, faces)

    def _follow(self, image: NDArray[np.uint8], track: _Track) -> _Track:
        """The track one image later."""
        face = None if track.lost_for else self._locate(image, track.face.region, track.face)
        if face is None:
            return replace(track, lost_for=track.lost_for + 1)
        return replace(track, face=replace(face, region=_steadied(track.face.region, face.region)))

    def _detect(self, image: NDArray[np.uint8], tracks: list[_Track]) -> list[_Track]:
        """The tracks after a look at the whole image: recentred, found again, and new ones."""
        tracks = list(tracks)
        for detection in self._backend.detect(image):
            visible = [track for track in tracks if not track.lost_for]
            known = _nearest(detection.region, visible, _SAME_FACE)
            if known is None and len(visible) >= self._max_faces:
                continue
            if known is not None and known.face.region.overlap(detection.region) >= _STILL_ON_THE_FACE:
                continue
            face = self._locate_detected(image, detection)
            if face is None:
                continue
            if known is not None:
                if face.landmarks.confidence > known.face.landmarks.confidence:
                    tracks[tracks.index(known)] = replace(known, face=face)
            elif _nearest(face.region, visible, _DUPLICATE) is None:
                lost = _nearest(face.region, [track for track in tracks if track.lost_for], _SAME_PLACE)
                if lost is not None:
                    tracks[tracks.index(lost)] = _Track(lost.face_id, face)
                else:
                    tracks.append(_Track(self._next_id, face))
                    self._next_id += 1
        return tracks

    def _locate_detected(self, image: NDArray[np.uint8], detection: Detection) -> LocatedFace | None:
        """The landmarks of a detection, judged once the first ones have framed the face better than the detector did.

        A turned head is often beside the middle of its detection or seen aslant there, and looks doubtful until then.
        Where the detector is sure of a face, other turns are tried before it is given up or believed with doubt: from
        the side, the line of the eyes tells little of how a face is turned, and one that seems upside down is most
        likely upright.
        """
        angle = math.remainder(detection.region.angle, math.tau)
        face = self._locate_from_afar(image, detection.region)
        plausible = face is not None and face.landmarks.confidence >= _CERTAIN and abs(angle) < _UPSIDE_DOWN
        if plausible or detection.score < _SURE:
            return face
        regions = [replace(detection.region, angle=other) for other in (0.0, angle - _TURN, angle + _TURN)]
        found = [face, *(self._locate_from_afar(image, region) for region in regions)]
        return max((face for face in found if face), key=lambda face: face.landmarks.confidence, default=None)

    def _locate_from_afar(self, image: NDArray[np.uint8], region: Region) -> LocatedFace | None:
        """The face near a region that may be well beside it: the first looks only say where to look again."""
        for _ in range(_FIRST_LOOKS):
            face = self._look(image, region, min_confidence=0.0)
            if face is None:
                return None
            region = face.region
        return self._locate(image, region)

    def _locate(
        self, image: NDArray[np.uint8], region: Region, before: LocatedFace | None = None
    ) -> LocatedFace | None:
        """The face in or near a region, looked at until it lies in the middle; None where it is not found.

        Landmarks of a face far from the middle are wrong, but point to where it is.
        """
        face = self._look(image, region, self._min_confidence, before)
        for _ in range(_MAX_PASSES - 1):
            if face is None or face.region.overlap(region) >= _CENTERED:
                break
            region = face.region
            face = self._look(image, region, self._min_confidence, before)
        return face

    def _look(
        self, image: NDArray[np.uint8], region: Region, min_confidence: float, before: LocatedFace | None = None
    ) -> LocatedFace | None:
        """The face in a region; None where there is none, or where it cannot be the one looked for."""
        height, width = image.shape[:2]
        if not (0.0 <= region.x < width and 0.0 <= region.y < height):
            return None
        face = self._backend.locate(image, region, before)
        points = face.landmarks.points
        if not np.isfinite(points).all() or face.landmarks.confidence < min_confidence:
            return None
        inside = ((points > -0.5) & (points < [width - 0.5, height - 0.5])).all(axis=1)
        if 2 * np.count_nonzero(inside) < len(points):
            return None
        if face.region.size < _MIN_REGION_PX or face.region.overlap(region) < _PLAUSIBLE_STEP:
            return None
        return face


def _steadied(before: Region, now: Region) -> Region:
    """The next region: unmoved for a face that rests, half the way to one that moves little, all the way otherwise.

    Landmarks depend a little on the crop that they are found in; this keeps their noise from coming back through it.
    """
    dx, dy, growth = now.x - before.x, now.y - before.y, now.size - before.size
    turn = math.remainder(now.angle - before.angle, math.tau)
    rest = _REST * before.size
    if max(abs(dx), abs(dy), abs(growth) / 2.0) < rest and abs(turn) < 2.0 * _REST:
        return before
    if before.overlap(now) < _SMALL_STEP:
        return now
    return Region(before.x + dx / 2.0, before.y + dy / 2.0, before.size + growth / 2.0, before.angle + turn / 2.0)


def _nearest(region: Region, tracks: Sequence[_Track], min_overlap: float) -> _Track | None:
    """The track whose region overlaps a region most, and by at least `min_overlap`."""
    best = max(tracks, key=lambda track: track.face.region.overlap(region), default=None)
    return best if best is not None and best.face.region.overlap(region) >= min_overlap else None


def _without_duplicates(tracks: Sequence[_Track], before: Sequence[_Track]) -> list[_Track]:
    """The tracks, one per face: of those that fell on one face, the one that moved least since the last image."""
    moved = [1.0 - now.face.region.overlap(then.face.region) for now, then in zip(tracks, before, strict=True)]
    kept: list[_Track] = []
    for _, track in sorted(zip(moved, tracks, strict=True), key=lambda pair: (pair[0], pair[1].face_id)):
        others = [other for other in kept if not other.lost_for]
        if track.lost_for or _nearest(track.face.region, others, _DUPLICATE) is None:
            kept.append(track)
    return kept

"""A film's images through the landmark tracker, each once and in order, however long that takes."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import monotonic

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError, one_line
from face3dmm_ros.core.values import TrackedLandmarks
from face3dmm_ros.files.frame_source import FrameSource
from face3dmm_ros.films.landmark_store import LandmarkStore, LocatedFrame
from face3dmm_ros.landmarks.tracker import LandmarkTracker

_WARM_UP = 30
"""Images before those that are missing which a resumed film's tracker sees again, so that it follows the faces that it
followed; chosen by hand: in one of them it looks for new faces."""
_SAME_FACE = 0.3
"""Overlap (intersection over union) of the boxes of landmarks from which a face is the one that was there before the
stop; chosen by hand."""


@dataclass
class Damage:
    """Images that could not be read: why, and how often."""

    counts: Counter[str] = field(default_factory=Counter)


def frames_of(source: FrameSource) -> Iterator[tuple[int, float]]:
    """Go through a source's images: the index of each and when it is shown, s; the first at 0.

    Those of a camera are taken to be shown when they come.
    """
    index, time, begun = 0, 0.0, 0.0
    while source.grab():
        if index == 0:
            begun = monotonic()
        else:
            time = monotonic() - begun if source.live else time + source.interval
        yield index, time
        index += 1


def locate(
    source: FrameSource,
    tracker: LandmarkTracker,
    store: LandmarkStore,
    *,
    seen: Callable[[LocatedFrame, NDArray[np.uint8]], None] | None = None,
    until: Callable[[float], bool] = lambda time: False,
) -> Damage:
    """Fill a store with the landmarks of a film's images, from where it was left.

    Args:
        source: at its beginning.
        tracker: without faces yet.
        store: of this film.
        seen: hears of each image whose landmarks were not kept before.
        until: given an image's time, whether the film is to end before it.

    Raises:
        Face3DMMError: the store cannot be written, or no image can be read.
    """
    damage, before, names = Damage(), store.last(), _Names()
    again = store.kept - _WARM_UP
    for index, time in frames_of(source):
        if until(time):
            break
        if index < again:
            continue
        try:
            image = source.retrieve()
            faces = tracker.track(image)
            image_size = (image.shape[1], image.shape[0])
        except Face3DMMError as error:
            damage.counts[one_line(error)] += 1
            image, faces, image_size = np.zeros((0, 0, 3), np.uint8), [], (0, 0)
        if index < store.kept:
            if before is not None and index == store.kept - 1:
                names = _Names.going_on(store, before, faces)
            continue
        frame = LocatedFrame(index, time, image_size, names.of(faces))
        store.append(frame)
        if seen is not None:
            seen(frame, image)
    store.finish()
    if not store.kept or damage.counts.total() == store.kept:
        why = f": {damage.counts.most_common(1)[0][0]}" if damage.counts else ""
        raise Face3DMMError(f"{source.description} has no image that can be read{why}")
    return damage


class _Names:
    """The film's numbers of a tracker's faces, which count anew after a stop."""

    def __init__(self) -> None:
        self._next = 0
        self._names: dict[int, int] = {}

    @staticmethod
    def going_on(store: LandmarkStore, before: LocatedFrame, now: list[TrackedLandmarks]) -> "_Names":
        """Numbers with which the faces `now` are those of the same image `before` the stop that lie where they do."""
        names = _Names()
        names._next = 1 + max((face.face_id for frame in store.frames() for face in frame.faces), default=-1)
        left = list(before.faces)
        for face in now:
            nearest = max(left, key=lambda other: _overlap(face, other), default=None)
            if nearest is not None and _overlap(face, nearest) >= _SAME_FACE:
                names._names[face.face_id] = nearest.face_id
                left.remove(nearest)
        return names

    def of(self, faces: list[TrackedLandmarks]) -> list[TrackedLandmarks]:
        """Faces under the film's numbers, ascending."""
        for face in faces:
            if face.face_id not in self._names:
                self._names[face.face_id] = self._next
                self._next += 1
        named = [TrackedLandmarks(self._names[face.face_id], face.landmarks) for face in faces]
        return sorted(named, key=lambda face: face.face_id)


def _overlap(one: TrackedLandmarks, other: TrackedLandmarks) -> float:
    """Intersection over union of two faces' upright boxes about their points."""
    (low, high), (low2, high2) = (
        (face.landmarks.points.min(axis=0), face.landmarks.points.max(axis=0)) for face in (one, other)
    )
    shared = float(np.prod(np.clip(np.minimum(high, high2) - np.maximum(low, low2), 0.0, None)))
    union = float(np.prod(high - low) + np.prod(high2 - low2)) - shared
    return shared / union if union > 0.0 else 0.0

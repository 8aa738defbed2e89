"""From landmarks in single images to tracks: several faces, each with a number that stays with it."""

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.values import TrackedLandmarks
from face3dmm_ros.landmarks.appearance import face_shades, likeness, scene_shades
from face3dmm_ros.landmarks.backend import Detection, LandmarkBackend, LocatedFace, check_image
from face3dmm_ros.landmarks.colors import ColorSampler
from face3dmm_ros.landmarks.locator import DOUBTFUL, FaceLocator
from face3dmm_ros.landmarks.region import Region
from face3dmm_ros.landmarks.search import Look, closer_looks, detect, look_around, look_at_all

PREFERENCES = ("largest", "surest", "central")
"""Which faces are tracked where there are more than `max_faces`, the default first."""

LIVE_LOOKS = 1
"""Closer looks per image of a stream, for time: with the look at the whole, one costs no more than two tracked
faces."""

_MOST_THREADS = 4
"""That follow several faces; chosen by hand: the rest of a large machine is for others."""

# The numbers of this module were chosen by hand; what they lead to is measured by `lab.experiments.measure_tracking`.
#
# Overlaps (intersection over union) of regions. Measured: a detection and the landmarks of the same face overlap by
# 0.65 and more, two heads cheek to cheek by 0.3.
_DUPLICATE = 0.5
"""Two tracks or detections that overlap by more are one face."""
_SAME_FACE = 0.35
"""A detection that overlaps a track by more is its face."""
_STILL_ON_THE_FACE = 0.6
"""A track that overlaps its detection by less has strayed, and is located anew."""
_BEYOND_DOUBT = 0.999
"""A track of at least this confidence is not located anew: what is found only counts if it is surer, and the search
takes as long as four tracked images."""
_SAME_PLACE = 0.2
"""A face that overlaps a lost one by more may be that one come back."""
_SMALL_STEP = 0.9
"""Regions of successive images that overlap by more are averaged, against jitter."""
_REST = 0.005
"""A face that moves by less than this share of its region rests."""

# Correlations; `appearance` has the measurements.
_SAME_SCENE = 0.93
"""Two images that are less alike may have a cut between them."""
_SAME_PERSON = 0.88
"""A face that is less alike than in the image before may be another one."""
_RATHER_THE_SAME = 0.8
"""What a lost face that has come back elsewhere needs: it has turned meanwhile."""
_RESTLESS = 3.0
"""A change by less than so many times the usual one is no cut: at low frame rates all changes are large."""
_HABIT = 0.1
"""Gain of the moving averages of a face's shades, of their change and of its velocity."""

_LEAP = 1.3
"""Change of size in one image from which a followed face gets a second look, as a doubtful one does."""
_SECOND_LOOK_INTERVAL = 10
"""Images between two second looks, for time."""
_AROUND = 3.0
"""Side of the part of the image that a second look shows, over that of the face's region."""
_SURELY, _CONFIRMED = 0.95, 0.8
"""Confidence needed by a face that only a closer look has found, since many looks bring more false alarms; and that
needed of the second network, or of the detector where there is none."""
_REJECTED_FOR = 15
"""Images for which a detection in the whole that turned out to be no face is ignored."""
_URGENT = 5
"""A lost face is searched for in each of so many images, then in every fifth."""
_STRAYED = 2.0
"""How far from its last place a lost face may come back, in sides of its region."""
_MORE_CANDIDATES = 3
"""Detections that are located beyond the free places, since some are no faces."""
_WORTH_A_CHANGE = 1.25
"""By which factor a face must be preferred to a tracked one to replace it, so that two alike do not alternate."""


@dataclass(frozen=True, eq=False)
class _Track:
    """A face that is followed, or was until `lost_for` images ago.

    Attributes:
        shades: its shades when it was last seen.
        looks_like: moving average of its shades.
        restlessness: moving average of their change from image to image.
        velocity: moving average, px per image, of its region's middle.
        unchecked_for: images since the last second look.
        cut: whether there was a cut since it was lost.
    """

    face_id: int
    face: LocatedFace
    shades: NDArray[np.float32]
    looks_like: NDArray[np.float32]
    restlessness: float = 0.0
    velocity: tuple[float, float] = (0.0, 0.0)
    unchecked_for: int = _SECOND_LOOK_INTERVAL
    lost_for: int = 0
    cut: bool = False

    @property
    def expected(self) -> Region:
        """Where a lost face would be at constant velocity."""
        region, (vx, vy) = self.face.region, self.velocity
        return replace(region, x=region.x + vx * self.lost_for, y=region.y + vy * self.lost_for)


class LandmarkTracker:
    """Follows up to `max_faces` faces through a sequence of images.

    Faces are detected in the first image, in every one in which none is tracked or one was just lost, and every
    `detection_interval` images; otherwise each is followed from its last landmarks. A face that comes back near its
    last place within `patience` images keeps its number; numbers are never reused, not even after `reset`. After a cut
    to another person the number is a new one.
    """

    def __init__(
        self,
        backend: LandmarkBackend,
        *,
        max_faces: int = 1,
        prefer: str = PREFERENCES[0],
        detection_interval: int = 30,
        patience: int = 30,
        min_confidence: float = 0.5,
        looks_per_image: int | None = None,
    ) -> None:
        """Track with a backend.

        Args:
            backend: finds faces and their landmarks.
            max_faces: faces to track at most.
            prefer: one of `PREFERENCES`.
            detection_interval: images from one look for new faces to the next.
            patience: images after which a lost face is forgotten.
            min_confidence: below it a face counts as lost.
            looks_per_image: how many of `search.closer_looks` an image gets, so that far faces cost no image more than
                that; all of them, as a single picture needs, if None.

        Raises:
            Face3DMMError: a setting is out of its range.
        """
        if max_faces < 1 or detection_interval < 1 or patience < 0 or not 0.0 <= min_confidence <= 1.0:
            raise Face3DMMError(
                "a tracker needs max_faces and detection_interval of at least 1, patience of at least 0 and "
                f"min_confidence in [0, 1], found {max_faces}, {detection_interval}, {patience} and {min_confidence}"
            )
        if prefer not in PREFERENCES:
            raise Face3DMMError(f"a tracker prefers {', '.join(PREFERENCES)}; found {prefer!r}")
        if looks_per_image is not None and looks_per_image < 0:
            raise Face3DMMError(f"a tracker needs looks_per_image of at least 0, found {looks_per_image}")
        self._backend = backend
        self._locator = FaceLocator(backend, min_confidence, hurried=looks_per_image is not None)
        self._max_faces = max_faces
        self._prefer = prefer
        self._detection_interval = detection_interval
        self._patience = patience
        self._looks_per_image = looks_per_image
        self._next_id = 0
        self._threads: ThreadPoolExecutor | None = None
        self._looker: ThreadPoolExecutor | None = None
        self.reset()

    def reset(self) -> None:
        """Forget all faces, as for a new sequence."""
        self._size = (0, 0)
        self._tracks: list[_Track] = []
        self._images_since_detection = 0
        self._looks_due: list[Look] = []
        self._under_way: list[tuple[Future[list[Detection]], bool]] = []
        self._rejected: list[tuple[Region, int]] = []
        self._scene: NDArray[np.float32] | None = None
        self._colors = ColorSampler()

    def track(self, image: NDArray[np.uint8]) -> list[TrackedLandmarks]:
        """The faces in the next image, (H, W, 3) BGR uint8, by ascending face_id.

        Raises:
            Face3DMMError: the image is not such an array, or is empty.
        """
        image = check_image(image)
        size = (image.shape[1], image.shape[0])
        if size != self._size:
            # Nothing that was seen, or is to be looked at, lies where it did.
            self.reset()
            self._size = size
        scene = scene_shades(image)
        cut = self._scene is not None and likeness(scene, self._scene) < _SAME_SCENE
        self._scene = scene
        ahead = None
        if cut:
            self._under_way = []
            # Where faces are now is looked for while it is found out which of them have gone.
            ahead = self._begun(image, [look_at_all(size)])
        followed = self._in_parallel(lambda track: self._follow(image, track, cut), self._tracks)
        tracks = _without_duplicates([track for track in followed if track is not None])
        tracks = self._search(image, tracks, ahead)
        tracks = [track for track in tracks if track.lost_for <= self._patience]
        self._tracks = sorted(tracks, key=lambda track: track.face_id)
        faces = [TrackedLandmarks(track.face_id, track.face.landmarks) for track in _visible(self._tracks)]
        return self._colors.sample(image, faces)

    def _in_parallel(self, follow: Callable[[_Track], _Track | None], tracks: list[_Track]) -> list[_Track | None]:
        """What becomes of each track: of several by a thread a core, where the backend allows that."""
        cores = len(os.sched_getaffinity(0))
        if len(tracks) < 2 or cores < 2 or not self._backend.parallel:
            return [follow(track) for track in tracks]
        if self._threads is None:
            self._threads = ThreadPoolExecutor(min(cores, _MOST_THREADS), "landmarks")
        return list(self._threads.map(follow, tracks))

    def _follow(self, image: NDArray[np.uint8], track: _Track, cut: bool) -> _Track | None:
        """The track one image later; None where there seems to be a cut and another face in its place."""
        face = None if track.lost_for else self._locator.near(image, track.face.region, track.face)
        if face is None:
            return replace(track, lost_for=track.lost_for + 1, cut=track.cut or cut)
        before = track.face.region
        growth = face.region.size / before.size
        unchecked_for = track.unchecked_for + 1
        if (_is_doubtful(face) or not 1.0 / _LEAP < growth < _LEAP) and unchecked_for > _SECOND_LOOK_INTERVAL:
            face, unchecked_for = self._checked(image, face), 0
        shades = face_shades(image, face.landmarks.points)
        change = 1.0 - likeness(shades, track.shades)
        surprising = change > max(1.0 - _SAME_PERSON, _RESTLESS * track.restlessness)
        if surprising and cut:
            return None
        now = replace(
            track,
            face=replace(face, region=_steadied(before, face.region)),
            shades=shades,
            restlessness=track.restlessness + _HABIT * (change - track.restlessness),
            unchecked_for=unchecked_for,
        )
        if surprising:
            # Something covers the face, or the track slides to another one: the averages must not learn that.
            return now
        vx, vy = track.velocity
        return replace(
            now,
            looks_like=track.looks_like + _HABIT * (shades - track.looks_like),
            velocity=(
                vx + _HABIT * (face.region.x - before.x - vx),
                vy + _HABIT * (face.region.y - before.y - vy),
            ),
        )

    def _checked(self, image: NDArray[np.uint8], face: LocatedFace) -> LocatedFace:
        """The face, or one of higher confidence found by a second look around it: landmarks may stray or collapse."""
        look = look_around(face.region, _AROUND, (image.shape[1], image.shape[0]))
        found = [
            self._locator.detected(image, detection)
            for detection in detect(self._backend, image, look)
            if detection.region.overlap(face.region) < _STILL_ON_THE_FACE
        ]
        return max((face, *filter(None, found)), key=lambda face: face.landmarks.confidence)

    def _search(
        self, image: NDArray[np.uint8], tracks: list[_Track], ahead: Future[list[Detection]] | None
    ) -> list[_Track]:
        """The tracks after the looks at the image that are due, if any: recentred, found again, and new ones.

        `ahead` is the look at the whole of it, if that has begun already.
        """
        size = (image.shape[1], image.shape[0])
        under_way, self._under_way = self._under_way, []
        for detections, closer in under_way:
            tracks = self._detect(image, tracks, detections.result(), closer)
        self._images_since_detection += 1
        self._rejected = [(region, left - 1) for region, left in self._rejected if left > 1]
        if ahead is not None:
            tracks = self._detect(image, tracks, ahead.result(), closer=False)
        lost = [track for track in tracks if track.lost_for]
        due = self._images_since_detection >= self._detection_interval or len(lost) == len(tracks)
        if due or any(track.lost_for <= _URGENT or track.lost_for % _URGENT == 0 for track in lost):
            self._images_since_detection = 0
            looks = [look_around(track.face.region, _AROUND, size) for track in lost]
            tracks = self._look(image, tracks, looks if ahead else [look_at_all(size), *looks], closer=False)
            if due and not self._looks_due:
                self._looks_due = closer_looks(size)
        for _ in range(len(self._looks_due) if self._looks_per_image is None else self._looks_per_image):
            visible = _visible(tracks)
            if len(visible) >= self._max_faces and not any(_is_doubtful(track.face) for track in visible):
                self._looks_due = []
            if not self._looks_due:
                break
            look = self._looks_due.pop(0)
            if not (look.equalized and visible):
                tracks = self._look(image, tracks, [look], closer=True)
        return tracks

    def _look(
        self, image: NDArray[np.uint8], tracks: list[_Track], looks: Sequence[Look], closer: bool
    ) -> list[_Track]:
        """The tracks after some looks at the image.

        In a stream of which no face is missing, nobody waits for them: what they found is taken up in the next image,
        however long they took, so that results do not depend on the machine.
        """
        missing = not tracks or any(track.lost_for for track in tracks)
        if missing or self._looks_per_image is None or not self._backend.parallel:
            return self._detect(image, tracks, self._begun(image, looks).result(), closer)
        # A copy, since the caller may put the next image into the same array.
        self._under_way.append((self._begun(image.copy(), looks), closer))
        return tracks

    def _begun(self, image: NDArray[np.uint8], looks: Sequence[Look]) -> Future[list[Detection]]:
        """What some looks at an image will have found: a thread looks, where the backend allows that."""

        def detections() -> list[Detection]:
            return [detection for look in looks for detection in detect(self._backend, image, look)]

        if not self._backend.parallel:
            found: Future[list[Detection]] = Future()
            found.set_result(detections())
            return found
        if self._looker is None:
            self._looker = ThreadPoolExecutor(1, "looks for faces")
        return self._looker.submit(detections)

    def _detect(
        self,
        image: NDArray[np.uint8],
        tracks: list[_Track],
        detections: list[Detection],
        closer: bool,
    ) -> list[_Track]:
        """The tracks after detections in the whole image: recentred, found again, and new ones."""
        tracks = list(tracks)
        room = self._max_faces - len(_visible(tracks))
        candidates: list[Detection] = []
        for detection in sorted(detections, key=lambda each: -each.score):
            region = detection.region
            known = _nearest(region, _visible(tracks), _SAME_FACE)
            if known is None:
                rejected = not closer and any(region.overlap(no) >= _STILL_ON_THE_FACE for no, _ in self._rejected)
                if not rejected and all(region.overlap(other.region) < _DUPLICATE for other in candidates):
                    candidates.append(detection)
            elif _is_doubtful(known.face) or (not closer and _may_have_strayed(known.face, region)):
                face = self._locator.detected(image, detection)
                if face is not None and face.landmarks.confidence > known.face.landmarks.confidence:
                    tracks[tracks.index(known)] = replace(known, face=face)
        if room <= 0:
            candidates = [each for each in candidates if self._ousted(image, tracks, each.region, each.score)]
        candidates.sort(key=lambda each: -self._merit(image, each.region, each.score))
        found: list[LocatedFace] = []
        for detection in candidates[: max(room, 0) + _MORE_CANDIDATES]:
            face = self._locator.detected(image, detection)
            if face is None or (closer and not _surely_there(face, detection)):
                if not closer:
                    self._rejected.append((detection.region, _REJECTED_FOR))
            else:
                found.append(face)
        found = _one_per_face(found)
        for face in sorted(found, key=lambda each: -self._merit(image, each.region, each.landmarks.confidence)):
            visible = _visible(tracks)
            if _nearest(face.region, visible, _DUPLICATE) is not None:
                continue
            if len(visible) >= self._max_faces:
                ousted = self._ousted(image, tracks, face.region, face.landmarks.confidence)
                if ousted is None:
                    continue
                tracks.remove(ousted)
            shades = face_shades(image, face.landmarks.points)
            track = _Track(self._next_id, face, shades, shades)
            back = _come_back(track, [lost for lost in tracks if lost.lost_for])
            if back is not None:
                tracks[tracks.index(back)] = replace(back, face=face, shades=shades, lost_for=0, cut=False)
            else:
                tracks.append(track)
                self._next_id += 1
        return tracks

    def _merit(self, image: NDArray[np.uint8], region: Region, sureness: float) -> float:
        """How much a face is preferred to others by `prefer`, as a factor."""
        if self._prefer == "surest":
            return sureness
        if self._prefer == "largest":
            return region.size * sureness
        height, width = image.shape[:2]
        return sureness / (0.1 * (width + height) + math.hypot(region.x - width / 2.0, region.y - height / 2.0))

    def _ousted(
        self, image: NDArray[np.uint8], tracks: Sequence[_Track], region: Region, sureness: float
    ) -> _Track | None:
        """The tracked face that a preferred one replaces, if any."""
        merits = [
            (self._merit(image, track.face.region, track.face.landmarks.confidence), track)
            for track in _visible(tracks)
        ]
        least, track = min(merits, key=lambda pair: pair[0])
        return track if self._merit(image, region, sureness) > _WORTH_A_CHANGE * least else None


def _steadied(before: Region, now: Region) -> Region:
    """The next region: the same for a face that rests, halfway for one that moves little, all the way otherwise.

    Landmarks depend a little on the crop that they are found in; this keeps their noise out of the next crop.
    """
    dx, dy, growth = now.x - before.x, now.y - before.y, now.size - before.size
    turn = math.remainder(now.angle - before.angle, math.tau)
    rest = _REST * before.size
    if max(abs(dx), abs(dy), abs(growth) / 2.0) < rest and abs(turn) < 2.0 * _REST:
        return before
    if before.overlap(now) < _SMALL_STEP:
        return now
    return Region(before.x + dx / 2.0, before.y + dy / 2.0, before.size + growth / 2.0, before.angle + turn / 2.0)


def _visible(tracks: Sequence[_Track]) -> list[_Track]:
    """Those that are not lost."""
    return [track for track in tracks if not track.lost_for]


def _nearest(region: Region, tracks: Sequence[_Track], min_overlap: float) -> _Track | None:
    """The track whose region overlaps a region most, and by at least `min_overlap`."""
    best = max(tracks, key=lambda track: track.face.region.overlap(region), default=None)
    return best if best is not None and best.face.region.overlap(region) >= min_overlap else None


def _come_back(new: _Track, lost: Sequence[_Track]) -> _Track | None:
    """The lost track that a new face continues: the most alike of those in its place, or near by and alike.

    After a cut the place is no evidence.
    """

    def is_back(track: _Track) -> bool:
        here, there = new.face.region, track.face.region
        if not track.cut and max(here.overlap(there), here.overlap(track.expected)) >= _SAME_PLACE:
            return True
        near = math.hypot(there.x - here.x, there.y - here.y) <= _STRAYED * there.size
        return near and likeness(track.looks_like, new.shades) >= (_SAME_PERSON if track.cut else _RATHER_THE_SAME)

    back = [track for track in lost if is_back(track)]
    return max(back, key=lambda track: likeness(track.looks_like, new.shades), default=None)


def _is_doubtful(face: LocatedFace) -> bool:
    return face.landmarks.confidence < DOUBTFUL


def _may_have_strayed(face: LocatedFace, detected: Region) -> bool:
    """Whether a track that lies beside its detection is worth another look."""
    beside = face.region.overlap(detected) < _STILL_ON_THE_FACE
    return beside and face.landmarks.confidence < _BEYOND_DOUBT


def _surely_there(face: LocatedFace, detection: Detection) -> bool:
    """Whether a face that only a closer look has found is accepted."""
    confirmed = detection.score if face.confirmed is None else face.confirmed
    return face.landmarks.confidence >= _SURELY and confirmed >= _CONFIRMED


def _one_per_face(faces: Sequence[LocatedFace]) -> list[LocatedFace]:
    """Of overlapping faces the one of highest confidence."""
    kept: list[LocatedFace] = []
    for face in sorted(faces, key=lambda face: -face.landmarks.confidence):
        if all(face.region.overlap(other.region) < _DUPLICATE for other in kept):
            kept.append(face)
    return kept


def _without_duplicates(tracks: Sequence[_Track]) -> list[_Track]:
    """The tracks, one per face: of those that fell on one face, the one that looks like it looked before."""
    kept: list[_Track] = []
    for track in sorted(tracks, key=lambda track: (-likeness(track.shades, track.looks_like), track.face_id)):
        if track.lost_for or _nearest(track.face.region, _visible(kept), _DUPLICATE) is None:
            kept.append(track)
        else:
            kept.append(replace(track, lost_for=1))
    return kept

"""How far, how turned over and how steadily faces are found and followed, in pictures made from photographs.

    python -m face3dmm_ros.lab.experiments.measure_tracking --portraits FOLDER     # NAME.jpg, one calm face each

- far: scikit-image's portrait, shrunk and put at 48 places of a busy picture; the share that is found, by the face's
  height from brows to chin, px, and faces found where there is none.
- rolled: the portrait and 20 others, turned about their middle in steps of 15°; the share whose roll is found
  within 10°.
- cuts: 21 people, each for some images of a film; the cuts that give a new number on their first image.
- crossing: two people walk past each other, one behind the other; who keeps the number.

All but the first need `--portraits`, and rolled is of one face without it.
"""

import argparse
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data

from face3dmm_ros.core.values import Landmarks
from face3dmm_ros.files.pictures import read_picture
from face3dmm_ros.lab.default_model.face_landmarker import portraits
from face3dmm_ros.landmarks import LandmarkTracker, create_backend
from face3dmm_ros.landmarks.backend import LandmarkBackend
from face3dmm_ros.landmarks.schemes import IBUG68, MEDIAPIPE478, convert
from face3dmm_ros.landmarks.tracker import LIVE_LOOKS

Picture = NDArray[np.uint8]
_BROWS, _CHIN = slice(17, 27), 8  # of iBUG's points
_RIGHT_EYE, _LEFT_EYE = 33, 263  # of Face Mesh's, the outer corners
# All of these are chosen by hand: figures stand in docs/landmarks.md, and others would not be comparable with them.
_PLACES = 48
# px, the longer side of portraits at most.
_SIDE = 640
_IMAGES_A_PERSON = 6
# px (width, height) of the film in which two people pass.
_FILM = (1280, 720)
_CROSSING_IMAGES = 120
# Share of a head's area from which on it counts as hidden.
_HIDDEN = 0.25


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--portraits", type=portraits, default=[], metavar="FOLDER", help="pictures of one calm face each"
    )
    parser.add_argument("--backend", default="dense", help="the landmark backend (default: %(default)s)")
    arguments = parser.parse_args()
    backend = create_backend(arguments.backend, scheme=MEDIAPIPE478)
    people = list(_calm(arguments.portraits))
    for size, heights in (
        ((640, 480), (40, 30, 24)),
        ((1280, 720), (60, 40, 30)),
        ((1920, 1080), (60, 50, 40, 30)),
        ((3912, 512), (60, 40)),
    ):
        for height in heights:
            found, false = far(backend, size, height)
            print(f"far: {height} px in {size[0]}×{size[1]}: {found:.0%} found, {false} false alarms", flush=True)
    print(f"rolled: {rolled(backend, [_astronaut(), *people[:20]]):.1%} within 10°", flush=True)
    if len(people) > 1:
        new, images = cuts(backend, people[:21])
        print(f"cuts: {new} of {len(people[:21]) - 1} give a new number on the first image; {images} others do")
        for behind, before in zip(people[0:10:2], people[1:10:2], strict=True):
            print("crossing:", crossing(backend, behind, before), flush=True)


def far(backend: LandmarkBackend, size: tuple[int, int], height: int) -> tuple[float, int]:
    """The share of places in a picture of (width, height) px where a small face is found, and the false alarms."""
    portrait = _astronaut()
    points = _points68(_largest(backend, portrait))
    scale = height / (points[_CHIN, 1] - points[_BROWS, 1].min())
    small = _shrunk(portrait, scale)
    grounds = [cv2.resize(picture[..., ::-1], size) for picture in (data.coffee(), data.rocket(), data.chelsea())]
    rng = np.random.default_rng(0)
    found = false = 0
    for place in range(_PLACES):
        image = np.array(grounds[place % len(grounds)], np.uint8)
        x, y = (int(rng.integers(0, free + 1)) for free in np.subtract(size, small.shape[1::-1]))
        image[y : y + small.shape[0], x : x + small.shape[1]] = small
        true = (points + 0.5) * scale - 0.5 + np.array([x, y])
        faces = LandmarkTracker(backend, max_faces=20).track(image)
        right = [np.abs(_points68(face.landmarks) - true).mean() < 0.1 * height for face in faces]
        found += any(right)
        false += len(right) - any(right)
    return found / _PLACES, false


def rolled(backend: LandmarkBackend, people: Sequence[Picture]) -> float:
    """The share of turned pictures whose face is found with a roll that is off by 10° at most."""
    right = []
    for picture in people:
        upright = _roll(_largest(backend, picture))
        height, width = picture.shape[:2]
        side = int(np.hypot(width, height))
        for degrees in range(0, 360, 15):
            matrix = cv2.getRotationMatrix2D((width / 2.0, height / 2.0), -degrees, 1.0)
            middle = np.array([[0.0, 0.0, (side - width) / 2.0], [0.0, 0.0, (side - height) / 2.0]])
            turned = cv2.warpAffine(picture, matrix + middle, (side, side), borderValue=(128, 128, 128))
            faces = LandmarkTracker(backend).track(np.asarray(turned, np.uint8))
            off = [(_roll(face.landmarks) - upright - degrees + 180.0) % 360.0 - 180.0 for face in faces]
            right.append(any(abs(each) <= 10.0 for each in off))
    return float(np.mean(right))


def cuts(backend: LandmarkBackend, people: Sequence[Picture]) -> tuple[int, int]:
    """Cuts whose first image has a new number and no other, and images without a cut that have one."""
    tracker = LandmarkTracker(backend)
    seen: set[int] = set()
    at_cuts = elsewhere = 0
    for person, picture in enumerate(people):
        for image in range(_IMAGES_A_PERSON):
            ids = {face.face_id for face in tracker.track(picture)}
            new = len(ids) == 1 and not ids & seen
            at_cuts += new and image == 0 and person > 0
            elsewhere += new and image > 0
            seen |= ids
    return at_cuts, elsewhere


def crossing(backend: LandmarkBackend, behind: Picture, before: Picture) -> str:
    """What becomes of the numbers of two people who walk past each other, told in words."""
    tracker = LandmarkTracker(backend, max_faces=2, looks_per_image=LIVE_LOOKS)
    ids: dict[str, list[int | None]] = {"behind": [], "before": []}
    hidden = []
    for image, places, share in _crossing_film(backend, behind, before):
        hidden.append(share)
        for numbers in ids.values():
            numbers.append(None)
        for face in tracker.track(image):
            off = {name: np.hypot(*(face.landmarks.points.mean(axis=0) - place)) for name, place in places.items()}
            ids[min(off, key=lambda name: float(off[name]))][-1] = face.face_id
    lines = []
    for name, numbers in ids.items():
        spells = [numbers[0]]
        spells += [now for last, now in pairwise(numbers) if now != last]
        lines.append(f"{name} {' → '.join('hidden' if each is None else str(each) for each in spells)}")
    came_out = max(image for image, share in enumerate(hidden) if share > _HIDDEN) + 1
    found = next((image for image in range(len(hidden) // 2, len(hidden)) if ids["behind"][image] is not None), None)
    lines.append("lost" if found is None else f"found {found - came_out} images after it came out")
    return "; ".join(lines)


def _crossing_film(
    backend: LandmarkBackend, behind: Picture, before: Picture
) -> Iterator[tuple[Picture, dict[str, NDArray[np.float64]], float]]:
    """Images of two heads that pass each other, where their faces' middles are, and how much of the one is hidden."""
    heads = {"behind": _head(backend, behind, 150.0), "before": _head(backend, before, 190.0)}
    ground = cv2.resize(data.coffee()[..., ::-1], _FILM)
    for step in range(_CROSSING_IMAGES):
        share = step / (_CROSSING_IMAGES - 1)
        way = 780.0 * share
        places = {"behind": np.array([250.0 + way, 330.0]), "before": np.array([1030.0 - way, 370.0])}
        image = ground.astype(np.float32)
        masks = []
        for name, (head, mask, middle) in heads.items():
            shift = np.hstack([np.eye(2), (places[name] - middle)[:, None]])
            layer, alpha = (cv2.warpAffine(each, shift, _FILM) for each in (head, mask))
            image += alpha[..., None] * (layer - image)
            masks.append(alpha)
        yield np.rint(image).astype(np.uint8), places, float((masks[0] * masks[1]).sum() / masks[0].sum())


def _head(
    backend: LandmarkBackend, picture: Picture, height: float
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
    """A head cut out by an ellipse, its mask and its face's middle; the face is `height` px high."""
    points = _largest(backend, picture).points
    scale = height / float(np.ptp(points[:, 1]))
    small = _shrunk(picture, scale).astype(np.float32)
    middle = points.mean(axis=0) * scale
    mask = np.zeros(small.shape[:2], np.float32)
    center = np.rint(middle - [0, 0.1 * height]).astype(int).tolist()
    cv2.ellipse(mask, center, (int(0.55 * height), int(0.75 * height)), 0, 0, 360, 1.0, -1)
    return small, np.asarray(cv2.GaussianBlur(mask, (0, 0), 2.0), np.float32), middle


def _largest(backend: LandmarkBackend, picture: Picture) -> Landmarks:
    (face,) = LandmarkTracker(backend).track(picture)
    return face.landmarks


def _points68(landmarks: Landmarks) -> NDArray[np.float32]:
    return convert(landmarks, IBUG68).points


def _roll(landmarks: Landmarks) -> float:
    x, y = landmarks.points[_LEFT_EYE] - landmarks.points[_RIGHT_EYE]
    return float(np.degrees(np.arctan2(y, x)))


def _astronaut() -> Picture:
    return np.ascontiguousarray(data.astronaut()[..., ::-1])


def _calm(paths: Sequence[Path]) -> Iterator[Picture]:
    """The neutral pictures of some, no larger than `_SIDE` px."""
    for path in paths:
        if "smile" not in path.stem:
            picture = read_picture(path)
            yield _shrunk(picture, min(1.0, _SIDE / max(picture.shape)))


def _shrunk(picture: Picture, scale: float) -> Picture:
    interpolation = cv2.INTER_AREA if scale <= 1.0 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=interpolation), np.uint8)


if __name__ == "__main__":
    main()

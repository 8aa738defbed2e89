"""Fit how far a fit may be believed; print the factors of `face3dmm_ros.fitting.confidence`.

Photographs of people are covered in part, turned, cut by the border, made small, dark, noisy and blurred. A fit to what
is left of one is right if its 68 points lie where those of the fit to the whole picture lie. Renderings of heads turned
up to 90° have their own truth. A logistic regression tells the right ones from the others.
"""

import argparse
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from face3dmm_ros.core.values import FaceParameters, Landmarks, TrackedLandmarks
from face3dmm_ros.evaluation.dataset.accuracy import FOUND_IOU
from face3dmm_ros.evaluation.dataset.face_evaluator import Ibug68Points
from face3dmm_ros.evaluation.dataset.reliability import reliability
from face3dmm_ros.evaluation.metrics import box_around, box_iou, nme
from face3dmm_ros.fitting import TrackFitter
from face3dmm_ros.fitting.confidence import RIGHT_WITHIN, confidence_features
from face3dmm_ros.lab.default_model.face_landmarker import portraits
from face3dmm_ros.lab.landmark_networks.coverings import LEFT_EYE, MOUTH, RIGHT_EYE, covered, photograph
from face3dmm_ros.lab.landmark_networks.logistic import logistic_regression
from face3dmm_ros.lab.landmark_networks.spoiling import spoilt
from face3dmm_ros.lab.synthesis.backgrounds import find_pictures
from face3dmm_ros.lab.synthesis.random_scene import SceneOptions, random_scene
from face3dmm_ros.lab.synthesis.scene_renderer import SceneRenderer
from face3dmm_ros.landmarks import LandmarkTracker, create_backend
from face3dmm_ros.landmarks.schemes import SKIN_COUNT
from face3dmm_ros.morphable_model import MorphableModel, load_model

# Sizes of faces that are made small, the smallest and the largest. Chosen by hand, as the other random ranges here.
_FACE_PX = 14.0, 120.0

Truth = NDArray[np.float64]
"""(68, 2) where iBUG's points are, px."""


class Watcher:
    """Finds and fits the face of a picture as `face3dmm evaluate dataset` does."""

    def __init__(self, model: MorphableModel, backend: str) -> None:
        """With the shipped backend of that name."""
        self._backend, self._fitter, self._ibug = create_backend(backend), TrackFitter(model), Ibug68Points(model)

    def points(self, fitted: FaceParameters) -> Truth:
        """The 68 points of a fit; the outline's are fixed points of the skin."""
        return fitted.camera.project(self._ibug.at(fitted, visible_outline=False))

    def fits(self, picture: NDArray[np.uint8]) -> list[tuple[Landmarks, FaceParameters]]:
        """Landmarks and fits of all faces in a picture."""
        self._fitter.reset()
        faces = LandmarkTracker(self._backend, max_faces=20).track(picture)
        return [(face.landmarks, self._fitter.fit(TrackedLandmarks(k, face.landmarks))) for k, face in enumerate(faces)]

    def judged(self, picture: NDArray[np.uint8], truth: Truth) -> tuple[float, float, bool] | None:
        """What the confidence in the fit depends on, and whether it is right; None if the face is not found."""
        box = box_around(truth)
        found = [(self.points(fitted), landmarks, fitted) for landmarks, fitted in self.fits(picture)]
        found = [each for each in found if box_iou(box_around(each[0]), box) >= FOUND_IOU]
        if not found:
            return None
        points, landmarks, fitted = max(found, key=lambda each: box_iou(box_around(each[0]), box))
        return *confidence_features(landmarks, fitted.camera), nme(points, truth) <= RIGHT_WITHIN


def degraded(
    rng: np.random.Generator, picture: NDArray[np.uint8], landmarks: NDArray[np.floating], truth: Truth
) -> tuple[NDArray[np.uint8], Truth]:
    """A picture of a face, spoilt, and where its points have come to lie."""
    for _ in range(int(rng.choice(3, p=[0.5, 0.35, 0.15]))):
        over = (MOUTH, LEFT_EYE, RIGHT_EYE, rng.integers(SKIN_COUNT, size=20))[int(rng.integers(4))]
        picture, _ = covered(rng, picture, landmarks, over)
    height, width = picture.shape[:2]
    size = float(np.sqrt(np.ptp(truth, axis=0).prod()))
    small = np.exp(rng.uniform(*np.log(_FACE_PX))) / size if rng.random() < 0.6 else 1.0
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), rng.normal(0, 25), np.exp(rng.normal(0, 0.15)))
    if rng.random() < 0.1:  # a border cuts the face
        side = np.sign(rng.normal(size=2)) * (np.array([width, height]) / 2 - rng.uniform(0.0, 0.5) * size)
        matrix[int(rng.integers(2)), 2] += side[0]
    border = int(rng.choice([cv2.BORDER_REPLICATE, cv2.BORDER_CONSTANT]))
    picture = np.asarray(cv2.warpAffine(picture, matrix, (width, height), borderMode=border), np.uint8)
    truth = truth @ matrix[:, :2].T + matrix[:, 2]
    shrunk = np.asarray(cv2.resize(picture, None, fx=small, fy=small, interpolation=cv2.INTER_AREA), np.uint8)
    return spoilt(rng, shrunk), (truth + 0.5) * (np.array(shrunk.shape[1::-1]) / [width, height]) - 0.5


def photographs(paths: list[Path], times: int, watcher: Watcher) -> Iterator[tuple[NDArray[np.uint8], Truth]]:
    """The photographs at these paths, each spoilt `times` times, and their points."""
    rng = np.random.default_rng(5)
    for path in tqdm(paths, unit="photographs"):
        picture, _ = photograph(path)
        landmarks, fitted = watcher.fits(picture)[0]
        truth = watcher.points(fitted)
        points = landmarks.points[:SKIN_COUNT].astype(np.float64)
        for _ in range(times):
            yield degraded(rng, picture, points, truth)


def renderings(model: MorphableModel, count: int) -> Iterator[tuple[NDArray[np.uint8], Truth]]:
    """Renderings of `count` random heads, turned any way, some of them small, and their points."""
    options = SceneOptions(image_size=(300, 300), occluder=0.3, glasses=0.2, pictures=find_pictures(None))
    with SceneRenderer(model) as renderer:
        for index in tqdm(range(count), unit="renderings"):
            rng = np.random.default_rng([13, index])
            rendered = renderer.render(random_scene(rng, model, options))
            small = rng.uniform(0.1, 1.0) if rng.random() < 0.5 else 1.0
            picture = cv2.resize(rendered.image, None, fx=small, fy=small, interpolation=cv2.INTER_AREA)
            yield np.asarray(picture, np.uint8), (rendered.landmarks()[:, :2] + 0.5) * (len(picture) / 300.0) - 0.5


def main() -> None:
    """Spoil, fit, compare, regress, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("folders", type=portraits, nargs="+", help="of frontal photographs of people")
    add("--times", type=int, default=6, help="that each photograph is spoilt (default: %(default)s)")
    add("--renderings", type=int, default=1000, help="(default: %(default)s)")
    add("--backend", default="dense", help="dense (default), or facemesh for those that tell no deviations")
    arguments = parser.parse_args()
    model = load_model("default")
    watcher = Watcher(model, arguments.backend)
    paths = [path for folder in arguments.folders for path in folder]
    pictures = chain(photographs(paths, arguments.times, watcher), renderings(model, arguments.renderings))
    judged = [watcher.judged(picture, truth) for picture, truth in pictures]
    found = np.array([row for row in judged if row is not None], np.float64)
    features, right = found[:, :-1], found[:, -1]
    weights, constant = logistic_regression(features, right)
    said = 1.0 / (1.0 + np.exp(-(features @ weights + constant)))
    print(f"{len(judged)} pictures, {len(found)} faces found, {100 * right.mean():.0f} % of them right")
    print(f"calibration error on the very same {reliability(said, right > 0.5).error:.3f}; factors and constant:")
    print(", ".join(f"{value:.2f}" for value in (*weights, constant)))


if __name__ == "__main__":
    main()

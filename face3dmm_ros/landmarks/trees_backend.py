"""The trees backend, all of it our own: histograms of oriented gradients find faces (`hog_detector`), regression trees
their points (`regression_trees`). No network, and nothing but NumPy, OpenCV and Numba."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.core.values import Landmarks
from face3dmm_ros.landmarks.backend import Detection, LandmarkBackend, LocatedFace
from face3dmm_ros.landmarks.hog_detector import HogDetector
from face3dmm_ros.landmarks.region import Region
from face3dmm_ros.landmarks.regression_trees import CROP_IN_SQUARES, TreeCascade
from face3dmm_ros.landmarks.schemes import MEDIAPIPE478, check_scheme, convert
from face3dmm_ros.landmarks.tree_check import TreeCheck
from face3dmm_ros.landmarks.tree_finder import FoundShape, TreeFinder

_CANDIDATE = -1.1
"""Log odds from which a window may hold a face: on held-out pictures nine tenths of the faces had more, and eight other
windows of a picture, which are told apart by `tree_check`."""
_MOST_CANDIDATES = 16
_SAME_FACE = 0.3
"""Overlap (intersection over union) of two squares from which they are one face; chosen by hand."""


class TreesBackend(LandmarkBackend):
    """HOG and regression trees. `scheme` is ``mediapipe478`` or its subset ``ibug68``."""

    def __init__(self, scheme: str = MEDIAPIPE478, min_score: float = 0.5) -> None:
        """Load what ships with the package.

        Raises:
            Face3DMMError: a file is missing or damaged, or the scheme is unknown.
        """
        check_scheme(scheme)
        self.scheme = scheme
        self.parallel = True
        self._min_score = min_score
        self._detector = HogDetector()
        self._finder = TreeFinder(TreeCascade.load(package_file("resource/landmark_models/trees.npz")))
        self._check = TreeCheck.load(package_file("resource/landmark_models/tree_check.npz"))

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        """All faces in a (H, W, 3) BGR image, the surest first."""
        seen = [
            (self._confidence(image, before, found), found.square)
            for before, found in looked_at(self._detector, self._finder, image)
        ]
        kept: list[tuple[float, Region]] = []
        for score, square in sorted(seen, key=lambda each: -each[0]):
            if score >= self._min_score and all(square.overlap(other) < _SAME_FACE for _, other in kept):
                kept.append((score, square))
        size = image.shape[1], image.shape[0]
        return [Detection(square.box(size), score, _around(square)) for score, square in kept]

    def locate(self, image: NDArray[np.uint8], region: Region, before: LocatedFace | None = None) -> LocatedFace:
        """478 points of the face in a region of a (H, W, 3) BGR image; see `LandmarkBackend`."""
        square = replace(region, size=region.size / CROP_IN_SQUARES)
        yaw = before.seen if before is not None and isinstance(before.seen, float) else None
        if yaw is None:
            first = self._finder.find(image, square)
            square, yaw = first.square, first.yaw
        found = self._finder.find(image, square, yaw)
        size = image.shape[1], image.shape[0]
        landmarks = Landmarks(
            scheme=MEDIAPIPE478,
            points=found.points,
            box=region.box(size),
            confidence=self._confidence(image, square, found),
            image_size=size,
            deviation=found.deviation,
        )
        return LocatedFace(convert(landmarks, self.scheme), _around(found.square), found.yaw)

    def _confidence(self, image: NDArray[np.uint8], before: Region, found: FoundShape) -> float:
        """That there is a face, in [0, 1], where trees found points in a square."""
        try:
            return self._check.confidence(self._check.signs(self._detector, image, before, found))
        except Face3DMMError:  # they have left the image
            return 0.0


def looked_at(
    detector: HogDetector, finder: TreeFinder, image: NDArray[np.uint8]
) -> Iterator[tuple[Region, FoundShape]]:
    """What trees find in each window that may hold a face, and in which square."""
    for _, view, square in detector.squares(image, _CANDIDATE)[:_MOST_CANDIDATES]:
        try:
            first = finder.find(image, replace(square, angle=math.radians(detector.views.roll[view])))
            yield first.square, finder.find(image, first.square, first.yaw)
        except Face3DMMError:  # the points have left the image
            continue


def _around(square: Region) -> Region:
    """Where to look for the points of the face that fills a square."""
    return replace(square, size=CROP_IN_SQUARES * square.size)

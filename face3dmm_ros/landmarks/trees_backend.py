"""The trees backend, all of it our own: histograms of oriented gradients find faces (`hog_detector`), regression trees
their points (`regression_trees`). No network, and nothing but NumPy, OpenCV and Numba."""

import math
from collections.abc import Iterator
from contextlib import suppress
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

_CANDIDATE, _MOST_CANDIDATES = -1.4, 24
"""Log odds from which a window may hold a face, and how many windows of an image are looked at; chosen by hand: what is
none is told apart by `tree_check`, at 0.7 ms each."""
_UNLIKELY = -1.0
"""What a check of one glance says of a window that is then left; measured on held-out pictures: of fewer than one in a
hundred faces, and of five of six others."""
_HARDLY_ASIDE, _SURELY_ASIDE = 15.0, 50.0
"""Degrees of yaw that a first look tells between which a face may as well look ahead; chosen by hand: such looks are
off by eleven degrees."""
_SAME_FACE = 0.3
"""Overlap (intersection over union) of two squares from which they are one face; chosen by hand."""


class TreesBackend(LandmarkBackend):
    """HOG and regression trees. `scheme` is ``mediapipe478`` or its subset ``ibug68``."""

    def __init__(self, scheme: str = MEDIAPIPE478, min_score: float = 0.6) -> None:
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
        seen = []
        for glance in glances(self._detector, self._finder, image):
            with suppress(Face3DMMError):  # the points have left the image
                if self._check.aligned(image, glance) > _UNLIKELY:
                    found = self._finder.find(image, glance.square, glance.yaw)
                    seen.append((self._confidence(image, glance.square, found), found.square))
        kept: list[tuple[float, Region]] = []
        for score, square in sorted(seen, key=lambda each: -each[0]):
            if score >= self._min_score and all(square.overlap(other) < _SAME_FACE for _, other in kept):
                kept.append((score, square))
        size = image.shape[1], image.shape[0]
        return [Detection(square.box(size), score, _around(square)) for score, square in kept]

    def locate(self, image: NDArray[np.uint8], region: Region, before: LocatedFace | None = None) -> LocatedFace:
        """478 points of the face in a region of a (H, W, 3) BGR image; see `LandmarkBackend`."""
        square = replace(region, size=region.size / CROP_IN_SQUARES)
        if before is not None and isinstance(before.seen, float):
            yaws = [before.seen]
        else:
            first = self._finder.find(image, square, starts=1)
            square, yaws = first.square, [first.yaw]
            if _HARDLY_ASIDE < abs(first.yaw) < _SURELY_ASIDE:
                yaws.append(0.0)
        looks = [self._finder.find(image, square, yaw) for yaw in yaws]
        confidence, best = max((self._confidence(image, square, found), -k) for k, found in enumerate(looks))
        found = looks[-best]
        size = image.shape[1], image.shape[0]
        landmarks = Landmarks(
            scheme=MEDIAPIPE478,
            points=found.points,
            box=region.box(size),
            confidence=confidence,
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


def glances(detector: HogDetector, finder: TreeFinder, image: NDArray[np.uint8]) -> Iterator[FoundShape]:
    """What a first look from one start finds in each window that may hold a face."""
    for _, view, square in detector.squares(image, _CANDIDATE)[:_MOST_CANDIDATES]:
        with suppress(Face3DMMError):  # the window has left the image
            yield finder.find(image, replace(square, angle=math.radians(detector.views.roll[view])), starts=1)


def _around(square: Region) -> Region:
    """Where to look for the points of the face that fills a square."""
    return replace(square, size=CROP_IN_SQUARES * square.size)

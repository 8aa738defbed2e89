"""The trees backend, all of it our own: histograms of oriented gradients find faces (`hog_detector`), regression trees
their points (`regression_trees`). No network, and nothing but NumPy, OpenCV and Numba."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.core.values import Landmarks
from face3dmm_ros.landmarks.backend import Detection, LandmarkBackend, LocatedFace
from face3dmm_ros.landmarks.hog_detector import HogDetector
from face3dmm_ros.landmarks.region import Region
from face3dmm_ros.landmarks.regression_trees import CROP_IN_SQUARES, TreeCascade
from face3dmm_ros.landmarks.schemes import MEDIAPIPE478, check_scheme, convert
from face3dmm_ros.landmarks.tree_finder import TreeFinder


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

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        """All faces in a (H, W, 3) BGR image that stand nearly upright, the surest first."""
        detections = []
        for face in self._detector.detect(image, self._min_score):
            half = face.box.width / 2.0
            region = Region(face.box.x + half, face.box.y + half, CROP_IN_SQUARES * face.box.width)
            detections.append(Detection(face.box, face.score, region))
        return detections

    def locate(self, image: NDArray[np.uint8], region: Region, before: LocatedFace | None = None) -> LocatedFace:
        """478 points of the face in a region of a (H, W, 3) BGR image; see `LandmarkBackend`.

        The confidence is the detector's on the region: trees find a face's points in anything.
        """
        square = replace(region, size=region.size / CROP_IN_SQUARES)
        score, yaw = self._detector.score(image, square)
        if before is not None and isinstance(before.seen, float):
            yaw = before.seen
        found = self._finder.find(image, square, yaw)
        size = image.shape[1], image.shape[0]
        landmarks = Landmarks(
            scheme=MEDIAPIPE478,
            points=found.points,
            box=region.box(size),
            confidence=score,
            image_size=size,
            deviation=found.deviation,
        )
        after = replace(found.square, size=CROP_IN_SQUARES * found.square.size)
        return LocatedFace(convert(landmarks, self.scheme), after, found.yaw)

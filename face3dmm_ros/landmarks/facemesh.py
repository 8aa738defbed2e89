"""The facemesh backend: BlazeFace finds faces, Face Mesh gives 478 points with depth.

Face Mesh: Kartynnik et al., Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs, 2019; in its second
version with irises, and trained to follow lips, lids and brows (Grishchenko et al., Attention Mesh, 2020, and
Blendshapes GHUM, 2023). The networks are Google's (Apache-2.0) and run on LiteRT.
"""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.compiled import compiled
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.core.values import Box, Landmarks
from face3dmm_ros.landmarks.backend import Detection, LandmarkBackend, LocatedFace
from face3dmm_ros.landmarks.blazeface import FULL_RANGE, LEFT_EYE, RIGHT_EYE, SHORT_RANGE, BlazeFace, BlazeFaces
from face3dmm_ros.landmarks.network import Network
from face3dmm_ros.landmarks.region import Region, region_around
from face3dmm_ros.landmarks.schemes import MEDIAPIPE478, SKIN_COUNT, check_scheme, convert

_RIGHT_EYE_CORNER, _LEFT_EYE_CORNER = 33, 263
REGION_SCALE = 1.5
"""Side of the crop over that of the face's box, as MediaPipe crops for Face Mesh."""
_SAME_FACE = 0.4
"""Overlap (intersection over union) from which detections of both ranges are one face; chosen by hand."""


class FaceMeshBackend(LandmarkBackend):
    """BlazeFace and Face Mesh. `scheme` is ``mediapipe478`` or its subset ``ibug68``."""

    def __init__(self, scheme: str = MEDIAPIPE478, min_score: float = 0.5) -> None:
        """Load the networks that ship with the package.

        Raises:
            Face3DMMError: LiteRT is not installed, a network is missing, or the scheme is unknown.
        """
        check_scheme(scheme)

        def network(name: str) -> Path:
            return package_file(f"resource/landmark_models/{name}.tflite")

        self.scheme = scheme
        self.parallel = True
        self._short_range = BlazeFace(network("face_detection_short_range"), SHORT_RANGE, min_score)
        self._full_range = BlazeFace(network("face_detection_full_range_sparse"), FULL_RANGE, min_score)
        self._face_mesh = Network(network("face_landmarks_detector"), (0.0, 1.0))

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        """All faces in a (H, W, 3) BGR image, the surest first.

        Short range misses most faces below a tenth of the image's width, full range some of the nearest: both look.
        """
        near = _detections(self._short_range.detect(image))
        far = _detections(self._full_range.detect(image))
        new = [face for face in far if all(face.region.overlap(other.region) < _SAME_FACE for other in near)]
        return sorted(near + new, key=lambda detection: -detection.score)

    def locate(self, image: NDArray[np.uint8], region: Region, before: LocatedFace | None = None) -> LocatedFace:
        """478 points of the face in a region of a (H, W, 3) BGR image; see `LandmarkBackend`."""
        landmarks = self.look(image, region)
        points = landmarks.points
        across = points[_LEFT_EYE_CORNER] - points[_RIGHT_EYE_CORNER]
        next_region = region_around(points[:SKIN_COUNT], math.atan2(across[1], across[0]), REGION_SCALE)
        return LocatedFace(convert(landmarks, self.scheme), next_region)

    def look(self, image: NDArray[np.uint8], region: Region) -> Landmarks:
        """The 478 points of the face in a region, without the region of the next image.

        Raises:
            Face3DMMError: the region does not touch the image.
        """
        side, image_size = self._face_mesh.side, (image.shape[1], image.shape[0])
        # The third output rises for tongues and wide open mouths alike, so that it tells neither.
        surface, presence, _ = self._face_mesh.run(region.crop(image, side))
        points, depth = _in_image(surface.reshape(-1, 3), region.crop_to_image(side), region.size / side)
        return Landmarks(
            scheme=MEDIAPIPE478,
            points=points,
            box=region.box(image_size),
            # 1 / (1 + e⁻ˣ), which never overflows so; in single precision, as messages carry it.
            confidence=float(np.float32(0.5 + 0.5 * math.tanh(0.5 * float(presence)))),
            image_size=image_size,
            depth=depth,
        )


@compiled
def _in_image(
    surface: NDArray[np.float32], crop_to_image: NDArray[np.float64], scale: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Points (N, 3), px of the crop, in px of the image: (N, 2) and their depth (N,)."""
    points, depth = np.empty((len(surface), 2), np.float32), np.empty(len(surface), np.float32)
    for point in range(len(surface)):
        x, y = surface[point, 0], surface[point, 1]
        for axis in range(2):
            points[point, axis] = crop_to_image[axis, 0] * x + crop_to_image[axis, 1] * y + crop_to_image[axis, 2]
        depth[point] = scale * surface[point, 2]
    return points, depth


def _detections(faces: BlazeFaces) -> list[Detection]:
    """BlazeFace's answers with their regions for Face Mesh: the box enlarged, and turned by the line of the eyes."""
    detections = []
    for score, corners, keypoints in zip(faces.scores, faces.boxes, faces.keypoints, strict=True):
        left, top, right, bottom = (float(edge) for edge in corners)
        across = keypoints[LEFT_EYE] - keypoints[RIGHT_EYE]
        region = Region(
            x=(left + right) / 2.0,
            y=(top + bottom) / 2.0,
            size=REGION_SCALE * max(right - left, bottom - top),
            angle=float(np.arctan2(across[1], across[0])),
        )
        detections.append(Detection(Box(left, top, right - left, bottom - top), float(score), region))
    return detections

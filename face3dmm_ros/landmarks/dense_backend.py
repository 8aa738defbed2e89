"""The dense backend: every face is looked at twice, and what is seen is averaged by inverse variance.

Face Mesh knows real faces well from the front and gives up on profiles; the dense network has been trained on every
yaw, but on synthetic faces alone. From the front both look, Face Mesh's points after its known errors are undone; from
the side the dense network looks again, at the mirror image.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.files import package_file
from face3dmm_ros.landmarks.backend import Detection, LocatedFace
from face3dmm_ros.landmarks.dense_network import MARGIN, SIDE, DenseNetwork, upright_region
from face3dmm_ros.landmarks.expression_reader import ExpressionReader
from face3dmm_ros.landmarks.face_mesh_response import FaceMeshResponse, yaw_degrees
from face3dmm_ros.landmarks.facemesh import REGION_SCALE, FaceMeshBackend, check_scheme
from face3dmm_ros.landmarks.region import Region
from face3dmm_ros.landmarks.schemes import MEDIAPIPE468, convert
from face3dmm_ros.values import Landmarks

_FROM_THE_SIDE = (40.0, 50.0)
"""Degrees of yaw from which on the mirror image is looked at, and from which on instead of Face Mesh."""
_TRUST_FROM_THE_FRONT = (10.0, 30.0), (0.4, 1.0)
"""Degrees of yaw, and the share of Face Mesh's deviation that counts there.

The deviation was measured on rendered faces. On photographs Face Mesh errs less from the front, and follows lids, lips
and brows twice as far as the dense network does.
"""
_INNER = MARGIN / REGION_SCALE
_BORDER = round(SIDE * (1.0 / _INNER - 1.0) / 2.0)
"""Of Face Mesh's crop around the dense network's, px."""
_GIVES_UP = 0.2
"""Face Mesh's confidence below which its points are left out."""


class DenseBackend:
    """BlazeFace, Face Mesh and the dense network. `scheme` is ``mediapipe468`` or its subset ``ibug68``."""

    def __init__(self, scheme: str = MEDIAPIPE468, min_score: float = 0.35, num_threads: int = 1) -> None:
        """Load the networks that ship with the package.

        Raises:
            Face3DMMError: LiteRT is not installed, a network is missing, or the scheme is unknown.
        """
        check_scheme(scheme)
        self.scheme = scheme
        self._face_mesh = FaceMeshBackend(min_score=min_score, num_threads=num_threads)
        self._network = DenseNetwork(package_file("resource/landmark_models/dense.tflite"), num_threads)
        self._reader = ExpressionReader.load(package_file("resource/landmark_models/expression_reader.npz"))
        self._response = FaceMeshResponse.load(package_file("resource/landmark_models/face_mesh_response.npz"))

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        """All faces in a (H, W, 3) BGR image, the surest first."""
        return self._face_mesh.detect(image)

    def locate(self, image: NDArray[np.uint8], region: Region) -> LocatedFace:
        """468 points of the face in a region of a (H, W, 3) BGR image; see `LandmarkBackend`."""
        image_size = (image.shape[1], image.shape[0])
        crop = region.crop(image, self._face_mesh.side)
        # The face is as large in both networks' crops: the middle of the one is the other.
        inner, inner_region = crop[_BORDER:-_BORDER, _BORDER:-_BORDER], replace(region, size=region.size * _INNER)
        dense = self._network.locate_in_crop(inner, inner_region)
        view = self._response.view(dense.points, dense.depth)
        yaw = abs(yaw_degrees(view.rotation))
        aside = float(np.interp(yaw, _FROM_THE_SIDE, (0.0, 1.0)))
        expression = self._reader.read(dense.features) if aside < 1.0 else None
        if aside > 0.0:
            mirrored = self._network.locate_in_crop(inner, inner_region, self._response.mirror)
            dense = dense.mixed(mirrored, aside / 2.0)
        points, deviation = dense.points, dense.deviation
        if aside < 1.0:
            mesh = self._face_mesh.locate_in_crop(crop, image_size, region).landmarks
            if mesh.confidence >= _GIVES_UP:
                mesh_points, mesh_deviation = self._response.undo(mesh.points, view)
                mesh_deviation = mesh_deviation * np.float32(np.interp(yaw, *_TRUST_FROM_THE_FRONT))
                weight = np.float32(1.0 - aside) * deviation**2 / (deviation**2 + mesh_deviation**2)
                points = points + weight[:, None] * (mesh_points - points)
                deviation = np.sqrt((1.0 - weight) ** 2 * deviation**2 + weight**2 * mesh_deviation**2)
        landmarks = Landmarks(
            scheme=MEDIAPIPE468,
            points=points,
            box=region.box(image_size),
            confidence=dense.confidence,
            image_size=image_size,
            depth=dense.depth,
            deviation=deviation,
            expression=expression,
            expression_deviation=None
            if expression is None
            else self._reader.deviation / np.float32(1.0 - aside) ** 0.5,
        )
        return LocatedFace(convert(landmarks, self.scheme), upright_region(points, REGION_SCALE))

"""The dense backend: Face Mesh and the dense network look at a face together, each trusted where it is good.

Face Mesh knows real faces well from the front and gives up on profiles; the dense network has seen every yaw, but only
synthetic faces. Their points are averaged by inverse variance, Face Mesh's after its known errors are undone.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.files import package_file
from face3dmm_ros.landmarks.backend import Detection, LocatedFace
from face3dmm_ros.landmarks.dense_network import MARGIN, DenseNetwork, DensePoints, upright_region
from face3dmm_ros.landmarks.face_mesh_response import FaceMeshResponse
from face3dmm_ros.landmarks.facemesh import REGION_SCALE, FaceMeshBackend, check_scheme
from face3dmm_ros.landmarks.region import Region
from face3dmm_ros.landmarks.schemes import MEDIAPIPE468, convert
from face3dmm_ros.values import Landmarks

_NETWORK_TRUST = 2.0
"""Photographs differ from what the network was trained on: its deviations are enlarged by this."""
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
        self._network = DenseNetwork(package_file("resource/landmark_models/dense.onnx"))
        self._response = FaceMeshResponse.load(package_file("resource/landmark_models/face_mesh_response.npz"))

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        """All faces in a (H, W, 3) BGR image, the surest first."""
        return self._face_mesh.detect(image)

    def locate(self, image: NDArray[np.uint8], region: Region) -> LocatedFace:
        """468 points of the face in a region of a (H, W, 3) BGR image; see `LandmarkBackend`."""
        mesh = self._face_mesh.locate(image, region).landmarks
        dense = self._network.locate(image, replace(region, size=region.size * MARGIN / REGION_SCALE))
        landmarks = self._together(mesh, dense)
        return LocatedFace(convert(landmarks, self.scheme), upright_region(landmarks.points, REGION_SCALE))

    def _together(self, mesh: Landmarks, dense: DensePoints) -> Landmarks:
        """Both detectors' points of one face as one."""
        deviation = _NETWORK_TRUST * dense.deviation
        points = dense.points
        if mesh.confidence >= _GIVES_UP:
            view = self._response.view(dense.points, dense.depth)
            mesh_points, mesh_deviation = self._response.undo(mesh.points, view)
            weight = deviation**2 / (deviation**2 + mesh_deviation**2)
            points = points + weight[:, None] * (mesh_points - points)
            deviation = np.sqrt(weight) * mesh_deviation
        confidence = max(mesh.confidence, dense.confidence)
        return replace(mesh, points=points, depth=dense.depth, deviation=deviation, confidence=confidence)

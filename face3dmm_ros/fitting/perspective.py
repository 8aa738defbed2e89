"""Faces under full perspective, where the camera is calibrated.

Weak perspective does not hold for a near face: its nose is nearer than its ears by a good part of the distance, which a
fit takes for a larger nose and a turned head. So the landmarks are first moved to their scaled orthographic image,
x′ = f·(X/Z)·(Z/Z₀), as in POSIT (DeMenthon & Davis, IJCV 1995). With the depths Z of the fitted face, the weak
perspective fit of x′ is the full perspective fit of x.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.calibration import Calibration
from face3dmm_ros.core.camera import MetricPose, metric_position
from face3dmm_ros.core.face_memory import FaceMemory
from face3dmm_ros.core.values import FaceParameters, Landmarks, TrackedFace, TrackedLandmarks
from face3dmm_ros.fitting.observation import in_a_known_scheme
from face3dmm_ros.fitting.track_fitter import TrackFitter
from face3dmm_ros.morphable_model.model import MorphableModel

_FIRST_PASSES = 3
"""Fits of a face's first image, each with the depths of the one before; chosen by hand: each costs a fit."""
_NEAREST = 0.2
"""Lower limit of Z/Z₀; chosen by hand: no part of a face is so much nearer than the face, so such depths are wrong."""


@dataclass(frozen=True, eq=False)
class PerspectiveFace:
    """A face in the camera's space.

    Attributes:
        parameters: α, β, and the scaled orthographic camera of the moved landmarks, from which `pose` follows, at the
            model's size; not for an overlay, since the image shows the landmarks elsewhere.
        pose: model to camera.
    """

    parameters: FaceParameters
    pose: MetricPose


class PerspectiveFitter(FaceMemory[NDArray[np.float64]]):
    """Fits tracked faces under full perspective, each with a memory of its own.

    On a face's first image a few fits settle its depths; later images use those of the last one and need one fit.
    """

    def __init__(self, fitter: TrackFitter) -> None:
        """Fit by a fitter, which this one must have to itself."""
        super().__init__()
        self._fitter = fitter

    def fit(self, face: TrackedFace, calibration: Calibration) -> PerspectiveFace:
        """A face, fitted in weak perspective, under full perspective.

        Raises:
            Face3DMMError: the calibration is for images of another size, or the landmarks make no face under it.
        """
        landmarks = face.landmarks
        calibration.require_size(landmarks.image_size)
        model = self._fitter.model
        landmarks = in_a_known_scheme(landmarks, model)
        rays = calibration.rays(landmarks.points)
        depths = self._faces.get(face.face_id)
        if depths is not None and len(depths) == len(rays):
            fitted = self._fit_at(face.face_id, landmarks, rays, depths, calibration)
        else:
            fitted = PerspectiveFace(face.parameters, calibration.pose(face.parameters.camera))
            for _ in range(_FIRST_PASSES):
                # Each of these fits begins anew, so that the image counts once for the identity.
                self._fitter.retain(self._faces.keys() - {face.face_id})
                depths = relative_depths(model, landmarks.scheme, fitted)
                fitted = self._fit_at(face.face_id, landmarks, rays, depths, calibration)
        self._faces[face.face_id] = relative_depths(model, landmarks.scheme, fitted)
        return replace(fitted, parameters=replace(fitted.parameters, gamma=face.parameters.gamma))

    def retain(self, face_ids: Collection[int]) -> None:
        """Forget all faces but these."""
        super().retain(face_ids)
        self._fitter.retain(face_ids)

    def reset(self) -> None:
        """Forget all faces."""
        super().reset()
        self._fitter.reset()

    def _fit_at(
        self,
        face_id: int,
        landmarks: Landmarks,
        rays: NDArray[np.float64],
        depths: NDArray[np.float64],
        calibration: Calibration,
    ) -> PerspectiveFace:
        """Fit with landmarks at depths Z/Z₀, (N,)."""
        intrinsics = calibration.intrinsics
        center = np.array([intrinsics.center_x, intrinsics.center_y])
        moved = center + intrinsics.focal * rays * depths[:, None]
        parameters = self._fitter.fit(TrackedLandmarks(face_id, replace(landmarks, points=moved.astype(np.float32))))
        # Of the scaled orthographic image R is the head's in the camera itself, not relative to its viewing ray.
        camera = parameters.camera
        return PerspectiveFace(parameters, MetricPose(camera.rotation, metric_position(camera, intrinsics)))


def relative_depths(model: MorphableModel, scheme: str, face: PerspectiveFace) -> NDArray[np.float64]:
    """Z/Z₀ of a face's landmarks, (N,): how far they are from the camera, over how far the model's origin is."""
    points = model.scheme(scheme).interpolate(model.vertices(face.parameters.alpha, face.parameters.beta))
    depths = face.pose.transform(points)[:, 2] / face.pose.position[2]
    return np.maximum(depths, _NEAREST).astype(np.float64)

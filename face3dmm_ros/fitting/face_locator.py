"""Where fitted faces are in the camera's space, metres."""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.calibration import Calibration
from face3dmm_ros.core.camera import Intrinsics, MetricPose, metric_pose
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.face_frames import face_frame, gaze_frame
from face3dmm_ros.core.values import AVERAGE_HEAD, FaceParameters, HeadScale, TrackedFace
from face3dmm_ros.fitting.head_scale import HeadScaler
from face3dmm_ros.fitting.perspective import PerspectiveFace, PerspectiveFitter
from face3dmm_ros.morphable_model.model import MorphableModel

_SELLION = 27
"""iBUG's point on the bridge of the nose, between the eyes."""


@dataclass(frozen=True, eq=False)
class LocatedFace:
    """A face in the camera's space.

    Attributes:
        face_id: which face.
        parameters: in weak perspective, as seen in the image.
        placed: the same face in space: α, β there, and the pose from model to camera.
        frame: its frame by REP-155 in the camera, m: x out of the face, z up, the origin at the sellion.
        scale: how large the head is, and how that is known.
        camera: the calibrated camera before which it was located; None where that is a guess.
    """

    face_id: int
    parameters: FaceParameters
    placed: PerspectiveFace
    frame: MetricPose
    scale: HeadScale = AVERAGE_HEAD
    camera: Calibration | None = None

    @property
    def is_finite(self) -> bool:
        """Whether all its numbers are finite."""
        pose, scale = self.placed.pose, self.scale
        found = [self.frame.position, pose.position, pose.rotation, np.array([scale.factor, scale.deviation])]
        for seen in (self.parameters, self.placed.parameters):
            camera = seen.camera
            found += [camera.rotation, camera.translation, np.array([camera.scale, seen.residual_px, seen.confidence])]
            found += [seen.alpha, seen.beta, seen.gamma, seen.gaze, seen.beta_deviation]
        return bool(np.isfinite(np.concatenate([numbers.ravel() for numbers in found])).all())

    @property
    def gaze(self) -> NDArray[np.float64]:
        """Where the left eye, the right eye and both look in the camera's space, (3, 3) unit rows; (0, 3) where the
        model has no eyes that turn."""
        # The parameters' gaze is relative to the viewing ray, as R is.
        return self.parameters.gaze @ self.parameters.camera.rotation @ self.placed.pose.rotation.T

    @property
    def gaze_frame(self) -> MetricPose:
        """The frame of where both eyes look, by REP-155; straight ahead where the model has no eyes that turn."""
        return gaze_frame(self.frame, self.gaze[2] if len(self.gaze) else None)


class FaceLocator:
    """Finds where tracked faces are: under full perspective before a calibrated camera, if it has a fitter for that.

    Heads are taken for those of average size until depth tells better.
    """

    def __init__(self, model: MorphableModel, perspective: PerspectiveFitter | None) -> None:
        """Locate faces of a model."""
        self._perspective = perspective
        self._scaler = HeadScaler(model)
        sellion = model.landmarks["ibug68"].at(slice(_SELLION, _SELLION + 1)) if "ibug68" in model.landmarks else None
        self._sellion = None if sellion is None else model.at_points(sellion)

    def locate(self, face: TrackedFace, camera: Calibration | Intrinsics) -> LocatedFace:
        """A face, fitted in weak perspective, in the space of a camera, calibrated or a guess.

        Raises:
            Face3DMMError: the calibration is for images of another size, or the landmarks make no face under it.
        """
        parameters = face.parameters
        if isinstance(camera, Intrinsics):
            placed = PerspectiveFace(parameters, metric_pose(parameters.camera, camera))
        elif self._perspective is not None:
            placed = self._perspective.fit(face, camera)
        else:
            camera.require_size(parameters.image_size)
            placed = PerspectiveFace(parameters, camera.pose(parameters.camera))
        # The origin between the eyeballs stands for the sellion of a model of which that is not known.
        sellion = np.zeros(3) if self._sellion is None else self._sellion.neutral(placed.parameters.alpha)[0]
        scale = self._scaler.scale(face.face_id, placed.parameters)
        placed = replace(placed, pose=placed.pose.resized(scale.factor))
        calibrated = camera if isinstance(camera, Calibration) else None
        return LocatedFace(face.face_id, parameters, placed, face_frame(placed.pose, sellion), scale, calibrated)

    def measure(self, face: LocatedFace, depth: NDArray[np.float32]) -> None:
        """Take the size of a located face from a depth image, (H, W) m, for the images to come.

        Raises:
            Face3DMMError: the camera is not calibrated, the depth image has another size than its images, or shows no
                head there.
        """
        if face.camera is None:
            raise Face3DMMError("the camera is not calibrated")
        self._scaler.measure(face.face_id, face.placed, face.camera, depth)

    def retain(self, face_ids: Collection[int]) -> None:
        """Forget all faces but these."""
        self._scaler.retain(face_ids)
        if self._perspective is not None:
            self._perspective.retain(face_ids)

    def reset(self) -> None:
        """Forget all faces, as for another camera."""
        self._scaler.reset()
        if self._perspective is not None:
            self._perspective.reset()

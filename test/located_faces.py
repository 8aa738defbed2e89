"""Faces in the space of a camera, as the fitter node publishes them."""

from face3dmm_ros.core.camera import Intrinsics
from face3dmm_ros.core.values import FaceParameters, TrackedFace
from face3dmm_ros.fitting.face_locator import FaceLocator, LocatedFace
from face3dmm_ros.morphable_model import MorphableModel


def located(model: MorphableModel, parameters: FaceParameters, face_id: int = 0) -> LocatedFace:
    """A face before a camera of 60° field of view."""
    camera = Intrinsics.from_field_of_view(parameters.image_size, 60.0)
    return FaceLocator(model, None).locate(TrackedFace(face_id, None, parameters), camera)

"""A trained regressor on the faces of images: landmarks place the crop, the network takes everything else from it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.values import FaceParameters, Landmarks
from face3dmm_ros.fitting.confidence import fit_confidence
from face3dmm_ros.landmarks.schemes import IBUG68, convert
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.photometric.torch_threads import one_torch_thread
from face3dmm_ros.regressor.crops import IBUG68_MIRROR, SIDE, CropView, face_region
from face3dmm_ros.regressor.export import Archive, load_archive, load_torchscript
from face3dmm_ros.regressor.face_regressor import parameter_batch
from face3dmm_ros.regressor.landmark_map import landmark_maps

METHOD = "regressor"


@dataclass(frozen=True, eq=False)
class RegressedFace:
    """A network's output for a face.

    Attributes:
        parameters: coefficients that it does not regress are 0, and γ is empty where it regresses none at all.
            `residual_px` is the RMS distance of the model's iBUG points from the landmarks that placed the crop.
        points: (68, 2) iBUG points that the network regresses itself, px; None where it regresses none.
        deviation: (68,) the standard deviation of their coordinates, px; None where `points` is.
    """

    parameters: FaceParameters
    points: NDArray[np.float64] | None
    deviation: NDArray[np.float64] | None


class ImageRegressor:
    """A regressor for one face model."""

    def __init__(self, model: MorphableModel, archive: Archive) -> None:
        """Run an archive whose coefficients are this model's.

        Raises:
            Face3DMMError: it regresses no pose, gives more coefficients than the model has, or the model has no iBUG
                points.
        """
        layout = archive.description.layout
        if not layout.has_pose:
            raise Face3DMMError(
                "the regressor tells who somebody is but not where the face is (its layout has no pose), so that no "
                "face can be fitted with it: choose one that was trained with 'rotation: 6d' or 'matrix'"
            )
        given = layout.shape_count, layout.expression_count, layout.texture_count
        there = model.shape_count, model.expression_count, len(model.albedo_sigma)
        if any(count > known for count, known in zip(given, there, strict=True)):
            raise Face3DMMError(
                f"the regressor gives {given[0]} shape, {given[1]} expression and {given[2]} texture coefficients, the "
                f"model {model.name} has {there[0]}, {there[1]} and {there[2]}"
            )
        self.model = model
        self._module, self._description = archive.module, archive.description
        self._points = model.at_points(model.scheme(IBUG68))

    def regress(self, image: NDArray[np.uint8], landmarks: Landmarks) -> RegressedFace:
        """The face at some landmarks.

        Args:
            image: (H, W, 3) uint8 BGR.
            landmarks: of the face in it, in iBUG's scheme or one that it can be read from.

        Raises:
            Face3DMMError: the landmarks make no face, lie outside of the image, or are of another scheme; or the
                network's answer is not finite.
        """
        points = convert(landmarks, IBUG68).points
        view = CropView(face_region(points, self._description.crop_margin))
        inputs = [torch.from_numpy(view.pixels(image)[None])]
        if self._description.inputs == 4:
            inputs.append(landmark_maps(torch.from_numpy(view.points(points, IBUG68_MIRROR)[None])))
        with torch.inference_mode(), one_torch_thread():
            face = parameter_batch(self._module(*inputs))
        in_crop = WeakPerspective(float(face.scale[0]), _array(face.rotation), _array(face.translation))
        camera = view.camera_in_picture(in_crop)
        alpha = _filled_up(_array(face.alpha), self.model.shape_count)
        beta = _filled_up(_array(face.beta), self.model.expression_count)
        beta = np.clip(beta, *self.model.expression_bounds)
        gamma = _array(face.gamma)
        if len(gamma):
            gamma = _filled_up(gamma, len(self.model.albedo_sigma))
        numbers = (camera.scale, camera.rotation, camera.translation, alpha, beta, gamma)
        if not all(np.isfinite(values).all() for values in numbers):
            raise Face3DMMError("the regressor's answer is not finite: its weights do not fit such a picture")
        parameters = FaceParameters(
            camera=camera,
            alpha=alpha,
            beta=beta,
            model=self.model.name,
            model_digest=self.model.digest,
            method=METHOD,
            residual_px=_rms(self.points(camera, alpha, beta) - points),
            confidence=fit_confidence(landmarks, camera, METHOD),
            image_size=landmarks.image_size,
            gamma=gamma,
            gaze=self.model.gaze(camera.rotation, beta),
        )
        return RegressedFace(
            parameters,
            None if face.landmarks is None else view.points_in_picture(_array(face.landmarks), IBUG68_MIRROR),
            None if face.deviation is None else _array(face.deviation) * (view.region.size / SIDE),
        )

    def points(
        self, camera: WeakPerspective, alpha: NDArray[np.float64], beta: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The model's iBUG points in the image, (68, 2) px."""
        return camera.project(self._points.points(alpha, beta))


def open_regressor(model: MorphableModel, path: Path, sha256: str = "") -> ImageRegressor:
    """A regressor by its file.

    Args:
        model: the face model that its parameters are wanted for.
        path: of weights (.safetensors) or of a TorchScript archive.
        sha256: of a TorchScript archive, which is opened only if it has this one.

    Raises:
        Face3DMMError: no such file, one that is not a regressor, of another version or for another face model, or an
            archive with another hash.
    """
    if path.suffix == ".safetensors":
        return ImageRegressor(model, load_archive(path, model.digest))
    return ImageRegressor(model, load_torchscript(path, sha256, model.digest))


def _array(batch_of_one: torch.Tensor) -> NDArray[np.float64]:
    return batch_of_one[0].numpy().astype(np.float64)


def _filled_up(leading: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """So many coefficients, of which those after the leading ones are 0."""
    return np.concatenate([leading, np.zeros(count - len(leading))])


def _rms(difference: NDArray[np.float64]) -> float:
    return float(np.sqrt((difference**2).sum(axis=1).mean()))

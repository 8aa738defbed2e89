"""Data sets of photographs turned, from a folder of anyone's photographs; see `profiles`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.progress_bar import progress_bar
from face3dmm_ros.core.rotations import FRONTAL, rotation_angle
from face3dmm_ros.core.values import FaceParameters, TrackedFace
from face3dmm_ros.files.pictures import read_picture
from face3dmm_ros.fit_methods import create_fitter
from face3dmm_ros.fitting.albedo import PersonColors
from face3dmm_ros.lab.synthesis.dataset import keep_record, label, write_picture
from face3dmm_ros.lab.synthesis.profiles import ReliefRenderer, TurnedPicture, random_turn
from face3dmm_ros.lab.synthesis.random_scene import SceneOptions
from face3dmm_ros.lab.synthesis.relief import make_relief
from face3dmm_ros.landmarks import LandmarkTracker, create_backend
from face3dmm_ros.morphable_model import MorphableModel
from face3dmm_ros.pipeline import FacePipeline
from face3dmm_ros.rendering.texture import unwrap

# Chosen by hand.
_MOST_TURNED = 35.0  # degrees from frontal: of a face that is turned farther too much is hidden
_LEAST_CONFIDENCE = 0.5  # of the fit: below, its labels are more likely wrong than right
_SMALLEST = 0.4  # px/mm: a face 60 px high; a smaller one is a blur once turned


@dataclass(frozen=True, eq=False)
class FittedPhotograph:
    """A photograph, or its mirror image, with its face.

    Attributes:
        path: of the photograph.
        mirrored: whether this is the mirror image.
        parameters: of the face in it.
    """

    path: Path
    mirrored: bool
    parameters: FaceParameters

    def image(self) -> NDArray[np.uint8]:
        """The pixels, (H, W, 3) BGR uint8.

        Raises:
            Face3DMMError: the file has become unreadable.
        """
        return _mirrored(read_picture(self.path, upright=True), self.mirrored)


class PhotographFitter:
    """Fits the largest face of single photographs, as `face3dmm fit` does."""

    def __init__(self, model: MorphableModel) -> None:
        """Load the landmark networks."""
        tracker = LandmarkTracker(create_backend(), max_faces=20)
        self._pipeline = FacePipeline(tracker, create_fitter(model, "joint"), colors=PersonColors(model))

    def fit(self, path: Path, mirrored: bool) -> FittedPhotograph:
        """Fit a photograph or its mirror image.

        Raises:
            Face3DMMError: it cannot be read, or shows no face that can be turned.
        """
        self._pipeline.reset()
        faces = self._pipeline.process(_mirrored(read_picture(path, upright=True), mirrored))
        if not faces:
            raise Face3DMMError("it shows no face")
        parameters = max(faces, key=_size).parameters
        turned = np.degrees(rotation_angle(parameters.camera.rotation, FRONTAL))
        if turned > _MOST_TURNED:
            raise Face3DMMError(f"its face is turned by {turned:.0f}°, more than {_MOST_TURNED:.0f}°")
        if parameters.confidence < _LEAST_CONFIDENCE:
            raise Face3DMMError(f"the fit's confidence is {parameters.confidence:.2f}, below {_LEAST_CONFIDENCE}")
        if parameters.camera.scale < _SMALLEST:
            raise Face3DMMError(f"its face has {parameters.camera.scale:.2f} px per mm, fewer than {_SMALLEST}")
        return FittedPhotograph(path, mirrored, parameters)


def fit_photographs(
    paths: Sequence[Path], model: MorphableModel, leave_out: Callable[[Path, Face3DMMError], None]
) -> list[FittedPhotograph]:
    """Fit photographs and, after them, their mirror images.

    Args:
        paths: of the photographs.
        model: of the fits.
        leave_out: told of each photograph without a face that can be turned, and why.

    Raises:
        Face3DMMError: there is none that can be turned.
    """
    fitter = PhotographFitter(model)
    fitted, mirror_images = [], []
    for path in progress_bar(paths, unit="photograph"):
        try:
            both = [fitter.fit(path, mirrored) for mirrored in (False, True)]
        except Face3DMMError as error:
            leave_out(path, error)
            continue
        fitted.append(both[0])
        mirror_images.append(both[1])
    if not fitted:
        raise Face3DMMError(f"none of the {len(paths)} pictures shows a face that can be turned")
    return fitted + mirror_images


def write_profiles(
    folder: Path,
    photographs: Sequence[FittedPhotograph],
    model: MorphableModel,
    options: SceneOptions,
    count: int,
    seed: int = 0,
    suffix: str = "jpg",
) -> int:
    """Write the turned pictures that are not there yet, and return how many these were.

    Every picture depends on the seed, its own number and the photographs alone, so that a run that was stopped goes on
    where it was. The photographs take turns.

    Args:
        folder: made if missing.
        photographs: with their fits.
        model: of these.
        options: size of the pictures, place of the face in them, and range of the angles.
        count: how many pictures the folder is to hold.
        seed: of all that is random.
        suffix: ``jpg`` or ``png``.

    Raises:
        Face3DMMError: no OpenGL, the folder was made with other options, or cannot be written to.
    """
    keep_record(folder, _record(photographs, model, options, seed, suffix))
    unwrapping, written = unwrap(model), 0
    with ReliefRenderer(model) as renderer, progress_bar(total=count, unit="picture") as bar:
        for first, photograph in enumerate(photographs):
            names = {index: folder / f"turned{index:06d}.{suffix}" for index in range(first, count, len(photographs))}
            missing = {index: path for index, path in names.items() if not path.with_suffix(".mat").exists()}
            bar.update(len(names) - len(missing))
            if not missing:
                continue
            relief = make_relief(photograph.image(), photograph.parameters, model, unwrapping)
            for index, path in missing.items():
                turn = random_turn(np.random.default_rng([seed, index]), photograph.parameters.camera, options)
                turned = renderer.render(relief, turn, options.image_size)
                write_picture(path, turned.image, _truth(model, photograph, turned))
                written += 1
                bar.update()
    return written


def _truth(model: MorphableModel, photograph: FittedPhotograph, turned: TurnedPicture) -> dict[str, NDArray | str]:
    """The content of a turned picture's .mat, as `dataset` describes it, and the fit's confidence and photograph."""
    fitted = photograph.parameters
    values = label(model, turned.camera, turned.landmarks, fitted.alpha, fitted.beta, fitted.gamma)
    values["visibility"] = turned.visibility
    values["confidence"] = np.array(fitted.confidence)
    values["photograph"] = photograph.path.name
    return values


def _record(
    photographs: Sequence[FittedPhotograph], model: MorphableModel, options: SceneOptions, seed: int, suffix: str
) -> dict[str, object]:
    used = ("image_size", "max_yaw", "max_pitch", "max_roll", "face_share", "off_center")
    return {
        "seed": seed,
        "suffix": suffix,
        "model": model.name,
        "model_digest": model.digest,
        "profiles": {name: getattr(options, name) for name in used},
        "photographs": [photograph.path.name for photograph in photographs if not photograph.mirrored],
    }


def _mirrored(image: NDArray[np.uint8], mirrored: bool) -> NDArray[np.uint8]:
    return np.ascontiguousarray(image[:, ::-1]) if mirrored else image


def _size(face: TrackedFace) -> float:
    return float(np.ptp(face.landmarks.points, axis=0).prod())

"""The fit methods by their names: the same words on the command line, as node parameter and in messages."""

from dataclasses import dataclass

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.fitting import LANDMARK_METHODS, FitOptions, TrackFitter
from face3dmm_ros.fitting.face_fitter import FaceFitter
from face3dmm_ros.fitting.perspective import PerspectiveFitter
from face3dmm_ros.morphable_model import MorphableModel

REGRESSOR_METHODS = ("regressor", "regressor+fit")
"""Methods that run a trained network on the pixels: its answer as it is, or a landmark fit that it guides."""
FIT_METHODS = (*LANDMARK_METHODS, *REGRESSOR_METHODS)
"""All methods that work on a stream, the default first."""
SHIPPED = "default"
"""The name of the regressor that comes with the package."""


@dataclass(frozen=True)
class RegressorFile:
    """Which network the methods of `REGRESSOR_METHODS` run.

    Attributes:
        path: ``default`` for the one that ships, weights (.safetensors), or a TorchScript archive.
        sha256: of a TorchScript archive, which is code: it is opened only if its hash is this.
    """

    path: str = SHIPPED
    sha256: str = ""


def create_fitter(
    model: MorphableModel,
    method: str = FIT_METHODS[0],
    regressor: RegressorFile | None = None,
    options: FitOptions | None = None,
) -> FaceFitter:
    """A fit method by its name. torch is imported only for methods that run a network.

    Args:
        model: the face model.
        method: one of `FIT_METHODS`.
        regressor: the network, of the methods that have one; the shipped one if None.
        options: of the fit to landmarks, of the methods that have one.

    Raises:
        Face3DMMError: an unknown method, torch is not installed, or the network cannot be used with this model.
    """
    if method not in FIT_METHODS:
        raise Face3DMMError(f"unknown fit method {method!r}; known: {', '.join(FIT_METHODS)}")
    options = options or FitOptions()
    if method in LANDMARK_METHODS:
        return TrackFitter(model, method, options)
    try:
        from face3dmm_ros.regressor.guided_fitter import GuidedFitter
        from face3dmm_ros.regressor.image_regressor import open_regressor
        from face3dmm_ros.regressor.regressor_fitter import RegressorFitter
        from face3dmm_ros.regressor.weights_file import regressor_path
    except ImportError as error:
        raise Face3DMMError(
            f"the fit method {method} needs {error.name}, which is not installed: `make torch`, or pip install torch "
            "safetensors"
        ) from error
    regressor = regressor or RegressorFile()
    opened = open_regressor(model, regressor_path(regressor.path), regressor.sha256)
    return RegressorFitter(opened) if method == "regressor" else GuidedFitter(opened, options)


def create_perspective_fitter(model: MorphableModel, method: str) -> PerspectiveFitter | None:
    """The fitter that repeats a method's landmark fit under full perspective, for calibrated cameras.

    None for methods whose shape comes from the pixels in weak perspective: there is no landmark fit to repeat.
    """
    if method in LANDMARK_METHODS:
        return PerspectiveFitter(TrackFitter(model, method))
    return PerspectiveFitter(TrackFitter(model)) if method == "regressor+fit" else None

"""What a face is: the linear model and its file formats."""

from pathlib import Path

from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.core.user_path import user_path
from face3dmm_ros.morphable_model.formats.npz_file import SHIPPED, save_npz
from face3dmm_ros.morphable_model.formats.npz_file import load as load_npz
from face3dmm_ros.morphable_model.formats.registry import read_model
from face3dmm_ros.morphable_model.model import Contour, MorphableModel, PointModel, SurfacePoints
from face3dmm_ros.morphable_model.side_file import with_side_file

__all__ = [
    "Contour",
    "MorphableModel",
    "PointModel",
    "SurfacePoints",
    "load_model",
    "model_path",
    "save_npz",
]


def load_model(name_or_path: str) -> MorphableModel:
    """The model called ``default``, or the one in a file or folder of any format that is read (docs/models.md).

    Landmarks, outlines and regions that its file lacks come from its side file, if there is one.

    Raises:
        Face3DMMError: no such file, or not a model; or its side file is damaged or another model's.
    """
    path = model_path(name_or_path)
    return load_npz(path) if name_or_path == "default" else with_side_file(read_model(path), path)


def model_path(name_or_path: str) -> Path:
    """Where a model is, as `load_model` takes it; `~` is a home.

    Raises:
        Face3DMMError: it cannot be a path.
    """
    return package_file(SHIPPED) if name_or_path == "default" else user_path(name_or_path)

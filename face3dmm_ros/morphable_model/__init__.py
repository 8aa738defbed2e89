"""What a face is: the linear model and its file formats."""

from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.core.user_path import user_path
from face3dmm_ros.morphable_model.formats.npz_file import load as load_npz
from face3dmm_ros.morphable_model.formats.npz_file import save_npz
from face3dmm_ros.morphable_model.formats.registry import read_model
from face3dmm_ros.morphable_model.model import Contour, MorphableModel, PointModel, SurfacePoints

__all__ = [
    "Contour",
    "MorphableModel",
    "PointModel",
    "SurfacePoints",
    "load_model",
    "save_npz",
]


def load_model(name_or_path: str) -> MorphableModel:
    """The model called ``default``, or the one in a file or folder of any format that is read (docs/model.md).

    Raises:
        Face3DMMError: no such file, or not a model.
    """
    if name_or_path == "default":
        return load_npz(package_file("resource/default_model.npz"))
    return read_model(user_path(name_or_path))

"""What a face is: the linear model and its file formats."""

from pathlib import Path

from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.morphable_model.bfm_file import load_bfm_mat
from face3dmm_ros.morphable_model.model import Contour, MorphableModel, PointModel, SurfacePoints
from face3dmm_ros.morphable_model.npz_file import load_npz, save_npz

__all__ = [
    "Contour",
    "MorphableModel",
    "PointModel",
    "SurfacePoints",
    "load_bfm_mat",
    "load_model",
    "load_npz",
    "save_npz",
]


def load_model(name_or_path: str) -> MorphableModel:
    """The model called ``default``, or the one in a file: this package's .npz, or a .mat of the BFM layout.

    Raises:
        Face3DMMError: no such file, or not a model.
    """
    path = package_file("resource/default_model.npz") if name_or_path == "default" else Path(name_or_path)
    return load_bfm_mat(path) if path.suffix.lower() == ".mat" else load_npz(path)

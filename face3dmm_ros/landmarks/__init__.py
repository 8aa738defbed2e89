"""Image → 2D points: detectors, point schemes, tracking."""

import inspect
from collections.abc import Callable

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.landmarks.backend import Detection, LandmarkBackend, LocatedFace
from face3dmm_ros.landmarks.dense_backend import DenseBackend
from face3dmm_ros.landmarks.dlib_backend import DlibBackend
from face3dmm_ros.landmarks.facemesh import FaceMeshBackend
from face3dmm_ros.landmarks.region import Region
from face3dmm_ros.landmarks.tracker import LandmarkTracker
from face3dmm_ros.landmarks.trees_backend import TreesBackend

__all__ = [
    "BACKENDS",
    "DenseBackend",
    "Detection",
    "DlibBackend",
    "FaceMeshBackend",
    "LandmarkBackend",
    "LandmarkTracker",
    "LocatedFace",
    "Region",
    "TreesBackend",
    "create_backend",
]

_CLASSES: dict[str, Callable[..., LandmarkBackend]] = {
    "dense": DenseBackend,
    "facemesh": FaceMeshBackend,
    "trees": TreesBackend,
    "dlib": DlibBackend,
}

BACKENDS = tuple(_CLASSES)
"""The names that `create_backend` knows, the default first."""


def create_backend(name: str = "dense", **options: object) -> LandmarkBackend:
    """A landmark detector by its name, with the options of its class: `DenseBackend` and the others.

    Raises:
        Face3DMMError: the name or an option is unknown, or what the backend needs is not installed.
    """
    if name not in _CLASSES:
        raise Face3DMMError(f"there is no landmark backend {name!r}; choose one of {', '.join(BACKENDS)}")
    known = inspect.signature(_CLASSES[name]).parameters
    for option in options.keys() - known.keys():
        raise Face3DMMError(f"the {name} backend has no option {option!r}; it has {', '.join(known)}")
    return _CLASSES[name](**options)

"""3D morphable face model tracking for ROS 2: camera images in, 3DMM parameters, meshes and overlays out.

`FaceTracker` is the way in for Python.
"""

from importlib import import_module
from pkgutil import extend_path
from typing import TYPE_CHECKING

from face3dmm_ros.core.library_threads import limit_threads_unless_chosen

if TYPE_CHECKING:
    from face3dmm_ros.core.errors import Face3DMMError
    from face3dmm_ros.face_tracker import Face, FaceTracker

__all__ = ["Face", "Face3DMMError", "FaceTracker"]

# Run from a checkout, this folder shadows the installed package that holds the generated `face3dmm_ros.msg`.
__path__ = extend_path(__path__, __name__)

__version__ = "0.1.0"

_MODULES = {"Face": "face_tracker", "Face3DMMError": "core.errors", "FaceTracker": "face_tracker"}
"""Where each name of `__all__` comes from: imported when it is asked for, so that nothing else pays for it."""

limit_threads_unless_chosen()


def __getattr__(name: str) -> object:
    """A name of `__all__` (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)

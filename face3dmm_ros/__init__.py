"""3D morphable face model tracking for ROS 2: camera images in, 3DMM parameters, meshes and overlays out."""

from pkgutil import extend_path

from face3dmm_ros.core.library_threads import limit_threads_unless_chosen

# Run from a checkout, this folder shadows the installed package that holds the generated `face3dmm_ros.msg`.
__path__ = extend_path(__path__, __name__)

__version__ = "0.1.0"

limit_threads_unless_chosen()

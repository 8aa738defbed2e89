"""What the launch files share: arguments, and how arguments become nodes' parameters. Needs `launch` of ROS 2."""

from collections.abc import Sequence

from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.parameter_descriptions import ParameterValue

from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.fit_methods import FIT_METHODS, SHIPPED
from face3dmm_ros.landmarks import BACKENDS
from face3dmm_ros.landmarks.tracker import PREFERENCES
from face3dmm_ros.smoothing import SMOOTHING_METHODS


def argument(name: str, default: str, description: str, choices: Sequence[str] | None = None) -> DeclareLaunchArgument:
    """Declare a launch argument; without choices any value is allowed."""
    return DeclareLaunchArgument(name, default_value=default, description=description, choices=choices)


def parameter(name: str, kind: type = str) -> ParameterValue:
    """The value of a launch argument as a parameter of a type; a string also where it looks like a number."""
    return ParameterValue(LaunchConfiguration(name), value_type=kind)


TRACKING_ARGUMENTS = (
    argument("backend", "dense", "landmark detector", BACKENDS),
    argument("model", "default", "face model: default, or a .npz or BFM .mat file"),
    argument("fit_method", FIT_METHODS[0], "how to fit", FIT_METHODS),
    argument(
        "regressor",
        SHIPPED,
        "network of the regressor methods: default, weights (.safetensors), or a TorchScript archive",
    ),
    argument("regressor_sha256", "", "hash of a TorchScript archive, without which it is not opened"),
    argument("estimate_colors", "true", "tell the person's colours from the image"),
    argument("smoothing", SMOOTHING_METHODS[0], "smoothing over time", SMOOTHING_METHODS),
    argument("max_faces", "1", "faces to track at most"),
    argument("prefer", PREFERENCES[0], "which faces, where there are more", PREFERENCES),
    argument("params_file", str(package_file("config/live.yaml")), "the nodes' other parameters"),
    argument("namespace", "", "namespace of all nodes and topics"),
)
"""Arguments of all launch files that track faces: what tracks them, and how."""

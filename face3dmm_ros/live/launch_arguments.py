"""The arguments that the launch files share: what tracks faces, and how. Needs `launch`, which comes with ROS 2."""

from launch.actions import DeclareLaunchArgument

from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.fit_methods import FIT_METHODS, SHIPPED
from face3dmm_ros.fitting.smoothing import SMOOTHING_METHODS
from face3dmm_ros.landmarks import BACKENDS
from face3dmm_ros.landmarks.tracker import PREFERENCES

TRACKING_ARGUMENTS = (
    DeclareLaunchArgument("backend", default_value="dense", choices=BACKENDS, description="landmark detector"),
    DeclareLaunchArgument(
        "model", default_value="default", description="face model: default, or a .npz or BFM .mat file"
    ),
    DeclareLaunchArgument("fit_method", default_value=FIT_METHODS[0], choices=FIT_METHODS, description="how to fit"),
    DeclareLaunchArgument(
        "regressor",
        default_value=SHIPPED,
        description="network of the regressor methods: default, weights (.safetensors), or a TorchScript archive",
    ),
    DeclareLaunchArgument(
        "regressor_sha256",
        default_value="",
        description="hash of a TorchScript archive, without which it is not opened",
    ),
    DeclareLaunchArgument(
        "estimate_colors", default_value="true", description="tell the person's colours from the image"
    ),
    DeclareLaunchArgument(
        "smoothing", default_value=SMOOTHING_METHODS[0], choices=SMOOTHING_METHODS, description="smoothing over time"
    ),
    DeclareLaunchArgument("max_faces", default_value="1", description="faces to track at most"),
    DeclareLaunchArgument(
        "prefer", default_value=PREFERENCES[0], choices=PREFERENCES, description="which faces, where there are more"
    ),
    DeclareLaunchArgument(
        "params_file", default_value=str(package_file("config/live.yaml")), description="the nodes' other parameters"
    ),
    DeclareLaunchArgument("namespace", default_value="", description="namespace of all nodes and topics"),
)

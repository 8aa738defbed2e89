"""Live face tracking: a camera or clip, landmarks, fitting and overlay, each a node in a process of its own."""

import os

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, NotEqualsSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from face3dmm_ros.avatar.styles import IN_IMAGE, PLACEMENTS, STYLES
from face3dmm_ros.core.picture_turns import TURNS
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.files.frame_source import CAMERA, SOURCES
from face3dmm_ros.live.launch_arguments import TRACKING_ARGUMENTS
from face3dmm_ros.live.middleware import fast_dds_settings, shared_memory_shortage

PACKAGE = "face3dmm_ros"
PROCESSES = 7

ARGUMENTS = (
    DeclareLaunchArgument(
        "source",
        default_value=CAMERA,
        description=f"{SOURCES}; none: images come from a camera driver of yours on /camera/image_raw",
    ),
    DeclareLaunchArgument(
        "rotate",
        default_value="0",
        choices=tuple(map(str, TURNS)),
        description="turn the source's images clockwise, degrees: for a camera that is mounted sideways or upside down",
    ),
    *TRACKING_ARGUMENTS,
    DeclareLaunchArgument("render", default_value="true", description="start the renderer, which gives /face/overlay"),
    DeclareLaunchArgument(
        "rviz", default_value="false", description="start rviz2 with image, overlay, avatar, cloud, marker and pose"
    ),
    DeclareLaunchArgument("avatar", default_value="", description=f"also start the avatar node: {STYLES}"),
    DeclareLaunchArgument(
        "avatar_placement",
        default_value=IN_IMAGE,
        choices=PLACEMENTS,
        description="the avatar in the person's place in the camera's image, or alone before a backdrop",
    ),
    DeclareLaunchArgument(
        "viewer", default_value="false", description="also serve Rerun's viewer as a web page (pip install rerun-sdk)"
    ),
    DeclareLaunchArgument(
        "vmc", default_value="", description="the avatar node also sends to this HOST:PORT as VMC protocol"
    ),
    DeclareLaunchArgument(
        "live_link_face", default_value="", description="the avatar node also sends to this HOST:PORT as Live Link Face"
    ),
    DeclareLaunchArgument(
        "allow_network", default_value="false", description="whether these may lie outside this machine"
    ),
    DeclareLaunchArgument(
        "image_transport",
        default_value="raw",
        choices=("raw", "compressed"),
        description="take the camera's images as they are, or from its /compressed topic",
    ),
    DeclareLaunchArgument("image_topic", default_value="camera/image_raw", description="the camera's image topic"),
    DeclareLaunchArgument("camera_info_topic", default_value="camera/camera_info", description="its camera_info topic"),
    DeclareLaunchArgument(
        "autostart", default_value="true", description="false: the nodes wait to be configured and activated"
    ),
)

FITTER_ARGUMENTS = ("model", "fit_method", "regressor", "regressor_sha256", "smoothing", "image_transport")
"""Those that are the fitter's parameters."""


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch face3dmm_ros live.launch.py` starts."""
    return LaunchDescription(
        [
            *ARGUMENTS,
            *(SetEnvironmentVariable(name, value) for name, value in fast_dds_settings(os.environ).items()),
            OpaqueFunction(function=_warn_of_shortage),
            _node(
                "video_source_node",
                {
                    "source": _text("source"),
                    "rotate": ParameterValue(LaunchConfiguration("rotate"), value_type=int),
                },
                condition=IfCondition(NotEqualsSubstitution(LaunchConfiguration("source"), "none")),
            ),
            _node(
                "landmark_node",
                {
                    "backend": _text("backend"),
                    "prefer": _text("prefer"),
                    "max_faces": ParameterValue(LaunchConfiguration("max_faces"), value_type=int),
                    "image_transport": _text("image_transport"),
                },
            ),
            _node(
                "fitter_node",
                {name: _text(name) for name in FITTER_ARGUMENTS}
                | {"estimate_colors": ParameterValue(LaunchConfiguration("estimate_colors"), value_type=bool)},
            ),
            _node(
                "renderer_node",
                {"model": _text("model"), "image_transport": _text("image_transport")},
                condition=IfCondition(LaunchConfiguration("render")),
            ),
            _node(
                "avatar_node",
                {
                    "style": _text("avatar"),
                    "placement": _text("avatar_placement"),
                    "vmc": _text("vmc"),
                    "live_link_face": _text("live_link_face"),
                    "allow_network": ParameterValue(LaunchConfiguration("allow_network"), value_type=bool),
                    "model": _text("model"),
                    "image_transport": _text("image_transport"),
                },
                condition=IfCondition(NotEqualsSubstitution(LaunchConfiguration("avatar"), "")),
            ),
            _node(
                "viewer_node",
                {"model": _text("model"), "image_transport": _text("image_transport")},
                condition=IfCondition(LaunchConfiguration("viewer")),
            ),
            Node(
                package="rviz2",
                executable="rviz2",
                namespace=LaunchConfiguration("namespace"),
                arguments=["-d", str(package_file("config/face.rviz"))],
                condition=IfCondition(LaunchConfiguration("rviz")),
            ),
        ]
    )


def _node(name: str, parameters: dict[str, ParameterValue], condition: IfCondition | None = None) -> Node:
    """A node of this package."""
    autostart = ParameterValue(LaunchConfiguration("autostart"), value_type=bool)
    image, info = LaunchConfiguration("image_topic"), LaunchConfiguration("camera_info_topic")
    return Node(
        package=PACKAGE,
        executable=name,
        name=name,
        namespace=LaunchConfiguration("namespace"),
        parameters=[LaunchConfiguration("params_file"), {**parameters, "autostart": autostart}],
        remappings=[
            ("camera/image_raw", image),
            ("camera/image_raw/compressed", [image, "/compressed"]),
            ("camera/camera_info", info),
        ],
        output="screen",
        condition=condition,
    )


def _text(argument: str) -> ParameterValue:
    """An argument as a string, also where it looks like a number, as a camera's index does."""
    return ParameterValue(LaunchConfiguration(argument), value_type=str)


def _warn_of_shortage(_: LaunchContext) -> list[LogInfo]:
    shortage = shared_memory_shortage(PROCESSES)
    return [LogInfo(msg=f"warning: {shortage}")] if shortage else []

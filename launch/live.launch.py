"""Live face tracking: a camera or clip, landmarks, fitting and overlay, each a node in a process of its own."""

import os

from launch import LaunchContext, LaunchDescription
from launch.actions import LogInfo, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, NotEqualsSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from face3dmm_ros.avatar.styles import IN_IMAGE, PLACEMENTS, STYLES
from face3dmm_ros.core import topics
from face3dmm_ros.core.picture_turns import TURNS
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.files.frame_source import CAMERA, SOURCES
from face3dmm_ros.live.launch_arguments import TRACKING_ARGUMENTS, argument, parameter
from face3dmm_ros.live.middleware import fast_dds_settings, shared_memory_shortage

PROCESSES = 7
"""With all optional nodes but rviz."""

ARGUMENTS = (
    argument("source", CAMERA, f"{SOURCES}; none: images come from a camera driver of yours on /camera/image_raw"),
    argument(
        "rotate",
        "0",
        "turn the source's images clockwise, degrees: for a camera that is mounted sideways or upside down",
        tuple(map(str, TURNS)),
    ),
    *TRACKING_ARGUMENTS,
    argument("render", "true", "start the renderer, which gives /face/overlay"),
    argument("rviz", "false", "start rviz2 with image, overlay, avatar, cloud, marker and pose"),
    argument("avatar", "", f"also start the avatar node: {STYLES}"),
    argument(
        "avatar_placement",
        IN_IMAGE,
        "the avatar in the person's place in the camera's image, or alone before a backdrop",
        PLACEMENTS,
    ),
    argument("viewer", "false", "also serve Rerun's viewer as a web page (pip install rerun-sdk)"),
    argument("vmc", "", "the avatar node also sends to this HOST:PORT as VMC protocol"),
    argument("live_link_face", "", "the avatar node also sends to this HOST:PORT as Live Link Face"),
    argument("allow_network", "false", "whether these may lie outside this machine"),
    argument(
        "image_transport",
        "raw",
        "take the camera's images as they are, or from its /compressed topic",
        ("raw", "compressed"),
    ),
    argument("image_topic", topics.IMAGE, "the camera's image topic"),
    argument(
        "camera_info_topic", topics.CAMERA_INFO, "its camera_info topic; so given, it is the one beside image_topic"
    ),
    argument(
        "rectified", "auto", "whether the images are rectified; auto: by their topic's name", ("auto", "true", "false")
    ),
    argument("depth_topic", "", "depth images registered to the camera's, by which heads are measured; empty: none"),
    argument("autostart", "true", "false: the nodes wait to be configured and activated"),
)

FITTER_ARGUMENTS = (
    "model",
    "fit_method",
    "regressor",
    "regressor_sha256",
    "smoothing",
    "image_transport",
    "rectified",
    "depth_topic",
)
"""Those that are the fitter's parameters."""


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch face3dmm_ros live.launch.py` starts."""
    drawing = {"model": parameter("model"), "image_transport": parameter("image_transport")}
    avatar = {name: parameter(name) for name in ("vmc", "live_link_face")} | {
        "style": parameter("avatar"),
        "placement": parameter("avatar_placement"),
        "allow_network": parameter("allow_network", bool),
    }
    landmarks = {name: parameter(name) for name in ("backend", "prefer", "image_transport")}
    fitter = {name: parameter(name) for name in FITTER_ARGUMENTS}
    return LaunchDescription(
        [
            *ARGUMENTS,
            *(SetEnvironmentVariable(name, value) for name, value in fast_dds_settings(os.environ).items()),
            OpaqueFunction(function=_warn_of_shortage),
            _node(
                "video_source_node",
                {"source": parameter("source"), "rotate": parameter("rotate", int)},
                _unless("source", "none"),
            ),
            _node("landmark_node", landmarks | {"max_faces": parameter("max_faces", int)}),
            _node("fitter_node", fitter | {"estimate_colors": parameter("estimate_colors", bool)}),
            _node("renderer_node", drawing, IfCondition(LaunchConfiguration("render"))),
            _node("avatar_node", drawing | avatar, _unless("avatar", "")),
            _node("viewer_node", drawing, IfCondition(LaunchConfiguration("viewer"))),
            Node(
                package="rviz2",
                executable="rviz2",
                namespace=LaunchConfiguration("namespace"),
                arguments=["-d", str(package_file("config/face.rviz"))],
                condition=IfCondition(LaunchConfiguration("rviz")),
            ),
        ]
    )


def _unless(name: str, value: str) -> IfCondition:
    """The condition that an argument has another value."""
    return IfCondition(NotEqualsSubstitution(LaunchConfiguration(name), value))


def _node(name: str, parameters: dict[str, ParameterValue], condition: IfCondition | None = None) -> Node:
    """A node of this package."""
    image, info = LaunchConfiguration("image_topic"), LaunchConfiguration("camera_info_topic")
    return Node(
        package="face3dmm_ros",
        executable=name,
        name=name,
        namespace=LaunchConfiguration("namespace"),
        parameters=[LaunchConfiguration("params_file"), {**parameters, "autostart": parameter("autostart", bool)}],
        remappings=[
            (topics.IMAGE, image),
            (topics.IMAGE + topics.COMPRESSED, [image, topics.COMPRESSED]),
            (topics.CAMERA_INFO, info),
        ],
        output="screen",
        condition=condition,
    )


def _warn_of_shortage(_: LaunchContext) -> list[LogInfo]:
    shortage = shared_memory_shortage(PROCESSES)
    return [LogInfo(msg=f"warning: {shortage}")] if shortage else []

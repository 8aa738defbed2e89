"""Replay of a rosbag2 through the live nodes: every image once and in order, the results recorded, then the end."""

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node, SetParameter

from face3dmm_ros.core import topics
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.live.launch_arguments import (
    TRACKING_ARGUMENTS,
    argument,
    given_parameters,
    parameter_argument,
    parameter_files,
    text,
)
from face3dmm_ros.live.recording import IMAGE_RECORDINGS

LIVE_ARGUMENTS = (
    *TRACKING_ARGUMENTS,
    argument("render", "false", "draw overlays, wait for each and record overlay.mp4"),
)
"""Those that are passed on to live.launch.py."""
ARGUMENTS = (
    DeclareLaunchArgument("bag", description="the rosbag2 to replay: a folder, or a .mcap or .db3 file"),
    parameter_argument("image_topic", "the camera's, or the only one", "the images' topic in the bag"),
    parameter_argument("out", "none", "folder to record the results into"),
    parameter_argument("record_images", "none", "how images go into the recording", IMAGE_RECORDINGS),
    parameter_argument("rate", "0", "not faster than this many times the recorded speed; 0: as fast as results come"),
    parameter_argument("timeout", "60", "seconds to wait for an image's results"),
)
NODE_ARGUMENTS: dict[str, dict[str, type]] = {
    "replay_node": {
        "bag": str,
        "image_topic": str,
        "out": str,
        "record_images": str,
        "rate": float,
        "timeout": float,
        "render": bool,
        "use_sim_time": bool,
    }
}
"""The arguments that are the replay's parameters, and their types."""
RENAMED = {"image_topic": "bag_image_topic", "render": "overlay"}
"""Parameters that have other names than their arguments."""


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch face3dmm_ros replay.launch.py bag:=PATH` starts."""
    live = PythonLaunchDescriptionSource(str(package_file("launch/live.launch.py")))
    passed_on = {argument.name: LaunchConfiguration(argument.name) for argument in LIVE_ARGUMENTS}
    nodes_own = {"image_topic": topics.IMAGE, "camera_info_topic": topics.CAMERA_INFO}
    return LaunchDescription(
        [
            *LIVE_ARGUMENTS,
            *ARGUMENTS,
            SetParameter("reliable_images", True),
            # Before the included file, whose arguments have some of the same names.
            OpaqueFunction(function=_replay),
            IncludeLaunchDescription(live, launch_arguments=(passed_on | nodes_own | {"source": "none"}).items()),
            # The end of the bag ends all, and so does a node that cannot go on.
            RegisterEventHandler(OnProcessExit(on_exit=[EmitEvent(event=Shutdown(reason="the replay has ended"))])),
        ]
    )


def _replay(context: LaunchContext) -> list[Node]:
    """The node that plays the bag."""
    given = {name: given_parameters(context, arguments, RENAMED) for name, arguments in NODE_ARGUMENTS.items()}
    return [
        Node(
            package="face3dmm_ros",
            executable="replay_node",
            name="replay_node",
            namespace=text(context, "namespace"),
            parameters=parameter_files(context, given),
            ros_arguments=["--log-level", text(context, "log_level")],
            output="screen",
        )
    ]

"""Replay of a rosbag2 through the live nodes: every image once and in order, the results recorded, then the end."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, IncludeLaunchDescription, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node, SetParameter

from face3dmm_ros.core import topics
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.live.launch_arguments import TRACKING_ARGUMENTS, argument, parameter
from face3dmm_ros.live.recording import IMAGE_RECORDINGS

LIVE_ARGUMENTS = (
    *TRACKING_ARGUMENTS,
    argument("render", "false", "draw overlays, wait for each and record overlay.mp4"),
)
"""Those that are passed on to live.launch.py."""
ARGUMENTS = (
    DeclareLaunchArgument("bag", description="the rosbag2 to replay: a folder, or a .mcap or .db3 file"),
    argument("image_topic", "", "the images' topic in the bag; empty: the camera's, or the only one"),
    argument("out", "", "folder to record the results into; empty: none"),
    argument("record_images", "none", "how images go into the recording", IMAGE_RECORDINGS),
    argument("rate", "0.0", "not faster than this many times the recorded speed; 0: as fast as results come"),
    argument("timeout", "60.0", "seconds to wait for an image's results"),
)


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch face3dmm_ros replay.launch.py bag:=PATH` starts."""
    live = PythonLaunchDescriptionSource(str(package_file("launch/live.launch.py")))
    passed_on = {argument.name: LaunchConfiguration(argument.name) for argument in LIVE_ARGUMENTS}
    nodes_own = {"image_topic": topics.IMAGE, "camera_info_topic": topics.CAMERA_INFO}
    parameters = {name: parameter(name) for name in ("bag", "out", "record_images")} | {
        "bag_image_topic": parameter("image_topic"),
        "rate": parameter("rate", float),
        "overlay": parameter("render", bool),
        "timeout": parameter("timeout", float),
    }
    return LaunchDescription(
        [
            *LIVE_ARGUMENTS,
            *ARGUMENTS,
            SetParameter("reliable_images", True),
            # Before the included file, whose arguments have some of the same names.
            Node(
                package="face3dmm_ros",
                executable="replay_node",
                name="replay_node",
                namespace=LaunchConfiguration("namespace"),
                parameters=[parameters],
                output="screen",
            ),
            IncludeLaunchDescription(live, launch_arguments=(passed_on | nodes_own | {"source": "none"}).items()),
            # The end of the bag ends all, and so does a node that cannot go on.
            RegisterEventHandler(OnProcessExit(on_exit=[EmitEvent(event=Shutdown(reason="the replay has ended"))])),
        ]
    )

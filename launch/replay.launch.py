"""Replay of a rosbag2 through the live nodes: every image once and in order, the results recorded, then the end."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, IncludeLaunchDescription, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node, SetParameter
from launch_ros.parameter_descriptions import ParameterValue

from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.live.launch_arguments import TRACKING_ARGUMENTS
from face3dmm_ros.live.recording import IMAGE_RECORDINGS

# Those of live.launch.py that are passed on.
LIVE_ARGUMENTS = (
    *TRACKING_ARGUMENTS,
    DeclareLaunchArgument(
        "render", default_value="false", description="draw overlays, wait for each and record overlay.mp4"
    ),
)
ARGUMENTS = (
    DeclareLaunchArgument("bag", description="the rosbag2 to replay: a folder, or a .mcap or .db3 file"),
    DeclareLaunchArgument(
        "image_topic",
        default_value="",
        description="the images' topic in the bag; empty: the camera's, or the only one",
    ),
    DeclareLaunchArgument("out", default_value="", description="folder to record the results into; empty: none"),
    DeclareLaunchArgument(
        "record_images", default_value="none", choices=IMAGE_RECORDINGS, description="how images go into the recording"
    ),
    DeclareLaunchArgument(
        "rate",
        default_value="0.0",
        description="not faster than this many times the recorded speed; 0: as fast as results come",
    ),
    DeclareLaunchArgument("timeout", default_value="60.0", description="seconds to wait for an image's results"),
)


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch face3dmm_ros replay.launch.py bag:=PATH` starts."""
    live = PythonLaunchDescriptionSource(str(package_file("launch/live.launch.py")))
    passed_on = {argument.name: LaunchConfiguration(argument.name) for argument in LIVE_ARGUMENTS}
    nodes_own = {"image_topic": "camera/image_raw", "camera_info_topic": "camera/camera_info"}
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
                parameters=[
                    {
                        "bag": _value("bag", str),
                        "bag_image_topic": _value("image_topic", str),
                        "out": _value("out", str),
                        "record_images": _value("record_images", str),
                        "rate": _value("rate", float),
                        "overlay": _value("render", bool),
                        "timeout": _value("timeout", float),
                    }
                ],
                output="screen",
            ),
            IncludeLaunchDescription(live, launch_arguments=(passed_on | nodes_own | {"source": "none"}).items()),
            # The end of the bag ends all, and so does a node that cannot go on.
            RegisterEventHandler(OnProcessExit(on_exit=[EmitEvent(event=Shutdown(reason="the replay has ended"))])),
        ]
    )


def _value(argument: str, kind: type) -> ParameterValue:
    return ParameterValue(LaunchConfiguration(argument), value_type=kind)

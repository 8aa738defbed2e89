"""`ros2 launch face3dmm_ros avatar.launch.py`: an avatar that moves with the face in front of the camera.

It is live.launch.py, whose arguments it takes, with an avatar and without the overlay.
"""

from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

from face3dmm_ros.avatar.styles import STYLES, WATERMELON
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.live.launch_arguments import argument


def generate_launch_description() -> LaunchDescription:
    """What it starts."""
    return LaunchDescription(
        [
            argument("avatar", "true", f"the avatar: true (that of params_file, else {WATERMELON}), {STYLES}"),
            argument("render", "false", "also start the renderer, which gives /face/overlay"),
            IncludeLaunchDescription(PythonLaunchDescriptionSource(str(package_file("launch/live.launch.py")))),
        ]
    )

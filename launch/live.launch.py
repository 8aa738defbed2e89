"""Live face tracking: a camera or clip, landmarks, fitting and overlay, each a node in a process of its own.

An argument that is given wins over `params_file`, and that over the nodes' defaults.
"""

import os
from pathlib import Path

import yaml
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import LogInfo, OpaqueFunction, SetEnvironmentVariable
from launch_ros.actions import Node

from face3dmm_ros.avatar.network.sender import DEFAULT_PORTS, DESTINATION
from face3dmm_ros.avatar.network.vmc import BLEND_NAMES
from face3dmm_ros.avatar.styles import IN_IMAGE, PLACEMENTS, STYLES, WATERMELON
from face3dmm_ros.core import topics
from face3dmm_ros.core.picture_turns import TURNS
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.files.frame_source import CAMERA, SOURCES
from face3dmm_ros.live.launch_arguments import (
    TRACKING_ARGUMENTS,
    argument,
    given_parameters,
    is_on,
    parameter_argument,
    parameter_files,
    temporary_file,
    text,
)
from face3dmm_ros.live.middleware import fast_dds_settings, free_stale_segments, shared_memory_shortage
from face3dmm_ros.live.rviz_settings import frame_in, rviz_settings

RESPAWN_DELAY = 2.0
"""s before a node that ended is started again; chosen by hand, so that one that cannot start does not fill the log."""

ARGUMENTS = (
    parameter_argument(
        "source", CAMERA, f"{SOURCES}; none: images come from a camera driver of yours on /camera/image_raw"
    ),
    parameter_argument(
        "rotate",
        "0",
        "turn the source's images clockwise, degrees: for a camera that is mounted sideways or upside down",
        tuple(map(str, TURNS)),
    ),
    parameter_argument("camera_format", "the camera's", "pixel format to ask the camera for, such as MJPG"),
    parameter_argument("frame_id", "camera_optical_frame", "frame of the source's images, from which rviz looks"),
    *TRACKING_ARGUMENTS,
    argument("render", "true", "start the renderer, which gives /face/overlay"),
    argument("rviz", "false", "start rviz2 with image, overlay, avatar, cloud, markers and poses"),
    argument("rviz_config", "", "rviz2's settings; empty: config/face.rviz with this run's topics and frame"),
    argument(
        "avatar",
        "",
        f"also start the avatar node: true (its style is that of params_file, else {WATERMELON}), {STYLES}",
    ),
    parameter_argument(
        "avatar_placement",
        IN_IMAGE,
        "the avatar in the person's place in the camera's image, or alone before a backdrop",
        PLACEMENTS,
    ),
    parameter_argument("avatar_height", "the camera image's", "height of the picture of an avatar alone, px"),
    parameter_argument(
        "profile", "none", "name under which the nearest face's rest and range are kept, from run to run"
    ),
    argument("page", "false", "also serve the page: picture, head in 3D, weights; its address is printed"),
    argument("hri", "false", "also start hri_node, which gives ROS4HRI's topics under /humans (needs hri_msgs)"),
    argument("viewer", "false", "also serve Rerun's viewer as a web page (pip install rerun-sdk)"),
    parameter_argument(
        "send",
        "nowhere",
        f"the avatar node also sends to these avatar programs, {DESTINATION} and commas between; KIND: "
        f"{', '.join(DEFAULT_PORTS)}",
    ),
    parameter_argument(
        "vmc_names",
        "pascal",
        "names of the blendshapes with vmc: JawOpen, jawOpen, or VRM's presets",
        tuple(BLEND_NAMES),
    ),
    parameter_argument("allow_network", "false", "whether these may lie outside this machine"),
    parameter_argument(
        "image_transport",
        "raw",
        "take the camera's images as they are, or from its /compressed topic",
        ("raw", "compressed"),
    ),
    argument("image_topic", topics.IMAGE, "the camera's image topic"),
    argument(
        "camera_info_topic", topics.CAMERA_INFO, "its camera_info topic; so given, it is the one beside image_topic"
    ),
    parameter_argument(
        "rectified", "auto", "whether the images are rectified; auto: by their topic's name", ("auto", "true", "false")
    ),
    parameter_argument("depth_topic", "none", "depth images registered to the camera's, by which heads are measured"),
    parameter_argument(
        "filtering_frame", "the image's", "frame of /tf in which to smooth, such as odom: for a camera that moves"
    ),
    parameter_argument("autostart", "true", "false: the nodes wait to be configured and activated"),
    argument("respawn", "false", "start a node again that ended by itself"),
)

NODE_ARGUMENTS: dict[str, dict[str, type]] = {
    "video_source_node": {"source": str, "camera_format": str, "rotate": int, "frame_id": str},
    "landmark_node": {"backend": str, "max_faces": int, "prefer": str, "image_transport": str},
    "fitter_node": {
        "model": str,
        "fit_method": str,
        "regressor": str,
        "regressor_sha256": str,
        "estimate_colors": bool,
        "smoothing": str,
        "image_transport": str,
        "rectified": str,
        "depth_topic": str,
        "filtering_frame": str,
    },
    "renderer_node": {"model": str, "image_transport": str},
    "avatar_node": {
        "model": str,
        "image_transport": str,
        "avatar": str,
        "avatar_placement": str,
        "avatar_height": int,
        "profile": str,
        "send": list,
        "vmc_names": str,
        "allow_network": bool,
    },
    "hri_node": {"model": str, "image_transport": str},
    "viewer_node": {"model": str, "image_transport": str},
    "page_node": {"model": str, "image_transport": str},
}
"""By node, the arguments that are its parameters, and their types."""
COMMON_ARGUMENTS = {"autostart": bool, "use_sim_time": bool}
"""Those that are parameters of all nodes."""
APART = ("viewer_node", "page_node")
"""Nodes that run in processes of their own, also where the others are composed: they work after all others."""
RENAMED = {"avatar": "style", "avatar_placement": "placement", "avatar_height": "height"}
"""Parameters that have other names than their arguments."""


def generate_launch_description() -> LaunchDescription:
    """What `ros2 launch face3dmm_ros live.launch.py` starts."""
    return LaunchDescription(
        [
            *ARGUMENTS,
            *(SetEnvironmentVariable(name, value) for name, value in fast_dds_settings(os.environ).items()),
            OpaqueFunction(function=_start),
        ]
    )


def _start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The processes that the arguments ask for."""
    wanted = {
        "video_source_node": text(context, "source") != "none",
        "landmark_node": True,
        "fitter_node": True,
        "renderer_node": is_on(context, "render"),
        "avatar_node": text(context, "avatar") not in ("", "false"),
        "hri_node": is_on(context, "hri"),
        "viewer_node": is_on(context, "viewer"),
        "page_node": is_on(context, "page"),
    }
    nodes = [name for name in NODE_ARGUMENTS if wanted[name]]
    given = {name: given_parameters(context, NODE_ARGUMENTS[name] | COMMON_ARGUMENTS, RENAMED) for name in nodes}
    if text(context, "avatar") == "true":
        del given["avatar_node"]["style"]
    files = parameter_files(context, given)
    if is_on(context, "composed"):
        composed = [name for name in nodes if name not in APART]
        processes = [_process(context, files, "composed_node", arguments=composed)]
        processes += [_process(context, files, name, name=name) for name in nodes if name not in composed]
    else:
        processes = [_process(context, files, name, name=name) for name in nodes]
    if is_on(context, "rviz"):
        processes.append(_rviz(context, files[0]))
    free_stale_segments()
    shortage = shared_memory_shortage(len(processes))
    return [*([LogInfo(msg=f"warning: {shortage}")] if shortage else []), *processes]


def _process(context: LaunchContext, files: list[str], executable: str, **options: object) -> Node:
    """A process of this package, with one node or several."""
    image, info = text(context, "image_topic"), text(context, "camera_info_topic")
    return Node(
        package="face3dmm_ros",
        executable=executable,
        namespace=text(context, "namespace"),
        parameters=files,
        remappings=[
            (topics.IMAGE, image),
            (topics.IMAGE + topics.COMPRESSED, image + topics.COMPRESSED),
            (topics.CAMERA_INFO, info),
        ],
        ros_arguments=["--log-level", text(context, "log_level")],
        output="screen",
        respawn=is_on(context, "respawn"),
        respawn_delay=RESPAWN_DELAY,
        **options,
    )


def _rviz(context: LaunchContext, params_file: str) -> Node:
    """rviz2, with the settings of the user, or ours for this run's topics and frame."""
    settings = text(context, "rviz_config") or temporary_file(_rviz_settings(context, params_file), ".rviz")
    return Node(
        package="rviz2",
        executable="rviz2",
        namespace=text(context, "namespace"),
        arguments=["-d", settings],
        parameters=[given_parameters(context, {"use_sim_time": bool})],
        output="screen",
    )


def _rviz_settings(context: LaunchContext, params_file: str) -> str:
    compressed = topics.COMPRESSED if text(context, "image_transport") == "compressed" else ""
    settings = rviz_settings(
        yaml.safe_load(package_file("config/face.rviz").read_text(encoding="utf-8")),
        frame_id=text(context, "frame_id") or frame_in(yaml.safe_load(Path(params_file).read_text(encoding="utf-8"))),
        namespace=text(context, "namespace"),
        renamed={topics.IMAGE: text(context, "image_topic") + compressed},
    )
    return yaml.safe_dump(settings, sort_keys=False)

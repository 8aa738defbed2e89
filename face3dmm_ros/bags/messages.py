"""Topics and message types of this package's bags."""

from functools import cache
from typing import Any

from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from face3dmm_ros.core import topics
from face3dmm_ros.core.resource_files import PACKAGE, package_file

IMAGE_TYPE = "sensor_msgs/msg/Image"
COMPRESSED_TYPE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO_TYPE = "sensor_msgs/msg/CameraInfo"
LANDMARKS_TYPE = f"{PACKAGE}/msg/FaceLandmarksArray"
PARAMETERS_TYPE = f"{PACKAGE}/msg/Face3DMMParamsArray"

IMAGES, CAMERA_INFO, LANDMARKS, PARAMETERS, TRUTH = (
    f"/{name}" for name in (topics.IMAGE, topics.CAMERA_INFO, topics.LANDMARKS, topics.PARAMETERS, topics.TRUTH)
)
"""Topics without a namespace, in which nodes publish unless they are told otherwise."""

STORAGES = ("mcap", "sqlite3")


@cache
def message_types() -> Typestore:
    """ROS's messages and this package's own."""
    typestore = get_typestore(Stores.ROS2_JAZZY)
    # All at once, as some hold others.
    types: dict[str, Any] = {}
    for path in sorted(package_file("msg/FaceMesh.msg").parent.glob("*.msg")):
        types |= get_types_from_msg(path.read_text(encoding="utf-8"), f"{PACKAGE}/msg/{path.stem}")
    typestore.register(types)
    return typestore

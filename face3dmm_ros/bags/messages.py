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


def unpacked(kind: str, data: bytes | memoryview) -> Any:
    """A message of a type, package/msg/Name, from its bytes (CDR); its arrays are views of them.

    Raises:
        Exception: the bytes are no such message; of many kinds.
    """
    definition = message_types().get_msgdef(kind)
    unpack = {0: definition.deserialize_cdr_be, 1: definition.deserialize_cdr_le}[data[1]]
    # What is behind the last field is not looked at, as in ROS, whose serialize_message can leave bytes there:
    # Typestore.deserialize_cdr takes three at most.
    message, _ = unpack(data[4:], 0, definition.cls, message_types())
    return message

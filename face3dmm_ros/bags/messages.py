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

_ADDED = {f"{PACKAGE}/msg/FaceLandmarks": ("covered",)}
"""The last fields of types, which bags that were recorded before these came do without."""


@cache
def message_types(earlier: bool = False) -> Typestore:
    """ROS's messages and this package's own; with `earlier` as they were before what was added to them."""
    typestore = get_typestore(Stores.ROS2_JAZZY)
    # All at once, as some hold others.
    types: dict[str, Any] = {}
    for path in sorted(package_file("msg/FaceMesh.msg").parent.glob("*.msg")):
        types |= get_types_from_msg(path.read_text(encoding="utf-8"), f"{PACKAGE}/msg/{path.stem}")
    for kind, added in _ADDED.items() if earlier else ():
        constants, fields = types[kind]
        types[kind] = constants, [field for field in fields if field[0] not in added]
    typestore.register(types)
    return typestore


def unpacked(kind: str, data: bytes | memoryview, earlier: bool = False) -> Any:
    """A message of a type, package/msg/Name, from its bytes (CDR); its arrays are views of them.

    With `earlier` it was packed before what was added to the package's messages, which it then lacks.

    Raises:
        Exception: the bytes are no such message; of many kinds.
    """
    types = message_types(earlier)
    definition = types.get_msgdef(kind)
    unpack = {0: definition.deserialize_cdr_be, 1: definition.deserialize_cdr_le}[data[1]]
    # What is behind the last field is not looked at, as in ROS, whose serialize_message can leave bytes there:
    # Typestore.deserialize_cdr takes three at most.
    message, _ = unpack(data[4:], 0, definition.cls, types)
    return message

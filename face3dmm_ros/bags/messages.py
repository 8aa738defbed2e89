"""What lies in a bag: topics, types, and how they are offered."""

from functools import cache
from typing import Literal

from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from face3dmm_ros.core.resource_files import PACKAGE, package_file

IMAGE_TYPE = "sensor_msgs/msg/Image"
COMPRESSED_TYPE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO_TYPE = "sensor_msgs/msg/CameraInfo"
LANDMARKS_TYPE = f"{PACKAGE}/msg/FaceLandmarks"
PARAMETERS_TYPE = f"{PACKAGE}/msg/Face3DMMParams"

IMAGES = "/camera/image_raw"
CAMERA_INFO = "/camera/camera_info"
LANDMARKS = "/face/landmarks"
PARAMETERS = "/face/params"
TRUTH = "/truth/params"

COMPRESSED = "/compressed"
"""What image_transport adds to the name of a topic for its compressed images."""

METADATA_VERSION: Literal[8] = 8
"""Of the bags written here: Humble's rosbag2 refuses later ones."""

STORAGES = ("mcap", "sqlite3")

_OWN_MESSAGES = ("Blendshapes", "Face3DMMParams", "FaceLandmarks", "FaceMesh", "FaceTopology")
_FOREVER = QosTime(9223372036, 854775807)


@cache
def message_types() -> Typestore:
    """ROS's messages and this package's own."""
    typestore = get_typestore(Stores.ROS2_JAZZY)
    for name in _OWN_MESSAGES:
        definition = package_file(f"msg/{name}.msg").read_text(encoding="utf-8")
        typestore.register(get_types_from_msg(definition, f"{PACKAGE}/msg/{name}"))
    return typestore


def recorded_qos(*, depth: int, reliable: bool, latched: bool = False) -> Qos:
    """How a topic is offered, as a bag says it, so that a player offers it likewise."""
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=depth,
        reliability=QosReliability.RELIABLE if reliable else QosReliability.BEST_EFFORT,
        durability=QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        deadline=_FOREVER,
        lifespan=_FOREVER,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=_FOREVER,
        avoid_ros_namespace_conventions=False,
    )

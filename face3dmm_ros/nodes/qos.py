"""Quality of service (QoS) of the topics: of images, of results, and of what late subscribers get too."""

from rclpy.qos import DurabilityPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # ROS 2 Humble has them elsewhere.
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

__all__ = [
    "OVERRIDABLE",
    "PublisherEventCallbacks",
    "SubscriptionEventCallbacks",
    "image_output_qos",
    "image_qos",
    "latched_qos",
    "result_qos",
]

OVERRIDABLE = QoSOverridingOptions(
    [QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY]
)
"""What users can set of every topic, by parameters such as `qos_overrides./face/overlay.publisher.depth`."""

_OUTPUT_DEPTH = 5
"""Images that a publisher keeps for reliable subscribers. By hand: a sixth of a second at 30 images/s, in which a
subscriber on this machine asks again for what it missed; each is a megabyte and more."""
_RELIABLE_DEPTH = 5
"""Images that wait at a subscriber that takes them reliably; chosen by hand, more than a replay has under way."""


def image_qos(depth: int = 1, *, reliable: bool = False) -> QoSProfile:
    """Of images as they are taken, the last `depth`: best effort, as sensor data are (REP-2003), unless `reliable`."""
    reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
    return QoSProfile(depth=max(depth, _RELIABLE_DEPTH) if reliable else depth, reliability=reliability)


def image_output_qos() -> QoSProfile:
    """Of images as they are published: reliable, for subscribers of either kind; a slow one holds nobody up."""
    return QoSProfile(depth=_OUTPUT_DEPTH, reliability=ReliabilityPolicy.RELIABLE)


def result_qos(depth: int = 10) -> QoSProfile:
    """Of results, the last `depth`: reliable."""
    return QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE)


def latched_qos() -> QoSProfile:
    """Reliable and transient local: the last message also goes to subscribers that come later."""
    return QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)

"""Quality of service (QoS) of the topics: of images, of results, and of what late subscribers get too."""

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # ROS 2 Humble has them elsewhere.
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

__all__ = ["PublisherEventCallbacks", "SubscriptionEventCallbacks", "image_qos", "latched_qos", "result_qos"]


def image_qos(depth: int, *, reliable: bool = False) -> QoSProfile:
    """Of images, the last `depth`: best effort, as sensor data are, unless `reliable`."""
    reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
    return QoSProfile(depth=depth, reliability=reliability)


def result_qos(depth: int) -> QoSProfile:
    """Of results, the last `depth`: reliable."""
    return QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE)


def latched_qos() -> QoSProfile:
    """Reliable and transient local: the last message also goes to subscribers that come later."""
    return QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)

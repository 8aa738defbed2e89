"""`python -m benchmarks.subscriber TOPIC`: a process that takes what is published, and does nothing with it.

It imports little, since several of them start beside nodes that are measured.
"""

import sys

import rclpy

from face3dmm_ros.core import topics
from face3dmm_ros.nodes.qos import image_qos, result_qos


def main() -> int:
    """Take /face/overlay as rviz does, or /face/params reliably, until this process is told to end."""
    rclpy.init()
    node = rclpy.create_node("subscriber")
    if sys.argv[1] == topics.OVERLAY:
        from sensor_msgs.msg import Image

        message_type, qos = Image, image_qos()
    else:
        from face3dmm_ros.msg import Face3DMMParamsArray

        message_type, qos = Face3DMMParamsArray, result_qos()
    node.create_subscription(message_type, sys.argv[1], lambda _: None, qos, raw=True)
    try:
        rclpy.spin(node)
    except Exception:
        # A signal ends ROS under whatever runs at that moment.
        if rclpy.ok():
            raise
    return 0


if __name__ == "__main__":
    sys.exit(main())

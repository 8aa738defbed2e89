"""`python -m benchmarks.hop`: what an image costs from one process to another, by itself, with any middleware.

One bgr8 image of 640×480 every 1/30 s, published reliably and taken best effort as the nodes do. RMW_IMPLEMENTATION
chooses the middleware; Fast DDS has our profile for loopback, unless FASTRTPS_DEFAULT_PROFILES_FILE names one.
"""

import argparse
import json
import os
import subprocess
import sys
import time

from face3dmm_ros.live.middleware import fast_dds_settings

WIDTH, HEIGHT, RATE = 640, 480, 30.0
_TOPIC = "/hop"
_WARM_UP_IMAGES = 30
"""Chosen by hand: the first second maps memory."""
_MATCH_TIMEOUT, _LATEST = 20.0, 1.0
"""s, for the two to find each other, and for images that are late; chosen by hand."""


def main() -> int:
    """Run one process that publishes and take what it sends; print a line, or JSON."""
    arguments = argparse.ArgumentParser(prog="python -m benchmarks.hop", description=__doc__)
    arguments.add_argument("--seconds", type=float, default=20.0, help="how long images are sent")
    arguments.add_argument("--bare", action="store_true", help="Fast DDS as it comes, without our profile")
    arguments.add_argument("--json", action="store_true", help="print JSON in place of a line")
    arguments.add_argument("--publish", action="store_true", help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if not options.bare:
        os.environ.update(fast_dds_settings(os.environ, loopback=True))
    if options.publish:
        print(json.dumps(publish(options.seconds)))
        return 0
    result = hop(options.seconds)
    if options.json:
        print(json.dumps(result))
    else:
        print(
            f"{result['middleware']}: p50 {result['p50_ms']:.2f} ms, p99 {result['p99_ms']:.2f} ms, "
            f"lost {100 * result['lost']:.1f} % of {result['sent']}, processor time an image "
            f"{result['publish_processor_ms']:.2f} ms to publish and {result['take_processor_ms']:.2f} ms to take"
        )
    return 0


def publish(seconds: float) -> dict[str, float]:
    """Send an image every 1/30 s once somebody listens: how many there were, and the processor time of each, ms.

    Raises:
        SystemExit: nobody listens.
    """
    import rclpy
    from sensor_msgs.msg import Image

    from face3dmm_ros.nodes.qos import image_output_qos

    rclpy.init()
    node = rclpy.create_node("hop_publisher")
    publisher = node.create_publisher(Image, _TOPIC, image_output_qos())
    end = time.monotonic() + _MATCH_TIMEOUT
    while not publisher.get_subscription_count():
        if time.monotonic() > end:
            raise SystemExit(f"nobody listens within {_MATCH_TIMEOUT:.0f} s")
        time.sleep(0.05)
    image = Image(width=WIDTH, height=HEIGHT, step=3 * WIDTH, encoding="bgr8")
    image.data.frombytes(os.urandom(3 * WIDTH * HEIGHT))
    start, used, counted = time.monotonic(), 0.0, round(seconds * RATE)
    for index in range(_WARM_UP_IMAGES + counted):
        time.sleep(max(0.0, start + index / RATE - time.monotonic()))
        if index == _WARM_UP_IMAGES:
            used = time.process_time()
        image.header.frame_id = str(index)
        image.header.stamp = node.get_clock().now().to_msg()
        publisher.publish(image)
    used = time.process_time() - used
    time.sleep(_LATEST)
    rclpy.shutdown()
    return {"sent": counted, "publish_processor_ms": 1000.0 * used / counted}


def hop(seconds: float) -> dict[str, float | str]:
    """Take the images of another process.

    Middleware; p50 and p99 of their ages when they are taken, ms; the share that never came; how many were sent; and
    the processor time of an image on either side, ms.

    Raises:
        SystemExit: nothing comes.
    """
    import numpy as np
    import rclpy
    from rclpy.utilities import get_rmw_implementation_identifier
    from sensor_msgs.msg import Image

    from face3dmm_ros.nodes.qos import image_qos

    rclpy.init()
    node = rclpy.create_node("hop_subscriber")
    ages_ms: list[float] = []

    def take(image: Image) -> None:
        stamp = 1_000_000_000 * image.header.stamp.sec + image.header.stamp.nanosec
        if int(image.header.frame_id) >= _WARM_UP_IMAGES:
            ages_ms.append(1e-6 * (node.get_clock().now().nanoseconds - stamp))

    node.create_subscription(Image, _TOPIC, take, image_qos())
    command = [sys.executable, "-m", "benchmarks.hop", "--publish", "--seconds", str(seconds)]
    # The variables of this process, and with them its profile, hold there too.
    with subprocess.Popen([*command, "--bare"], stdout=subprocess.PIPE, text=True) as child:
        while not ages_ms and child.poll() is None:
            rclpy.spin_once(node, timeout_sec=0.05)
        used = time.process_time()
        while child.poll() is None:
            rclpy.spin_once(node, timeout_sec=0.05)
        used = time.process_time() - used
        output = child.stdout.read() if child.stdout else ""
    rclpy.shutdown()
    if not ages_ms:
        raise SystemExit("no image came")
    sent = json.loads(output)
    p50, p99 = np.percentile(ages_ms, [50, 99])
    return sent | {
        "middleware": get_rmw_implementation_identifier(),
        "p50_ms": float(p50),
        "p99_ms": float(p99),
        "lost": 1.0 - len(ages_ms) / sent["sent"],
        "take_processor_ms": 1000.0 * used / len(ages_ms),
    }


if __name__ == "__main__":
    sys.exit(main())

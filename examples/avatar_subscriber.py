"""Listen to the weights that drive an avatar: a start for an avatar of your own.

    ros2 launch face3dmm_ros avatar.launch.py       # or: make live AVATAR=head
    python3 examples/avatar_subscriber.py

Each message is one face of one image: ARKit's 52 names, a weight in [0, 1] for each, and the stamp of the image. One
without a face is answered too, by a message with face_count 0.
"""

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node

from face3dmm_ros.msg import Blendshapes

STRONGEST, BAR = 3, 20
"""Blendshapes to print, and characters of a bar for a weight of 1; chosen by hand."""


class AvatarSubscriber(Node):
    """Prints each face's strongest blendshapes as bars; put your avatar in its place."""

    def __init__(self) -> None:
        super().__init__("avatar_subscriber")
        self.create_subscription(Blendshapes, "avatar/blendshapes", self.on_weights, 10)

    def on_weights(self, message: Blendshapes) -> None:
        """Move the avatar."""
        if message.face_count == 0:
            print("no face")
            return
        weights = dict(zip(message.names, message.weights, strict=True))
        strongest = sorted(weights, key=weights.__getitem__, reverse=True)[:STRONGEST]
        bars = (f"{name:>17} {'#' * round(BAR * weights[name]):{BAR}}" for name in strongest)
        print(f"face {message.face_id}", *bars)


def main() -> None:
    """Listen until Ctrl-C."""
    rclpy.init()
    try:
        rclpy.spin(AvatarSubscriber())
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()

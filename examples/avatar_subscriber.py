"""Listen to the weights that drive an avatar: a start for an avatar of your own.

    ros2 launch face3dmm_ros avatar.launch.py       # or: make live AVATAR=head
    python3 examples/avatar_subscriber.py

Each message is one image's: its stamp, ARKit's 52 names, and for each of its faces a weight in [0, 1] for each name.
An image without a face is answered too, with no faces.
"""

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node

from face3dmm_ros.msg import BlendshapesArray

STRONGEST, BAR = 3, 20
"""Blendshapes to print, and characters of a bar for a weight of 1; chosen by hand."""


class AvatarSubscriber(Node):
    """Prints each face's strongest blendshapes as bars; put your avatar in its place."""

    def __init__(self) -> None:
        super().__init__("avatar_subscriber")
        self.create_subscription(BlendshapesArray, "avatar/blendshapes", self.on_weights, 10)

    def on_weights(self, message: BlendshapesArray) -> None:
        """Move the avatars."""
        if not message.faces:
            print("no face")
        for face in message.faces:
            weights = dict(zip(message.names, face.weights, strict=True))
            strongest = sorted(weights, key=weights.__getitem__, reverse=True)[:STRONGEST]
            bars = (f"{name:>17} {'#' * round(BAR * weights[name]):{BAR}}" for name in strongest)
            print(f"face {face.face_id}", *bars)


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

"""All nodes of a live run in one process."""

import sys
from collections.abc import Callable

from rclpy.node import Node

from face3dmm_ros.nodes.fitter_node import FitterNode
from face3dmm_ros.nodes.landmark_node import LandmarkNode
from face3dmm_ros.nodes.lifecycle_node import run_nodes
from face3dmm_ros.nodes.renderer_node import RendererNode
from face3dmm_ros.nodes.video_source_node import VideoSourceNode

SOURCE, LANDMARKS, FITTER, RENDERER = "video_source_node", "landmark_node", "fitter_node", "renderer_node"

NODES: dict[str, Callable[..., Node]] = {
    SOURCE: VideoSourceNode,
    LANDMARKS: LandmarkNode,
    FITTER: FitterNode,
    RENDERER: RendererNode,
}
"""The nodes, in the order in which an image passes them."""


def main(args: list[str] | None = None) -> int:
    """Run them; a parameter is given to one of them as `-p NODE:PARAMETER:=VALUE`."""
    return run_nodes(list(NODES.values()), args)


if __name__ == "__main__":
    sys.exit(main())

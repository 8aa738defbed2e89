"""Nodes of a live run in one process: `ros2 run face3dmm_ros composed_node NODE … --ros-args …`."""

import os
import sys
from collections.abc import Callable
from importlib import import_module

from rclpy.node import Node

from face3dmm_ros.live.middleware import composed_settings
from face3dmm_ros.nodes.lifecycle_node import run_composed
from face3dmm_ros.rendering.offscreen import probe_ahead

SOURCE, LANDMARKS, FITTER, RENDERER = "video_source_node", "landmark_node", "fitter_node", "renderer_node"
AVATAR, HRI, VIEWER, PAGE = "avatar_node", "hri_node", "viewer_node", "page_node"

NODES = (SOURCE, LANDMARKS, FITTER, RENDERER)
"""The nodes of every live run, in the order in which an image passes them."""
EXTRA_NODES = (AVATAR, HRI)
"""Nodes that only run if named."""

_FIRST_THREAD = (SOURCE, LANDMARKS)
"""The nodes that take turns in one thread; the others do in a second one. Landmarks take about as long as all that
follows them, and leave Python's lock to it for most of that time."""


def node_class(name: str) -> Callable[..., Node]:
    """The class of a node, imported only now: what some of them import takes as long as their start."""
    module = import_module(f"face3dmm_ros.nodes.{name}")
    return next(each for each in vars(module).values() if getattr(each, "NAME", None) == name)


def main(args: list[str] | None = None) -> int:
    """Run the nodes that are named before `--ros-args`, or those of every live run if none is; returns the exit code.

    Each keeps its name: `-p NODE:PARAMETER:=VALUE` gives a parameter to one of them, and a `__ns` holds for all.
    """
    given = sys.argv[1:] if args is None else args
    known = NODES + EXTRA_NODES
    own = given[: given.index("--ros-args")] if "--ros-args" in given else given
    names = [name for name in own if not name.startswith("-")]
    if unknown := [name for name in names if name not in known]:
        print(f"there is no {', '.join(unknown)}: name some of {', '.join(known)}", file=sys.stderr)
        return 2
    wanted = names or NODES
    if {RENDERER, AVATAR} & set(wanted):
        probe_ahead(software=AVATAR not in wanted)
    first = [node_class(name) for name in wanted if name in _FIRST_THREAD]
    then = [node_class(name) for name in wanted if name not in _FIRST_THREAD]
    settings = composed_settings(os.environ)
    before = {name: os.environ[name] for name in settings}
    os.environ.update(settings)  # read when the first node joins the middleware
    try:
        return run_composed([nodes for nodes in (first, then) if nodes], given)
    finally:
        # What this process starts later may have nodes that do listen to each other through the middleware.
        os.environ.update(before)


if __name__ == "__main__":
    sys.exit(main())

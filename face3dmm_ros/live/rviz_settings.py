"""config/face.rviz for a run's own topics and frame. Nothing here needs ROS."""

import copy
from collections.abc import Mapping
from typing import Any


def resolved(topic: str, namespace: str) -> str:
    """The absolute name of a topic in a namespace, as ROS resolves it; neither needs its first slash."""
    return (
        topic if topic.startswith("/") else "/".join(["", *namespace.strip("/").split("/"), topic]).replace("//", "/")
    )


def rviz_settings(
    template: Mapping[str, Any], *, frame_id: str, namespace: str, renamed: Mapping[str, str]
) -> dict[str, Any]:
    """A copy of rviz's settings that looks from a frame at topics in a namespace.

    Args:
        template: the settings, with absolute topics outside any namespace.
        frame_id: the frame of the images; empty for the template's.
        namespace: that of the nodes; empty for none.
        renamed: topics of the template, without the first slash → the names that they have instead.
    """
    settings: dict[str, Any] = copy.deepcopy(dict(template))
    manager = settings["Visualization Manager"]
    if frame_id:
        manager["Global Options"]["Fixed Frame"] = manager["Views"]["Current"]["Target Frame"] = frame_id
    for display in manager["Displays"]:
        if "Topic" in display:
            topic = display["Topic"]["Value"].removeprefix("/")
            display["Topic"]["Value"] = resolved(renamed.get(topic, topic), namespace)
    return settings


def frame_in(parameters: Mapping[str, Any], node: str = "video_source_node") -> str:
    """The `frame_id` that a file of parameters has for a node, in whatever namespace; empty if none."""
    sections = (section for name, section in parameters.items() if name.rpartition("/")[2] in (node, "**"))
    frames = [section.get("ros__parameters", {}).get("frame_id", "") for section in sections]
    return next(filter(None, reversed(frames)), "")

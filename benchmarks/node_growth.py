"""How the cost of live nodes grows, with subscribers and with nodes: `make bench ARGS="--growth subscribers nodes"`.

On the sample clip at 640×480, in one process and in one each.
"""

import time
from contextlib import ExitStack
from importlib.util import find_spec

import numpy as np
from sensor_msgs.msg import CameraInfo, Image

from benchmarks import load
from face3dmm_ros.core import topics
from face3dmm_ros.msg import FaceLandmarksArray
from face3dmm_ros.nodes.qos import image_qos, result_qos

RATE = 15.0
"""Images per second; by hand: half of a usual camera's, so that two cores have time left beside eight subscribers."""
SUBSCRIBERS = (1, 2, 4, 8)
_MATCH_TIMEOUT, _START_SETTLING, _SETTLING = 30.0, 2.5, 1.0
"""s, for subscribers to be found, and of images after nodes and after subscribers have come; chosen by hand."""
FIRST = "+ landmarks"
"""With the first node that answers images: a source's camera_info goes out before the image, so nothing compares."""
_STEPS: dict[str, tuple[str, load.Answer]] = {
    "source": (load.SOURCE, (CameraInfo, topics.CAMERA_INFO, result_qos(100))),
    FIRST: ("landmark_node", (FaceLandmarksArray, topics.LANDMARKS, result_qos(100))),
    "+ fitter": ("fitter_node", load.PARAMETERS),
    "+ renderer": ("renderer_node", load.OVERLAY),
    "+ avatar": ("avatar_node", (Image, topics.AVATAR_IMAGE, image_qos())),
}
"""Nodes in the order in which they come to it, each with what it answers with; a last one needs ROS4HRI's messages."""

_PLACES = {"composed": True, "a process each": False}

Row = dict[str, float]
Tables = dict[str, dict[str, Row]]
"""By what grows, and by how far it has grown."""


def by_subscribers(seconds: float) -> Tables:
    """The same nodes with more and more subscribers in processes of their own, the first of which is this one.

    Raises:
        SystemExit: no image was answered, or subscribers did not find the nodes.
    """
    tables: Tables = {}
    for place, composed in _PLACES.items():
        with load.live(
            load.CONDITIONS[0], [load.PARAMETERS], composed=composed, fps=RATE, settling=_START_SETTLING
        ) as live:
            tables[f"{topics.PARAMETERS}, {place}"] = _with_subscribers(live, topics.PARAMETERS, seconds)
            # Nothing is drawn: p50 is of the parameters.
            none = {"0": _row(live.look(seconds))}
            live.listener.listen(load.OVERLAY)
            tables[f"{topics.OVERLAY}, {place}"] = none | _with_subscribers(live, topics.OVERLAY, seconds)
    return tables


def by_nodes(seconds: float) -> Tables:
    """A source alone, then with one node more each time; of all, pictures are taken, and what the last one answers.

    Raises:
        SystemExit: no image was answered.
    """
    steps = dict(_STEPS)
    if find_spec("hri_msgs"):
        from hri_msgs.msg import IdsList

        steps["+ hri"] = ("hri_node", (IdsList, f"{topics.HUMAN_FACES}/tracked", result_qos(100)))
    else:
        print("\nhri_msgs is not installed: hri_node is left out")
    tables: Tables = {}
    for place, composed in _PLACES.items():
        rows = tables[place] = {}
        names: list[str] = []
        pictures: list[load.Answer] = []
        for step, (name, answer) in steps.items():
            names.append(name)
            with load.live(
                load.CONDITIONS[0], [*pictures, answer], names, composed=composed, fps=RATE, settling=_START_SETTLING
            ) as live:
                rows[step] = _row(live.look(seconds))
            # What nobody takes is not drawn.
            pictures += [answer] * (answer[0] is Image)
    return tables


def _with_subscribers(live: load.Live, topic: str, seconds: float) -> dict[str, Row]:
    """Nodes, to a topic of which one listens already, with as many subscribers as there are to be."""
    rows = {}
    known = live.listener.count_subscribers(topic)
    with ExitStack() as stack:
        for before, count in zip((1, *SUBSCRIBERS), SUBSCRIBERS, strict=False):
            for _ in range(count - before):
                stack.enter_context(load.process("-m", "benchmarks.subscriber", topic))
            end = time.monotonic() + _MATCH_TIMEOUT
            while live.listener.count_subscribers(topic) < known + count - 1:
                if time.monotonic() > end:
                    raise SystemExit(f"not all of {count} subscribers were found within {_MATCH_TIMEOUT:.0f} s")
                live.listener.spin_for(0.05)
            live.listener.spin_for(_SETTLING)
            rows[str(count)] = _row(live.look(seconds))
    return rows


def _row(run: load.Run) -> Row:
    p50 = float(np.median(run.age_ms)) if run.age_ms else float("nan")
    return {"processor_ms": run.processor_ms, "p50_ms": p50, "answered": run.answered}

"""What a node says when it is asked for `--help`."""

import inspect
import textwrap
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from face3dmm_ros.nodes.parameters import COMMON_PARAMETERS, NodeParameter

_WIDTH = 100
"""Columns of the text; chosen by hand."""


def asks_for_help(args: Sequence[str]) -> bool:
    """Whether `--help` or `-h` is among arguments, before those of ROS."""
    own = args[: args.index("--ros-args")] if "--ros-args" in args else args
    return "--help" in own or "-h" in own


def node_help(node_classes: Iterable[Callable]) -> str:
    """What nodes do, their parameters, and how a parameter is given.

    Args:
        node_classes: classes of nodes, or `functools.partial` of them.
    """
    parts = ["usage: ros2 run face3dmm_ros NODE --ros-args [-p NAME:=VALUE] [--params-file FILE] [-r __ns:=NAMESPACE]"]
    for made_by in node_classes:
        node_class: Any = made_by.func if isinstance(made_by, partial) else made_by
        parts += ["", f"{node_class.NAME}: {inspect.getdoc(node_class)}", "", "parameters (*: also while it runs)"]
        parts += map(_described, (*node_class.PARAMETERS, *COMMON_PARAMETERS))
    return "\n".join(parts)


def _described(parameter: NodeParameter) -> str:
    """A parameter with its default, what it does, and what is allowed."""
    default = str(parameter.default).lower() if isinstance(parameter.default, bool) else repr(parameter.default)
    head = f"  {parameter.name}{'' if parameter.fixed else '*'} ({default})"
    allowed = f" One of {', '.join(parameter.choices)}." if parameter.choices else ""
    if parameter.low is not None and parameter.high is not None:
        allowed = f" From {parameter.low:g} to {parameter.high:g}."
    return f"{head}\n{textwrap.indent(textwrap.fill(parameter.description + allowed, _WIDTH - 6), ' ' * 6)}"

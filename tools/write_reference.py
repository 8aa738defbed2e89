"""Writes docs/reference/: parameters, launch arguments, messages and the command line's options, as the code has them.

tools/in_environment.sh python -m tools.write_reference
"""

import argparse
import runpy
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock, patch

from face3dmm_ros.cli.main import VERBS, parser
from face3dmm_ros.live.replay_node import ReplayNode
from face3dmm_ros.nodes.avatar_node import AvatarNode
from face3dmm_ros.nodes.fitter_node import FitterNode
from face3dmm_ros.nodes.hri_node import HriNode
from face3dmm_ros.nodes.landmark_node import LandmarkNode
from face3dmm_ros.nodes.page_node import PageNode
from face3dmm_ros.nodes.parameters import COMMON_PARAMETERS, NodeParameter
from face3dmm_ros.nodes.renderer_node import RendererNode
from face3dmm_ros.nodes.video_source_node import VideoSourceNode
from face3dmm_ros.nodes.viewer_node import ViewerNode

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "reference"
COMMAND = "tools/in_environment.sh python -m tools.write_reference"
NODES = (VideoSourceNode, LandmarkNode, FitterNode, RendererNode, AvatarNode, HriNode, ViewerNode, PageNode, ReplayNode)
TYPES = {bool: "bool", int: "integer", float: "double", str: "string"}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def code(value: object) -> str:
    """A value as code, or nothing where there is none."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{text}`" if text else ""


def parameter_row(parameter: NodeParameter) -> tuple[str, ...]:
    """A parameter's row: name, type, default, allowed values, description, and whether it may be changed."""
    allowed = ", ".join(map(code, parameter.choices))
    if parameter.low is not None and parameter.high is not None:
        steps = f", in steps of {parameter.step}" if parameter.step > 1 else ""
        allowed = f"{parameter.low:g} to {parameter.high:g}{steps}"
    default = parameter.default
    kind = f"{TYPES[type(default[0])]} array" if isinstance(default, list) else TYPES[type(default)]
    changes = "" if parameter.fixed else "yes"
    return code(parameter.name), kind, code(parameter.default), allowed, parameter.description, changes


def parameters() -> str:
    """The nodes' parameters."""
    sections = {"All nodes": COMMON_PARAMETERS} | {f"`{node.NAME}`": node.PARAMETERS for node in NODES}
    head = ("parameter", "type", "default", "allowed", "what", "while it runs")
    return "".join(f"\n## {title}\n\n{table(head, map(parameter_row, found))}" for title, found in sections.items())


def declared_argument(
    name: str, default_value: str = "", choices: Sequence[str] | None = None, description: str = ""
) -> SimpleNamespace:
    """A declaration of a launch argument; its row leaves out the choice of an argument that is not given."""
    allowed = ", ".join(code(choice) for choice in choices or () if choice)
    return SimpleNamespace(name=name, row=(code(name), code(default_value), allowed, description))


def launch_file(path: Path) -> dict[str, Any]:
    """The names that a launch file defines, beside `arguments`: what it declares, each with its name and its `row`.

    `launch` comes with ROS 2 and is in no wheel, so a stand-in of it takes the declarations down.
    """
    modules = "launch launch.actions launch.conditions launch.event_handlers launch.events launch.substitutions "
    modules += "launch.launch_description_sources launch_ros launch_ros.actions launch_ros.parameter_descriptions"
    stand_ins = {name: MagicMock() for name in modules.split()}
    stand_ins["launch"].LaunchDescription = list
    stand_ins["launch.actions"].DeclareLaunchArgument = declared_argument
    with patch.dict(sys.modules, stand_ins):
        sys.modules.pop("face3dmm_ros.live.launch_arguments", None)
        names = runpy.run_path(str(path))
        entities = names["generate_launch_description"]()
    return names | {"arguments": [entity for entity in entities if isinstance(entity, SimpleNamespace)]}


def launch_arguments(path: Path) -> list[tuple[str, ...]]:
    """A row for each argument that a launch file declares: name, default, allowed values, description."""
    return [argument.row for argument in launch_file(path)["arguments"]]


def launch_files() -> str:
    """The launch files' arguments."""
    head, paths = ("argument", "default", "allowed", "what"), sorted((ROOT / "launch").glob("*.launch.py"))
    text = "".join(f"\n## `{path.name}`\n\n{table(head, launch_arguments(path))}" for path in paths)
    return text.replace(f"{ROOT}/", "")


def messages() -> str:
    """The messages as they are defined."""
    paths = sorted((ROOT / "msg").glob("*.msg"))
    return "".join(f"\n## `{path.stem}`\n\n```text\n{path.read_text(encoding='utf-8')}```\n" for path in paths)


def options(command: argparse.ArgumentParser) -> str:
    """The arguments of a command and of its verbs, as `--help` tells them."""
    formatter, rows, kinds = command._get_formatter(), [], ""
    for action in command._actions:
        if isinstance(action, argparse._SubParsersAction):
            kinds = "".join(map(options, action.choices.values()))
        elif not isinstance(action, argparse._HelpAction):
            rows.append((code(formatter._format_action_invocation(action)), formatter._expand_help(action)))
    shown = f"\n{table(('argument', 'what'), rows)}" if rows else ""
    return f"\n## `{command.prog}`\n\n{command.description}\n{shown}{kinds}"


def of_verb(name: str) -> argparse.ArgumentParser:
    """The arguments of a verb of `face3dmm`."""
    found = next(action for action in parser([name])._actions if isinstance(action, argparse._SubParsersAction))
    return found.choices[name]


def pages() -> dict[Path, str]:
    """The text of every page of the reference."""
    found = {
        "messages": ("Messages", messages()),
        "parameters": ("Node parameters", parameters()),
        "launch": ("Launch arguments", launch_files()),
        "command_line": ("Options of the command line", "".join(options(of_verb(name)) for name in VERBS)),
    }
    note = f"<!-- Written by `{COMMAND}`: change the code, then run that. -->\n"
    return {FOLDER / f"{name}.md": f"# {title}\n\n{note}{text}" for name, (title, text) in found.items()}


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")

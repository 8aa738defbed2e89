"""What the launch files share: arguments, and how those given become nodes' parameters. Needs `launch` of ROS 2."""

from collections.abc import Mapping, Sequence
from tempfile import NamedTemporaryFile
from typing import Any

import yaml
from launch import LaunchContext
from launch.actions import DeclareLaunchArgument
from launch.conditions import IfCondition, InvalidConditionExpressionError
from launch.substitutions import LaunchConfiguration
from launch_ros.parameter_descriptions import ParameterValue

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.core.user_path import user_path
from face3dmm_ros.fit_methods import FIT_METHODS, SHIPPED
from face3dmm_ros.landmarks import BACKENDS
from face3dmm_ros.landmarks.tracker import PREFERENCES
from face3dmm_ros.smoothing import SMOOTHING_METHODS

NOT_GIVEN = ""
"""Default of arguments that are nodes' parameters: what is not given is left to `params_file` and to the nodes."""


def argument(name: str, default: str, description: str, choices: Sequence[str] | None = None) -> DeclareLaunchArgument:
    """Declare an argument of the launch file itself; without choices any value is allowed."""
    return DeclareLaunchArgument(name, default_value=default, description=description, choices=choices)


def parameter_argument(
    name: str, otherwise: str, description: str, choices: Sequence[str] | None = None
) -> DeclareLaunchArgument:
    """Declare an argument that is a parameter of nodes. If it is given, it wins over `params_file`.

    `otherwise` is the value where neither gives one, which the nodes know; here it is for the description alone.
    """
    described = f"{description} (else as in params_file, else {otherwise})"
    return argument(name, NOT_GIVEN, described, choices and (NOT_GIVEN, *choices))


def text(context: LaunchContext, name: str) -> str:
    """The value of an argument."""
    return LaunchConfiguration(name).perform(context)


def is_on(context: LaunchContext, name: str) -> bool:
    """Whether an argument is true."""
    try:
        return IfCondition(LaunchConfiguration(name)).evaluate(context)
    except InvalidConditionExpressionError as error:
        raise Face3DMMError(f"{name} is true or false, not {text(context, name)!r}") from error


def given_parameters(
    context: LaunchContext, arguments: Mapping[str, type], renamed: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Those of some arguments that were given, as parameters.

    Args:
        context: has the arguments' values.
        arguments: argument → type of the parameter; a string stays one whatever it looks like, and a list is of texts
            with commas between.
        renamed: argument → parameter, where their names differ.
    """
    return {
        (renamed or {}).get(name, name): _typed(context, name, kind)
        for name, kind in arguments.items()
        if text(context, name) != NOT_GIVEN
    }


def _typed(context: LaunchContext, name: str, kind: type) -> Any:
    if kind is list:
        return [part.strip() for part in text(context, name).split(",")]
    try:
        return ParameterValue(LaunchConfiguration(name), value_type=kind).evaluate(context)
    except ValueError as error:
        raise Face3DMMError(f"{name} is of type {kind.__name__}, not {text(context, name)!r}") from error


def parameter_files(context: LaunchContext, given: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Files of parameters for any of some nodes, in ascending order of precedence: `params_file`, and what was given.

    Args:
        context: has the argument `params_file`.
        given: by node, the parameters that were given.

    Raises:
        Face3DMMError: `params_file` is no file.
    """
    file = user_path(text(context, "params_file"))
    if not file.is_file():
        raise Face3DMMError(f"params_file {file} is no file")
    # ROS applies the sections that match a node in the order in which their names first came, over all files. So these
    # are names that no other file has; both mean the node in any namespace.
    sections = {f"/**/**/{node}": {"ros__parameters": dict(values)} for node, values in given.items() if values}
    return [str(file), temporary_file(yaml.safe_dump(sections), ".yaml")] if sections else [str(file)]


def temporary_file(content: str, suffix: str) -> str:
    """Path of a new file for a process of the launch, which stays, as those of launch_ros do: it may be restarted."""
    with NamedTemporaryFile("w", prefix="face3dmm_launch_", suffix=suffix, delete=False, encoding="utf-8") as file:
        file.write(content)
    return file.name


TRACKING_ARGUMENTS = (
    parameter_argument("backend", "dense", "landmark detector", BACKENDS),
    parameter_argument(
        "model", "default", "face model: default, or a file or folder of any format that is read (docs/models.md)"
    ),
    parameter_argument("fit_method", FIT_METHODS[0], "how to fit", FIT_METHODS),
    parameter_argument(
        "regressor",
        SHIPPED,
        "network of the regressor methods: default, weights (.safetensors), or a TorchScript archive",
    ),
    parameter_argument("regressor_sha256", "none", "hash of a TorchScript archive, without which it is not opened"),
    parameter_argument("estimate_colors", "true", "tell the person's colours from the image"),
    parameter_argument("smoothing", SMOOTHING_METHODS[0], "smoothing over time", SMOOTHING_METHODS),
    parameter_argument("max_faces", "1", "faces to track at most"),
    parameter_argument("prefer", PREFERENCES[0], "which faces, where there are more", PREFERENCES),
    argument(
        "params_file",
        str(package_file("config/live.yaml")),
        "the nodes' parameters; arguments that are given win over it",
    ),
    argument("namespace", "", "namespace of all nodes and topics"),
    argument(
        "composed",
        "false",
        "run all nodes but viewer and page in one process, which ends if one cannot start",
    ),
    parameter_argument("use_sim_time", "false", "take the time from /clock"),
    argument("log_level", "info", "what the nodes log", ("debug", "info", "warn", "error", "fatal")),
)
"""Arguments of all launch files that track faces: what tracks them, and how."""

"""Parameters of the nodes: how they are described, declared and checked, and those that several nodes share."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.image_limits import LEAST_MEGAPIXELS, MEGAPIXELS, MOST_MEGAPIXELS
from face3dmm_ros.rendering.offscreen import PLATFORMS, SOFTWARE

_LONGEST_TEXT = 10_000
"""Characters of a text; chosen by hand: more than the longest path, and than a gain for each blendshape."""

ParameterValue = bool | int | float | str | list[float] | list[str]


@dataclass(frozen=True)
class NodeParameter:
    """A parameter of a node.

    Attributes:
        default: its value unless one is given; also determines its type.
        description: what it does, as `ros2 param describe` shows it.
        low: lowest value of a number; None, as `high` then is, for no limits.
        high: highest value of a number.
        step: an integer may be `low + k * step` for k = 0, 1, 2, …
        choices: the allowed values of a string; empty for any.
        fixed: whether it can change only while the node is not configured.
        at_start: whether it is read once, when the node starts, and never changes.
    """

    name: str
    default: ParameterValue
    description: str
    low: float | None = None
    high: float | None = None
    step: int = 1
    choices: tuple[str, ...] = ()
    fixed: bool = False
    at_start: bool = False

    def descriptor(self) -> ParameterDescriptor:
        """The parameter as ROS describes it."""
        constraints = [f"one of: {', '.join(self.choices)}"] if self.choices else []
        if self.fixed and not self.at_start:
            constraints.append("changes only while the node is not configured")
        descriptor = ParameterDescriptor(
            name=self.name,
            type=Parameter.Type.from_parameter_value(self.default).value,
            description=self.description,
            additional_constraints="; ".join(constraints),
            # What looks like a number or a truth value comes as one, unless it is in quotes within quotes.
            dynamic_typing=isinstance(self.default, str),
            # ROS's own read-only would also hold while the node is not configured.
            read_only=self.at_start,
        )
        if self.low is not None and self.high is not None:
            if isinstance(self.default, int):
                bounds = IntegerRange(from_value=int(self.low), to_value=int(self.high), step=self.step)
                descriptor.integer_range = [bounds]
            else:
                descriptor.floating_point_range = [FloatingPointRange(from_value=self.low, to_value=self.high)]
        return descriptor

    def typed(self, value: Any) -> Any:
        """A value as the node uses it: text also where YAML made a truth value or a number of it, as of `source:=0`.

        Of a list of texts the empty ones are left out: ROS has no list of texts without any.
        """
        if self._is_texts():
            return [text for text in value if text]
        if not isinstance(self.default, str) or isinstance(value, str):
            return value
        return str(value).lower() if isinstance(value, bool) else str(value)

    def check(self, value: Any) -> None:
        """Check what a descriptor cannot express.

        Raises:
            Face3DMMError: the value is no text where it should be, is too long, or is not one of the choices.
        """
        if self._is_texts():
            self._check_texts(value)
        if isinstance(self.default, str) and not isinstance(value, str | bool | int | float):
            raise Face3DMMError(f"{self.name} is a text, not {value!r}")
        value = self.typed(value)
        if isinstance(value, str) and len(value) > _LONGEST_TEXT:
            raise Face3DMMError(f"{self.name} has {len(value)} characters: no more than {_LONGEST_TEXT} are taken")
        if self.choices and value not in self.choices:
            raise Face3DMMError(f"{self.name} must be one of {', '.join(self.choices)}, not {value!r}")

    def _check_texts(self, value: Any) -> None:
        if not (isinstance(value, list | tuple) and all(isinstance(text, str) for text in value)):
            raise Face3DMMError(f'{self.name} is a list of texts, such as ["one", "another"], not {value!r}')
        if any(len(text) > _LONGEST_TEXT for text in value):
            raise Face3DMMError(
                f"{self.name} has a text of more than {_LONGEST_TEXT} characters, the most that are taken"
            )

    def _is_texts(self) -> bool:
        """Whether it is a list of texts."""
        return isinstance(self.default, list) and isinstance(self.default[0], str)


def fixed(
    name: str,
    default: ParameterValue,
    description: str,
    low: float | None = None,
    high: float | None = None,
    **more: Any,
) -> NodeParameter:
    """A parameter that can change only while the node is not configured; the arguments are those of `NodeParameter`."""
    return NodeParameter(name, default, description, low, high, fixed=True, **more)


def declare_parameters(node: Node, parameters: Iterable[NodeParameter]) -> None:
    """Declare a node's parameters.

    Raises:
        Face3DMMError: the value given to a parameter has the wrong type, is out of range, or is not one of the choices.
    """
    try:
        for parameter in parameters:
            node.declare_parameter(parameter.name, parameter.default, parameter.descriptor())
    except (InvalidParameterTypeException, InvalidParameterValueException) as error:
        wrong_type = isinstance(error, InvalidParameterTypeException)
        hint = ' (a number with a fraction is written 30.0, not 30; a list of texts ["one"])' if wrong_type else ""
        raise Face3DMMError(f"{node.get_name()}: {error}{hint}") from error


COMMON_PARAMETERS = (
    fixed("autostart", True, "Configure and activate without being told to.", at_start=True),
    fixed("reliable_images", False, "Take images reliably instead of missing some, as a replay needs it."),
    fixed(
        "max_megapixels",
        MEGAPIXELS,
        "Larger images are skipped: of camera, files and messages, also those that only speak of one. A limit of "
        "memory, of which each image takes 3 MB a megapixel, and more while it is worked on.",
        LEAST_MEGAPIXELS,
        MOST_MEGAPIXELS,
    ),
)
"""Parameters of every node."""

MODEL = fixed("model", "default", "`default`, or the path of a model of any format that is read; see docs/models.md.")
IMAGE_TRANSPORT = fixed(
    "image_transport",
    "raw",
    "Take sensor_msgs/Image, or sensor_msgs/CompressedImage from the image topic's /compressed.",
    choices=("raw", "compressed"),
)
GL_PLATFORM = fixed("gl_platform", "auto", "Where OpenGL comes from.", choices=("auto", *PLATFORMS))
OVERLAY_PLATFORM = fixed(
    "gl_platform",
    "auto",
    "Where OpenGL comes from; `software` draws without it, and so does `auto` where there is no graphics processor.",
    choices=("auto", SOFTWARE, *PLATFORMS),
)

"""What becomes of an error in a node's callback: rclpy's executors end by it, and the process too; nodes go on."""

from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.executors import ExternalShutdownException, ShutdownException

from face3dmm_ros.core.errors import Face3DMMError

_SHOWN = 300
"""Characters of an error that are shown; chosen by hand: some lines of a terminal. It may quote what somebody sent."""


class EndOfNodeError(Face3DMMError):
    """A callback ends its node by it, which has failed or done its work; the message says why."""


ENDS = (EndOfNodeError, ExternalShutdownException, ShutdownException)
"""What ends the spinning where a callback raises it; every other `Exception` is reported."""


def summary(error: Exception) -> str:
    """An error in a line, for people."""
    return _short(str(error) if isinstance(error, Face3DMMError) else f"{type(error).__name__}: {error}")


def for_people(text: str, most: int = _SHOWN) -> str:
    """What somebody sent, as it can be shown: `most` characters, and none of those that move a terminal's cursor."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in _short(text, most))


def _short(text: str, most: int = _SHOWN) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


def refusal(request: Any, response: Any, reason: str) -> Any:
    """The answer to a request of which nothing came, with the reason where its type has room for one."""
    answer = type(response)()
    refused = SetParametersResult(successful=False, reason=reason)
    if isinstance(request, SetParameters.Request):
        answer.results = [refused] * len(request.parameters)
    elif isinstance(request, SetParametersAtomically.Request):
        answer.result = refused
    elif hasattr(answer, "message"):
        answer.message = reason
    return answer

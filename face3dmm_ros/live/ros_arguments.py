"""Parameters as arguments of a ROS command line. Nothing here needs ROS."""

import json
from collections.abc import Mapping


def parameter_arguments(parameters: Mapping[str, object], node: str = "") -> list[str]:
    """`-p NAME:=VALUE` for each parameter, to come after `--ros-args`; `-p NODE:NAME:=VALUE` for one node alone.

    Values are bool, int, float, str or lists of these; a string stays one whatever it looks like.
    """
    prefix = f"{node}:" if node else ""
    # ROS reads values as YAML, of which JSON is a part.
    texts = (f"{prefix}{name}:={json.dumps(value, ensure_ascii=False)}" for name, value in parameters.items())
    return [argument for text in texts for argument in ("-p", text)]

"""What pydantic finds wrong, in one line."""

import reprlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError

_EXPECTED = {
    "model_type": "keys and values",
    "tuple_type": "a list",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a number",
    "bool_type": "true or false",
    "string_type": "a text",
}
"""For errors of these types, in place of pydantic's words, which are of Python."""


def complaint(error: "ValidationError") -> str:
    """The first of the errors: the key, what was found, and what was expected."""
    first: Any = error.errors(include_url=False)[0]
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        return f"the key {key!r} is missing"
    if first["type"] == "value_error":
        said = str(first["ctx"]["error"])
    else:
        expected = _EXPECTED.get(first["type"], first["msg"].removeprefix("Input should be "))
        said = f"found {shown(first['input'])}, expected {expected}"
    return f"{key}: {said}" if key else said


def shown(value: object) -> str:
    """A value in a message, shortened."""
    return "nothing" if value is None else reprlib.repr(value)

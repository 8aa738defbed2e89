"""A YAML file as a frozen dataclass: every key known, every value of its field's type and range.

A field's type says what is accepted: int, float, bool, str, `Literal` choices, `X | None`, a tuple, a mapping from
names, or another dataclass. `number` declares a field with a range.
"""

import dataclasses
import difflib
import math
import reprlib
import types
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from face3dmm_ros.core.errors import Face3DMMError

_MOST_BYTES = 1 << 20
_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", type(None): "nothing"}

Configuration = TypeVar("Configuration")


def number(default: float | None = None, *, low: float = -math.inf, high: float = math.inf) -> Any:
    """A dataclass field for a number from `low` to `high`; without a default, the file must give it."""
    metadata = {"range": (low, high)}
    if default is None:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def number_of_each(*, low: float = -math.inf, high: float = math.inf) -> Any:
    """A dataclass field for numbers by name, each from `low` to `high`; none by default."""
    return dataclasses.field(default_factory=dict, metadata={"range": (low, high)})


def read_yaml(path: Path) -> dict[str, Any]:
    """A file's keys and values.

    Raises:
        Face3DMMError: not a readable YAML file of keys and values, or one with a key twice.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise ValueError(f"it is larger than {_MOST_BYTES} bytes")
        document = yaml.load(text.decode("utf-8"), _UniqueKeys)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())
        raise Face3DMMError(f"{path} is not a readable YAML file: {said}") from error
    if not isinstance(document, dict):
        raise Face3DMMError(f"{path} must hold keys and values, such as 'batch: 64', found {_shown(document)}")
    return document


def with_override(document: Mapping[str, Any], assignment: str) -> dict[str, Any]:
    """The document with one value replaced, as ``steps=100`` or ``datasets.0.path=photographs`` say it.

    Raises:
        Face3DMMError: not an assignment, its value is not YAML, or it leads through something without parts.
    """
    name, equals, text = assignment.partition("=")
    if not equals or not name:
        raise Face3DMMError(f"{assignment!r} does not set anything; expected KEY=VALUE, such as optimizer.rate=0.01")
    try:
        value = yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise Face3DMMError(f"{assignment!r}: {text!r} is not a YAML value") from error
    return _replaced(document, name.split("."), value, assignment)


def checked(document: Any, kind: type[Configuration], source: str, key: str = "") -> Configuration:
    """The document as a dataclass.

    Args:
        document: as `read_yaml` gives it.
        kind: the dataclass.
        source: what errors name as the origin, such as the file.
        key: where in the source the document stands; empty for the whole.

    Raises:
        Face3DMMError: an unknown or missing key, a wrong type, or a value out of its range; the message names the
            source and the key, and what was found and expected.
    """
    if not isinstance(document, Mapping):
        raise _refusal(source, key, document, "keys and values")
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    hints = get_type_hints(kind)
    for name in document:
        if name not in fields:
            near = difflib.get_close_matches(str(name), fields, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(fields)}"
            raise Face3DMMError(f"{source}: unknown key {_joined(key, name)!r}; {hint}")
    values = {}
    for name, field in fields.items():
        if name in document:
            low, high = field.metadata.get("range", (-math.inf, math.inf))
            values[name] = _value(document[name], hints[name], source, _joined(key, name), low, high)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise Face3DMMError(
                f"{source}: the key {_joined(key, name)!r} is missing; expected {_meaning(hints[name])}"
            )
    try:
        return kind(**values)
    except Face3DMMError as error:
        raise Face3DMMError(f"{source}: {key + ': ' if key else ''}{error}") from error


def plain(configuration: object) -> Any:
    """A configuration as lists, dicts and plain values again."""
    if dataclasses.is_dataclass(configuration) and not isinstance(configuration, type):
        return {field.name: plain(getattr(configuration, field.name)) for field in dataclasses.fields(configuration)}
    if isinstance(configuration, Mapping):
        return {name: plain(value) for name, value in configuration.items()}
    if isinstance(configuration, (list, tuple)):
        return [plain(value) for value in configuration]
    return configuration


class _UniqueKeys(yaml.SafeLoader):
    """YAML that builds plain values only, and refuses a key that stands twice, where the last would silently win."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in keys:
            if keys.count(key) > 1:
                raise ValueError(
                    f"the key {key!r} stands twice, the second time at or after line {node.start_mark.line + 1}"
                )
        return dict(super().construct_mapping(node, deep))


def _value(found: Any, kind: Any, source: str, key: str, low: float, high: float) -> Any:
    """What was found as a value of a type hint, or an error."""
    origin, parts = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return checked(found, kind, source, key)
    if origin in (Union, types.UnionType):
        if found is None and type(None) in parts:
            return None
        (kind,) = (part for part in parts if part is not type(None))
        return _value(found, kind, source, key, low, high)
    if origin is Literal:
        if isinstance(found, str) and found in parts:
            return found
    elif origin is tuple:
        if isinstance(found, list):
            return tuple(_value(part, parts[0], source, f"{key}.{k}", low, high) for k, part in enumerate(found))
    elif origin is not None and issubclass(origin, Mapping):
        if isinstance(found, dict) and all(isinstance(name, str) for name in found):
            return {name: _value(part, parts[1], source, f"{key}.{name}", low, high) for name, part in found.items()}
    elif kind in (int, float):
        return _number(found, kind, source, key, low, high)
    elif kind is Any or type(found) is kind:
        return found
    raise _refusal(source, key, found, _meaning(kind))


def _number(found: Any, kind: type[int] | type[float], source: str, key: str, low: float, high: float) -> float:
    value: Any = found
    # YAML 1.1 reads 5e-4, without a point, as a text.
    if kind is float and isinstance(found, str):
        try:
            value = float(found)
        except ValueError:
            value = found
    if isinstance(value, bool) or not isinstance(value, (int, kind)) or not math.isfinite(value):
        raise _refusal(source, key, found, _meaning(kind))
    if not low <= value <= high:
        if math.isinf(high):
            expected = f"{low:g} or more"
        else:
            expected = f"{high:g} or less" if math.isinf(low) else f"{low:g} to {high:g}"
        raise _refusal(source, key, found, expected)
    return kind(value)


def _meaning(kind: Any) -> str:
    """A type hint in words."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return " or ".join(_meaning(part) for part in parts)
    if origin is Literal:
        return "one of " + ", ".join(parts)
    if origin is tuple:
        return "a list"
    if origin is not None or dataclasses.is_dataclass(kind):
        return "keys and values"
    return _NAMES.get(kind, "a value")


def _replaced(part: Any, names: list[str], value: Any, assignment: str) -> Any:
    """A part of a document with the value at the end of a path of names replaced."""
    if not names:
        return value
    name, rest = names[0], names[1:]
    if isinstance(part, Mapping) or part is None:
        known = dict(part or {})
        return known | {name: _replaced(known.get(name), rest, value, assignment)}
    if isinstance(part, list) and name.isdigit() and int(name) < len(part):
        k = int(name)
        return [*part[:k], _replaced(part[k], rest, value, assignment), *part[k + 1 :]]
    raise Face3DMMError(f"{assignment!r} leads through {_shown(part)}, which has no part {name!r}")


def _refusal(source: str, key: str, found: Any, expected: str) -> Face3DMMError:
    return Face3DMMError(f"{source}: {key + ': ' if key else ''}found {_shown(found)}, expected {expected}")


def _joined(key: str, name: object) -> str:
    return f"{key}.{name}" if key else str(name)


def _shown(value: object) -> str:
    return "nothing" if value is None else reprlib.repr(value)

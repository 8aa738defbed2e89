"""YAML files of plain values (no tag runs code), and the base of the pydantic models that know their keys."""

import difflib
import re
from collections import Counter
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, model_validator

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.regular_file import read_regular
from face3dmm_ros.core.validation import shown

_MOST_BYTES = 1 << 17
"""Of a file; chosen by hand: fifty times our own, read in two seconds."""


class Part(BaseModel):
    """Keys and values of a file: strict, for nothing in a file is guessed at."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _knows_all_keys(cls, values: Any) -> Any:
        for name in values if isinstance(values, Mapping) else ():
            if name not in cls.model_fields:
                near = difflib.get_close_matches(str(name), cls.model_fields, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(cls.model_fields)}"
                raise Face3DMMError(f"unknown key {shown(name)}; {hint}")
        return values


def read_yaml(path: Path) -> dict[str, Any]:
    """A file's keys and values.

    Raises:
        Face3DMMError: the file is missing, is no YAML of keys and values, or has a key twice.
    """
    try:
        document = yaml.load(read_regular(path, _MOST_BYTES).decode("utf-8"), _Loader)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        said = " ".join(str(error).split())
        raise Face3DMMError(f"{path} is not a readable YAML file: {said}") from error
    if not isinstance(document, dict):
        raise Face3DMMError(f"{path} must hold keys and values, such as 'batch: 64', found {shown(document)}")
    return document


def with_override(document: Mapping[str, Any], assignment: str) -> dict[str, Any]:
    """The document with one value replaced, as ``steps=100`` or ``datasets.0.path=photographs`` say it.

    Raises:
        Face3DMMError: it is no assignment, its value is no YAML, or a name on its path stands for a plain value.
    """
    name, equals, text = assignment.partition("=")
    if not equals or not name:
        raise Face3DMMError(f"{assignment!r} does not set anything; expected KEY=VALUE, such as optimizer.rate=0.01")
    try:
        value = yaml.load(text, _Loader)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise Face3DMMError(f"{assignment!r}: {text!r} is not a YAML value") from error
    try:
        return _replaced(document, name.split("."), value, assignment)
    except RecursionError as error:
        raise Face3DMMError(f"{shown(assignment)} leads deeper than any value lies") from error


class _Loader(yaml.SafeLoader):
    """YAML that builds plain values only, and refuses a key that stands twice, where the last would silently win."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        for key, count in keys.items():
            if count > 1:
                raise ValueError(
                    f"the key {shown(key)} stands twice, the second time at or after line {node.start_mark.line + 1}"
                )
        return dict(super().construct_mapping(node, deep))


# YAML 1.1, which PyYAML reads, takes 5e-4, without a point, for a text.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def _replaced(part: Any, names: list[str], value: Any, assignment: str) -> Any:
    """A part of a document with the value at the end of a path of names replaced."""
    if not names:
        return value
    name, rest = names[0], names[1:]
    if isinstance(part, Mapping) or part is None:
        known = dict(part or {})
        return known | {name: _replaced(known.get(name), rest, value, assignment)}
    if isinstance(part, list) and re.fullmatch("[0-9]{1,9}", name) and int(name) < len(part):
        k = int(name)
        return [*part[:k], _replaced(part[k], rest, value, assignment), *part[k + 1 :]]
    raise Face3DMMError(f"{assignment!r} leads through {shown(part)}, which has no part {shown(name)}")

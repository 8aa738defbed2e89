"""Damage to bytes, and to trees and arrays before they become bytes; the same for the same seed."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.random import Generator

_EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
"""Numbers at which counts, sizes and signs break."""
_LEAVES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2**31, -(2**63), 10**30, 10**400, 1e38, 1e308, float("nan"), float("inf"), -0.0, "", "x",
    "../canary", "/etc/passwd", "A" * 5000, "9" * 4000, [], {}, [[]], {"": 0},
)  # fmt: skip
"""What may stand in a tree in place of anything else."""
_DEEP, _WIDE = 80, 100_000
"""How deep and how wide a tree is made; what writes it down goes no deeper."""
_FEW = 100
"""How often a whole branch is repeated, and how many of a list's items are looked at for a place to damage."""
_NESTING = (b"[", b'{"a":', b"- ", b"(", b"a: {")
_NESTED = 20_000
"""What opens another level in texts, and how often it is put into one."""


def damaged_bytes(data: bytes, rng: Generator) -> bytes:
    """Bytes after one to four accidents or attacks: cut, flipped, spliced, repeated, or with a number at an edge."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        if not changed:
            return bytes(rng.integers(0, 256, 16, np.uint8))
        kind = int(rng.integers(7))
        # Most formats keep their counts and sizes at the front.
        reach = len(changed) if rng.random() < 0.5 else min(len(changed), 96)
        at = int(rng.integers(reach))
        if kind == 0:
            del changed[at:]
        elif kind == 1:
            changed[at] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            size = int(rng.choice([1, 2, 4, 8]))
            order: Literal["little", "big"] = "little" if rng.random() < 0.5 else "big"
            value = int(rng.choice(_EDGES)) % (1 << 8 * size)
            changed[at : at + size] = value.to_bytes(size, order)
        elif kind == 3:
            length = int(rng.integers(1, 64))
            changed[at : at + length] = rng.integers(0, 256, length, np.uint8).tobytes()
        elif kind == 4:
            start = int(rng.integers(len(changed)))
            part = changed[start : start + int(rng.integers(1, 512))]
            changed[at:at] = part * int(rng.choice([1, 1, 2, 50]))
        elif kind == 5 and rng.random() < 0.2:
            changed[at:at] = _NESTING[int(rng.integers(len(_NESTING)))] * _NESTED
        else:
            del changed[at : at + int(rng.integers(1, 64))]
    return bytes(changed)


def damaged_tree(tree: Any, rng: Generator) -> Any:
    """A tree of dicts and lists, as JSON and YAML have them, with one to three places replaced."""
    changed = _copy(tree)
    for _ in range(int(rng.integers(1, 4))):
        places = list(_places(changed))
        if not places:
            break
        holder, key = places[int(rng.integers(len(places)))]
        holder[key] = _replacement(holder[key], rng)
    return changed


def damaged_array(array: Any, rng: Generator) -> Any:
    """An array of another shape, type or content."""
    array = np.asarray(array)
    choices: tuple[Callable[[], Any], ...] = (
        lambda: array[: len(array) // 2] if array.ndim else array,
        lambda: np.zeros((0, *array.shape[1:]), array.dtype),
        lambda: (
            array.astype(object)
            if rng.random() < 0.2
            else array.astype(np.complex64 if array.dtype.kind in "biuf" else object)
        ),
        lambda: np.full_like(array, 1e38) if array.dtype.kind == "f" else np.full_like(array, np.iinfo(np.int8).max),
        lambda: np.full(array.shape, np.nan),
        lambda: array.reshape(-1)[None],
        lambda: np.array("text"),
        lambda: array[..., None],
        lambda: np.array(-3) if array.dtype.kind not in "iuf" else np.negative(np.nan_to_num(array.astype(np.float32))),
        lambda: np.broadcast_to(np.int8(1), (2**16, 2**10)),
        lambda: np.array(2**62),
    )
    return choices[int(rng.integers(len(choices)))]()


def _replacement(value: Any, rng: Generator) -> Any:
    if rng.random() < 0.1:
        nested: Any = value
        for _ in range(_DEEP):
            nested = [nested]
        return nested
    if rng.random() < 0.1:
        return [value] * (_WIDE if not isinstance(value, dict | list) else _FEW)
    if isinstance(value, int | float) and not isinstance(value, bool) and rng.random() < 0.5:
        return [-value, value + 1, value * 1000, int(rng.choice(_EDGES))][int(rng.integers(4))]
    return _copy(_LEAVES[int(rng.integers(len(_LEAVES)))])


def _copy(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _copy(value) for key, value in tree.items()}
    return [_copy(value) for value in tree] if isinstance(tree, list) else tree


def _places(tree: Any) -> Any:
    """Each (holder, key) of a tree."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree[:_FEW]) if isinstance(tree, list) else ()
    for key, value in list(items):
        yield tree, key
        yield from _places(value)

"""Messages of Open Sound Control (OSC 1.0) in bundles that fit an Ethernet frame."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from pythonosc.parsing.osc_types import IMMEDIATELY, write_date, write_float, write_int, write_string

_BUNDLE = b"#bundle\0" + write_date(IMMEDIATELY)
_LARGEST_DATAGRAM = 1452
"""Bytes that an Ethernet frame of 1500 carries besides the headers of IPv6 and UDP."""
_text = lru_cache(maxsize=4096)(write_string)
"""Addresses and names come again with each frame; the number of those that are kept was chosen by hand."""
_TYPES: dict[type, tuple[str, Callable[[Any], bytes]]] = {
    str: ("s", _text),
    int: ("i", write_int),
    float: ("f", write_float),
}


def osc_message(address: str, *arguments: str | int | float | bool) -> bytes:
    """An element of a bundle, as python-osc's builders make it, which read all back again: ten times the time."""
    tags, values = "", b""
    for argument in arguments:
        if isinstance(argument, bool):
            tags += "T" if argument else "F"  # which the tag alone carries
        else:
            tag, write = _TYPES[type(argument)]
            tags += tag
            values += write(argument)
    message = _text(address) + _text(f",{tags}") + values
    return write_int(len(message)) + message


def osc_datagrams(messages: Iterable[bytes]) -> list[bytes]:
    """Messages in their order, as few bundles as they fit in."""
    datagrams: list[bytes] = []
    for message in messages:
        if not datagrams or len(datagrams[-1]) + len(message) > _LARGEST_DATAGRAM:
            datagrams.append(_BUNDLE)
        datagrams[-1] += message
    return datagrams

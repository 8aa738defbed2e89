"""Open Sound Control 1.0 messages and bundles, as far as they are sent here.

Specification: Wright, "The Open Sound Control 1.0 Specification", 2002.
"""

import struct
from collections.abc import Iterable
from functools import lru_cache

LARGEST_DATAGRAM = 1452
"""Bytes that a UDP datagram can hold in an Ethernet frame of 1500, IPv6 and UDP headers taken off."""

_BUNDLE = b"#bundle\0" + struct.pack(">Q", 1)  # the time tag 1 means: at once


def message(address: str, *arguments: str | int | float) -> bytes:
    """A message with strings, int32 and float32 arguments."""
    tags, values = ",", b""
    for argument in arguments:
        if isinstance(argument, str):
            tags, values = tags + "s", values + _padded(argument)
        elif isinstance(argument, int):
            tags, values = tags + "i", values + struct.pack(">i", argument)
        else:
            tags, values = tags + "f", values + struct.pack(">f", argument)
    return _padded(address) + _padded(tags) + values


def bundles(messages: Iterable[bytes], limit: int = LARGEST_DATAGRAM) -> list[bytes]:
    """Bundles that hold the messages in their order and fit datagrams of so many bytes, as few as will do.

    A message that is longer than the limit gets a bundle of its own.
    """
    filled = [bytearray(_BUNDLE)]
    for content in messages:
        if len(filled[-1]) > len(_BUNDLE) and len(filled[-1]) + 4 + len(content) > limit:
            filled.append(bytearray(_BUNDLE))
        filled[-1] += struct.pack(">i", len(content)) + content
    return [bytes(bundle) for bundle in filled]


@lru_cache(maxsize=256)
def _padded(text: str) -> bytes:
    """A string with one to four zeros behind it, so that what follows begins at a multiple of four bytes."""
    encoded = text.encode("ascii")
    return encoded + b"\0" * (4 - len(encoded) % 4)

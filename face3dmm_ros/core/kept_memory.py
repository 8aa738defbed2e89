"""Memory that was freed is kept for the next image."""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Of glibc's <malloc.h>."""
_LARGEST_BLOCK = 32 << 20
"""Bytes; the most that glibc takes: larger than an image."""
_KEPT = 64 << 20
"""Bytes that each thread's pool may keep; chosen by hand: a few images."""


def keep_freed_memory() -> None:
    """Tell the C library to keep what is freed; nothing happens where that is not glibc.

    Else blocks as large as images are got from the system and given back each time, a page at a time: with three copies
    of an image of 640×480 that takes more than encoding it, 2 ms.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST_BLOCK)
        mallopt(_TRIM_THRESHOLD, _KEPT)

"""Loops over pixels, triangles and points as machine code, by Numba.

Numba compiles a function when it is first called with arguments of some types, and keeps what it made for the next
process: beside the source like Python's own bytecode, else in the user's cache folder. What is kept is made anew when
its own source file changes and not when another does, so a compiled function is to call only those of its own file,
and to take what it needs from elsewhere as arguments. It checks no bounds: who calls it does.
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar, cast

import numba
from numba.core import event

_Function = TypeVar("_Function", bound=Callable[..., object])


def compiled(function: _Function) -> _Function:
    """A function on numbers and arrays as machine code that leaves Python's lock to other threads.

    Divisions by zero give what they give in numpy. A file system on which nothing may be kept costs the compilation
    in every process, and is no error.
    """
    machine_code = numba.njit(nogil=True, error_model="numpy")(function)
    with suppress(RuntimeError):  # nowhere to keep it
        machine_code.enable_caching()
    return cast(_Function, machine_code)


class _Notice(event.Listener):
    """Says once, to who sits at a terminal, why nothing seems to happen."""

    def __init__(self) -> None:
        self._said = False

    def on_start(self, event: event.Event) -> None:
        """A function is about to be compiled, anybody's in this process."""
        ours = event.data["dispatcher"].py_func.__module__.startswith(__name__.partition(".")[0])
        if ours and not self._said and sys.stderr.isatty():
            self._said = True
            print("face3dmm: compiling for this processor, once; that takes some ten seconds ...", file=sys.stderr)

    def on_end(self, event: event.Event) -> None:
        """Nothing more to say."""


_NOTICE = _Notice()
event.register("numba:compile", _NOTICE)

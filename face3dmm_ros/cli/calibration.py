"""Calibrating a person's rest during `face3dmm live`: asked for in words or by a key, counted down, and told of."""

import math
import os
import select
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Protocol

from face3dmm_ros.core.closing import Closing

KEY = "c"
"""The key that calibrates anew; with or without Enter."""
_COUNTDOWN_S = 3
"""Seconds to put on a relaxed face; chosen by hand."""


class Calibrates(Protocol):
    """A live run, as far as this needs it."""

    def calibrate(self) -> str:
        """Begin to calibrate; returns what there is to do, or why it cannot be done."""

    @property
    def calibrated(self) -> str:
        """What came of the last calibration; empty before one."""


class Calibration:
    """A calibration as a person lives through it; nothing happens until `ask`."""

    def __init__(self, session: Calibrates, say: Callable[[str], object]) -> None:
        """Of a run, with where to say what is going on."""
        self._session, self._say = session, say
        self._waits = False
        self._due: float | None = None
        self._told_s = 0
        self._known = ""

    def ask(self) -> None:
        """Count down as soon as there is a face, and then calibrate; anew, where that is under way."""
        self._waits, self._due = True, None
        self._say("calibration: look into the camera with a relaxed face")

    def look(self, faces: int, now: float) -> None:
        """Go on, a number of faces being seen at a time, s; to be called a few times a second."""
        if self._session.calibrated != self._known:
            self._known = self._session.calibrated
            self._say(self._known)
        if self._waits and faces:
            self._waits, self._due, self._told_s = False, now + _COUNTDOWN_S, _COUNTDOWN_S + 1
        if self._due is None:
            return
        left = math.ceil(self._due - now)
        if left <= 0:
            self._due = None
            self._say(self._session.calibrate())
        elif left < self._told_s:
            self._told_s = left
            self._say(f"calibration in {left} …")


class Keys(Closing):
    """The keys that are pressed at the terminal, if this process has one, each at once; a context manager.

    Input that is no terminal is left alone: it may be meant for others.
    """

    def __init__(self) -> None:
        """Have the terminal pass each key on as it is pressed, and not show it, until `close`."""
        self._restore = ExitStack()
        self._terminal = _terminal_in_the_foreground()
        if self._terminal is None:
            return
        import termios
        import tty

        before = termios.tcgetattr(self._terminal)
        self._restore.callback(termios.tcsetattr, self._terminal, termios.TCSADRAIN, before)
        # Signals, as of Ctrl-C, go on to work.
        tty.setcbreak(self._terminal)

    @property
    def available(self) -> bool:
        """Whether there is a terminal."""
        return self._terminal is not None

    def pressed(self) -> str:
        """What was pressed since the last time; empty if nothing was."""
        if self._terminal is None or not select.select([self._terminal], [], [], 0.0)[0]:
            return ""
        with suppress(OSError):
            if pressed := os.read(self._terminal, 1024):
                return pressed.decode("utf-8", "replace")
        # The terminal was closed.
        self._terminal = None
        return ""

    def close(self) -> None:
        """Leave the terminal as it was."""
        with suppress(OSError, ValueError):
            self._restore.close()


def _terminal_in_the_foreground() -> int | None:
    """Standard input's descriptor; None where that is no terminal, or one that listens to another job."""
    with suppress(OSError, ValueError, AttributeError):
        descriptor = sys.stdin.fileno()
        if os.isatty(descriptor) and os.tcgetpgrp(descriptor) == os.getpgrp():
            return descriptor
    return None

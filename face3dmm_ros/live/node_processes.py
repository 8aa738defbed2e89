"""The processes of a live run: they start, are started again if they end by themselves, and end with it."""

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from face3dmm_ros.core.child_process import end_with_parent
from face3dmm_ros.core.closing import Closing
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.live.middleware import free_stale_segments

_MOST_ENDS, _WITHIN_S = 3, 60.0
"""Ends of a process within so many seconds after which it is given up: it would end again. Chosen by hand."""
_STOP_TIMEOUT = 5.0
"""s after which a process that does not end is killed; chosen by hand."""


@dataclass
class _Started:
    """A process, the command that starts it again, and when it ended, s of the monotonic clock."""

    process: subprocess.Popen
    again: Sequence[str]
    ends: list[float] = field(default_factory=list)


class NodeProcesses(Closing):
    """Processes by name; use it as a context manager."""

    def __init__(self) -> None:
        """None yet."""
        self._started: dict[str, _Started] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._started)

    def start(self, name: str, command: Sequence[str], again: Sequence[str] | None = None) -> None:
        """Run a command; `again` is that which starts it the next time, if another one.

        It does not hear a terminal's Ctrl-C: this process passes it on.
        """
        self._started[name] = _Started(_run(command), command if again is None else again)

    def require_all(self) -> None:
        """Check that all of them run.

        Raises:
            Face3DMMError: one has ended.
        """
        for name, started in self._started.items():
            if started.process.poll() is not None:
                raise Face3DMMError(f"{name} {_how_it_ended(started.process)}: its own message says why")

    def revive(self) -> list[str]:
        """Start those again that have ended, and return a line about each.

        Raises:
            Face3DMMError: one has ended so often lately that it is given up.
        """
        said = []
        for name, started in self._started.items():
            if started.process.poll() is None:
                continue
            ended = f"{name} {_how_it_ended(started.process)}"
            now = time.monotonic()
            started.ends = [end for end in started.ends if now - end < _WITHIN_S] + [now]
            if len(started.ends) >= _MOST_ENDS:
                raise Face3DMMError(f"{ended}, for the {len(started.ends)}rd time within a minute: it is given up")
            # What it was making in shared memory when it was killed would keep the new one from starting.
            free_stale_segments()
            started.process = _run(started.again)
            said.append(f"{ended}: it is started again")
        return said

    def close(self) -> None:
        """End all of them."""
        processes = [started.process for started in self._started.values()]
        for process in processes:
            # SIGTERM: ROS ends on it as on Ctrl-C, and Python ends without a word while it still imports.
            process.terminate()
        deadline = time.monotonic() + _STOP_TIMEOUT
        for process in processes:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _run(command: Sequence[str]) -> subprocess.Popen:
    return subprocess.Popen(command, start_new_session=True, preexec_fn=end_with_parent, stdin=subprocess.DEVNULL)


def _how_it_ended(process: subprocess.Popen) -> str:
    code = process.returncode
    return f"ended with exit code {code}" if code >= 0 else f"was ended by signal {-code}"

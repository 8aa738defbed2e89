"""A process that reads hostile files one after another, and says of each what came of it."""

import resource
import sys
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from face3dmm_ros.core.errors import Face3DMMError
from tools.campaign.hostile_files import CANARY, kinds
from tools.campaign.memory import peak_bytes, reset_peak

MOST_BYTES = 1_500_000_000
"""Of memory that reading a file may take."""
_CEILING = 6_000_000_000
"""Of data that the process may have at all, so that a bomb does not take the machine down."""
_FORBIDDEN = (
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "pickle.find_class",
    "socket.connect",
)
"""Events of Python's audit hook by which a file would run something, or call somebody."""


def serve(connection: Connection, folder: Path, only: str) -> None:
    """Read a good file of each kind and send the kinds' names, then read hostile ones.

    The other end names them as (kind, seed), until it names nothing; the answers are None when one is made, and then
    (outcome, words).

    The outcome is ``read``, ``refused``, ``crashed`` (an error of another type), ``reached out`` (something outside was
    read or run) or ``swelled`` (too much memory).
    """
    resource.setrlimit(resource.RLIMIT_DATA, (_CEILING, _CEILING))
    watch = _Watch()
    found = {name: kind for name, kind in kinds().items() if only in name}
    for kind in found.values():
        # What is read for the first time brings libraries with it, and compiled functions, which open and unpickle.
        path = folder / f"case{kind.suffix}"
        path.write_bytes(kind.good)
        kind.read(path)
    connection.send(list(found))
    while (case := connection.recv()) is not None:
        name, seed = case
        kind = found[name]
        path = folder / f"case{kind.suffix}"
        path.write_bytes(kind.make(np.random.default_rng(seed)))
        connection.send(None)  # It has been made; reading begins.
        reset_peak()
        before = peak_bytes("self")
        watch.begin()
        try:
            kind.read(path)
            outcome, words = "read", ""
        except Face3DMMError as error:
            outcome, words = "refused", str(error)
        except BaseException:
            outcome, words = "crashed", traceback.format_exc()
        if seen := watch.end():
            outcome, words = "reached out", "; ".join(seen)
        elif (grown := peak_bytes("self") - before) > MOST_BYTES:
            outcome, words = "swelled", f"by {grown} bytes"
        connection.send((outcome, words))


class _Watch:
    """What Python opens and runs while a file is read, by its audit hook, which cannot be taken away again."""

    def __init__(self) -> None:
        self._on = False
        self._seen: list[str] = []
        sys.addaudithook(self._hear)

    def begin(self) -> None:
        self._seen, self._on = [], True

    def end(self) -> list[str]:
        self._on = False
        return self._seen

    def _hear(self, event: str, arguments: tuple) -> None:
        if not self._on:
            return
        if event in _FORBIDDEN:
            self._seen.append(f"{event} {arguments[:1]}")
        if event == "open" and isinstance(arguments[0], str | bytes):
            opened = arguments[0] if isinstance(arguments[0], str) else arguments[0].decode(errors="replace")
            if CANARY in opened or opened.startswith("/etc/"):
                self._seen.append(f"open {opened}")

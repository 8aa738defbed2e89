"""A live run with a recording, as the campaigns start it, look at it and end it."""

import os
import signal
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_MARK = "FACE3DMM_CAMPAIGN"
"""A variable by which processes of one run are found."""
_OWN = f"{os.getpid()}_"
"""How its values begin for the runs of this process."""
READY_S, END_S = 90.0, 60.0
"""s in which a run gives its first overlay, and ends; chosen by hand for a busy machine."""
_SOME_BYTES = 20_000
"""Of a video: a picture or more."""
_ORPHAN_S = 5.0
"""s in which no process is left behind; chosen by hand for a busy machine."""


@dataclass(frozen=True)
class LiveRun:
    """A run of `face3dmm live` with a recording."""

    process: subprocess.Popen
    out: Path
    mark: str

    def processes(self) -> dict[int, str]:
        """The command lines of all living processes of the run, by their ids."""
        return _processes(self.mark)

    def wait_for_overlays(self, after: int = 0) -> str:
        """Wait until the video of overlays has grown beyond a number of bytes; an error if it does not."""
        end = time.monotonic() + READY_S
        while not (video := self.out / "overlay.mp4").exists() or video.stat().st_size < after + _SOME_BYTES:
            if self.process.poll() is not None:
                return f"ended with {self.process.returncode} before it drew anything: {self.said()}"
            if time.monotonic() > end:
                return "drew nothing"
            time.sleep(0.05)
        return ""

    def end(self, number: int, allowed: tuple[int, ...]) -> str:
        """Send a signal and wait for the end; an error if it is not one of the exit codes, or leaves something."""
        with suppress(ProcessLookupError):
            self.process.send_signal(number)
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            return f"does not end by signal {number}: {self.said()}"
        said = self.said()
        if self.process.returncode not in allowed:
            return f"ended with {self.process.returncode} by signal {number}: {said}"
        return "Traceback: " + said if "Traceback" in said else self.orphans()

    def orphans(self) -> str:
        """Processes that outlive the run, after a while; empty if there are none."""
        end = time.monotonic() + _ORPHAN_S
        while (left := self.processes()) and time.monotonic() < end:
            time.sleep(0.1)
        return f"left {', '.join(left.values())}"[:300] if left else ""

    def said(self) -> str:
        """The end of what it said."""
        return (self.out.parent / f"{self.mark}.txt").read_text(errors="replace")[-600:]


def started(folder: Path, *arguments: str, domain: int | None = None) -> LiveRun:
    """Start `face3dmm live` with a recording in a folder of its own, and more arguments, perhaps in a ROS domain."""
    mark = f"{_OWN}{uuid.uuid4().hex}"
    out = folder / mark
    command = [sys.executable, "-m", "face3dmm_ros.cli.main", "live"]
    with (folder / f"{mark}.txt").open("w") as said:
        process = subprocess.Popen(
            [*command, "--out", str(out), *arguments],
            env=os.environ | {_MARK: mark} | ({} if domain is None else {"ROS_DOMAIN_ID": str(domain)}),
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    return LiveRun(process, out, mark)


def kill_what_is_left() -> None:
    """Kill all processes of the runs that this process started, so that they are in no later run's way."""
    for pid in _processes(_OWN):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _processes(mark: str) -> dict[int, str]:
    """The command lines of the processes of runs whose marks begin so, by their ids."""
    found = {}
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            if folder.name.isdigit() and f"{_MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found[int(folder.name)] = (folder / "cmdline").read_bytes().decode(errors="replace")
    return found

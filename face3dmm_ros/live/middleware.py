"""Settings of the middleware (DDS) for images between processes. Nothing here needs ROS."""

import fcntl
import os
import re
import shutil
import struct
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

from face3dmm_ros.core.resource_files import package_file

_PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
"""Fast DDS 2 (to Jazzy) reads the first, Fast DDS 3 (from Kilted) the second."""

_SEGMENT_BYTES = 32 << 20
"""What each process takes of /dev/shm: the segment_size of config/fastdds_profile.xml, where Fast DDS's own 512 KB
is less than an image."""
_SHARED_MEMORY = Path("/dev/shm")
_SEGMENT_NAME = re.compile("fastrtps_[0-9a-f]{16}")
"""What Fast DDS calls a process's segment; its ports, of some KB each, are shared by those that listen to them."""
_PORT_NAME = re.compile("fastrtps_port[0-9]+")
_STATE, _READY = struct.Struct("=I"), 2
"""How a managed segment of Boost.Interprocess begins: 0 or 1 until it is ready, then 2, or 3 if that failed."""
_STARTING_S = 5.0
"""Age of a segment's lock, s, before which nobody else touches it; chosen by hand."""
_FINISHING_S = 0.5
"""s that are given to a port which somebody is making; chosen by hand: it takes microseconds."""


def fast_dds_settings(environment: Mapping[str, str], *, loopback: bool = False) -> dict[str, str]:
    """The variables to set so that Fast DDS has room for images in its shared memory.

    Empty where the user has chosen a profile or another middleware. With `loopback` nothing leaves this machine.
    """
    chosen = any(environment.get(variable) for variable in _PROFILE_VARIABLES)
    if chosen or "fastrtps" not in environment.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp"):
        return {}
    profile = package_file(f"config/fastdds_{'loopback_' if loopback else ''}profile.xml")
    return dict.fromkeys(_PROFILE_VARIABLES, str(profile))


def composed_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables to change for a process whose nodes hand over to each other; empty where the user has chosen.

    There Fast DDS (from 2.8 on) is not to bring back what somebody outside listens to: each copy would wake a thread,
    only to be recognized and thrown away.
    """
    folder = package_file("config/fastdds_profile.xml").parent
    ours = {str(folder / f"fastdds_{kind}profile.xml"): kind for kind in ("", "loopback_")}
    return {
        variable: str(folder / f"fastdds_{ours[chosen]}composed_profile.xml")
        for variable in _PROFILE_VARIABLES
        if (chosen := environment.get(variable, "")) in ours
    }


def shared_memory_shortage(processes: int, folder: Path = _SHARED_MEMORY) -> str:
    """Why the free shared memory does not suffice for a number of processes, and what to do; empty if it does."""
    needed = processes * _SEGMENT_BYTES
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return f"{folder} cannot be used ({error.strerror}): images between processes will be lost"
    if free >= needed:
        return ""
    return (
        f"{folder} has {free >> 20} MB free, {processes} processes need {needed >> 20} MB: images between them will be "
        "lost (in a container: docker run --shm-size=512m)"
    )


def free_stale_segments(folder: Path = _SHARED_MEMORY) -> int:
    """Remove the shared memory that killed processes left behind, and return how many bytes that were.

    Fast DDS has each living process lock a file of no content beside its segment, and beside each port that it listens
    to; the system unlocks it for the dead. A port of the dead may be locked inside, or not be finished: whoever opens
    it or publishes to it waits without end then, so that nothing starts in its ROS domain any more. What other users
    left is theirs to remove.
    """
    freed = 0
    for file in folder.glob("fastrtps_*"):
        # Who listens to a port locks it; a process locks its segment as long as it lives, but makes it before the lock.
        is_segment = _SEGMENT_NAME.fullmatch(file.name) and _lock_of(file).exists()
        if is_segment or _PORT_NAME.fullmatch(file.name):
            freed += _freed_of_the_dead(file)
    return freed + sum(map(_freed, _unfinished_ports(folder)))


def _lock_of(file: Path, kind: str = "e") -> Path:
    """Fast DDS's lock beside a segment or port: the exclusive one, or the one that several listeners share ("s")."""
    return file.with_name(f"{file.name}_{kind}l")


def _freed_of_the_dead(file: Path) -> int:
    """Remove a segment or port that nobody has locked, with all that belongs to it; how many bytes it had."""
    locks = [lock for lock in (_lock_of(file), _lock_of(file, "s")) if lock.exists()]
    with suppress(OSError), ExitStack() as held:
        # A process that starts makes the file a moment before it locks it.
        if any(time.time() - made.stat().st_mtime < _STARTING_S for made in locks or [file]):
            return 0
        for lock in locks:
            fcntl.flock(held.enter_context(lock.open("rb")), fcntl.LOCK_EX | fcntl.LOCK_NB)
        freed = _freed(file)
        for belonging in (*locks, file.with_name(f"sem.{file.name}_mutex")):
            _freed(belonging)
        return freed
    return 0


def _unfinished_ports(folder: Path) -> list[Path]:
    """Ports that were left before they were ready; what is in the making, which takes no time, is waited for."""
    ports = [port for port in folder.glob("fastrtps_port*") if _PORT_NAME.fullmatch(port.name) and _is_unfinished(port)]
    if ports:
        time.sleep(_FINISHING_S)
    return [port for port in ports if _is_unfinished(port)]


def _is_unfinished(port: Path) -> bool:
    """Whether Boost's managed shared memory is not ready, as its first word says."""
    try:
        with port.open("rb") as file:
            state = file.read(_STATE.size)
    except OSError:
        return False
    return len(state) < _STATE.size or _STATE.unpack(state)[0] < _READY


def _freed(port: Path) -> int:
    """Remove a file; how many bytes it had."""
    with suppress(OSError):
        size = port.stat().st_size
        port.unlink()
        return size
    return 0


def apply_settings(*, loopback: bool) -> None:
    """Set the variables of `fast_dds_settings` in this process, which must not have imported rclpy yet."""
    os.environ.update(fast_dds_settings(os.environ, loopback=loopback))

"""How much memory a process took."""

from pathlib import Path


def peak_bytes(process: int | str) -> int:
    """Bytes of memory that a process, by its id or ``self``, had at most since its start or its last `reset_peak`."""
    return _bytes(process, "VmHWM:")


def resident_bytes(process: int | str) -> int:
    """Bytes of memory that a process, by its id or ``self``, has now."""
    return _bytes(process, "VmRSS:")


def _bytes(process: int | str, label: str) -> int:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(label):
            return 1024 * int(line.split()[1])
    return 0


def reset_peak() -> None:
    """Let what this process has now be its most so far."""
    Path("/proc/self/clear_refs").write_text("5")

"""What a process and those that it started listen on."""

import socket
import struct
from pathlib import Path

_LISTENS = "0A"


def listening_ports(pid: int) -> set[str]:
    """Addresses and TCP ports, such as 127.0.0.1:9090, on which a process and all below it listen."""
    inodes = {inode for each in _tree(pid) for inode in _sockets(each)}
    found = set()
    for name, length in (("tcp", 4), ("tcp6", 16)):
        for line in Path("/proc/net", name).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTENS and fields[9] in inodes:
                address, _, port = fields[1].partition(":")
                words = struct.pack(f"={length // 4}I", *struct.unpack(f">{length // 4}I", bytes.fromhex(address)))
                family = socket.AF_INET if length == 4 else socket.AF_INET6
                found.add(f"{socket.inet_ntop(family, words)}:{int(port, 16)}")
    return found


def _tree(pid: int) -> set[int]:
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(parent, []).append(int(status.parent.name))
    found, waiting = set(), [pid]
    while waiting:
        found.add(waiting.pop())
        waiting += [child for each in found for child in children.get(each, []) if child not in found]
    return found


def _sockets(pid: int) -> set[str]:
    found = set()
    for link in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            target = str(link.readlink())
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            found.add(target[8:-1])
    return found

"""MCAP files that nobody finished, because their recorder was killed: an end is made for them, in memory.

A file consists of records, each a byte that tells its kind, the length of its content, and that. Messages lie in
chunks; behind each stands where the messages of each channel lie in it. A finished file repeats at its end what all of
these say: without it rosbags reads no file whose messages are not in the order of their times.
"""

import io
import os
import struct
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import BinaryIO

from rosbags.rosbag2 import ReaderError
from rosbags.rosbag2.storage_mcap import decompress

from face3dmm_ros.core.errors import Face3DMMError

_MAGIC = b"\x89MCAP0\r\n"
_FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _MESSAGE_INDEX, _CHUNK_INDEX, _DATA_END = 2, 3, 4, 5, 6, 7, 8, 15
_HEAD = struct.Struct("<BQ")
_TIMES_SIZE_CHECKSUM = struct.Struct("<QQQI")


class FinishedMcap:
    """Stands for the path of an unfinished file, and opens what it would be if it had been finished."""

    suffix = ".mcap"

    def __init__(self, path: Path) -> None:
        """Look at all that is in a file.

        Raises:
            Face3DMMError: it is no MCAP file, nothing in it is complete, or it is damaged.
        """
        self._path = path
        try:
            with path.open("rb") as file:
                if file.read(len(_MAGIC)) != _MAGIC:
                    raise Face3DMMError(f"{path} is no MCAP file")
                self._length, self._end = _summed_up(file)
        except (OSError, ValueError, struct.error, ReaderError) as error:
            raise Face3DMMError(f"{path} is damaged: {error}") from error

    def __str__(self) -> str:
        """The path of the file."""
        return str(self._path)

    def exists(self) -> bool:
        """It does, or did when it was looked at."""
        return True

    def is_dir(self) -> bool:
        """It is none."""
        return False

    def open(self, mode: str = "rb") -> BinaryIO:
        """The file as if it had been finished, to read."""
        return io.BufferedReader(_Joined(self._path, self._length, self._end))


def is_unfinished(path: Path) -> bool:
    """Whether a file is MCAP without an end."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        begin = file.read(len(_MAGIC))
        file.seek(max(0, size - len(_MAGIC)))
        return begin == _MAGIC and (size < 2 * len(_MAGIC) or file.read() != _MAGIC)


class _Joined(io.RawIOBase):
    """The first bytes of a file, and others behind them."""

    def __init__(self, path: Path, length: int, end: bytes) -> None:
        self._file = path.open("rb")
        self._length, self._end, self._place = length, end, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._length + len(self._end)}[whence]
        self._place = max(0, base + offset)
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._place < self._length:
            self._file.seek(self._place)
            data = self._file.read(min(len(buffer), self._length - self._place))
        else:
            begin = self._place - self._length
            data = self._end[begin : begin + len(buffer)]
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def _summed_up(file: BinaryIO) -> tuple[int, bytes]:
    """How many bytes of a file are of use, and what a finished one has behind these: its channels and chunks."""
    records = list(_records(file))
    described: dict[tuple[int, int], bytes] = {}
    chunks: list[bytes] = []
    used = file.tell()
    for place, (kind, begin, end) in enumerate(records):
        if kind == _CHUNK:
            indexes = list(takewhile(lambda record: record[0] == _MESSAGE_INDEX, records[place + 1 :]))
            chunk = _Chunk(file, begin, end, indexes)
            if not chunk.channels <= {channel for of, channel in described if of == _CHANNEL}:
                chunk.describe(described)
            if place + len(indexes) + 1 == len(records) and chunk.channels != chunk.describe(described):
                # Some of its indexes are missing, without which it is of no use.
                break
            chunks.append(chunk.index())
        used = end
    if not chunks:
        raise ValueError("its recorder ended before it had written anything")
    footer = _HEAD.pack(_FOOTER, 20) + struct.pack("<QQI", used, 0, 0)
    return used, b"".join([*(described[key] for key in sorted(described)), *chunks, footer, _MAGIC])


def _records(file: BinaryIO) -> Iterator[tuple[int, int, int]]:
    """Of each complete record from here to the end of the messages: its kind, and where it begins and ends."""
    size = os.fstat(file.fileno()).st_size
    begin = file.tell()
    while begin + _HEAD.size <= size:
        file.seek(begin)
        kind, length = _HEAD.unpack(file.read(_HEAD.size))
        end = begin + _HEAD.size + length
        if end > size or kind == _DATA_END:
            break
        yield kind, begin, end
        begin = end
    file.seek(len(_MAGIC))


class _Chunk:
    """A chunk and the indexes behind it.

    Attributes:
        channels: the numbers of those that have an index.
    """

    def __init__(self, file: BinaryIO, begin: int, end: int, indexes: list[tuple[int, int, int]]) -> None:
        self._file, self._begin, self._end = file, begin, end
        self._indexes_end = indexes[-1][2] if indexes else end
        self._offsets = {self._number(place + _HEAD.size): place for _, place, _ in indexes}
        self.channels = set(self._offsets)
        file.seek(begin + _HEAD.size)
        self._times_size_checksum = _TIMES_SIZE_CHECKSUM.unpack(file.read(_TIMES_SIZE_CHECKSUM.size))
        (length,) = struct.unpack("<I", file.read(4))
        self._compression = file.read(length)
        (self._compressed_size,) = struct.unpack("<Q", file.read(8))
        self._data = file.tell()

    def index(self) -> bytes:
        """The record that a finished file has of it."""
        start, end, size, _ = self._times_size_checksum
        offsets = b"".join(struct.pack("<HQ", *offset) for offset in self._offsets.items())
        content = struct.pack("<QQQQI", start, end, self._begin, self._end - self._begin, len(offsets)) + offsets
        content += struct.pack("<QI", self._indexes_end - self._end, len(self._compression)) + self._compression
        content += struct.pack("<QQ", self._compressed_size, size)
        return _HEAD.pack(_CHUNK_INDEX, len(content)) + content

    def describe(self, described: dict[tuple[int, int], bytes]) -> set[int]:
        """Add the records that describe types and channels, by kind and number; returns the messages' channels."""
        self._file.seek(self._data)
        _, _, size, checksum = self._times_size_checksum
        data = decompress(self._file.read(self._compressed_size), self._compression.decode(), size, checksum)
        channels = set()
        place = 0
        while place < len(data):
            kind, length = _HEAD.unpack_from(data, place)
            (number,) = struct.unpack_from("<H", data, place + _HEAD.size)
            end = place + _HEAD.size + length
            if kind in (_SCHEMA, _CHANNEL):
                described[kind, number] = data[place:end]
            elif kind == _MESSAGE:
                channels.add(number)
            place = end
        return channels

    def _number(self, place: int) -> int:
        self._file.seek(place)
        return int.from_bytes(self._file.read(2), "little")

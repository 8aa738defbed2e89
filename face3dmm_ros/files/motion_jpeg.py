"""Motion JPEG in MP4: JPEGs that are there anyway make a video without another encoder, each shown from its time on.

The boxes are those of ISO/IEC 14496-12. While it is written the file consists of fragments, which players read up to
where it ends, however it ended. `close` adds the table that all players seek by, and turns what lay before it into mere
data of that table.
"""

import struct
import time
from array import array
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from face3dmm_ros.core.closing import Closing

_TICKS = 90_000
"""A second, in the file's unit of time; usual for videos."""
_FRAGMENT_PERIOD = 1.0
"""s between fragments; chosen by hand: about what a kill loses."""
_ONLY_IMAGE = _TICKS // 30
"""How long an image that remains the only one is shown; chosen by hand."""
_MATRIX = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
"""Pictures as they are, not turned."""


class MotionJpegWriter(Closing):
    """Writes a video of JPEGs; use it as a context manager. Times are ns, increasing, of any origin."""

    def __init__(self, path: Path, size: tuple[int, int]) -> None:
        """Begin a video of images of (width, height) px; an earlier file is written over.

        Raises:
            OSError: the file cannot be written.
        """
        self._size = size
        self._begin_ns: int | None = None
        self._last: tuple[int, bytes] | None = None
        self._waiting: list[tuple[int, bytes]] = []
        self._due = time.monotonic() + _FRAGMENT_PERIOD
        # Of all images: how long each is shown, ticks, and its bytes. Of all fragments: images, and where these begin.
        self._durations, self._sizes = array("I"), array("I")
        self._counts, self._offsets = array("I"), array("Q")
        self._length = 0
        self._file = path.open("wb")
        self._file.write(_box(b"ftyp", b"isom", struct.pack(">I", 0x200), b"isom", b"iso6", b"qt  "))
        self._data_begin = self._file.tell()
        # Room for the head of a `mdat` of any size.
        self._file.write(_box(b"free", bytes(8)))
        fragments_follow = _box(b"mvex", _full_box(b"trex", struct.pack(">5I", 1, 1, 0, 0, 0)))
        self._file.write(self._movie(fragments_follow))
        self._file.flush()

    def write(self, jpeg: bytes, time_ns: int) -> None:
        """Show an image, the bytes of a JPEG file, from a time on.

        Raises:
            OSError: the file cannot be written.
        """
        if self._begin_ns is None:
            self._begin_ns = time_ns
        tick = (time_ns - self._begin_ns) * _TICKS // 1_000_000_000
        if self._last is not None:
            begin, before = self._last
            tick = max(tick, begin + 1)
            self._waiting.append((tick - begin, before))
        self._last = tick, jpeg
        self.flush_if_due()

    def flush_if_due(self) -> None:
        """Write what waits, if some of it has waited for a second.

        Raises:
            OSError: the file cannot be written.
        """
        if time.monotonic() >= self._due:
            self._write_fragment()
            self._due = time.monotonic() + _FRAGMENT_PERIOD

    def close(self) -> None:
        """Show the last image as long as the one before it, and finish the file.

        Raises:
            OSError: the file cannot be written.
        """
        if self._file.closed:
            return
        with self._file:
            if self._last is not None:
                before = [*self._durations[-1:], *(duration for duration, _ in self._waiting)]
                self._waiting.append((before[-1] if before else _ONLY_IMAGE, self._last[1]))
            self._write_fragment()
            end = self._file.tell()
            self._file.write(self._movie())
            self._file.flush()
            # Last: until then readers find the fragments.
            self._file.seek(self._data_begin)
            self._file.write(struct.pack(">I4sQ", 1, b"mdat", end - self._data_begin))

    def _write_fragment(self) -> None:
        if not self._waiting:
            return
        durations, jpegs = zip(*self._waiting, strict=True)
        sizes = [len(jpeg) for jpeg in jpegs]
        # Images begin behind the head and that of `mdat`; how long the head is does not depend on the number.
        begin = len(self._fragment_head(durations, sizes, 0)) + 8
        offset = self._file.tell() + begin
        self._file.write(self._fragment_head(durations, sizes, begin))
        self._file.write(struct.pack(">I4s", 8 + sum(sizes), b"mdat"))
        for jpeg in jpegs:
            self._file.write(jpeg)
        self._file.flush()
        self._durations.extend(durations)
        self._sizes.extend(sizes)
        self._counts.append(len(sizes))
        self._offsets.append(offset)
        self._length += sum(durations)
        self._waiting.clear()

    def _fragment_head(self, durations: tuple[int, ...], sizes: list[int], begin: int) -> bytes:
        """The box `moof` of images that begin so many bytes after it does."""
        images = b"".join(struct.pack(">II", *image) for image in zip(durations, sizes, strict=True))
        return _box(
            b"moof",
            _full_box(b"mfhd", struct.pack(">I", len(self._counts) + 1)),
            _box(
                b"traf",
                _full_box(b"tfhd", struct.pack(">I", 1), flags=0x020000),
                _full_box(b"tfdt", struct.pack(">Q", self._length), version=1),
                _full_box(b"trun", struct.pack(">Ii", len(sizes), begin), images, flags=0x000301),
            ),
        )

    def _movie(self, *also: bytes) -> bytes:
        """The box `moov` with the table of all images that are in fragments, and perhaps other boxes."""
        width, height = self._size
        no_dates = bytes(16)
        length = struct.pack(">Q", self._length)
        movie = no_dates + struct.pack(">I", _TICKS) + length + struct.pack(">IH10x", 0x10000, 0x100) + _MATRIX
        track = no_dates + struct.pack(">II", 1, 0) + length + bytes(16) + _MATRIX
        media = no_dates + struct.pack(">I", _TICKS) + length + struct.pack(">HH", 0x55C4, 0)
        here = _full_box(b"url ", flags=1)
        information = _box(
            b"minf",
            _full_box(b"vmhd", bytes(8), flags=1),
            _box(b"dinf", _full_box(b"dref", struct.pack(">I", 1), here)),
            self._sample_table(),
        )
        return _box(
            b"moov",
            _full_box(b"mvhd", movie, bytes(24), struct.pack(">I", 2), version=1),
            _box(
                b"trak",
                _full_box(b"tkhd", track, struct.pack(">II", width << 16, height << 16), version=1, flags=3),
                _box(
                    b"mdia",
                    _full_box(b"mdhd", media, version=1),
                    _full_box(b"hdlr", struct.pack(">I4s12x", 0, b"vide"), b"VideoHandler\0"),
                    information,
                ),
            ),
            *also,
        )

    def _sample_table(self) -> bytes:
        """The box `stbl`: what the images are, how long each is shown, and where it lies."""
        name = b"Motion JPEG"
        entry = struct.pack(">6xH16xHHIIIH", 1, *self._size, 0x480000, 0x480000, 0, 1)
        entry += bytes([len(name)]) + name.ljust(31, b"\0") + struct.pack(">Hh", 24, -1)
        # As arrays: a day has millions of images, of which lists of Python's numbers would take half a gigabyte.
        shown, counts = np.array(self._durations, np.uint32), np.array(self._counts, np.uint32)
        begins = _changes(shown)
        repeats = np.diff(begins, append=len(shown))
        # A fragment is what the table calls a chunk; those with as many images as the one before are not named.
        chunks = _changes(counts)
        return _box(
            b"stbl",
            _full_box(b"stsd", struct.pack(">I", 1), _box(b"jpeg", entry)),
            _full_box(b"stts", _table(repeats, shown[begins])),
            _full_box(b"stsc", _table(chunks + 1, counts[chunks], np.ones(len(chunks)))),
            _full_box(b"stsz", struct.pack(">I", 0), _table(self._sizes)),
            _full_box(b"co64", _table(self._offsets, layout=">u8")),
        )


def _changes(values: NDArray[np.uint32]) -> NDArray[np.intp]:
    """Where values are other than the one before, and the first."""
    return np.flatnonzero(np.append(np.ones(min(1, len(values)), bool), values[1:] != values[:-1]))


def _table(*columns: ArrayLike, layout: str = ">u4") -> bytes:
    """How many rows there are, and the rows."""
    rows = np.column_stack([np.asarray(column).astype(layout) for column in columns])
    return struct.pack(">I", len(rows)) + rows.astype(layout, copy=False).tobytes()


def _box(kind: bytes, *content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + sum(map(len, content)), kind) + b"".join(content)


def _full_box(kind: bytes, *content: bytes, version: int = 0, flags: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags), *content)

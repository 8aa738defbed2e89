"""The last frames of a live view, for readers who come and go and may be slow."""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from threading import Condition

from face3dmm_ros.core.closing import Closing
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.viewer.viewed_frame import ViewedFrame

_UNITS = {"kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}
_BARE_FRAME = 20_000
"""Bytes of a frame of one face without pictures and mesh, about, as Python keeps it: its numbers and their objects."""
_BATCH = 30
"""Frames that a reader gets at a time: what is kept for each reader beside the buffer."""
_LAG = 60
"""Frames by which a reader may fall behind before it goes on with the newest: 2 s of a usual camera's. All chosen by
hand.
"""
_PATIENCE = 1.0
"""s after which a reader hears that there is nothing new; chosen by hand."""


def byte_count(text: str) -> int:
    """The number of bytes in a text such as 512MB or 1.5GiB.

    Raises:
        Face3DMMError: it is no such text.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)", text.strip())
    if found is None or found[2] not in _UNITS:
        raise Face3DMMError(f"{text!r} is no amount of memory: write 512MB or 1GB ({', '.join(_UNITS)})")
    return int(float(found[1]) * _UNITS[found[2]])


@dataclass(frozen=True, eq=False)
class KeptFrame:
    """A frame, and how it is shown.

    Attributes:
        frame: what there is to see.
        number: of the frame, from 0 on.
        due: whether its pictures, landmarks, meshes and bars are shown too, or its curves only.
    """

    frame: ViewedFrame
    number: int
    due: bool

    @property
    def size(self) -> int:
        """Bytes that it takes, about."""
        frame = self.frame
        pictures = sum(len(picture) for picture in (frame.image, frame.overlay) if picture is not None)
        meshes = (frame.meshes or {}).values()
        # Triangles are the same arrays in all frames.
        return _BARE_FRAME + pictures + sum(m.vertices.nbytes + m.normals.nbytes + m.rgb.nbytes for m in meshes)


class FrameBuffer(Closing):
    """Keeps the last frames, up to an amount of memory; any number of threads read them, each at its own pace."""

    def __init__(self, capacity: int) -> None:
        """Keep frames of `capacity` bytes together; the newest is always kept."""
        self._capacity = capacity
        self._frames: deque[KeptFrame] = deque()
        self._size = self._count = 0
        self._closed = False
        self._changed = Condition()

    @property
    def size(self) -> int:
        """Bytes of what is kept, about."""
        return self._size

    def add(self, frame: ViewedFrame, *, due: bool) -> None:
        """Add the next frame, and let go of the oldest ones if there is no room.

        Args:
            frame: the next.
            due: whether its pictures, landmarks, meshes and bars are shown too.
        """
        with self._changed:
            self._frames.append(KeptFrame(frame, self._count, due))
            self._count += 1
            self._size += self._frames[-1].size
            while self._size > self._capacity and len(self._frames) > 1:
                self._size -= self._frames.popleft().size
            self._changed.notify_all()

    def close(self) -> None:
        """Let go of all frames; readers come to an end."""
        with self._changed:
            self._closed = True
            self._frames.clear()
            self._size = 0
            self._changed.notify_all()

    def batches(self) -> Iterator[list[KeptFrame]]:
        """What is kept, then what comes, until closed; a batch is empty if nothing has come for a second.

        A reader that had all and falls behind goes on with the newest.
        """
        number, had_all = 0, False
        while True:
            with self._changed:
                if not self._closed and self._count == number:
                    self._changed.wait(_PATIENCE)
                if self._closed:
                    return
                if had_all and self._count - number > _LAG:
                    number = self._count - 1
                start = max(0, number - (self._count - len(self._frames)))
                batch = list(islice(self._frames, start, start + _BATCH))
                number = batch[-1].number + 1 if batch else number
                had_all = number == self._count
            yield batch

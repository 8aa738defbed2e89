"""Messages that belong together by their stamps: an image and its results."""

import struct
from collections import OrderedDict
from typing import Generic, TypeVar

Item = TypeVar("Item")
Image = TypeVar("Image")
Results = TypeVar("Results")
Stamp = tuple[int, int]

CAPACITY = 30
"""Images that wait for their results at most: a second at 30 images/s, far more than the pipeline's latency. Chosen by
hand: a larger one only keeps more memory where results are lost, a smaller one gives up images while a node stalls."""


def stamp_of(header: object) -> Stamp:
    """(seconds, nanoseconds) of a header: what results of the same image have in common."""
    return header.stamp.sec, header.stamp.nanosec  # type: ignore[attr-defined]


def serialized_stamp(message: bytes) -> Stamp:
    """The same of a serialized (CDR) message that begins with a header."""
    # After the four bytes of the encapsulation header, of which the second tells the byte order.
    return struct.unpack_from("<iI" if message[1] & 1 else ">iI", message, 4)


class _Waiting(OrderedDict[Stamp, Item]):
    """What waits for its counterpart, by stamp, the oldest first.

    Attributes:
        dropped: how many were given up.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.dropped = 0
        self._capacity = capacity

    def add(self, stamp: Stamp, item: Item) -> None:
        """Let an item wait, in place of an earlier one of the same stamp."""
        self.dropped += self.pop(stamp, None) is not None
        self[stamp] = item
        if len(self) > self._capacity:
            self.popitem(last=False)
            self.dropped += 1

    def take(self, stamp: Stamp) -> Item:
        """Take the item of a stamp out, and give up those that have waited longer."""
        while (oldest := self.popitem(last=False))[0] != stamp:
            self.dropped += 1
        return oldest[1]


class StampMatcher(Generic[Image, Results]):
    """Brings each image together with its results, whichever comes first. Both arrive in the order of their stamps.

    Where several images have the same stamp, results go with the newest image that waits, so that no picture is older
    than its faces, and a loss on one side does not shift the later pairs. Results that then find no image are given up:
    their image has gone with others.

    Attributes:
        images: those that wait; its `dropped` counts those that were given up: their results did not come before those
            of a later image, or within `capacity` images.
        results: those that wait; its `dropped` counts those that were given up, since their image did not come.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        """Let at most `capacity` images, and as many results, wait."""
        self.images: _Waiting[Image] = _Waiting(capacity)
        self.results: _Waiting[Results] = _Waiting(capacity)
        self._last_image: Stamp | None = None

    def add_image(self, stamp: Stamp, image: Image) -> tuple[Image, Results] | None:
        """Take an image; returns the pair if its results are there already."""
        self._last_image = stamp
        self.images.add(stamp, image)
        return self._match(stamp)

    def add_results(self, stamp: Stamp, results: Results) -> tuple[Image, Results] | None:
        """Take an image's results; returns the pair if the image is there already."""
        if stamp == self._last_image and stamp not in self.images:
            self.results.dropped += 1
            return None
        self.results.add(stamp, results)
        return self._match(stamp)

    def _match(self, stamp: Stamp) -> tuple[Image, Results] | None:
        if stamp in self.images and stamp in self.results:
            return self.images.take(stamp), self.results.take(stamp)
        return None

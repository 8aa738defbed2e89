"""Messages that belong together by their stamps: an image and its results."""

import struct
from collections import OrderedDict
from typing import Generic, TypeVar

import numpy as np

Item = TypeVar("Item")
Image = TypeVar("Image")
Results = TypeVar("Results")
Stamp = tuple[int, int]

CAPACITY = 30
"""Images that wait for their results at most: a second at 30 images/s, far more than the pipeline's latency. Chosen by
hand: a larger one only keeps more memory where results are lost, a smaller one gives up images while a node stalls."""
MOST_BYTES = 300_000_000
"""Of the images that wait: two of the largest that are taken (`core.image_limits`), 12 of 4K, all `CAPACITY` of full
HD. Chosen by hand: an encoded image of a few kilobytes may hold 150 MB, and 30 of them would fill the memory."""


def stamp_of(header: object) -> Stamp:
    """(seconds, nanoseconds) of a header: what results of the same image have in common."""
    return header.stamp.sec, header.stamp.nanosec  # type: ignore[attr-defined]


def serialized_stamp(message: bytes) -> Stamp:
    """The same of a serialized (CDR) message that begins with a header."""
    # After the four bytes of the encapsulation header, of which the second tells the byte order.
    return struct.unpack_from("<iI" if message[1] & 1 else ">iI", message, 4)


class Waiting(OrderedDict[Stamp, Item]):
    """What waits for its counterpart, by stamp, the oldest first.

    Attributes:
        dropped: how many were given up.
    """

    def __init__(self, capacity: int = CAPACITY, most_bytes: int = MOST_BYTES) -> None:
        """Let at most so many items wait, whose pixels take at most so many bytes, or one."""
        super().__init__()
        self.dropped = 0
        self._capacity = capacity
        self._most_bytes = most_bytes

    def add(self, stamp: Stamp, item: Item) -> None:
        """Let an item wait, in place of an earlier one of the same stamp, and give up the oldest beyond the limits."""
        self.dropped += self.pop(stamp, None) is not None
        self[stamp] = item
        while len(self) > self._capacity or (len(self) > 1 and sum(map(_bytes_of, self.values())) > self._most_bytes):
            self.popitem(last=False)
            self.dropped += 1

    def take(self, stamp: Stamp) -> Item:
        """Take the item of a stamp out, and give up those that have waited longer."""
        while (oldest := self.popitem(last=False))[0] != stamp:
            self.dropped += 1
        return oldest[1]


def _bytes_of(item: object) -> int:
    """Bytes of the pixels in an item that waits: an array, or a tuple that holds one; 0 without.

    Those of what it is a view of: rows of an image may be padded.
    """
    parts = item if isinstance(item, tuple) else (item,)
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    return sum((each.base if isinstance(each.base, np.ndarray) else each).nbytes for each in arrays)


class StampMatcher(Generic[Image, Results]):
    """Brings each image together with its results, whichever comes first. Both arrive in the order of their stamps.

    Where several images have the same stamp, results go with the newest image that waits, so that no picture is older
    than its faces, and a loss on one side does not shift the later pairs. Results that then find no image are given up:
    their image has gone with others.

    Attributes:
        images: those that wait; its `dropped` counts those that were given up: their results did not come before those
            of a later image, or within `capacity` images and `most_bytes`.
        results: those that wait; its `dropped` counts those that were given up, since their image did not come.
    """

    def __init__(self, capacity: int = CAPACITY, most_bytes: int = MOST_BYTES) -> None:
        """Let at most `capacity` images, and as many results, wait; of images no more than `most_bytes`, or one."""
        self.images: Waiting[Image] = Waiting(capacity, most_bytes)
        self.results: Waiting[Results] = Waiting(capacity, most_bytes)
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

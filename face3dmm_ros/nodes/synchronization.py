"""Messages that belong together: the faces of one image, and an image with its results."""

from collections import OrderedDict
from typing import Generic, TypeVar

from face3dmm_ros.nodes.conversions import FaceMessage, slot_of

Message = TypeVar("Message", bound=FaceMessage)
Image = TypeVar("Image")
Results = TypeVar("Results")
Stamp = tuple[int, int]


def stamp_of(header: object) -> Stamp:
    """(seconds, nanoseconds) of a header: what results of the same image have in common."""
    return header.stamp.sec, header.stamp.nanosec  # type: ignore[attr-defined]


class FaceCollector(Generic[Message]):
    """Collects the messages about the faces of one image.

    Where images have the same stamp, only the order of the messages tells where one ends and the next begins.

    Attributes:
        incomplete: images of which a face's message did not come before the next image's.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.incomplete = 0
        self._stamp: Stamp | None = None
        self._last_complete: Stamp | None = None
        self._faces: dict[int, Message] = {}

    def add(self, message: Message) -> list[Message] | None:
        """Take a message; the image's messages by face_index once they are all there (an empty list for no face).

        Raises:
            Face3DMMError: the message's face_index does not fit its face_count.
        """
        slot = slot_of(message)
        stamp = stamp_of(message.header)
        # What comes in any order has a stamp of its own.
        taken = range(max(self._faces, default=-1) + 1) if stamp == self._last_complete else self._faces
        if stamp != self._stamp or slot.face_index in taken:
            self.incomplete += bool(self._faces)
            self._stamp, self._faces = stamp, {}
        if slot.face_count == 0:
            self._last_complete = stamp
            return []
        self._faces[slot.face_index] = message
        if len(self._faces) < slot.face_count:
            return None
        self._last_complete = stamp
        faces = [self._faces[index] for index in sorted(self._faces)]
        self._faces = {}
        return faces


class StampMatcher(Generic[Image, Results]):
    """Brings each image together with its results, whichever comes first. Both arrive in the order of their stamps.

    Where images have the same stamp, results go with the newest image that waits. So no picture is older than its
    faces, and what gets lost on one side puts no later pair out of step. Results that find no image wait for none then:
    theirs has gone with others.

    Attributes:
        dropped: images that were given up: their results did not come before those of a later one, or within
            `capacity` images.
        dropped_results: results that were given up, since their image did not come.
    """

    def __init__(self, capacity: int) -> None:
        """Keep at most `capacity` images, and as many results, that wait for the other."""
        self.dropped = self.dropped_results = 0
        self._capacity = capacity
        self._last_image: Stamp | None = None
        self._images: OrderedDict[Stamp, Image] = OrderedDict()
        self._results: OrderedDict[Stamp, Results] = OrderedDict()

    def add_image(self, stamp: Stamp, image: Image) -> tuple[Image, Results] | None:
        """Take an image; the pair if its results are there already."""
        self.dropped += self._images.pop(stamp, None) is not None
        self._last_image = stamp
        self._images[stamp] = image
        while len(self._images) > self._capacity:
            self._images.popitem(last=False)
            self.dropped += 1
        return self._match(stamp)

    def add_results(self, stamp: Stamp, results: Results) -> tuple[Image, Results] | None:
        """Take an image's results; the pair if the image is there already."""
        if stamp == self._last_image and stamp not in self._images:
            self.dropped_results += 1
            return None
        self.dropped_results += self._results.pop(stamp, None) is not None
        self._results[stamp] = results
        while len(self._results) > self._capacity:
            self._results.popitem(last=False)
            self.dropped_results += 1
        return self._match(stamp)

    def clear(self) -> None:
        """Give up all that waits, without counting it."""
        self._last_image = None
        self._images.clear()
        self._results.clear()

    def _match(self, stamp: Stamp) -> tuple[Image, Results] | None:
        if stamp not in self._images or stamp not in self._results:
            return None
        pair = self._images[stamp], self._results[stamp]
        while stamp in self._images:
            self.dropped += next(iter(self._images)) != stamp
            self._images.popitem(last=False)
        while stamp in self._results:
            self.dropped_results += next(iter(self._results)) != stamp
            self._results.popitem(last=False)
        return pair

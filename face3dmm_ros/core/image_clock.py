"""The time of images, also of those whose stamps do not tell it."""

from typing import Any

_SECOND = 1_000_000_000
_SHORTEST_STEP = 1_000_000
"""ns between two images that came at once: a millisecond, less than cameras take."""


def stamp_ns(header: Any) -> int:
    """A header's stamp in ns."""
    return header.stamp.sec * _SECOND + header.stamp.nanosec


class ImageClock:
    """Tells the time of each image of a stream; it always goes on.

    That is the image's stamp, if it is later than the time of the image before. A stamp that is zero, repeated or set
    back is no time: then as much time has passed as between the arrivals of the two images, and the first image's time
    is its arrival.

    Attributes:
        problem: what was wrong with the first stamp that was no time; empty while all are.
    """

    def __init__(self) -> None:
        """Before the first image."""
        self.problem = ""
        self._time_ns: int | None = None
        self._stamp_ns = self._arrival_ns = 0

    def time_of(self, stamp_ns: int, arrival_ns: int) -> int:
        """The time of the next image, ns, from its stamp and from when it came (in a bag: was recorded), both ns."""
        before = 0 if self._time_ns is None else self._time_ns
        if stamp_ns > before:
            time_ns = stamp_ns
        elif self._time_ns is None:
            time_ns = arrival_ns
        else:
            time_ns = before + max(arrival_ns - self._arrival_ns, _SHORTEST_STEP)
        if time_ns != stamp_ns and not self.problem:
            self.problem = self._problem_of(stamp_ns)
        self._time_ns, self._stamp_ns, self._arrival_ns = time_ns, stamp_ns, arrival_ns
        return time_ns

    def _problem_of(self, stamp_ns: int) -> str:
        if stamp_ns == 0:
            return "an image's stamp is zero"
        if stamp_ns == self._stamp_ns:
            return f"two images have the stamp {1e-9 * stamp_ns:.9f}"
        return f"the images' stamps go back from {1e-9 * self._stamp_ns:.9f} to {1e-9 * stamp_ns:.9f}"

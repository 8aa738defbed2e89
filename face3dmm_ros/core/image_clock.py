"""The time of images, also of those whose stamps are missing, repeated or set back."""

from typing import Any

_SECOND = 1_000_000_000
_SHORTEST_STEP = 1_000_000
"""ns between two images that arrived together. By hand: 1 ms, less than the time between two images of any camera."""
_RECOVERY = 30
"""Valid stamps in a row after which they count as valid again; chosen by hand: a second at 30 images/s."""


def stamp_ns(header: Any) -> int:
    """A header's stamp in ns."""
    return header.stamp.sec * _SECOND + header.stamp.nanosec


class ImageClock:
    """Gives each image of a stream a time, strictly increasing.

    The time is the image's stamp where that is later than the previous time. Where the stamp is zero, negative,
    repeated or set back, it is the previous time plus the interval between the two arrivals; for the first image, its
    arrival.

    Attributes:
        problem: what was wrong with the first invalid stamp; empty while all are valid.
    """

    def __init__(self) -> None:
        """Before the first image."""
        self.problem = ""
        self._time_ns: int | None = None
        self._stamp_ns = self._arrival_ns = 0
        self._valid = _RECOVERY

    @property
    def recovered(self) -> bool:
        """Whether the last stamps were all valid."""
        return self._valid >= _RECOVERY

    def time_of(self, stamp_ns: int, arrival_ns: int) -> int:
        """The time of the next image, ns, from its stamp and its arrival (in a bag: when it was recorded), both ns."""
        before = 0 if self._time_ns is None else self._time_ns
        if stamp_ns > before:
            time_ns = stamp_ns
        elif self._time_ns is None:
            time_ns = arrival_ns
        else:
            time_ns = before + max(arrival_ns - self._arrival_ns, _SHORTEST_STEP)
        self._valid = self._valid + 1 if time_ns == stamp_ns else 0
        if time_ns != stamp_ns and not self.problem:
            self.problem = self._problem_of(stamp_ns)
        self._time_ns, self._stamp_ns, self._arrival_ns = time_ns, stamp_ns, arrival_ns
        return time_ns

    def _problem_of(self, stamp_ns: int) -> str:
        if stamp_ns <= 0:
            return f"an image's stamp is {'negative' if stamp_ns else 'zero'}"
        if stamp_ns == self._stamp_ns:
            return f"two images have the stamp {1e-9 * stamp_ns:.9f}"
        return f"the images' stamps go back from {1e-9 * self._stamp_ns:.9f} to {1e-9 * stamp_ns:.9f}"

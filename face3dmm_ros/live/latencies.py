"""Latencies and rate of a run of any length in memory of a fixed size."""

import math
from collections import deque

import numpy as np

_SMALLEST_MS, _LARGEST_MS = 0.1, 1e6
_STEP = 1.01
"""From one bin of the histogram to the next: a percentile is within half a percent of one that was measured."""
_BINS = math.ceil(math.log(_LARGEST_MS / _SMALLEST_MS, _STEP))
_LAST = 60
"""Arrivals of which a run in progress tells the median: two seconds at 30 images/s. Chosen by hand."""


class Latencies:
    """How long after their images' stamps results arrived.

    Attributes:
        count: how many arrived.
    """

    def __init__(self) -> None:
        """Before the first arrival."""
        self.count = 0
        self._bins = np.zeros(_BINS, np.int64)
        self._last: deque[float] = deque(maxlen=_LAST)
        self._first_ns = self._last_ns = 0
        self._least_ms, self._most_ms = math.inf, -math.inf

    def add(self, stamp_ns: int, arrival_ns: int) -> None:
        """Count an arrival and the stamp of its image, ns."""
        latency_ms = 1e-6 * (arrival_ns - stamp_ns)
        if self.count == 0:
            self._first_ns = arrival_ns
        self._last_ns = arrival_ns
        self.count += 1
        self._last.append(latency_ms)
        self._least_ms, self._most_ms = min(self._least_ms, latency_ms), max(self._most_ms, latency_ms)
        place = math.log(max(latency_ms, _SMALLEST_MS) / _SMALLEST_MS, _STEP)
        self._bins[min(int(place), _BINS - 1)] += 1

    @property
    def rate(self) -> float:
        """Arrivals per second; 0 before the second."""
        took_ns = self._last_ns - self._first_ns
        return 1e9 * (self.count - 1) / took_ns if self.count > 1 and took_ns > 0 else 0.0

    @property
    def recent_median(self) -> float | None:
        """Of the last arrivals, ms; None before the first."""
        return round(float(np.median(self._last)), 3) if self._last else None

    def percentiles(self) -> dict[str, float | None]:
        """The 50th, 90th and 99th of all latencies, ms, as `p50` and so on, within 0.5 %; None before the first."""
        return {f"p{q}": self._percentile(q) if self.count else None for q in (50, 90, 99)}

    def _percentile(self, q: int) -> float:
        place = int(np.searchsorted(np.cumsum(self._bins), max(1, math.ceil(q / 100 * self.count))))
        middle = _SMALLEST_MS * _STEP ** (place + 0.5)
        # The outermost bins hold all that lies beyond, such as what a clock that is behind makes less than nothing.
        return round(min(max(middle, self._least_ms), self._most_ms), 3)

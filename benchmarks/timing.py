"""Medians with spread, the candidates taking turns so that a noisy neighbour disturbs them alike."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_WARM_UP_CALLS, _FEWEST_ROUNDS = 3, 5
"""Chosen by hand: the first calls load and allocate, and the slowest candidates need more than one value."""


@dataclass(frozen=True, eq=False)
class Timing:
    """Wall-clock times of a call, ms, in the order of its turns."""

    durations: NDArray[np.float64]

    @property
    def median(self) -> float:
        """The median."""
        return float(np.median(self.durations))

    @property
    def p10(self) -> float:
        """The 10th percentile."""
        return float(np.quantile(self.durations, 0.1))

    @property
    def p90(self) -> float:
        """The 90th percentile."""
        return float(np.quantile(self.durations, 0.9))

    def ratio_to(self, peer: "Timing") -> tuple[float, float, float]:
        """How many times as long as a peer that took turns with it: the median over the turns, and where it may lie.

        The interval holds the median's true value with a probability of 95 %, by the ranks of a binomial distribution:
        if 1 lies in it, the two are not told apart.
        """
        ratios = np.sort(self.durations / peer.durations)
        n = len(ratios)
        reach = 0.98 * np.sqrt(n)
        low, high = max(0, int(n / 2 - reach)), min(n - 1, int(np.ceil(n / 2 + reach)))
        return float(np.median(ratios)), float(ratios[low]), float(ratios[high])


def take_turns(candidates: Mapping[str, Callable[[], object]], seconds: float) -> dict[str, Timing]:
    """Time candidates round-robin for about `seconds` each, after a few calls to warm up."""
    durations: dict[str, list[float]] = {name: [] for name in candidates}
    for call in candidates.values():
        for _ in range(_WARM_UP_CALLS):
            call()
    end = time.perf_counter() + seconds * len(candidates)
    while time.perf_counter() < end or len(durations[next(iter(candidates))]) < _FEWEST_ROUNDS:
        for name, call in candidates.items():
            start = time.perf_counter()
            call()
            durations[name].append(1000.0 * (time.perf_counter() - start))
    return {name: Timing(np.array(times)) for name, times in durations.items()}

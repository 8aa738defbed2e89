"""Medians with spread, the candidates taking turns so that a noisy neighbour disturbs them alike."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

_WARM_UP_CALLS, _FEWEST_ROUNDS = 3, 5
"""Chosen by hand: the first calls load and allocate, and the slowest candidates need more than one value."""


@dataclass(frozen=True)
class Timing:
    """Wall-clock time of a call, ms."""

    median: float
    p10: float
    p90: float


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
    return {name: Timing(*(float(q) for q in np.quantile(d, [0.5, 0.1, 0.9]))) for name, d in durations.items()}

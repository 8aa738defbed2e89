"""What the benchmarks say of two times: a ratio where they can be told apart."""

import numpy as np
import pytest

from benchmarks.timing import Timing, take_turns


def test_a_ratio_is_taken_turn_by_turn_so_that_a_machine_that_drifts_does_not_show_in_it() -> None:
    drift = np.linspace(1.0, 3.0, 40)
    assert Timing(2.0 * drift).ratio_to(Timing(drift)) == pytest.approx((2.0, 2.0, 2.0))


def test_of_two_times_that_are_alike_the_interval_holds_1_in_about_95_of_100_cases() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        one, other = (Timing(np.exp(0.3 * rng.standard_normal(50))) for _ in range(2))
        _, low, high = one.ratio_to(other)
        held += low < 1.0 < high
    assert 0.92 < held / 400 < 0.99


def test_candidates_take_equally_many_turns_after_their_warm_up() -> None:
    calls = {"a": 0, "b": 0}

    def count(name: str) -> None:
        calls[name] += 1

    timings = take_turns({name: lambda name=name: count(name) for name in calls}, 0.01)
    assert len(timings["a"].durations) == len(timings["b"].durations) >= 5
    assert calls["a"] == calls["b"] == len(timings["a"].durations) + 3

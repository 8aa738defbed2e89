"""Latencies of a run of any length: percentiles that hold, in memory that does not grow."""

import numpy as np
import pytest

from face3dmm_ros.live.latencies import Latencies

MILLISECOND, SECOND = 1_000_000, 1_000_000_000


def of(latencies_ms, begin_ns=1_700_000_000 * SECOND, period_ns=SECOND // 30):
    latencies = Latencies()
    for number, latency_ms in enumerate(latencies_ms):
        stamp_ns = begin_ns + number * period_ns
        latencies.add(stamp_ns, stamp_ns + round(1e6 * latency_ms))
    return latencies


def test_percentiles_are_those_of_all_latencies_to_half_a_percent():
    measured = np.random.default_rng(0).lognormal(3.5, 0.7, 20_000)
    found = of(measured).percentiles()
    assert list(found) == ["p50", "p90", "p99"]
    expected = np.percentile(measured, (50, 90, 99), method="inverted_cdf")
    np.testing.assert_allclose(list(found.values()), expected, rtol=0.006)


def test_a_run_of_days_takes_no_more_memory_than_a_short_one():
    latencies = of([20.0] * 100)
    long = of([20.0] * 5000)
    assert long._bins.nbytes == latencies._bins.nbytes
    assert len(long._last) == len(latencies._last)


def test_the_median_of_a_run_in_progress_is_that_of_its_last_arrivals():
    latencies = of([500.0] * 200 + [20.0] * 60)
    assert latencies.recent_median == pytest.approx(20.0)
    assert latencies.percentiles()["p50"] == pytest.approx(500.0, rel=0.006)


def test_the_rate_is_that_from_the_first_arrival_to_the_last():
    assert of([20.0] * 31).rate == pytest.approx(30.0)


@pytest.mark.parametrize("latency_ms", [-40.0, 0.0, 1e9])
def test_latencies_of_clocks_that_disagree_are_told_as_they_are(latency_ms):
    assert of([latency_ms] * 3).percentiles() == dict.fromkeys(("p50", "p90", "p99"), pytest.approx(latency_ms))


def test_without_an_arrival_there_are_no_figures():
    latencies = Latencies()
    assert latencies.percentiles() == {"p50": None, "p90": None, "p99": None}
    assert (latencies.recent_median, latencies.rate) == (None, 0.0)

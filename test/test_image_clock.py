"""The time of images goes on, whatever their stamps say."""

import pytest

from face3dmm_ros.core.image_clock import ImageClock

PERIOD = 33_000_000
STAMPS = [1_700_000_000_000_000_000 + k * PERIOD for k in range(5)]
ARRIVALS = [5_000_000_000 + k * PERIOD for k in range(5)]


def times(stamps, arrivals=ARRIVALS):
    clock = ImageClock()
    return [clock.time_of(stamp, arrival) for stamp, arrival in zip(stamps, arrivals, strict=True)], clock.problem


def test_stamps_that_go_on_are_the_time():
    assert times(STAMPS) == (STAMPS, "")


def test_images_without_a_stamp_are_timed_by_their_arrival():
    assert times([0] * 5) == (ARRIVALS, "an image's stamp is zero")


def test_images_from_before_all_time_are_timed_by_their_arrival():
    assert times([-PERIOD] * 5) == (ARRIVALS, "an image's stamp is negative")


@pytest.mark.parametrize(
    ("odd", "problem"),
    [
        (STAMPS[1], "two images have the stamp 1700000000.03"),
        (STAMPS[0], "the images' stamps go back from 1700000000.03"),
        (0, "an image's stamp is zero"),
    ],
    ids=["repeated", "back", "zero"],
)
def test_a_stamp_that_is_no_time_is_bridged_by_the_time_between_arrivals_and_told(odd, problem):
    found, said = times([*STAMPS[:2], odd, *STAMPS[3:]])
    assert found == STAMPS
    assert said.startswith(problem)


def test_a_clip_that_begins_again_goes_on_in_time():
    found, _ = times([*STAMPS[:3], *STAMPS[:2]])
    assert found == STAMPS


def test_stamps_of_whole_seconds_stay_in_step():
    seconds = [10**9 * (1 + k // 30) for k in range(90)]
    found, _ = times(seconds, [k * 10**9 // 30 for k in range(90)])
    assert max(abs(time - 10**9 - k * 10**9 // 30) for k, time in enumerate(found)) < 10


def test_time_goes_on_even_where_arrivals_do_not():
    found, _ = times([0] * 4, [7_000_000_000, 7_000_000_000, 3_000_000_000, 3_033_000_000])
    assert found == [7_000_000_000, 7_001_000_000, 7_002_000_000, 7_035_000_000]


def test_a_clock_has_recovered_once_thirty_stamps_in_a_row_were_valid():
    clock = ImageClock()
    recovered = []
    for count in range(1, 40):
        clock.time_of(0 if count == 5 else 1_000_000_000 * count, 0)
        recovered.append(clock.recovered)
    assert recovered == [True] * 4 + [False] * 30 + [True] * 5
    assert clock.problem == "an image's stamp is zero"

"""What the benchmarks make of times that grow: ratios and curves."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import growth
from benchmarks.growth import draw, positions, with_ratios
from face3dmm_ros.files.pictures import read_picture

ROWS = {"0": {"processor_ms": 10.0, "answered": 1.0}, "1": {"processor_ms": 20.0, "answered": 0.5}}


def test_each_time_has_its_ratio_to_that_of_a_chosen_row() -> None:
    table = with_ratios(ROWS, "1")
    assert [row["processor_ratio"] for row in table.values()] == [0.5, 1.0]


def test_what_is_no_time_has_no_ratio() -> None:
    assert with_ratios(ROWS, "1")["0"] == {"processor_ms": 10.0, "answered": 1.0, "processor_ratio": 0.5}


def test_where_nothing_was_answered_no_ratio_is_claimed() -> None:
    nothing = {"1": {"p50_ms": float("nan")}, "2": {"p50_ms": 30.0}}
    assert np.isnan([row["p50_ratio"] for row in with_ratios(nothing, "1").values()]).all()


@pytest.mark.parametrize("across", [[1, 2, 4], ["source", "+ landmarks", "+ fitter"]])
def test_curves_of_numbers_and_of_names_are_written_as_a_picture(across: list, tmp_path: Path) -> None:
    path = tmp_path / "growth.png"
    draw(path, "subscribers", {"time, ratio": {"composed": (across, [1.0, 1.1, 1.3])}, "p50, ratio": {}})
    assert np.ptp(read_picture(path)) > 0


def test_every_candidate_of_a_kind_has_its_place_on_the_curve_and_they_grow() -> None:
    for kind, count in (("image_size", len(growth.SIZES)), ("faces", len(growth.FACES)), ("model", 2)):
        placed = positions(kind)
        assert len(placed) == count
        assert placed == sorted(placed)

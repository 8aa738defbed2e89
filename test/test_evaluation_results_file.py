"""Results survive a kill and are never mixed with those of other settings."""

from pathlib import Path

import pytest

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.evaluation.dataset.results_file import ResultsFile

SETTINGS = {"backend": "facemesh", "fit_methods": ("joint",)}


def record(key: str, stamp: int = 1, **rest: object) -> dict:
    return {"key": key, "stamp": [stamp], **rest}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with two results."""
    path = tmp_path / "out" / "results.jsonl"
    with ResultsFile(path, SETTINGS) as results:
        results.append(record("a", error=1.5))
        results.append(record("b", error=2.5))
    return path


def test_what_was_appended_is_there_again(path: Path) -> None:
    with ResultsFile(path, SETTINGS) as results:
        assert results.holds("a", [1])
        assert not results.holds("c", [1])
        assert [r["error"] for r in results.records()] == [1.5, 2.5]


def test_a_record_is_on_disk_as_soon_as_it_is_appended(path: Path) -> None:
    with ResultsFile(path, SETTINGS) as results:
        results.append(record("c"))
        assert b'"c"' in path.read_bytes()


def test_a_kill_at_any_byte_costs_at_most_the_record_being_written(path: Path) -> None:
    whole = path.read_bytes()
    ends = [index + 1 for index, byte in enumerate(whole) if byte == ord("\n")]
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        with ResultsFile(path, SETTINGS) as results:
            kept = len(list(results.records()))
            assert kept == max(0, sum(end <= length for end in ends) - 1)
            results.append(record("new"))
            assert len(list(results.records())) == kept + 1


def test_a_damaged_line_and_what_follows_is_done_again(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1].replace(b"{", b"#") + lines[2])
    with ResultsFile(path, SETTINGS) as results:
        assert list(results.records()) == []


def test_an_input_that_changed_is_done_again_and_its_old_result_forgotten(path: Path) -> None:
    with ResultsFile(path, SETTINGS) as results:
        assert not results.holds("a", [2])
        results.append(record("a", stamp=2, error=9.0))
        assert [r["error"] for r in results.records()] == [2.5, 9.0]


def test_other_settings_are_refused_with_what_changed(path: Path) -> None:
    with pytest.raises(Face3DMMError, match=r"backend was facemesh, is dlib.*--fresh"):
        ResultsFile(path, {**SETTINGS, "backend": "dlib"})
    with ResultsFile(path, SETTINGS) as results:
        assert results.holds("a", [1])


def test_fresh_drops_what_is_there(path: Path) -> None:
    with ResultsFile(path, {**SETTINGS, "backend": "dlib"}, fresh=True) as results:
        assert not results.holds("a", [1])
    with ResultsFile(path, {**SETTINGS, "backend": "dlib"}) as results:
        assert list(results.records()) == []


@pytest.mark.parametrize("text", ['{"not": "ours"}\n', "a diary\n", "[]\n", "{}\n"])
def test_a_file_of_something_else_is_not_overwritten(tmp_path: Path, text: str) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(text)
    with pytest.raises(Face3DMMError, match="another run"):
        ResultsFile(path, SETTINGS)
    assert path.read_text() == text


def test_two_runs_at_once_are_refused(path: Path) -> None:
    with ResultsFile(path, SETTINGS), pytest.raises(Face3DMMError, match="another run is writing"):
        ResultsFile(path, SETTINGS)


def test_a_place_that_cannot_be_written_to_is_named(path: Path) -> None:
    with pytest.raises(Face3DMMError, match=r"results\.jsonl"):
        ResultsFile(path / "results.jsonl", SETTINGS)

"""`face3dmm evaluate dataset --format portraits`: people's smiles, on made-up weights and on a portrait shown twice."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from face3dmm_ros.cli.main import main
from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.evaluation.dataset.pipeline_options import PipelineOptions
from face3dmm_ros.evaluation.dataset.portraits import RATE, SHOWN, PortraitWatcher, read_place
from face3dmm_ros.evaluation.dataset.smiles import SmileWeights, smile_weights, summarize_smiles
from face3dmm_ros.pipeline import FacePipeline

PLACE = [[150.0, 20.0], [300.0, 200.0]]
"""px, two corners of a box with the astronaut's face in it."""


def weights(**named: float) -> list[float]:
    """(52,), zero but for these."""
    return [named.get(name, 0.0) for name in ARKIT_NAMES]


def person(name: str, neutral: list[float] | str, smile: list[float] | str) -> dict:
    """A record of one fit method that saw the same in both ways."""
    return {"key": f"person/{name}", "seen": {"joint": {"track": [neutral, smile], "single": [neutral, smile]}}}


def seen(*records: dict) -> SmileWeights:
    return smile_weights(records, ["joint"])["joint"]


def test_people_count_whose_smile_rises_most() -> None:
    summary = summarize_smiles(
        seen(
            person("smiles", weights(browDownLeft=0.9), weights(browDownLeft=0.9, mouthSmileLeft=0.4)),
            person("smiles too", weights(jawOpen=0.5), weights(mouthSmileRight=0.6, mouthDimpleLeft=0.5)),
            person("opens the mouth", weights(mouthSmileLeft=0.3), weights(mouthSmileLeft=0.5, jawOpen=0.3)),
            person("is as before", weights(mouthSmileLeft=0.9), weights(mouthSmileLeft=0.9)),
        )
    )
    assert summary["people"] == 4
    for way in ("track", "single"):
        assert summary[f"smile_strongest_{way}"] == pytest.approx(2 / 4)
        assert summary[f"smile_mean_{way}"] == pytest.approx((0.2 + 0.3 + 0.1 + 0.0) / 4)


def test_a_track_and_single_pictures_are_told_apart() -> None:
    both = person("a", weights(), weights(mouthSmileLeft=0.8, mouthSmileRight=0.8))
    both["seen"]["joint"]["single"][1] = weights(mouthSmileLeft=0.2, jawOpen=0.4)
    summary = summarize_smiles(seen(both))
    assert (summary["smile_strongest_track"], summary["smile_strongest_single"]) == (1.0, 0.0)
    assert (summary["smile_mean_track"], summary["smile_mean_single"]) == pytest.approx((0.8, 0.1))


def test_the_face_at_rest_is_told_by_its_ten_strongest_weights_in_order() -> None:
    neutral = weights(**{name: k / 100 for k, name in enumerate(ARKIT_NAMES)})
    one = person("a", neutral, weights())
    one["seen"]["joint"]["track"][0] = weights(jawOpen=1.0)
    rest = summarize_smiles(seen(one, person("b", weights(), weights())))["rest"]
    assert list(rest) == list(ARKIT_NAMES[:-11:-1])
    assert rest["tongueOut"] == pytest.approx(0.51 / 2)


def test_who_is_not_seen_in_every_picture_is_named_and_does_not_count() -> None:
    judged = seen(
        person("a", weights(), weights(mouthSmileLeft=0.5)),
        person("b", weights(), "no face"),
    )
    summary = summarize_smiles(judged)
    assert (summary["people"], summary["found"]) == (1, 3 / 4)
    assert summary["smile_strongest_single"] == 1.0
    assert judged.failures == {"b": "smile, track: no face; smile, single: no face"}


def test_of_nobody_nothing_is_told() -> None:
    summary = summarize_smiles(seen(person("a", "no face", "no face")))
    assert (summary["people"], summary["found"], summary["rest"]) == (0, 0.0, {})
    assert np.isnan([summary["smile_strongest_track"], summary["smile_mean_single"]]).all()


def portrait(folder: Path, name: str, neutral: np.ndarray, smile: np.ndarray, place: list = PLACE) -> None:
    """One person's files."""
    cv2.imwrite(str(folder / f"{name}_neutral.jpg"), neutral)
    cv2.imwrite(str(folder / f"{name}_smile.jpg"), smile)
    (folder / f"{name}_neutral.json").write_text(json.dumps({"points": place}))


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory, astronaut: np.ndarray) -> Path:
    """One who is the same in both pictures, one without a face in the second, three incomplete, and another picture."""
    folder = tmp_path_factory.mktemp("people")
    portrait(folder, "a", astronaut, astronaut)
    portrait(folder, "b", astronaut, np.zeros_like(astronaut))
    for name, missing in (("c", "_smile.jpg"), ("d", "_neutral.json"), ("e", "_neutral.jpg")):
        portrait(folder, name, astronaut, astronaut)
        (folder / f"{name}{missing}").unlink()
    cv2.imwrite(str(folder / "a.jpg"), astronaut)
    return folder


def evaluate(folder: Path, out: Path, *options: str) -> int:
    """Run the command in this process."""
    command = ["evaluate", "dataset", str(folder), "--format", "portraits", "--out", str(out), "--jobs", "1"]
    return main([*command, *options])


@pytest.fixture(scope="module")
def run(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a run with two fit methods."""
    out = tmp_path_factory.mktemp("run")
    assert evaluate(people, out, "--fit-method", "joint", "alternating") == 0
    return out


@pytest.mark.slow
def test_the_report_has_people_failures_and_skipped(run: Path) -> None:
    report = json.loads((run / "report.json").read_text())
    assert set(report["methods"]) == {"joint", "alternating"}
    figures = report["portraits"]
    assert figures == report["methods"]["joint"]["portraits"] != report["methods"]["alternating"]["portraits"]
    assert (figures["people"], figures["found"], len(figures["rest"])) == (1, 3 / 4, 10)
    assert figures["smile_mean_single"] == 0.0  # the very same picture
    assert set(report["failures"]["joint"]) == {"b"}
    assert set(report["skipped"]) == {"c", "d", "e", "a.jpg"}
    for name, missing in (("c", "c_smile.jpg"), ("d", "d_neutral.json"), ("e", "e_neutral.jpg")):
        assert missing in report["skipped"][name]


def test_the_page_has_tables_and_plots_but_no_picture_of_anybody(run: Path) -> None:
    page = (run / "report.html").read_text()
    assert page.count("<img") == page.count("data:image/png") == 3
    assert "c_smile.jpg" in page


def test_the_same_command_again_only_reports(people: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (run / "results.jsonl").read_bytes()
    assert evaluate(people, run, "--fit-method", "joint", "alternating") == 0
    assert (run / "results.jsonl").read_bytes() == before
    shown = capsys.readouterr().out
    assert "smile strongest" in shown
    assert "Skipped: 4." in shown


def test_a_track_shows_each_picture_four_times_and_reads_the_last(
    people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = []
    process = FacePipeline.process

    def watched(pipeline: FacePipeline, image: np.ndarray, time: float | None = None) -> list:
        times.append(time)
        return process(pipeline, image, time)

    monkeypatch.setattr(FacePipeline, "process", watched)
    record = PortraitWatcher(PipelineOptions("portraits")).person(people / "a")["seen"]["joint"]
    assert times[: 2 * SHOWN] == [k / RATE for k in range(8)]
    assert times[2 * SHOWN :] == [None, None]
    assert record["single"][0] == record["single"][1]
    # A track grows more certain of whom it sees: its last image is read, not its first.
    assert record["track"][0] != record["single"][0]


def test_a_face_elsewhere_than_the_label_says_is_not_found(tmp_path: Path, astronaut: np.ndarray) -> None:
    portrait(tmp_path, "a", astronaut, astronaut, place=[[0.0, 300.0], [100.0, 500.0]])
    record = PortraitWatcher(PipelineOptions("portraits")).person(tmp_path / "a")
    assert record["seen"]["joint"]["single"] == ["no face where the label says"] * 2


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"points": [1, 2]}', '{"points": [[1, 2, 3]]}', '{"points": [[1, 2], [1, 2]]}',
     '{"points": [[1, 2], [NaN, 9]]}', '{"points": [[1, 2], [3]]}', '{"points": "none"}'],
)  # fmt: skip
def test_a_label_that_cannot_be_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a_neutral.json"
    path.write_text(text)
    with pytest.raises(Face3DMMError, match=r"a_neutral\.json"):
        read_place(path)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--roi", "truth"], "--roi truth"),
        (["--landmarks", "truth"], "--landmarks truth"),
        (["--negatives", "nowhere"], "--negatives"),
        (["--fit-method", "photometric"], "photometric"),
        (["--limit", "0"], "limit"),
    ],
)
def test_options_that_mean_nothing_here_are_refused(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], complaint: str
) -> None:
    assert evaluate(people, tmp_path / "out", *options) == 2
    error = capsys.readouterr().err.strip()
    assert complaint in error
    assert "\n" not in error
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_folder_of_other_pictures_is_refused(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(people / "a_smile.jpg", tmp_path / "holiday.jpg")
    assert evaluate(tmp_path, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "holiday.jpg is none of NAME_neutral.jpg, NAME_smile.jpg, NAME_neutral.json" in error

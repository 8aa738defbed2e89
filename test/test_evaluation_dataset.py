"""`face3dmm evaluate dataset` on a small data set with a truth that the test itself makes up."""

import json
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io

from face3dmm_ros.cli.main import main
from face3dmm_ros.core.rotations import pose_angles, rotation_from_vector
from face3dmm_ros.core.values import FaceParameters
from face3dmm_ros.evaluation.dataset.face_evaluator import EvaluationOptions, FaceEvaluator
from face3dmm_ros.evaluation.dataset.faceless_pictures import FacelessPicture
from face3dmm_ros.files.pictures import read_picture
from face3dmm_ros.fitting import TrackFitter
from face3dmm_ros.landmarks import LandmarkTracker, create_backend
from face3dmm_ros.morphable_model import MorphableModel

pytestmark = pytest.mark.slow

SHIFT = np.array([3.0, -4.0])
"""px between what the pipeline fits and what the made-up truth says: each point is 5 px off."""
OFFSET = rotation_from_vector([0.0, 0.1, 0.0])
"""Between the model's frame and the made-up truth's."""


def fitted(image: np.ndarray, model: MorphableModel) -> FaceParameters:
    """What the pipeline makes of the only face in an image."""
    (face,) = LandmarkTracker(create_backend()).track(image)
    return TrackFitter(model, "joint").fit(face)


def points_of(parameters: FaceParameters, model: MorphableModel) -> np.ndarray:
    """(68, 3): px and depth away from the camera, of the fitted iBUG points."""
    points = model.scheme("ibug68").interpolate(model.vertices(parameters.alpha, parameters.beta))
    return np.column_stack([parameters.camera.project(points), parameters.camera.depth(points)])


def write_truth(picture: Path, parameters: FaceParameters, model: MorphableModel, **more: object) -> float:
    """A truth near a fit; returns the NME, %, that the fit has under it."""
    points = points_of(parameters, model)
    points[:, :2] += SHIFT
    pose = pose_angles(parameters.camera.rotation @ OFFSET)
    pt3d = np.column_stack([points[:, :2], -points[:, 2]]).T
    scipy.io.savemat(
        picture.with_suffix(".mat"), {"pt3d_68": pt3d, "Pose_Para": np.array([[*pose, 0, 0, 0, 1]]), **more}
    )
    return float(100.0 * np.hypot(*SHIFT) / np.sqrt(np.prod(np.ptp(points[:, :2], axis=0))))


@pytest.fixture(scope="module")
def portrait_fit(astronaut: np.ndarray, default_model: MorphableModel) -> FaceParameters:
    """The fit to the portrait as it is."""
    return fitted(astronaut, default_model)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory, astronaut: np.ndarray, default_model: MorphableModel) -> Path:
    """Two portraits, the second moved by some pixels; `nme.json` has the NME that fits to them have."""
    folder = tmp_path_factory.mktemp("labelled")
    expected = {}
    for index, step in enumerate((0, 40)):
        picture = folder / f"face{index}.png"
        cv2.imwrite(str(picture), np.roll(astronaut, step, axis=1))
        parameters = fitted(read_picture(picture), default_model)
        expected[picture.name] = write_truth(picture, parameters, default_model)
    (folder / "nme.json").write_text(json.dumps(expected))
    return folder


def evaluate(folder: Path, out: Path, *options: str, form: str = "aflw2000") -> dict:
    """Run the command in this process; returns report.json."""
    assert main(["evaluate", "dataset", str(folder), "--format", form, "--out", str(out), *options]) == 0
    return json.loads((out / "report.json").read_text())


@pytest.fixture(scope="module")
def run(labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a run with two fit methods."""
    out = tmp_path_factory.mktemp("run")
    evaluate(labelled, out, "--fit-method", "joint", "alternating", "--jobs", "1")
    return out


def test_the_report_is_printed_for_scripts(labelled: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = evaluate(labelled, run, "--fit-method", "joint", "alternating", "--jobs", "1", "--json")
    told = capsys.readouterr()
    (line,) = told.out.splitlines()
    assert json.loads(line) == {"out": str(run), **report}
    assert f"written to {run}/" in told.err


def test_the_reports_figures_are_those_of_the_pipeline_against_the_truth(labelled: Path, run: Path) -> None:
    report = json.loads((run / "report.json").read_text())
    expected = json.loads((labelled / "nme.json").read_text())
    frontal = report["bins"]["0-30"]
    assert (frontal["faces"], frontal["found"], frontal["failure10"]) == (2, 1.0, 0.0)
    assert frontal["nme_fitted"] == pytest.approx(np.mean(list(expected.values())), rel=1e-3)
    assert frontal["auc10"] == pytest.approx(np.mean([1 - nme / 10 for nme in expected.values()]), rel=1e-3)
    assert frontal["nme_3d"] == pytest.approx(0.0, abs=1e-3)
    assert frontal["rotation_deg"] == pytest.approx(0.0, abs=1e-3)
    np.testing.assert_allclose(report["rotation_offset"], OFFSET, atol=1e-5)
    np.testing.assert_allclose(report["mean_shift_px"], -SHIFT, atol=1e-3)


def test_the_report_has_what_its_readers_look_for(run: Path) -> None:
    report = json.loads((run / "report.json").read_text())
    assert {"0-30", "30-60", "60-90", "mean"} <= set(report["bins"])
    keys = {"faces", "found", "nme_fitted", "nme_detected", "nme_3d", "auc10", "failure10", "rotation_deg"}
    assert all(keys <= set(summary) for summary in report["bins"].values())
    assert report["bins"]["60-90"] | {"faces": 0, "nme_fitted": None} == report["bins"]["60-90"]
    assert set(report["methods"]) == {"joint", "alternating"}
    assert report["bins"] == report["methods"]["joint"]["bins"] != report["methods"]["alternating"]["bins"]
    assert report["false_alarms"]["pictures"] > 20
    assert report["false_alarms"]["faces"] <= 0.03 * report["false_alarms"]["pictures"]
    page = (run / "report.html").read_text()
    assert page.count("<img") == 5 + 2  # plots and faces
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_the_report_tells_how_expressions_follow_the_truth(
    tmp_path: Path, labelled: Path, default_model: MorphableModel, portrait_fit: FaceParameters
) -> None:
    for index in range(3):
        picture = tmp_path / f"{index}.png"
        picture.symlink_to(labelled / "face0.png")
        beta = portrait_fit.beta.copy()
        beta[default_model.expression_names.index("jawOpen")] = 0.3 * index
        write_truth(picture, replace(portrait_fit, beta=beta), default_model)
    report = evaluate(tmp_path, tmp_path / "out", "--landmarks", "truth", "--jobs", "1")
    expression = report["expression"]
    assert expression == report["methods"]["joint"]["expression"]
    assert set(expression) == {"eyes", "wink", "lips", "mouth_width", "brows", "faces"}
    assert expression["faces"] == 3
    assert expression["lips"]["slope"] > 0.7
    assert expression["lips"]["correlation"] > 0.9
    assert expression["wink"]["slope"] != expression["lips"]["slope"]
    assert "<h2>Expression</h2>" in (tmp_path / "out" / "report.html").read_text()


def test_the_report_tells_whether_confidences_hold(run: Path) -> None:
    told = json.loads((run / "report.json").read_text())["confidence"]
    assert told["right_within_nme"] == 5.0
    assert [each["from"] for each in told["bins"]] == [k / 10 for k in range(10)]
    faces = np.array([each["faces"] for each in told["bins"]])
    apart = [abs(each["said"] - each["true"]) if each["faces"] else 0.0 for each in told["bins"]]
    assert faces.sum() > 0
    assert told["calibration_error"] == pytest.approx(faces @ apart / faces.sum())
    assert "calibration error" in (run / "report.html").read_text()


def test_a_fit_that_meets_the_truth_follows_its_expression_wholly(labelled: Path) -> None:
    record = face(labelled)
    np.testing.assert_allclose(record["fits"]["joint"]["expression"], record["expression"], atol=1e-4)


def test_the_report_says_which_mean_is_one_of_bins(
    labelled: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(labelled, run, "--fit-method", "joint", "alternating")
    said = json.loads((run / "report.json").read_text())["note"]
    assert "mean of bins" in said
    assert "all faces" in said
    shown = capsys.readouterr().out
    assert said in shown
    assert "expression, |yaw| 0-30°" in shown
    assert "MAE °" in shown
    assert said in (run / "report.html").read_text()


def test_the_same_command_again_only_reports(labelled: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (run / "results.jsonl").read_bytes()
    report = (run / "report.json").read_bytes()
    evaluate(labelled, run, "--fit-method", "joint", "alternating")
    assert "mean of bins" in capsys.readouterr().out
    assert (run / "results.jsonl").read_bytes() == before
    assert (run / "report.json").read_bytes() == report


def test_other_options_do_not_mix_with_old_results(
    labelled: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["evaluate", "dataset", str(labelled), "--format", "aflw2000", "--out", str(run)]
    assert main([*command, "--roi", "truth"]) == 2
    error = capsys.readouterr().err
    assert "roi was detector, is truth" in error
    assert "--fresh" in error


def test_a_killed_run_goes_on_and_leaves_no_process_behind(tmp_path: Path, labelled: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for index in range(12):
        for source in (labelled / f"face{index % 2}.png", labelled / f"face{index % 2}.mat"):
            (folder / f"{index:02}{source.suffix}").symlink_to(source)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "face3dmm_ros.cli.main", "evaluate", "dataset", str(folder)]
    command += ["--format", "aflw2000", "--out", str(out), "--jobs", "2"]
    results = out / "results.jsonl"
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        while not (results.is_file() and results.read_bytes().count(b"\n") > 3):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    at_kill = results.read_bytes()
    done = at_kill[: at_kill.rindex(b"\n") + 1]
    assert done.count(b'"face/') < 12
    deadline = time.monotonic() + 20.0
    while time.monotonic() < deadline and processes_of_group(process.pid):
        time.sleep(0.05)
    assert processes_of_group(process.pid) == []

    report = evaluate(folder, out)
    assert report["bins"]["all"]["faces"] == 12
    assert results.read_bytes().startswith(done)
    keys = [json.loads(line).get("key") for line in results.read_bytes().splitlines()]
    assert len(keys) == len(set(keys))


def test_the_installed_command_does_nothing_in_worker_processes_that_import_it() -> None:
    script = shutil.which("face3dmm")
    if script is None:
        pytest.skip("needs the installed command on PATH")
    runpy.run_path(script, run_name="__mp_main__")


def processes_of_group(group: int) -> list[str]:
    """Living processes of a process group."""
    stats = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(stat[2]) == group and stat[0] != "Z":
                stats.append(entry.name)
    return stats


def test_files_that_cannot_be_used_are_skipped_and_counted(tmp_path: Path, labelled: Path) -> None:
    for name in ("face0.png", "face0.mat"):
        (tmp_path / name).write_bytes((labelled / name).read_bytes())
    for name in ("no_truth.png", "cut_off.png"):
        (tmp_path / name).write_bytes((labelled / "face0.png").read_bytes())
    (tmp_path / "cut_off.mat").write_bytes((labelled / "face0.mat").read_bytes()[:300])
    (tmp_path / "no_picture.jpg").write_bytes(b"not a picture")
    (tmp_path / "no_picture.mat").write_bytes((labelled / "face0.mat").read_bytes())
    report = evaluate(tmp_path, tmp_path / "out", "--landmarks", "truth", "--jobs", "1")
    assert report["bins"]["all"]["faces"] == 1
    assert set(report["skipped"]) == {"no_truth.png", "cut_off.png", "no_picture.jpg"}
    assert "missing" in report["skipped"]["no_truth.png"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "no_picture.jpg is not a picture" in page


def test_a_set_of_nothing_usable_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((50, 50, 3), np.uint8))
    options = ["--format", "aflw2000", "--out", str(tmp_path / "out"), "--landmarks", "truth", "--jobs", "1"]
    assert main(["evaluate", "dataset", str(tmp_path), *options]) == 2
    assert "a.mat is missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--fit-method", "magic"], "magic"),
        (["--fit-method", "joint", "joint"], "different"),
        (["--backend", "magic"], "magic"),
        (["--dense-network", "nowhere.tflite"], "nowhere.tflite"),
        (["--backend", "facemesh", "--dense-network", "mine.tflite"], "for the backend dense"),
        (["--model", "nowhere.npz"], "nowhere.npz"),
        (["--limit", "0"], "limit"),
        (["--jobs", "-1"], "jobs"),
        (["--jobs", "2", "--dask", "tcp://127.0.0.1:8786"], "leave one of them out"),
        (["--negatives", "nowhere"], "nowhere"),
    ],
)
def test_options_that_cannot_be_are_refused(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], complaint: str
) -> None:
    command = ["evaluate", "dataset", str(labelled), "--format", "aflw2000", "--out", str(tmp_path / "out")]
    assert main([*command, *options]) == 2
    error = capsys.readouterr().err.strip()
    assert complaint in error
    assert "\n" not in error
    assert not (tmp_path / "out").exists()


def face(labelled: Path, name: str = "face0.png", **options: object) -> dict:
    """The record of one labelled picture."""
    return FaceEvaluator(EvaluationOptions("aflw2000", **options)).face(labelled / name)  # type: ignore[arg-type]


def test_true_landmarks_judge_the_fit_alone(labelled: Path) -> None:
    record = face(labelled, landmarks="truth")
    assert record["detected"] is None
    # The truth comes from a fit, so the model can reach it but for its priors.
    assert record["fits"]["joint"]["nme_fixed"] < 1.5
    np.testing.assert_allclose(record["fits"]["joint"]["shift_px"], 0.0, atol=0.2)


def test_the_true_box_finds_a_face_that_the_detector_is_not_asked_for(
    labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluator = FaceEvaluator(EvaluationOptions("aflw2000", roi="truth"))
    monkeypatch.setattr(type(evaluator._backend), "detect", lambda *_: pytest.fail("the detector was asked"))
    assert evaluator.face(labelled / "face1.png")["fits"]["joint"]["iou"] > 0.8


def test_of_several_faces_the_labelled_one_is_judged(
    tmp_path: Path, labelled: Path, astronaut: np.ndarray, default_model: MorphableModel, portrait_fit: FaceParameters
) -> None:
    picture = tmp_path / "two.png"
    cv2.imwrite(str(picture), np.hstack([cv2.convertScaleAbs(astronaut, alpha=0.8), astronaut]))
    write_truth(picture, portrait_fit, default_model)
    mat = scipy.io.loadmat(picture.with_suffix(".mat"))
    mat["pt3d_68"][0] += astronaut.shape[1]
    scipy.io.savemat(picture.with_suffix(".mat"), {key: mat[key] for key in ("pt3d_68", "Pose_Para")})
    record = face(tmp_path, "two.png")
    assert record["extra_faces"] == 1
    assert record["fits"]["joint"]["iou"] > 0.7


def test_a_picture_in_which_no_face_is_seen_is_a_miss(tmp_path: Path, labelled: Path) -> None:
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((512, 512, 3), np.uint8))
    (tmp_path / "black.mat").write_bytes((labelled / "face0.mat").read_bytes())
    record = face(tmp_path, "black.png")
    assert record["fits"] == {"joint": None}
    assert record["detected"] is None


def test_a_fit_that_gives_up_is_a_miss_with_its_reason(labelled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def give_up(*_: object) -> FaceParameters:
        raise np.linalg.LinAlgError("singular")

    monkeypatch.setattr(TrackFitter, "fit", give_up)
    record = face(labelled)
    assert record["fits"] == {"joint": None}
    assert record["failures"] == {"joint": "singular"}


def test_rendered_sets_also_tell_how_far_the_vertices_are_off(
    tmp_path: Path, astronaut: np.ndarray, default_model: MorphableModel, portrait_fit: FaceParameters
) -> None:
    picture = tmp_path / "a.png"
    cv2.imwrite(str(picture), astronaut)
    shape = {"alpha": portrait_fit.alpha, "beta": portrait_fit.beta}
    write_truth(picture, portrait_fit, default_model, **shape, model_digest=default_model.digest)
    assert face(tmp_path, "a.png")["fits"]["joint"]["vertex_mm"] == pytest.approx(0.0, abs=1e-3)
    write_truth(picture, portrait_fit, default_model, **shape, model_digest="of another model")
    assert face(tmp_path, "a.png")["fits"]["joint"]["vertex_mm"] is None


def test_without_a_true_pose_the_yaw_is_that_of_a_fit_to_the_true_points(
    tmp_path: Path, astronaut: np.ndarray, default_model: MorphableModel, portrait_fit: FaceParameters
) -> None:
    points = points_of(portrait_fit, default_model)[:, :2] + 1.0
    cv2.imwrite(str(tmp_path / "a.png"), astronaut)
    text = "\n".join(f"{x} {y}" for x, y in points)
    (tmp_path / "a.pts").write_text(f"version: 1\nn_points: 68\n{{\n{text}\n}}\n")
    record = FaceEvaluator(EvaluationOptions("pts")).face(tmp_path / "a.png")
    assert record["pose"] is None
    assert record["yaw_deg"] == pytest.approx(np.degrees(pose_angles(portrait_fit.camera.rotation)[1]), abs=4.0)
    assert record["fits"]["joint"]["nme_3d"] is None
    assert record["fits"]["joint"]["nme_fixed"] == pytest.approx(0.0, abs=1e-2)


def test_false_alarms_are_the_faces_seen_in_pictures_without_one(tmp_path: Path, astronaut: np.ndarray) -> None:
    cv2.imwrite(str(tmp_path / "really_a_face.png"), astronaut)
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((200, 200, 3), np.uint8))
    evaluator = FaceEvaluator(EvaluationOptions("aflw2000"))
    assert evaluator.faceless(FacelessPicture(tmp_path / "really_a_face.png")) == 1
    assert evaluator.faceless(FacelessPicture(tmp_path / "black.png")) == 0


def test_on_labelled_photographs_frontal_faces_are_found(shared_data: Path, tmp_path: Path) -> None:
    report = evaluate(shared_data / "aflw2000_dev", tmp_path, "--limit", "12")
    assert report["bins"]["0-30"]["found"] > 0.8
    assert report["bins"]["0-30"]["nme_fitted"] < 5.0

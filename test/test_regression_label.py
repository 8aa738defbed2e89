"""`face3dmm label`: fits of one person pooled, and the labels that come of it."""

import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io
from numpy.typing import NDArray

from face3dmm_ros.cli.main import main
from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import FRONTAL
from face3dmm_ros.core.values import Box, FaceParameters, Landmarks, TrackedFace
from face3dmm_ros.lab.synthesis.random_scene import SceneOptions, random_identity, random_scene
from face3dmm_ros.lab.synthesis.scene_renderer import SceneRenderer
from face3dmm_ros.lab.training.pooled_labels import LabelledPerson, PersonLabeller, confidence_of, pool, write_person
from face3dmm_ros.landmarks import LandmarkTracker, create_backend
from face3dmm_ros.morphable_model import MorphableModel

pytestmark = pytest.mark.slow

PICTURES = 4


def fit(alpha: list[float], gamma: list[float] | None = None, digest: str = "d") -> FaceParameters:
    camera = WeakPerspective(2.0, FRONTAL, np.zeros(2))
    known = np.array(gamma or [])
    return FaceParameters(camera, np.array(alpha), np.zeros(3), "m", digest, "joint", 1.0, 0.9, (100, 100), known)


def test_a_persons_coefficients_are_the_mean_weighed_by_confidence() -> None:
    pooled = pool([fit([1.0, 0.0], [4.0]), fit([5.0, 2.0], [0.0])], [0.3, 0.1])
    np.testing.assert_allclose(pooled.weights, [0.75, 0.25])
    np.testing.assert_allclose(pooled.alpha, [2.0, 0.5])
    np.testing.assert_allclose(pooled.gamma, [3.0])


@pytest.mark.parametrize(
    ("fits", "confidence", "message"),
    [
        ([], [], "at least one fit"),
        ([fit([1.0]), fit([1.0], digest="other")], [1, 1], "of one model"),
        ([fit([1.0]), fit([1.0], [2.0])], [1, 1], "one method"),
        ([fit([1.0]), fit([1.0])], [0, 0], "not all of them 0"),
        ([fit([1.0]), fit([1.0])], [1, -1], "from 0 up"),
        ([fit([1.0])], [np.nan], "from 0 up"),
        ([fit([1.0])], [1, 1], "expected 1 confidences"),
    ],
)
def test_what_cannot_be_pooled_is_refused(fits: list[FaceParameters], confidence: list[float], message: str) -> None:
    with pytest.raises(Face3DMMError, match=message):
        pool(fits, confidence)


def test_unsure_landmarks_count_by_their_variance_on_the_face() -> None:
    points = np.zeros((68, 2), np.float32)
    landmarks = Landmarks("ibug68", points, Box(0, 0, 9, 9), 0.8, (100, 100))
    face = TrackedFace(0, landmarks, fit([1.0]))
    assert confidence_of(face) == pytest.approx(0.8)
    # 6 px at 2 px/mm are 3 mm.
    told = replace(landmarks, deviation=np.full(68, 6.0, np.float32))
    assert confidence_of(replace(face, landmarks=told)) == pytest.approx(0.8 / 9)


@pytest.fixture(scope="module")
def people(default_model: MorphableModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, NDArray[np.float64]]:
    """A folder with pictures of one rendered person, a second person without a face; and the first one's α."""
    folder = tmp_path_factory.mktemp("people")
    for name in ("one", "nobody"):
        (folder / name).mkdir()
    alpha, gamma = random_identity(np.random.default_rng(3), default_model)
    options = SceneOptions(image_size=(240, 240), max_yaw=40.0, glasses=0.0, occluder=0.0)
    with SceneRenderer(default_model) as renderer:
        for k in range(PICTURES):
            scene = random_scene(np.random.default_rng([1, k]), default_model, options)
            image = renderer.render(replace(scene, alpha=alpha, gamma=gamma)).image
            cv2.imwrite(str(folder / "one" / f"{k}.png"), image)
    cv2.imwrite(str(folder / "one" / "0.jpg"), image)
    (folder / "one" / "broken.jpg").write_bytes(b"no picture")
    cv2.imwrite(str(folder / "nobody" / "wall.png"), np.full((64, 64, 3), 90, np.uint8))
    return folder, alpha


def test_all_pictures_of_a_person_share_the_identity_and_keep_their_own_pose(
    people: tuple[Path, NDArray[np.float64]], default_model: MorphableModel
) -> None:
    labelled = PersonLabeller(default_model).label(sorted((people[0] / "one").glob("*.png")))
    assert len(labelled.pictures) == PICTURES
    for _, fitted in labelled.pictures:
        np.testing.assert_allclose(fitted.alpha, labelled.pooled.alpha, atol=1e-9)
    rotations = [fitted.camera.rotation for _, fitted in labelled.pictures]
    assert np.abs(rotations[0] - rotations[1]).max() > 0.05
    assert labelled.spread_mm > 0.1


def test_a_pooled_label_fits_its_pictures(
    people: tuple[Path, NDArray[np.float64]], default_model: MorphableModel
) -> None:
    labelled = PersonLabeller(default_model).label(sorted((people[0] / "one").glob("*.png")))
    tracker = LandmarkTracker(create_backend())
    for path, fitted in labelled.pictures:
        tracker.reset()
        seen = tracker.track(cv2.imread(str(path)))[0].landmarks
        vertices = default_model.vertices(fitted.alpha, fitted.beta)
        points = fitted.camera.project(default_model.scheme(seen.scheme).interpolate(vertices))
        distance = np.linalg.norm(points - seen.points, axis=1)
        assert np.median(distance) < 0.03 * np.ptp(seen.points, axis=0).max()


@pytest.fixture(scope="module")
def labels(people: tuple[Path, NDArray[np.float64]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the verb writes of those people, of whom it leaves one out."""
    out = tmp_path_factory.mktemp("labels")
    assert main(["label", str(people[0]), "--out", str(out)]) == 2
    return out


def test_a_person_is_written_as_pictures_with_labels(labels: Path) -> None:
    names = sorted(path.name for path in (labels / "one").iterdir())
    expected = [f"{name}.{suffix}" for name in ("0", "0_2", "1", "2", "3") for suffix in ("jpg", "mat")]
    assert names == sorted([*expected, "person.json"])
    assert not (labels / "nobody").exists()
    record = json.loads((labels / "one" / "person.json").read_text())
    assert sum(record["weights"].values()) == pytest.approx(1.0)
    assert set(record["weights"]) == {"0", "0_2", "1", "2", "3"}
    for name in record["weights"]:
        label = scipy.io.loadmat(labels / "one" / f"{name}.mat")
        np.testing.assert_allclose(label["alpha"][0], record["alpha"], atol=1e-9)


def test_written_labels_are_learnt_from(labels: Path, default_model: MorphableModel) -> None:
    pytest.importorskip("torch", reason="needs torch (make torch)")
    from face3dmm_ros.lab.training.labelled_folder import open_labelled_folder
    from face3dmm_ros.lab.training.samples import SampleForm

    faces = open_labelled_folder(labels, form=SampleForm(texture_count=0))
    assert len(faces) == PICTURES + 1
    samples = [faces.sample(index, np.random.default_rng(0), augment=False) for index in range(len(faces))]
    for sample in samples:
        np.testing.assert_allclose(sample.alpha, samples[0].alpha, rtol=1e-6)
        points = default_model.scheme("ibug68").interpolate(default_model.vertices(sample.alpha, sample.beta))
        seen = WeakPerspective(sample.scale, sample.rotation, sample.translation).project(points)
        np.testing.assert_allclose(seen, sample.landmarks, atol=0.02)


def test_labelled_people_are_not_labelled_again(
    people: tuple[Path, NDArray[np.float64]], labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in (labels / "one").glob("*.mat")}
    main(["label", str(people[0]), "--out", str(labels)])
    assert "written: 0 labels" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (labels / "one").glob("*.mat")} == before


def test_people_who_could_not_be_labelled_are_named(
    people: tuple[Path, NDArray[np.float64]], labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["label", str(people[0]), "--out", str(labels)])
    assert "nobody is left out: none of its 1 pictures shows a face" in capsys.readouterr().err


@pytest.fixture(scope="module")
def by_pixels(people: tuple[Path, NDArray[np.float64]], default_model: MorphableModel) -> LabelledPerson:
    """Two pictures of that person, labelled by their pixels."""
    pytest.importorskip("torch", reason="needs torch (make torch)")
    pictures = sorted((people[0] / "one").glob("*.png"))[:2]
    return PersonLabeller(default_model, fit_method="photometric").label(pictures)


def test_labels_by_pixels_have_an_albedo(by_pixels: LabelledPerson, default_model: MorphableModel) -> None:
    assert by_pixels.pooled.gamma.shape == default_model.albedo_sigma.shape
    assert by_pixels.pooled.gamma.any()
    _, fitted = by_pixels.pictures[0]
    assert fitted.method == "photometric"


def test_albedo_of_written_labels_is_learnt_from(
    by_pixels: LabelledPerson, default_model: MorphableModel, tmp_path: Path
) -> None:
    from face3dmm_ros.lab.training.labelled_folder import open_labelled_folder

    write_person(tmp_path, by_pixels, default_model, {})
    faces = open_labelled_folder(tmp_path)
    for index in range(2):
        sample = faces.sample(index, np.random.default_rng(0), augment=False)
        np.testing.assert_allclose(sample.gamma, by_pixels.pooled.gamma, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["/nowhere", "--out", "out"], "/nowhere is not a folder"),
        (["PEOPLE/nobody", "--out", "out"], "nobody in .* could be labelled"),
        (["PEOPLE", "--out", "PEOPLE/labels"], "lies within"),
        (["PEOPLE", "--out", "out", "--backend", "eyes"], "no landmark backend 'eyes'"),
    ],
)
def test_bad_input_is_one_clear_line(
    people: tuple[Path, NDArray[np.float64]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["label", *(word.replace("PEOPLE", str(people[0])) for word in arguments)]) == 2
    *_, last = capsys.readouterr().err.strip().splitlines()
    assert last.startswith("face3dmm label: ")

    assert re.search(message, last)

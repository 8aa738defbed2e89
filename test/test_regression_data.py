"""What networks learn from: crops and their truth, mirrored and disturbed faces, chunks on disk, and the data sets."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import FRONTAL, rotation_from_pose_angles
from face3dmm_ros.landmarks.region import Region
from face3dmm_ros.morphable_model import MorphableModel

torch = pytest.importorskip("torch", reason="needs torch (make torch)")

from dataset_harness import write_dataset  # noqa: E402

from face3dmm_ros.lab.synthesis.backgrounds import find_pictures  # noqa: E402
from face3dmm_ros.lab.synthesis.random_scene import SceneOptions, random_scene  # noqa: E402
from face3dmm_ros.lab.synthesis.scene_renderer import SceneRenderer  # noqa: E402
from face3dmm_ros.lab.training import augmentation, synthetic_faces, unlabelled_folder  # noqa: E402
from face3dmm_ros.lab.training.cropped_faces import CroppedFaces  # noqa: E402
from face3dmm_ros.lab.training.datasets import open_dataset  # noqa: E402
from face3dmm_ros.lab.training.face_chunks import FaceChunks, FaceRecord, make_missing, write_chunk  # noqa: E402
from face3dmm_ros.lab.training.face_mirror import FaceMirror  # noqa: E402
from face3dmm_ros.lab.training.labelled_folder import open_labelled_folder, read_labelled  # noqa: E402
from face3dmm_ros.lab.training.picture_folder import CACHE  # noqa: E402
from face3dmm_ros.lab.training.samples import FaceSample, SampleForm, collate  # noqa: E402
from face3dmm_ros.lab.training.synthetic_faces import SCENES, RenderedFaces, open_synthetic_faces, render_chunks  # noqa: E402
from face3dmm_ros.lab.training.unlabelled_folder import open_unlabelled_folder  # noqa: E402
from face3dmm_ros.regressor.crops import IBUG68_MIRROR, SIDE, CropView, face_region  # noqa: E402
from face3dmm_ros.regressor.landmark_map import landmark_maps  # noqa: E402
from face3dmm_ros.regressor.parameter_layout import MIDDLE  # noqa: E402

SMALL = replace(SCENES, image_size=(72, 72), max_yaw=60.0, pictures=find_pictures(None))
FLIP = np.diag([-1.0, 1.0, 1.0])


def records(model: MorphableModel, count: int = 3, seed: int = 0) -> list[FaceRecord]:
    """Faces with exact landmarks, as a camera of 160 × 128 px would see them; the pictures are noise."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        alpha = rng.standard_normal(model.shape_count) * model.shape_sigma
        beta = rng.uniform(0, 0.5, model.expression_count)
        gamma = rng.standard_normal(len(model.albedo_sigma)) * model.albedo_sigma
        camera = WeakPerspective(0.5, rotation_from_pose_angles(*rng.uniform(-0.4, 0.4, 3)), np.array([80.0, 50.0]))
        points = camera.project(model.scheme("ibug68").interpolate(model.vertices(alpha, beta)))
        picture = cv2.GaussianBlur(rng.integers(0, 255, (128, 160, 3), dtype=np.uint8), (0, 0), 4)
        made.append(FaceRecord(np.asarray(picture, np.uint8), camera, alpha, beta, gamma, points))
    return made


class Listed:
    """Faces from a list."""

    def __init__(self, faces: Sequence[FaceRecord]) -> None:
        self._faces = faces

    def __len__(self) -> int:
        return len(self._faces)

    def record(self, index: int) -> FaceRecord:
        return self._faces[index]


def projected(model: MorphableModel, sample: FaceSample) -> NDArray[np.float64]:
    """Where a sample's parameters put the 68 landmarks."""
    points = model.scheme("ibug68").interpolate(model.vertices(sample.alpha, sample.beta))
    return WeakPerspective(sample.scale, sample.rotation, sample.translation).project(points)


# Landmark maps


def test_a_landmark_map_is_one_at_the_landmarks_pixels_and_minus_one_elsewhere() -> None:
    marks = landmark_maps(torch.tensor([[[2.4, 0.6], [3.0, 3.0]]]), side=5)[0].numpy()
    expected = np.full((5, 5), -1.0)
    expected[1, 2] = expected[3, 3] = 1.0
    np.testing.assert_array_equal(marks, expected)
    assert marks.dtype == np.float32


def test_landmarks_outside_of_the_crop_or_not_finite_leave_no_mark() -> None:
    outside = np.array([[-0.6, 2.0], [2.0, 4.6], [np.nan, 1.0], [np.inf, 1.0], [-0.4, 4.4]])
    marks = landmark_maps(torch.from_numpy(outside)[None], side=5)[0].numpy()
    assert np.argwhere(marks == 1.0).tolist() == [[4, 0]]


# Crops


def test_the_mirror_table_names_each_landmarks_counterpart(default_model: MorphableModel) -> None:
    mean = default_model.scheme("ibug68").interpolate(default_model.mean)
    np.testing.assert_allclose(mean[IBUG68_MIRROR] @ FLIP, mean, atol=1.0)


def test_a_turned_and_scaled_face_lies_alike_in_its_crop(default_model: MorphableModel) -> None:
    face = records(default_model, 1)[0].landmarks
    cosine, sine = np.cos(0.7), np.sin(0.7)
    turned = 2.5 * face @ np.array([[cosine, sine], [-sine, cosine]]) + [300.0, -20.0]
    crops = [CropView(face_region(points)).points(points, IBUG68_MIRROR) for points in (face, turned)]
    np.testing.assert_allclose(crops[0], crops[1], atol=1e-3)


@pytest.mark.parametrize("mirrored", [False, True])
def test_camera_and_points_come_back_from_a_crop(default_model: MorphableModel, mirrored: bool) -> None:
    face = records(default_model, 1)[0]
    view = CropView(Region(70.0, 60.0, 90.0, angle=0.4), mirrored=mirrored)
    back = view.camera_in_picture(view.camera(face.camera))
    assert back.scale == pytest.approx(face.camera.scale)
    np.testing.assert_allclose(back.rotation, face.camera.rotation, atol=1e-9)
    np.testing.assert_allclose(back.translation, face.camera.translation, atol=1e-9)
    points = view.points_in_picture(view.points(face.landmarks, IBUG68_MIRROR), IBUG68_MIRROR)
    np.testing.assert_allclose(points, face.landmarks, atol=1e-4)


@pytest.mark.parametrize("mirrored", [False, True])
def test_camera_points_and_pixels_move_into_a_crop_together(default_model: MorphableModel, mirrored: bool) -> None:
    face = records(default_model, 1)[0]
    view = CropView(Region(70.0, 60.0, 90.0, angle=0.4), mirrored=mirrored)
    points = view.points(face.landmarks, IBUG68_MIRROR)
    vertices = default_model.vertices(face.alpha, face.beta)
    shape = default_model.scheme("ibug68").interpolate(vertices).astype(np.float64)
    seen = view.camera(face.camera).project(shape[IBUG68_MIRROR] @ FLIP if mirrored else shape)
    np.testing.assert_allclose(seen, points, atol=1e-4)
    rotation = view.camera(face.camera).rotation
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(rotation) > 0
    picture = np.zeros((128, 160, 3), np.uint8)
    middle = np.array([[75.0, 66.0]])
    cv2.circle(picture, (75, 66), 3, (255, 255, 255), -1)
    rows, columns = np.nonzero(view.pixels(picture)[..., 0] > 127)
    there = view.points(middle, np.zeros(1, np.intp))[0]
    np.testing.assert_allclose([columns.mean(), rows.mean()], there, atol=0.3)


def test_the_middle_of_a_regressors_crop_is_that_of_its_region() -> None:
    middle = CropView(Region(31.0, 17.0, 50.0)).points(np.array([[31.0, 17.0]]), np.zeros(1, np.intp))
    np.testing.assert_allclose(middle, [[MIDDLE, MIDDLE]])


def test_depth_is_scaled_with_the_crop() -> None:
    view = CropView(Region(50.0, 50.0, 60.0), side=120)
    np.testing.assert_allclose(view.points(np.array([[49.5, 49.5, 7.0]]), np.zeros(1, int)), [[58.5, 58.5, 14.0]])


@pytest.mark.parametrize("points", [np.zeros((68, 2)), np.full((68, 2), np.nan), np.zeros((5, 2)), np.zeros((0, 2))])
def test_points_that_are_no_face_have_no_region(points: NDArray[np.float64]) -> None:
    with pytest.raises(Face3DMMError, match="landmarks"):
        face_region(points)


# Mirrored faces


def test_mirrored_coefficients_mirror_the_face(default_model: MorphableModel) -> None:
    face, mirror = records(default_model, 1)[0], FaceMirror.of(default_model, 100, 52)
    assert mirror is not None
    surface = default_model.scheme("mediapipe478")
    there = surface.interpolate(default_model.vertices(face.alpha, face.beta))
    mirrored = surface.interpolate(default_model.vertices(mirror.alpha(face.alpha), mirror.beta(face.beta)))
    back = surface.interpolate(
        default_model.vertices(mirror.alpha(mirror.alpha(face.alpha)), mirror.beta(mirror.beta(face.beta)))
    )
    mean = surface.interpolate(default_model.mean)
    counterpart = np.linalg.norm((mean @ FLIP)[:, None] - mean[None], axis=2).argmin(axis=1)
    assert np.linalg.norm(mirrored[counterpart] @ FLIP - there, axis=1).mean() < 0.2
    assert np.linalg.norm(mirrored - there, axis=1).mean() > 0.5
    assert np.linalg.norm(back - there, axis=1).mean() < 0.1


def test_mirrored_blendshapes_change_sides(default_model: MorphableModel) -> None:
    mirror = FaceMirror.of(default_model, 0, 52)
    assert mirror is not None
    left, right = (default_model.expression_names.index(f"mouthSmile{side}") for side in ("Left", "Right"))
    mirrored = mirror.beta(np.eye(52)[left])
    assert mirrored[right] > 0.9
    assert np.delete(mirrored, right).max() < 0.1


def test_a_model_without_mirror_images_has_no_mirror(default_model: MorphableModel) -> None:
    lopsided = default_model.shape_basis * (1.0 + 0.8 * np.sign(np.repeat(default_model.mean[:, 0], 3)))[:, None]
    assert FaceMirror.of(replace(default_model, shape_basis=lopsided.astype(np.float32)), 40, 10) is None


# Augmentation


def test_an_augmented_sample_depends_on_the_generator_alone(default_model: MorphableModel) -> None:
    face = records(default_model, 1)[0]
    before = face.picture.copy()
    faces = CroppedFaces(Listed([face]), default_model)

    def once(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.floating]]:
        sample = faces.sample(0, np.random.default_rng(seed), augment=True)
        return sample.crop, sample.landmarks

    for a, b in zip(once(3), once(3), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((once(3)[0] != once(seed)[0]).any() for seed in (4, 5))
    np.testing.assert_array_equal(face.picture, before)


def test_the_dense_networks_crop_is_upright_around_its_points(default_model: MorphableModel) -> None:
    face = records(default_model, 1)[0]
    faces = CroppedFaces(Listed([face]), default_model, SampleForm(texture_count=0, dense=True))
    sample = faces.sample(0, np.random.default_rng(0), augment=False)
    assert sample.crop.shape == (160, 160, 3)
    camera = WeakPerspective(sample.scale, sample.rotation.astype(float), sample.translation.astype(float))
    surface = default_model.scheme("mediapipe478").at(slice(468))
    points = replace(face, camera=camera).points(default_model, surface)
    assert np.ptp(points, axis=0).max() == pytest.approx(160 / 1.25, rel=0.01)
    np.testing.assert_allclose((points.max(axis=0) + points.min(axis=0)) / 2, 79.5, atol=0.5)
    assert points[10, 0] == pytest.approx(points[152, 0], abs=0.1)  # the forehead above the chin


@pytest.mark.parametrize(
    "change",
    [
        augmentation._hard_light,
        augmentation._strands,
        augmentation._patch,
        augmentation._colours,
        augmentation._gamma,
        augmentation._blur,
        augmentation._coarse,
        augmentation._noise,
        augmentation._compressed,
    ],
)
def test_each_disturbance_changes_the_crop_and_keeps_its_form(change: Callable) -> None:
    crop = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8), (0, 0), 1)
    x = crop.astype(np.float32)
    changed = [change(np.random.default_rng(seed), x) for seed in range(5)]
    assert all(y.shape == x.shape and np.isfinite(y).all() for y in changed)
    assert any(np.abs(y - x).max() > 2.0 for y in changed)
    np.testing.assert_array_equal(x, crop)


def test_sunglasses_lie_on_the_eyes(default_model: MorphableModel) -> None:
    face = records(default_model, 1)[0]
    points = CropView(face_region(face.landmarks)).points(face.landmarks, IBUG68_MIRROR)
    bright = np.full((SIDE, SIDE, 3), 255.0, np.float32)
    dark = augmentation._dark_lenses(np.random.default_rng(0), bright, points)
    for eye in (points[36:42], points[42:48]):
        column, row = eye.mean(axis=0).round().astype(int)
        assert dark[row, column].max() < 200
    chin = points[8].round().astype(int)
    assert (dark[chin[1], chin[0]] == 255).all()


def test_jittered_regions_keep_the_face_mostly_in_sight() -> None:
    rng = np.random.default_rng(0)
    regions = [augmentation.jittered(rng, Region(0.0, 0.0, 100.0)) for _ in range(500)]
    shift = np.array([[region.x, region.y] for region in regions])
    assert 4.0 < shift.std() < 9.0
    assert np.abs(shift).max() < 50.0
    assert abs(np.mean([np.log(region.size / 100.0) for region in regions])) < 0.02


# Samples


@pytest.mark.parametrize("augment", [False, True])
def test_a_samples_parameters_put_its_landmarks_where_they_are(default_model: MorphableModel, augment: bool) -> None:
    faces = CroppedFaces(Listed(records(default_model)), default_model)
    for seed in range(8):
        sample = faces.sample(seed % 3, np.random.default_rng(seed), augment)
        # Mirrored faces are those nearest to the mirror image that the model can show.
        np.testing.assert_allclose(projected(default_model, sample), sample.landmarks, atol=0.6 if augment else 1e-3)
        assert sample.crop.shape == (SIDE, SIDE, 3)
        assert sample.labelled


def test_undisturbed_samples_are_close_crops_of_the_picture_as_it_is(default_model: MorphableModel) -> None:
    source = Listed(records(default_model))
    plain, spoilt = (CroppedFaces(source, default_model, undisturbed=share) for share in (1.0, 0.0))

    def noisy(faces: CroppedFaces) -> list[float]:
        crops = [faces.sample(0, np.random.default_rng(seed), True).crop.astype(np.float32) for seed in range(40)]
        return [float(np.abs(crop - cv2.blur(crop, (3, 3))).mean()) for crop in crops]

    assert np.std(noisy(plain)) < 0.25 * np.std(noisy(spoilt))
    off = [
        faces.sample(0, np.random.default_rng(seed), True).landmarks.mean(axis=0)
        for faces in (plain,)
        for seed in range(40)
    ]
    assert np.abs(np.array(off) - SIDE / 2).max() < 0.26 * SIDE


@pytest.mark.parametrize("share", [-0.1, 1.5, True, "half", float("nan")])
def test_a_share_of_undisturbed_samples_that_is_none_is_refused(default_model: MorphableModel, share: object) -> None:
    with pytest.raises(Face3DMMError, match="undisturbed must be a share from 0 to 1"):
        CroppedFaces(Listed(records(default_model, 1)), default_model, undisturbed=share)  # type: ignore[arg-type]


def test_a_sample_has_the_leading_coefficients_asked_for(default_model: MorphableModel) -> None:
    face = records(default_model, 1)[0]
    sample = CroppedFaces(Listed([face]), default_model, SampleForm(40, 10, 5)).sample(
        0, np.random.default_rng(0), False
    )
    np.testing.assert_allclose(sample.alpha, face.alpha[:40], rtol=1e-6)
    np.testing.assert_allclose(sample.beta, face.beta[:10], rtol=1e-6)
    np.testing.assert_allclose(sample.gamma, face.gamma[:5], rtol=1e-6)


def test_a_mirrored_face_keeps_its_albedo(default_model: MorphableModel) -> None:
    face = records(default_model, 1)[0]
    faces = CroppedFaces(Listed([face]), default_model)
    samples = [faces.sample(0, np.random.default_rng(seed), augment=True) for seed in range(8)]
    assert len({sample.alpha.tobytes() for sample in samples}) == 2
    for sample in samples:
        np.testing.assert_allclose(sample.gamma, face.gamma, rtol=1e-6)


@pytest.mark.parametrize("count", [101, -1])
def test_a_count_that_the_model_does_not_have_is_refused(default_model: MorphableModel, count: int) -> None:
    with pytest.raises(Face3DMMError, match="shape_count must be a number from 0 to the model's 100"):
        CroppedFaces(Listed(records(default_model, 1)), default_model, SampleForm(count))
    with pytest.raises(Face3DMMError, match="texture_count must be a number from 0 to the model's 8"):
        CroppedFaces(Listed(records(default_model, 1)), default_model, SampleForm(40, 10, count))


def test_samples_become_a_batch(default_model: MorphableModel) -> None:
    faces = records(default_model)
    faces[1] = replace(faces[1], labelled=False)
    dataset = CroppedFaces(Listed(faces), default_model, SampleForm(40, 10, 5))
    batch = collate([dataset.sample(index, np.random.default_rng(0), False) for index in range(3)])
    assert batch.crops.shape == (3, SIDE, SIDE, 3)
    assert batch.crops.dtype == torch.uint8
    assert batch.labelled.tolist() == [True, False, True]
    parameters = batch.parameters
    shapes = [tuple(t.shape) for t in (parameters.scale, parameters.rotation, parameters.translation)]
    assert shapes == [(3,), (3, 3, 3), (3, 2)]
    assert (parameters.alpha.shape, parameters.beta.shape, parameters.gamma.shape) == ((3, 40), (3, 10), (3, 5))
    assert parameters.landmarks is not None
    assert parameters.landmarks.shape == (3, 68, 2)
    assert parameters.scale.dtype == parameters.alpha.dtype == torch.float32
    assert not parameters.alpha[1].any()
    assert not parameters.gamma[1].any()
    assert parameters.landmarks[1].any()


def test_samples_of_different_sizes_make_no_batch(default_model: MorphableModel) -> None:
    source, rng = Listed(records(default_model, 1)), np.random.default_rng(0)
    samples = [CroppedFaces(source, default_model, SampleForm(40, 10, count)).sample(0, rng, False) for count in (0, 8)]
    with pytest.raises(Face3DMMError, match=r"\[\(40, 10, 0\), \(40, 10, 8\)\].*same form"):
        collate(samples)
    with pytest.raises(Face3DMMError, match="at least one"):
        collate([])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"kind": "drawn"}, "kind is one of synthetic, labelled_folder, unlabelled_folder, found 'drawn'"),
        ({}, "found None"),
        ({"kind": "synthetic", "colour": "red"}, "has no option 'colour'"),
        ({"kind": "labelled_folder"}, "needs the option 'path'"),
        (
            {"kind": "labelled_folder", "path": "a", "cache": 3},
            "cache of a labelled_folder data set must be a text, found 3",
        ),
        ({"kind": "labelled_folder", "path": "/nowhere"}, "/nowhere is not a folder"),
        ({"kind": "synthetic", "chunks": 0}, "chunks of rendered faces must be a whole number from 1 up, found 0"),
        ({"kind": "synthetic", "scenes": {"max_yaw": 200}}, "must lie between 0 and 110"),
        ({"kind": "synthetic", "scenes": {"weather": "rain"}}, "no option 'weather'"),
        ({"kind": "synthetic", "scenes": {"face_share": "big"}}, "cannot be drawn from"),
        ({"kind": "synthetic", "scenes": 3}, "scenes must be options by their names"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(config: dict, message: str) -> None:
    with pytest.raises(Face3DMMError, match=message):
        open_dataset(config)


# Chunks


def written(path: Path, model: MorphableModel, faces: Sequence[FaceRecord]) -> Path:
    write_chunk(path, faces, model)
    return path


def test_faces_come_back_from_chunks(tmp_path: Path, default_model: MorphableModel) -> None:
    faces = records(default_model, 5)
    paths = [
        written(tmp_path / "a.npz", default_model, faces[:2]),
        written(tmp_path / "none.npz", default_model, []),
        written(tmp_path / "b.npz", default_model, faces[2:]),
    ]
    kept = FaceChunks(paths, default_model)
    assert len(kept) == 5
    for index, face in enumerate(faces):
        found = kept.record(index)
        assert np.abs(found.picture.astype(int) - face.picture).mean() < 3.0
        np.testing.assert_allclose(found.camera.rotation, face.camera.rotation, atol=1e-6)
        for name in ("alpha", "beta", "gamma", "landmarks"):
            np.testing.assert_allclose(getattr(found, name), getattr(face, name), rtol=1e-5, atol=1e-5)


def test_chunks_remember_whose_albedo_is_unknown(tmp_path: Path, default_model: MorphableModel) -> None:
    known, unknown = records(default_model, 2)
    kept = FaceChunks(
        [written(tmp_path / "a.npz", default_model, [known, replace(unknown, gamma=np.zeros(0))])], default_model
    )
    assert kept.albedo_known.tolist() == [True, False]
    assert [len(kept.record(index).gamma) for index in range(2)] == [len(default_model.albedo_sigma), 0]


def test_a_chunk_that_was_not_finished_is_not_there(tmp_path: Path, default_model: MorphableModel) -> None:
    def killed() -> object:
        yield records(default_model, 1)[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        written(tmp_path / "a.npz", default_model, killed())  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_only_missing_chunks_are_made(tmp_path: Path, default_model: MorphableModel) -> None:
    asked: list[str] = []

    def make(paths: Sequence[Path]) -> None:
        for path in paths:
            asked.append(path.stem)
            written(path, default_model, [])

    make_missing(tmp_path / "new", ["a", "b"], make)
    (tmp_path / "new" / "a.npz").unlink()
    (tmp_path / "new" / ".a.jpegs.123").write_bytes(b"of a process that was killed")
    paths = make_missing(tmp_path / "new", ["a", "b", "c"], make)
    assert asked == ["a", "b", "a", "c"]
    assert not (tmp_path / "new" / ".a.jpegs.123").exists()
    assert [path.name for path in paths] == ["a.npz", "b.npz", "c.npz"]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def with_array(name: str, value: object) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        np.savez(path, **{**arrays, name: value})

    return change


def not_finite(path: Path) -> None:
    with np.load(path, allow_pickle=False) as file:
        truths = file["truths"]
    truths["scale"][1] = np.nan
    with_array("truths", truths)(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: truncate(path), "a.npz is missing or no chunk of faces"),
        (lambda path: path.write_bytes(b"not a chunk"), "a.npz is missing or no chunk of faces"),
        (lambda path: path.write_bytes(b""), "a.npz is missing or no chunk of faces"),
        (lambda path: path.unlink(), "a.npz is missing or no chunk of faces"),
        (lambda path: truncate(path.with_suffix(".jpegs")), r"a.jpegs has \d+ bytes, expected"),
        (lambda path: path.with_suffix(".jpegs").unlink(), "a.jpegs has 0 bytes"),
        (with_array("version", 1), "version 1, expected 3: remove it, and it is made anew"),
        (with_array("model_digest", "0123456789abcdef"), r"another model \(0123456789ab"),
        (with_array("truths", np.zeros(2, np.float32)), "of another kind than this version's: remove it"),
        (not_finite, "scale holds values that are not finite"),
        (with_array("truths", np.array([[None]], object)), "a.npz is missing or no chunk of faces"),
    ],
)
def test_a_damaged_chunk_is_refused_with_what_to_do(
    tmp_path: Path, default_model: MorphableModel, damage: Callable[[Path], None], message: str
) -> None:
    path = written(tmp_path / "a.npz", default_model, records(default_model, 2))
    damage(path)
    with pytest.raises(Face3DMMError, match=message):
        FaceChunks([path], default_model)


def test_chunks_without_a_face_are_refused(tmp_path: Path, default_model: MorphableModel) -> None:
    with pytest.raises(Face3DMMError, match="hold no face"):
        FaceChunks([written(tmp_path / "a.npz", default_model, [])], default_model)


def test_surroundings_are_a_small_picture_with_the_same_truth(default_model: MorphableModel) -> None:
    face = records(default_model, 1)[0]
    large = replace(
        face,
        picture=cv2.resize(face.picture, None, fx=8, fy=8),
        camera=CropView(Region(79.5, 63.5, 160.0), 1280).camera(face.camera),
        landmarks=CropView(Region(79.5, 63.5, 160.0), 1280).points(face.landmarks, IBUG68_MIRROR),
    )
    around = large.surroundings()
    assert around.picture.shape == (224, 224, 3)
    points = default_model.scheme("ibug68").interpolate(default_model.vertices(face.alpha, face.beta))
    np.testing.assert_allclose(around.camera.project(points), around.landmarks, atol=1e-3)
    assert 0 < around.landmarks.min() < around.landmarks.max() < 223


# Rendered faces


@pytest.fixture(scope="module")
def rendered(default_model: MorphableModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two chunks of two faces."""
    folder = tmp_path_factory.mktemp("rendered")
    render_chunks(folder, RenderedFaces(default_model, 2, 7, SMALL, chunk_size=2))
    return folder


def test_a_rendered_face_depends_on_seed_chunk_and_number_alone(rendered: Path, default_model: MorphableModel) -> None:
    kept = FaceChunks(sorted(rendered.glob("*.npz")), default_model)
    fresh = RenderedFaces(default_model, 2, 7, SMALL, chunk_size=2)
    for index in (3, 0):
        a, b = kept.record(index), fresh.record(index)
        np.testing.assert_allclose(a.alpha, b.alpha, rtol=1e-6)
        np.testing.assert_allclose(a.gamma, b.gamma, rtol=1e-6)
        np.testing.assert_allclose(a.landmarks, b.landmarks, atol=1e-4)
        assert np.abs(a.picture.astype(int) - b.picture).mean() < 6.0
    assert np.abs(kept.record(0).alpha - kept.record(2).alpha).max() > 1.0
    with pytest.raises(IndexError):
        fresh.record(4)
    fresh.close()


def test_a_rendered_faces_albedo_is_its_scenes(rendered: Path, default_model: MorphableModel) -> None:
    options = {"chunks": 2, "chunk_size": 2, "seed": 7, "scenes": {"image_size": [72, 72], "max_yaw": 60.0}}
    sample = open_synthetic_faces(rendered, form=SampleForm(texture_count=5), **options).sample(
        3, np.random.default_rng(0), True
    )
    scene = random_scene(np.random.default_rng([7, 1, 1]), default_model, SMALL)
    np.testing.assert_allclose(sample.gamma, scene.gamma[:5], rtol=1e-6)


def test_a_rendered_faces_landmarks_are_where_its_parameters_put_them(
    rendered: Path, default_model: MorphableModel
) -> None:
    source = FaceChunks(sorted(rendered.glob("*.npz")), default_model)
    faces = CroppedFaces(source, default_model)
    for index in range(4):
        sample = faces.sample(index, np.random.default_rng(0), augment=False)
        np.testing.assert_allclose(projected(default_model, sample), sample.landmarks, atol=0.01)
        assert sample.crop.std() > 5.0


def test_a_stopped_rendering_goes_on_in_other_processes_and_makes_the_same(
    rendered: Path, default_model: MorphableModel, tmp_path: Path
) -> None:
    first, second = sorted(rendered.glob("*.npz"))
    for path in (first, first.with_suffix(".jpegs"), second.with_suffix(".jpegs")):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    untouched = (tmp_path / first.name).stat().st_mtime_ns
    render_chunks(tmp_path, RenderedFaces(default_model, 2, 7, SMALL, chunk_size=2), processes=2)
    assert (tmp_path / first.name).stat().st_mtime_ns == untouched
    again, before = (FaceChunks([folder / second.name], default_model) for folder in (tmp_path, rendered))
    for index in range(2):
        np.testing.assert_array_equal(again.record(index).picture, before.record(index).picture)
        np.testing.assert_array_equal(again.record(index).landmarks, before.record(index).landmarks)


def test_other_options_are_other_chunks(rendered: Path, default_model: MorphableModel) -> None:
    def names(scenes: SceneOptions, seed: int) -> set[str]:
        asked: list[str] = []

        def note(folder: Path, wanted: Sequence[str], make: object) -> list[Path]:
            asked.extend(wanted)
            return []

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(synthetic_faces, "make_missing", note)
            render_chunks(rendered, RenderedFaces(default_model, 2, seed, scenes, chunk_size=2))
        return set(asked)

    there = {path.stem for path in rendered.glob("*.npz")}
    assert names(SMALL, 7) == there
    assert not names(replace(SMALL, max_yaw=61.0), 7) & there
    assert not names(SMALL, 8) & there


def test_synthetic_faces_open_with_and_without_a_folder(rendered: Path) -> None:
    options = {"form": SampleForm(40, 10), "chunks": 2, "chunk_size": 2, "seed": 7}
    scenes = {"image_size": [72, 72], "max_yaw": 60.0}
    before = sorted(rendered.iterdir())
    kept = open_synthetic_faces(rendered, scenes=scenes, **options)
    assert sorted(rendered.iterdir()) == before
    assert (len(kept), kept.shape_count, kept.expression_count) == (4, 40, 10)
    fresh = open_synthetic_faces(scenes=scenes, **options)
    samples = [faces.sample(1, np.random.default_rng(0), augment=False) for faces in (kept, fresh)]
    np.testing.assert_allclose(samples[0].landmarks, samples[1].landmarks, atol=1e-3)
    assert np.abs(samples[0].crop.astype(int) - samples[1].crop).mean() < 6.0


# Labelled folders


def test_what_synth_writes_is_learnt_from(tmp_path: Path, default_model: MorphableModel) -> None:
    with SceneRenderer(default_model) as renderer:
        write_dataset(tmp_path, renderer, replace(SMALL, image_size=(120, 120)), 2, 3, "png")
    (tmp_path / "unlabelled.png").write_bytes((tmp_path / "face000000.png").read_bytes())
    faces = open_labelled_folder(tmp_path)
    assert len(faces) == 2
    for index in range(2):
        sample = faces.sample(index, np.random.default_rng(0), augment=False)
        np.testing.assert_allclose(projected(default_model, sample), sample.landmarks, atol=0.02)
        truth = scipy.io.loadmat(tmp_path / f"face{index:06d}.mat")
        np.testing.assert_allclose(sample.gamma, truth["gamma"][0], rtol=1e-6)


@pytest.fixture(scope="module")
def bfm(default_model: MorphableModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, NDArray, NDArray]:
    """A model of the BFM layout: its file, its mean (3N) in µm about its own origin, and its landmarks' indices."""
    rows = slice(0, 3 * default_model.vertex_count)
    mean = (default_model.mean.astype(np.float64) * 1000.0 + [2e3, -9e3, 70e3]).reshape(-1, 1)
    ibug = default_model.scheme("ibug68").interpolate(default_model.mean)
    indices = np.linalg.norm(default_model.mean[None] - ibug[:, None], axis=2).argmin(axis=1)
    fields = {
        "shapeMU": mean - 50.0,
        "expMU": np.full_like(mean, 50.0),
        "shapePC": default_model.shape_basis[rows, :5] * 1e3,
        "shapeEV": default_model.shape_sigma[:5, None],
        "expPC": default_model.expression_basis[rows, :4] * 1e3,
        "expEV": default_model.expression_sigma[:4, None],
        "texMU": np.full_like(mean, 128.0),
        "texPC": default_model.albedo_basis[rows, :2] * 255.0,
        "texEV": default_model.albedo_sigma[:2, None],
        "tri": default_model.triangles.T + 1,
        "kpt_ind": indices[None] + 1,
    }
    path = tmp_path_factory.mktemp("bfm") / "Model_Shape.mat"
    scipy.io.savemat(path, {"model": fields})
    return path, mean, indices


def write_300w_lp(
    folder: Path, bfm: tuple[Path, NDArray, NDArray], default_model: MorphableModel, companion: bool = False
) -> tuple[NDArray, NDArray, NDArray]:
    """A picture of 300W-LP's layout by its own formula, f·R·V + t with y up; returns α, β and R."""
    _, mean, indices = bfm
    rng, height = np.random.default_rng(5), 200
    alpha, beta = rng.standard_normal(5) * default_model.shape_sigma[:5], rng.uniform(0, 0.3, 4)
    basis = 1e3 * np.hstack([default_model.shape_basis[:, :5], default_model.expression_basis[:, :4]])
    V = (mean[:, 0] + basis @ np.concatenate([alpha, beta])).reshape(-1, 3)[indices]
    pitch, yaw, roll, f = 0.1, -0.5, 0.2, 7e-4
    R = FRONTAL @ rotation_from_pose_angles(pitch, yaw, roll)
    x, y, z = f * R @ V.T + np.array([[100.0], [90.0], [-66.0]])
    points = np.stack([x - 1, height - y, z])
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / "face.jpg"), rng.integers(0, 255, (height, 200, 3), dtype=np.uint8))
    label = {
        "Pose_Para": np.array([[pitch, yaw, roll, 100.0, 90.0, -66.0, f]]),
        "Shape_Para": alpha[:, None],
        "Exp_Para": beta[:, None],
    }
    if companion:
        landmarks = folder.parent / "landmarks" / folder.name
        landmarks.mkdir(parents=True)
        scipy.io.savemat(landmarks / "face_pts.mat", {"pts_3d": points[:2].T})
    else:
        label["pt3d_68"] = points
    scipy.io.savemat(folder / "face.mat", label)
    return alpha, beta, FRONTAL @ R


@pytest.mark.parametrize("companion", [False, True])
def test_300w_lp_is_learnt_from_with_a_bfm(
    tmp_path: Path, bfm: tuple[Path, NDArray, NDArray], default_model: MorphableModel, companion: bool
) -> None:
    alpha, beta, R = write_300w_lp(tmp_path / "AFW", bfm, default_model, companion)
    faces = open_labelled_folder(tmp_path, str(bfm[0]), form=SampleForm(texture_count=0), cache=tmp_path / "kept")
    sample = faces.sample(0, np.random.default_rng(0), augment=False)
    np.testing.assert_allclose(sample.alpha, alpha, rtol=1e-5)
    np.testing.assert_allclose(sample.beta, beta, rtol=1e-5)
    from face3dmm_ros.morphable_model import load_model

    model = load_model(str(bfm[0]))
    np.testing.assert_allclose(projected(model, sample), sample.landmarks, atol=0.02)
    record = read_labelled(tmp_path / "AFW" / "face.jpg", model)
    np.testing.assert_allclose(record.camera.rotation, R, atol=1e-9)
    assert record.camera.scale == pytest.approx(0.7, rel=1e-4)
    assert (tmp_path / "kept").is_dir()
    assert not (tmp_path / CACHE).exists()


def test_albedo_of_300w_lp_is_learnt_from_where_the_model_has_it(
    tmp_path: Path, bfm: tuple[Path, NDArray, NDArray], default_model: MorphableModel
) -> None:
    write_300w_lp(tmp_path, bfm, default_model)
    edited(Tex_Para=np.array([[0.5], [-1.5]]))(tmp_path / "face.mat")
    sample = open_labelled_folder(tmp_path, str(bfm[0])).sample(0, np.random.default_rng(0), augment=False)
    assert sample.gamma.tolist() == [0.5, -1.5]


@pytest.mark.parametrize("texture", [None, np.zeros((199, 1))])
def test_300w_lp_without_albedo_of_the_model_is_refused_only_where_albedo_is_asked_for(
    tmp_path: Path, bfm: tuple[Path, NDArray, NDArray], default_model: MorphableModel, texture: NDArray | None
) -> None:
    write_300w_lp(tmp_path, bfm, default_model)
    edited(Tex_Para=texture)(tmp_path / "face.mat")
    assert open_labelled_folder(tmp_path, str(bfm[0]), form=SampleForm(texture_count=0)).texture_count == 0
    with pytest.raises(Face3DMMError, match=r"1 of 1 labels have no albedo of the model Model_Shape.*face\.mat"):
        open_labelled_folder(tmp_path, str(bfm[0]), form=SampleForm(texture_count=2))


def edited(**changes: object) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        content = {name: value for name, value in scipy.io.loadmat(path).items() if not name.startswith("__")}
        content |= changes
        scipy.io.savemat(path, {name: value for name, value in content.items() if value is not None})

    return edit


def shift_landmarks(path: Path, by: float) -> None:
    edited(pt3d_68=scipy.io.loadmat(path)["pt3d_68"] + by)(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (edited(Shape_Para=np.full((5, 1), 900.0)), "they belong to another model"),
        (edited(Pose_Para=np.array([[0.1, 2.5, 0.2, 0, 0, 0, 7e-4]])), "they belong to another model"),
        (edited(Shape_Para=np.zeros((199, 1))), "Shape_Para has 199 coefficients, but the model only 5"),
        (edited(Shape_Para=None), "has neither Shape_Para"),
        (edited(Exp_Para=np.full((4, 1), np.nan)), "Exp_Para holds values that are not finite"),
        (edited(Tex_Para=np.full((2, 1), np.nan)), "Tex_Para holds values that are not finite"),
        (edited(pt3d_68=np.zeros((3, 21))), r"pt3d_68 has shape \(3, 21\), expected 3 × 68"),
        (edited(pt3d_68=None), "lacks pt3d_68"),
        (lambda path: shift_landmarks(path, 5000.0), r"face.jpg: .* outside of the image"),
        (lambda path: path.write_bytes(b"no"), "not a readable MATLAB file"),
        (lambda path: truncate(path), "damaged|not a readable MATLAB file"),
    ],
)
def test_a_label_that_cannot_be_is_refused(
    tmp_path: Path,
    bfm: tuple[Path, NDArray, NDArray],
    default_model: MorphableModel,
    damage: Callable[[Path], None],
    message: str,
) -> None:
    write_300w_lp(tmp_path, bfm, default_model)
    damage(tmp_path / "face.mat")
    with pytest.raises(Face3DMMError, match=message):
        open_labelled_folder(tmp_path, str(bfm[0]))


def write_own(folder: Path, model: MorphableModel, **changes: object) -> None:
    """A picture and a label of this package's layout."""
    face = records(model, 1)[0]
    camera = face.camera
    label = {
        "scale": camera.scale,
        "rotation": camera.rotation,
        "translation": camera.translation,
        "alpha": face.alpha,
        "beta": face.beta,
        "gamma": face.gamma,
        "pt3d_68": np.vstack([face.landmarks.T, np.zeros(68)]),
        "model_digest": model.digest,
    }
    cv2.imwrite(str(folder / "face.png"), face.picture)
    scipy.io.savemat(folder / "face.mat", label | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_digest": "0123"}, "name the model that the labels were made with"),
        ({"model_digest": np.zeros(3)}, "name the model that the labels were made with"),
        ({"rotation": -np.eye(3)}, "rotation a proper rotation"),
        ({"scale": -1.0}, "scale must be positive"),
        ({"alpha": np.zeros(7)}, r"alpha has shape \(1, 7\), expected 1 × 100"),
        ({"beta": np.full(52, np.inf)}, "beta holds values that are not finite"),
        ({"gamma": np.zeros(7)}, r"gamma has shape \(1, 7\), expected 1 × 8"),
    ],
)
def test_a_label_of_ours_that_cannot_be_is_refused(
    tmp_path: Path, default_model: MorphableModel, changes: dict, message: str
) -> None:
    write_own(tmp_path, default_model)
    assert read_labelled(tmp_path / "face.png", default_model).labelled
    write_own(tmp_path, default_model, **changes)
    with pytest.raises(Face3DMMError, match=message):
        open_labelled_folder(tmp_path)


def test_albedo_of_our_labels_is_learnt_from(tmp_path: Path, default_model: MorphableModel) -> None:
    write_own(tmp_path, default_model)
    sample = open_labelled_folder(tmp_path, form=SampleForm(texture_count=5)).sample(
        0, np.random.default_rng(0), augment=False
    )
    np.testing.assert_allclose(sample.gamma, records(default_model, 1)[0].gamma[:5], rtol=1e-6)


def test_labels_by_landmarks_alone_are_refused_only_where_albedo_is_asked_for(
    tmp_path: Path, default_model: MorphableModel
) -> None:
    write_own(tmp_path, default_model, gamma=np.zeros(0))
    assert open_labelled_folder(tmp_path, form=SampleForm(texture_count=0)).texture_count == 0
    with pytest.raises(Face3DMMError, match=r"1 of 1 labels .*face\.mat: make them with .*--fit-method photometric"):
        open_labelled_folder(tmp_path, form=SampleForm(texture_count=5))


def test_a_folder_without_labels_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(Face3DMMError, match="none has its truth beside it"):
        open_labelled_folder(tmp_path)


# Unlabelled photographs


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory, astronaut: NDArray[np.uint8]) -> Path:
    """A folder with a portrait in a subfolder, something without a face, and something that is no picture."""
    folder = tmp_path_factory.mktemp("photographs")
    (folder / "portraits").mkdir()
    cv2.imwrite(str(folder / "portraits" / "astronaut.png"), astronaut)
    cv2.imwrite(str(folder / "nobody.png"), np.full((64, 64, 3), 90, np.uint8))
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


def test_photographs_give_landmarks_without_labels(photographs: Path) -> None:
    faces = open_unlabelled_folder(photographs, form=SampleForm(40, 10, 5))
    assert len(faces) == 1
    sample = faces.sample(0, np.random.default_rng(0), augment=False)
    assert not sample.labelled
    assert (sample.scale, sample.alpha.shape, sample.beta.shape, sample.gamma.shape) == (1.0, (40,), (10,), (5,))
    np.testing.assert_array_equal(sample.rotation, np.eye(3))
    assert not sample.alpha.any()
    mouth, right_eye, left_eye = (
        sample.landmarks[part].mean(axis=0) for part in (slice(48, 68), slice(36, 42), slice(42, 48))
    )
    assert right_eye[0] < mouth[0] < left_eye[0]
    assert mouth[1] > right_eye[1] + 20
    # The crop shows what the points say: the lips are redder than the nose.
    crop = sample.crop.astype(float)
    redness = (crop[..., 2] - crop[..., 1]) / crop[..., 2].clip(1)
    columns, rows = sample.landmarks.round().astype(int).T
    lips, nose = slice(48, 60), slice(27, 31)
    assert redness[rows[lips], columns[lips]].mean() > redness[rows[nose], columns[nose]].mean() + 0.05


def test_found_faces_are_kept(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_unlabelled_folder(photographs)
    assert (photographs / CACHE).is_dir()

    def fail(*arguments: object) -> None:
        raise AssertionError("looked for faces again")

    monkeypatch.setattr(unlabelled_folder, "LandmarkFinder", fail)
    assert len(open_unlabelled_folder(photographs)) == 1


def test_photographs_that_change_are_looked_at_again(astronaut: NDArray[np.uint8], tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), astronaut)
    assert len(open_unlabelled_folder(tmp_path)) == 1
    cv2.imwrite(str(tmp_path / "b.png"), astronaut[:, ::-1])
    assert len(open_unlabelled_folder(tmp_path)) == 2


def test_photographs_without_a_face_are_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "nobody.png"), np.full((64, 64, 3), 90, np.uint8))
    with pytest.raises(Face3DMMError, match="hold no face"):
        open_unlabelled_folder(tmp_path)

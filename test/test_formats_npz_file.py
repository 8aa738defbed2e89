"""The model's own file: what is saved comes back; a damaged or hostile file gets a clear error and nothing else."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.files.array_archive import ArrayArchive
from face3dmm_ros.morphable_model import Contour, MorphableModel, SurfacePoints, load_model, save_npz
from face3dmm_ros.morphable_model.formats.npz_file import licence_of
from face3dmm_ros.morphable_model.formats.npz_file import load as load_npz


def small_model() -> MorphableModel:
    rng = np.random.default_rng(0)

    def random(*shape: int) -> NDArray[np.float32]:
        return rng.normal(size=shape).astype(np.float32)

    return MorphableModel(
        name="small",
        mean=random(5, 3),
        triangles=np.array([[0, 1, 2], [2, 3, 4]], np.int32),
        shape_basis=random(15, 4),
        shape_sigma=np.float32([4, 3, 2, 1]),
        expression_basis=random(15, 2),
        expression_sigma=np.float32([0.3, 0.3]),
        expression_names=("jawOpen", "eyeBlinkLeft"),
        expression_bounds=np.float32([[0, -np.inf], [1, np.inf]]),
        albedo_mean=rng.uniform(size=(5, 3)).astype(np.float32),
        albedo_basis=random(15, 1),
        albedo_sigma=np.float32([1]),
        landmarks={"ibug68": SurfacePoints.at_vertices(np.arange(68) % 5)},
        contours={"ibug68": Contour(np.array([0], np.int32), np.array([[1, 2, 3]], np.int32))},
        regions={"lips": np.float32([0, 0, 1, 1, 0])},
    )


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "model.npz"
    save_npz(small_model(), path)
    return path


def rewrite(path: Path, change: Callable[[dict[str, NDArray]], None]) -> Path:
    """Save the file's arrays again after a change."""
    with np.load(path) as archive:
        arrays = dict(archive)
    change(arrays)
    np.savez(path, allow_pickle=True, **arrays)
    return path


def test_everything_comes_back(saved: Path) -> None:
    model, loaded = small_model(), load_npz(saved)
    assert (loaded.name, loaded.expression_names) == (model.name, model.expression_names)
    for name in ("mean", "triangles", "shape_sigma", "expression_bounds", "albedo_mean", "albedo_sigma"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(model, name))
    np.testing.assert_array_equal(loaded.landmarks["ibug68"].vertices, model.landmarks["ibug68"].vertices)
    np.testing.assert_array_equal(loaded.contours["ibug68"].candidates, [[1, 2, 3]])
    np.testing.assert_array_equal(loaded.regions["lips"], model.regions["lips"])


def test_bases_come_back_within_half_a_step(saved: Path) -> None:
    model, loaded = small_model(), load_npz(saved)
    step = np.abs(model.shape_basis).max(axis=0) / 32767
    assert (np.abs(loaded.shape_basis - model.shape_basis) <= 0.51 * step).all()


def test_a_loaded_model_saved_again_has_the_same_digest(saved: Path, tmp_path: Path) -> None:
    loaded = load_npz(saved)
    again = tmp_path / "again.npz"
    save_npz(loaded, again)
    assert load_npz(again).digest == loaded.digest


def test_the_same_model_makes_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.npz"
    save_npz(small_model(), again)
    assert again.read_bytes() == saved.read_bytes()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Face3DMMError, match=r"nowhere\.npz"):
        load_model(str(tmp_path / "nowhere.npz"))


@pytest.mark.parametrize("kept", [0, 1, 40, 400, -30, -1])
def test_a_truncated_file_is_refused(saved: Path, kept: int) -> None:
    saved.write_bytes(saved.read_bytes()[:kept])
    with pytest.raises(Face3DMMError, match="not a readable model file"):
        load_npz(saved)


def test_any_flipped_byte_is_refused_or_harmless(saved: Path) -> None:
    content = saved.read_bytes()
    rng = np.random.default_rng(1)
    for position in rng.integers(0, len(content), 200):
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        saved.write_bytes(damaged)
        try:
            load_npz(saved)
        except Face3DMMError:
            continue


def test_pickled_objects_are_refused(saved: Path) -> None:
    path = rewrite(saved, lambda arrays: arrays.update(name=np.array({"run": "me"}, dtype=object)))
    with pytest.raises(Face3DMMError, match="not a readable model file"):
        load_npz(path)


def test_a_single_array_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "array.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(Face3DMMError, match="not an archive"):
        load_npz(path)


def test_an_archive_that_unpacks_to_gigabytes_is_refused_unread(saved: Path) -> None:
    with zipfile.ZipFile(saved, "a", zipfile.ZIP_DEFLATED) as archive:
        entry = zipfile.ZipInfo("bomb.npy")
        archive.writestr(entry, b"")
        archive.infolist()[-1].file_size = 3 << 30
    with pytest.raises(Face3DMMError, match="unpack"):
        load_npz(saved)


@pytest.mark.parametrize(
    "key", ["name", "mean", "triangles", "shape_basis_int16", "shape_basis_step", "expression_names", "albedo_sigma"]
)
def test_a_missing_part_is_named(saved: Path, key: str) -> None:
    with pytest.raises(Face3DMMError, match=key):
        load_npz(rewrite(saved, lambda arrays: arrays.pop(key)))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mean", np.zeros((5, 3), np.complex64)),
        ("triangles", np.zeros((2, 3), np.float32)),
        ("triangles", np.array([[0, 1, 5]], np.int32)),
        ("shape_basis_step", np.zeros(3, np.float32)),
        ("shape_sigma", np.float32([1, 1, 1, 0])),
        ("albedo_mean", np.full((5, 3), np.nan, np.float32)),
        ("expression_names", np.array(["jawOpen"])),
        ("landmarks/ibug68/vertices", np.array([[0, 1, 2]], np.int32)),
        ("landmarks/ibug68/weights", np.full((2, 3), np.nan, np.float32)),
        ("contours/ibug68/landmarks", np.array([0, 1], np.int32)),
        ("contours/ibug68/candidates", np.array([[1, 2, 99]], np.int32)),
        ("regions/lips", np.zeros(4, np.uint8)),
        ("mean", np.full((5, 3), 1e38, np.float32)),
        ("mean", np.zeros((0, 3), np.float32)),
        ("triangles", np.zeros((0, 3), np.int32)),
        ("shape_sigma", np.full(4, 1e38, np.float32)),
        ("shape_sigma", np.full(4, 1e-38, np.float32)),
        ("shape_basis_step", np.full(4, 1e33, np.float32)),
        ("shape_basis_step", np.full(4, np.nan, np.float32)),
        ("shape_basis_int16", np.zeros((15, 4), np.int8)),
        ("expression_bounds", np.full((2, 2), np.nan, np.float32)),
        ("expression_bounds", np.float32([[1, 1], [0, 0]])),
        ("expression_bounds", np.full((2, 2), np.inf, np.float32)),
        ("expression_bounds", np.float32([[-1e38, 0], [1e38, 1]])),
        ("expression_names", np.array(["jawOpen", "jawOpen"])),
        ("name", np.array("x" * 1000)),
        ("landmarks/ibug68/weights", np.zeros((68, 3), np.float32)),
        ("contours/ibug68/landmarks", np.array([68], np.int32)),
        ("contours/ibug68/landmarks", np.array([-1], np.int32)),
        ("contours/ibug68/candidates", np.zeros((1, 0), np.int32)),
        ("contours/ibug68/candidates", np.zeros((1, 200_000), np.int8)),
    ],
)
def test_a_part_of_the_wrong_form_is_refused(saved: Path, key: str, value: NDArray) -> None:
    with pytest.raises(Face3DMMError):
        load_npz(rewrite(saved, lambda arrays: arrays.update({key: value})))


@pytest.mark.parametrize("points", [0, 5])
def test_landmarks_that_are_not_their_scheme_are_refused(saved: Path, points: int) -> None:
    def change(arrays: dict[str, NDArray]) -> None:
        for part in ("vertices", "weights"):
            arrays[f"landmarks/ibug68/{part}"] = arrays[f"landmarks/ibug68/{part}"][:points]

    with pytest.raises(Face3DMMError, match=f"ibug68 are {points} points, expected 68"):
        load_npz(rewrite(saved, change))


@pytest.mark.parametrize(
    ("key", "shape", "what"),
    [
        ("mean", (600_000, 3), "600000 vertices"),
        ("triangles", (2_000_000, 3), "2000000 triangles"),
        ("shape_sigma", (5_000,), "5000 components"),
    ],
)
def test_a_model_beyond_any_face_is_refused_unread(
    saved: Path, monkeypatch: pytest.MonkeyPatch, key: str, shape: tuple[int, ...], what: str
) -> None:
    path = rewrite(saved, lambda arrays: arrays.update({key: np.zeros(shape, arrays[key].dtype)}))
    read = []
    monkeypatch.setattr(ArrayArchive, "read", lambda archive, name: read.append(name) or np.array(1))
    with pytest.raises(Face3DMMError, match=what):
        load_npz(path)
    assert read == ["format_version"]


def test_a_strangers_texts_move_no_terminals_cursor(saved: Path) -> None:
    said = np.array("a\nb\x1b[31m")
    path = rewrite(saved, lambda arrays: arrays.update(name=said, licence=said))
    assert (load_npz(path).name, licence_of(path)) == ("a�b�[31m", "a�b�[31m")


def test_names_of_expressions_are_plain_text(saved: Path) -> None:
    path = rewrite(saved, lambda arrays: arrays.update(expression_names=np.array(["jawOpen", "\x1b[31mred"])))
    with pytest.raises(Face3DMMError, match=r"must be plain text on one line, found '\\x1b\[31mred'"):
        load_npz(path)


@pytest.mark.parametrize("version", [None, 2, "1", [1]])
def test_another_format_version_says_what_to_do(saved: Path, version: object) -> None:
    def change(arrays: dict[str, NDArray]) -> None:
        arrays.pop("format_version")
        if version is not None:
            arrays["format_version"] = np.array(version)

    with pytest.raises(Face3DMMError, match="build it again"):
        load_npz(rewrite(saved, change))

"""Labelled pictures: what each format says, and what is refused."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.evaluation.dataset.datasets import FORMATS, dataset_format
from face3dmm_ros.evaluation.dataset.faceless_pictures import FacelessPicture, installed_faceless_pictures
from face3dmm_ros.files.pictures import find_pictures, read_picture

POINTS = np.random.default_rng(0).uniform(50.0, 150.0, (68, 3))


def write_mat(picture: Path, **changes: object) -> None:
    fields = {"pt3d_68": POINTS.T, "Pose_Para": np.array([[0.1, -0.5, 0.2, 10.0, 20.0, 30.0, 0.001]]), **changes}
    scipy.io.savemat(picture.with_suffix(".mat"), {key: value for key, value in fields.items() if value is not None})


def write_pts(picture: Path, points: np.ndarray) -> None:
    lines = "\n".join(f"{x:.3f} {y:.3f}" for x, y in points)
    picture.with_suffix(".pts").write_text(f"version: 1\nn_points: {len(points)}\n{{\n{lines}\n}}\n")


def test_aflw2000_gives_points_depth_away_from_the_viewer_and_pose(tmp_path: Path) -> None:
    write_mat(tmp_path / "a.jpg")
    truth = dataset_format("aflw2000").read(tmp_path / "a.jpg")
    np.testing.assert_allclose(truth.points, POINTS[:, :2])
    assert truth.depth is not None
    np.testing.assert_allclose(truth.depth, -POINTS[:, 2])
    np.testing.assert_allclose(truth.pose, [0.1, -0.5, 0.2])
    assert truth.shape is None


def test_angles_that_went_round_come_back(tmp_path: Path) -> None:
    turns = 2.0 * np.pi * np.array([-2, 1, 3])
    write_mat(tmp_path / "a.jpg", Pose_Para=np.append(np.array([0.1, -0.5, 0.2]) + turns, [0, 0, 0, 1])[None])
    np.testing.assert_allclose(dataset_format("aflw2000").read(tmp_path / "a.jpg").pose, [0.1, -0.5, 0.2])


def test_rendered_sets_carry_their_coefficients(tmp_path: Path) -> None:
    write_mat(tmp_path / "a.jpg", alpha=np.arange(4.0), beta=np.arange(3.0), model_digest="abc")
    shape = dataset_format("aflw2000").read(tmp_path / "a.jpg").shape
    assert shape is not None
    np.testing.assert_allclose(shape.alpha, np.arange(4.0))
    np.testing.assert_allclose(shape.beta, np.arange(3.0))
    assert shape.model_digest == "abc"


def test_300w_lp_has_its_points_in_another_folder(tmp_path: Path) -> None:
    picture = tmp_path / "AFW_Flip" / "a.jpg"
    companion = tmp_path / "landmarks" / "AFW_Flip" / "a_pts.mat"
    for path in (picture, companion):
        path.parent.mkdir(parents=True)
    write_mat(picture, pt3d_68=None)
    scipy.io.savemat(companion, {"pts_3d": POINTS[:, :2], "pts_2d": np.zeros((68, 2))})
    truth = dataset_format("300wlp").read(picture)
    np.testing.assert_allclose(truth.points, POINTS[:, :2])
    assert truth.depth is None
    np.testing.assert_allclose(truth.pose, [0.1, -0.5, 0.2])


def test_300w_lp_also_takes_aflw2000s_layout_in_subfolders(tmp_path: Path) -> None:
    write_mat(tmp_path / "a.jpg")
    assert dataset_format("300wlp").read(tmp_path / "a.jpg").depth is not None


def test_pts_files_count_pixels_from_one(tmp_path: Path) -> None:
    write_pts(tmp_path / "a.png", POINTS[:, :2])
    truth = dataset_format("pts").read(tmp_path / "a.png")
    np.testing.assert_allclose(truth.points, POINTS[:, :2] - 1.0, atol=1e-3)
    assert truth.pose is None


def with_nan(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array[0, 0] = np.nan
    return array


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"pt3d_68": None}, "lacks pt3d_68"),
        ({"Pose_Para": None}, "lacks Pose_Para"),
        ({"pt3d_68": POINTS}, "shape"),
        ({"pt3d_68": with_nan(POINTS.T)}, "not finite"),
        ({"pt3d_68": POINTS.T * 1j}, "real"),
        ({"pt3d_68": np.ones((3, 68))}, "cannot be a face's"),
        ({"Pose_Para": np.full((1, 7), np.inf)}, "not finite"),
        ({"Pose_Para": "frontal"}, "shape"),
    ],
)
def test_a_truth_that_cannot_be_is_refused(tmp_path: Path, changes: dict, complaint: str) -> None:
    write_mat(tmp_path / "a.jpg", **changes)
    with pytest.raises(Face3DMMError, match=complaint):
        dataset_format("aflw2000").read(tmp_path / "a.jpg")


def test_a_mat_file_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    write_mat(tmp_path / "a.jpg")
    whole = (tmp_path / "a.mat").read_bytes()
    for length in (0, 1, 100, 128, 200, len(whole) // 2, len(whole) - 4):
        (tmp_path / "a.mat").write_bytes(whole[:length])
        with pytest.raises(Face3DMMError, match=r"a\.mat"):
            dataset_format("aflw2000").read(tmp_path / "a.jpg")


@pytest.mark.parametrize("name", FORMATS)
def test_a_missing_truth_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(Face3DMMError, match="missing"):
        dataset_format(name).read(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not a .pts file"),
        ("\x00\xff binary", "not a .pts file"),
        ("version: 1\nn_points: 68\n{\n1 2\n}", "2 coordinates"),
        ("version: 1\nn_points: 68\n{\n1 two\n}", "two"),
        ("version: 1\nn_points: 68\n{\n" + "1 2\n" * 60, "not a .pts file"),
        ("version: 1\nn_points: 68\n{\n" + "nan 2\n" * 68 + "}", "not finite"),
    ],
)
def test_a_pts_file_that_cannot_be_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "a.pts").write_text(text)
    with pytest.raises(Face3DMMError, match=complaint):
        dataset_format("pts").read(tmp_path / "a.jpg")


def test_pictures_come_in_a_fixed_order_from_subfolders_only_where_asked(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", "sub/c.png", "a.mat", "note.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert find_pictures(tmp_path, nested=False) == [tmp_path / "a.jpg", tmp_path / "b.PNG"]
    assert find_pictures(tmp_path, nested=True) == [tmp_path / "a.jpg", tmp_path / "b.PNG", tmp_path / "sub/c.png"]


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Face3DMMError, match="no pictures"):
        find_pictures(tmp_path)
    with pytest.raises(Face3DMMError, match="not a folder"):
        find_pictures(tmp_path / "missing")


def test_a_quarter_of_a_faceless_picture(tmp_path: Path) -> None:
    whole = np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), whole)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), whole)
    np.testing.assert_array_equal(FacelessPicture(tmp_path / "a.png", 3).read(), whole[20:, :30])
    assert FacelessPicture(tmp_path / "a.png", 3).name == "a.png, lower left quarter"


def test_no_person_is_among_the_installed_pictures_without_a_face() -> None:
    pytest.importorskip("skimage", reason="needs scikit-image, which carries the pictures")
    names = {picture.path.name for picture in installed_faceless_pictures()}
    assert "coffee.png" in names
    assert not names & {"astronaut.png", "camera.png", "lfw_subset.npy"}

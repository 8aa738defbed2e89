"""Google's GNM Head: what its arrays become, and what is refused."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from head_files import COUNT, assert_same_in_pictures, sheet
from numpy.typing import NDArray

from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.morphable_model import load_model


@pytest.fixture
def arrays() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    vertices, quads = sheet()
    groups = np.zeros((4, COUNT), np.float32)
    groups[0], groups[1, 40:50], groups[2, 50:60], groups[3, 3] = 1, 1, 1, 0.5
    return {
        "version": np.str_("3.0"),
        "variant": np.str_("head"),
        "template_vertex_positions": (vertices / 1000).astype(np.float32),
        "vertex_identity_basis": rng.normal(size=(5, COUNT, 3), scale=3e-3).astype(np.float32),
        "expression_basis": rng.normal(size=(4, COUNT, 3), scale=3e-3).astype(np.float32),
        "template_joint_positions": np.array([[0, -0.1, 0], [0, 0, 0], [0.03, 0.04, 0.06], [-0.03, 0.04, 0.06]], "f4"),
        "joint_identity_basis": rng.normal(size=(5, 4, 3), scale=1e-3).astype(np.float32),
        "joint_names": np.array(["neck", "head", "left_eye", "right_eye"]),
        "triangles": np.concatenate([quads[:, :3], quads[:, [0, 2, 3]]]).astype(np.int32),
        "quads": quads.astype(np.int32),
        "vertex_groups": groups,
        "vertex_group_names": np.array(["skin", "left_eye", "right_eye", "tongue"]),
        "expression_names": np.array([f"lower_face_region_{k}" for k in range(4)]),
        "identity_names": np.array([f"head_{k}" for k in range(5)]),
    }


def write(folder: Path, arrays: dict[str, Any]) -> Path:
    np.savez_compressed(folder / "renamed.npz", **arrays)
    return folder / "renamed.npz"


def test_points_are_where_the_files_own_sum_puts_them(tmp_path: Path, arrays: dict[str, Any]) -> None:
    def raw(alpha: NDArray[np.float64], beta: NDArray[np.float64]) -> NDArray[np.float64]:
        moved = np.einsum("i,ijk->jk", alpha, arrays["vertex_identity_basis"].astype(np.float64))
        moved += np.einsum("i,ijk->jk", beta, arrays["expression_basis"].astype(np.float64))
        return 1000 * (arrays["template_vertex_positions"].astype(np.float64) + moved)

    # Without groups of eyes, whose turns would be expressions beside the file's.
    arrays["vertex_group_names"] = np.array(["skin", "some", "more", "tongue"])
    assert_same_in_pictures(load_model(str(write(tmp_path, arrays))), raw, np.random.default_rng(1))


@pytest.mark.parametrize(("name", "axis"), [("yaw", 0), ("pitch", 1)])
def test_eyes_look_to_the_persons_left_and_up(tmp_path: Path, arrays: dict[str, Any], name: str, axis: int) -> None:
    # Eyeballs about their joints.
    ball = np.random.default_rng(2).normal(size=(2, 10, 3))
    ball = arrays["template_joint_positions"][2:, None] + 0.012 * ball / np.linalg.norm(ball, axis=2, keepdims=True)
    arrays["template_vertex_positions"][40:60] = ball.reshape(-1, 3)
    model = load_model(str(write(tmp_path, arrays)))
    assert model.expression_names[-4:] == ("eye_left_yaw", "eye_left_pitch", "eye_right_yaw", "eye_right_pitch")
    beta = [0.2 if each.endswith(name) else 0.0 for each in model.expression_names]
    np.testing.assert_allclose(model.gaze(np.eye(3), beta)[:, axis], np.sin(0.2), atol=0.005)


def test_the_eyes_joints_are_about_the_origin(tmp_path: Path, arrays: dict[str, Any]) -> None:
    model = load_model(str(write(tmp_path, arrays)))
    np.testing.assert_allclose(model.mean, sheet()[0] - [0, 40, 60], atol=1e-4)


def test_coefficients_have_variance_1_and_no_bounds(tmp_path: Path, arrays: dict[str, Any]) -> None:
    model = load_model(str(write(tmp_path, arrays)))
    # Of the file's own: behind them come the eyes' turns.
    np.testing.assert_array_equal(model.sigma[:9], np.ones(9))
    assert np.isinf(model.expression_bounds[:, :4]).all()
    assert model.expression_names[:4] == tuple(arrays["expression_names"])


def test_a_file_without_identities_or_expressions_is_a_head_that_does_not_change(
    tmp_path: Path, arrays: dict[str, Any]
) -> None:
    for key in ("vertex_identity_basis", "expression_basis", "expression_names"):
        arrays[key] = arrays[key][:0]
    arrays["vertex_group_names"] = np.array(["skin", "some", "more", "tongue"])
    model = load_model(str(write(tmp_path, arrays)))
    assert (model.shape_count, model.expression_count) == (0, 0)
    np.testing.assert_array_equal(model.vertices([], []), model.mean)


def test_groups_of_vertices_become_regions(tmp_path: Path, arrays: dict[str, Any]) -> None:
    regions = load_model(str(write(tmp_path, arrays))).regions
    assert set(regions) == {"skin", "eyes", "mouth_interior"}
    np.testing.assert_array_equal(np.flatnonzero(regions["eyes"]), np.arange(40, 60))
    assert regions["mouth_interior"][3] == 0.5


def landmark_rows() -> NDArray[np.float64]:
    """68 points of two vertices each, the jaw's down to the chin and up again: a row of the sheet for each."""
    rows = np.zeros((68, 6))
    rows[:, 0], rows[:, 2] = np.arange(68), np.arange(68) + 1
    rows[:17, 0] = 12 * np.abs(np.arange(17) - 8)
    rows[:17, 2] = rows[:17, 0] + 1
    rows[:, 1], rows[:, 3] = 0.25, 0.7501
    return rows


def test_landmarks_are_read_where_their_file_lies_beside(tmp_path: Path, arrays: dict[str, Any]) -> None:
    path, rows = write(tmp_path, arrays), landmark_rows()
    assert not load_model(str(path)).landmarks
    np.savetxt(tmp_path / "head_sparse_68.txt", rows, fmt="%g")
    points = load_model(str(path)).scheme("ibug68")
    np.testing.assert_array_equal(points.vertices, rows[:, ::2])
    np.testing.assert_allclose(points.weights, np.tile([0.25, 0.75, 0], (68, 1)), atol=1e-3)


def test_the_jaws_landmarks_run_from_ear_to_ear_also_where_a_cheeks_are_turned_round(
    tmp_path: Path, arrays: dict[str, Any]
) -> None:
    path, rows = write(tmp_path, arrays), landmark_rows()
    turned = rows.copy()
    turned[2:7] = rows[6:1:-1]
    np.savetxt(tmp_path / "head_sparse_68.txt", turned, fmt="%g")
    np.testing.assert_array_equal(load_model(str(path)).scheme("ibug68").vertices, rows[:, ::2])


MISSING = ("expression_names", "triangles", "joint_names", "vertex_groups", "template_joint_positions")
BROKEN: dict[str, Callable[[dict[str, Any]], object]] = {
    **{f"without {key}": lambda arrays, key=key: arrays.pop(key) for key in MISSING},  # type: ignore[misc]
    "a basis of other vertices": lambda arrays: arrays.update(expression_basis=np.zeros((4, COUNT + 1, 3), "f4")),
    "a basis that lies": lambda arrays: arrays.update(vertex_identity_basis=np.zeros((COUNT, 3, 5), "f4")),
    "names too few": lambda arrays: arrays.update(expression_names=np.array(["one"])),
    "names twice": lambda arrays: arrays.update(expression_names=np.array(["one"] * 4)),
    "names that are numbers": lambda arrays: arrays.update(expression_names=np.arange(4)),
    "no eyes": lambda arrays: arrays.update(joint_names=np.array(["a", "b", "c", "d"])),
    "triangles off the mesh": lambda arrays: arrays.update(triangles=np.full((5, 3), COUNT, np.int32)),
    "negative triangles": lambda arrays: arrays.update(triangles=np.full((5, 3), -1, np.int32)),
    "not a number": lambda arrays: arrays["expression_basis"].__setitem__((1, 2, 0), np.nan),
    "eyes that are not finite": lambda arrays: arrays["template_joint_positions"].fill(np.inf),
    "vertices beyond any head": lambda arrays: arrays["template_vertex_positions"].fill(1e30),
    "a thousand components more": lambda arrays: arrays.update(expression_basis=np.zeros((1001, COUNT, 3), "f2")),
    "groups without end": lambda arrays: arrays.update(vertex_groups=np.zeros((1000, COUNT), bool)),
    "objects": lambda arrays: arrays.update(expression_names=np.array([{}] * 4, object)),
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN.keys())
def test_broken_models_are_refused_in_one_line(
    tmp_path: Path, arrays: dict[str, Any], change: Callable[[dict[str, Any]], object]
) -> None:
    change(arrays)
    with pytest.raises(Face3DMMError) as refused:
        load_model(str(write(tmp_path, arrays)))
    assert "\n" not in str(refused.value)


def test_a_file_cut_short_is_refused(tmp_path: Path, arrays: dict[str, Any]) -> None:
    path = write(tmp_path, arrays)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(Face3DMMError):
        load_model(str(path))


def test_a_size_that_a_file_only_claims_is_refused_unread(tmp_path: Path, arrays: dict[str, Any]) -> None:
    path = write(tmp_path, {key: array for key, array in arrays.items() if key != "expression_basis"})
    header = io.BytesIO()
    claimed = {"descr": "<f4", "fortran_order": False, "shape": (900, COUNT, 3 * 10**6)}
    np.lib.format.write_array_header_1_0(header, claimed)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("expression_basis.npy", header.getvalue())
    with pytest.raises(Face3DMMError, match="claims"):
        load_model(str(path))


@pytest.mark.parametrize(
    "text", ["", "1 2 3\n", "0 1 0 0 0 x\n" * 68, "0 1 0 0 0 0\n" * 67, "999 1 0 0 0 0\n" * 68, "0 .5 0 0 0 0\n" * 68,
             "0.5 1 0 0 0 0\n" * 68, "nan 1 0 0 0 0\n" * 68, "0 nan 0 0 0 0\n" * 68, "-1 1 0 0 0 0\n" * 68],
)  # fmt: skip
def test_damaged_landmarks_are_refused_in_one_line(tmp_path: Path, arrays: dict[str, Any], text: str) -> None:
    path = write(tmp_path, arrays)
    (tmp_path / "head_sparse_68.txt").write_text(text)
    with pytest.raises(Face3DMMError, match=r"head_sparse_68\.txt") as refused:
        load_model(str(path))
    assert "\n" not in str(refused.value)

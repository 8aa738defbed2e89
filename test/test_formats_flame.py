"""FLAME's layout: what each field becomes, how well straight columns follow its joints, and what is refused."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from face3dmm_ros.core.errors import Face3DMMError, one_line
from face3dmm_ros.morphable_model import load_model
from face3dmm_ros.morphable_model.formats.flame import load

EYE, SKIN = 12, 76
"""Vertices of an eyeball and of the rest."""
COUNT = SKIN + 2 * EYE
EXPRESSIONS = 6
JOINTS = np.array([[0, -0.1, -0.05], [0, -0.05, -0.03], [0, -0.01, 0.0], [0.031, 0.03, 0.04], [-0.031, 0.03, 0.04]])


def flame_fields(rng: np.random.Generator) -> dict[str, Any]:
    """The front of a head, m, with a jaw, and two eyeballs about their joints."""
    skin = np.stack([rng.uniform(-0.07, 0.07, SKIN), rng.uniform(-0.1, 0.09, SKIN), np.zeros(SKIN)], axis=1)
    skin[:, 2] = 0.09 - 6.0 * (skin[:, 0] ** 2 + skin[:, 1] ** 2)
    ball = rng.normal(size=(2, EYE, 3))
    ball = JOINTS[3:, None] + 0.012 * ball / np.linalg.norm(ball, axis=2, keepdims=True)
    vertices = np.concatenate([skin, ball.reshape(-1, 3)])
    weights = np.zeros((COUNT, 5))
    weights[:SKIN, 2] = np.clip(-10 * skin[:, 1], 0, 1)
    weights[:SKIN, 1] = 1 - weights[:SKIN, 2]
    weights[SKIN : SKIN + EYE, 3] = weights[SKIN + EYE :, 4] = 1.0
    # Joints as means of vertices: what they are is exact.
    regressor = np.linalg.lstsq(np.c_[vertices, np.ones(COUNT)].T, np.c_[JOINTS, np.ones(5)].T, rcond=None)[0].T
    order = rng.permutation(SKIN)[: 3 * (SKIN // 3)].reshape(-1, 3)
    return {
        "v_template": vertices,
        "f": np.concatenate([order, np.arange(SKIN, COUNT).reshape(-1, 3)]).astype(np.uint32),
        "shapedirs": rng.normal(size=(COUNT, 3, 300 + EXPRESSIONS)) * 1e-3,
        "posedirs": rng.normal(size=(COUNT, 3, 36)) * 2e-4,
        "J_regressor": scipy.sparse.csc_matrix(regressor),
        "weights": weights,
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], np.arange(5)], np.uint32),
        "bs_style": "lbs",
    }


@pytest.fixture
def fields() -> dict[str, Any]:
    return flame_fields(np.random.default_rng(0))


def write(folder: Path, fields: dict[str, Any], name: str = "generic_model.pkl") -> Path:
    path = folder / name
    path.write_bytes(pickle.dumps(fields, 2))
    return path


def skinned(fields: dict[str, Any], beta: NDArray, pose: NDArray) -> NDArray[np.float64]:
    """FLAME's own definition: shape, pose correctives, then all five joints along their tree; (5, 3) vectors, rad."""
    shaped = fields["v_template"] + fields["shapedirs"] @ beta
    joints = fields["J_regressor"].toarray() @ fields["v_template"]
    turns = Rotation.from_rotvec(pose).as_matrix()
    posed = shaped + fields["posedirs"] @ (turns[1:] - np.eye(3)).ravel()
    places: list[NDArray[np.float64]] = []
    for joint, parent in enumerate([-1, 0, 1, 1, 1]):
        local = np.eye(4)
        local[:3, :3], local[:3, 3] = turns[joint], joints[joint] - (joints[parent] if parent >= 0 else 0)
        places.append(local if parent < 0 else places[parent] @ local)
    each = [(posed - joints[k]) @ place[:3, :3].T + place[:3, 3] for k, place in enumerate(places)]
    return np.einsum("vj,jvk->vk", fields["weights"], np.array(each))


def test_projected_points_are_those_of_the_files_own_numbers(tmp_path: Path, fields: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    model = load_model(str(write(tmp_path, fields, "renamed.bin")))
    beta = rng.normal(size=300 + EXPRESSIONS)
    truth = 1e3 * (skinned(fields, beta, np.zeros((5, 3))) - JOINTS[3:].mean(axis=0))
    ours = model.vertices(beta[:300], beta[300:])
    rotation, scale = Rotation.random(random_state=2).as_matrix(), 200 / 190
    error = scale * (ours - truth) @ rotation.T
    assert np.abs(error[:, :2]).max() < 1e-4
    assert model.shape_count == 300
    assert model.expression_names[:EXPRESSIONS] == tuple(f"exp_{k:02d}" for k in range(EXPRESSIONS))


def test_an_archive_holds_the_same(tmp_path: Path, fields: dict[str, Any]) -> None:
    np.savez(tmp_path / "flame.npz", **{**fields, "J_regressor": fields["J_regressor"].toarray()})
    assert load_model(str(tmp_path / "flame.npz")).digest == load(write(tmp_path, fields)).digest


@pytest.mark.parametrize(
    ("name", "joint", "axis", "angle", "most"),
    [
        # mm: the docstring's formulas at this head's radii, with some more for its random correctives.
        ("jaw_open", 2, (1, 0, 0), 0.3, 0.02),
        ("jaw_open", 2, (1, 0, 0), 0.15, 1.4),
        ("jaw_open", 2, (1, 0, 0), 0.45, 4.5),
        ("jaw_left", 2, (0, 1, 0), -0.15, 1.6),
        ("eye_left_yaw", 3, (0, 1, 0), 0.2, 0.3),
        ("eye_right_yaw", 4, (0, 1, 0), 0.5, 1.8),
        ("eye_left_pitch", 3, (-1, 0, 0), -0.2, 0.3),
        ("eye_right_pitch", 4, (-1, 0, 0), 0.4, 1.2),
    ],
)
def test_straight_columns_follow_the_joints(
    tmp_path: Path, fields: dict[str, Any], name: str, joint: int, axis: tuple, angle: float, most: float
) -> None:
    model = load(write(tmp_path, fields))
    pose = np.zeros((5, 3))
    pose[joint] = angle * np.array(axis)
    rest = skinned(fields, np.zeros(300 + EXPRESSIONS), np.zeros((5, 3)))
    truth = 1e3 * (skinned(fields, np.zeros(300 + EXPRESSIONS), pose) - rest)
    beta = np.where(np.array(model.expression_names) == name, angle, 0.0)
    assert np.linalg.norm(model.vertices([], beta) - model.mean - truth, axis=1).max() < most


def test_a_jaw_opens_downward_and_goes_to_the_persons_left(tmp_path: Path, fields: dict[str, Any]) -> None:
    model = load(write(tmp_path, fields))
    chin = np.argmin(fields["v_template"][:SKIN, 1])
    moved = {
        name: model.expression_basis.reshape(COUNT, 3, -1)[chin, :, k] for k, name in enumerate(model.expression_names)
    }
    assert moved["jaw_open"][1] < -10
    assert moved["jaw_left"][0] > 10


@pytest.mark.parametrize(("name", "axis"), [("yaw", 0), ("pitch", 1)])
def test_eyes_look_to_the_persons_left_and_up(tmp_path: Path, fields: dict[str, Any], name: str, axis: int) -> None:
    fields["posedirs"][:] = 0
    model = load(write(tmp_path, fields))
    beta = [0.2 if each.endswith(name) else 0.0 for each in model.expression_names]
    gaze = model.gaze(np.eye(3), beta)
    np.testing.assert_allclose(gaze[:, axis], np.sin(0.2), atol=0.005)
    assert (model.regions["eyes"] == (fields["weights"][:, 3:].max(axis=1) > 0.5)).all()


def embedding(rng: np.random.Generator, count: int, triangles: int) -> tuple[NDArray, NDArray]:
    return rng.integers(0, triangles, count), rng.dirichlet(np.ones(3), count)


def test_the_landmarks_of_deca_are_ibugs(tmp_path: Path, fields: dict[str, Any]) -> None:
    faces, weights = embedding(np.random.default_rng(2), 68, len(fields["f"]))
    held = {"full_lmk_faces_idx": faces[None], "full_lmk_bary_coords": weights[None]}
    np.save(tmp_path / "landmark_embedding.npy", np.array(held, dtype=object), allow_pickle=True)
    model = load(write(tmp_path, fields))
    truth = np.einsum("pk,pkc->pc", weights, fields["v_template"][fields["f"][faces]]) - JOINTS[3:].mean(axis=0)
    np.testing.assert_allclose(model.scheme("ibug68").interpolate(model.mean), 1e3 * truth, atol=1e-4)


def test_the_jaw_line_of_ringnet_goes_before_its_51_points(tmp_path: Path, fields: dict[str, Any]) -> None:
    rng = np.random.default_rng(3)
    (inner, inner_weights), (line, line_weights) = (embedding(rng, n, len(fields["f"])) for n in (51, 17))
    static = {"lmk_face_idx": inner.astype(np.uint32), "lmk_b_coords": inner_weights}
    (tmp_path / "flame_static_embedding.pkl").write_bytes(pickle.dumps(static, 2))
    rows = {"lmk_face_idx": [line, line[::-1]], "lmk_b_coords": [line_weights, line_weights[::-1]]}
    np.save(tmp_path / "flame_dynamic_embedding.npy", np.array(rows, dtype=object), allow_pickle=True)
    points = load(write(tmp_path, fields)).scheme("ibug68")
    np.testing.assert_allclose(points.weights, np.concatenate([line_weights, inner_weights]), atol=1e-6)
    assert (np.sort(points.vertices) == np.sort(fields["f"][np.concatenate([line, inner])])).all()


def test_masks_beside_the_model_are_its_regions(tmp_path: Path, fields: dict[str, Any]) -> None:
    masks = {"face": np.arange(9), "left_ear": np.array([3]), "right_ear": np.array([4]), "nose": np.arange(2)}
    (tmp_path / "FLAME_masks.pkl").write_bytes(pickle.dumps(masks, 0))
    regions = load(write(tmp_path, fields)).regions
    assert set(regions) == {"face", "ears", "eyes"}
    assert np.flatnonzero(regions["ears"]).tolist() == [3, 4]


@pytest.mark.parametrize(
    ("static", "rows"),
    [
        ({"lmk_face_idx": np.zeros(50, int), "lmk_b_coords": np.ones((50, 3)) / 3}, {}),
        ({"lmk_face_idx": np.full(51, 10**6), "lmk_b_coords": np.ones((51, 3)) / 3}, {}),
        ({"lmk_face_idx": np.zeros(51, int), "lmk_b_coords": np.ones((51, 2))}, {}),
        ({"lmk_face_idx": np.zeros(51, int), "lmk_b_coords": np.ones((51, 3))}, {"lmk_b_coords": [np.ones((17, 3))]}),
        ({}, {"lmk_face_idx": np.array(3)}),
        ({}, {"lmk_face_idx": []}),
        ({}, {"lmk_b_coords": [np.full((17, 3), np.nan)]}),
    ],
)
def test_embeddings_that_do_not_fit_are_refused(
    tmp_path: Path, fields: dict[str, Any], static: dict[str, Any], rows: dict[str, Any]
) -> None:
    good = {"lmk_face_idx": np.zeros(51, int), "lmk_b_coords": np.full((51, 3), 1 / 3)}
    ahead = {"lmk_face_idx": [np.zeros(17, int)], "lmk_b_coords": [np.full((17, 3), 1 / 3)]}
    (tmp_path / "flame_static_embedding.pkl").write_bytes(pickle.dumps(good | static, 2))
    np.save(tmp_path / "flame_dynamic_embedding.npy", np.array(ahead | rows, dtype=object), allow_pickle=True)
    with pytest.raises(Face3DMMError):
        load(write(tmp_path, fields))


@pytest.mark.parametrize("size", [203, 205, 68])
def test_an_embedding_of_others_than_68_points_is_refused(tmp_path: Path, fields: dict[str, Any], size: int) -> None:
    held = {"full_lmk_faces_idx": np.zeros((1, 68), int), "full_lmk_bary_coords": np.ones(size) / 3}
    np.save(tmp_path / "landmark_embedding.npy", np.array(held, dtype=object), allow_pickle=True)
    with pytest.raises(Face3DMMError, match="68 points"):
        load(write(tmp_path, fields))


@pytest.mark.parametrize("name", ["landmark_embedding.npy", "FLAME_masks.pkl"])
def test_a_file_beside_the_model_that_is_damaged_is_told(tmp_path: Path, fields: dict[str, Any], name: str) -> None:
    (tmp_path / name).write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(Face3DMMError, match=name):
        load(write(tmp_path, fields))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("v_template", lambda a: a[:, :2]),
        ("v_template", lambda a: a[:0]),
        ("v_template", lambda a: a * np.nan),
        ("v_template", lambda a: a.astype(object)),
        ("v_template", lambda a: list(a)),
        ("f", lambda a: a + COUNT),
        ("f", lambda a: a + 0.5),
        ("f", lambda a: a[:0]),
        ("shapedirs", lambda a: a[:-1]),
        ("shapedirs", lambda a: a[..., :299]),
        ("shapedirs", lambda a: np.repeat(a, 5, axis=2)),
        ("shapedirs", lambda a: a * np.inf),
        ("posedirs", lambda a: a[..., :35]),
        ("posedirs", lambda a: a * 1e300),
        ("weights", lambda a: np.concatenate([a, a], axis=1)),
        ("weights", lambda a: 2 * a),
        ("J_regressor", lambda a: a[:4]),
        ("J_regressor", lambda a: a * np.nan),
        ("kintree_table", lambda a: a[::-1]),
        ("kintree_table", lambda a: None),
    ],
)
def test_fields_that_do_not_fit_are_refused(tmp_path: Path, fields: dict[str, Any], name: str, change: Any) -> None:
    fields[name] = change(fields[name])
    with np.errstate(all="ignore"), pytest.raises(Face3DMMError) as caught:
        load(write(tmp_path, fields))
    assert len(one_line(caught.value)) < 400


@pytest.mark.parametrize("name", ["v_template", "f", "shapedirs", "posedirs", "J_regressor", "weights"])
def test_a_missing_field_is_named(tmp_path: Path, fields: dict[str, Any], name: str) -> None:
    del fields[name]
    with pytest.raises(Face3DMMError, match=name):
        load(write(tmp_path, fields))


def test_a_file_that_is_cut_short_or_asks_for_more_than_arrays_is_refused(
    tmp_path: Path, fields: dict[str, Any]
) -> None:
    path = write(tmp_path, fields)
    content = path.read_bytes()
    for changed in (content[: len(content) // 2], content[:-1], b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R."):
        path.write_bytes(changed)
        with pytest.raises(Face3DMMError):
            load_model(str(path))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "flame.pkl")
    with pytest.raises(Face3DMMError, match="a pipe"):
        load(tmp_path / "flame.pkl")


def test_objects_in_an_archive_are_refused(tmp_path: Path, fields: dict[str, Any]) -> None:
    fields["J_regressor"] = np.array(fields["J_regressor"], dtype=object)
    np.savez(tmp_path / "flame.npz", **fields)
    with pytest.raises(Face3DMMError, match="objects"):
        load_model(str(tmp_path / "flame.npz"))

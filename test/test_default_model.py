"""What the model that ships with the package promises: frame, units, sides, bases, landmarks and contours."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.resource_files import package_file
from face3dmm_ros.core.rotations import rotation_from_pose_angles
from face3dmm_ros.landmarks.schemes import SKIN_COUNT
from face3dmm_ros.morphable_model import MorphableModel, load_model
from face3dmm_ros.rendering.face_renderer import FaceRenderer, PosedFace
from face3dmm_ros.rendering.lighting import Lighting

ARKIT_NAMES = """
browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight cheekPuff cheekSquintLeft cheekSquintRight
eyeBlinkLeft eyeBlinkRight eyeLookDownLeft eyeLookDownRight eyeLookInLeft eyeLookInRight eyeLookOutLeft eyeLookOutRight
eyeLookUpLeft eyeLookUpRight eyeSquintLeft eyeSquintRight eyeWideLeft eyeWideRight jawForward jawLeft jawOpen jawRight
mouthClose mouthDimpleLeft mouthDimpleRight mouthFrownLeft mouthFrownRight mouthFunnel mouthLeft mouthLowerDownLeft
mouthLowerDownRight mouthPressLeft mouthPressRight mouthPucker mouthRight mouthRollLower mouthRollUpper mouthShrugLower
mouthShrugUpper mouthSmileLeft mouthSmileRight mouthStretchLeft mouthStretchRight mouthUpperUpLeft mouthUpperUpRight
noseSneerLeft noseSneerRight tongueOut
"""
ARKIT = set(ARKIT_NAMES.split())


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return load_model("default")


def points(model: MorphableModel, scheme: str = "ibug68", **weights: float) -> NDArray[np.float32]:
    """Landmarks of the mean with blendshapes at these weights, mm."""
    return model.scheme(scheme).interpolate(posed(model, **weights))


def posed(model: MorphableModel, **weights: float) -> NDArray[np.float32]:
    return model.vertices([], _beta(model, **weights))


def _beta(model: MorphableModel, **weights: float) -> NDArray[np.float64]:
    beta = np.zeros(model.expression_count)
    for name, weight in weights.items():
        beta[model.expression_names.index(name)] = weight
    return beta


def displacement(model: MorphableModel, name: str) -> NDArray[np.float32]:
    return model.expression_basis[:, model.expression_names.index(name)].reshape(-1, 3)


def eyeball(model: MorphableModel, side: int) -> NDArray[np.intp]:
    """Vertices of the left (+1) or right (−1) eyeball."""
    return np.flatnonzero((model.regions["eyes"] > 0.5) & (side * model.mean[:, 0] > 0))


def test_size_is_modest(model: MorphableModel) -> None:
    assert 4400 <= model.vertex_count <= 6000
    assert package_file("resource/default_model.npz").stat().st_size < 8e6


def test_the_origin_lies_between_the_eyeballs(model: MorphableModel) -> None:
    centers = []
    for side in (1, -1):
        # A sphere fitted to the eyeball: |x|² = 2 c·x + (r² − |c|²).
        x = model.mean[eyeball(model, side)].astype(np.float64)
        solution = np.linalg.lstsq(np.column_stack([2 * x, np.ones(len(x))]), (x**2).sum(axis=1), rcond=None)[0]
        centers.append(solution[:3])
    np.testing.assert_allclose(np.mean(centers, axis=0), 0.0, atol=0.3)
    assert 57 < centers[0][0] - centers[1][0] < 66


def test_dimensions_are_an_adults_in_millimetres(model: MorphableModel) -> None:
    p = points(model)
    assert 80 < np.linalg.norm(p[36] - p[45]) < 100  # outer corners of the eyes
    assert 105 < np.linalg.norm(p[27] - p[8]) < 130  # nasion to chin
    assert 45 < np.linalg.norm(p[48] - p[54]) < 58  # corners of the mouth
    skull = model.mean[(model.regions["skin"] > 0.5) & (model.regions["ears"] < 0.1) & (model.mean[:, 1] > 0)]
    assert 135 < np.ptp(skull[:, 0]) < 165
    assert 175 < np.ptp(skull[:, 2]) < 215


def test_axes_are_left_up_and_out_of_the_face(model: MorphableModel) -> None:
    p = points(model)
    assert p[45, 0] > 0 > p[36, 0]
    assert p[27, 1] > p[8, 1]
    assert p[30, 2] > max(p[36, 2], p[45, 2], p[8, 2])


def test_triangles_are_counter_clockwise_from_outside(model: MorphableModel) -> None:
    a, b, c = (model.mean[model.triangles[:, k]].astype(np.float64) for k in range(3))
    assert np.einsum("ij,ij->", a, np.cross(b, c)) > 0
    p = model.scheme("ibug68")
    assert (p.interpolate(model.normals(model.mean))[17:, 2] > 0).mean() > 0.95


def test_identity_basis_is_orthonormal_and_ordered(model: MorphableModel) -> None:
    assert model.shape_count >= 80
    gram = model.shape_basis.T @ model.shape_basis
    np.testing.assert_allclose(gram, np.eye(model.shape_count), atol=2e-3)
    assert (np.diff(model.shape_sigma) <= 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_random_people_keep_plausible_proportions(model: MorphableModel, seed: int) -> None:
    alpha = np.random.default_rng(seed).normal(size=model.shape_count) * model.shape_sigma
    p = model.scheme("ibug68").interpolate(model.identity(alpha))
    assert 68 < np.linalg.norm(p[36] - p[45]) < 108
    assert 90 < np.linalg.norm(p[27] - p[8]) < 150
    assert p[30, 2] > p[33, 2] > p[36, 2]


def test_blendshapes_are_arkits_in_alphabetical_order(model: MorphableModel) -> None:
    assert model.expression_names == tuple(ARKIT_NAMES.split())
    np.testing.assert_array_equal(model.expression_bounds, [[0] * 52, [1] * 52])


@pytest.mark.parametrize("name", sorted(n for n in ARKIT if n.endswith("Left") and n not in ("jawLeft", "mouthLeft")))
def test_left_moves_the_persons_left(model: MorphableModel, name: str) -> None:
    right = name.removesuffix("Left") + "Right"
    for side, unit in ((1, name), (-1, right)):
        moved = np.linalg.norm(displacement(model, unit), axis=1)
        x = side * model.mean[:, 0]
        assert moved[x > 1].sum() > 2 * moved[x < -1].sum()


@pytest.mark.parametrize("name", sorted(name for name in ARKIT if name.endswith("Left")))
def test_left_and_right_mirror_each_other(model: MorphableModel, name: str) -> None:
    left, right = (points(model, "mediapipe478", **{side: 1.0}) for side in (name, name.removesuffix("Left") + "Right"))
    rest = points(model, "mediapipe478")
    counterpart = np.linalg.norm(rest[:, None] * [-1, 1, 1] - rest[None], axis=2).argmin(axis=1)
    twins = counterpart[counterpart] == np.arange(len(rest))
    moved, mirrored = (left - rest)[twins], ((right - rest) * [-1, 1, 1])[counterpart[twins]]
    assert np.linalg.norm(moved - mirrored, axis=1).mean() < 0.2


@pytest.mark.parametrize(("name", "side"), [("jawLeft", 1), ("jawRight", -1), ("mouthLeft", 1), ("mouthRight", -1)])
def test_jaw_and_mouth_move_sideways_to_the_named_side(model: MorphableModel, name: str, side: int) -> None:
    moved = points(model, **{name: 1.0}) - points(model)
    assert side * moved[[57, 66], 0].min() > 3


@pytest.mark.parametrize(("side", "lids"), [("Left", ((43, 47), (44, 46))), ("Right", ((37, 41), (38, 40)))])
def test_a_blink_closes_the_lids_in_front_of_the_eyeball(model: MorphableModel, side: str, lids: tuple) -> None:
    opened, closed = points(model), points(model, **{f"eyeBlink{side}": 1.0})
    for upper, lower in lids:
        assert opened[upper, 1] - opened[lower, 1] > 6
        assert abs(closed[upper, 1] - closed[lower, 1]) < 2.5
        eye = posed(model)[eyeball(model, 1 if side == "Left" else -1)]
        distance = np.linalg.norm(eye[:, :2] - closed[upper, :2], axis=1)
        assert closed[upper, 2] > eye[distance.argmin(), 2]


def test_an_open_jaw_parts_the_lips_and_takes_teeth_and_tongue_along(model: MorphableModel) -> None:
    closed, opened = points(model), points(model, jawOpen=1.0)
    assert abs(closed[62, 1] - closed[66, 1]) < 2.5
    assert opened[62, 1] - opened[66, 1] > 25
    assert closed[8, 1] - opened[8, 1] > 18
    moved = displacement(model, "jawOpen")[:, 1]
    teeth = model.regions["teeth"] > 0.5
    # The jaw swings about its joint: front teeth drop further than molars, and the upper row stays.
    assert (moved[teeth] < -7).sum() == (moved[teeth] > -1).sum() == 68
    assert (moved[model.regions["mouth_interior"] > 0.5] < -10).any()


def test_a_smile_takes_the_corners_out_up_and_back(model: MorphableModel) -> None:
    """As 68 people did it: 3.7 mm out and 5.0 up, at half of the weight."""
    moved = points(model, mouthSmileLeft=0.5, mouthSmileRight=0.5) - points(model)
    np.testing.assert_allclose(moved[54, :2], [3.7, 5.0], atol=0.8)
    assert moved[54, 2] < -2.5
    assert moved[62, 1] > 1.0
    assert moved[66, 1] < 2.0
    assert moved[[46, 47], 1].min() > 0.0  # the lower lids go with the cheeks


def test_pressed_lips_neither_widen_nor_rise(model: MorphableModel) -> None:
    moved = points(model, mouthPressLeft=1.0, mouthPressRight=1.0) - points(model)
    assert np.abs(moved[[48, 54]]).max() < 2.5


@pytest.mark.parametrize(
    "weights",
    [
        {},
        {"mouthPressLeft": 1.0, "mouthPressRight": 1.0},
        {"mouthPucker": 1.0},
        {"mouthFrownLeft": 1.0, "mouthFrownRight": 1.0},
        {"mouthDimpleLeft": 1.0, "mouthDimpleRight": 1.0},
        {"mouthStretchLeft": 1.0, "mouthStretchRight": 1.0},
        {"mouthRollLower": 1.0},
        {"mouthShrugLower": 1.0},
        {"cheekPuff": 1.0},
        {"jawOpen": 0.5, "mouthClose": 0.5},
        {"jawOpen": 1.0, "mouthClose": 1.0},
    ],
    ids=str,
)
def test_lips_that_are_shut_meet(model: MorphableModel, weights: dict[str, float]) -> None:
    p = points(model, **weights)
    gap = (p[[61, 62, 63]] - p[[67, 66, 65]])[:, 1]
    assert gap.max() < 2.5
    assert gap.min() > -1.5


def test_the_tongue_comes_out_alone(model: MorphableModel) -> None:
    moved = np.linalg.norm(displacement(model, "tongueOut"), axis=1) > 0.1
    assert moved.any()
    assert (model.regions["mouth_interior"][moved] > 0.5).all()
    assert displacement(model, "tongueOut")[moved, 2].max() > 15.0
    np.testing.assert_allclose(points(model, "mediapipe478", tongueOut=1.0), points(model, "mediapipe478"), atol=0.01)


def shown(
    model: MorphableModel,
    part: NDArray[np.bool_],
    middle: tuple[float, float, float],
    vertices: NDArray,
    yaw: float = 0.0,
) -> tuple[NDArray[np.uint8], WeakPerspective]:
    """Where a part (N,) of the head is seen, (400, 400) of 0 and 1 at 4 px/mm about a place, and the camera."""
    renderer = FaceRenderer(model.triangles, lighting=Lighting(ambient=(1.0,) * 3, color=(0.0,) * 3, specular=0.0))
    rgb = np.where(part[:, None], [0, 0, 255], [255, 0, 0]).astype(np.uint8)
    size, scale = (400, 400), 4.0
    rotation = rotation_from_pose_angles(0.0, np.radians(yaw), 0.0)
    camera = WeakPerspective(scale, rotation, np.array(size) / 2 - scale * (rotation @ middle)[:2])
    with renderer:
        image = renderer.render(size, [PosedFace(vertices, model.normals(vertices), rgb, camera)])
    return (image[..., 2] > image[..., 0]).astype(np.uint8), camera


def seen_outside_the_lips(model: MorphableModel, vertices: NDArray, yaw: float) -> float:
    """mm² of teeth, tongue or the mouth's inside that are seen where no mouth is open."""
    inside = (model.regions["teeth"] > 0.5) | (model.regions["mouth_interior"] > 0.5)
    seen, camera = shown(model, inside, (0.0, -72.0, 25.0), vertices, yaw)
    # Between the rims of the lips, as far as they reach, all may be seen.
    ring = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95]
    opening = np.int32(np.round(camera.project(model.scheme("mediapipe478").interpolate(vertices)[ring])))
    cv2.fillPoly(seen, [opening], 0)
    cv2.polylines(seen, [opening], True, 0, 9)
    return float(seen.sum() / camera.scale**2)


@pytest.mark.parametrize("yaw", [0.0, 40.0])
@pytest.mark.parametrize(
    "weights",
    [
        *(
            {name: 1.0}
            for name in sorted(ARKIT)
            if name.startswith(("mouth", "jaw", "cheek", "nose")) and name != "mouthClose"
        ),
        {"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0, "jawOpen": 0.3},
        {"mouthPucker": 1.0, "jawOpen": 0.5},
        {"mouthShrugLower": 1.0, "mouthPressLeft": 1.0, "mouthPressRight": 1.0},
        {"jawOpen": 0.5, "mouthClose": 0.5},
    ],
    ids=str,
)
def test_nothing_of_the_mouths_inside_comes_through_the_lips(
    model: MorphableModel, weights: dict[str, float], yaw: float
) -> None:
    assert seen_outside_the_lips(model, posed(model, **weights), yaw) < 5.0


@pytest.mark.parametrize("seed", range(10))
def test_other_people_shut_their_eyes_too(model: MorphableModel, seed: int) -> None:
    alpha = np.random.default_rng(seed).normal(size=model.shape_count) * model.shape_sigma
    blink = model.express(model.identity(alpha), _beta(model, eyeBlinkLeft=1.0, eyeBlinkRight=1.0))
    seen, camera = shown(model, model.regions["eyes"] > 0.5, (0.0, 0.0, 10.0), blink)
    assert seen.sum() / camera.scale**2 < 1.0


def test_few_peoples_lips_show_their_lining_when_pushed_up(model: MorphableModel) -> None:
    rng = np.random.default_rng(5)
    people = [model.identity(rng.normal(size=model.shape_count) * model.shape_sigma) for _ in range(20)]
    shrugs = [model.express(one, _beta(model, mouthShrugLower=1.0)) for one in people]
    assert sum(seen_outside_the_lips(model, one, 0.0) > 1.0 for one in shrugs) <= 2


def test_upper_teeth_are_seen_in_an_open_smile(model: MorphableModel) -> None:
    smile = {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8, "mouthUpperUpLeft": 0.4, "mouthUpperUpRight": 0.4}
    lips = points(model, **smile)
    upper = (model.regions["teeth"] > 0.5) & (np.abs(displacement(model, "jawOpen")[:, 1]) < 1.0)
    front = upper & (np.abs(model.mean[:, 0]) < 8.0)
    assert posed(model, **smile)[front, 1].min() < lips[62, 1] - 1.0


def test_expressions_go_together_as_peoples_do(model: MorphableModel) -> None:
    assert model.expression_correlation is not None

    def correlation(one: str, other: str) -> float:
        return float(model.expression_correlation[tuple(map(model.expression_names.index, (one, other)))])

    assert correlation("mouthSmileLeft", "mouthSmileRight") > 0.6
    assert correlation("eyeBlinkLeft", "eyeBlinkRight") > 0.6
    assert correlation("mouthSmileLeft", "cheekSquintLeft") > 0.3
    assert correlation("eyeLookInLeft", "eyeLookOutRight") > 0.6
    assert correlation("eyeLookInLeft", "eyeLookOutLeft") < 0.0
    assert correlation("browInnerUp", "browOuterUpLeft") > 0.3


ICT = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "ict_facekit"


@pytest.mark.slow
def test_shapes_are_like_those_of_scanned_people(model: MorphableModel) -> None:
    """At the 51 landmarks of the inner face; the jaw's 17 lie elsewhere on ICT-FaceKit's head."""
    if not (ICT / "ict_facekit.npz").is_file():
        pytest.skip("ICT-FaceKit is not here")
    ict = np.load(ICT / "ict_facekit.npz")
    index = np.array(json.loads((ICT / "vertex_indices.json").read_text())["idx_to_landmark_verts"])
    names = [str(name) for name in ict["expression_names"]]
    neutral, ours = ict["neutral"][index].astype(float), points(model)
    scale = np.linalg.norm(ours[36] - ours[45]) / np.linalg.norm(neutral[36] - neutral[45])
    cosines = {}
    for name in model.expression_names[:-1]:
        known = [k for k, n in enumerate(names) if n.replace("_L", "Left").replace("_R", "Right") == name]
        parts = known or [names.index(f"{name}_{side}") for side in "LR"]
        theirs = scale * sum(ict["expressions"][k][index][17:, :2].astype(float) for k in parts)
        moved = (points(model, **{name: 1.0}) - ours)[17:, :2]
        cosines[name] = (moved * theirs).sum() / np.linalg.norm(moved) / np.linalg.norm(theirs)
        assert 0.75 < np.linalg.norm(moved) / np.linalg.norm(theirs) < 1.35, name
    assert min(cosines.values()) > 0.85, min(cosines, key=cosines.__getitem__)
    assert np.mean(list(cosines.values())) > 0.95


@pytest.mark.parametrize(
    ("name", "axis", "sign"),
    [
        ("eyeLookUpLeft", 1, 1),
        ("eyeLookDownLeft", 1, -1),
        ("eyeLookInLeft", 0, -1),
        ("eyeLookOutLeft", 0, 1),
        ("eyeLookInRight", 0, 1),
        ("eyeLookOutRight", 0, -1),
    ],
)
def test_gaze_turns_the_eyeball_about_its_centre(model: MorphableModel, name: str, axis: int, sign: int) -> None:
    eye = eyeball(model, 1 if name.endswith("Left") else -1)
    before, after = model.mean[eye], posed(model, **{name: 1.0})[eye]
    pupil = before[:, 2].argmax()
    assert sign * (after - before)[pupil, axis] > 3.5
    # A rotation keeps all distances.
    np.testing.assert_allclose(
        np.linalg.norm(after - after[pupil], axis=1), np.linalg.norm(before - before[pupil], axis=1), atol=0.05
    )


def test_ibug_points_run_in_their_order(model: MorphableModel) -> None:
    x, y = points(model)[:, 0], points(model)[:, 1]
    for run in (range(17), range(17, 22), range(22, 27), range(31, 36), range(48, 55), range(60, 65)):
        assert (np.diff(x[list(run)]) > 0).all()
    assert (np.diff(y[27:31]) < 0).all()
    assert (np.diff(x[[54, 55, 56, 57, 58, 59, 48]]) < 0).all()
    assert x[36] < x[37] < x[38] < x[39] < 0 < x[42] < x[43] < x[44] < x[45]
    assert x[39] > x[40] > x[41]
    assert x[45] > x[46] > x[47]
    assert (y[[37, 38, 43, 44]] > y[[41, 40, 47, 46]] + 5).all()
    assert (y[[50, 51, 52]] > y[[61, 62, 63]]).all()
    assert (y[[65, 66, 67]] > y[[56, 57, 58]]).all()


def test_points_are_symmetric(model: MorphableModel) -> None:
    flip = np.array([-1, 1, 1])
    jaw = points(model)[:17]
    np.testing.assert_allclose(jaw, jaw[::-1] * flip, atol=1.5)
    dense = points(model, "mediapipe478")
    for right, left in ((33, 263), (133, 362), (61, 291), (234, 454), (105, 334), (172, 397), (98, 327)):
        np.testing.assert_allclose(dense[right], dense[left] * flip, atol=1.5)


def test_face_mesh_points_agree_with_ibugs_where_both_mean_the_same(model: MorphableModel) -> None:
    p, dense = points(model), points(model, "mediapipe478")
    for ibug, mediapipe in ((36, 33), (39, 133), (42, 362), (45, 263), (48, 61), (54, 291), (62, 13), (66, 14)):
        assert np.linalg.norm(p[ibug] - dense[mediapipe]) < 2.5
    for ibug, mediapipe in ((51, 0), (33, 2), (30, 4), (8, 152)):
        assert np.linalg.norm(p[ibug] - dense[mediapipe]) < 6


@pytest.mark.parametrize("scheme", ["ibug68", "mediapipe478"])
def test_landmarks_lie_on_skin(model: MorphableModel, scheme: str) -> None:
    surface = model.scheme(scheme)
    np.testing.assert_allclose(surface.weights.sum(axis=1), 1.0, atol=1e-5)
    assert surface.weights.min() >= 0
    assert surface.interpolate(model.regions["eyes"])[:SKIN_COUNT].max() == 0
    assert surface.interpolate(model.regions["teeth"]).max() == 0


def test_the_irises_points_lie_on_the_eyeballs(model: MorphableModel) -> None:
    surface = model.scheme("mediapipe478")
    assert surface.interpolate(model.regions["eyes"])[SKIN_COUNT:].min() == 1
    right, left = points(model, "mediapipe478")[SKIN_COUNT:].reshape(2, 5, 3)
    assert right[0, 0] < 0 < left[0, 0]
    for center, *ring in (right, left):
        np.testing.assert_allclose(np.linalg.norm(ring - center, axis=1), 6.0, atol=0.4)  # a cornea is 12 mm wide
        eye = model.mean[(model.regions["eyes"] > 0.5) & (model.mean[:, 0] * center[0] > 0)]
        ahead = center - eye.mean(axis=0)
        assert np.degrees(np.arccos(ahead[2] / np.linalg.norm(ahead))) < 1.0, "at rest, eyes look straight ahead"


@pytest.mark.parametrize(("scheme", "count"), [("ibug68", 16), ("mediapipe478", 36)])
def test_contour_paths_pass_their_landmark_and_reach_both_ways(model: MorphableModel, scheme: str, count: int) -> None:
    contour, marks = model.contours[scheme], points(model, scheme)
    assert contour.candidates.shape[0] == len(contour.landmarks) == count
    for landmark, path in zip(contour.landmarks, contour.candidates, strict=True):
        distance = np.linalg.norm(model.mean[path] - marks[landmark], axis=1)
        assert distance.min() < 9
        assert distance[0] > 8
        assert model.mean[path[0], 2] > model.mean[path[-1], 2]


@pytest.mark.parametrize("yaw", [-45, 45])
def test_a_turned_heads_outline_is_among_the_candidates(model: MorphableModel, yaw: float) -> None:
    """On the cheek that is turned away, the outermost candidate lies within 4 mm of the face's silhouette."""
    rotation = rotation_from_pose_angles(0.0, np.radians(yaw), 0.0)
    projected = model.mean @ rotation[:2].T
    right_is_far = (rotation @ [-1.0, 0.0, 0.0])[2] > 0
    outward = -1 if right_is_far else 1
    cheek = (2, 3, 4) if right_is_far else (14, 13, 12)
    skin = (model.regions["skin"] > 0.5) & (model.regions["ears"] < 0.1) & (model.regions["neck"] < 0.1)
    contour = model.contours["ibug68"]
    for landmark in cheek:
        path = contour.candidates[contour.landmarks.tolist().index(landmark)]
        outermost = path[(outward * projected[path, 0]).argmax()]
        level = skin & (np.abs(projected[:, 1] - projected[outermost, 1]) < 3)
        assert (outward * projected[level, 0]).max() - outward * projected[outermost, 0] < 4


def test_colours_are_where_they_belong(model: MorphableModel) -> None:
    color = model.albedo([])
    cheek = model.scheme("mediapipe478").interpolate(color)[[50, 280]].mean(axis=0)
    lips = color[model.regions["lips"] > 0.9].mean(axis=0)
    assert lips[0] - lips[1] > cheek[0] - cheek[1]
    for side in (1, -1):
        eye = eyeball(model, side)
        front = model.mean[eye][:, 2].argmax()
        assert color[eye[front]].max() < 0.1  # pupil
        assert color[eye].min(axis=1).max() > 0.8  # sclera
    brows = color[model.regions["brows"] > 0.5].mean()
    assert brows < cheek.mean() - 0.15


def test_albedo_has_a_light_and_a_dark_side(model: MorphableModel) -> None:
    forehead = [151]
    tones = [model.scheme("mediapipe478").interpolate(model.albedo([g]))[forehead].mean() for g in (-2, 0, 2)]
    assert tones[0] < 0.4 < tones[1] < 0.7 < tones[2]


@pytest.mark.parametrize(
    "region",
    ["skin", "face", "eyes", "lips", "brows", "scalp", "beard", "ears", "neck", "mouth_interior", "teeth"],
)
def test_region_masks_lie_between_zero_and_one(model: MorphableModel, region: str) -> None:
    mask = model.regions[region]
    assert mask.min() == 0
    assert 0.6 < mask.max() <= 1

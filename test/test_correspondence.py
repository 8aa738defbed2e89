"""Landmarks, outlines and regions of a head that has none, by registering ours to it."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from face3dmm_ros.cli.main import main
from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import FRONTAL, rotation_from_vector
from face3dmm_ros.correspondence.correspond import STEPS, Found, correspond
from face3dmm_ros.correspondence.key_points import find_key_points
from face3dmm_ros.correspondence.registration import KnownPairs, Similarity, register
from face3dmm_ros.correspondence.surface import Surface, pick
from face3dmm_ros.correspondence.transfer import parts_of
from face3dmm_ros.morphable_model import MorphableModel, SurfacePoints, load_model, save_npz
from face3dmm_ros.morphable_model.formats.npz_file import licence_of
from face3dmm_ros.morphable_model.formats.source_head import Basis, SourceHead, in_our_convention

SQUARE = Surface(np.float64([[0, 0, 0], [10, 0, 0], [10, 10, 0], [0, 10, 0]]), np.array([[0, 1, 2], [0, 2, 3]]))


@dataclass(frozen=True, eq=False)
class Stranger:
    """A head that tells of no landmarks, and which of its vertices is which of ours; −1 for those that it lacks."""

    model: MorphableModel
    vertex_of_ours: NDArray[np.int64]


def stranger(ours: MorphableModel, kept: NDArray[np.bool_]) -> Stranger:
    """Another person, in shuffled vertices of which some are left out, larger, elsewhere and turned a little."""
    rng = np.random.default_rng(5)
    head = ours.identity(rng.normal(size=20) * ours.shape_sigma[:20]).astype(np.float64)
    moved = 1.1 * head @ rotation_from_vector(np.array([0.05, 0.08, 0.02])).T + [20.0, -15.0, 30.0]
    order = rng.permutation(np.flatnonzero(kept))
    number = np.full(len(kept), -1)
    number[order] = np.arange(len(order))
    triangles = number[ours.triangles[kept[ours.triangles].all(axis=1)]]
    none = Basis.none(len(order))
    return Stranger(in_our_convention(SourceHead("stranger", 1.0, moved[order], triangles, none, none, [])), number)


def off_by(head: Stranger, found: SurfacePoints, ours: SurfacePoints) -> NDArray[np.float64]:
    """mm between what was found and where it is; NaN where the head lacks it."""
    vertices = head.vertex_of_ours[ours.vertices]
    truth = SurfacePoints(vertices.astype(np.int32), ours.weights).interpolate(head.model.mean)
    off = np.linalg.norm(found.interpolate(head.model.mean) - truth, axis=1)
    return np.where((vertices >= 0).all(axis=1), off, np.nan)


def test_a_point_picked_in_a_picture_is_the_front_most_under_it() -> None:
    vertices = np.vstack([SQUARE.vertices - [0, 0, 5], SQUARE.vertices])
    behind = Surface(vertices, np.vstack([SQUARE.triangles, [[4, 5, 6]]]))
    camera = WeakPerspective(1.0, FRONTAL, np.zeros(2))
    points, off = pick(np.float64([[7, -2], [2, -7]]), behind.vertices, behind.triangles, camera)
    np.testing.assert_allclose(points.interpolate(behind.vertices), [[7, 2, 0], [2, 7, -5]], atol=1e-5)
    assert not off.any()


def test_the_nearest_point_is_on_the_side_that_faces_the_same_way() -> None:
    both = Surface(np.vstack([SQUARE.vertices, SQUARE.vertices - [0, 0, 1]]),
                   np.vstack([SQUARE.triangles, SQUARE.triangles[:, ::-1] + 4]))  # fmt: skip
    point, down = np.float64([[5, 5, 0.2]]), np.float64([[0, 0, -1]])
    np.testing.assert_allclose(both.nearest(point).interpolate(both.vertices), [[5, 5, 0]], atol=1e-5)
    np.testing.assert_allclose(both.nearest(point, down).interpolate(both.vertices), [[5, 5, -1]], atol=1e-5)


def test_a_similarity_leads_back() -> None:
    there = np.random.default_rng(0).normal(size=(9, 3))
    here = 3.0 * there @ rotation_from_vector(np.array([0.3, -0.2, 0.5])).T + [1, 2, 3]
    similarity = Similarity.between(there, here)
    np.testing.assert_allclose(similarity.of(there), here, atol=1e-9)
    np.testing.assert_allclose(similarity.back(here), there, atol=1e-9)


def test_parts_are_connected_where_a_seam_doubled_their_vertices() -> None:
    doubled = Surface(np.vstack([SQUARE.vertices, SQUARE.vertices]), np.array([[0, 1, 2], [4, 6, 7]]))
    assert len(np.unique(parts_of(doubled, 1.0)[doubled.triangles])) == 1


def test_our_head_lies_on_another_person_once_bent(default_model: MorphableModel) -> None:
    ours = Surface(default_model.mean.astype(np.float64), default_model.triangles)
    skin = default_model.regions["skin"] > 0.5
    head = stranger(default_model, skin)
    known = default_model.scheme("ibug68")
    number = head.vertex_of_ours[known.vertices]
    here = (number >= 0).all(axis=1)
    theirs = SurfacePoints(number[here].astype(np.int32), known.weights[here])
    places, goal = theirs.interpolate(head.model.mean).astype(np.float64), known.interpolate(ours.vertices)[here]
    surface = Surface(head.model.mean.astype(np.float64), head.model.triangles)
    similarity = Similarity.between(places, goal)
    pairs = KnownPairs(similarity.of(places), goal.astype(np.float64), np.full(len(goal), 0.05))
    registration = register(surface, similarity, ours, skin, pairs)
    face = skin & (default_model.regions["face"] > 0.5)
    assert registration.distance[face].mean() < 0.5
    assert registration.trust[face].mean() > 0.85
    assert not registration.trust[~skin].any()


@pytest.fixture(scope="module", params=["whole", "cut at the ears and without eyes"])
def known_stranger(request: pytest.FixtureRequest, default_model: MorphableModel) -> tuple[Stranger, Found]:
    kept = np.ones(default_model.vertex_count, bool)
    if request.param != "whole":
        kept = (default_model.mean[:, 2] > -60) & (default_model.regions["skin"] > 0.5)
    head = stranger(default_model, kept)
    steps = []
    found = correspond(head.model, default_model, lambda: steps.append(1))
    assert len(steps) == STEPS
    return head, found


@pytest.mark.slow
def test_landmarks_are_found_by_looking_at_pictures(
    known_stranger: tuple[Stranger, Found], default_model: MorphableModel
) -> None:
    head, found = known_stranger
    for scheme, points in default_model.landmarks.items():
        off = off_by(head, found.correspondence.landmarks[scheme], points)
        assert np.nanmean(off) < 2.0, scheme


@pytest.mark.slow
def test_the_model_can_be_tracked_with_what_was_found(
    known_stranger: tuple[Stranger, Found], default_model: MorphableModel
) -> None:
    head, found = known_stranger
    model = found.correspondence.added_to(head.model)
    assert set(model.landmarks) == set(model.contours) == {"ibug68", "mediapipe478"}
    for scheme, contour in model.contours.items():
        np.testing.assert_array_equal(contour.landmarks, default_model.contours[scheme].landmarks)


@pytest.mark.slow
def test_regions_are_where_ours_are(known_stranger: tuple[Stranger, Found], default_model: MorphableModel) -> None:
    head, found = known_stranger
    here = head.vertex_of_ours >= 0
    for region in ("face", "skin", "lips"):
        theirs = found.correspondence.regions[region][head.vertex_of_ours[here]] > 0.5
        assert (theirs == (default_model.regions[region][here] > 0.5)).mean() > 0.95, region


@pytest.mark.slow
def test_a_surface_without_a_face_is_said_to_have_none(default_model: MorphableModel) -> None:
    grid = np.stack(np.meshgrid(np.linspace(-80, 80, 9), np.linspace(-80, 80, 9), [0.0]), axis=-1).reshape(-1, 3)
    corner = np.array([9 * row + column for row in range(8) for column in range(8)])
    triangles = np.concatenate([corner[:, None] + [0, 1, 10], corner[:, None] + [0, 10, 9]])
    with pytest.raises(Face3DMMError, match="no face is found on pictures of model board"):
        find_key_points(Surface(grid, triangles), default_model, "board")


@pytest.mark.slow
def test_the_command_makes_a_model_that_knows_its_landmarks(
    default_model: MorphableModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, picture = tmp_path / "head.npz", tmp_path / "found.png"
    save_npz(replace(default_model, landmarks={}, contours={}, regions={}), path, licence="research alone")
    out = tmp_path / "with_expressions.npz"
    options = ["--picture", str(picture), "--expressions", str(out), "--json"]
    assert main(["model", "correspond", str(path), *options]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["mean_distance_mm"] < 0.5
    assert cv2.imread(str(picture)).shape == (1280, 1280, 3)
    assert licence_of(out) == "research alone"
    known, found = default_model.scheme("ibug68"), load_model(str(path)).scheme("ibug68")
    off = np.linalg.norm(known.interpolate(default_model.mean) - found.interpolate(default_model.mean), axis=1)
    assert off.mean() < 1.0
